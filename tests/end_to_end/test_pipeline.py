"""From pings to tables, files and frames, judged by the reference in plain Python."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest

import playing
import reference
from pings import event, event_ping, main_ping
from playing import DAY, HOUR, at
from worlds import assert_exported, describe

START = date(2021, 1, 25)
NOW = at("2021-01-27T05:02")
MINUTE = timedelta(minutes=1)
SLUGS = {"exp": date(2021, 1, 25), "old": date(2021, 1, 1), "quiet": date(2021, 1, 26)}


def traffic():
    """Two days and a bit of enrollments and searches of two experiments, some sent twice."""
    moments = [at("2021-01-25T00:00") + n * timedelta(minutes=37) for n in range(86)]
    for number, moment in enumerate(moments):
        branch, text = ("a", "b", None)[number % 3], moment.isoformat()
        method = ("enroll", "enroll", "unenroll", "update", "exposure")[number % 5]
        slug = ("exp", "old")[number % 7 == 0]
        yield event_ping(text, event(method, slug, branch), id=f"e{number % 80}")
        yield main_ping(text, {slug: branch}, searches={"a": str(number)}, id=f"m{number % 80}")
    yield event_ping("2021-01-25T23:59:59.999999+00:00", event("graduate", "exp", "b"))


def played(pings, as_of=NOW, *, hours):
    final = frozenset({START, START + DAY})
    return reference.Played(pings, as_of, final, frozenset(hours), START)


def hours_of(start, count):
    return {at(start) + n * HOUR for n in range(count)}


def test_from_pings_to_tables_files_and_frames(world):
    monitor, pings = world.monitor, list(traffic())
    describe(world, *({"normandy_slug": s, "start_date": start} for s, start in SLUGS.items()))
    morning = [p for p in pings if p["submission_timestamp"] < "2021-01-25T09"]
    world.ingest(morning)
    monitor.run("hourly", at("2021-01-25T08:30"))
    monitor.run("live", at("2021-01-25T08:32"))
    early = reference.Played(
        morning,
        at("2021-01-25T08:32"),
        frozenset(),
        frozenset(hours_of("2021-01-25T00:00", 8)),
        START,
    )
    playing.assert_as_expected(monitor, early)
    monitor.export_active(at("2021-01-25T08:32"))
    assert_exported(world, early, early.as_of, {s: d for s, d in SLUGS.items() if d <= START})

    # Nothing runs for two days; then everything catches up.
    world.ingest(pings[len(morning) :])
    for cadence in ("daily", "hourly", "live"):
        monitor.run(cadence, NOW)
    hours = hours_of("2021-01-25T00:00", 8) | hours_of("2021-01-27T00:00", 4)
    now = played(pings, hours=hours)
    playing.assert_as_expected(monitor, now)
    first = monitor.export_active(NOW)
    assert_exported(world, now, NOW, SLUGS)
    assert set(first.experiments) == SLUGS.keys()
    # Again, nothing changes: no partition is written, no file either.
    before = playing.tables(monitor)
    assert monitor.run("daily", NOW).written == monitor.run("hourly", NOW).written == ()
    monitor.run("live", NOW)
    assert playing.tables(monitor) == before
    assert monitor.export_active(NOW).written == ()

    # A document comes late, and its day is final: that day alone is counted again.
    late = event_ping("2021-01-25T10:00:00Z", event("enroll", "exp", "late"), id="late")
    world.ingest([late])
    daily = monitor.run("daily", NOW)
    assert {step.partition.id for step in daily.plan.steps} == {"20210125"}
    monitor.run("live", NOW)
    later = played([*pings, late], hours=hours)
    playing.assert_as_expected(monitor, later)
    done = monitor.export_experiment("exp", as_of=NOW)
    assert done.written
    assert done.unchanged
    assert_exported(world, later, NOW, SLUGS)

    # A backfill changes what it writes, and the next live run what builds on it.
    before = playing.tables(monitor)
    done = monitor.backfill(START, START + DAY, as_of=NOW)
    assert len(done.written) == len(done.plan.steps) == 3 + 2 + 9
    assert playing.tables(monitor) == before
    monitor.run("live", NOW)
    playing.assert_as_expected(monitor, later)

    rows = reference.derived(later)["experiment_enrollment_overall"]
    frame = monitor.fetch_dataframe("experiment_enrollment_overall", "exp", "late")
    assert [tuple(row) for row in frame.to_numpy()] == [
        r for r in rows if r[1:3] == ("late", "exp")
    ]
    assert [str(dtype) for dtype in frame.dtypes] == ["datetime64[us, UTC]", "str", "str", "int64"]


@pytest.mark.parametrize("seed", [7])
def test_every_table_equals_the_reference_whatever_ran_when(world, seed):
    rng = random.Random(seed)
    pings = [p for p in traffic() if rng.random() < 0.7]
    schedules = playing.Schedules(START)
    world.ingest(pings)
    moments = [at("2021-01-25T00:00") + rng.randrange(1, 53 * 60) * MINUTE for _ in range(5)]
    for moment in sorted(moments):
        if rng.random() < 0.5:
            schedules.hourly(world.monitor, moment)
        if rng.random() < 0.5:
            schedules.daily(world.monitor, moment)
        world.monitor.run("live", moment)
    playing.assert_as_expected(world.monitor, schedules.played(pings, moment))
