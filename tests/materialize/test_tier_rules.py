"""Each window from exactly one tier: section 4, case by case."""

from __future__ import annotations

from datetime import timedelta

import pytest

import playing
from pings import event, event_ping
from playing import at

TABLE = "telemetry_derived.experiment_enrollment_aggregates"
LIVE = f"{TABLE}_live"
DAY = "2021-01-26"


@pytest.fixture
def loaded(monitor, tmp_path):
    """A monitor with an enrollment every half hour from the 25th on, for three days."""
    moments = [at("2021-01-25T00:00") + number * timedelta(minutes=30) for number in range(3 * 48)]
    pings = [event_ping(moment.isoformat(), event("enroll")) for moment in moments]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    return monitor


def windows(monitor, name=LIVE):
    """The starts of a relation's windows, each as often as it is there."""
    return [start for (start,) in playing.rows(monitor, name, "window_start")]


def half_hours(start, end):
    """Every half hour of ``[start, end)``."""
    count = (at(end) - at(start)) // timedelta(minutes=30)
    return [at(start) + number * timedelta(minutes=30) for number in range(count)]


def test_without_any_other_tier_recents_have_the_last_48_hours(loaded):
    loaded.run("live", at("2021-01-27T12:10"))
    assert windows(loaded) == half_hours("2021-01-25T12:00", "2021-01-27T12:30")
    assert windows(loaded, f"{TABLE}_recents_v1") == windows(loaded)


def test_recents_that_overlap_an_hour_just_written_count_nothing_twice(loaded):
    loaded.run("hourly", at("2021-01-26T11:30"))
    loaded.run("live", at("2021-01-26T12:00"))
    loaded.run("hourly", at("2021-01-26T12:30"))  # the hour 11 is in two tables now
    assert windows(loaded, f"{TABLE}_recents_v1") == half_hours(f"{DAY}T11:00", f"{DAY}T12:00")
    assert windows(loaded, f"{TABLE}_hourly_v1")[-2:] == half_hours(f"{DAY}T11:00", f"{DAY}T12:00")
    assert windows(loaded) == half_hours("2021-01-25T00:00", "2021-01-26T12:00")


def test_a_gap_between_hours_is_filled_by_recents(loaded):
    loaded.run("hourly", at("2021-01-26T09:30"))
    loaded.warehouse._file.execute(
        f"DELETE FROM {TABLE}_hourly_v1 WHERE window_start >= $start AND window_start < $end",
        {"start": at("2021-01-26T05:00"), "end": at("2021-01-26T06:00")},
    )
    loaded.warehouse._file.execute(
        "DELETE FROM telemetry_derived.expmon_partitions_v1 WHERE \"partition\" = '2021012605'"
    )
    loaded.run("live", at("2021-01-26T09:40"))
    assert windows(loaded, f"{TABLE}_recents_v1") == half_hours(f"{DAY}T05:00", f"{DAY}T10:00")
    assert windows(loaded) == half_hours("2021-01-25T00:00", f"{DAY}T10:00")
    loaded.run("hourly", at("2021-01-26T09:45"))
    loaded.run("live", at("2021-01-26T09:45"))
    assert windows(loaded, f"{TABLE}_recents_v1") == half_hours(f"{DAY}T09:00", f"{DAY}T10:00")
    assert windows(loaded) == half_hours("2021-01-25T00:00", f"{DAY}T10:00")


def test_a_day_without_hourly_tables_is_whole(loaded):
    loaded.run("daily", at("2021-01-26T03:00"))  # the 25th is final, no hour has been written
    loaded.run("live", at("2021-01-26T03:01"))
    assert windows(loaded, f"{TABLE}_hourly_v1") == []
    assert windows(loaded, f"{TABLE}_recents_v1")[0] == at("2021-01-26T00:00")
    assert windows(loaded) == half_hours("2021-01-25T00:00", "2021-01-26T03:30")


def test_midnight_loses_no_window(loaded):
    loaded.run("hourly", at("2021-01-25T23:30"))  # the hours up to 22
    loaded.run("live", at("2021-01-26T00:00"))
    assert windows(loaded) == half_hours("2021-01-25T00:00", "2021-01-26T00:00")
    loaded.run("live", at("2021-01-26T00:05"))
    assert windows(loaded) == half_hours("2021-01-25T00:00", "2021-01-26T00:30")
    loaded.run("hourly", at("2021-01-26T00:30"))
    loaded.run("live", at("2021-01-26T00:30"))
    assert windows(loaded) == half_hours("2021-01-25T00:00", "2021-01-26T00:30")


def test_the_day_after_a_final_one_is_not_lost(loaded):
    loaded.run("hourly", at("2021-01-26T02:30"))
    loaded.run("daily", at("2021-01-26T03:00"))
    loaded.run("live", at("2021-01-26T03:00"))
    assert windows(loaded) == half_hours("2021-01-25T00:00", "2021-01-26T03:00")


def test_when_nothing_ran_for_a_day_nothing_is_lost(loaded):
    loaded.run("hourly", at("2021-01-25T12:30"))
    loaded.run("live", at("2021-01-25T12:35"))
    loaded.run("live", at("2021-01-27T05:00"))  # from the hour 12 of the 25th on: 40 hours
    assert windows(loaded) == half_hours("2021-01-25T00:00", "2021-01-27T05:00")


def test_a_missed_day_and_its_hours_are_caught_up_in_order(loaded):
    loaded.run("live", at("2021-01-25T12:35"))
    daily = loaded.run("daily", at("2021-01-27T03:00"))
    days = [s.partition.id for s in daily.plan.steps if s.relation.name == f"{TABLE}_v1"]
    assert days == ["20210125", "20210126"]
    hourly = loaded.run("hourly", at("2021-01-27T03:30"))
    hours = [s.partition.id for s in hourly.plan.steps if s.relation.name == f"{TABLE}_hourly_v1"]
    assert hours == ["2021012700", "2021012701", "2021012702"]


def test_an_hour_is_written_to_its_own_partition_however_late_the_run_is(loaded):
    loaded.run("hourly", at("2021-01-25T05:17"))
    memo = "telemetry_derived.expmon_partitions_v1"
    rows = playing.rows(loaded, memo, "relation", "`partition`", "`rows`")
    assert [(p, n) for r, p, n in rows if r == f"{TABLE}_hourly_v1"] == [
        ("2021012500", 2),
        ("2021012501", 2),
        ("2021012502", 2),
        ("2021012503", 2),
    ]


def test_an_hour_without_events_is_done_and_not_missing_for_ever(monitor, tmp_path):
    pings = [
        event_ping("2021-01-26T01:00:00Z", event("enroll")),
        event_ping("2021-01-26T05:00:00Z", event("enroll")),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    first = monitor.run("hourly", at("2021-01-26T06:30"))
    assert len(first.plan.steps) == 6
    assert monitor.run("hourly", at("2021-01-26T06:30")).plan.steps == ()
    monitor.run("live", at("2021-01-26T06:30"))
    assert windows(monitor) == [at("2021-01-26T01:00"), at("2021-01-26T05:00")]


def test_hourly_partitions_expire_after_14_days(loaded):
    loaded.run("hourly", at("2021-01-25T05:30"))
    assert windows(loaded, f"{TABLE}_hourly_v1") == half_hours(
        "2021-01-25T00:00", "2021-01-25T05:00"
    )
    loaded.run("hourly", at("2021-02-08T02:00"))  # 14 days after 02:00 of the 25th
    assert windows(loaded, f"{TABLE}_hourly_v1")[0] == at("2021-01-25T02:00")
