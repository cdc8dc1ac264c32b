"""All benchmarks: one table, and `benchmarks/results.json`.

    .venv/bin/python benchmarks/suite.py [--only NAME ...] [--quick]

Nothing here is an assertion: the exit status is 0 whatever the figures are, and 1 where something
could not be measured. With ``--only`` the other benchmarks' results stay as they are. Quick runs
are for those who change a benchmark: their sizes say nothing about a goal, and they are written to
`benchmarks/results-quick.json`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import traceback
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from measuring import Line, show

import expmon

HERE = Path(__file__).resolve().parent
BENCHMARKS = (
    "startup",
    "airflow_parsing",
    "ticks",
    "export",
    "export_emulator",
    "fetch_embedded",
    "bigquery_fetch",
    "ingestion",
    "daily",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        choices=BENCHMARKS,
        default=BENCHMARKS,
        help=f"some of {', '.join(BENCHMARKS)}",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, few runs")
    options = parser.parse_args()
    path = HERE / ("results-quick.json" if options.quick else "results.json")
    measured: list[Line] = []
    failed = []
    for name in options.only:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        try:
            lines = list(importlib.import_module(name).lines(quick=options.quick))
        except Exception:  # noqa: BLE001 - one benchmark that fails must not stop the others
            traceback.print_exc()
            failed.append(name)
        else:
            write(path, name, lines)
            measured += lines
    show(measured, title="expmon, measured")
    if failed:
        print(f"could not be measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def write(path: Path, name: str, lines: list[Line]) -> None:
    """Put a benchmark's lines in the place of its former ones, and say what they were taken on."""
    results: dict[str, Any] = {}
    if path.exists():
        results = json.loads(path.read_text(encoding="utf-8"))
    results[name] = {**surroundings(), "lines": [plain(line) for line in lines]}
    ordered = {name: results[name] for name in BENCHMARKS if name in results}
    path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def plain(line: Line) -> dict[str, Any]:
    """As it is written down: no figure is known to more than four digits."""
    ratio = None if line.ratio is None else float(f"{line.ratio:.4g}")
    return asdict(replace(line, figure=float(f"{line.figure:.4g}"), ratio=ratio))


def surroundings() -> dict[str, Any]:
    """What a figure depends on, beside the code."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "expmon": expmon.__version__,
        "duckdb": duckdb.__version__,
    }


if __name__ == "__main__":
    sys.exit(main())
