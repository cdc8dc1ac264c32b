"""What holds whatever the pings are: on DuckDB, and on Google's engine, statement by statement.

Every promise is tried twice: with many examples on DuckDB alone, and with few on both engines, each
of whose statements must then give the same rows, with the same types. What is expected comes from
plain Python, mostly `reference`.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from datetime import UTC, datetime
from functools import cache

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import googlesql
import reference
import strategies
from expmon.catalog import DATASETS, EXPORTED, RELATIONS, TIERS
from expmon.catalog.model import Kind, Names, Rollup, Series, Statement
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.catalog.sources import (
    CLIENTS_DAILY,
    EVENT_EVENTS,
    EVENT_V4,
    MAIN_EVENTS,
    MAIN_V4,
    STABLE_MAIN_V4,
)
from expmon.statements import materialization, reading, view
from expmon.statements.embedded import source_views
from expmon.warehouse.translation import duckdb_sql, duckdb_type
from strategies import FIRST
from tricky import DAY, HOUR, TICK, WINDOW

NAMES = Names()
ENROLLMENT, SEARCH = TIERS
SOURCES = {name: Statement(name, tree) for name, tree in source_views(NAMES).items()}
EXPORT = reading.export_series(NAMES, EXPORTED)
CUMULATIVE = [d for d in DATASETS.values() if d.series is Series.CUMULATIVE]
SHORT = [d for d in DATASETS.values() if d.series is not Series.CUMULATIVE]
"""Datasets without a row where nothing happened."""
POPULATION = DATASETS[reference.POPULATION]


# The engines


class OnDuckDB:
    """Runs statements on an embedded database in memory."""

    def __init__(self):
        self._connection = duckdb.connect(":memory:")
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute("SET threads = 1")
        self._schemas, self._filled = {}, {}
        for dataset in {relation.dataset for relation in RELATIONS.values()}:
            self._connection.execute(f'CREATE SCHEMA "{dataset}"')
        for relation in RELATIONS.values():
            if relation.kind is Kind.VIEW:
                query = duckdb_sql(view(relation, NAMES))
                self._connection.execute(f"CREATE VIEW {relation.name} AS {query}")
            else:
                columns = ", ".join(f'"{c.name}" {duckdb_type(c.type)}' for c in relation.columns)
                self._connection.execute(f"CREATE TABLE {relation.name} ({columns})")
                empty = self._connection.sql(f"FROM {relation.name}").to_arrow_table()
                self._schemas[relation.name] = empty.schema

    def run(self, statement, parameters, tables):
        """The rows of a query over these tables; all others are empty."""
        for name in {*self._filled, *tables}:
            self._fill(name, tables.get(name, []))
        found = self._connection.sql(duckdb_sql(statement), params=parameters).to_arrow_table()
        return [{n: plain(cell) for n, cell in row.items()} for row in found.to_pylist()]

    def _fill(self, name, rows):
        before = self._filled.get(name, [])
        if rows is before or not (rows or before):
            return
        self._connection.execute(f"DELETE FROM {name}")
        if rows:
            batch = pa.Table.from_pylist(rows, schema=self._schemas[name])
            self._connection.register("batch", batch)
            self._connection.execute(f"INSERT INTO {name} FROM batch")
            self._connection.unregister("batch")
        self._filled[name] = rows


class OnBoth:
    """Runs statements on both engines, which must agree."""

    def run(self, statement, parameters, tables):
        found = on_duckdb().run(statement, parameters, tables)
        answer = googlesql.execute(statement, parameters, tables)
        is_set = statement.name == CLIENTS_DAILY.name
        google = counted((tuple(map(plain, row)) for row in answer), is_set=is_set)
        assert google == counted((tuple(row.values()) for row in found), is_set=is_set)
        return found


@cache
def on_duckdb():
    return OnDuckDB()


def plain(cell):
    """A cell with its moments in UTC, as one object whatever made it."""
    match cell:
        case datetime():
            return cell.astimezone(UTC)
        case dict():
            return {name: plain(inner) for name, inner in cell.items()}
        case list():
            return [plain(inner) for inner in cell]
        case _:
            return cell


def counted(rows, *, is_set=False):
    """The rows as a multiset; by their texts, since 1, 1.0 and true are equal."""
    if is_set:  # A client's experiments are in no order of their own.
        ordered = [[sorted(map(repr, c)) if isinstance(c, list) else c for c in r] for r in rows]
        return Counter(map(repr, ordered))
    return Counter(map(repr, rows))


ENGINES = {"duckdb": on_duckdb, "both": OnBoth}


@pytest.fixture(params=ENGINES)
def promised(request):
    """Tries a promise, a function of an engine and of what is drawn.

    ``examples`` is how many there are, on DuckDB and on both engines.
    """
    engine = ENGINES[request.param]

    def tried(promise, *drawn, examples):
        number = dict(zip(ENGINES, examples, strict=True))[request.param]

        def one(values):
            promise(engine(), *values)

        test = given(st.tuples(*drawn))(one)
        settings(
            max_examples=number,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(test)()

    return tried


# What the schedules do, on any engine


def played(engine, history, datasets=None):
    """What all tables hold after the pings, by relation, in the order of the schedules.

    Without cumulative series on Google's engine, which takes seconds for a day of them.
    """
    if datasets is None:
        datasets = DATASETS.values() if isinstance(engine, OnDuckDB) else SHORT
    tables = {EVENT_V4.name: history.rows("event"), MAIN_V4.name: history.rows("main")}
    for relation in (STABLE_MAIN_V4, EVENT_EVENTS, MAIN_EVENTS, CLIENTS_DAILY):
        tables[relation.name] = engine.run(SOURCES[relation.name], {}, tables)
    start, views = reference.recents_start(history.played), {}
    latest = reference.latest_window(history.as_of)
    past = [{"day": FIRST.date() + n * DAY} for n in range((latest.date() - FIRST.date()).days)]
    for tiers in TIERS:
        days = [{"day": day} for day in sorted(history.final_days)]
        hours = [{"start": hour, "end": hour + HOUR} for hour in sorted(history.written_hours)]
        recents = [{"start": start, "end": history.as_of}]
        written = {tiers.daily: days, tiers.hourly: hours, tiers.recents: recents}
        tables |= {r.name: partitions(engine, r, tables, given) for r, given in written.items()}
        tables[tiers.by_hour.name] = partitions(engine, tiers.by_hour, tables, past)
        views[tiers.live.name] = engine.run(view(tiers.live, NAMES), {}, tables)
    days = [{"day": day} for day in sorted(history.final_days)]
    tables[ACTIVE_CLIENTS.name] = partitions(engine, ACTIVE_CLIENTS, tables, days)
    days = [FIRST.date() + n * DAY for n in range((latest - FIRST).days + 1)]
    for dataset in datasets:
        tables[dataset.table.name] = successive_days(engine, dataset, tables, days, latest)
    return {**tables, **views}


def partitions(engine, relation, tables, given_parameters):
    statement = materialization(relation, NAMES)
    return [row for given in given_parameters for row in engine.run(statement, given, tables)]


def successive_days(engine, dataset, tables, days, latest, before=()):
    """A dataset's rows of these days, each computed from the one before it."""
    statement = materialization(dataset.table, NAMES)
    found, yesterday = [], list(before)
    inputs = {name: tables.get(name, []) for name in dataset.table.inputs}
    for day in days:
        given = {"day": day}
        if dataset.series is not Series.DAILY:
            last = reference.midnight(day + DAY) - WINDOW
            given["latest_window"] = min(last, latest)
        inputs[dataset.table.name] = yesterday
        yesterday = engine.run(statement, given, inputs)
        found += yesterday
    return found


def exported(engine, tables, starts, as_of):
    """The points of each dataset and experiment."""
    given = {
        "experiments": [{"slug": slug, "start": start} for slug, start in starts.items()],
        "slugs": list(starts),
        "earliest_start": min(starts.values()),
        "as_of": as_of,
    }
    series = {dataset.table.name: tables.get(dataset.table.name, []) for dataset in EXPORTED}
    rows = engine.run(EXPORT, given, series)
    assert len(rows) == len({(row["dataset"], row["experiment"]) for row in rows})
    return {(row["dataset"], row["experiment"]): row["points"] for row in rows}


def tuples(rows, columns):
    return [tuple(row[column] for column in columns) for row in rows]


def assert_same_rows(found, wanted, what):
    lacks, has = counted(wanted) - counted(found), counted(found) - counted(wanted)
    assert (list(lacks)[:3], list(has)[:3]) == ([], []), f"{what}: what it lacks, and has"


# The promises


def test_every_table_is_what_plain_python_computes(promised):
    def promise(engine, history):
        tables, told = played(engine, history), history.played
        wanted = {
            ENROLLMENT.daily: reference.enrollment_daily(told),
            ENROLLMENT.hourly: reference.enrollment_hourly(told),
            ENROLLMENT.recents: reference.enrollment_recents(told),
            ENROLLMENT.live: reference.enrollment_live(told),
            ENROLLMENT.by_hour: reference.enrollment_by_hour(told),
            SEARCH.daily: reference.search_daily(told),
            SEARCH.hourly: reference.search_hourly(told),
            SEARCH.recents: reference.search_recents(told),
            SEARCH.live: reference.search_live(told),
            SEARCH.by_hour: reference.search_by_hour(told),
            ACTIVE_CLIENTS: reference.daily_active_clients(told),
        }
        derived = reference.derived(told)
        wanted |= {dataset.table: derived[name] for name, dataset in DATASETS.items()}
        for relation, rows in wanted.items():
            if relation.name not in tables:
                continue
            found, expected = tuples(tables[relation.name], relation.column_names), rows
            if relation == DATASETS[reference.DAILY_ACTIVE].table:
                # A day whose clients are not yet those of a partition that exists.
                expected = [r for r in rows if r[0] <= reference.latest_window(told.as_of)]
            assert_same_rows(found, expected, relation.name)

    promised(promise, strategies.histories(), examples=(15, 3))


def test_totals_are_conserved_from_pings_to_the_export(promised):
    """Whichever tiers have been written: every event that counts is in all of them once."""

    def promise(engine, history):
        tables = played(engine, history, SHORT)
        events = [event for event in events_of(history) if event[0] < history.as_of]
        start = reference.recents_start(history.played)
        tiers = {
            ENROLLMENT.daily: [e for e in events if e[0].date() in history.final_days],
            ENROLLMENT.hourly: [
                e for e in events if reference.hour_of(e[0]) in history.written_hours
            ],
            ENROLLMENT.recents: [e for e in events if e[0] >= start],
            ENROLLMENT.live: events,
        }
        for relation, expected in tiers.items():
            found = {m: sum(r[m] for r in tables[relation.name]) for m in ENROLLMENT.measures}
            assert +Counter(found) == Counter(column for _, column, _ in expected), relation.name
        totals = Counter(column for _, column, _ in events)
        slugs = {slug for _, _, slug in events} or {"nobody"}
        points = exported(engine, tables, dict.fromkeys(slugs, FIRST), history.as_of)
        for name, columns in reference.COUNT_DATASETS.items():
            total = sum(totals[column] for column in columns)
            assert total == sum(row["value"] for row in tables[DATASETS[name].table.name])
            found = (p["value"] for (d, _), given in points.items() if d == name for p in given)
            assert total == sum(found), name
        others = tables[DATASETS[reference.OTHER_EVENTS].table.name]
        enrolled = totals["enroll_count"] + totals["unenroll_count"]
        assert totals.total() - enrolled == sum(row["value"] for row in others)

    promised(promise, strategies.histories(days=2, once=True), examples=(15, 3))


def events_of(history):
    """(moment, column, experiment) of each event that counts."""
    return [
        (ping.moment, reference.COLUMN_OF_METHOD[event[2]], event[4])
        for ping in history.pings
        if ping.document["type"] == "event"
        for process, events in ping.document["payload"]["events"].items()
        if process != "socket"
        for event in events or ()
        if event[1] == "normandy"
        and event[2] in reference.COLUMN_OF_METHOD
        and event[4] is not None
    ]


@pytest.mark.parametrize("tiers", TIERS, ids=lambda tiers: tiers.name)
def test_a_window_comes_from_exactly_one_tier(promised, tiers):
    def promise(engine, tables):
        keys = (*tiers.keys, "window_start")
        found = engine.run(view(tiers.live, NAMES), {}, tables)
        assert max(Counter(tuples(found, keys)).values(), default=1) == 1
        assert_same_rows(tuples(found, tiers.columns), right_tier(tiers, tables), tiers.name)
        if tiers.cumulative:
            for row in found:
                up_to = [
                    r
                    for r in found
                    if (r["experiment"], r["branch"]) == (row["experiment"], row["branch"])
                    and r["window_start"] <= row["window_start"]
                ]
                for measure in tiers.measures:
                    assert row[f"cumulative_{measure}"] == sum(r[measure] for r in up_to)

    promised(promise, strategies.aggregates(tiers, range(3)), examples=(40, 10))


def right_tier(tiers, tables):
    """The rows of the three tables that are to be seen."""
    return reference.one_tier_each(
        *(
            tuples(tables[r.name], tiers.columns)
            for r in (tiers.daily, tiers.hourly, tiers.recents)
        ),
        start=tiers.columns.index("window_start"),
    )


def test_the_order_of_input_rows_never_matters(promised):
    class Shuffled:
        def __init__(self, engine, number):
            self.engine, self.random = engine, random.Random(number)

        def run(self, statement, parameters, tables):
            found = self.engine.run(statement, parameters, tables)
            other = {name: self.random.sample(rows, len(rows)) for name, rows in tables.items()}
            again = self.engine.run(statement, parameters, other)
            is_set = statement.name == CLIENTS_DAILY.name
            rows = ([tuple(row.values()) for row in given] for given in (found, again))
            assert len({frozenset(counted(r, is_set=is_set).items()) for r in rows}) == 1
            return found

    def promise(engine, history, number):
        datasets = DATASETS.values() if isinstance(engine, OnDuckDB) else SHORT
        engine = Shuffled(engine, number)
        tables = played(engine, history, datasets)
        slugs = {row["experiment"] for row in tables[ENROLLMENT.live.name]} or {"nobody"}
        for start in (FIRST, FIRST - 14 * DAY):
            exported(engine, tables, dict.fromkeys(slugs, start), history.as_of)

    promised(promise, strategies.histories(), st.integers(0, 999), examples=(6, 1))


@pytest.mark.parametrize("dataset", CUMULATIVE, ids=lambda dataset: dataset.name)
def test_days_computed_one_from_the_other_are_the_sum_over_all_of_history(promised, dataset):
    """Dense while the experiment is awake; asleep, one row a day, from which it goes on."""

    def promise(engine, tables, first, length):
        as_of = FIRST + (first + 2) * DAY + length
        days = [FIRST.date() + (first + n) * DAY for n in range(3)]
        wanted = defaultdict(list)
        for row in whole_history(dataset, tables, as_of):
            wanted[row[0].date()].append(row)
        columns = dataset.table.column_names
        before = [dict(zip(columns, row, strict=True)) for row in wanted[days[0] - DAY]]
        latest = reference.latest_window(as_of)
        given = {**tables, dataset.tiers.by_hour.name: by_hour(dataset.tiers, tables)}
        found = successive_days(engine, dataset, given, days, latest, before)
        rows = [row for day in days for row in wanted[day]]
        assert_same_rows(tuples(found, columns), rows, dataset.name)

    around = [0, 1, 2, 13, 14, 15, 16]
    lengths = [TICK, WINDOW, WINDOW + TICK, 12 * HOUR, DAY - WINDOW, DAY]
    promised(
        promise,
        strategies.aggregates(dataset.tiers, around),
        st.sampled_from([0, 1, 12, 13, 14, 15]),
        st.sampled_from(lengths),
        examples=(25, 1),
    )


def by_hour(tiers, tables):
    """The sums by the hour of every day."""
    hours = defaultdict(list)
    for row in (dict(zip(tiers.columns, r, strict=True)) for r in right_tier(tiers, tables)):
        hours[reference.hour_of(row["window_start"]), row["experiment"]].append(row)
    return [
        {
            "hour": hour,
            "experiment": experiment,
            **{measure: sum(row[measure] for row in rows) for measure in tiers.measures},
            "last_window": max(row["window_start"] for row in rows),
        }
        for (hour, experiment), rows in hours.items()
    ]


def whole_history(dataset, tables, as_of):
    """The rows of a cumulative dataset, from the right tiers' rows of every day."""
    keys, measures = dataset.tiers.columns, dataset.tiers.measures
    rows = [dict(zip(keys, row, strict=True)) for row in right_tier(dataset.tiers, tables)]
    entries = (
        (
            (row["experiment"], reference.named(row["branch"]), row["window_start"]),
            {measure: row[measure] for measure in measures},
        )
        for row in rows
    )
    points = reference.summed(entries, as_of)
    if dataset == POPULATION:
        changes = reference.population_changes(points)
    else:
        column = reference.SEARCH_DATASETS[dataset.name]
        changes = {point: counts[column] for point, counts in points.items()}
    return reference.cumulative_rows(changes, reference.days_with_rows(points), as_of)


def test_cumulative_is_the_sum_of_the_counts_at_every_window(promised):
    """Against the library's own counts: of pings, through the tiers, per series and window."""

    def promise(engine, history):
        tables = played(engine, history, [POPULATION])
        latest = reference.latest_window(history.as_of)
        counts = defaultdict(list)
        for row in tables[ENROLLMENT.live.name]:
            change = row["enroll_count"] - row["unenroll_count"] - row["graduate_count"]
            if row["enroll_count"] or row["unenroll_count"] or row["graduate_count"]:
                series = row["experiment"], reference.named(row["branch"])
                counts[series].append((row["window_start"], change))
        found = defaultdict(dict)
        for row in tables[POPULATION.table.name]:
            values = found[row["experiment"], row["branch"]]
            assert row["time"] not in values
            values[row["time"]] = row["value"]
        assert found.keys() == counts.keys()
        for series, changes in counts.items():
            first = min(window for window, _ in changes)
            dense = [first + n * WINDOW for n in range((latest - first) // WINDOW + 1)]
            assert sorted(found[series]) == dense
            for window, value in found[series].items():
                assert value == sum(change for at, change in changes if at <= window)

    promised(promise, strategies.histories(days=2), examples=(15, 2))


def test_half_hours_of_the_export_are_the_rollup_of_its_windows(promised):
    def promise(engine, tables, as_of):
        slugs = {row["experiment"] for rows in tables.values() for row in rows} or {"nobody"}
        # No row is as near to the start as that the two differ in what is after it.
        starts = (as_of - 14 * DAY, as_of - 14 * DAY - TICK)
        fine, coarse = (
            exported(engine, tables, dict.fromkeys(slugs, start), as_of) for start in starts
        )
        for dataset in EXPORTED:
            for slug in slugs:
                points = {
                    (p["time"], p["branch"]): p["value"] for p in fine.get((dataset.name, slug), ())
                }
                if dataset.series is not Series.DAILY:
                    is_last = dataset.rollup is Rollup.LAST
                    points = reference.half_hours(points, as_of, cumulative=is_last)
                rows = [(*key, value) for key, value in points.items()]
                newest_first = sorted(
                    sorted(rows, key=lambda r: r[1]), key=lambda r: r[0], reverse=True
                )
                given = coarse.get((dataset.name, slug), [])
                assert tuples(given, ("time", "branch", "value")) == newest_first

    as_of = strategies.moments([15, 16])
    promised(promise, strategies.series(EXPORTED, [0, 14, 15, 16]), as_of, examples=(30, 5))
