"""Types as BigQuery's DDL writes them, as schemas, parameters and cells."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from expmon.catalog import RELATIONS
from expmon.catalog.model import Column, Parameter, Statement
from expmon.catalog.sources import EVENT_V4, EXPERIMENTS
from expmon.statements.build import select
from expmon.warehouse.bigquery_types import parameters, schema

NESTED = "ARRAY<STRUCT<key STRING, value STRUCT<branch STRING, counts ARRAY<INT64>>>>"
NOW = datetime(2021, 1, 26, 0, 4, 59, 999999, UTC)


def asked(**types):
    """A query of nothing but its parameters."""
    columns = [f"@{name} AS {name}" for name in types]
    found = tuple(Parameter(name, kind) for name, kind in types.items())
    return Statement("asked", select(*columns), found)


def sent(type, value):
    """How a parameter goes over the wire."""
    (parameter,) = parameters(asked(x=type), {"x": value})
    return parameter.to_api_repr()


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("STRING", {"type": "STRING", "mode": "NULLABLE"}),
        ("INT64", {"type": "INT64", "mode": "NULLABLE"}),
        ("BOOL", {"type": "BOOL", "mode": "NULLABLE"}),
        ("DATE", {"type": "DATE", "mode": "NULLABLE"}),
        ("TIMESTAMP", {"type": "TIMESTAMP", "mode": "NULLABLE"}),
        ("ARRAY<STRING>", {"type": "STRING", "mode": "REPEATED"}),
        (
            "STRUCT<a STRING, b ARRAY<DATE>>",
            {
                "type": "RECORD",
                "mode": "NULLABLE",
                "fields": [
                    {"name": "a", "type": "STRING", "mode": "NULLABLE"},
                    {"name": "b", "type": "DATE", "mode": "REPEATED"},
                ],
            },
        ),
        (
            NESTED,
            {
                "type": "RECORD",
                "mode": "REPEATED",
                "fields": [
                    {"name": "key", "type": "STRING", "mode": "NULLABLE"},
                    {
                        "name": "value",
                        "type": "RECORD",
                        "mode": "NULLABLE",
                        "fields": [
                            {"name": "branch", "type": "STRING", "mode": "NULLABLE"},
                            {"name": "counts", "type": "INT64", "mode": "REPEATED"},
                        ],
                    },
                ],
            },
        ),
    ],
)
def test_a_column_is_nullable_or_repeated_and_nested_as_its_type_says(type, expected):
    (field,) = schema([Column("x", type)])
    found = field.to_api_repr()
    assert {"name": "x", **expected} == found


def test_a_description_is_the_columns_own_and_none_is_left_out():
    described, plain = schema([Column("a", "STRING", "What it is"), Column("b", NESTED)])
    assert described.to_api_repr()["description"] == "What it is"
    assert "description" not in json.dumps(plain.to_api_repr())


def test_no_column_of_the_catalogue_is_required():
    """A query's results never are, and so they could not be written into one."""
    for relation in RELATIONS.values():
        found = schema(relation.columns)
        assert [field.name for field in found] == list(relation.column_names)
        assert "REQUIRED" not in json.dumps([field.to_api_repr() for field in found])


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        ("STRING", "a'\\é", "a'\\é"),
        ("INT64", 2**63 - 1, "9223372036854775807"),
        ("DATE", date(2021, 1, 26), "2021-01-26"),
        ("TIMESTAMP", NOW, "2021-01-26 00:04:59.999999+00:00"),
        (
            "TIMESTAMP",
            datetime(2021, 1, 26, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2021-01-26 00:00:00+00:00",
        ),
        ("STRING", None, None),
        ("TIMESTAMP", None, None),
    ],
)
def test_a_value_is_sent_as_text_with_its_type(type, value, expected):
    assert sent(type, value) == {
        "name": "x",
        "parameterType": {"type": type},
        "parameterValue": {"value": expected},
    }


@pytest.mark.parametrize("value", [[], None])
def test_an_empty_array_keeps_its_elements_type(value):
    assert sent("ARRAY<STRING>", value) == {
        "name": "x",
        "parameterType": {"type": "ARRAY", "arrayType": {"type": "STRING"}},
        "parameterValue": {"arrayValues": []},
    }
    found = sent(NESTED, value)
    assert found["parameterValue"] == {"arrayValues": []}
    assert found["parameterType"] == {
        "type": "ARRAY",
        "arrayType": {
            "type": "STRUCT",
            "structTypes": [
                {"name": "key", "type": {"type": "STRING"}},
                {
                    "name": "value",
                    "type": {
                        "type": "STRUCT",
                        "structTypes": [
                            {"name": "branch", "type": {"type": "STRING"}},
                            {
                                "name": "counts",
                                "type": {"type": "ARRAY", "arrayType": {"type": "INT64"}},
                            },
                        ],
                    },
                },
            ],
        },
    }


@pytest.mark.parametrize("number", [0, 1, 2])
def test_structs_of_an_array_are_sent_with_names_and_the_same_type_however_many(number):
    rows = [{"slug": f"s{n}", "start": NOW} for n in range(number)]
    found = sent("ARRAY<STRUCT<slug STRING, start TIMESTAMP>>", rows)
    assert found["parameterType"] == {
        "type": "ARRAY",
        "arrayType": {
            "type": "STRUCT",
            "structTypes": [
                {"name": "slug", "type": {"type": "STRING"}},
                {"name": "start", "type": {"type": "TIMESTAMP"}},
            ],
        },
    }
    assert found["parameterValue"]["arrayValues"] == [
        {
            "structValues": {
                "slug": {"value": f"s{n}"},
                "start": {"value": "2021-01-26 00:04:59.999999+00:00"},
            }
        }
        for n in range(number)
    ]


def test_parameters_come_in_the_statements_order_and_others_are_not_sent():
    found = parameters(asked(b="INT64", a="STRING"), {"a": "x", "b": 1, "c": 2})
    assert [parameter.name for parameter in found] == ["b", "a"]


ENTRY = {"key": "a", "value": {"branch": None, "counts": [1, 2]}}
HOLLOW = {"key": None, "value": {"branch": "x", "counts": []}}
VALUES = {
    "text": ("STRING", "ä'\\\n"),
    "no_text": ("STRING", None),
    "number": ("INT64", -(2**63)),
    "day": ("DATE", date(2021, 1, 26)),
    "no_day": ("DATE", None),
    "moment": ("TIMESTAMP", NOW),
    "truth": ("BOOL", True),
    "texts": ("ARRAY<STRING>", ["a", ""]),
    "no_texts": ("ARRAY<STRING>", []),
    "entries": (NESTED, [ENTRY, HOLLOW]),
    "no_entries": (NESTED, []),
}


@pytest.mark.enable_socket
def test_values_come_back_as_they_were_sent(place):
    statement = asked(**{name: kind for name, (kind, _) in VALUES.items()})
    values = {name: value for name, (_, value) in VALUES.items()}
    assert place.warehouse().query(statement, values).to_pylist() == [values]


@pytest.mark.enable_socket
def test_experiments_are_loaded_with_all_their_types_each_in_place_of_its_former_self(
    new_place, server
):
    place = new_place(server)
    place.put(EXPERIMENTS)
    names = EXPERIMENTS.column_names
    full = {
        "normandy_slug": "full",
        "experimenter_slug": "full-one",
        "type": "pref",
        "status": "Live",
        "start_date": date(2021, 1, 1),
        "end_date": None,
        "enrollment_end_date": date(2021, 2, 1),
        "proposed_enrollment": 7,
        "reference_branch": "a",
        "is_rollout": False,
        "branches": [{"slug": "a", "ratio": 1}, {"slug": "b", "ratio": None}],
        "app_name": "firefox_desktop",
        "channel": None,
    }
    bare = {**dict.fromkeys(names), "normandy_slug": "bare", "branches": []}
    warehouse = place.warehouse()
    warehouse.load(EXPERIMENTS, [{**full, "channel": "beta"}, bare], key="normandy_slug")
    warehouse.load(EXPERIMENTS, [full], key="normandy_slug")
    columns = ", ".join(f"`{name}`" for name in names)
    found = place.sql(f"SELECT {columns} FROM `{place.names.of(EXPERIMENTS)}` ORDER BY 1")
    assert [dict(zip(names, row, strict=True)) for row in found] == [bare, full]


@pytest.mark.enable_socket
def test_every_source_can_be_made_with_its_nested_columns(sources):
    """Their types survive BigQuery: what is there is what was declared."""
    found = sources.google.get_table(str(sources.behind(EVENT_V4))).schema
    assert [f.name for f in found] == list(EVENT_V4.column_names)
    (payload,) = [f for f in found if f.name == "payload"]
    (events,) = [f for f in payload.fields if f.name == "events"]
    assert [f.name for f in events.fields] == [
        *("content", "dynamic", "extension", "gpu", "parent", "socket"),
    ]
    assert {f.mode for f in events.fields} == {"REPEATED"}
