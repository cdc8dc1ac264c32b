"""Running twice, breaking off anywhere, losing the memo, rewriting days: the next run mends it."""

from __future__ import annotations

import itertools
import shutil
from datetime import date, timedelta

import pytest

import expmon
import playing
from expmon.errors import SourceMissing, WarehouseError
from pings import event, event_ping, main_ping
from playing import at

MEMO = "telemetry_derived.expmon_partitions_v1"
START = date(2021, 1, 25)
NOW = at("2021-01-27T05:02")


class Killed(BaseException):
    """The process is gone: no handler of errors sees it."""


def traffic():
    """Two days and a bit of enrollments and searches, some of them twice."""
    moments = [at("2021-01-25T00:00") + n * timedelta(minutes=37) for n in range(86)]
    for number, moment in enumerate(moments):
        branch, text = "ab"[number % 2], moment.isoformat()
        methods = ("enroll", "enroll", "unenroll", "update", "exposure")
        yield event_ping(text, event(methods[number % 5], branch=branch), id=f"e{number % 80}")
        yield main_ping(text, {"exp": branch}, searches={"a": str(number)}, id=f"m{number % 80}")


@pytest.fixture
def pings():
    return list(traffic())


@pytest.fixture
def loaded_file(warehouse_file, tmp_path, pings):
    """A warehouse in which a morning has been played, and then nothing for two days."""
    with expmon.connect(f"duckdb://{warehouse_file}") as monitor:
        playing.ingest(monitor, tmp_path / "pings.json", pings)
        monitor.run("hourly", at("2021-01-25T08:30"))
        monitor.run("live", at("2021-01-25T08:32"))
    return warehouse_file


def run_all(monitor, **options):
    for cadence in ("daily", "hourly", "live"):
        monitor.run(cadence, NOW, **options)


def expected(pings):
    """What all runs as of `NOW` must give."""
    hours = {at("2021-01-25T00:00") + n * timedelta(hours=1) for n in range(8)}
    hours |= {at("2021-01-27T00:00") + n * timedelta(hours=1) for n in range(4)}
    final = frozenset({START, date(2021, 1, 26)})
    return playing.reference.Played(pings, NOW, final, frozenset(hours), START)


def test_any_run_twice_leaves_every_table_unchanged(loaded_file, pings):
    with expmon.connect(f"duckdb://{loaded_file}") as monitor:
        run_all(monitor)
        playing.assert_as_expected(monitor, expected(pings))
        before = playing.tables(monitor)
        for cadence in ("daily", "hourly"):
            assert monitor.run(cadence, NOW).written == ()
        for cadence in itertools.permutations(("live", "daily", "hourly")):
            monitor.run(cadence[0], NOW)
        assert playing.tables(monitor) == before


def test_a_run_killed_between_any_two_steps_is_repaired_by_the_next(loaded_file, tmp_path, pings):
    points = 0
    for number in itertools.count():
        path = shutil.copy(loaded_file, tmp_path / "killed.duckdb")
        steps = itertools.count()

        def die(_, steps=steps, number=number):
            if next(steps) == number:
                raise Killed

        with expmon.connect(f"duckdb://{path}") as monitor:
            try:
                run_all(monitor, progress=die)
                break
            except Killed:
                points += 1
        with expmon.connect(f"duckdb://{path}") as monitor:
            run_all(monitor)
            playing.assert_as_expected(monitor, expected(pings))
    # Two days of three daily tables, four hours of two, recents, and the days of derived ones.
    assert points >= 6 + 8 + 2 + 9


class AtOnce:
    """A warehouse whose steps of a level are written whatever becomes of the others."""

    def __init__(self, inner, failing):
        self.inner, self.failing, self.failed = inner, failing, 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def write(self, writes):
        done, error = [], None
        for write in writes:
            if (write.relation.name, write.partition.id) == self.failing:
                self.failed += 1
                error = WarehouseError("this job has failed")
            else:
                done += self.inner.write([write])
        if error is not None:
            raise error
        return iter(done)


FIRSTS = {
    "daily": "telemetry_derived.experiment_enrollment_aggregates_v1$20210125",
    "hourly": "telemetry_derived.experiment_search_aggregates_hourly_v1$2021012500",
    "live": "telemetry_derived.experiment_enrollment_overall_v1$20210125",
}


@pytest.mark.parametrize("cadence", FIRSTS)
def test_a_first_partition_that_fails_beside_others_is_written_by_the_next_run(
    warehouse_file, tmp_path, pings, cadence
):
    others = [kind for kind in FIRSTS if kind != cadence]
    with expmon.connect(f"duckdb://{warehouse_file}") as monitor:
        playing.ingest(monitor, tmp_path / "pings.json", pings)
    undisturbed = shutil.copy(warehouse_file, tmp_path / "undisturbed.duckdb")
    with expmon.connect(f"duckdb://{undisturbed}") as monitor:
        for kind in (cadence, *others):
            monitor.run(kind, NOW)
        wanted = playing.tables(monitor)
    with expmon.connect(f"duckdb://{warehouse_file}") as monitor:
        at_once = AtOnce(monitor.warehouse, tuple(FIRSTS[cadence].split("$")))
        with pytest.raises(WarehouseError, match="this job has failed"):
            expmon.Monitor(at_once, None, monitor.settings).run(cadence, NOW)
        for kind in (cadence, *others):
            monitor.run(kind, NOW)
        assert playing.tables(monitor) == wanted
    assert at_once.failed == 1


def test_a_write_that_fails_at_any_statement_changes_nothing(loaded_file, pings):
    with expmon.connect(f"duckdb://{loaded_file}") as monitor:
        before, memo = playing.tables(monitor), playing.rows(monitor, MEMO)
        database = monitor.warehouse._file
        execute, failures = database.execute, 0
        for number in itertools.count():
            statements = itertools.count()

            def fail(sql, *args, statements=statements, number=number, **options):
                if sql not in {"BEGIN", "COMMIT", "ROLLBACK"} and next(statements) == number:
                    raise WarehouseError("the disk is full")
                execute(sql, *args, **options)

            database.execute = fail
            try:
                monitor.run("daily", NOW)
                break
            except WarehouseError:
                failures += 1
            finally:
                database.execute = execute
            found, remembered = playing.tables(monitor), playing.rows(monitor, MEMO)
            assert (found == before) == (remembered == memo)
            before, memo = found, remembered
        # At each of the first step's five statements, and once in each of the five other steps.
        assert failures >= 5 + 5
        run_all(monitor)
        playing.assert_as_expected(monitor, expected(pings))


def test_losing_the_memo_costs_a_rewrite_and_nothing_else(loaded_file, pings):
    with expmon.connect(f"duckdb://{loaded_file}") as monitor:
        run_all(monitor)
        before = playing.tables(monitor)
        monitor.warehouse._file.execute(f"DELETE FROM {MEMO}")
        run_all(monitor)
        playing.assert_as_expected(monitor, expected(pings))
        assert playing.tables(monitor) == before


def test_a_late_document_of_a_final_day_is_taken_over_by_daily_and_live_runs(
    loaded_file, tmp_path, pings
):
    with expmon.connect(f"duckdb://{loaded_file}") as monitor:
        run_all(monitor)
        late = [event_ping("2021-01-25T10:00:00Z", event("enroll", "late"), id="late")]
        playing.ingest(monitor, tmp_path / "late.json", late)
        daily = monitor.run("daily", NOW)
        assert {s.partition.id for s in daily.plan.steps} == {"20210125"}
        assert all("has changed since it was counted" in s.reason for s in daily.plan.steps)
        monitor.run("live", NOW)
        playing.assert_as_expected(monitor, expected([*pings, *late]))


def test_older_days_that_arrive_lately_are_caught_up(loaded_file, tmp_path, pings):
    with expmon.connect(f"duckdb://{loaded_file}") as monitor:
        run_all(monitor)
        early = [event_ping("2021-01-22T10:00:00Z", event("enroll"), id="early")]
        playing.ingest(monitor, tmp_path / "early.json", early)
        run_all(monitor)
        played = expected([*pings, *early])
        days = frozenset(START - timedelta(days=n) for n in range(-1, 4))
        played = playing.reference.Played(
            played.pings, NOW, days, played.written_hours, START - timedelta(days=3)
        )
        playing.assert_as_expected(monitor, played)


def test_a_backfill_changes_what_it_writes_and_the_next_live_run_what_builds_on_it(
    loaded_file, tmp_path, pings
):
    with expmon.connect(f"duckdb://{loaded_file}") as monitor:
        run_all(monitor)
        before = playing.tables(monitor)
        done = monitor.backfill(START, START + timedelta(days=1), as_of=NOW)
        assert len(done.written) == len(done.plan.steps) == 3 + 2 + 9
        assert playing.tables(monitor) == before
        live = monitor.plan("live", NOW)
        population = "telemetry_derived.experiment_enrollment_cumulative_population_estimate_v1"
        reasons = {s.partition.id: s.reason for s in live.steps if s.relation.name == population}
        assert reasons["20210126"] == "day 2021-01-25 was computed after day 2021-01-26 was"
        monitor.run("live", NOW)
        playing.assert_as_expected(monitor, expected(pings))


def test_a_backfill_never_empties_a_day_that_the_sources_have_lost(loaded_file):
    with expmon.connect(f"duckdb://{loaded_file}") as monitor:
        run_all(monitor)
        for source in ("event_v4", "main_v4"):
            monitor.warehouse._file.execute(
                f"DELETE FROM telemetry_live.{source} WHERE submission_timestamp < $end",
                {"end": at("2021-01-26T00:00")},
            )
        before = playing.tables(monitor)
        with pytest.raises(SourceMissing, match="2021-01-25"):
            monitor.backfill(START, START + timedelta(days=1), as_of=NOW)
        assert playing.tables(monitor) == before


def test_a_live_run_that_comes_late_changes_nothing(loaded_file, pings):
    with expmon.connect(f"duckdb://{loaded_file}") as monitor:
        run_all(monitor)
        done = monitor.run("live", NOW - timedelta(minutes=5))
        assert done.written == ()
        assert "has been here already" in done.plan.notes[0]
        playing.assert_as_expected(monitor, expected(pings))


def test_hours_that_recents_supplied_and_lost_are_gone_from_the_derived_days_too(
    loaded_file, pings
):
    # Hourly and daily runs are broken for days: after 48 hours recents let go of what they had.
    with expmon.connect(f"duckdb://{loaded_file}") as monitor:
        hours = frozenset(at("2021-01-25T00:00") + n * timedelta(hours=1) for n in range(8))
        for moment in ("2021-01-26T12:00", "2021-01-27T09:03", "2021-01-28T01:17"):
            monitor.run("live", at(moment))
            played = playing.reference.Played(pings, at(moment), frozenset(), hours, START)
            playing.assert_as_expected(monitor, played)
