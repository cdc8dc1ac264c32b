from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from expmon.export.rendering import Points, json_bytes, time_text
from expmon.export.rendering import files as rendered
from expmon.export.store import crc32c

FIVE_PAST = datetime(2021, 1, 26, 0, 5, tzinfo=UTC)
MIDNIGHT = datetime(2021, 1, 26, tzinfo=UTC)
POINTS = [(FIVE_PAST, "a", 17), (FIVE_PAST, "b", -2), (MIDNIGHT, "a", 0)]


def files(experiment, dataset, points):
    """The two files of points of time, branch and value, as an engine gives them."""
    types = {"time": pa.timestamp("us", "UTC"), "branch": pa.string(), "value": pa.int64()}
    structs = [{"time": t, "branch": b, "value": v} for t, b, v in points]
    return rendered(experiment, dataset, Points.of(pa.array(structs, pa.struct(types.items()))))


def test_files_are_bytes_for_bytes_what_consumers_parse():
    total, by_branch = files("exp", "experiment_enrollment_overall", POINTS)
    assert (total.name, total.experiment, total.dataset, total.rows, total.data) == (
        "exp_experiment_enrollment_overall.json",
        "exp",
        "experiment_enrollment_overall",
        2,
        (
            b'[{"time":"2021-01-26 00:05:00 UTC","value":"15"},'
            b'{"time":"2021-01-26 00:00:00 UTC","value":"0"}]'
        ),
    )
    assert (
        by_branch.name,
        by_branch.experiment,
        by_branch.dataset,
        by_branch.rows,
        by_branch.data,
    ) == (
        "exp_experiment_enrollment_overall_by_branch.json",
        "exp",
        "experiment_enrollment_overall",
        3,
        (
            b'[{"branch":"a","time":"2021-01-26 00:05:00 UTC","value":"17"},'
            b'{"branch":"b","time":"2021-01-26 00:05:00 UTC","value":"-2"},'
            b'{"branch":"a","time":"2021-01-26 00:00:00 UTC","value":"0"}]'
        ),
    )


def test_an_empty_series_is_an_empty_list_in_both_files():
    assert [(file.data, file.rows) for file in files("exp", "d", [])] == [(b"[]", 0)] * 2


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)], ids=["greatest", "least"])
def test_every_64_bit_value_keeps_all_its_digits(value):
    total, by_branch = files("exp", "d", [(MIDNIGHT, "a", value)])
    assert json.loads(total.data)[0]["value"] == str(value)
    assert json.loads(by_branch.data)[0]["value"] == str(value)


@pytest.mark.parametrize(
    "branch", ['say "hi"', "back\\slash", "müsli", "line\nbreak", "\0", "日本"]
)
def test_any_branch_name_comes_back_from_the_json_as_it_was(branch):
    _, by_branch = files("exp", "d", [(MIDNIGHT, branch, 1)])
    assert json.loads(by_branch.data) == [
        {"branch": branch, "time": "2021-01-26 00:00:00 UTC", "value": "1"}
    ]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (MIDNIGHT, "2021-01-26 00:00:00 UTC"),
        (MIDNIGHT - timedelta(minutes=5), "2021-01-25 23:55:00 UTC"),
        (MIDNIGHT + timedelta(microseconds=1), "2021-01-26 00:00:00.000001 UTC"),
        (MIDNIGHT + timedelta(milliseconds=250), "2021-01-26 00:00:00.25 UTC"),
    ],
)
def test_times_are_written_as_bigquery_writes_them(moment, text):
    assert time_text(moment) == text


def test_json_is_compact_and_utf_8():
    assert json_bytes([{"branch": "ü"}]) == b'[{"branch":"\xc3\xbc"}]'


@pytest.mark.parametrize(
    ("data", "checksum"),
    # The check value of CRC-32C is E3069283, that of nothing is 0.
    [(b"123456789", "4waSgw=="), (b"", "AAAAAA==")],
)
def test_checksums_are_those_that_cloud_storage_shows(data, checksum):
    assert crc32c(data) == checksum


def test_a_file_has_the_checksum_of_its_content():
    for file in files("exp", "d", POINTS):
        assert file.crc32c == crc32c(file.data)
