"""Which days of the derived datasets a live run has to compute."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from expmon.catalog.model import Series
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.materialize.step import Step, step
from expmon.windows import DAY, HOUR, Partition, day_start, days, floor, hours, latest_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from expmon.catalog.model import Dataset, Names, Tiers
    from expmon.warehouse.protocol import State, Written

RECENTS_REACH = timedelta(hours=48)


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
    recents_from = recents_start(dataset.tiers, as_of, state).date() if dataset.tiers else None
    for day in _days(dataset, as_of, state, recents_from):
        entry = written.get(Partition.of_day(day))
        is_anew = bool(steps) and steps[-1].partition.day == day - DAY
        if entry is None:
            reason: str | None = f"day {day} is missing"
        elif dataset.series is Series.CUMULATIVE and is_anew:
            reason = f"day {day - DAY} is computed anew"
        elif dataset.tiers is None or recents_from is None:
            reason = _new_clients(day, entry, state)
        elif entry.as_of < min(as_of, day_start(day + DAY)):
            reason = f"day {day} was derived as of {entry.as_of:%Y-%m-%dT%H:%M}, before it ended"
        elif recents_from <= day:
            reason = f"recents supply day {day}"
        else:
            reason = _changed_input(dataset, dataset.tiers, day, entry=entry, state=state)
        if reason:
            steps.append(
                step(dataset.table, Partition.of_day(day), as_of, names=names, reason=reason)
            )
    return steps


def _days(
    dataset: Dataset, as_of: datetime, state: State, recents_from: date | None
) -> Iterator[date]:
    """The days that the dataset can have, from its inputs' first one to the latest window's."""
    if dataset.tiers is None or recents_from is None:
        counted = sorted(p.day + DAY for p in state.partitions(ACTIVE_CLIENTS))
        yield from (day for day in counted if day_start(day) <= as_of)
        return
    tables = (dataset.tiers.daily, dataset.tiers.hourly, dataset.table)
    known = [day for table in tables if (day := state.first_day(table)) is not None]
    yield from days(min([*known, recents_from]), latest_window(as_of).date() + DAY)


def _new_clients(day: date, entry: Written, state: State) -> str | None:
    clients = state.partitions(ACTIVE_CLIENTS)[Partition.of_day(day - DAY)]
    if clients.modified_at >= entry.started_at:
        return f"the clients of day {day - DAY} were counted after day {day} was derived"
    return None


def _changed_input(
    dataset: Dataset, tiers: Tiers, day: date, *, entry: Written, state: State
) -> str | None:
    """The first input of the day that was written at or after the day's own job began."""
    since = entry.started_at
    if dataset.series is Series.CUMULATIVE:
        opening = state.partitions(dataset.table).get(Partition.of_day(day - DAY))
        if opening is not None and opening.modified_at >= since:
            return f"day {day - DAY} was computed after day {day} was"
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
