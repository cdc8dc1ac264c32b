"""Run a plan, step by step."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from expmon.catalog import DATASETS, RELATIONS, TIERS
from expmon.catalog.health import TOTALS
from expmon.catalog.model import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from expmon.materialize.step import Plan, Step
    from expmon.warehouse.protocol import State, Warehouse, Write, Written

log = logging.getLogger(__name__)

_READ_THEMSELVES = frozenset(
    dataset.table.name for dataset in DATASETS.values() if dataset.series is Series.CUMULATIVE
)
_BY_HOUR = frozenset(tiers.by_hour.name for tiers in TIERS)

Computed = Mapping[str, "Callable[[Step], Mapping[str, Any]]"]
"""By a relation's name: from its step to the parameters that Python computes."""
NOTHING_COMPUTED: Computed = {}

_DAYS_OF_A_TICK = 3
"""Recents of 48 hours supply so many days."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run planned, and what each of its steps wrote, in the same order."""

    plan: Plan
    written: tuple[Written, ...]


def run(
    warehouse: Warehouse,
    make_plan: Callable[[State], Plan],
    *,
    wait: timedelta,
    computed: Computed = NOTHING_COMPUTED,
    before: Callable[[Step], None] | None = None,
) -> Run:
    """Plan under the lease, and write the steps, level by level.

    A step that fails ends the run: what was written before it stays, is remembered, and the next
    run goes on from there. But a tick, which is a live run over at most three days, is
    seen all at once or not at all, where the engine can: readers don't meet half of it.

    Args:
        warehouse: where to.
        make_plan: from what the engine holds to what must be written.
        wait: how long to wait for another run.
        computed: for relations whose rows are computed here: what gives their parameters.
        before: called with each step before it is written, to show progress.

    Raises:
        WarehouseLocked: another run has the warehouse.
        WarehouseError: a step failed.
    """
    with warehouse.lease(wait):
        plan = _noted(make_plan(warehouse.state()))
        with warehouse.at_once() if _is_tick(plan) else nullcontext():
            return _written(warehouse, plan, computed, before)


@runtime_checkable
class SharesLease(Protocol):
    """An engine whose lease outlives a process, so that the processes of a run can share it.

    A lock of a process, as the embedded engine has it, ends with each of them: they take turns.
    """

    def shared_lease(self, run_id: str, wait: timedelta) -> AbstractContextManager[None]:
        """Take or join the lease of a run. It stays with the run, until it is given back or ends.

        Raises:
            WarehouseLocked: another run has it, for longer than ``wait``.
        """
        ...

    def give_back(self, run_id: str) -> None:
        """Free the lease, if the run still has it."""
        ...


@dataclass(frozen=True, slots=True)
class SharedRun:
    """A run that is several tasks of an orchestrator; `Monitor.shared_run` makes one in each.

    Attributes:
        run_id: tasks with the same one share the lease.
        wait: how long to wait for another run.
        computed: as of `run`.
    """

    warehouse: Warehouse
    make_plan: Callable[[State], Plan]
    run_id: str
    wait: timedelta
    computed: Computed = field(default_factory=dict)

    def plan(self) -> Plan:
        """What is due. Other runs are kept out from here on, where the engine can.

        Raises:
            WarehouseLocked: another run has the warehouse.
        """
        with self._lease():
            return _noted(self.make_plan(self.warehouse.state()))

    def write(self, relation: str, through: str) -> Run:
        """Write what is still due of a table up to a partition, in order.

        Whichever task comes first, none leaves a gap: a table that begins after a day that failed
        would never get that day. A task that comes again, or after another's, has nothing to do.
        The sums by the hour that a table looks back at are written with it.

        Args:
            relation: the table, by its name in the catalogue.
            through: the id of the last partition to be written.

        Raises:
            WarehouseLocked: another run has the warehouse.
            WarehouseError: a step failed.
        """
        with self._lease():
            plan = self.make_plan(self.warehouse.state())
            tables = {relation, *_BY_HOUR.intersection(RELATIONS[relation].inputs)}
            due = [step for step in plan.steps if step.relation.name in tables]
            steps = tuple(step for step in due if step.partition.id <= through)
            return _written(self.warehouse, replace(plan, steps=steps), self.computed)

    def end(self) -> None:
        """Let other runs in, after the last step."""
        if isinstance(self.warehouse, SharesLease):
            self.warehouse.give_back(self.run_id)

    def _lease(self) -> AbstractContextManager[None]:
        if isinstance(self.warehouse, SharesLease):
            return self.warehouse.shared_lease(self.run_id, self.wait)
        return self.warehouse.lease(self.wait)


def _is_tick(plan: Plan) -> bool:
    """Whether it is short enough to be lost as a whole: a run that catches up must get further."""
    # Totals are of the day before those that recents supply.
    own = (s for s in plan.steps if s.partition.id and s.relation != TOTALS)
    days = {step.partition.day for step in own}
    return plan.kind == "live" and len(days) <= _DAYS_OF_A_TICK


def _noted(plan: Plan) -> Plan:
    for note in plan.notes:
        log.warning("%s", note)
    return plan


def _written(
    warehouse: Warehouse,
    plan: Plan,
    computed: Computed,
    before: Callable[[Step], None] | None = None,
) -> Run:
    """Write the steps, level by level."""
    written: dict[str, Written] = {}
    for level in levels(plan.steps):
        filled = (_filled(step, computed) for step in level)
        entries = warehouse.write(_announced(filled, before))
        for step, entry in zip(level, entries, strict=True):
            written[step.destination] = entry
            _log(step, entry)
    return Run(plan, tuple(written[step.destination] for step in plan.steps))


def _filled(step: Step, computed: Computed) -> Step:
    """The step with its computed parameters, if it has some; what it reads has been written."""
    if step.relation.name not in computed:
        return step
    parameters = {**step.parameters, **computed[step.relation.name](step)}
    return replace(step, parameters=parameters)


def _announced(steps: Iterable[Step], before: Callable[[Step], None] | None) -> Iterator[Write]:
    for step in steps:
        if before is not None:
            before(step)
        yield step.write


def levels(steps: Iterable[Step]) -> list[list[Step]]:
    """Steps in groups to be written one after the other: none of a group reads of another.

    A day of a cumulative series also reads the day before of its own table. And the first partition
    of a table goes before its others: a table that begins later would never get it if it failed.
    """
    found: list[list[Step]] = []
    first: dict[str, int] = {}
    reached: dict[str, int] = {}
    for step in steps:
        relation = step.relation
        before = [reached[name] for name in relation.inputs if name in reached]
        if relation.name in reached:
            own = reached if relation.name in _READ_THEMSELVES else first
            before.append(own[relation.name])
        level = max(before, default=-1) + 1
        if level == len(found):
            found.append([])
        found[level].append(step)
        first.setdefault(relation.name, level)
        reached[relation.name] = max(level, reached.get(relation.name, 0))
    return found


def _log(step: Step, entry: Written) -> None:
    seconds = (entry.modified_at - entry.started_at).total_seconds()
    cost = "" if entry.bytes_read is None else f", {entry.bytes_read} bytes read"
    if entry.slot_time is not None:
        cost += f", {entry.slot_time.total_seconds():.3f} slot seconds"
    job = f" (job {entry.job_id})" if entry.job_id else ""
    log.info(
        "%s: %d rows in %.3f s%s%s: %s",
        *(step.destination, entry.rows, seconds, cost, job, step.reason),
        extra={
            "dataset": step.relation.name,
            "partition": step.partition.id,
            "rows": entry.rows,
            "bytes": entry.bytes_read,
            "seconds": seconds,
            "job_id": entry.job_id,
        },
    )
