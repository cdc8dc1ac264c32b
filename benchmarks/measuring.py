"""What the benchmarks share: a line of the table, processes of their own, memory, running alone."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from expmon import Monitor

    Lines = Callable[..., Iterator["Line"]]
    Part = Callable[..., Mapping[str, Any]]

MIB = 1024 * 1024
GIB = 1024 * MIB
_PLAIN_WIDTH = 170
"""Columns of the table where no terminal says how many it has."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure.

    Attributes:
        name: what was measured; no other line of the same benchmark has it.
        goal: in words; empty where there is none.
        figure: the median of the runs.
        unit: of the figure.
        ratio: to what it is compared with, measured side by side in the same run.
        met: whether the goal is met; None where there is none.
        runs: how many times it was measured.
        detail: what it is compared with, and what else there is to know.
    """

    name: str
    goal: str
    figure: float
    unit: str
    ratio: float | None = None
    met: bool | None = None
    runs: int = 1
    detail: str = ""


class Watch:
    """Looks at the resident memory every few milliseconds."""

    def __enter__(self) -> Self:
        self.peak = resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.002):
            self.peak = max(self.peak, resident())


def engine(monitor: Monitor) -> Any:
    """The monitor's warehouse, with what lies below its public surface."""
    return monitor.warehouse


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def peak() -> int:
    """Bytes of memory that this process had at its peak.

    Not of `resource.getrusage`, which knows of a new process's parent, too.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(found) * 1024


def timed(call: Callable[[], object]) -> float:
    """How many seconds a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def alternately(sides: Mapping[str, Callable[[], float]], runs: int) -> dict[str, float]:
    """The median of each side's figures; the sides take turns."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, side in sides.items():
            found[name].append(side())
    return {name: statistics.median(figures) for name, figures in found.items()}


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The median of each figure."""
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def in_a_process(script: str, part: str, *arguments: object) -> dict[str, Any]:
    """What a part of a benchmark measures, in a new process of the script.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    found: dict[str, Any] = json.loads(
        output(sys.executable, script, "--part", part, *map(str, arguments))
    )
    return found


def output(*command: str) -> str:
    """What a command prints.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    done = subprocess.run(  # noqa: S603 - a benchmark's own command
        command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def alone(description: str, lines: Lines, parts: Mapping[str, Part] | None = None) -> None:
    """A benchmark as a script: prints its lines, or measures one part for `in_a_process`."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few runs")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, *arguments = options.part
        print(json.dumps((parts or {})[name](*arguments)))
    else:
        show(lines(quick=options.quick), title=Path(sys.argv[0]).stem)


def show(lines: Iterable[Line], *, title: str) -> None:
    """One table of all lines."""
    table = Table(
        "measured",
        Column("figure", justify="right"),
        "goal",
        "met",
        Column("ratio", justify="right"),
        Column("runs", justify="right"),
        "detail",
        title=title,
    )
    for line in lines:
        table.add_row(
            line.name,
            f"{readable(line.figure)} {line.unit}",
            line.goal,
            {True: "yes", False: "[bold red]no[/]", None: ""}[line.met],
            "" if line.ratio is None else f"{line.ratio:.2f}",
            str(line.runs),
            f"[dim]{line.detail}[/]",
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH)
    console.print(table)


def readable(figure: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{figure:,.0f}" if abs(figure) >= 100 or figure == int(figure) else f"{figure:.3g}"
