"""The freshness of the tables: for people, for programs, and for Prometheus."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from expmon.cli.common import table_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from expmon.materialize.status import Status

_COLUMNS = ("table", "written", "latest", "age", "missing", "stale", "rows", "verdict", "why")
_VERDICTS = ("fresh", "late", "stale", "broken")


def _table(lines: Sequence[Status]) -> str:
    rows = [
        (
            line.relation.partition(".")[2],
            line.cadence,
            None if line.latest is None else str(line.latest),
            line.age_text,
            line.missing,
            line.stale,
            line.rows,
            line.verdict,
            line.reason,
        )
        for line in lines
    ]
    return table_text(_COLUMNS, rows)


def _json(lines: Sequence[Status]) -> str:
    """A JSON object a line; times in ISO 8601, the age in seconds."""
    return "".join(f"{json.dumps(_record(line))}\n" for line in lines)


def _record(line: Status) -> dict[str, object]:
    return {
        **asdict(line),
        "latest": None if line.latest is None else line.latest.id,
        "last_window": line.last_window and line.last_window.isoformat(),
        "as_of": line.as_of and line.as_of.isoformat(),
        "age": None if line.age is None else line.age.total_seconds(),
    }


def _prometheus(lines: Sequence[Status]) -> str:
    """Gauges by table; a table that was never written has no times."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()

    def gauge(name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"expmon_table_{name}", about, ("table", *labels), registry=registry)

    window = gauge("last_window_timestamp_seconds", "Start of the last window, or of the last day")
    looked = gauge("as_of_timestamp_seconds", "Up to when the last run looked at the data")
    rows = gauge("rows", "Rows of all partitions")
    missing = gauge("missing_partitions", "Partitions that should be there")
    stale = gauge("stale_partitions", "Partitions whose inputs have changed since")
    verdict = gauge("verdict", "1 for the verdict that holds, 0 for the others", "verdict")
    for line in lines:
        if line.last_window is not None:
            window.labels(line.relation).set(line.last_window.timestamp())
        if line.as_of is not None:
            looked.labels(line.relation).set(line.as_of.timestamp())
        rows.labels(line.relation).set(line.rows)
        missing.labels(line.relation).set(line.missing)
        stale.labels(line.relation).set(line.stale)
        for one in _VERDICTS:
            verdict.labels(line.relation, one).set(one == line.verdict)
    return generate_latest(registry).decode()


FORMS: Mapping[str, Callable[[Sequence[Status]], str]] = {
    "table": _table,
    "json": _json,
    "prometheus": _prometheus,
}
"""How `expmon status` prints."""
