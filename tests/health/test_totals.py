"""What is stored of experiments up to a day, beside the same counted from their start."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import pytest

import expmon
import pings
import playing
from expmon.catalog import TIERS
from expmon.catalog.bookkeeping import PARTITIONS
from expmon.catalog.health import EVENTS, TOTALS
from expmon.catalog.sources import EXPERIMENTS
from expmon.health.assess import Reading
from expmon.health.totals import Span, Totals, gaps, rows_of
from expmon.health_settings import HealthSettings
from playing import DAY, HOUR, at

MEASURES = (*(f"{event}_count" for event in EVENTS), "compared", "expected", "log_null")
MONDAY, TUESDAY, WEDNESDAY = (at(f"2021-01-{day}T00:00") for day in (25, 26, 27))
NOON = WEDNESDAY + 12 * HOUR
AB = frozenset("ab")


# Python's part


def counted(**values):
    return Counter({name: values.get(name, 0) for name in MEASURES})


def row(slug, number, branch, **values):
    """A row of the query."""
    return {"experiment": slug, "number": number, "branch": branch, **counted(**values)}


def enrolled(found):
    return {
        slug: [{branch: of["enroll_count"] for branch, of in own.items()} for own in spans.values()]
        for slug, spans in found.items()
    }


def stored(spans, *rows):
    """The rows that are stored of these spans up to the end of Tuesday."""
    until = {slug: [b for s in own if (b := s.until(WEDNESDAY))] for slug, own in spans.items()}
    return rows_of(Totals.of(until, [], date(2021, 1, 24)).completed(rows))


def test_what_is_stored_is_gone_on_with_from_the_end_of_its_day():
    spans = {"exp": [Span(MONDAY, NOON, AB)]}
    before = stored(spans, row("exp", 0, "a", enroll_count=5, log_null=-3), row("exp", 0, "x"))
    totals = Totals.of(spans, before, date(2021, 1, 26))
    assert totals.remaining() == [
        {"slug": "exp", "number": 0, "start": WEDNESDAY, "finish": NOON, "branch": branch}
        for branch in "ab"
    ]
    rows = [row("exp", 0, "a", enroll_count=2, log_null=-4), row("exp", 0, "b", compared=1)]
    assert totals.completed(rows) == {
        "exp": {
            spans["exp"][0]: {"a": counted(enroll_count=7, log_null=-7), "b": counted(compared=1)}
        }
    }


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ([Span(MONDAY, NOON, AB)], 0),
        # Ended on Wednesday, or changed then.
        ([Span(MONDAY, WEDNESDAY, AB)], 0),
        ([Span(MONDAY, WEDNESDAY + HOUR, AB), Span(WEDNESDAY + HOUR, NOON, frozenset("a"))], 0),
        # Since an earlier day, with other branches, or with a change that was not known.
        ([Span(MONDAY - DAY, NOON, AB)], 1),
        ([Span(MONDAY, NOON, AB | {"c"})], 1),
        ([Span(MONDAY, TUESDAY, AB), Span(TUESDAY, NOON)], 1),
        ([Span(MONDAY, NOON)], 1),
        ([Span(MONDAY, WEDNESDAY - HOUR, AB)], 1),
        ([Span(WEDNESDAY, NOON, AB)], 1),
    ],
)
def test_an_experiment_is_counted_anew_if_other_times_or_branches_are_asked_for(asked, number):
    before = stored({"exp": [Span(MONDAY, NOON, AB)]}, row("exp", 0, "a", enroll_count=5))
    totals = Totals.of({"exp": asked}, before, date(2021, 1, 26))
    first = {"exp": [{"a": 5}, {}][number]}
    assert {s: own[0] for s, own in enrolled(totals.completed([])).items()} == first
    starts = {time["start"] for time in totals.remaining()}
    assert (min(starts, default=WEDNESDAY) == asked[0].start) is bool(number)


def test_times_without_a_count_and_names_of_any_kind_come_back_as_they_were():
    spans = {
        "": [Span(MONDAY, MONDAY + HOUR, frozenset({""})), Span(MONDAY + HOUR, NOON)],
        "quiet": [Span(MONDAY, NOON)],
        "new": [Span(WEDNESDAY, NOON, AB)],
    }
    rows = [row("", 0, "", enroll_count=1), row("", 1, "", enroll_count=2), row("", 1, "null")]
    before = stored(spans, *rows)
    # A row for the branch, one for the branch in the gap and one for the gap; one for the quiet.
    assert [r["branch"] for r in before] == ["", None, "", None]
    random.Random(1).shuffle(before)
    found = Totals.of(spans, before, date(2021, 1, 26))
    assert enrolled(found.completed([])) == {"": [{"": 1}, {"": 2}], "quiet": [{}], "new": [{}]}
    assert {time["start"] for time in found.remaining()} == {WEDNESDAY}


def test_gaps_are_what_no_span_has():
    spans = [Span(MONDAY + HOUR, TUESDAY, AB), Span(TUESDAY, TUESDAY + HOUR, AB)]
    assert gaps(spans, MONDAY, NOON) == [Span(MONDAY, MONDAY + HOUR), Span(TUESDAY + HOUR, NOON)]
    assert gaps(spans, MONDAY + HOUR, TUESDAY + HOUR) == []
    assert gaps([], MONDAY, NOON) == [Span(MONDAY, NOON)]


# The engine's


def plan(monitor, slug, ratios, **described):
    known = {"normandy_slug": slug, "start_date": MONDAY.date(), "type": "experiment", **described}
    known["branches"] = [{"slug": branch, "ratio": ratio} for branch, ratio in ratios.items()]
    monitor.warehouse.load(EXPERIMENTS, [known], key="normandy_slug")


METHODS = ("enroll", "enroll", "enroll", "unenroll", "unenroll", "graduate", "updateFailed")


def traffic(dice, start, end, number=150):
    span = (end - start) // timedelta(microseconds=1)
    return [
        pings.event_ping(
            (start + timedelta(microseconds=dice.randrange(span))).isoformat(),
            *[
                pings.event(
                    dice.choice(METHODS), dice.choice("ef"), dice.choice(("a", "b", None, "x"))
                )
            ]
            * dice.randint(1, 3),
        )
        for _ in range(number)
    ]


class Spy:
    """A warehouse that notes from when on totals are counted, and windows of hours are read."""

    def __init__(self, inner):
        self.inner, self.starts, self.windows = inner, [], {}

    def query(self, statement, parameters):
        if statement.name == "health_totals":
            self.starts.append(parameters["start"])
        if "since" in parameters:
            self.windows[statement.name] = parameters["since"]
        return self.inner.query(statement, parameters)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def observed(warehouse, settings, as_of):
    spy = Spy(warehouse)
    found = Reading(spy, settings, as_of).observed(None)
    assert len(spy.starts) <= 1
    return found, spy.starts[0] if spy.starts else None


def both_ways(path, directory, as_of, **health):
    """What is observed, which must be so without totals and sums, and since when it reads."""
    bare = shutil.copy(path, directory / "bare.duckdb")
    found = []
    for place in (path, bare):
        with expmon.connect(f"duckdb://{place}") as monitor:
            if place == bare:
                for relation in (TOTALS, *(tiers.by_hour for tiers in TIERS)):
                    monitor.warehouse._file.execute(f"DELETE FROM {relation.name}")
                    monitor.warehouse._file.execute(
                        f"DELETE FROM {PARTITIONS.name} WHERE relation = '{relation.name}'"
                    )
            settings = replace(monitor.settings, health=HealthSettings(**health))
            found.append(observed(monitor.warehouse, settings, as_of))
    (stored, since), (anew, _) = found
    assert stored == anew
    return stored, since


@pytest.fixture
def path(deployed_file, tmp_path):
    return shutil.copy(deployed_file, tmp_path / "totals.duckdb")


def run(path, as_of, *cadences):
    """Let schedules run, and give the days whose totals were written."""
    found = []
    with expmon.connect(f"duckdb://{path}") as monitor:
        for cadence in cadences:
            steps = monitor.run(cadence, as_of).plan.steps
            found += [step.partition.day.day for step in steps if step.relation == TOTALS]
    return found


@pytest.fixture
def played(path, tmp_path):
    """Monday is final, Tuesday's hours are written, and it is noon on Wednesday."""
    with expmon.connect(f"duckdb://{path}") as monitor:
        found = traffic(random.Random(7), MONDAY, NOON)
        found.append(pings.main_ping("2021-01-25T12:00:00Z", {"e": "a"}))
        playing.ingest(monitor, tmp_path / "pings.jsonl", found)
        plan(monitor, "e", {"a": 1, "b": 1})
    run(path, TUESDAY + 4 * HOUR, "daily", "hourly", "live")
    assert run(path, WEDNESDAY + 2 * HOUR, "hourly", "live") == [26]
    assert run(path, NOON, "hourly", "live") == []
    return path


def test_a_tick_counts_what_came_since_the_last_day_and_gets_the_same(played, tmp_path):
    assert both_ways(played, tmp_path, NOON)[1] == WEDNESDAY
    # Looked at from earlier moments, too: from Tuesday, whose end is not yet.
    assert both_ways(played, tmp_path, WEDNESDAY + 1 * HOUR)[1] == WEDNESDAY
    assert both_ways(played, tmp_path, TUESDAY + 20 * HOUR)[1] == TUESDAY


def test_a_day_that_is_written_anew_is_counted_until_its_totals_are(played, tmp_path):
    run(played, NOON, "daily")
    assert both_ways(played, tmp_path, NOON)[1] == TUESDAY
    assert run(played, NOON + HOUR, "live") == [26]
    assert both_ways(played, tmp_path, NOON + HOUR)[1] == WEDNESDAY
    with expmon.connect(f"duckdb://{played}") as monitor:
        monitor.backfill(MONDAY.date(), TUESDAY.date(), as_of=NOON + HOUR)
    assert both_ways(played, tmp_path, NOON + HOUR)[1] == MONDAY
    assert run(played, NOON + 2 * HOUR, "live") == [26]


def test_days_are_read_by_the_hour_up_to_the_first_that_was_written_since(played):
    def windows_since(as_of):
        with expmon.connect(f"duckdb://{played}") as monitor:
            spy = Spy(monitor.warehouse)
            Reading(spy, monitor.settings, as_of).observed(None)
        return spy.windows["health_hours"], spy.windows["health_searches"]

    assert windows_since(NOON) == (WEDNESDAY, WEDNESDAY)
    assert windows_since(TUESDAY + 20 * HOUR) == (TUESDAY, TUESDAY)
    run(played, NOON, "daily")
    assert windows_since(NOON) == (TUESDAY, TUESDAY)
    run(played, NOON + HOUR, "live")
    assert windows_since(NOON + HOUR) == (WEDNESDAY, WEDNESDAY)


def test_the_hours_that_recents_supply_are_no_part_of_totals(path, tmp_path):
    with expmon.connect(f"duckdb://{path}") as monitor:
        found = traffic(random.Random(8), MONDAY, TUESDAY + HOUR)
        playing.ingest(monitor, tmp_path / "pings.jsonl", found)
        plan(monitor, "e", {"a": 1, "b": 1})
    run(path, MONDAY + 23 * HOUR, "hourly", "live")
    late = TUESDAY + timedelta(minutes=7)
    assert run(path, late, "hourly", "live") == []
    assert both_ways(path, tmp_path, late)[1] == MONDAY
    later = TUESDAY + timedelta(minutes=32)
    assert run(path, later, "hourly", "live") == [25]
    assert both_ways(path, tmp_path, later)[1] == TUESDAY


def test_what_changes_of_the_past_is_counted_from_the_start(played, tmp_path):
    with expmon.connect(f"duckdb://{played}") as monitor:
        plan(monitor, "f", {"a": 2, "b": 1})  # whose metadata comes late
    found, since = both_ways(played, tmp_path, NOON)
    assert since == MONDAY
    assert [seen.experiment.slug for seen in found] == ["e", "f"]
    assert all(seen.phases[0].counts["a"].enroll > 10 for seen in found)
    assert run(played, NOON + HOUR, "live") == []
    # From the next day on they are among the totals.
    thursday = WEDNESDAY + DAY + 2 * HOUR
    assert run(played, thursday, "hourly", "live") == [27]
    assert both_ways(played, tmp_path, thursday)[1] == WEDNESDAY + DAY
    with expmon.connect(f"duckdb://{played}") as monitor:
        plan(monitor, "f", {"a": 2, "b": 1}, start_date=TUESDAY.date())
    assert both_ways(played, tmp_path, thursday)[1] == TUESDAY


def test_a_ramp_and_another_settling_time_give_the_same(played, tmp_path):
    with expmon.connect(f"duckdb://{played}") as monitor:
        plan(monitor, "e", {"a": 1, "b": 3})
        playing.ingest(
            monitor,
            tmp_path / "more.jsonl",
            traffic(random.Random(9), NOON + HOUR, NOON + 44 * HOUR),
        )
    run(played, NOON + HOUR, "live")
    friday = WEDNESDAY + 2 * DAY + 8 * HOUR
    assert run(played, friday, "daily", "hourly", "live") == [28]
    (seen,), since = both_ways(played, tmp_path, friday)
    assert since == WEDNESDAY + 2 * DAY
    assert [sum(c.enroll for c in p.counts.values()) > 5 for p in seen.phases] == [True, True]
    assert seen.between.enroll > 5
    (seen,), since = both_ways(played, tmp_path, friday, settling=timedelta(hours=3))
    assert since == MONDAY
    assert len(seen.phases) == 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_runs_at_any_time_and_changes_at_any_time_give_the_same(path, tmp_path, seed):
    dice, moment = random.Random(seed), MONDAY + 3 * HOUR
    with expmon.connect(f"duckdb://{path}") as monitor:
        found = traffic(dice, MONDAY, MONDAY + 6 * DAY, number=500)
        playing.ingest(monitor, tmp_path / "pings.jsonl", found)
        plan(monitor, "e", {"a": 1, "b": 1})
    began, enrolled = set(), 0
    while moment < MONDAY + 6 * DAY:
        with expmon.connect(f"duckdb://{path}") as monitor:
            if dice.random() < 0.2:
                ratios = {branch: dice.randint(0, 2) for branch in dice.choice(("ab", "abc", "a"))}
                plan(monitor, dice.choice("ef"), ratios, is_rollout=dice.random() < 0.1)
            for cadence in ("daily", "hourly", "live"):
                if cadence == "live" or dice.random() < 0.7:
                    monitor.run(cadence, moment)
        settling = timedelta(hours=dice.choice((24, 24, 24, 1)))
        seen, since = both_ways(path, tmp_path, moment, settling=settling)
        began.add(since)
        enrolled += sum(one.counted("enroll") for one in seen)
        moment += timedelta(minutes=dice.randint(5, 1200))
    # It went on from some days, and began anew at others.
    assert MONDAY in began
    assert len(began - {None}) > 3
    assert enrolled > 1000
