"""What live runs found, by hand, for tests of alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from expmon.catalog.health import HEALTH
from expmon.statements.health import written
from expmon.warehouse.protocol import Write
from expmon.windows import Partition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from expmon import Monitor

Found = tuple[str, str, str]
"""An experiment, a check, and the verdict."""


def live_run(monitor: Monitor, time: datetime, *found: Found, since: datetime | None = None):
    """Let the health table have what a live run found.

    Args:
        time: the moment that it looked from.
        found: by experiment and check.
        since: since when that is so; since now if not given.
    """
    rows = [_row(*one, since or time) for one in found]
    names = monitor.settings.names
    write = Write(
        HEALTH,
        Partition.of_day(time.date()),
        written(HEALTH, names),
        {"time": time, "found": rows},
        time,
    )
    with monitor.warehouse.lease(timedelta(0)):
        list(monitor.warehouse.write([write]))


def _row(experiment: str, check: str, verdict: str, since: datetime) -> Mapping[str, Any]:
    return {
        "experiment": experiment,
        "check_name": check,
        "branch": "treatment" if verdict == "alarm" else "",
        "verdict": verdict,
        "since": since,
        "log_e": None,
        "value": 7.5,
        "expected": None,
        "sentence": f"{check} is {verdict}.",
        "action": "Look." if verdict == "alarm" else "",
    }
