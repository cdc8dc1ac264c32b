"""Up to which day the totals of experiments hold, and the day that is next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.health import POPULATION, TOTALS
from expmon.materialize.derived_days import recents_start
from expmon.windows import DAY

if TYPE_CHECKING:
    from datetime import date, datetime

    from expmon.warehouse.protocol import State

_SOURCES = (ENROLLMENT.daily, ENROLLMENT.hourly, POPULATION.table)


def first_day(state: State) -> date | None:
    """The first day that anything was counted of."""
    return min((d for t in _SOURCES if (d := state.first_day(t)) is not None), default=None)


def closing_day(as_of: datetime, state: State) -> date:
    """The last day that is over and that recents no longer supply: those change every tick."""
    return min(as_of, recents_start(ENROLLMENT, as_of, state)).date() - DAY


def carried_day(before: date, state: State) -> date | None:
    """The last day before another whose totals hold: no day up to it was written since."""
    changed: dict[date, datetime] = {}
    for relation in _SOURCES:
        for partition, entry in state.partitions(relation).items():
            day = partition.day
            changed[day] = max(entry.modified_at, changed.get(day, entry.modified_at))
    totals = {p.day: entry for p, entry in state.partitions(TOTALS).items() if p.day < before}
    found, latest = None, None
    for day in sorted({*changed, *totals}):
        if day in changed:
            latest = changed[day] if latest is None else max(latest, changed[day])
        if day in totals and (latest is None or totals[day].started_at > latest):
            found = day
    return found
