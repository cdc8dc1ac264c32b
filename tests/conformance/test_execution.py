"""Every statement gives the same rows, with the same types, on Google's engine and on DuckDB."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

import googlesql
import statement_variants as variants
import tricky
from expmon.catalog import DATASETS, EXPORTED, FETCHABLE, RELATIONS, TIERS
from expmon.catalog.alerts import ALERTS
from expmon.catalog.bookkeeping import PARTITIONS
from expmon.catalog.health import EVENTS, HEALTH, HEALTH_VIEW, RATIOS, TOTALS
from expmon.catalog.model import Names, Series
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.catalog.sources import (
    CLIENTS_DAILY,
    EVENT_EVENTS,
    EVENT_V4,
    EVENTS_LIVE,
    EXPERIMENTS,
    MAIN_EVENTS,
    MAIN_V4,
    STABLE_MAIN_V4,
)
from expmon.warehouse.duckdb import DuckDBWarehouse
from expmon.warehouse.translation import duckdb_type
from tricky import ALL_TIERS, DAY, HOUR, LEAP_DAY, MIDNIGHT, NAMES, TICK, WINDOW

COMPUTED = variants.computed(Names())
EMBEDDED = variants.embedded(Names())
READ = variants.read(Names())
CHARTED = variants.charted(Names())
JUDGED = variants.judging(Names())
ALERTING = variants.alerting(Names())
EVERY = {**COMPUTED, **EMBEDDED, **READ, **CHARTED, **JUDGED, **ALERTING}

ENROLLMENT, SEARCH = TIERS
LATEST = MIDNIGHT + DAY - WINDOW
ALWAYS = {"start": datetime(1900, 1, 1, tzinfo=UTC), "end": datetime(2900, 1, 1, tzinfo=UTC)}


ORDERED = ("fetch.", "active_experiments", "grafana.")
"""Statements whose rows come in an order."""


class Case(NamedTuple):
    """The rows that a statement is run on, and its parameters."""

    parameters: dict[str, Any]
    tables: dict[str, list[tricky.Row]]


# What each statement is run on


def live_counts(tables):
    spans = [(MIDNIGHT, MIDNIGHT + HOUR), (MIDNIGHT - TICK, MIDNIGHT + DAY), (MIDNIGHT, MIDNIGHT)]
    found = [{"start": start, "end": end} for start, end in spans]
    return [Case(parameters, tables) for parameters in [ALWAYS, *found]]


def final_counts(tables):
    days = [LEAP_DAY - DAY, LEAP_DAY, LEAP_DAY + DAY, datetime(1969, 12, 31, tzinfo=UTC).date()]
    return [Case({"day": day}, tables) for day in days]


def tier_sets(tiers):
    return [Case({}, tricky.tier_rows(tiers, present)) for present in tricky.TIER_SETS]


def hours_of_days(tiers):
    return [
        Case({"day": LEAP_DAY + n * DAY}, tricky.tier_rows(tiers, present))
        for present in tricky.TIER_SETS
        for n in (-1, 0)
    ]


def derived(dataset):
    """Every set of tiers in the day's first hour; whole days, today's and yesterday's."""
    if dataset.series is Series.DAILY:
        tables = {ACTIVE_CLIENTS.name: active_clients()}
        return [Case({"day": LEAP_DAY + n * DAY}, tables) for n in (-1, 0, 1, 2)]
    hours = [(LEAP_DAY, MIDNIGHT + HOUR + 2 * WINDOW, tiers) for tiers in tricky.TIER_SETS]
    days = [
        (LEAP_DAY, MIDNIGHT, ALL_TIERS),
        (LEAP_DAY, LATEST, ALL_TIERS),
        (LEAP_DAY - DAY, MIDNIGHT - DAY + 17 * HOUR, ALL_TIERS),
        (LEAP_DAY + DAY, LATEST + HOUR + WINDOW, ALL_TIERS),
    ]
    before = opening_values() if dataset.series is Series.CUMULATIVE else []
    return [
        Case(
            {"day": day, "latest_window": latest},
            {**tricky.tier_rows(dataset.tiers, present), dataset.table.name: before},
        )
        for day, latest, present in hours + days
    ]


def opening_values():
    """Of series that go on, one that sleeps, and one whose branch is new."""
    keys = [*tricky.SERIES_NAMES[2:], ("asleep", "a"), ("exp", "new")]
    return [
        {"time": midnight - back, "branch": branch, "experiment": experiment, "value": number}
        for midnight in (MIDNIGHT - DAY, MIDNIGHT, MIDNIGHT + DAY)
        for back in (WINDOW, 2 * WINDOW)
        for number, (experiment, branch) in enumerate(keys, start=3)
    ]


def active_clients():
    keys = [*tricky.SERIES_NAMES, *(("exp", name) for name in NAMES[:5])]
    return [
        {
            "submission_date": LEAP_DAY + n * DAY,
            "experiment_id": e,
            "branch": b,
            "active_clients": 7,
        }
        for n in (-1, 0, 1)
        for e, b in keys
    ]


def behind(view):
    """The rows of the tables that a user-facing view shows."""
    for tiers in TIERS:
        if view.inputs == (tiers.live.name,):
            return tricky.tier_rows(tiers, ALL_TIERS)
    return {view.inputs[0]: tricky.series_rows(*view.column_names)}


def fetching(view, options):
    tables = behind(view)
    given = {"start": MIDNIGHT, "end": MIDNIGHT + 5 * HOUR + TICK}
    filters = {name: given[name] for name in options if name in given}
    asked = [("exp", "null"), ("exp", ""), ("exp", "a'; DROP TABLE x; --"), ("ü", "\\'")]
    if view.name.endswith(".experiment_enrollment_overall") and options == ["branch"]:
        asked += [("exp", name) for name in NAMES]
    if "branch" not in options:
        asked = [("exp", None), ("ü", None), ("", None), ("' OR '1'='1", None)]
    return [
        Case({"slug": slug, **({} if branch is None else {"branch": branch}), **filters}, tables)
        for slug, branch in asked
    ]


def experiments():
    def dates(start, end, enrollment_end=None):
        return {"start_date": start, "end_date": end, "enrollment_end_date": enrollment_end}

    day = LEAP_DAY
    rows = [
        *({"normandy_slug": name, **dates(day, None)} for name in NAMES),
        *({"normandy_slug": f"end{n}", **dates(day - 40 * DAY, day - n * DAY)} for n in range(17)),
        *({"normandy_slug": f"start{n}", **dates(day + n * DAY, None)} for n in (-1, 0, 1)),
        {"normandy_slug": "no start", **dates(None, None)},
        {"normandy_slug": "for ever", **dates(day, datetime(9999, 12, 31, tzinfo=UTC).date())},
        {"normandy_slug": "no start, ended", **dates(None, day)},
        {"normandy_slug": None, **dates(day, None)},
        {"normandy_slug": "twice", **dates(day - DAY, day - 30 * DAY, day), "type": "a"},
        {"normandy_slug": "twice", **dates(day, day + DAY), "type": "b", "channel": "beta"},
        {"normandy_slug": "open", **dates(None, day - 30 * DAY)},
        {"normandy_slug": "open", **dates(day, None, day - DAY), "app_name": "x"},
    ]
    return {EXPERIMENTS.name: rows}


def memo():
    moments = [MIDNIGHT + n * HOUR for n in range(4)]
    rows = [
        {"relation": relation, "partition": partition, "as_of": as_of, "rows": 1}
        for relation in ("a", "b", "")
        for partition, as_of in zip(
            ("20200228", "20200229", "2020022823", ""), moments, strict=True
        )
    ]
    return {PARTITIONS.name: [*rows, {"relation": "c", "partition": "20200229"}]}


def active():
    return [Case({"today": LEAP_DAY + n * DAY}, experiments()) for n in (-1, 0, 14)]


def today():
    return exported([{"today": LEAP_DAY + n * DAY} for n in (-1, 0, 14)])


def named():
    choices = ([], NAMES, ["twice", "open", "no start", "unknown"])
    return exported([{"slugs": list(slugs), "today": LEAP_DAY} for slugs in choices])


def exported(choices):
    """Beside the last live run of today, of the days before, and of none."""
    tables = {**experiments(), **memo(), **health_rows()}
    spans = [(-2 * DAY, 2 * HOUR), (-DAY, timedelta(0)), (2 * HOUR, 3 * HOUR)]
    return [
        Case({"start": MIDNIGHT + start, "end": MIDNIGHT + end, **given}, tables)
        for given, (start, end) in zip(itertools.cycle(choices), spans * 2, strict=False)
    ]


def plotted():
    return [
        Case({"slug": slug}, {**experiments(), **memo()})
        for slug in (*NAMES, "twice", "open", "no start", "unknown")
    ]


def series_tables():
    return {d.table.name: tricky.series_rows() for d in EXPORTED}


def exporting():
    """Experiments of a day, of exactly 14 days, and of more; half hours begun and just over."""
    tables, found = series_tables(), []
    for as_of, age in (
        (MIDNIGHT + HOUR, DAY),
        (MIDNIGHT + HOUR - TICK, 20 * DAY),
        (LATEST + 2 * WINDOW, 14 * DAY),
        (LATEST + 2 * WINDOW, 14 * DAY + TICK),
    ):
        starts = {"exp": as_of - age, "asleep": as_of - 15 * DAY, "ü": as_of - 2 * DAY}
        parameters = {
            "experiments": [{"slug": slug, "start": start} for slug, start in starts.items()],
            "slugs": list(starts),
            "earliest_start": min(starts.values()),
            "as_of": as_of,
        }
        found.append(Case(parameters, tables))
    return found


def drifting(tiers):
    """Days with live counts, with final ones, with both; one in between, and all."""
    found = []
    for numbers in ([0], [-1, 1], [-1, 0, 1, 2], []):
        days = [LEAP_DAY + n * DAY for n in numbers]
        parameters = {"start": MIDNIGHT - DAY, "end": MIDNIGHT + 2 * DAY, "days": days}
        found += [Case(parameters, tricky.tier_rows(tiers, tier)) for tier in tricky.TIER_SETS]
    return found


def charting(statement):
    """Times and widths that cut what is there, and names that need to be quoted."""
    tables = {}
    for dataset in EXPORTED:
        tables |= behind(dataset.view)
    spans = [
        (MIDNIGHT, MIDNIGHT + DAY),
        (MIDNIGHT - HOUR + TICK, MIDNIGHT + 2 * HOUR - TICK),
        (MIDNIGHT + WINDOW / 2, MIDNIGHT + WINDOW),
    ]
    asked = [("exp", ["null", "a", *NAMES]), ("ü", ["\\'"]), ("exp", [])]
    names = ("start", "end", "minutes", "experiment", "branches")
    found = [
        dict(zip(names, (*span, minutes, *series), strict=True))
        for span in spans
        for minutes in (5, 20, 24 * 60)
        for series in asked
    ]
    taken = {parameter.name for parameter in statement.parameters}
    return [
        Case({name: value for name, value in given.items() if name in taken}, tables)
        for given in found
    ]


def planned():
    """Experiments with several branches, with a branch twice, without one, and without a ratio."""
    (name, rows), *_ = experiments().items()
    many = [{"slug": "a", "ratio": 1}, {"slug": "null", "ratio": 19}, {"slug": "ü", "ratio": None}]
    branches = {"exp": many, "twice": [{"slug": "a", "ratio": 3}, {"slug": None, "ratio": 1}]}
    rows = [
        {**row, "branches": branches.get(row["normandy_slug"], []), "type": kind, "is_rollout": is_}
        for row, (kind, is_) in zip(
            rows, [("rollout", None), (None, None), ("x", True), ("x", False)] * 20, strict=False
        )
    ]
    more = {"normandy_slug": "exp", "start_date": LEAP_DAY, "branches": many}
    return {name: [*rows, more, {**more, "end_date": LEAP_DAY, "branches": many[:1]}]}


def judging(label, tiers):
    """Every set of tiers; windows of several branches of which one is planned, all, or none."""
    moments = sorted({moment for part in tricky._TIERS.values() for moment in part})
    population = [
        {"time": time, "branch": branch or "null", "experiment": experiment, "value": number % 7}
        for number, (time, (experiment, branch)) in enumerate(
            (time, key) for time in moments for key in dict.fromkeys(tricky.SERIES_NAMES)
        )
        if branch != "null"
    ]
    table = DATASETS["experiment_enrollment_cumulative_population_estimate"].table.name
    span = {"start": MIDNIGHT - DAY, "finish": MIDNIGHT + HOUR}
    after = {"start": MIDNIGHT + 2 * HOUR, "finish": MIDNIGHT + DAY + WINDOW}
    phases = [
        {"slug": "exp", "number": number, "branch": branch, **times}
        for number, times in ((0, span), (1, after))
        for branch in ("a", "null", "nobody")
    ]
    phases += [{"slug": "ü", "number": 0, "branch": "\\'", **span}]
    given = {"phases": phases, "slugs": ["exp", "ü", ""], "start": MIDNIGHT - 13 * DAY}
    taken = {parameter.name for parameter in JUDGED[label].parameters}
    return [
        Case(
            {
                name: value
                for name, value in (given | {"since": since, "end": end}).items()
                if name in taken
            },
            {**tricky.tier_rows(tiers, present), table: population},
        )
        for present in tricky.TIER_SETS
        for end, since in ((MIDNIGHT + HOUR + TICK, MIDNIGHT), (MIDNIGHT + 2 * DAY, MIDNIGHT - DAY))
    ]


def health_rows():
    """Of two runs of the day, one of the day before, and one that is to come."""
    return {
        HEALTH.name: [
            {
                "time": time,
                "experiment": experiment,
                "check_name": check,
                "branch": "",
                "verdict": "ok",
                "since": MIDNIGHT,
                "log_e": log_e,
                "sentence": "Ü's \\ sentence",
                "action": "",
            }
            for time in (MIDNIGHT - HOUR, MIDNIGHT, MIDNIGHT + HOUR, MIDNIGHT + DAY)
            for experiment in ("exp", "", "ü")
            for check, log_e in (("split", -1.5), ("branches", None))
        ]
    }


def judged_before(*names):
    spans = [(MIDNIGHT - DAY, MIDNIGHT + HOUR), (MIDNIGHT + HOUR, MIDNIGHT + 2 * DAY)]
    given = [{"start": start, "end": end, "slugs": ["exp"]} for start, end in spans]
    return [Case({name: values[name] for name in names}, health_rows()) for values in given]


def found():
    row = {
        "experiment": "ü",
        "check_name": "split",
        "branch": "a'b",
        "verdict": "alarm",
        "since": MIDNIGHT,
        "log_e": 7.25,
        "value": None,
        "expected": 2.5,
        "sentence": "A \\ sentence\nand another",
        "action": "",
    }
    return [
        Case({"time": MIDNIGHT + n * HOUR, "found": rows}, health_rows())
        for n in (0, 1, 30)
        for rows in ([row], [row, {**row, "branch": ""}])
    ]


def seen():
    row = {"experiment": "ü", "seen_at": MIDNIGHT, "last_seen_at": MIDNIGHT + TICK}
    rows = [{**row, "branch": "a", "ratio": 1}, {**row, "branch": "b'", "ratio": None}]
    return [Case({"seen": rows}, {}), Case({"seen": []}, {})]


def kept_ratios():
    (seen_rows,) = [case.parameters["seen"] for case in seen()[:1]]
    return [Case({}, {RATIOS.name: seen_rows})]


def counted():
    rows = [
        {
            "experiment": slug,
            "start": MIDNIGHT - DAY,
            "finish": MIDNIGHT,
            "branch": branch,
            "is_planned": branch is not None,
            **{f"{event}_count": place for place, event in enumerate(EVENTS)},
            "compared": 3,
            "expected": 2**53 + 1,
            "log_null": -1,
        }
        for slug in ("exp", "ü'", "")
        for branch in ("a\\", "", None)
    ]
    return [Case({"day": LEAP_DAY, "counted": some}, {}) for some in (rows, [])]


def carried():
    rows = counted()[0].parameters["counted"]
    days = [{"day": LEAP_DAY + n * DAY, **row} for n, row in enumerate(rows[:3])]
    return [Case({"day": LEAP_DAY + n * DAY}, {TOTALS.name: days}) for n in (0, 1, 7)]


def looked_at():
    return [
        *(Case({"today": LEAP_DAY + n * DAY}, planned()) for n in (0, 14)),
        Case({"slugs": ["exp", "twice", "open", "unknown"]}, planned()),
    ]


def messages():
    """Of two experiments and of all, delivered and not, some of them claimed."""
    rows = []
    for place, (slug, kind, hour, *moments) in enumerate(
        [
            ("exp", "started", 0, None, MIDNIGHT),
            ("exp", "over", 1, None, MIDNIGHT + HOUR),
            ("exp", "started", 2, MIDNIGHT + DAY, None),
            ("ü'", "started", 0, None, MIDNIGHT),
            ("ü'", "over", 3, None, None),
            ("", "started", 3, None, MIDNIGHT + 3 * HOUR),
        ]
    ):
        row = dict.fromkeys(("branch", "sentence", "action"), "'\n\\")
        row |= {"id": f"id{place}", "kind": kind, "experiment": slug, "check_name": "split"}
        row |= {"time": MIDNIGHT + hour * HOUR, "since": MIDNIGHT + hour * HOUR - TICK}
        row |= dict(zip(("claimed_until", "delivered_at"), moments, strict=True))
        rows.append(row)
    return rows


def looked():
    return [
        Case({}, {PARTITIONS.name: rows, ALERTS.name: told})
        for rows in (
            [],
            [{"relation": ALERTS.name, "as_of": MIDNIGHT + HOUR}, {"relation": "a"}],
            [{"relation": "b", "as_of": MIDNIGHT + DAY}],
        )
        for told in ([], messages())
    ]


def standing():
    """Three live runs, and one without a row; what was an alarm, what is open, and what isn't."""
    verdicts = {
        ("exp", "split"): ("ok", "alarm", None),
        ("exp", "failures"): ("suspect", "ok", "not enough data"),
        ("", "freshness"): ("alarm", None, "alarm"),
        ("twice", "split"): (None, "ok", "ok"),
    }
    rows = [
        {
            **dict(zip(("experiment", "check_name"), key, strict=True)),
            "time": MIDNIGHT + n * WINDOW,
            "verdict": verdict,
            "branch": "a",
            "log_e": 0.5,
            "since": MIDNIGHT,
            "sentence": f"'{verdict}\n",
            "action": "",
        }
        for key, found in verdicts.items()
        for n, verdict in enumerate(found)
        if verdict is not None
    ]
    empty = [{"relation": HEALTH.name, "as_of": MIDNIGHT + 3 * WINDOW, "partition": "20200229"}]
    tables = {HEALTH.name: rows, PARTITIONS.name: empty, **experiments()}
    opened = [("exp", "failures"), ("twice", "split"), ("gone", "split")]
    names = "experiment", "check_name"
    return [
        Case(
            {
                "start": MIDNIGHT + first * WINDOW - TICK,
                "end": MIDNIGHT + last * WINDOW,
                "opened": [dict(zip(names, key, strict=True)) for key in keys],
            },
            tables,
        )
        for first, last in ((0, 4), (1, 1), (2, 3), (1, 0), (3, 3))
        for keys in ([], opened)
    ]


def rewritten():
    """What is delivered now, what is new, and what is old enough to go."""
    old = messages()
    new = [{**row, "id": f"new{row['id']}", "time": row["time"] + DAY} for row in old[:2]]
    changed = [{**row, "delivered_at": MIDNIGHT + DAY, "claimed_until": None} for row in old[2:5]]
    return [
        Case({"changed": rows, "oldest": MIDNIGHT + n * HOUR}, {ALERTS.name: old})
        for rows in ([], changed, [*changed, *new])
        for n in (0, 2, 48)
    ]


def first_times():
    return [Case({"slug": slug}, series_tables()) for slug in ("exp", "asleep", "'", "unknown")]


PINGS = {EVENT_V4.name: tricky.event_pings(), MAIN_V4.name: tricky.main_pings()}
STABLE = {STABLE_MAIN_V4.name: tricky.main_pings()}
FINAL = {
    EVENT_EVENTS.name: tricky.final_events(),
    MAIN_EVENTS.name: tricky.final_events()[10:40],
}

CASES = {
    EVENTS_LIVE.name: lambda: [Case({}, PINGS)],
    ENROLLMENT.daily.name: lambda: final_counts(FINAL),
    ENROLLMENT.hourly.name: lambda: live_counts(PINGS),
    ENROLLMENT.recents.name: lambda: live_counts({EVENTS_LIVE.name: tricky.final_events()}),
    SEARCH.daily.name: lambda: final_counts(STABLE),
    SEARCH.hourly.name: lambda: live_counts(PINGS),
    SEARCH.recents.name: lambda: live_counts(PINGS),
    ACTIVE_CLIENTS.name: lambda: final_counts({CLIENTS_DAILY.name: tricky.daily_clients()}),
    **{tiers.live.name: lambda tiers=tiers: tier_sets(tiers) for tiers in TIERS},
    **{tiers.by_hour.name: lambda tiers=tiers: hours_of_days(tiers) for tiers in TIERS},
    **{d.table.name: lambda d=d: derived(d) for d in DATASETS.values()},
    **{view.name: lambda view=view: [Case({}, behind(view))] for view in FETCHABLE.values()},
    STABLE_MAIN_V4.name: lambda: [Case({}, PINGS)],
    EVENT_EVENTS.name: lambda: [Case({}, PINGS)],
    MAIN_EVENTS.name: lambda: [Case({}, PINGS)],
    CLIENTS_DAILY.name: lambda: [Case({}, STABLE)],
    **{
        label: lambda label=label: fetching(FETCHABLE[label.split(".")[1]], label.split(".")[2:])
        for label in variants.fetching(Names())
    },
    **dict.fromkeys(variants.exporting(Names()), exporting),
    **{f"drift.{tiers.name}": lambda tiers=tiers: drifting(tiers) for tiers in TIERS},
    **{label: lambda s=statement: charting(s) for label, statement in CHARTED.items()},
    "alerts.looked": looked,
    "alerts.unsettled": lambda: [Case({}, {ALERTS.name: rows}) for rows in ([], messages())],
    "alerts.standings": standing,
    "alerts.written": rewritten,
    "active_experiments": active,
    "export_metadata": today,
    "plot_metadata": plotted,
    "export_metadata.named": named,
    "first_time": first_times,
    "first_time.one": first_times,
    RATIOS.name: seen,
    TOTALS.name: counted,
    HEALTH.name: found,
    HEALTH_VIEW.name: lambda: [Case({}, health_rows())],
    "health_metadata": lambda: looked_at()[:2],
    "health_metadata.named": lambda: looked_at()[2:],
    "health_ratios": kept_ratios,
    "health_carried": carried,
    **{
        label: lambda label=label: judging(label, ENROLLMENT)
        for label in ("health_totals", "health_hours", "health_windows")
    },
    "health_searches": lambda: judging("health_searches", SEARCH),
    "health_previous": lambda: judged_before("start", "end"),
}


# Running them


@pytest.fixture
def duckdb(warehouse_file):
    """Runs a statement on these rows; the columns' names, and the rows."""
    warehouse = DuckDBWarehouse(warehouse_file)
    filled = None

    def run(statement, case):
        nonlocal filled
        if case.tables is not filled:
            for name, rows in case.tables.items():
                fill(warehouse, RELATIONS[name], rows)
            filled = case.tables
        found = warehouse.query(statement, case.parameters)
        return found.column_names, [tuple(row.values()) for row in found.to_pylist()]

    yield run
    warehouse.close()


def fill(warehouse, relation, rows):
    """The relation becomes a table of these rows, also if it was a view."""
    name = warehouse._name(relation)
    if warehouse._table_type(relation) == "VIEW":
        warehouse._file.execute(f"DROP VIEW {name}")
    columns = ", ".join(f'"{c.name}" {duckdb_type(c.type)}' for c in relation.columns)
    warehouse._file.execute(f"CREATE OR REPLACE TABLE {name} ({columns})")
    empty = warehouse._file.arrow(f"SELECT * FROM {name}")
    if rows:
        warehouse._file.insert(name, pa.Table.from_pylist(rows, schema=empty.schema))


def typed(cell, *, is_set=False):
    """A cell that equals only those of the same type: 1, 1.0 and true differ."""
    match cell:
        case datetime():
            value = cell.astimezone(UTC)
        case dict():
            value = tuple((name, typed(inner)) for name, inner in cell.items())
        case tuple():
            value = tuple(typed(inner, is_set=is_set) for inner in cell)
        case list():
            elements = [typed(inner) for inner in cell]
            value = tuple(sorted(elements, key=repr) if is_set else elements)
        case float():
            # A sum's last digits depend on the order, which is the engine's choice.
            value = float(f"{cell:.12g}")
        case _:
            value = cell
    return type(cell).__name__, value


@pytest.mark.parametrize("label", CASES)
def test_both_engines_give_the_same_rows_with_the_same_types(duckdb, label):
    statement, has_rows = EVERY[label], False
    columns = [name for name, _ in googlesql.analyze(statement)]
    # A client's experiments are in no order of their own.
    is_set = label == CLIENTS_DAILY.name
    for case in CASES[label]():
        answer = googlesql.execute(statement, case.parameters, case.tables)
        google = [typed(row, is_set=is_set) for row in answer]
        names, rows = duckdb(statement, case)
        found = [typed(row, is_set=is_set) for row in rows]
        assert names == columns
        only_google, only_duckdb = (
            Counter(google) - Counter(found),
            Counter(found) - Counter(google),
        )
        assert (list(only_google)[:3], list(only_duckdb)[:3]) == ([], []), case.parameters
        assert found == google or not label.startswith(ORDERED)
        has_rows |= bool(google)
    assert has_rows, "rows that a statement doesn't select prove nothing"


def test_every_statement_is_executed():
    assert set(CASES) == set(EVERY)
