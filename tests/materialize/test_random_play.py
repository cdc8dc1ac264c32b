"""Two simulated days, played with live ticks at random times and other jobs skipped at random."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import pytest

import playing
from expmon.sandbox import Experiment, Traffic, simulate

START = date(2021, 1, 30)  # the second day is the last of a month
OPENS = datetime(2021, 1, 30, tzinfo=UTC)
EXPERIMENTS = [
    Experiment("long", OPENS - timedelta(days=20), None, (("a", 1), ("b", 1)), False, 0.7),
    Experiment("starts", OPENS + timedelta(hours=20), None, (("a", 3), ("b", 1)), False, 0.6),
    Experiment(
        "ends", OPENS - timedelta(days=1), OPENS + timedelta(hours=30), (("a", 1),), False, 0.5
    ),
    Experiment("rollout", OPENS, None, (("on", 1),), True, 0.5),
]


def _traffic(seed: int) -> list[dict[str, object]]:
    return list(simulate(EXPERIMENTS, Traffic(start=START, days=2, clients=120, seed=seed)))


def _moments(rng: random.Random, count: int) -> list[datetime]:
    """Random moments of the two days and the morning after, to the microsecond, some on edges."""
    moments = set()
    while len(moments) < count:
        moment = OPENS + timedelta(microseconds=rng.randrange(1, 56 * 3_600 * 10**6))
        if rng.random() < 0.4:
            moment -= (moment - OPENS) % timedelta(minutes=5)
        moments.add(max(moment, OPENS + timedelta(microseconds=1)))
    return sorted(moments)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_table_equals_the_reference_whatever_ran_when(monitor, tmp_path, seed):
    rng = random.Random(seed)
    pings = _traffic(seed)
    schedules = playing.Schedules(START)
    # Pings are there before their time has come: a run sees only those before its `as_of`.
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    for number, moment in enumerate(_moments(rng, 18)):
        if rng.random() < 0.4:
            schedules.hourly(monitor, moment)
        if rng.random() < 0.3:
            schedules.daily(monitor, moment)
        monitor.run("live", moment)
        if number % 3 == 2:
            playing.assert_as_expected(monitor, schedules.played(pings, moment))


@pytest.mark.parametrize("seed", [4, 5])
def test_pings_that_arrive_between_the_runs_are_counted(monitor, tmp_path, seed):
    rng = random.Random(seed)
    pings = _traffic(seed)
    schedules = playing.Schedules(START)
    arrived = 0
    for number, moment in enumerate(_moments(rng, 15)):
        due = [p for p in pings if datetime.fromisoformat(p["submission_timestamp"]) < moment]
        playing.ingest(monitor, tmp_path / "pings.json", due[arrived:])
        arrived = len(due)
        if rng.random() < 0.5:
            schedules.hourly(monitor, moment)
        if rng.random() < 0.5:
            schedules.daily(monitor, moment)
        monitor.run("live", moment)
        if number % 5 == 4:
            playing.assert_as_expected(monitor, schedules.played(due, moment))


def test_a_full_rebuild_equals_the_incremental_result(monitor, tmp_path):
    rng = random.Random(6)
    pings = _traffic(6)
    schedules = playing.Schedules(START)
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    for moment in _moments(rng, 12):
        if rng.random() < 0.4:
            schedules.hourly(monitor, moment)
        if rng.random() < 0.3:
            schedules.daily(monitor, moment)
        monitor.run("live", moment)
    monitor.run("daily", moment)
    monitor.run("live", moment)
    incremental = playing.tables(monitor)
    database = monitor.warehouse._file
    for name in incremental:
        if not name.endswith(("_live", "_live_v1")) and "aggregates" not in name:
            database.execute(f"DELETE FROM {name}")
            database.execute(
                "DELETE FROM telemetry_derived.expmon_partitions_v1 WHERE relation = $name",
                {"name": name},
            )
    assert playing.tables(monitor) != incremental
    monitor.run("daily", moment)
    monitor.run("live", moment)
    assert playing.tables(monitor) == incremental
