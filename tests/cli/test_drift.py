"""`expmon drift` over two days of pings, some of them twice or late, with counts made by hand."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

import expmon
import pings
from expmon.cli import main
from playing import at

AS_OF = "2021-01-27T04:00Z"
FIRST = [
    *[pings.event_ping("2021-01-25T10:00:00Z", pings.event("enroll"), id="twice")] * 5,
    *[pings.event_ping("2021-01-25T10:00:00Z", pings.event("enroll")) for _ in range(99)],
    pings.main_ping("2021-01-25T10:00:00Z", {"exp": "a"}, searches={"x": "7"}),
]
LATE = [
    pings.event_ping("2021-01-25T10:00:00Z", *[pings.event("exposure", "other")] * 120),
    *[pings.event_ping("2021-01-25T10:00:00Z", pings.event("enroll"), id="twice")] * 2,
    pings.event_ping("2021-01-25T10:00:00Z", pings.event("unenroll")),
]

EXPOSURES = ["2021-01-25", "other", "exposure_count", "0", "120", "-120", "-100.0", "%"]


@pytest.fixture(scope="module")
def drifted_file(deployed_file, tmp_path_factory):
    """The 25th with duplicates and what came late; of the 26th an hour was never written."""
    folder = tmp_path_factory.mktemp("drifted")
    path = Path(shutil.copy(deployed_file, folder / "monitoring.duckdb"))
    with expmon.connect(f"duckdb://{path}") as monitor:
        monitor.ingest(pings.write(folder / "pings.json", FIRST))
        monitor.run("hourly", at("2021-01-25T12:30"))
        monitor.ingest(pings.write(folder / "late.json", LATE))
        monitor.run("hourly", at("2021-01-26T23:59"))
        monitor.run("daily", at("2021-01-27T03:00"))
    return path


@pytest.fixture
def drift(drifted_file, tmp_path):
    """Runs the command on that file; it must end with a status."""
    shutil.copy(drifted_file, tmp_path / "monitoring.duckdb")

    def run(*arguments, status=0, as_of=AS_OF):
        where = ("--warehouse", "duckdb://monitoring.duckdb")
        result = CliRunner().invoke(main, [*where, "drift", "--as-of", as_of, *arguments])
        assert result.exit_code == status, result.output
        return result.stdout

    return run


def words(text):
    return [line.split() for line in text.splitlines() if line.strip()]


def test_a_count_past_the_threshold_is_printed_and_fails(drift):
    # 104 enrollments were counted, and 100 there are: 4 % more. None of 120 exposures was counted.
    lines = words(drift(status=1))
    assert lines[0] == ["day", "aggregates", "counts", "that", "differ", "past", "the", "threshold"]
    missing = ["not", "known:", "only", "23", "hours", "of", "24", "written"]
    assert lines[2:6] == [
        ["2021-01-25", "enrollment", "3", "3", "1"],
        ["2021-01-25", "search", "1", "0", "0"],
        ["2021-01-26", "enrollment", *missing],
        ["2021-01-26", "search", *missing],
    ]
    assert lines[8] == EXPOSURES
    assert lines[9][:4] == ["More", "live", "than", "final:"]
    assert len(lines) == 10


def test_the_threshold_and_the_least_count_are_options_and_the_worst_is_printed_first(drift):
    lines = words(drift("--threshold", "3.9", "--at-least", "1", status=1))
    assert lines[2] == ["2021-01-25", "enrollment", "3", "3", "3"]
    assert lines[8:-1] == [
        EXPOSURES,
        ["2021-01-25", "exp", "enroll_count", "104", "100", "4", "+4.0", "%"],
        ["2021-01-25", "exp", "unenroll_count", "0", "1", "-1", "-100.0", "%"],
    ]
    drift("--at-least", "121")
    drift("--threshold", "100")
    drift("--threshold", "99.9", status=1)


def test_days_that_are_not_known_fail_nothing(drift):
    lines = words(drift("--days", "1"))
    assert [line[0] for line in lines[2:]] == ["2021-01-26", "2021-01-26"]
    assert drift("--days", "1", as_of="2021-01-25T04:00Z") == "none of these days is final\n"


def test_drift_is_given_to_programs_as_json(drift):
    records = [json.loads(line) for line in drift("--format", "json", status=1).splitlines()]
    assert [(record["day"], record["aggregates"]) for record in records] == [
        ("2021-01-25", "enrollment"),
        ("2021-01-25", "search"),
        ("2021-01-26", "enrollment"),
        ("2021-01-26", "search"),
    ]
    first = records[0]
    assert (first["hours"], first["is_known"], len(first["counts"])) == (24, True, 3)
    assert first["counts"][0] == {
        "experiment": "exp",
        "measure": "enroll_count",
        "live": 104,
        "final": 100,
        "difference": 4,
        "percent": 4.0,
        "is_past": False,
    }
    assert first["counts"][2]["is_past"]
    assert records[2] == {
        "aggregates": "enrollment",
        "day": "2021-01-26",
        "hours": 23,
        "is_known": False,
        "counts": [],
    }


def test_drift_is_given_to_prometheus_for_the_latest_day_that_is_known(drift):
    text = drift("--format", "prometheus", status=1)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    day = datetime(2021, 1, 25, tzinfo=UTC).timestamp()
    assert samples == {
        ("expmon_drift_day_timestamp_seconds", "enrollment"): day,
        ("expmon_drift_day_timestamp_seconds", "search"): day,
        ("expmon_drift_past_counts", "enrollment"): 1.0,
        ("expmon_drift_past_counts", "search"): 0.0,
        ("expmon_drift_live_count", "enrollment", "exp", "enroll_count"): 104.0,
        ("expmon_drift_final_count", "enrollment", "exp", "enroll_count"): 100.0,
        ("expmon_drift_live_count", "enrollment", "exp", "unenroll_count"): 0.0,
        ("expmon_drift_final_count", "enrollment", "exp", "unenroll_count"): 1.0,
        ("expmon_drift_live_count", "enrollment", "other", "exposure_count"): 0.0,
        ("expmon_drift_final_count", "enrollment", "other", "exposure_count"): 120.0,
        ("expmon_drift_live_count", "search", "exp", "search_count"): 7.0,
        ("expmon_drift_final_count", "search", "exp", "search_count"): 7.0,
    }


@pytest.mark.parametrize("form", ["json", "prometheus"])
def test_without_a_final_day_programs_get_no_values(drift, form):
    text = drift("--format", form, as_of="2021-01-25T04:00Z")
    assert [line for line in text.splitlines() if not line.startswith("#")] == []


def test_a_count_that_is_only_live_has_no_percentage(drift):
    with expmon.connect("duckdb://monitoring.duckdb") as monitor:
        table = "telemetry_derived.experiment_enrollment_aggregates_v1"
        monitor.warehouse._file.execute(f"DELETE FROM {table} WHERE experiment = 'exp'")
    lines = words(drift(status=1))
    of_exp = ["2021-01-25", "exp", "enroll_count", "104", "0", "104"]
    assert lines[-2] == [*of_exp, "none", "is", "final"]
    record = json.loads(drift("--format", "json", status=1).splitlines()[0])
    assert record["counts"][0]["percent"] is None


def test_of_many_counts_past_the_threshold_the_worst_are_printed(drift):
    table = "telemetry_derived.experiment_enrollment_aggregates_v1"
    with expmon.connect("duckdb://monitoring.duckdb") as monitor:
        monitor.warehouse._file.execute(
            f"INSERT INTO {table} (experiment, window_start, enroll_count) "
            "SELECT 'more-' || n, TIMESTAMPTZ '2021-01-25 10:00:00+00', n "
            "FROM range(1001, 1062) AS numbers(n)"
        )
    lines = drift(status=1).splitlines()
    shown = [line.split()[1] for line in lines if "more-" in line]
    assert shown == [f"more-{n}" for n in range(1061, 1001, -1)]
    assert lines[-3] == "… and 2 more"
