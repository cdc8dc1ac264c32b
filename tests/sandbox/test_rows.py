"""Flat rows, as dictionaries and as Arrow: whatever way they go, the table is the same."""

from __future__ import annotations

import contextlib
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tricky
from expmon.catalog import RELATIONS
from expmon.catalog.model import Column, Kind, Names, Relation, Statement
from expmon.errors import PingError
from expmon.sandbox import EVENT_PINGS, MAIN_PINGS, Rows, ping_cells, ping_row
from expmon.statements.build import select, table

DATA = Path(__file__).parents[1] / "data"
RECEIVED = datetime(2021, 1, 26, 0, 4, 59, 999999, tzinfo=UTC)
SMALL = Relation(
    "a.b",
    Kind.SOURCE,
    "",
    (
        Column("record", "STRUCT<n INT64, list ARRAY<STRUCT<key STRING, value STRING>>>"),
        Column("at", "TIMESTAMP"),
    ),
)


def rows_of(relation, *flat):
    rows = Rows(relation)
    for cells in flat:
        rows.append(cells)
    return rows


def as_arrow(rows):
    return pa.table(rows).to_pylist()


def test_a_flat_row_has_the_fields_of_records_and_elements_in_their_places():
    rows = rows_of(SMALL, (7, (("k", "v"), ("l", None)), RECEIVED), (None, (), None))
    pairs = [{"key": "k", "value": "v"}, {"key": "l", "value": None}]
    expected = [
        {"record": {"n": 7, "list": pairs}, "at": RECEIVED},
        {"record": {"n": None, "list": []}, "at": None},
    ]
    assert as_arrow(rows) == list(rows) == expected
    assert (rows[-1], rows[:1], rows[5:]) == (expected[1], expected[:1], [])
    with pytest.raises(IndexError):
        rows[2]


def test_no_rows_are_a_table_without_rows():
    assert (len(rows_of(SMALL)), list(rows_of(SMALL)), as_arrow(rows_of(SMALL))) == (0, [], [])
    assert pa.table(rows_of(SMALL)).column_names == ["record", "at"]


@pytest.mark.parametrize("count", [1, 1999, 2000, 2001, 4000, 4001])
def test_no_row_is_lost_or_moved_where_rows_are_packed_together(count):
    rows = rows_of(SMALL, *((n, (), RECEIVED) for n in range(count)))
    assert len(rows) == count
    assert [row["record"]["n"] for row in as_arrow(rows)] == list(range(count))
    # Rows may come after a look at those before.
    rows.append((-1, (), RECEIVED))
    assert (len(rows), as_arrow(rows)[-1]["record"]["n"]) == (count + 1, -1)


def real_pings():
    packed = (DATA / "main.4.sample.json.gz").read_bytes()
    event = json.loads((DATA / "event.4.sample.json").read_text())
    return [event, json.loads(gzip.decompress(packed))]


def tricky_pings():
    """Pings with every tricky text everywhere, and every moment that BigQuery has."""
    for number, text in enumerate([*tricky.NAMES, *tricky.HISTOGRAMS]):
        event = [number, "normandy", text, text, text, {str(text): text, "more": {"x": [text]}}]
        processes = {name: {"events": [event] * n} for n, name in enumerate(("gpu", "parent"))}
        counts = {"google": text, str(text): {"sum": 5, "range": [1, 2], "x": text}}
        scalars = {str(text): number, "big": 2**63, "small": -(2**63)}
        processes["parent"]["keyedScalars"] = {"browser.search.with_ads": scalars}
        common = {
            "version": 4,
            "id": text or "id",
            "clientId": text,
            "application": {"name": text, "channel": text, "version": text, "buildId": 7},
            "environment": {
                "system": {"os": {"name": text, "version": text}},
                "experiments": {str(text): {"branch": text, "type": text}, "other": None},
            },
            "submission_timestamp": tricky.MOMENTS[number % len(tricky.MOMENTS)].isoformat(),
        }
        yield {**common, "type": "event", "payload": {"events": {"socket": [event, event[:4]]}}}
        histograms = {"SEARCH_COUNTS": counts}
        payload = {"keyedHistograms": histograms, "processes": processes}
        yield {**common, "type": "main", "payload": payload}
    for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        yield {"type": "event", "version": 4, "id": moment, "submission_timestamp": moment}


def sorted_by_source(pings):
    """The rows of each source, flat and as dictionaries."""
    flat = {source: Rows(RELATIONS[source]) for source in (EVENT_PINGS, MAIN_PINGS)}
    dictionaries = {source: [] for source in flat}
    for ping in pings:
        source, cells = ping_cells(ping, RECEIVED)
        flat[source].append(cells)
        assert ping_row(ping, RECEIVED)[0] == source
        dictionaries[source].append(ping_row(ping, RECEIVED)[1])
    return flat, dictionaries


def test_rows_of_tricky_and_real_pings_are_the_same_as_dictionaries_and_as_arrow():
    flat, dictionaries = sorted_by_source([*tricky_pings(), *real_pings()])
    for source, rows in flat.items():
        assert as_arrow(rows) == list(rows) == dictionaries[source]


def test_rows_are_loaded_the_same_as_dictionaries_and_as_arrow(monitor):
    flat, dictionaries = sorted_by_source([*tricky_pings(), *real_pings()])
    warehouse = monitor.warehouse
    for source, told in dictionaries.items():
        relation = RELATIONS[source]
        warehouse.load(relation, flat[source])
        days = warehouse.state().sources[source].modified.keys()
        assert days == {row["submission_timestamp"].date() for row in told}
        warehouse.load(relation, told)
        query = Statement("rows", select(*relation.column_names).from_(table(relation, Names())))
        # DuckDB keeps the order in which rows came.
        assert warehouse.query(query, {}).to_pylist() == [*told, *told]


texts = st.text(st.characters(codec="utf-8"), max_size=5)
cells = st.none() | st.integers(-(2**70), 2**70) | texts | st.booleans() | st.floats()
cells |= st.lists(cells, max_size=2) | st.dictionaries(texts, cells, max_size=2)
extras = st.dictionaries(texts, cells, max_size=3)
# Mostly what an event is, and sometimes what it isn't.
events = st.lists(
    st.tuples(cells, cells, cells, cells, cells, st.none() | extras).map(list)
    | st.lists(cells, min_size=3, max_size=5),
    max_size=3,
)


def fields(**optional):
    return st.fixed_dictionaries({}, optional=optional)


counts = fields(SEARCH_COUNTS=extras)
scalars = fields(**{f"browser.search.{name}": extras for name in ("with_ads", "ad_clicks")})
process = fields(events=events, keyedScalars=scalars)
payloads = fields(
    events=fields(parent=events, content=events, other=events),
    processes=fields(parent=process, gpu=process),
    keyedHistograms=counts,
    reason=cells,
    lostEventsCount=cells,
)
experiment = cells | fields(branch=cells, type=cells, enrollmentId=cells)
pings = st.fixed_dictionaries(
    {"type": st.sampled_from(["event", "main"]), "version": st.just(4), "id": texts},
    optional={
        "clientId": cells,
        "application": fields(name=cells, channel=cells, buildId=cells),
        "environment": fields(experiments=st.dictionaries(texts, experiment, max_size=3)),
        "payload": payloads,
    },
)


@given(st.lists(pings, max_size=6))
def test_rows_of_any_pings_are_the_same_as_dictionaries_and_as_arrow(drawn):
    readable = []
    for ping in drawn:
        with contextlib.suppress(PingError):
            ping_cells(ping, RECEIVED)
            readable.append(ping)
    flat, dictionaries = sorted_by_source(readable)
    for source, rows in flat.items():
        assert as_arrow(rows) == list(rows) == dictionaries[source]
