"""A live tick after 10, 30 and 100 days of history: rows it reads, and its time.

    .venv/bin/python benchmarks/ticks.py [--quick]

Each length of history has an embedded warehouse of its own, as it is at noon of a day after so many
final days: 50 experiments with three branches that have a row in every window, in the daily tables,
in the hours of the last 14 days, in the sums by the hour and in the derived tables; pings of every
day; their metadata, by which all of them began on the first day; and the memo that says so. A first
tick, which is not counted, makes it whole. Then ticks follow every five minutes, one of each
warehouse in turn; before each its plan must be a tick's: recents, today's derived partitions, and
what health checks keep. Beside the ratio to 10 days stands the one to the history before.

Rows read are those that the scans of stored tables hand on, by DuckDB's profile, over all
statements of one tick, bookkeeping included: what a statement's bounds leave. For that DuckDB goes
through row groups, of 122,880 rows or what there is of the last one, which its min/max indexes
don't exclude; their rows stand beside it. That depends on how the days happen to lie in them, and a
table of fewer rows is gone through as a whole. BigQuery has partitions in their place, which are
the bounds. The tick that is profiled is not one of those timed.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measuring import Line, alone, alternately, engine, timed

import expmon
from expmon.catalog import DATASETS, RELATIONS, TIERS
from expmon.catalog.bookkeeping import PARTITIONS
from expmon.catalog.health import HEALTH, RATIOS, TOTALS
from expmon.catalog.model import Series
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.catalog.sources import EXPERIMENTS
from expmon.sandbox import EVENT_PINGS, MAIN_PINGS, Experiment, Traffic, simulate
from expmon.windows import DAY, HOUR, WINDOW, Partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from expmon import Monitor
    from expmon.catalog.model import Relation

HISTORIES = (10, 30, 100)
TODAY = date(2021, 5, 20)
MIDNIGHT = datetime.combine(TODAY, time(), UTC)
LATEST_HOUR = MIDNIGHT + 11 * HOUR
"""Hours of today are written until then: that of 11:00 is ready at 12:30."""
NOON = MIDNIGHT + 12 * HOUR
HOURLY_DAYS = 14
BRANCHES = 3
GONE_THROUGH = "row groups"
ROWS_GOAL, TIME_GOAL = 0.10, 0.25


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is of everything."""

    experiments: int
    pings_a_day: int
    runs: int


def lines(*, quick: bool) -> Iterator[Line]:
    """Rows and time for each length of history, beside those of the shortest."""
    size = Size(5, 500, 3) if quick else Size(50, 5_000, 15)
    with contextlib.ExitStack() as stack:
        warehouses = {days: stack.enter_context(after(days, size)) for days in HISTORIES}
        sides = {str(days): clocked.seconds for days, clocked in warehouses.items()}
        taken = alternately(sides, size.runs)
        read = {days: clocked.rows() for days, clocked in warehouses.items()}
    gone_through = {days: found.pop(GONE_THROUGH) for days, found in read.items()}
    first = HISTORIES[0]
    for days in HISTORIES:
        rows, ratio = read[days].total(), read[days].total() / read[first].total()
        yield Line(
            f"live tick after {days} days: rows read",
            f"±{ROWS_GOAL:.0%} of those after {first} days" if days > first else "",
            rows,
            "rows",
            ratio,
            abs(ratio - 1) <= ROWS_GOAL if days > first else None,
            detail=", ".join(
                [
                    _beside({d: read[d].total() for d in HISTORIES}, days),
                    f"in row groups of {gone_through[days]:,} rows",
                    *(f"{count:,} of {kind}" for kind, count in sorted(read[days].items())),
                ]
            ),
        )
    for days in HISTORIES:
        ratio = taken[str(days)] / taken[str(first)]
        yield Line(
            f"live tick after {days} days: time",
            f"±{TIME_GOAL:.0%} of that after {first} days" if days > first else "",
            taken[str(days)],
            "s",
            ratio,
            abs(ratio - 1) <= TIME_GOAL if days > first else None,
            size.runs,
            f"{_beside({d: taken[str(d)] for d in HISTORIES}, days)}; "
            f"{size.experiments} experiments of {BRANCHES} branches",
        )


def _beside(found: Mapping[int, float], days: int) -> str:
    """The figure beside that of the history before."""
    before = HISTORIES[max(HISTORIES.index(days) - 1, 0)]
    return f"{found[days] / found[before]:.2f} times that after {before} days"


@dataclass(slots=True)
class Clocked:
    """A warehouse, and the moment of its last tick."""

    monitor: Monitor
    now: datetime

    def seconds(self) -> float:
        """The time of the next tick."""
        self.prepare()
        return timed(lambda: self.monitor.run("live", self.now))

    def rows(self) -> Counter[str]:
        """The rows that the next tick reads, by what they are of, and those of its row groups."""
        self.prepare()
        with profiled(self.monitor) as found:
            self.monitor.run("live", self.now)
        return found

    def prepare(self) -> None:
        """Let five minutes pass, and make sure that a tick is all there is to do."""
        self.now += WINDOW
        steps = self.monitor.plan("live", self.now).steps
        wanted = {tiers.recents.name for tiers in TIERS}
        wanted |= {
            f"{dataset.table.name}${Partition.of_day(TODAY).id}"
            for dataset in DATASETS.values()
            if dataset.series is not Series.DAILY
        }
        wanted |= {RATIOS.name, f"{HEALTH.name}${Partition.of_day(TODAY).id}"}
        if {step.destination for step in steps} != wanted:
            reasons = [f"{step.destination}: {step.reason}" for step in steps]
            raise RuntimeError("this is no mere tick:\n" + "\n".join(reasons))


@contextlib.contextmanager
def profiled(monitor: Monitor) -> Iterator[Counter[str]]:
    """The rows that scans of stored tables hand on, and go through, from now on."""
    found: Counter[str] = Counter()
    file = engine(monitor)._file
    connection = file.opened()
    connection.execute("PRAGMA enable_profiling = 'no_output'")

    def counting(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            result = method(*arguments, **options)
            profile = json.loads(connection.get_profiling_information())
            for table, rows, gone_through in scans(profile.get("operator", ())):
                found[kind_of(table)] += rows
                found[GONE_THROUGH] += gone_through
            return result

        return call

    methods = ("execute", "arrow", "row")
    for name in methods:
        setattr(file, name, counting(getattr(file, name)))
    try:
        yield found
    finally:
        for name in methods:
            delattr(file, name)
        connection.execute("PRAGMA disable_profiling")


def scans(operators: list[dict[str, Any]]) -> Iterator[tuple[str, int, int]]:
    """Each scan: its table, as ``dataset.table``, the rows handed on, and those gone through."""
    for operator in operators:
        name = operator["extra_info"].get("Table", "").replace('"', "")
        if name.startswith("warehouse."):
            handed_on = operator["intermediate_rows"]
            yield name.removeprefix("warehouse."), handed_on, operator["rows_scanned"]
        yield from scans(operator.get("children", ()))


def kind_of(table: str) -> str:
    if table == PARTITIONS.name:
        return "the memo"
    if table in {EVENT_PINGS, MAIN_PINGS}:
        return "pings"
    if table in {RATIOS.name, TOTALS.name, HEALTH.name, EXPERIMENTS.name}:
        return "health and metadata"
    return "derived series" if "time" in RELATIONS[table].column_names else "aggregates"


@contextlib.contextmanager
def after(days: int, size: Size) -> Iterator[Clocked]:
    """A warehouse after so many final days, at noon, with one tick done."""
    with tempfile.TemporaryDirectory() as name:
        place = f"duckdb://{Path(name) / 'bench.duckdb'}"
        with expmon.connect(place) as monitor:
            monitor.deploy()
            fill_pings(monitor, Path(name) / "pings.json", days, size)
            fill_tables(monitor, days, size)
            fill_metadata(monitor, Path(name) / "recipes.json", days, size)
        # Opened anew, the file is checkpointed.
        with expmon.connect(place) as monitor:
            monitor.run("live", NOON)
            yield Clocked(monitor, NOON)


def fill_tables(monitor: Monitor, days: int, size: Size) -> None:
    """The aggregates, the derived tables, and the memo, as if expmon had run all the time."""
    start = MIDNIGHT - days * DAY
    hours_start = max(start, MIDNIGHT - HOURLY_DAYS * DAY)
    sizes = {"experiments": size.experiments, "branches": BRANCHES}
    for tiers in TIERS:
        for relation, begin, end in (
            (tiers.daily, start, MIDNIGHT),
            (tiers.hourly, hours_start, LATEST_HOUR),
        ):
            times = {"start": begin, "end": end, **sizes}
            fill(monitor, relation, dict.fromkeys(tiers.measures, "1"), times)
        times = {"start": start, "end": MIDNIGHT, **sizes, "branches": 1}
        fill(monitor, tiers.by_hour, dict.fromkeys(tiers.measures, "1"), times, step=HOUR)
        remember(monitor, tiers.by_hour, start, MIDNIGHT, step=DAY, lag=4 * HOUR)
        remember(monitor, tiers.daily, start, MIDNIGHT, step=DAY, lag=3 * HOUR)
        remember(monitor, tiers.hourly, hours_start, LATEST_HOUR, step=HOUR, lag=HOUR / 2)
    clients = {"active_clients": "1000"}
    times = {"start": start, "end": MIDNIGHT, **sizes}
    fill(monitor, ACTIVE_CLIENTS, clients, times, step=DAY)
    remember(monitor, ACTIVE_CLIENTS, start, MIDNIGHT, step=DAY, lag=3 * HOUR)
    for dataset in DATASETS.values():
        is_daily = dataset.series is Series.DAILY
        begin, end = (start + DAY, MIDNIGHT + DAY) if is_daily else (start, NOON)
        values = {"value": "1", "event": "'exposure'"}
        fill(
            monitor,
            dataset.table,
            values,
            {"start": begin, "end": end, **sizes},
            step=DAY if is_daily else WINDOW,
        )
        remember(monitor, dataset.table, begin, end, step=DAY, lag=4 * HOUR)


def fill_metadata(monitor: Monitor, path: Path, days: int, size: Size) -> None:
    """The recipes, by which all began on the first day."""
    start = (MIDNIGHT - days * DAY).date().isoformat()
    branches = [{"slug": branch, "ratio": ratio} for branch, ratio in BRANCHED]
    recipes = [
        {"slug": f"experiment-{n}", "startDate": start, "branches": branches}
        for n in range(size.experiments)
    ]
    path.write_text(json.dumps(recipes), encoding="utf-8")
    monitor.ingest_recipes(path)


KEYS = {
    "type": "'pref-flip'",
    "experiment": "'experiment-' || e",
    "experiment_id": "'experiment-' || e",
    "branch": "'branch-' || b",
    "window_start": "time",
    "window_end": "time + INTERVAL 5 MINUTE",
    "hour": "time",
    "last_window": "time + INTERVAL 55 MINUTE",
    "submission_date": "CAST(time AS DATE)",
    "time": "time",
}


def fill(
    monitor: Monitor,
    relation: Relation,
    values: Mapping[str, str],
    times: Mapping[str, Any],
    *,
    step: timedelta = WINDOW,
) -> None:
    """A row for each experiment, branch and step of the time, in the order of time."""
    cells = ", ".join({**KEYS, **values}[name] for name in relation.column_names)
    engine(monitor)._file.execute(
        f"INSERT INTO {relation.name} SELECT {cells} "
        f"FROM range($start, $end, INTERVAL {step.total_seconds():.0f} SECOND) AS t(time), "
        "range($experiments) AS e(e), range($branches) AS b(b) ORDER BY time, e, b",
        dict(times),
    )


def remember(  # noqa: PLR0913 - what is said of each partition
    monitor: Monitor,
    relation: Relation,
    start: datetime,
    end: datetime,
    *,
    step: timedelta,
    lag: timedelta,
) -> None:
    """Each partition was written so long after its end, within a minute, and not since."""
    partition = "strftime(start, '%Y%m%d%H')" if step == HOUR else "strftime(start, '%Y%m%d')"
    seconds = f"INTERVAL {step.total_seconds():.0f} SECOND"
    engine(monitor)._file.execute(
        f"INSERT INTO {PARTITIONS.name} BY NAME SELECT $relation AS relation, "
        f'{partition} AS "partition", \'filled\' AS job_id, 1 AS "rows", '
        f"start + {seconds} AS as_of, start + {seconds} + $lag AS started_at, "
        f"start + {seconds} + $lag + INTERVAL 1 MINUTE AS modified_at "
        f"FROM range($start, $end, {seconds}) AS t(start)",
        {"relation": relation.name, "start": start, "end": end, "lag": lag},
    )


def fill_pings(monitor: Monitor, path: Path, days: int, size: Size) -> None:
    """A day of simulated pings, and the same pings on each day before it."""
    experiments = [
        Experiment(f"experiment-{n}", MIDNIGHT - days * DAY, None, BRANCHED, False, 0.1)
        for n in range(size.experiments)
    ]
    # About three pings a day for every two clients.
    traffic = Traffic(TODAY, 1, size.pings_a_day * 2 // 3, seed=1)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(ping) + "\n" for ping in simulate(experiments, traffic))
    monitor.ingest(path)
    for source in (EVENT_PINGS, MAIN_PINGS):
        engine(monitor)._file.execute(f"CREATE TEMP TABLE pings AS FROM {source}")
        engine(monitor)._file.execute(f"DELETE FROM {source}")
        engine(monitor)._file.execute(
            f"INSERT INTO {source} SELECT pings.* REPLACE "
            "(submission_timestamp - to_days(CAST(ago AS INTEGER)) AS submission_timestamp) "
            "FROM pings, range($days + 1) AS r(ago) ORDER BY submission_timestamp",
            {"days": days},
        )
        engine(monitor)._file.execute("DROP TABLE pings")
        start = MIDNIGHT - days * DAY
        remember(monitor, RELATIONS[source], start, MIDNIGHT, step=DAY, lag=0 * HOUR)


BRANCHED = tuple((f"branch-{n}", 1) for n in range(BRANCHES))

if __name__ == "__main__":
    alone(__doc__, lines)
