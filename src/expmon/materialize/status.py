"""How fresh each table is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from expmon.catalog import DATASETS, RELATIONS, TIERS
from expmon.catalog.model import Cadence, Kind, Series
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.materialize.plan import plan
from expmon.windows import WINDOW, Partition, days, latest_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from expmon.catalog.model import Relation
    from expmon.materialize.schedule import Settings
    from expmon.materialize.step import Step
    from expmon.warehouse.protocol import State, Written

Verdict = Literal["fresh", "late", "stale", "broken"]

GRACE = {
    Cadence.LIVE: timedelta(minutes=15),
    Cadence.HOURLY: timedelta(minutes=15),
    Cadence.DAILY: timedelta(hours=1),
}
"""So long after it was due a table is late: a run takes its time, and the next one makes up."""
BROKEN = {
    Cadence.LIVE: timedelta(hours=1),
    Cadence.HOURLY: timedelta(hours=6),
    Cadence.DAILY: timedelta(hours=48),
}
"""A late table whose last run, or the last that wrote it, is older waits for no run any more."""
SILENCE = timedelta(hours=3)
"""A live source that got nothing for so long has stopped; BigQuery may hold back 90 minutes."""
_BY_DAY = frozenset(d.table.name for d in DATASETS.values())
"""Live tables that have every day; what else is written live has no past to catch up with."""
_DAILY_SERIES = frozenset(d.table.name for d in DATASETS.values() if d.series is Series.DAILY)


@dataclass(frozen=True, slots=True)
class Status:
    """How fresh a table is.

    Attributes:
        relation: the table.
        cadence: the schedule that writes it.
        latest: its latest partition; None if nothing has been written.
        last_window: the start of the last window that it goes up to, or the last day of a table
            by the day; None as above.
        as_of: up to when the latest run looked at the data; None as above.
        age: since then, at the moment of the report.
        rows: of all of its partitions.
        missing: how many partitions there should be and are not.
        stale: how many were written before what they are computed from changed.
        verdict: ``fresh``; ``late``: something is missing for longer than a run takes, or a live
            source gets no pings any more; ``stale``: all is there, and the next run of the schedule
            will write some of it anew; ``broken``: nothing was ever written, or the last run is so
            long ago that none seems to come.
        reason: why it is not fresh, and the command that helps; empty if it is.
    """

    relation: str
    cadence: str
    latest: Partition | None
    last_window: datetime | None
    as_of: datetime | None
    age: timedelta | None
    rows: int
    missing: int
    stale: int
    verdict: Verdict
    reason: str = ""

    @property
    def age_text(self) -> str:
        """The age for people: ``7 min``, ``3 h 7 min``, ``2 d 3 h``; empty if there is none."""
        return "" if self.age is None else _text(self.age)


@dataclass(frozen=True, slots=True)
class _Judgement:
    verdict: Verdict
    reason: str = ""
    missing: int = 0
    stale: int = 0
    remedy: str = ""


def status(as_of: datetime, *, state: State, settings: Settings) -> list[Status]:
    """A line for each table that a schedule writes, inputs first."""
    due: dict[str, list[Step]] = {}
    for cadence in (Cadence.DAILY, Cadence.HOURLY):
        for step in plan(cadence, as_of, state=state, settings=settings).steps:
            due.setdefault(step.relation.name, []).append(step)
    lags = {Cadence.DAILY: settings.schedule.day_lag, Cadence.HOURLY: settings.schedule.hour_lag}
    recents = [tiers.recents for tiers in TIERS]
    live = [entry.as_of for table in recents for entry in state.partitions(table).values()]
    found = []
    for relation in RELATIONS.values():
        if relation.cadence is None:
            continue
        partitions = state.partitions(relation)
        # A live run looks at every live table, and writes those that have something new.
        is_live = relation.cadence is Cadence.LIVE
        command = f"expmon run {relation.cadence.value}"
        looks = live if is_live else [entry.as_of for entry in partitions.values()]
        looked = max(looks, default=None)
        age = None if looked is None else max(as_of - looked, timedelta(0))
        if is_live:
            judged = _judged_live(partitions if relation.name in _BY_DAY else {}, age)
            if relation in recents and judged.verdict == "fresh":
                judged = _judged_sources(relation, as_of, state)
        else:
            ready = as_of - lags[relation.cadence]
            steps = due.get(relation.name, [])
            judged = _judged_final(relation.cadence, steps, partitions, age=age, ready=ready)
        found.append(
            Status(
                relation=relation.name,
                cadence=relation.cadence.value,
                latest=max(partitions, default=None),
                last_window=_last_window(relation, partitions),
                as_of=looked,
                age=age,
                rows=sum(entry.rows for entry in partitions.values()),
                missing=judged.missing,
                stale=judged.stale,
                verdict=judged.verdict,
                reason=judged.reason and f"{judged.reason}: {judged.remedy or command}",
            )
        )
    return found


def _judged_final(
    cadence: Cadence,
    due: Sequence[Step],
    partitions: Mapping[Partition, Written],
    *,
    age: timedelta | None,
    ready: datetime,
) -> _Judgement:
    """How it stands with a table of the daily or hourly schedule.

    Args:
        cadence: which of them.
        due: what a run would write now.
        partitions: what has been written.
        age: since the last run that wrote something.
        ready: what ended by then should be written by now.
    """
    missing = [step for step in due if step.partition not in partitions]
    stale = len(due) - len(missing)
    verdict: Verdict = "stale" if stale else "fresh"
    if missing and age is None:
        verdict = "broken"
    elif missing and age is not None and ready - missing[0].partition.end > GRACE[cadence]:
        verdict = "late" if age <= BROKEN[cadence] else "broken"
    reason = ""
    if verdict != "fresh":
        first = next(step for step in due if (step in missing) is (verdict != "stale"))
        reason = first.reason + (f" and {len(due) - 1} more" if len(due) > 1 else "")
    return _Judgement(verdict, reason, len(missing), stale)


def _judged_live(partitions: Mapping[Partition, Written], age: timedelta | None) -> _Judgement:
    """How it stands with a table of the live schedule, ``age`` after the last live run."""
    if age is None:
        return _Judgement("broken", "no live run has been here yet")
    missing: list[date] = []
    if partitions and (first := min(partitions)).id:
        every = days(first.day, max(partitions).day)
        missing = [day for day in every if Partition.of_day(day) not in partitions]
    if age > GRACE[Cadence.LIVE]:
        verdict: Verdict = "late" if age <= BROKEN[Cadence.LIVE] else "broken"
        return _Judgement(verdict, f"the last live run is {_text(age)} old", len(missing))
    if missing:
        return _Judgement("late", f"day {missing[0]} is missing", len(missing))
    return _Judgement("fresh")


def _judged_sources(relation: Relation, as_of: datetime, state: State) -> _Judgement:
    """Whether a table's live sources still get pings, as far as it is known when they did."""
    for name in relation.inputs:
        last = max(state.sources[name].modified.values(), default=as_of)
        if as_of - last > SILENCE:
            source = name if RELATIONS[name].kind is Kind.SOURCE else RELATIONS[name].inputs[0]
            reason = f"{source} got no pings for {_text(as_of - last)}"
            return _Judgement("late", reason, remedy="see what has become of its ingestion")
    return _Judgement("fresh")


def _last_window(relation: Relation, partitions: Mapping[Partition, Written]) -> datetime | None:
    """The start of the last window of the table; of one by the day, of the day."""
    if not partitions:
        return None
    latest = max(partitions)
    window = latest_window(partitions[latest].as_of)
    if not latest.id:
        return window
    if relation.name in _DAILY_SERIES or relation == ACTIVE_CLIENTS:
        return latest.start
    return min(window, latest.end - WINDOW)


def _text(age: timedelta) -> str:
    minutes = age // timedelta(minutes=1)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
