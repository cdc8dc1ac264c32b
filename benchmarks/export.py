"""Export 10, 50 and 200 experiments of 30 days on the embedded engine.

    .venv/bin/python benchmarks/export.py [--quick]

Each size has a warehouse of its own, whose eight derived tables are full: three branches with a row
in every window of 30 days. A process exports all experiments into an empty directory, and says how
long that took, how many queries it asked, and how much memory it took at its peak beyond what it
had before. It exports again half an hour later, with no new rows: every series is computed and
compared. It exports once more five minutes later: half hours are the points of experiments of that
age, none has closed, and nothing need be read. Sizes alternate, and medians are given. Beside it,
where that takes no hours, stands a loop that exports one experiment and one dataset at a time.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring import GIB, MIB, Line, Watch, alone, engine, in_a_process, medians, resident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from expmon import Monitor

SIZES = (10, 50, 200)
DAYS, BRANCHES = 30, 3
AS_OF = datetime(2021, 3, 1, 0, 10, tzinfo=UTC)
END = AS_OF.replace(minute=0)
START = END - timedelta(days=DAYS)
QUERIES_GOAL, GROWTH_GOAL, MEMORY_GOAL = 2, 1.25, 1 * GIB
LOOPED = 50
"""Of more experiments than these the loop is not tried."""


def lines(*, quick: bool) -> Iterator[Line]:
    """Queries, time and memory of each size, and what they are compared with."""
    sizes, runs = ((2, 4, 8), 1) if quick else (SIZES, 3)
    found = measure(sizes, runs)
    for size, figures in found.items():
        yield _queries(size, figures)
        yield _time(size, found, runs)
        yield _memory(size, figures, runs)
        yield from _again(size, figures, runs)
        if "loop_seconds" in figures:
            yield _loop(size, figures)


def _queries(size: int, figures: Mapping[str, float]) -> Line:
    return Line(
        f"export of {size} experiments: queries",
        f"{QUERIES_GOAL}, however many experiments",
        figures["queries"],
        "queries",
        met=figures["queries"] == QUERIES_GOAL,
        detail=f"{figures['files']:.0f} files: 8 datasets of {DAYS} days, {BRANCHES} branches",
    )


def _time(size: int, found: Mapping[int, Mapping[str, float]], runs: int) -> Line:
    """The largest size's time for an experiment is compared with that of the middle one."""
    _, middle, largest = found
    seconds = found[size]["seconds"]
    name = f"export of {size} experiments: time"
    if size != largest:
        return Line(name, "", seconds, "s", runs=runs)
    ratio = (seconds / size) / (found[middle]["seconds"] / middle)
    goal = f"for an experiment at most {GROWTH_GOAL} times what it is of {middle}"
    return Line(name, goal, seconds, "s", ratio, ratio <= GROWTH_GOAL, runs)


def _memory(size: int, figures: Mapping[str, float], runs: int) -> Line:
    peak = figures["peak"]
    return Line(
        f"export of {size} experiments: peak memory",
        f"under {MEMORY_GOAL // MIB} MiB",
        peak / MIB,
        "MiB",
        met=peak < MEMORY_GOAL,
        runs=runs,
        detail="beyond what the process had before",
    )


def _again(size: int, figures: Mapping[str, float], runs: int) -> Iterator[Line]:
    for key, when in (("again", "no new rows"), ("between", "no half hour closed")):
        seconds, files = figures[f"seconds_{key}"], figures[f"files_{key}"]
        yield Line(
            f"next export of {size} experiments, {when}: files written",
            "none",
            files,
            "files",
            seconds / figures["seconds"],
            files == 0,
            runs,
            f"{seconds:.3g} s; the ratio is its time to the first export's",
        )


def _loop(size: int, figures: Mapping[str, float]) -> Line:
    return Line(
        f"the same {size} experiments, one experiment and dataset at a time: time",
        "",
        figures["loop_seconds"],
        "s",
        figures["loop_seconds"] / figures["seconds"],
        detail=f"{figures['loop_queries']:.0f} queries; the ratio is to the export in one go",
    )


def measure(sizes: tuple[int, ...], runs: int) -> dict[int, dict[str, float]]:
    """The medians for each size."""
    with tempfile.TemporaryDirectory() as name:
        places = {size: Path(name) / str(size) for size in sizes}
        for size, directory in places.items():
            directory.mkdir()
            fill(directory, size)
        found: dict[int, list[dict[str, Any]]] = {size: [] for size in sizes}
        for _ in range(runs):
            for size, directory in places.items():
                found[size].append(in_a_process(__file__, "whole", directory))
        figures = {size: medians(taken) for size, taken in found.items()}
        for size in sizes:
            if size <= LOOPED:
                figures[size] |= in_a_process(__file__, "loop", places[size])
    return figures


def connected(directory: Path, exports: str | None = None) -> Monitor:
    import expmon

    return expmon.connect(f"duckdb://{directory / 'monitoring.duckdb'}", exports)


def fill(directory: Path, size: int) -> None:
    """A warehouse with this many experiments."""
    from expmon.catalog import EXPORTED
    from expmon.catalog.model import Series

    with connected(directory) as monitor:
        monitor.deploy()
        database = engine(monitor)._file
        database.execute(
            "INSERT INTO monitoring.experimenter_experiments_v1 (normandy_slug, start_date) "
            "SELECT 'experiment-' || n, CAST($start AS DATE) FROM range($size) AS t(n)",
            {"start": START, "size": size},
        )
        for dataset in EXPORTED:
            step = "1 DAY" if dataset.series is Series.DAILY else "5 MINUTE"
            database.execute(
                f"INSERT INTO {dataset.table.name} (time, branch, experiment, value) "
                "SELECT time, 'branch-' || b, 'experiment-' || n, "
                "  CAST(hash(time, b, n) % 1000 AS BIGINT) "
                f"FROM range($start, $end, INTERVAL {step}) AS t(time), "
                f"  range({BRANCHES}) AS u(b), range($size) AS v(n)",
                {"start": START, "end": END, "size": size},
            )


def counted(monitor: Monitor) -> list[str | None]:
    """What the queries are about that the database is asked from now on."""
    asked: list[str | None] = []
    file = engine(monitor)._file

    def counting(ask: Callable[..., Any]) -> Callable[..., Any]:
        def asking(*arguments: Any, name: str | None = None, **options: Any) -> Any:
            asked.append(name)
            return ask(*arguments, name=name, **options)

        return asking

    file.arrow, file.batches = counting(file.arrow), counting(file.batches)
    return asked


def whole(place: str) -> dict[str, float]:
    """One export of all, and another with nothing changed."""
    with tempfile.TemporaryDirectory() as exports, connected(Path(place), exports) as monitor:
        monitor.warehouse.state()  # imports, and the file opened
        asked = counted(monitor)
        before = resident()
        with Watch() as watch:
            began = time.perf_counter()
            first = monitor.export_active(AS_OF)
            seconds = time.perf_counter() - began
        queries = len(asked)
        later = {
            "again": timed_export(monitor, AS_OF + timedelta(minutes=30)),
            "between": timed_export(monitor, AS_OF + timedelta(minutes=35)),
        }
    return {
        "queries": queries,
        "files": len(first.written),
        "seconds": seconds,
        "peak": watch.peak - before,
        **{f"files_{name}": files for name, (files, _) in later.items()},
        **{f"seconds_{name}": taken for name, (_, taken) in later.items()},
    }


def timed_export(monitor: Monitor, as_of: datetime) -> tuple[int, float]:
    """How many files it wrote, and its seconds."""
    began = time.perf_counter()
    found = monitor.export_active(as_of)
    return len(found.written), time.perf_counter() - began


def loop(place: str) -> dict[str, float]:
    """One experiment and one dataset at a time."""
    from expmon.catalog import EXPORTED

    with tempfile.TemporaryDirectory() as exports, connected(Path(place), exports) as monitor:
        slugs = monitor.experiments(AS_OF)["slug"].tolist()
        asked = counted(monitor)
        began = time.perf_counter()
        for slug in slugs:
            for dataset in EXPORTED:
                monitor.export_experiment(slug, [dataset.name], AS_OF)
        return {"loop_queries": len(asked), "loop_seconds": time.perf_counter() - began}


PARTS = {"whole": whole, "loop": loop}

if __name__ == "__main__":
    alone(__doc__, lines, PARTS)
