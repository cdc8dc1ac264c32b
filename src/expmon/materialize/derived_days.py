"""Which days of the derived datasets, and of the sums by the hour, a live run has to compute."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from expmon.catalog.model import Series
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.materialize.step import Step, step
from expmon.statements.derived import AWAKE_DAYS
from expmon.windows import DAY, HOUR, Partition, day_start, days, floor, hours, latest_window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from expmon.catalog.model import Dataset, Names, Tiers
    from expmon.warehouse.protocol import State, Written

RECENTS_REACH = timedelta(hours=48)
LOOK_BACK = AWAKE_DAYS * DAY
"""Of so many days before today there are sums by the hour: one more than cumulative series need."""


def recents_start(
    tiers: Tiers, as_of: datetime, state: State, *, before: datetime | None = None
) -> datetime:
    """The first hour within the last 48 hours that no other tier has been written for.

    Days before the sources' first one have nothing to show, and are passed over.

    Args:
        tiers: which aggregates.
        as_of: of the run that writes, or wrote, recents.
        state: what the engine holds.
        before: only what had been written before this moment counts.
    """

    def is_written(entry: Written | None) -> bool:
        return entry is not None and (before is None or entry.modified_at < before)

    hourly, daily = state.partitions(tiers.hourly), state.partitions(tiers.daily)
    start = floor(as_of - RECENTS_REACH, HOUR)
    firsts = [state.sources[name].first_day for name in tiers.recents.inputs]
    known = [day for day in firsts if day is not None]
    start = max(start, day_start(min(known))) if known else as_of
    while start < as_of:
        if is_written(daily.get(Partition.of_day(start.date()))):
            start = day_start(start.date() + DAY)
        elif is_written(hourly.get(Partition.of_hour(start))):
            start += HOUR
        else:
            break
    return min(start, as_of)


def derived_steps(dataset: Dataset, as_of: datetime, state: State, *, names: Names) -> list[Step]:
    """The days of the dataset that are missing or stale, in order."""
    steps: list[Step] = []
    written = state.partitions(dataset.table)
    for day in _days(dataset, as_of, state):
        entry = written.get(Partition.of_day(day))
        is_anew = bool(steps) and steps[-1].partition.day == day - DAY
        if entry is None:
            reason: str | None = f"day {day} is missing"
        elif dataset.series is Series.CUMULATIVE and is_anew:
            reason = f"day {day - DAY} is computed anew"
        elif dataset.tiers is None:
            reason = _new_clients(day, entry, state)
        else:
            reason = _new_opening(dataset, day, entry, state) or _new_aggregates(
                dataset.tiers, day, entry, as_of=as_of, state=state
            )
        if reason:
            steps.append(
                step(dataset.table, Partition.of_day(day), as_of, names=names, reason=reason)
            )
    return steps


def looked_back_at(
    tiers: Tiers, steps: Sequence[Step], as_of: datetime, state: State, *, names: Names
) -> list[Step]:
    """What the steps of cumulative series look back at, as far as it is missing or stale.

    Args:
        tiers: of which aggregates.
        steps: of any derived datasets.
        as_of: of the run.
        state: what the engine holds.
        names: where the tables lie.
    """
    computed = [s.partition.day for s in steps if tiers.by_hour.name in s.relation.inputs]
    if not computed:
        return []
    start = max(min(computed) - LOOK_BACK, _first_day(tiers, as_of, state))
    return [
        step(tiers.by_hour, Partition.of_day(day), as_of, names=names, reason=reason)
        for day in days(start, max(computed))
        if (reason := _not_by_hour(tiers, day, as_of, state))
    ]


def by_hour_until(tiers: Tiers, start: date, as_of: datetime, state: State) -> date:
    """Up to which day the sums by the hour hold from ``start`` on, at most to that of ``as_of``."""
    # Days before the first that was counted hold: they are empty.
    since, until = max(start, _first_day(tiers, as_of, state)), as_of.date()
    return next((d for d in days(since, until) if _not_by_hour(tiers, d, as_of, state)), until)


def _not_by_hour(tiers: Tiers, day: date, as_of: datetime, state: State) -> str | None:
    """Why the sums by the hour of a day that is over are not there, or don't hold any more."""
    entry = state.partitions(tiers.by_hour).get(Partition.of_day(day))
    if entry is None:
        return f"day {day} is missing"
    return _new_aggregates(tiers, day, entry, as_of=as_of, state=state)


def _days(dataset: Dataset, as_of: datetime, state: State) -> Iterator[date]:
    """The days that the dataset can have, from its inputs' first one to the latest window's."""
    if dataset.tiers is None:
        counted = sorted(p.day + DAY for p in state.partitions(ACTIVE_CLIENTS))
        yield from (day for day in counted if day_start(day) <= as_of)
        return
    first = _first_day(dataset.tiers, as_of, state)
    own = state.first_day(dataset.table) or first
    yield from days(min(first, own), latest_window(as_of).date() + DAY)


def _first_day(tiers: Tiers, as_of: datetime, state: State) -> date:
    """The first day that any of the tiers supplies."""
    firsts = [state.first_day(tiers.daily), state.first_day(tiers.hourly)]
    recents_from = recents_start(tiers, as_of, state).date()
    return min([recents_from, *(day for day in firsts if day is not None)])


def _new_clients(day: date, entry: Written, state: State) -> str | None:
    clients = state.partitions(ACTIVE_CLIENTS)[Partition.of_day(day - DAY)]
    if clients.modified_at >= entry.started_at:
        return f"the clients of day {day - DAY} were counted after day {day} was derived"
    return None


def _new_opening(dataset: Dataset, day: date, entry: Written, state: State) -> str | None:
    """Whether the day before was written at or after the day's own job began."""
    if dataset.series is not Series.CUMULATIVE:
        return None
    opening = state.partitions(dataset.table).get(Partition.of_day(day - DAY))
    if opening is not None and opening.modified_at >= entry.started_at:
        return f"day {day - DAY} was computed after day {day} was"
    return None


def _new_aggregates(
    tiers: Tiers, day: date, entry: Written, *, as_of: datetime, state: State
) -> str | None:
    """Why the aggregates of the day may be others than when its own job began."""
    if entry.as_of < min(as_of, day_start(day + DAY)):
        return f"day {day} was derived as of {entry.as_of:%Y-%m-%dT%H:%M}, before it ended"
    if recents_start(tiers, as_of, state).date() <= day:
        return f"recents supply day {day}"
    return _changed_input(tiers, day, entry, state)


def _changed_input(tiers: Tiers, day: date, entry: Written, state: State) -> str | None:
    """The first input of the day that was written at or after the day's own job began."""
    since = entry.started_at
    final = state.partitions(tiers.daily).get(Partition.of_day(day))
    if final is not None and final.modified_at >= since:
        return f"day {day} was finalised after it was derived"
    if final is not None and final.rows:
        return None
    hourly = state.partitions(tiers.hourly)
    for start in hours(day_start(day), day_start(day + DAY)):
        partition = Partition.of_hour(start)
        hour = hourly.get(partition)
        if hour is not None and hour.modified_at >= since:
            return f"{partition} was written after day {day} was derived"
    if recents_start(tiers, entry.as_of, state, before=since).date() <= day:
        return f"recents supplied day {day} when it was derived, and no longer do"
    return None
