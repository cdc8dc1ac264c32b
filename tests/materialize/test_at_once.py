"""A tick is seen as a whole on the embedded engine: no reader meets half of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

import playing
from expmon.catalog import RELATIONS
from expmon.errors import WarehouseError
from pings import event, event_ping
from playing import at

FIVE_MINUTES = timedelta(minutes=5)


class Stop(Exception):
    """What a step fails with."""


def enrolled(*moments):
    return [event_ping(moment, event("enroll", branch="a"), id=moment) for moment in moments]


@pytest.fixture
def ticked(monitor, tmp_path):
    """A monitor after a tick, with pings for the next one."""
    moments = ["2021-01-26T05:01:00Z", "2021-01-26T05:06:00Z"]
    playing.ingest(monitor, tmp_path / "pings.jsonl", enrolled(*moments))
    monitor.run("live", at("2021-01-26T05:05"))
    return monitor


def stop_at(number):
    """What is called before each step, and stops before one of them; the first is 0."""
    met = []

    def before(step):
        if len(met) == number:
            raise Stop
        met.append(step.destination)

    return before


def test_another_connection_sees_all_of_a_tick_or_nothing(ticked):
    other = ticked.warehouse._file.opened().cursor()
    other.execute("USE warehouse")

    def look():
        recents = "telemetry_derived.experiment_enrollment_aggregates_recents_v1"
        series = "telemetry_derived.experiment_enrollment_overall_v1"
        sums = (
            f"SELECT (SELECT SUM(enroll_count) FROM {recents}), (SELECT SUM(value) FROM {series})"
        )
        return other.execute(sums).fetchone()

    seen = [look()]
    ticked.run("live", at("2021-01-26T05:10"), progress=lambda _: seen.append(look()))
    assert len(seen) > 10
    assert set(seen) == {(1, 1)}
    assert look() == (2, 2)
    other.close()


@pytest.mark.parametrize("number", [0, 1, 5, -1])
def test_nothing_stays_of_a_tick_that_fails_and_the_next_one_has_it_all(ticked, number):
    before, now = playing.tables(ticked), at("2021-01-26T05:10")
    steps = len(ticked.plan("live", now).steps)
    with pytest.raises(Stop):
        ticked.run("live", now, progress=stop_at(number % steps))
    assert playing.tables(ticked) == before
    assert len(ticked.run("live", now).written) == steps
    assert playing.tables(ticked) != before


def test_a_step_that_the_engine_refuses_takes_its_tick_with_it(ticked):
    before, now = playing.tables(ticked), at("2021-01-26T05:10")
    file, table = ticked.warehouse._file, "telemetry_derived.experiment_cumulative_ad_clicks_v1"
    file.execute(f"ALTER TABLE {table} RENAME value TO gone")
    with pytest.raises(WarehouseError, match="ad_clicks_v1"):
        ticked.run("live", now)
    file.execute(f"ALTER TABLE {table} RENAME gone TO value")
    assert playing.tables(ticked) == before
    ticked.run("live", now)
    assert playing.tables(ticked) != before


def test_a_run_that_catches_up_on_several_days_keeps_what_it_has_done(monitor, tmp_path):
    moments = [f"2021-01-{day}T05:01:00Z" for day in (22, 23, 24, 25, 26)]
    playing.ingest(monitor, tmp_path / "pings.jsonl", enrolled(*moments))
    monitor.run("live", at("2021-01-22T05:05"))
    now = at("2021-01-26T05:05")
    last = len(monitor.plan("live", now).steps) - 1
    with pytest.raises(Stop):
        monitor.run("live", now, progress=stop_at(last))
    table = RELATIONS["telemetry_derived.experiment_enrollment_overall_v1"]
    written = {partition.id for partition in monitor.warehouse.state().partitions(table)}
    assert written == {f"202101{day}" for day in range(22, 27)}
