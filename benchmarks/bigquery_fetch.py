"""Fetch 1,000,000 rows from BigQuery's emulator, beside reading the same Arrow stream directly.

    .venv/bin/python benchmarks/bigquery_fetch.py [--rows N] [--runs N]

Both sides run the same query and read its result over the Storage Read API; the direct one keeps
the Arrow table, ``fetch_dataframe`` makes a DataFrame of it. Runs alternate, each in a process of
its own; medians are printed. Memory is what the process has at its peak beyond what it had before
it asked, as a multiple of the Arrow table's size.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import Watch, resident

if TYPE_CHECKING:
    from collections.abc import Callable

    from expmon import Monitor

    Read = Callable[[Monitor], tuple[int, int]]

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "expmon-bench"
DATASET, SLUG = "experiment_enrollment_overall", "an-experiment-of-a-usual-length"
TIME_GOAL, MEMORY_GOAL = 1.3, 3.0
MIB = 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measured(SIDES[options.side])))
        return
    sys.path.insert(0, str(ROOT / "tests"))
    from emulators import launch

    with launch.bigquery(PROJECT) as server:
        os.environ["BIGQUERY_EMULATOR_HOST"] = server.rest_url
        os.environ["BIGQUERY_STORAGE_EMULATOR_HOST"] = server.grpc_target
        fill(options.rows)
        found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(options.runs):
            for side, runs in found.items():
                runs.append(in_a_process(side))
    report(found)


def report(found: dict[str, list[dict[str, float]]]) -> None:
    medians = {
        side: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for side, runs in found.items()
    }
    for side, figures in medians.items():
        print(
            f"{side:<16} {figures['seconds']:6.2f} s  {figures['rows']:>9,.0f} rows  "
            f"{figures['size'] / MIB:6.1f} MiB  peak {figures['peak'] / MIB:6.1f} MiB"
        )
    direct, fetched = medians["direct"], medians["fetch_dataframe"]
    print(f"time   {fetched['seconds'] / direct['seconds']:.2f} (goal: at most {TIME_GOAL})")
    print(f"memory {fetched['peak'] / direct['size']:.2f} (goal: at most {MEMORY_GOAL})")


def fill(rows: int) -> None:
    """A derived table with the rows, and the view that users ask."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    client = bigquery.Client(project=PROJECT, credentials=AnonymousCredentials())
    for name in ("telemetry", "telemetry_derived"):
        client.create_dataset(name, exists_ok=True)
    client.query(
        f"CREATE TABLE telemetry_derived.{DATASET}_v1 AS SELECT "
        "TIMESTAMP_ADD(TIMESTAMP '2021-01-01', INTERVAL 5 * DIV(number, 4) MINUTE) AS time, "
        "CONCAT('branch-', MOD(number, 4)) AS branch, "
        f"'{SLUG}' AS experiment, MOD(number * 7919, 1000) AS value "
        f"FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS number"
    ).result()
    client.query(
        f"CREATE VIEW telemetry.{DATASET} AS "
        f"SELECT time, branch, experiment, value FROM telemetry_derived.{DATASET}_v1"
    ).result()


def in_a_process(side: str) -> dict[str, float]:
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, __file__, "--side", side], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def measured(read: Read) -> dict[str, float]:
    """Time and memory of one reading, after all imports."""
    import expmon

    monitor = expmon.connect(f"bigquery://{PROJECT}?location=US", settings={"project": PROJECT})
    monitor.fetch_dataframe(DATASET, "another")  # imports, connections
    before = resident()
    began = time.perf_counter()
    with Watch() as watch:
        rows, size = read(monitor)
    return {
        "seconds": time.perf_counter() - began,
        "rows": rows,
        "size": size,
        "peak": watch.peak - before,
    }


def fetch(monitor: Monitor) -> tuple[int, int]:
    frame = monitor.fetch_dataframe(DATASET, SLUG)
    return len(frame), int(frame.memory_usage(deep=True).sum())


def direct(monitor: Monitor) -> tuple[int, int]:
    """The same query, and its result's one stream, page by page into an Arrow table."""
    import pyarrow as pa
    from google.cloud.bigquery_storage import types

    from expmon.catalog import FETCHABLE
    from expmon.statements.reading import fetch as statement

    warehouse = monitor.warehouse
    query = statement(FETCHABLE[DATASET], warehouse.names, [])
    job = warehouse._jobs.run(query, {"slug": SLUG}).job
    place, reader = job.destination, warehouse._storage
    session = reader.create_read_session(
        parent=f"projects/{PROJECT}",
        read_session=types.ReadSession(
            table=f"projects/{place.project}/datasets/{place.dataset_id}/tables/{place.table_id}",
            data_format=types.DataFormat.ARROW,
        ),
        max_stream_count=1,
    )
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    batches = [
        pa.ipc.read_record_batch(
            pa.py_buffer(answer.arrow_record_batch.serialized_record_batch), schema
        )
        for answer in reader.read_rows(session.streams[0].name)
    ]
    table = pa.Table.from_batches(batches, schema)
    return len(table), table.nbytes


SIDES = {"direct": direct, "fetch_dataframe": fetch}

if __name__ == "__main__":
    main()
