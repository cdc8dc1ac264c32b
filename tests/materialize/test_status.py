"""Verdicts on each table, as a pure function of what the engine holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from expmon.catalog import RELATIONS
from expmon.materialize.schedule import Settings
from expmon.materialize.status import status
from expmon.warehouse.protocol import SourceState, State, Written
from expmon.windows import Partition
from playing import at

DAILY = "telemetry_derived.experiment_enrollment_aggregates_v1"
CLIENTS = "telemetry_derived.experiments_daily_active_clients_v1"
HOURLY = "telemetry_derived.experiment_enrollment_aggregates_hourly_v1"
RECENTS = "telemetry_derived.experiment_enrollment_aggregates_recents_v1"
SEARCH_RECENTS = "telemetry_derived.experiment_search_aggregates_recents_v1"
COUNT = "telemetry_derived.experiment_enrollment_overall_v1"
ACTIVE = "telemetry_derived.experiment_enrollment_daily_active_population_v1"
SOURCES = {name for r in RELATIONS.values() if r.cadence for name in r.inputs} - {
    r.name for r in RELATIONS.values() if r.cadence
}
WROTE = datetime(2021, 1, 27, tzinfo=UTC)


def entry(as_of, rows=1):
    return Written(WROTE, WROTE + timedelta(seconds=1), at(as_of), rows)


def reported(as_of, name, tables, *, modified=None):
    """The line of one table, of a state of ``{relation: {partition: as_of}}``."""
    written = {
        relation: {Partition(partition): entry(moment) for partition, moment in entries.items()}
        for relation, entries in tables.items()
    }
    source = SourceState(date(2021, 1, 25), modified or {})
    state = State(written, dict.fromkeys(SOURCES, source))
    lines = status(at(as_of), state=state, settings=Settings())
    (line,) = [line for line in lines if line.relation == name]
    return line


DAYS = {"20210125": "2021-01-26T03:00"}


@pytest.mark.parametrize(
    ("as_of", "missing", "verdict"),
    [
        ("2021-01-27T02:59:59", 0, "fresh"),
        ("2021-01-27T04:00", 1, "fresh"),
        ("2021-01-27T04:00:01", 1, "late"),
        ("2021-01-28T03:00", 2, "late"),
        ("2021-01-28T03:00:01", 2, "broken"),
    ],
)
def test_a_final_day_is_late_an_hour_after_it_was_due_and_broken_after_two_days(
    as_of, missing, verdict
):
    line = reported(as_of, DAILY, {DAILY: DAYS})
    assert (line.missing, line.stale, line.verdict) == (missing, 0, verdict)
    more = " and 1 more" if missing == 2 else ""
    reason = f"day 2021-01-26 is missing{more}: expmon run daily"
    assert line.reason == ("" if verdict == "fresh" else reason)


@pytest.mark.parametrize(
    ("as_of", "verdict"),
    [
        ("2021-01-25T02:45", "fresh"),
        ("2021-01-25T02:45:01", "late"),
        ("2021-01-25T07:30", "late"),
        ("2021-01-25T07:30:01", "broken"),
    ],
)
def test_an_hour_is_late_a_quarter_of_an_hour_after_it_was_due(as_of, verdict):
    line = reported(as_of, HOURLY, {HOURLY: {"2021012500": "2021-01-25T01:30"}})
    assert line.verdict == verdict
    assert line.missing >= 1


@pytest.mark.parametrize(
    ("as_of", "verdict", "age"),
    [
        ("2021-01-25T12:15", "fresh", "15 min"),
        ("2021-01-25T12:15:01", "late", "15 min"),
        ("2021-01-25T13:00", "late", "1 h 0 min"),
        ("2021-01-25T13:00:01", "broken", "1 h 0 min"),
    ],
)
def test_live_tables_are_late_after_three_runs_and_broken_after_an_hour(as_of, verdict, age):
    tables = {RECENTS: {"": "2021-01-25T12:00"}, COUNT: {"20210125": "2021-01-25T12:00"}}
    for name in (RECENTS, COUNT):
        line = reported(as_of, name, tables)
        assert (line.verdict, line.age_text) == (verdict, age)
        reason = f"the last live run is {age} old: expmon run live"
        assert line.reason == ("" if verdict == "fresh" else reason)


@pytest.mark.parametrize(
    ("as_of", "silence"),
    [
        ("2021-01-27T04:00", None),
        ("2021-01-27T04:00:01", "3 h 0 min"),
        ("2021-01-29T11:00", "2 d 10 h"),
    ],
)
def test_recents_are_late_where_a_live_source_gets_no_pings_any_more(as_of, silence):
    # It got some of yesterday's last, at one o'clock.
    got = {date(2021, 1, 26): WROTE + timedelta(hours=1), date(2021, 1, 27): WROTE}
    tables = {name: {"": as_of} for name in (RECENTS, SEARCH_RECENTS)}
    for name, source in ((RECENTS, "event_v4"), (SEARCH_RECENTS, "main_v4")):
        line = reported(as_of, name, tables, modified=got)
        assert line.verdict == ("late" if silence else "fresh")
        ingestion = "see what has become of its ingestion"
        wanted = f"telemetry_live.{source} got no pings for {silence}: {ingestion}"
        assert line.reason == (wanted if silence else "")
        assert (line.missing, line.stale) == (0, 0)


@pytest.mark.parametrize("name", [DAILY, HOURLY, RECENTS, COUNT])
def test_what_was_never_written_is_broken_and_has_no_times(name):
    line = reported("2021-01-26T04:00", name, {})
    assert line.verdict == "broken"
    assert (line.latest, line.last_window, line.as_of, line.age, line.rows) == (
        *(None, None, None, None),
        0,
    )
    assert ": expmon run " in line.reason


def test_a_day_that_changed_after_it_was_counted_is_stale_and_not_missing():
    changed = {date(2021, 1, 25): WROTE + timedelta(hours=1)}
    line = reported("2021-01-26T04:00", DAILY, {DAILY: DAYS}, modified=changed)
    assert (line.missing, line.stale, line.verdict) == (0, 1, "stale")
    assert line.reason.startswith("day 2021-01-25 of ")
    assert line.reason.endswith("has changed since it was counted: expmon run daily")


def test_of_a_missing_and_a_stale_day_the_missing_one_is_told():
    changed = {date(2021, 1, 25): WROTE + timedelta(hours=1)}
    line = reported("2021-01-27T05:00", DAILY, {DAILY: DAYS}, modified=changed)
    assert (line.missing, line.stale, line.verdict) == (1, 1, "late")
    assert line.reason == "day 2021-01-26 is missing and 1 more: expmon run daily"


def test_a_gap_between_the_days_of_a_live_table_is_missing():
    days = {"20210125": "2021-01-27T12:00", "20210127": "2021-01-27T12:00"}
    tables = {RECENTS: {"": "2021-01-27T12:00"}, COUNT: days}
    line = reported("2021-01-27T12:01", COUNT, tables)
    assert (line.missing, line.verdict) == (1, "late")
    assert line.reason == "day 2021-01-26 is missing: expmon run live"


@pytest.mark.parametrize(
    ("name", "partition", "as_of", "last"),
    [
        (DAILY, "20210125", "2021-01-26T03:00", "2021-01-25T23:55"),
        (HOURLY, "2021012507", "2021-01-25T08:30", "2021-01-25T07:55"),
        (RECENTS, "", "2021-01-25T08:30", "2021-01-25T08:25"),
        (COUNT, "20210125", "2021-01-25T08:31", "2021-01-25T08:30"),
        (COUNT, "20210125", "2021-01-26T00:05", "2021-01-25T23:55"),
        (ACTIVE, "20210126", "2021-01-26T03:05", "2021-01-26T00:00"),
        (CLIENTS, "20210125", "2021-01-26T03:00", "2021-01-25T00:00"),
    ],
)
def test_the_last_window_is_the_last_that_the_table_goes_up_to(name, partition, as_of, last):
    line = reported("2021-01-26T03:10", name, {name: {partition: as_of}})
    assert line.last_window == at(last)
