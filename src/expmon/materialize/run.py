"""Run a plan, step by step."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expmon.warehouse.protocol import Write

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from expmon.materialize.step import Plan, Step
    from expmon.warehouse.protocol import State, Warehouse, Written

log = logging.getLogger(__name__)


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
    """Plan under the lease, and write each step.

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
        written = []
        for step in plan.steps:
            if before is not None:
                before(step)
            began = time.monotonic()
            entry = warehouse.write(
                Write(step.relation, step.partition, step.statement, step.parameters, step.as_of)
            )
            seconds = time.monotonic() - began
            log.info(
                "%s: %d rows in %.3f s: %s", step.destination, entry.rows, seconds, step.reason
            )
            written.append(entry)
    return Run(plan, tuple(written))
