"""Which events count, where, and in which window: section 3 of the design, case by case."""

from __future__ import annotations

from datetime import timedelta

import pytest

import playing
from pings import event, event_ping, main_ping
from playing import at

DAILY = "telemetry_derived.experiment_enrollment_aggregates_v1"
HOURLY = "telemetry_derived.experiment_enrollment_aggregates_hourly_v1"
RECENTS = "telemetry_derived.experiment_enrollment_aggregates_recents_v1"
MEASURES = (
    "enroll_count",
    "unenroll_count",
    "graduate_count",
    "update_count",
    "enroll_failed_count",
    "unenroll_failed_count",
    "update_failed_count",
    "disqualification_count",
    "exposure_count",
    "validation_failed_count",
)
NOON = "2021-01-26T12:00:00Z"
KEYS = ("type", "experiment", "branch", "window_start")


@pytest.fixture
def counted(monitor, tmp_path):
    """What recents hold of some pings, by the columns named."""

    def count(*pings, columns=(*KEYS, *MEASURES), as_of="2021-01-27T00:00"):
        playing.ingest(monitor, tmp_path / "pings.json", pings)
        monitor.run("live", at(as_of))
        return playing.rows(monitor, RECENTS, *columns)

    return count


@pytest.mark.parametrize(
    ("arrival", "window"),
    [
        ("2021-01-26T00:00:00Z", "2021-01-26T00:00"),
        ("2021-01-26T00:04:59.700000Z", "2021-01-26T00:00"),
        ("2021-01-26T00:04:59.999999Z", "2021-01-26T00:00"),
        ("2021-01-26T00:05:00Z", "2021-01-26T00:05"),
        ("2021-01-26T00:05:00.000001Z", "2021-01-26T00:05"),
        ("2021-01-26T23:59:59.999999Z", "2021-01-26T23:55"),
        ("2021-01-26T01:30:00+01:00", "2021-01-26T00:30"),
    ],
)
def test_an_event_is_in_the_window_of_its_arrival_to_the_microsecond(counted, arrival, window):
    assert counted(
        event_ping(arrival, event("enroll")), columns=("window_start", "window_end")
    ) == [(at(window), at(window) + timedelta(minutes=5))]


@pytest.mark.parametrize(
    ("method", "column"),
    [
        ("enroll", "enroll_count"),
        ("enrollment", "enroll_count"),
        ("unenroll", "unenroll_count"),
        ("unenrollment", "unenroll_count"),
        ("graduate", "graduate_count"),
        ("update", "update_count"),
        ("enrollFailed", "enroll_failed_count"),
        ("unenrollFailed", "unenroll_failed_count"),
        ("updateFailed", "update_failed_count"),
        ("disqualification", "disqualification_count"),
        ("expose", "exposure_count"),
        ("exposure", "exposure_count"),
        ("validationFailed", "validation_failed_count"),
    ],
)
def test_each_method_counts_in_its_column(counted, method, column):
    counts = tuple(int(column == measure) for measure in MEASURES)
    found = counted(event_ping(NOON, event(method)))
    assert found == [("nimbus_experiment", "exp", "a", at("2021-01-26T12:00"), *counts)]


@pytest.mark.parametrize(
    "ignored",
    [
        event("Enroll"),
        event("enroll "),
        event(""),
        event("loadFailed"),
        event("enroll", category="Normandy"),
        event("enroll", category="navigation"),
        event("enroll", None),
    ],
)
def test_other_events_make_no_row(counted, ignored):
    assert counted(event_ping(NOON, ignored)) == []


def test_an_event_counts_once_however_many_extras_it_has(counted):
    many = {f"extra{number}": "x" for number in range(50)}
    found = counted(
        event_ping(NOON, event("enroll", extras=many)), columns=("branch", "enroll_count")
    )
    assert found == [("a", 1)]


def test_an_event_without_extras_has_no_branch(counted):
    bare = [1, "normandy", "enroll", "nimbus_experiment", "exp"]
    found = counted(
        event_ping(NOON, bare, event("enroll", branch=None)), columns=("branch", "enroll_count")
    )
    assert found == [(None, 2)]


@pytest.mark.parametrize(("values", "branch"), [(("b", "a"), "b"), ((None, "a"), None)])
def test_of_two_branch_extras_the_first_counts(monitor, values, branch):
    ping = event_ping(NOON, event("enroll"))
    from expmon.catalog.sources import EVENT_V4
    from expmon.sandbox import ping_row

    _, row = ping_row(ping, None)
    extras = [{"key": "other", "value": "x"}]
    extras += [{"key": "branch", "value": value} for value in values]
    row["payload"]["events"]["parent"][0]["f5_"] = extras
    monitor.warehouse.load(EVENT_V4, [row])
    monitor.run("live", at("2021-01-27T00:00"))
    assert playing.rows(monitor, RECENTS, "branch", "enroll_count") == [(branch, 1)]


def test_an_empty_string_is_a_name_like_another(counted):
    found = counted(
        event_ping(NOON, event("enroll", "", ""), event("enroll", "", None)),
        columns=("experiment", "branch", "enroll_count"),
    )
    assert found == [("", None, 1), ("", "", 1)]


def test_names_are_taken_as_they_are(counted):
    names = ["a'b", "ünï", "日本", "x" * 300, 'q"\\', "%_", " a "]
    found = counted(
        event_ping(NOON, *(event("enroll", name, name) for name in names)),
        columns=("experiment", "branch", "enroll_count"),
    )
    assert found == sorted((name, name, 1) for name in names)


def test_events_of_all_five_processes_count_and_no_others(counted):
    pings = [
        event_ping(NOON, event("enroll"), process=process)
        for process in ("content", "dynamic", "extension", "gpu", "parent", "socket")
    ]
    assert counted(*pings, columns=("enroll_count",)) == [(5,)]


def test_a_ping_with_events_of_several_processes_counts_all(counted):
    ping = event_ping(NOON, event("enroll"))
    ping["payload"]["events"]["content"] = [event("unenroll"), event("enroll", branch="b")]
    found = counted(ping, columns=("branch", "enroll_count", "unenroll_count"))
    assert found == [("a", 1, 1), ("b", 1, 0)]


def test_types_are_counted_apart(counted):
    found = counted(
        event_ping(NOON, event("enroll"), event("enroll", kind="addon_study")),
        columns=("type", "enroll_count"),
    )
    assert found == [("addon_study", 1), ("nimbus_experiment", 1)]


def test_a_run_sees_only_what_arrived_before_its_time(counted):
    found = counted(
        event_ping("2021-01-26T11:59:59.999999Z", event("enroll")),
        event_ping("2021-01-26T12:00:00Z", event("enroll")),
        columns=("window_start", "enroll_count"),
        as_of="2021-01-26T12:00",
    )
    assert found == [(at("2021-01-26T11:55"), 1)]


def test_final_counts_have_each_document_once_a_day_and_events_of_main_pings(monitor, tmp_path):
    pings = [
        event_ping("2021-01-26T12:00:00Z", event("enroll"), id="twice"),
        event_ping("2021-01-26T18:00:00Z", event("enroll"), id="twice"),
        event_ping("2021-01-27T06:00:00Z", event("enroll"), id="twice"),
        main_ping("2021-01-26T12:01:00Z", {}, events=[event("enroll")], id="main-twice"),
        main_ping("2021-01-26T12:06:00Z", {}, events=[event("enroll")], id="main-twice"),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("hourly", at("2021-01-26T23:30"))
    assert playing.rows(monitor, HOURLY, "window_start", "enroll_count") == [
        (at("2021-01-26T12:00"), 1),
        (at("2021-01-26T18:00"), 1),
    ]
    monitor.run("daily", at("2021-01-28T03:00"))
    assert playing.rows(monitor, DAILY, "window_start", "enroll_count") == [
        (at("2021-01-26T12:00"), 2),
        (at("2021-01-27T06:00"), 1),
    ]


def test_the_last_window_of_a_day_and_of_a_month_is_not_lost(monitor, tmp_path):
    pings = [
        event_ping("2021-01-31T23:55:00Z", event("enroll")),
        event_ping("2021-01-31T23:59:59.999999Z", event("enroll")),
        event_ping("2021-02-01T00:00:00Z", event("enroll")),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("daily", at("2021-02-02T03:00"))
    assert playing.rows(monitor, DAILY, "window_start", "window_end", "enroll_count") == [
        (at("2021-01-31T23:55"), at("2021-02-01T00:00"), 2),
        (at("2021-02-01T00:00"), at("2021-02-01T00:05"), 1),
    ]


def test_a_leap_day_is_a_day(monitor, tmp_path):
    pings = [
        event_ping("2024-02-29T23:59:59.999999Z", event("enroll")),
        event_ping("2024-03-01T00:00:00Z", event("enroll")),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("daily", at("2024-03-02T03:00"))
    starts = [start for (start,) in playing.rows(monitor, DAILY, "window_start")]
    assert starts == [at("2024-02-29T23:55"), at("2024-03-01T00:00")]
