"""Which day's totals hold, and which are to be written, from made-up states."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.health import POPULATION, TOTALS
from expmon.catalog.model import Names
from expmon.materialize.carried import carried_day, closing_day, first_day
from expmon.materialize.run import _is_tick
from expmon.materialize.step import Plan, step
from expmon.warehouse.protocol import SourceState, State, Written
from expmon.windows import DAY, Partition, hours

DAILY, HOURLY = ENROLLMENT.daily.name, ENROLLMENT.hourly.name
TODAY = date(2021, 1, 28)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def entry(began, took=timedelta(0)):
    return Written(began, began + took, began, 1)


def state(**tables):
    """By table and partition when it was written: each begins and ends at that moment."""
    names = {
        "daily": DAILY,
        "hourly": HOURLY,
        "population": POPULATION.table.name,
        "totals": TOTALS.name,
    }
    return State(
        {
            names[table]: {Partition(p): entry(at(moment)) for p, moment in given}
            for table, given in tables.items()
        }
    )


FINAL = [("20210125", "2021-01-26T03:00"), ("20210126", "2021-01-27T03:00")]
TOTALLED = [("20210125", "2021-01-26T03:05"), ("20210126", "2021-01-27T03:05")]


def test_without_totals_there_is_no_day():
    assert carried_day(TODAY, State()) is None
    assert carried_day(TODAY, state(daily=FINAL)) is None


def test_the_last_day_before_another_holds():
    given = state(daily=FINAL, totals=TOTALLED)
    assert carried_day(TODAY, given) == date(2021, 1, 26)
    assert carried_day(date(2021, 1, 26), given) == date(2021, 1, 25)
    assert carried_day(date(2021, 1, 25), given) is None


@pytest.mark.parametrize(
    ("table", "partition", "moment", "day"),
    [
        # Of the day itself, or of one before, once its totals had begun; or at that moment.
        ("population", "20210126", "2021-01-27T03:06", 25),
        ("population", "20210126", "2021-01-27T03:05", 25),
        ("population", "20210126", "2021-01-27T03:04", 26),
        ("hourly", "2021012623", "2021-01-27T03:06", 25),
        ("hourly", "2021012623", "2021-01-27T00:30", 26),
        ("population", "20210125", "2021-01-27T03:06", None),
        ("population", "20210125", "2021-01-26T04:00", 26),
        ("population", "20210110", "2021-01-27T12:00", None),
        ("population", "20210110", "2021-01-27T03:00", 26),
        # Of a later day.
        ("population", "20210127", "2021-01-28T12:00", 26),
        ("hourly", "2021012700", "2021-01-28T12:00", 26),
    ],
)
def test_a_day_holds_until_something_up_to_it_is_written(table, partition, moment, day):
    given = state(daily=FINAL, totals=TOTALLED, **{table: [(partition, moment)]})
    if day == 26 and partition == "20210125":
        # Those of the 25th are stale by then, those of the 26th were computed after it.
        assert carried_day(date(2021, 1, 26), given) is None
    found = carried_day(TODAY, given)
    assert (found.day if found else None) == day


def recents_from(moment):
    """Hours are written from midnight of the 26th up to a moment."""
    sources = {name: SourceState(date(2021, 1, 20), {}) for name in ENROLLMENT.recents.inputs}
    written = {
        Partition.of_hour(hour): entry(at("2021-01-28T02:10"))
        for hour in hours(at("2021-01-26"), moment)
    }
    return State({HOURLY: written}, sources)


@pytest.mark.parametrize(
    ("written_until", "as_of", "day"),
    [
        ("2021-01-28T00:00", "2021-01-28T00:35", 27),
        ("2021-01-27T23:00", "2021-01-28T00:05", 26),
        ("2021-01-27T23:00", "2021-01-28T12:00", 26),
        ("2021-01-28T11:00", "2021-01-28T12:02", 27),
    ],
)
def test_the_closing_day_is_the_last_that_is_over_and_in_no_recents(written_until, as_of, day):
    assert closing_day(at(as_of), recents_from(at(written_until))).day == day


def test_the_first_day_is_that_of_any_table():
    assert first_day(State()) is None
    assert first_day(state(daily=FINAL, hourly=[("2021012405", "2021-01-26T03:00")])).day == 24


def test_a_tick_over_three_days_stays_one_with_the_totals_of_the_day_before():
    moment, names = at("2021-01-28T12:00"), Names()

    def plan(*given):
        return Plan(
            "live",
            moment,
            tuple(
                step(relation, Partition.of_day(TODAY - n * DAY), moment, names=names, reason="")
                for relation, n in given
            ),
        )

    three = [(POPULATION.table, n) for n in range(3)]
    assert _is_tick(plan(*three))
    assert not _is_tick(plan(*three, (POPULATION.table, 3)))
    totals = [replace(one, relation=TOTALS) for one in plan((POPULATION.table, 3)).steps]
    assert _is_tick(Plan("live", moment, (*plan(*three).steps, *totals)))
