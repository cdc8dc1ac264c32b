"""What a plan holds, as a pure function of what the engine holds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from expmon.catalog import RELATIONS
from expmon.catalog.health import TOTALS
from expmon.catalog.model import Cadence
from expmon.errors import InvalidTime, SourceMissing
from expmon.materialize.plan import backfill, plan
from expmon.materialize.run import levels
from expmon.materialize.schedule import Schedule, Settings
from expmon.warehouse.protocol import SourceState, State, Written
from expmon.windows import Partition
from playing import at

SETTINGS = Settings()
DAILY = "telemetry_derived.experiment_enrollment_aggregates_v1"
HOURLY = "telemetry_derived.experiment_enrollment_aggregates_hourly_v1"
RECENTS = "telemetry_derived.experiment_enrollment_aggregates_recents_v1"
BY_HOUR = "telemetry_derived.experiment_enrollment_aggregates_by_hour_v1"
SEARCH_DAILY = "telemetry_derived.experiment_search_aggregates_v1"
CLIENTS = "telemetry_derived.experiments_daily_active_clients_v1"
COUNT = "telemetry_derived.experiment_enrollment_overall_v1"
POPULATION = "telemetry_derived.experiment_enrollment_cumulative_population_estimate_v1"
ACTIVE = "telemetry_derived.experiment_enrollment_daily_active_population_v1"
EVENTS = ("telemetry_derived.event_events_v1", "telemetry_derived.main_events_v1")
SOURCES = {name for r in RELATIONS.values() if r.cadence for name in r.inputs} - {
    r.name for r in RELATIONS.values() if r.cadence
}
CLOCK = datetime(2021, 2, 1, tzinfo=UTC)


def written(second, as_of="2021-01-31T00:00", rows=1):
    """An entry of the memo whose job began at this second of the clock and ended at the next."""
    start = CLOCK + timedelta(seconds=second)
    return Written(start, start + timedelta(seconds=1), at(as_of), rows)


def sources(first, *, days=None, modified=None, **others):
    """Every source with the same first day."""
    state = SourceState(date.fromisoformat(first), modified or {}, days)
    return {name: others.get(name, state) for name in SOURCES}


def state(entries, given):
    """A state of ``{(relation, partition): entry}``."""
    found = {}
    for (name, partition), entry in entries.items():
        found.setdefault(name, {})[Partition(partition)] = entry
    return State(found, given)


def planned(cadence, as_of, given, name=None, settings=SETTINGS):
    """``partition: reason`` of a plan's steps of one relation, or the plan."""
    made = plan(Cadence(cadence), at(as_of), state=given, settings=settings)
    if name is None:
        return made
    return {s.partition.id: s.reason for s in made.steps if s.relation.name == name}


def final_days(name, *days):
    return {(name, day): written(number) for number, day in enumerate(days)}


def test_a_day_is_due_three_hours_after_its_end():
    empty = State({}, sources("2021-01-25"))
    assert planned("daily", "2021-01-26T02:59:59.999999", empty, DAILY) == {}
    due = planned("daily", "2021-01-26T03:00", empty, DAILY)
    assert due == {"20210125": "day 2021-01-25 is missing"}


def test_an_hour_is_due_half_an_hour_after_its_end():
    empty = State({}, sources("2021-01-25"))
    assert planned("hourly", "2021-01-25T01:29:59.999999", empty, HOURLY) == {}
    due = planned("hourly", "2021-01-25T01:30", empty, HOURLY)
    assert due == {"2021012500": "hour 2021-01-25T00 is missing"}


@pytest.mark.parametrize(("early", "is_due"), [(0, False), (1, True), (3600, True)])
def test_an_hour_that_was_written_before_it_was_over_is_written_again(early, is_due):
    # The engine's clock at the job's start; by the one that gave its as_of, it was 01:30.
    started = at("2021-01-25T01:00") - timedelta(seconds=early)
    entry = Written(started, started + timedelta(seconds=1), at("2021-01-25T01:30"), 1)
    given = state({(HOURLY, "2021012500"): entry}, sources("2021-01-25"))
    due = planned("hourly", "2021-01-25T01:59", given, HOURLY)
    reason = "hour 2021-01-25T00 was written before it was over"
    assert due == ({"2021012500": reason} if is_due else {})


def test_the_lags_are_configuration():
    empty = State({}, sources("2021-01-25"))
    quick = Settings(schedule=Schedule(day_lag=timedelta(0), hour_lag=timedelta(0)))
    assert list(planned("daily", "2021-01-26T00:00", empty, DAILY, quick)) == ["20210125"]
    assert list(planned("hourly", "2021-01-25T01:00", empty, HOURLY, quick)) == ["2021012500"]


def test_an_empty_table_begins_at_most_14_days_ago():
    old = State({}, sources("2020-06-01"))
    days = planned("daily", "2021-01-31T03:00", old, DAILY)
    assert list(days) == [f"202101{day}" for day in range(17, 31)]


def test_catch_up_reaches_back_to_a_tables_first_partition():
    entries = final_days(DAILY, "20201201", "20201203")
    days = planned("daily", "2020-12-06T03:00", state(entries, sources("2020-06-01")), DAILY)
    assert list(days) == ["20201202", "20201204", "20201205"]


def test_a_table_whose_memo_is_lost_is_written_again_from_its_first_day():
    given = State({}, sources("2020-06-01"), {DAILY: date(2020, 12, 1)})
    days = planned("daily", "2020-12-24T03:00", given, DAILY)
    assert list(days) == [f"202012{day:02}" for day in range(1, 24)]


def test_a_day_that_its_sources_no_longer_hold_is_reported_and_not_written():
    entries = final_days(DAILY, "20210101", "20210103")
    made = planned("daily", "2021-01-04T03:00", state(entries, sources("2021-01-03")))
    assert DAILY not in [s.relation.name for s in made.steps if s.partition.id == "20210102"]
    notes = [note for note in made.notes if note.startswith(DAILY)]
    assert [note.split(" no rows")[0] for note in notes] == [
        f"{DAILY}: day 2021-01-02 can't be counted any more: {name} has" for name in EVENTS
    ]


def test_a_day_waits_for_every_one_of_its_sources():
    here, late = frozenset({date(2021, 1, 25)}), frozenset({date(2021, 1, 24)})
    given = {name: SourceState(date(2021, 1, 24), {}, here) for name in SOURCES}
    given[EVENTS[1]] = SourceState(date(2021, 1, 24), {}, late)
    entries = final_days(DAILY, "20210124")
    made = planned("daily", "2021-01-26T03:00", state(entries, given))
    assert DAILY not in [s.relation.name for s in made.steps]
    assert f"{DAILY}: day 2021-01-25 can't be counted yet: {EVENTS[1]} lacks it" in made.notes
    declared = Settings(schedule=Schedule(empty_sources=frozenset({EVENTS[1]})))
    due = planned("daily", "2021-01-26T03:00", state(entries, given), DAILY, declared)
    assert list(due) == ["20210125"]


@pytest.mark.parametrize(("second", "stale"), [(9, False), (10, True), (11, True)])
def test_a_final_day_is_stale_when_a_source_changed_at_or_after_its_job_began(second, stale):
    changed = {date(2021, 1, 25): CLOCK + timedelta(seconds=second)}
    entries = {(DAILY, "20210125"): written(10)}
    given = state(entries, sources("2021-01-25", modified=changed))
    due = planned("daily", "2021-01-26T03:00", given, DAILY)
    reason = f"day 2021-01-25 of {', '.join(EVENTS)} has changed since it was counted"
    assert due == ({"20210125": reason} if stale else {})


def test_an_older_change_of_a_source_is_reported_with_the_command_that_takes_it_over():
    changed = {date(2021, 1, day): CLOCK + timedelta(days=1) for day in range(1, 20)}
    entries = final_days(DAILY, *(f"202101{day:02}" for day in range(1, 20)))
    given = state(entries, sources("2021-01-01", modified=changed))
    made = planned("daily", "2021-01-20T03:00", given)
    due = [s.partition.id for s in made.steps if s.relation.name == DAILY]
    assert due == [f"202101{day}" for day in range(13, 20)]  # the horizon is 7 days
    (note,) = [note for note in made.notes if note.startswith(DAILY)]
    assert "12 days from 2021-01-01 to 2021-01-12" in note
    assert note.endswith("expmon backfill 2021-01-01 2021-01-13")


def test_days_before_a_tables_first_that_a_source_got_lately_are_caught_up():
    changed = {date(2021, 1, 21): CLOCK + timedelta(days=1)}
    entries = final_days(DAILY, "20210124")
    given = state(entries, sources("2021-01-21", modified=changed))
    due = planned("daily", "2021-01-25T03:00", given, DAILY)
    assert list(due) == ["20210121", "20210122", "20210123"]


def test_hours_are_planned_only_for_days_that_are_not_final_and_at_most_13_days_old():
    entries = final_days(DAILY, "20210130")
    due = planned("hourly", "2021-02-01T01:30", state(entries, sources("2020-06-01")), HOURLY)
    days = {partition[:8] for partition in due}
    assert min(days) == "20210119"  # 13 days before
    assert "20210130" not in days
    assert max(due) == "2021020100"
    assert len(due) == 24 * 12 + 1


def test_hourly_and_daily_runs_do_what_was_due_however_late_they_are():
    entries = {(HOURLY, "2021012505"): written(1, as_of="2021-01-25T06:30")}
    due = planned("hourly", "2021-01-25T03:30", state(entries, sources("2021-01-25")), HOURLY)
    assert list(due) == ["2021012500", "2021012501", "2021012502"]


def test_a_live_run_older_than_the_last_one_does_nothing_and_says_so():
    entries = {(RECENTS, ""): written(1, as_of="2021-01-25T12:00")}
    given = state(entries, sources("2021-01-25"))
    made = planned("live", "2021-01-25T11:59", given)
    assert made.steps == ()
    assert made.notes == (
        "nothing to do: a live run as of 2021-01-25T12:00:00+00:00 has been here already",
    )
    assert planned("live", "2021-01-25T12:00", given).steps


def test_recents_start_at_the_first_hour_that_no_other_tier_has():
    entries = {(HOURLY, f"202101250{hour}"): written(hour) for hour in (0, 1, 2, 4)}
    made = planned("live", "2021-01-25T06:12", state(entries, sources("2021-01-25")))
    (step,) = [s for s in made.steps if s.relation.name == RECENTS]
    assert step.parameters == {"start": at("2021-01-25T03:00"), "end": at("2021-01-25T06:12")}
    assert step.destination == RECENTS


def steady(*, day=30, hours=6, live="2021-01-31T06:35"):
    """What is written after a night of every schedule, and one live run."""
    days = [f"202101{d}" for d in range(28, day + 1)]
    entries = {(name, d): written(1) for name in (DAILY, SEARCH_DAILY, CLIENTS) for d in days}
    for name in (HOURLY, HOURLY.replace("enrollment", "search")):
        entries |= {(name, f"20210131{hour:02}"): written(2) for hour in range(hours)}
    for name in (RECENTS, RECENTS.replace("enrollment", "search")):
        entries[name, ""] = written(3, as_of=live)
    for relation in RELATIONS.values():
        if relation.cadence is Cadence.LIVE and relation.partitioning:
            for second, d in enumerate([*days, "20210131"]):
                as_of = live if d == "20210131" else "2021-01-31T00:00"
                later = 20 if relation == TOTALS else 0  # after what they are computed from
                entries[relation.name, d] = written(10 + 2 * second + later, as_of=as_of)
    entries.pop((ACTIVE, "20210128"))
    return entries


def test_in_a_steady_state_a_live_run_writes_recents_and_today_alone():
    made = planned("live", "2021-01-31T06:40", state(steady(), sources("2021-01-28")))
    partitions = {s.partition.id for s in made.steps}
    assert partitions == {"", "20210131"}
    # Two recents; today of the derived tables, but for the active clients, which are a day's; and
    # the ratios, and health of today.
    assert len(made.steps) == 2 + 8 + 2
    assert planned("live", "2021-01-31T06:40", state(steady(), sources("2021-01-28")), COUNT) == {
        "20210131": "day 2021-01-31 was derived as of 2021-01-31T06:35, before it ended"
    }


def test_a_day_finalised_after_it_was_derived_is_stale_and_takes_cumulative_days_along():
    entries = steady() | {(DAILY, "20210129"): written(100)}
    given = state(entries, sources("2021-01-28"))
    stale = {"20210129": "day 2021-01-29 was finalised after it was derived"}
    counts = planned("live", "2021-01-31T06:40", given, COUNT)
    assert {k: v for k, v in counts.items() if k != "20210131"} == stale
    running = planned("live", "2021-01-31T06:40", given, POPULATION)
    assert running == {
        **stale,
        "20210130": "day 2021-01-29 is computed anew",
        "20210131": "day 2021-01-30 is computed anew",
    }


def test_a_day_whose_yesterday_was_computed_after_it_is_stale_though_a_run_broke_off_between():
    entries = steady() | {(POPULATION, "20210129"): written(100)}
    running = planned("live", "2021-01-31T06:40", state(entries, sources("2021-01-28")), POPULATION)
    assert running["20210130"] == "day 2021-01-29 was computed after day 2021-01-30 was"


def test_a_day_of_active_clients_is_stale_when_they_were_counted_again():
    entries = steady() | {(CLIENTS, "20210129"): written(100)}
    given = state(entries, sources("2021-01-28"))
    assert planned("live", "2021-01-31T06:40", given, ACTIVE) == {
        "20210130": "the clients of day 2021-01-29 were counted after day 2021-01-30 was derived"
    }


def test_an_hour_written_after_its_day_was_derived_makes_the_day_stale():
    entries = steady()
    for name in [name for name, _ in entries if name in (DAILY, SEARCH_DAILY)]:
        entries.pop((name, "20210130"), None)
    entries |= {(HOURLY, f"20210130{hour:02}"): written(2) for hour in range(24)}
    given = state(entries | {(HOURLY, "2021013007"): written(100)}, sources("2021-01-28"))
    due = planned("live", "2021-01-31T06:40", given, COUNT)
    assert due["20210130"] == "hour 2021-01-30T07 was written after day 2021-01-30 was derived"


def test_the_sums_by_the_hour_of_a_finalised_day_are_written_before_what_looks_back_at_them():
    entries = steady() | {(DAILY, "20210129"): written(100)}
    made = planned("live", "2021-01-31T06:40", state(entries, sources("2021-01-28")))
    place = {
        (s.relation.name, s.partition.id): n
        for n, group in enumerate(levels(made.steps))
        for s in group
    }
    assert place[BY_HOUR, "20210129"] < min(
        n for (name, _), n in place.items() if name == POPULATION
    )
    assert {key for key in place if key[0] == BY_HOUR} == {(BY_HOUR, "20210129")}


def test_sums_by_the_hour_are_written_for_the_days_that_are_looked_back_at():
    days = [date(2021, 1, 1) + n * timedelta(days=1) for n in range(30)]
    entries = {(DAILY, f"{day:%Y%m%d}"): written(1) for day in days}
    entries |= {(POPULATION, f"{d:%Y%m%d}"): written(3 + 2 * n) for n, d in enumerate(days)}
    given = state(entries, sources("2021-01-01"))
    assert planned("live", "2021-01-31T06:40", given, BY_HOUR) == {
        f"{day:%Y%m%d}": f"day {day} is missing" for day in days[-14:]
    }
    # With the 20th to be computed anew, cumulative series look back from there.
    given = state(entries | {(DAILY, "20210120"): written(200)}, sources("2021-01-01"))
    assert planned("live", "2021-01-31T06:40", given, BY_HOUR) == {
        f"{day:%Y%m%d}": f"day {day} is missing" for day in days[5:]
    }


def test_live_sources_make_nothing_stale():
    changed = {date(2021, 1, 31): CLOCK + timedelta(days=1)}
    given = state(steady(), sources("2021-01-28", modified=changed))
    assert planned("hourly", "2021-01-31T06:40", given).steps == ()


def test_a_backfill_writes_the_days_and_what_is_derived_of_them():
    given = State({}, sources("2021-01-01"))
    made = backfill(
        date(2021, 1, 10),
        date(2021, 1, 12),
        as_of=at("2021-01-20T00:00"),
        state=given,
        settings=SETTINGS,
    )
    partitions = {}
    for step in made.steps:
        partitions.setdefault(step.relation.name, []).append(step.partition.id)
    assert partitions.pop(ACTIVE) == ["20210111", "20210112"]
    assert set(map(tuple, partitions.values())) == {("20210110", "20210111")}
    assert len(partitions) == 3 + 2 + 8


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2021-01-12", "2021-01-12", "end 2021-01-12 is not after start 2021-01-12"),
        ("2021-01-12", "2021-01-11", "is not after"),
        ("2021-01-19", "2021-01-21", "day 2021-01-20 is not ready before 2021-01-21 03:00"),
    ],
)
def test_a_backfill_of_no_days_or_of_days_to_come_is_refused(start, end, message):
    with pytest.raises(InvalidTime, match=message):
        backfill(
            date.fromisoformat(start),
            date.fromisoformat(end),
            as_of=at("2021-01-20T12:00"),
            state=State({}, sources("2021-01-01")),
            settings=SETTINGS,
        )


def test_a_backfill_of_days_that_the_sources_have_lost_is_refused():
    with pytest.raises(SourceMissing, match="2020-12-31") as caught:
        backfill(
            date(2020, 12, 31),
            date(2021, 1, 2),
            as_of=at("2021-01-20T12:00"),
            state=State({}, sources("2021-01-01")),
            settings=SETTINGS,
        )
    assert caught.value.day == date(2020, 12, 31)
