"""Parse the DAG file of the examples, in the environment that Airflow is tested in.

    .venv/bin/python benchmarks/airflow_parsing.py [--quick]

Each run is a process that imports Airflow first; what the file takes beyond that is measured. It is
``make test-airflow`` that makes the environment, and ``make bench`` does so, too.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import Line, alone

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-airflow3" / "bin" / "python"
FILE = ROOT / "examples" / "airflow" / "expmon_dags.py"
PARSE = """
import json, runpy, sys, time
began = time.perf_counter()
from airflow.sdk import DAG
imported = time.perf_counter()
names = runpy.run_path(sys.argv[1])
parsed = time.perf_counter()
assert {"live", "hourly", "daily"} <= names.keys()
print(json.dumps([imported - began, parsed - imported]))
"""


def lines(*, quick: bool) -> Iterator[Line]:
    """The time of the file alone."""
    runs = 3 if quick else 11
    with tempfile.TemporaryDirectory() as home:
        taken = [parse(home) for _ in range(runs)]
    airflow, file = (statistics.median(side) for side in zip(*taken, strict=True))
    yield Line(
        "parsing the DAG file",
        "",
        file * 1000,
        "ms",
        runs=runs,
        detail=f"beyond the import of Airflow 3, which takes {airflow:.3g} s",
    )


def parse(home: str) -> tuple[float, float]:
    """Seconds of Airflow's import, and of the file after it."""
    done = subprocess.run(  # noqa: S603 - our own command
        [PYTHON, "-c", PARSE, FILE],
        env={**os.environ, "AIRFLOW_HOME": home},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the DAG file can't be parsed:\n{done.stderr}")
    imported, parsed = json.loads(done.stdout.splitlines()[-1])
    return imported, parsed


if __name__ == "__main__":
    alone(__doc__, lines)
