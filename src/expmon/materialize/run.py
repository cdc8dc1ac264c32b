"""Run a plan, step by step."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expmon.catalog import DATASETS
from expmon.catalog.model import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta

    from expmon.materialize.step import Plan, Step
    from expmon.warehouse.protocol import State, Warehouse, Write, Written

log = logging.getLogger(__name__)

_READ_THEMSELVES = frozenset(
    dataset.table.name for dataset in DATASETS.values() if dataset.series is Series.CUMULATIVE
)


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
    before: Callable[[Step], None] | None = None,
) -> Run:
    """Plan under the lease, and write the steps, level by level.

    A step that fails ends the run: what was written before it stays, is remembered, and the next
    run goes on from there.

    Args:
        warehouse: where to.
        make_plan: from what the engine holds to what must be written.
        wait: how long to wait for another run.
        before: called with each step before it is written, to show progress.

    Raises:
        WarehouseLocked: another run has the warehouse.
        WarehouseError: a step failed.
    """
    with warehouse.lease(wait):
        plan = make_plan(warehouse.state())
        for note in plan.notes:
            log.warning("%s", note)
        written: dict[str, Written] = {}
        for level in levels(plan.steps):
            entries = warehouse.write(_announced(level, before))
            for step, entry in zip(level, entries, strict=True):
                written[step.destination] = entry
                _log(step, entry)
    return Run(plan, tuple(written[step.destination] for step in plan.steps))


def _announced(steps: Iterable[Step], before: Callable[[Step], None] | None) -> Iterator[Write]:
    for step in steps:
        if before is not None:
            before(step)
        yield step.write


def levels(steps: Iterable[Step]) -> list[list[Step]]:
    """Steps in groups to be written one after the other: none of a group reads of another.

    A day of a cumulative series also reads the day before of its own table.
    """
    found: list[list[Step]] = []
    reached: dict[str, int] = {}
    for step in steps:
        relation = step.relation
        before = [reached[name] for name in relation.inputs if name in reached]
        if relation.name in _READ_THEMSELVES and relation.name in reached:
            before.append(reached[relation.name])
        level = max(before, default=-1) + 1
        if level == len(found):
            found.append([])
        found[level].append(step)
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
