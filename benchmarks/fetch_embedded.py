"""Fetch 1,000,000 rows from the embedded engine, beside DuckDB's own way to a DataFrame by Arrow.

    .venv/bin/python benchmarks/fetch_embedded.py [--quick]

Both sides run the same query in the same process. DuckDB's own is `to_arrow_table`, and pyarrow's
`to_pandas` of that; `fetch_dataframe` also gives every column its declared dtype. The sides take
turns, and medians are compared.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import Line, alone, alternately, engine, timed

import expmon
from expmon.catalog import DATASETS, FETCHABLE
from expmon.statements.reading import fetch
from expmon.warehouse.translation import duckdb_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from expmon import Monitor

DATASET, SLUG = "experiment_enrollment_overall", "an-experiment-of-a-usual-length"
GOAL = 1.2


def lines(*, quick: bool) -> Iterator[Line]:
    """The time, beside that of the engine's own fetch."""
    rows, runs = (50_000, 3) if quick else (1_000_000, 15)
    with tempfile.TemporaryDirectory() as name:
        place = f"duckdb://{Path(name) / 'bench.duckdb'}"
        with expmon.connect(place) as monitor:
            fill(monitor, rows)
            compare(monitor, rows)
            taken = alternately(
                {
                    "own": lambda: timed(lambda: own(monitor)),
                    "fetch": lambda: timed(lambda: monitor.fetch_dataframe(DATASET, SLUG)),
                },
                runs,
            )
    ratio = taken["fetch"] / taken["own"]
    yield Line(
        f"fetch_dataframe of {rows:,} rows, embedded engine: time",
        f"at most {GOAL} times the engine's own",
        taken["fetch"],
        "s",
        ratio,
        ratio <= GOAL,
        runs,
        f"DuckDB's own fetch by Arrow to pandas takes {taken['own']:.3g} s",
    )


def fill(monitor: Monitor, rows: int) -> None:
    """A derived table with the rows."""
    monitor.deploy()
    engine(monitor)._file.execute(
        f"INSERT INTO {DATASETS[DATASET].table.name} (time, branch, experiment, value) "
        "SELECT TIMESTAMPTZ '2021-01-01' + to_minutes(5 * (number // 4)), "
        "'branch-' || number % 4, $slug, number * 7919 % 1000 FROM range($rows) AS r(number)",
        {"slug": SLUG, "rows": rows},
    )


def own(monitor: Monitor) -> pd.DataFrame:
    sql = duckdb_sql(fetch(FETCHABLE[DATASET], monitor.settings.names, []))
    connection = engine(monitor)._file.opened()
    frame: pd.DataFrame = connection.sql(sql, params={"slug": SLUG}).to_arrow_table().to_pandas()
    return frame


def compare(monitor: Monitor, rows: int) -> None:
    """Both sides give all rows, and take what they need for the first time.

    Raises:
        RuntimeError: one doesn't.
    """
    counts = {len(own(monitor)), len(monitor.fetch_dataframe(DATASET, SLUG))}
    if counts != {rows}:
        raise RuntimeError(f"the sides gave {counts} rows of {rows}")


if __name__ == "__main__":
    alone(__doc__, lines)
