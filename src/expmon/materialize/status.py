"""How fresh each table is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from expmon.catalog import RELATIONS, TIERS
from expmon.catalog.model import Cadence
from expmon.materialize.plan import plan

if TYPE_CHECKING:
    from expmon.materialize.schedule import Settings
    from expmon.warehouse.protocol import State
    from expmon.windows import Partition

LIVE_AGE = timedelta(minutes=15)
"""A table of the live schedule is late when two runs have been missed."""


@dataclass(frozen=True, slots=True)
class Status:
    """How fresh a table is.

    Attributes:
        relation: the table.
        cadence: the schedule that writes it.
        latest: its latest partition; None if nothing has been written.
        as_of: up to when the latest run looked at the data; None as above.
        age: since then, at the moment of the report.
        rows: of all of its partitions.
        due: how many partitions a run would write now; of live tables, those not yet written.
        verdict: ``fresh``, ``late`` or ``empty``.
        reason: why it is not fresh, and the command that helps; empty if it is.
    """

    relation: str
    cadence: str
    latest: Partition | None
    as_of: datetime | None
    age: timedelta | None
    rows: int
    due: int
    verdict: str
    reason: str = ""

    @property
    def age_text(self) -> str:
        """The age for people: ``7 min``, ``3 h 7 min``, ``2 d 3 h``; empty if there is none."""
        return "" if self.age is None else _text(self.age)


def status(as_of: datetime, *, state: State, settings: Settings) -> list[Status]:
    """A line for each table that a schedule writes, inputs first."""
    due: dict[str, list[str]] = {}
    for cadence in (Cadence.DAILY, Cadence.HOURLY):
        for step in plan(cadence, as_of, state=state, settings=settings).steps:
            due.setdefault(step.relation.name, []).append(step.reason)
    runs = [entry.as_of for t in TIERS for entry in state.partitions(t.recents).values()]
    found = []
    for relation in RELATIONS.values():
        if relation.cadence is None:
            continue
        partitions = state.partitions(relation)
        latest = max(partitions, default=None)
        looks = [entry.as_of for entry in partitions.values()]
        if relation.cadence is Cadence.LIVE:
            # A live run looks at every live table, and writes those that have something new.
            looks = runs
        seen = max(looks, default=None)
        age = None if seen is None else max(as_of - seen, timedelta(0))
        reasons = due.get(relation.name, [])
        verdict, reason = _verdict(relation.cadence, age, reasons)
        rows = sum(entry.rows for entry in partitions.values())
        found.append(
            Status(
                relation=relation.name,
                cadence=relation.cadence.value,
                latest=latest,
                as_of=seen,
                age=age,
                rows=rows,
                due=len(reasons),
                verdict=verdict,
                reason=reason,
            )
        )
    return found


def _verdict(cadence: Cadence, age: timedelta | None, due: list[str]) -> tuple[str, str]:
    command = f"expmon run {cadence.value}"
    if due:
        more = f" and {len(due) - 1} more" if len(due) > 1 else ""
        return ("late" if age is not None else "empty"), f"{due[0]}{more}: {command}"
    if cadence is not Cadence.LIVE:
        return "fresh", ""
    if age is None:
        return "empty", f"no live run has been here yet: {command}"
    if age > LIVE_AGE:
        return "late", f"the last live run is {_text(age)} old: {command}"
    return "fresh", ""


def _text(age: timedelta) -> str:
    minutes = age // timedelta(minutes=1)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
