"""What must be written, in which order and why: a pure function of what the engine holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from expmon.catalog import DATASETS, RELATIONS, TIERS
from expmon.catalog.health import POPULATION, TOTALS
from expmon.catalog.model import Cadence, Names, Relation, Series
from expmon.errors import InvalidTime, SourceMissing
from expmon.materialize.carried import carried_day, closing_day, first_day
from expmon.materialize.derived_days import derived_steps, looked_back_at, recents_start
from expmon.materialize.step import Plan, Step, health_steps, recents_step, step
from expmon.windows import DAY, HOUR, Partition, day_start, days, hours

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from expmon.materialize.schedule import Schedule, Settings
    from expmon.warehouse.protocol import State

DAILY_TABLES = tuple(r for r in RELATIONS.values() if r.cadence is Cadence.DAILY)
HOURLY_DAYS = 13
"""Hours are written only of days at most this old, since hourly partitions expire."""
_TICK = timedelta(microseconds=1)


def plan(cadence: Cadence, as_of: datetime, *, state: State, settings: Settings) -> Plan:
    """What a run of the cadence has to write."""
    planners = {Cadence.DAILY: _daily, Cadence.HOURLY: _hourly, Cadence.LIVE: _live}
    given = _Given(as_of, state, settings.names, settings.schedule)
    steps = planners[cadence](given)
    return Plan(cadence.value, as_of, tuple(steps), tuple(given.notes))


def backfill(start: date, end: date, *, as_of: datetime, state: State, settings: Settings) -> Plan:
    """Write the days of ``[start, end)`` anew: the daily tables and what is derived of them.

    The days after them, as far as they build on these, are computed anew by the next live run.

    Raises:
        InvalidTime: the end is not after the start, or a day is not ready.
        SourceMissing: a source has no rows of a day any more; writing it would lose what is there.
    """
    if end <= start:
        raise InvalidTime(f"nothing to backfill: end {end} is not after start {start}")
    lag = settings.schedule.day_lag
    ready = (as_of - lag).date()
    if end > ready:
        raise InvalidTime(
            f"day {end - DAY} is not ready before {day_start(end) + lag}; "
            f"end at {ready} at the latest"
        )
    given = _Given(as_of, state, settings.names, settings.schedule)
    for relation in DAILY_TABLES:
        for day in days(start, end):
            if lacking := given.lacking(relation, day):
                raise SourceMissing(relation.name, day, lacking)
    reason = "day {} is backfilled"
    steps = [
        given.step_of_day(relation, day, reason.format(day))
        for relation in DAILY_TABLES
        for day in days(start, end)
    ]
    derived = []
    for dataset in DATASETS.values():
        shift = DAY if dataset.series is Series.DAILY else timedelta(0)
        derived += [
            given.step_of_day(dataset.table, day, reason.format(day - shift))
            for day in days(start + shift, end + shift)
        ]
    for tiers in TIERS:
        looked_at = looked_back_at(tiers, derived, as_of, state, names=settings.names)
        steps += [one for one in looked_at if one.partition.day < start]
        steps += [
            given.step_of_day(tiers.by_hour, day, reason.format(day)) for day in days(start, end)
        ]
    return Plan("backfill", as_of, (*steps, *derived))


@dataclass(frozen=True, slots=True)
class _Given:
    """What a plan is made of, and the notes that come up while it is made."""

    as_of: datetime
    state: State
    names: Names
    schedule: Schedule
    notes: list[str] = field(default_factory=list)

    def step_of_day(self, relation: Relation, day: date, reason: str) -> Step:
        return step(relation, Partition.of_day(day), self.as_of, names=self.names, reason=reason)

    def first_source_day(self, relation: Relation) -> date | None:
        """The first day of the relation's sources, at most ``catch_up`` ago."""
        firsts = [self.state.sources[name].first_day for name in relation.inputs]
        known = [day for day in firsts if day is not None]
        oldest = self.as_of.date() - self.schedule.catch_up
        return max(min(known), oldest) if known else None

    def lacking(self, relation: Relation, day: date) -> list[str]:
        """The sources without which the day can't be written: it isn't there yet, or no longer.

        Sources of an engine that always has every day lack one that is older than all their rows.
        """
        sources = {name: self.state.sources[name] for name in relation.inputs}
        oldest = [s.first_day for s in sources.values() if s.first_day is not None]
        if not oldest or day < min(oldest):
            return list(sources)
        return [
            name
            for name, source in sources.items()
            if source.days is not None
            and day not in source.days
            and name not in self.schedule.empty_sources
        ]

    def is_gone(self, source: str, day: date) -> bool:
        """Whether the source's rows begin after the day, so that it won't have it any more."""
        first = self.state.sources[source].first_day
        return first is None or day < first


def _daily(given: _Given) -> list[Step]:
    return [s for relation in DAILY_TABLES for s in _days_of(relation, given)]


def _days_of(relation: Relation, given: _Given) -> Iterator[Step]:
    """The days of a daily table that are missing or stale, in order."""
    ready = (given.as_of - given.schedule.day_lag).date()
    horizon = given.as_of.date() - given.schedule.source_horizon
    written = given.state.partitions(relation)
    first = given.state.first_day(relation) or given.first_source_day(relation)
    if first is None:
        return
    waiting: dict[str, list[date]] = {}
    outdated: dict[str, list[date]] = {}
    began = min((entry.started_at for entry in written.values()), default=None)
    earlier = (d for d in days(horizon, first) if _changed_sources(relation, d, began, given))
    for day in days(next(earlier, first), ready):
        entry = written.get(Partition.of_day(day))
        changed = _changed_sources(relation, day, entry.started_at if entry else None, given)
        if entry is None:
            lacking = given.lacking(relation, day)
            for name in lacking:
                waiting.setdefault(name, []).append(day)
            if not lacking:
                yield given.step_of_day(relation, day, f"day {day} is missing")
        elif changed and day >= horizon:
            reason = f"day {day} of {', '.join(changed)} has changed since it was counted"
            yield given.step_of_day(relation, day, reason)
        elif changed:
            outdated.setdefault(", ".join(changed), []).append(day)
    given.notes.extend(_notes(relation, waiting, outdated, given))


def _changed_sources(
    relation: Relation, day: date, since: datetime | None, given: _Given
) -> list[str]:
    """The sources whose rows of the day were written at or after that moment."""
    if since is None:
        return []
    times = {name: given.state.sources[name].modified.get(day) for name in relation.inputs}
    return [name for name, modified_at in times.items() if modified_at and modified_at >= since]


def _notes(
    relation: Relation,
    waiting: dict[str, list[date]],
    outdated: dict[str, list[date]],
    given: _Given,
) -> Iterator[str]:
    for source, late in waiting.items():
        gone = [day for day in late if given.is_gone(source, day)]
        due = [day for day in late if not given.is_gone(source, day)]
        if gone:
            yield (
                f"{relation.name}: {_range(gone)} can't be counted any more: {source} has no rows "
                "as old as that"
            )
        if due:
            yield f"{relation.name}: {_range(due)} can't be counted yet: {source} lacks it"
    for sources, old in outdated.items():
        yield (
            f"{relation.name}: {_range(old)} of {sources} changed after it was counted, too long "
            f"ago to be taken over by itself: expmon backfill {old[0]} {old[-1] + DAY}"
        )


def _range(found: Sequence[date]) -> str:
    if len(found) == 1:
        return f"day {found[0]}"
    return f"{len(found)} days from {found[0]} to {found[-1]}"


def _hourly(given: _Given) -> list[Step]:
    return [s for tiers in TIERS for s in _hours_of(tiers.hourly, tiers.daily, given)]


def _hours_of(relation: Relation, daily: Relation, given: _Given) -> Iterator[Step]:
    """The hours that are missing, of days that are not final.

    One that was written before it was over, by the engine's clock, is not done: the ``as_of`` came
    from a clock that was ahead.
    """
    first = given.first_source_day(relation)
    if first is None:
        return
    written = given.state.partitions(relation)
    final = {partition.day for partition in given.state.partitions(daily)}
    oldest = given.as_of.date() - timedelta(days=HOURLY_DAYS)
    # An hour is ready some time after its end.
    ready = given.as_of - given.schedule.hour_lag - HOUR + _TICK
    for hour in hours(day_start(max(first, oldest)), ready):
        partition = Partition.of_hour(hour)
        entry = written.get(partition)
        if hour.date() in final or (entry is not None and entry.started_at >= partition.end):
            continue
        reason = f"{partition} {'was written before it was over' if entry else 'is missing'}"
        yield step(relation, partition, given.as_of, names=given.names, reason=reason)


def _live(given: _Given) -> list[Step]:
    written = [given.state.partitions(tiers.recents).get(Partition.whole()) for tiers in TIERS]
    newest = max((entry.as_of for entry in written if entry is not None), default=given.as_of)
    if newest > given.as_of:
        given.notes.append(
            f"nothing to do: a live run as of {newest.isoformat()} has been here already"
        )
        return []
    steps = []
    for tiers in TIERS:
        start = recents_start(tiers, given.as_of, given.state)
        steps.append(recents_step(tiers.recents, start, given.as_of, names=given.names))
    derived = [
        one
        for dataset in DATASETS.values()
        for one in derived_steps(dataset, given.as_of, given.state, names=given.names)
    ]
    for tiers in TIERS:
        steps += looked_back_at(tiers, derived, given.as_of, given.state, names=given.names)
    steps += derived
    return [*steps, *health_steps(given.as_of, _totals(given, steps), names=given.names)]


def _totals(given: _Given, steps: Sequence[Step]) -> tuple[date, str] | None:
    """The day whose totals are missing, or stale now or once the steps have been written."""
    day, first = closing_day(given.as_of, given.state), first_day(given.state)
    if first is None or day < first:
        return None
    if Partition.of_day(day) not in given.state.partitions(TOTALS):
        return day, f"day {day} is missing"
    changes = any(s.relation == POPULATION.table and s.partition.day <= day for s in steps)
    if changes or carried_day(day + DAY, given.state) != day:
        return day, f"day {day} was written after its totals"
    return None
