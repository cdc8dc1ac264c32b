"""One atomic job of a plan, and the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expmon.catalog.health import HEALTH, RATIOS, TOTALS
from expmon.statements import materialization
from expmon.warehouse.protocol import Write
from expmon.windows import DAY, WINDOW, Partition, latest_window

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from expmon.catalog.model import Names, Relation, Statement

WRITE_TRUNCATE = "WRITE_TRUNCATE"


@dataclass(frozen=True, slots=True)
class Step:
    """Replace one partition, or one whole table, by the rows of a statement.

    Attributes:
        reason: why, for people.
    """

    relation: Relation
    partition: Partition
    statement: Statement
    parameters: Mapping[str, Any]
    as_of: datetime
    reason: str
    write_disposition: str = WRITE_TRUNCATE

    @property
    def destination(self) -> str:
        """``dataset.table$partition``, with the catalogue's names."""
        suffix = f"${self.partition.id}" if self.partition.id else ""
        return f"{self.relation.name}{suffix}"

    @property
    def write(self) -> Write:
        """What the warehouse is asked for."""
        return Write(self.relation, self.partition, self.statement, self.parameters, self.as_of)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they run, and what people should know.

    Attributes:
        kind: ``live``, ``hourly``, ``daily`` or ``backfill``.
        as_of: the moment that the plan was made for.
        notes: what is not done, and why.
    """

    kind: str
    as_of: datetime
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


def step(
    relation: Relation, partition: Partition, as_of: datetime, *, names: Names, reason: str
) -> Step:
    """The step that writes a day or an hour, by the statement of its relation."""
    values = {
        "day": partition.day,
        "latest_window": min(partition.start + DAY - WINDOW, latest_window(as_of)),
        "start": partition.start,
        "end": partition.end,
    }
    statement = materialization(relation, names)
    wanted = {parameter.name: values[parameter.name] for parameter in statement.parameters}
    return Step(relation, partition, statement, wanted, as_of, reason)


def health_steps(as_of: datetime, totals: tuple[date, str] | None, *, names: Names) -> list[Step]:
    """The steps that write the planned ratios, totals, and what the health checks find.

    Their rows are computed in Python from what was written before them: the run fills in their
    parameters as it gets there.

    Args:
        as_of: the moment of the run.
        totals: the day whose totals are to be written, and why; None if there is none.
        names: where the tables lie.
    """
    ratios, health = (materialization(relation, names) for relation in (RATIOS, HEALTH))
    steps = []
    if totals is not None:
        day, reason = totals
        given = {"day": day, "counted": ()}
        statement = materialization(TOTALS, names)
        steps.append(Step(TOTALS, Partition.of_day(day), statement, given, as_of, reason))
    return [
        Step(
            RATIOS,
            Partition.whole(),
            ratios,
            {"seen": ()},
            as_of,
            "each live run remembers the planned ratios",
        ),
        *steps,
        Step(
            HEALTH,
            Partition.of_day(as_of.date()),
            health,
            {"time": as_of, "found": ()},
            as_of,
            "each live run looks at the experiments' health",
        ),
    ]


def recents_step(relation: Relation, start: datetime, as_of: datetime, *, names: Names) -> Step:
    """The step that writes recents, from ``start`` to ``as_of``."""
    reason = f"no other tier has what came since {start:%Y-%m-%dT%H:%M}"
    parameters = {"start": start, "end": as_of}
    statement = materialization(relation, names)
    return Step(relation, Partition.whole(), statement, parameters, as_of, reason)
