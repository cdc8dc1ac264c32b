"""The daily run over a day of 1,000,000 pings, beside SQL by hand; and days of 10^5 and 10^7.

    .venv/bin/python benchmarks/daily.py [--quick]

About 100,000 pings of a day are simulated and ingested, as are those of the day before. In SQL both
days then get ten or a hundred copies of each ping, with document and client ids of their own and
the time and content of the original; about 2 % of the pings are repeats of a document. The copies
of an hour lie behind those of the hour before. The day before has at most 1,000,000 pings.

The run as a whole is `monitor.run("daily")` in a process of its own, in which the day before is
final and this one is not; memory is the most that the process ever had. Beside the run's three
steps, with all that it takes to replace and remember a partition, stands `daily_by_hand.sql`, which
makes three tables of the same pings. The sides take turns in one process, and must give the same
rows.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import GIB, MIB, Line, alone, alternately, engine, in_a_process, medians, peak, timed

import expmon
from expmon.catalog.bookkeeping import PARTITIONS
from expmon.cli import demo
from expmon.sandbox import EVENT_PINGS, MAIN_PINGS, Traffic, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measuring import Part

    from expmon import Monitor

DAY = timedelta(days=1)
START = demo.START
MEASURED = START + DAY
MIDNIGHT = datetime(MEASURED.year, MEASURED.month, MEASURED.day, tzinfo=UTC)
AS_OF = MIDNIGHT + DAY + timedelta(hours=4)
SOURCES = (EVENT_PINGS, MAIN_PINGS)
BASE = 100_000
"""Pings of a day that are simulated."""
CLIENTS_OF_A_PING = 0.613
MOST_BEFORE = 10
"""Copies of the pings of the day before, at most."""
SECONDS_GOAL, MEMORY_GOAL, RATIO_GOAL, GROWTH_GOAL = 10, 2 * GIB, 1.1, 1.1
BY_HAND = Path(__file__).with_name("daily_by_hand.sql")
TABLES = (
    ("telemetry_derived.experiment_enrollment_aggregates_v1", "window_start", "by_hand.enrollment"),
    ("telemetry_derived.experiment_search_aggregates_v1", "window_start", "by_hand.search"),
    ("telemetry_derived.experiments_daily_active_clients_v1", "submission_date", "by_hand.clients"),
)
"""What a daily run writes, by which column it is partitioned, and the same by hand."""


def lines(*, quick: bool) -> Iterator[Line]:
    """The run of the middle size, the comparison, and the growth."""
    base, runs = (5_000, 1) if quick else (BASE, 3)
    found: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        simulated, file = Path(name) / "simulated.duckdb", Path(name) / "bench.duckdb"
        fill(simulated, base)
        for copies in (1, 10, 100):
            shutil.copy(simulated, file)
            multiply(file, copies)
            found[copies] = medians([in_a_process(__file__, "run", file) for _ in range(runs)])
            if copies == 10:
                compared = in_a_process(__file__, "compare", file, 3 if quick else 7)
    middle = found[10]
    pings = f"{middle['pings']:,.0f} pings"
    yield Line(
        f"daily run over {pings}: time",
        f"at most {SECONDS_GOAL} s",
        middle["seconds"],
        "s",
        met=middle["seconds"] <= SECONDS_GOAL,
        runs=runs,
    )
    yield Line(
        f"daily run over {pings}: peak memory",
        f"at most {MEMORY_GOAL // MIB} MiB",
        middle["peak"] / MIB,
        "MiB",
        met=middle["peak"] <= MEMORY_GOAL,
        runs=runs,
        detail="of the whole process",
    )
    ratio = compared["expmon"] / compared["by_hand"]
    yield Line(
        f"steps of the daily run over {pings}, beside SQL by hand: time",
        f"at most {RATIO_GOAL} times as long",
        compared["expmon"],
        "s",
        ratio,
        ratio <= RATIO_GOAL,
        int(compared["runs"]),
        f"by hand {compared['by_hand']:.3g} s, with the same rows",
    )
    for copies, fewer in ((10, 1), (100, 10)):
        yield _growth(found[copies], found[fewer], runs)


def _growth(figures: dict[str, float], before: dict[str, float], runs: int) -> Line:
    ratio = (figures["seconds"] / figures["pings"]) / (before["seconds"] / before["pings"])
    return Line(
        f"daily run over {figures['pings']:,.0f} pings, beside {before['pings']:,.0f}: time a ping",
        f"at most {GROWTH_GOAL} times as long",
        figures["seconds"] / figures["pings"] * 1e6,
        "µs",
        ratio,
        ratio <= GROWTH_GOAL,
        runs,
        f"{figures['seconds']:.3g} s and {figures['peak'] / MIB:,.0f} MiB, beside "
        f"{before['seconds']:.3g} s and {before['peak'] / MIB:,.0f} MiB",
    )


def fill(file: Path, base: int) -> None:
    """Two days of simulated pings."""
    pings = file.with_suffix(".json")
    traffic = Traffic(START, 2, int(base * CLIENTS_OF_A_PING), demo.SEED)
    with pings.open("w", encoding="utf-8") as opened:
        for ping in simulate(demo._experiments(demo._recipes()), traffic):
            opened.write(json.dumps(ping, separators=(",", ":")) + "\n")
    with connected(file) as monitor:
        monitor.deploy()
        monitor.ingest(pings)


def multiply(file: Path, copies: int) -> None:
    """So many of each ping; the day before is final."""
    with connected(file) as monitor:
        for source in SOURCES:
            multiply_source(monitor, source, copies)
        monitor.run("daily", AS_OF - DAY)


def multiply_source(monitor: Monitor, source: str, copies: int) -> None:
    """Hour by hour, so that they lie nearly in the order of arrival."""
    database = engine(monitor)._file
    database.execute(f"CREATE OR REPLACE TEMP TABLE originals AS FROM {source}")
    database.execute(f"DELETE FROM {source}")
    for hour in range(48):
        since = MIDNIGHT - DAY + timedelta(hours=hour)
        database.execute(
            f"INSERT INTO {source} SELECT originals.* REPLACE ("
            "left(document_id, -3) || printf('%03d', copy) AS document_id, "
            "left(client_id, -3) || printf('%03d', copy) AS client_id"
            ") FROM originals, range($copies) AS r(copy) "
            "WHERE submission_timestamp >= $since AND submission_timestamp < $until",
            {
                "copies": copies if since >= MIDNIGHT else min(copies, MOST_BEFORE),
                "since": since,
                "until": since + timedelta(hours=1),
            },
        )
    database.execute("DROP TABLE originals")


def connected(file: Path) -> Monitor:
    return expmon.connect(f"duckdb://{file}")


def run(place: str) -> dict[str, float]:
    """The whole run, as if it had not been there yet."""
    with connected(Path(place)) as monitor:
        forget(monitor)
        steps = {step.destination for step in monitor.plan("daily", AS_OF).steps}
        if steps != {f"{table}${MEASURED:%Y%m%d}" for table, _, _ in TABLES}:
            raise RuntimeError(f"a run would write {sorted(steps)}")
        seconds = timed(lambda: monitor.run("daily", AS_OF))
        return {"seconds": seconds, "peak": peak(), "pings": pings_of(monitor)}


def forget(monitor: Monitor) -> None:
    """Let the day be missing."""
    database = engine(monitor)._file
    for table, column, _ in TABLES:
        database.execute(f"DELETE FROM {table} WHERE {column} >= $day", {"day": MEASURED})
        database.execute(
            f'DELETE FROM {PARTITIONS.name} WHERE relation = $table AND "partition" = $day',
            {"table": table, "day": f"{MEASURED:%Y%m%d}"},
        )


def pings_of(monitor: Monitor) -> int:
    """How many the measured day has."""
    return sum(
        engine(monitor)._file.row(
            f"SELECT count(*) FROM {source} WHERE submission_timestamp >= $midnight",
            {"midnight": MIDNIGHT},
        )[0]
        for source in SOURCES
    )


def compare(place: str, runs: str) -> dict[str, float]:
    """The run's steps, and the same by hand, in turns.

    Raises:
        RuntimeError: they gave other rows.
    """
    with connected(Path(place)) as monitor:
        forget(monitor)
        writes = [step.write for step in monitor.plan("daily", AS_OF).steps]
        connection = engine(monitor)._file.opened()
        connection.execute("CREATE SCHEMA IF NOT EXISTS by_hand")
        statements = connection.extract_statements(BY_HAND.read_text(encoding="utf-8"))

        def by_expmon() -> None:
            for write in writes:
                list(monitor.warehouse.write([write]))

        def by_hand() -> None:
            for statement in statements:
                connection.execute(statement.query, {"since": MIDNIGHT, "until": MIDNIGHT + DAY})

        by_expmon()
        by_hand()
        assert_same(monitor)
        sides = {"expmon": lambda: timed(by_expmon), "by_hand": lambda: timed(by_hand)}
        return {**alternately(sides, int(runs)), "runs": int(runs)}


def assert_same(monitor: Monitor) -> None:
    """Every row is on both sides, as many times, and there are some."""
    for table, column, by_hand in TABLES:
        ours = f"(FROM {table} WHERE {column} >= $day)"
        theirs = f"(FROM {by_hand} WHERE {column} >= $day)"
        rows, ours_alone, theirs_alone = engine(monitor)._file.row(
            f"SELECT (SELECT count(*) FROM {ours}), "
            f"(SELECT count(*) FROM ({ours} EXCEPT ALL {theirs})), "
            f"(SELECT count(*) FROM ({theirs} EXCEPT ALL {ours}))",
            {"day": MEASURED},
        )
        if ours_alone or theirs_alone or not rows:
            raise RuntimeError(
                f"of {rows} rows of {table} by hand has not {ours_alone}, and {theirs_alone} others"
            )


PARTS: dict[str, Part] = {"run": run, "compare": compare}

if __name__ == "__main__":
    alone(__doc__, lines, PARTS)
