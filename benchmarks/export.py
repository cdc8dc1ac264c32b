"""Export 10, 50 and 200 experiments of 30 days on the embedded engine.

    .venv/bin/python benchmarks/export.py [--experiments 10,50,200]

Each size has a warehouse of its own, whose eight derived tables are full: three branches with a row
in every window of 30 days. A process exports all experiments, then again with nothing changed, and
says how long that took, how many queries it asked, and how much memory it took at its peak. Beside
it, where that takes no hours, stands a loop that exports one experiment and one dataset at a time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring import Watch, resident

if TYPE_CHECKING:
    from collections.abc import Callable

    from expmon import Monitor

DAYS, BRANCHES = 30, 3
AS_OF = datetime(2021, 3, 1, 0, 10, tzinfo=UTC)
START = (AS_OF - timedelta(days=DAYS)).replace(hour=0, minute=0)
MIB = 1024 * 1024
LOOPED = 50
"""Of more experiments than these the loop is not tried."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--experiments", default="10,50,200")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options.directory)))
        return
    for line in measure([int(n) for n in options.experiments.split(",")]):
        print(json.dumps(line))


def measure(sizes: list[int]) -> list[dict[str, Any]]:
    """A line of figures for each size."""
    lines = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            fill(directory, size)
            line: dict[str, Any] = {"experiments": size, **in_a_process("whole", directory)}
            if size <= LOOPED:
                line |= in_a_process("loop", directory)
            lines.append(line)
    return lines


def in_a_process(part: str, directory: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", part, "--directory", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def connected(directory: Path, exports: str) -> Monitor:
    import expmon

    return expmon.connect(f"duckdb://{directory / 'monitoring.duckdb'}", directory / exports)


def fill(directory: Path, size: int) -> None:
    """A warehouse with this many experiments."""
    from expmon.catalog import EXPORTED
    from expmon.catalog.model import Series

    with connected(directory, "exports") as monitor:
        monitor.deploy()
        database = monitor.warehouse._file
        database.execute(
            "INSERT INTO monitoring.experimenter_experiments_v1 (normandy_slug, start_date) "
            "SELECT 'experiment-' || n, DATE $start FROM range($size) AS t(n)".replace(
                "DATE $start", f"DATE '{START.date()}'"
            ),
            {"size": size},
        )
        for dataset in EXPORTED:
            step = "1 DAY" if dataset.series is Series.DAILY else "5 MINUTE"
            database.execute(
                f"INSERT INTO {dataset.table.name} (time, branch, experiment, value) "
                "SELECT time, 'branch-' || b, 'experiment-' || n, "
                "  CAST(hash(time, b, n) % 1000 AS BIGINT) "
                f"FROM generate_series($start, $end, INTERVAL {step}) AS t(time), "
                f"  range({BRANCHES}) AS u(b), range($size) AS v(n)",
                {"start": START, "end": AS_OF, "size": size},
            )


def counted(monitor: Monitor) -> list[str]:
    """The names of the queries that are asked from now on."""
    asked: list[str] = []
    warehouse: Any = monitor.warehouse
    for name in ("query", "batches"):
        method = getattr(warehouse, name, None)
        if method is not None:
            setattr(warehouse, name, _counting(method, asked))
    return asked


def _counting(method: Callable[..., Any], asked: list[str]) -> Callable[..., Any]:
    def call(statement: Any, *args: Any, **options: Any) -> Any:
        asked.append(statement.name)
        return method(statement, *args, **options)

    return call


def whole(directory: Path) -> dict[str, Any]:
    """One export of all, and another with nothing changed."""
    with connected(directory, "whole") as monitor:
        monitor.warehouse.state()  # imports, and the file opened
        asked = counted(monitor)
        before = resident()
        with Watch() as watch:
            began = time.perf_counter()
            first = monitor.export_active(AS_OF)
            seconds = time.perf_counter() - began
        queries = len(asked)
        began = time.perf_counter()
        second = monitor.export_active(AS_OF + timedelta(microseconds=1))
        again = time.perf_counter() - began
    return {
        "queries": queries,
        "files": len(first.written),
        "seconds": seconds,
        "peak_mib": (watch.peak - before) / MIB,
        "files_again": len(second.written),
        "seconds_again": again,
    }


def loop(directory: Path) -> dict[str, Any]:
    """One experiment and one dataset at a time."""
    from expmon.catalog import EXPORTED

    with connected(directory, "loop") as monitor:
        slugs = monitor.experiments(AS_OF)["slug"].tolist()
        asked = counted(monitor)
        began = time.perf_counter()
        for slug in slugs:
            for dataset in EXPORTED:
                monitor.export_experiment(slug, [dataset.name], AS_OF)
        return {"loop_queries": len(asked), "loop_seconds": time.perf_counter() - began}


PARTS = {"whole": whole, "loop": loop}

if __name__ == "__main__":
    main()
