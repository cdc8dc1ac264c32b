"""Ingest 200,000 pings into the embedded engine, beside DuckDB's own reader of rows in table form.

    .venv/bin/python benchmarks/ingestion.py [--quick]

The pings are the demo's, simulated for more clients: newline-delimited JSON as clients send it. The
other side has the same rows as they stand in the tables, as newline-delimited JSON too, and DuckDB
inserts them with its `read_json`: nothing is left to do but reading. Runs alternate, each into a
new warehouse; medians are printed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import Line, alone, engine

import expmon
from expmon.catalog import RELATIONS
from expmon.cli import demo
from expmon.sandbox import EVENT_PINGS, MAIN_PINGS, Traffic, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from expmon import Monitor

GOAL = 20_000
PINGS_OF_A_CLIENT = 4
"""In the three days of the demo; a little below what is simulated."""


def lines(*, quick: bool) -> Iterator[Line]:
    """Pings a second, beside the rows that DuckDB's reader takes."""
    pings, runs = (5_000, 1) if quick else (200_000, 5)
    found = measure(pings, runs)
    rate = found["pings_a_second"]
    yield Line(
        f"ingestion of {pings:,} pings of {found['bytes_a_ping']:,.0f} bytes",
        f"at least {GOAL:,} pings/s",
        rate,
        "pings/s",
        rate / found["reader_rows_a_second"],
        rate >= GOAL,
        runs,
        f"DuckDB's own reader: {found['reader_rows_a_second']:,.0f} rows/s, in table form already",
    )


def measure(pings: int, runs: int) -> dict[str, float]:
    """The medians of both sides, and what they were taken of."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = written(directory / "pings.json", pings)
        tables = in_table_form(path, directory)
        ingested, read = [], []
        for _ in range(runs):
            with new_monitor() as monitor:
                began = time.perf_counter()
                monitor.ingest(path)
                ingested.append(pings / (time.perf_counter() - began))
            with new_monitor() as monitor:
                began = time.perf_counter()
                for source, rows in tables.items():
                    insert(monitor, source, rows)
                read.append(pings / (time.perf_counter() - began))
        return {
            "bytes_a_ping": path.stat().st_size / pings,
            "pings_a_second": statistics.median(ingested),
            "reader_rows_a_second": statistics.median(read),
        }


def written(path: Path, count: int) -> Path:
    """As many of the demo's pings, one a line."""
    clients = count // PINGS_OF_A_CLIENT + 100
    traffic = Traffic(start=demo.START, days=demo.DAYS, clients=clients, seed=demo.SEED)
    simulated = simulate(demo._experiments(demo._recipes()), traffic)
    with path.open("w", encoding="utf-8") as file:
        for ping in itertools.islice(simulated, count):
            file.write(json.dumps(ping, separators=(",", ":")) + "\n")
            count -= 1
    if count:
        raise RuntimeError(f"{count} more pings were wanted than were simulated")
    return path


def in_table_form(path: Path, directory: Path) -> dict[str, Path]:
    """The rows of each source, as they are after the pings were ingested."""
    files = {source: directory / f"{source}.json" for source in (EVENT_PINGS, MAIN_PINGS)}
    with new_monitor() as monitor:
        monitor.ingest(path)
        for source, file in files.items():
            table = engine(monitor)._name(RELATIONS[source])
            engine(monitor)._file.execute(f"COPY {table} TO '{file}' (FORMAT json)")
    return files


def insert(monitor: Monitor, source: str, rows: Path) -> None:
    warehouse = engine(monitor)
    table = warehouse._name(RELATIONS[source])
    types = ", ".join(f"'{name}': '{type_}'" for name, type_ in warehouse._described(table).items())
    warehouse._file.execute(
        f"INSERT INTO {table} SELECT * FROM "
        f"read_json('{rows}', format = 'newline_delimited', columns = {{{types}}})"
    )


@contextlib.contextmanager
def new_monitor() -> Iterator[Monitor]:
    with (
        tempfile.TemporaryDirectory() as name,
        expmon.connect(f"duckdb://{Path(name) / 'bench.duckdb'}") as monitor,
    ):
        monitor.deploy()
        yield monitor


if __name__ == "__main__":
    alone(__doc__, lines)
