"""Fetch 1,000,000 rows from BigQuery's emulator, beside reading the same Arrow stream directly.

    .venv/bin/python benchmarks/bigquery_fetch.py [--quick]

All sides run the same query and read its result over the Storage Read API. Read directly, it ends
as an Arrow table, or as pyarrow's DataFrame of that; ``fetch_dataframe`` makes a DataFrame with the
declared dtypes, sorted. Runs alternate, each in a process of its own; medians are compared. Memory
is what the process has at its peak beyond what it had before it asked, as a multiple of the Arrow
table's size.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import servers
from measuring import MIB, Line, Watch, alone, engine, in_a_process, medians, resident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from expmon import Monitor

    Read = Callable[[Monitor], tuple[int, int]]

PROJECT = "expmon-bench"
DATASET, SLUG = "experiment_enrollment_overall", "an-experiment-of-a-usual-length"
TIME_GOAL, ARROW_TIME_GOAL, MEMORY_GOAL = 1.2, 1.3, 3.0


def lines(*, quick: bool) -> Iterator[Line]:
    """Time and memory, beside those of a direct reading."""
    rows, runs = (20_000, 1) if quick else (1_000_000, 7)
    with servers.running(PROJECT):
        fill(rows)
        found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(runs):
            for side, taken in found.items():
                taken.append(in_a_process(__file__, side))
    arrow, frame, fetched = (medians(found[side]) for side in SIDES)
    if {figures["rows"] for figures in (arrow, frame, fetched)} != {rows}:
        raise RuntimeError(f"not every side gave {rows} rows")
    name = f"fetch_dataframe of {rows:,} rows, BigQuery's emulator"
    for other, goal, what in (
        (frame, TIME_GOAL, "Arrow to pandas"),
        (arrow, ARROW_TIME_GOAL, "Arrow alone"),
    ):
        ratio = fetched["seconds"] / other["seconds"]
        yield Line(
            f"{name}: time beside {what}",
            f"at most {goal} times as long",
            fetched["seconds"],
            "s",
            ratio,
            ratio <= goal,
            runs,
            f"read directly, {what} takes {other['seconds']:.3g} s",
        )
    ratio = fetched["peak"] / arrow["size"]
    yield Line(
        f"{name}: peak memory",
        f"at most {MEMORY_GOAL:.0f} times the Arrow table",
        fetched["peak"] / MIB,
        "MiB",
        ratio,
        ratio <= MEMORY_GOAL,
        runs,
        f"the Arrow table has {arrow['size'] / MIB:.3g} MiB",
    )


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


def read_directly(monitor: Monitor) -> pa.Table:
    """The same query, and its result's one stream, page by page into an Arrow table."""
    import pyarrow as pa
    from google.cloud.bigquery_storage_v1.types import DataFormat, ReadSession

    from expmon.catalog import FETCHABLE
    from expmon.statements.reading import fetch as statement

    warehouse = engine(monitor)
    query = statement(FETCHABLE[DATASET], warehouse.names, [])
    job = warehouse._jobs.run(query, {"slug": SLUG}).job
    place, reader = job.destination, warehouse._storage
    session = reader.create_read_session(
        parent=f"projects/{PROJECT}",
        read_session=ReadSession(
            table=f"projects/{place.project}/datasets/{place.dataset_id}/tables/{place.table_id}",
            data_format=DataFormat.ARROW,
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
    return pa.Table.from_batches(batches, schema)


def arrow_alone(monitor: Monitor) -> tuple[int, int]:
    table = read_directly(monitor)
    return len(table), table.nbytes


def arrow_to_pandas(monitor: Monitor) -> tuple[int, int]:
    frame = read_directly(monitor).to_pandas()
    return len(frame), 0


SIDES = {
    "arrow_alone": lambda: measured(arrow_alone),
    "arrow_to_pandas": lambda: measured(arrow_to_pandas),
    "fetch_dataframe": lambda: measured(fetch),
}

if __name__ == "__main__":
    alone(__doc__, lines, SIDES)
