"""Days of pings, computed by Google's engine alone: tables and files are what they must be."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

import googlesql
import playing
import reference
import statement_variants as variants
from expmon.catalog import DATASETS, EXPORTED, RELATIONS, TIERS
from expmon.catalog.model import Names, Series
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.catalog.sources import CLIENTS_DAILY, EVENT_EVENTS, MAIN_EVENTS, STABLE_MAIN_V4
from expmon.sandbox import Experiment, Traffic, ping_row, simulate
from pings import event, event_ping, main_ping
from reference import DAY, HOUR, MICROSECOND, WINDOW

COMPUTED, EMBEDDED, READ = (
    build(Names()) for build in (variants.computed, variants.embedded, variants.read)
)
START = date(2020, 2, 28)  # the second day is a leap day
OPENS = datetime(2020, 2, 28, tzinfo=UTC)
MORNING, LEAP_DAY = OPENS + 2 * DAY, START + DAY
EXPERIMENTS = [
    Experiment("long", OPENS - 20 * DAY, None, (("a", 1), ("b", 1)), False, 0.7),
    Experiment("ends", OPENS - DAY, OPENS + 30 * HOUR, (("a", 1),), False, 0.5),
    Experiment("rollout", OPENS, None, (("on", 1),), True, 0.5),
]
AS_OF = MORNING + 2 * HOUR + timedelta(minutes=47, microseconds=1)


def hand_made():
    """What simulated clients don't send, on each of the three days."""
    extras = {"x": "y", "reason": "'; DROP TABLE x; --"}
    odd = event("enroll", "'; DROP TABLE x; --", "ünï日本", extras=extras)
    broken = {"a": '{"sum":5', "b": '{"sum":7}', "c": "3;2;4;1,2;0:0,1:5", "d": "4,2", "e": "foo"}
    for day in (OPENS, OPENS + DAY, MORNING):
        for at in (day, day + WINDOW - MICROSECOND, day + WINDOW, day + HOUR - MICROSECOND):
            yield event_ping(at.isoformat(), odd, event("graduate", branch=None), id="twice")
            yield event_ping(at.isoformat(), odd, process="content")
            yield event_ping(at.isoformat(), odd, process="socket")
            members = {"exp": "a", "ünï": None, "": ""}
            yield main_ping(at.isoformat(), members, searches=broken, events=[odd])
            yield main_ping(at.isoformat(), members, with_ads={"a": 1, "b": 2}, ad_clicks={})


@pytest.fixture(scope="module")
def played():
    """The first day is final, the second has all hours but one, the third's first hour is there."""
    simulated = simulate(EXPERIMENTS, Traffic(start=START, days=3, clients=12, seed=11))
    hours = {OPENS + DAY + n * HOUR for n in range(25)} - {OPENS + DAY + 5 * HOUR}
    pings = sorted([*simulated, *hand_made()], key=lambda ping: ping["submission_timestamp"])
    return reference.Played(pings, AS_OF, frozenset({START}), frozenset(hours), START)


def run(label, parameters, tables):
    statement = {**COMPUTED, **EMBEDDED, **READ}[label]
    return googlesql.execute(statement, parameters, tables)


def rows_of(relation, tuples):
    return [dict(zip(relation.column_names, row, strict=True)) for row in tuples]


@pytest.fixture(scope="module")
def tables(played):
    """The rows of every table and live view, each computed of those before it."""
    found = {"telemetry_live.event_v4": [], "telemetry_live.main_v4": []}
    for ping in played.pings:
        source, row = ping_row(ping, None)
        found[source].append(row)

    def add(relation, *parameters):
        computed = EMBEDDED if relation.name in EMBEDDED else COMPUTED
        given = {name: found[name] for name in needed(relation) if name in found}
        tuples = [
            row
            for each in parameters or ({},)
            for row in googlesql.execute(computed[relation.name], each, given)
        ]
        found[relation.name] = rows_of(relation, tuples)

    for relation in (STABLE_MAIN_V4, EVENT_EVENTS, MAIN_EVENTS, CLIENTS_DAILY):
        add(relation)
    add(ACTIVE_CLIENTS, {"day": START})
    recents = {"start": reference.recents_start(played), "end": AS_OF}
    for tiers in TIERS:
        add(tiers.daily, {"day": START})
        add(tiers.hourly, *spans(played.written_hours))
        add(tiers.recents, recents)
        add(tiers.live)
        add(tiers.by_hour, {"day": START}, {"day": LEAP_DAY})
    for dataset in DATASETS.values():
        found[dataset.table.name] = derived(dataset, found)
    return found


def spans(hours):
    """Hours that follow each other, as one: each query is sent all of the pings."""
    starts = [hour for hour in hours if hour - HOUR not in hours]
    ends = [hour + HOUR for hour in hours if hour + HOUR not in hours]
    both = zip(sorted(starts), sorted(ends), strict=True)
    return [{"start": start, "end": end} for start, end in both]


def needed(relation):
    """The relation's inputs, and theirs: views are computed of them."""
    return {name for i in relation.inputs for name in (i, *needed(RELATIONS[i]))}


def derived(dataset, tables):
    """A day after the other, each beginning with the one before."""
    given = {name: tables[name] for name in dataset.table.inputs}
    rows = []
    for number in range(3):
        day = START + number * DAY
        parameters = {"day": day}
        if dataset.series is not Series.DAILY:
            last = reference.midnight(day) + DAY - WINDOW
            parameters["latest_window"] = min(last, reference.latest_window(AS_OF))
        before = [row for row in rows if row["time"] >= reference.midnight(day) - WINDOW]
        tuples = run(dataset.table.name, parameters, {**given, dataset.table.name: before})
        rows += rows_of(dataset.table, tuples)
    return rows


def test_every_table_and_live_view_is_what_the_reference_computes(played, tables):
    for name, wanted in playing.expected_tables(played).items():
        found = Counter(tuple(row.values()) for row in tables[name])
        assert found == Counter(wanted), name
        assert wanted, f"{name} is empty: that proves nothing"


@pytest.mark.parametrize("age", [DAY, 14 * DAY, 15 * DAY])
def test_every_exported_file_is_what_the_reference_computes(played, tables, age):
    start = MORNING - age
    slugs = ["long", "ends", "rollout", "exp", "ünï", "unknown"]
    parameters = {
        "experiments": [{"slug": slug, "start": start} for slug in slugs],
        "slugs": slugs,
        "earliest_start": start,
        "as_of": AS_OF,
    }
    given = {dataset.table.name: tables[dataset.table.name] for dataset in EXPORTED}
    files = {(row[0], row[1]): records(row[2]) for row in run("export_series", parameters, given)}
    truth = reference.derived(played)
    for slug in slugs:
        wanted = reference.export_tables(truth, slug=slug, start=start.date(), as_of=AS_OF)
        for dataset in reference.EIGHT:
            found = files.get((dataset, slug), [])
            assert found == wanted[f"{slug}_{dataset}_by_branch.json"], (slug, dataset)


def records(points):
    """The points as they stand in a file by branch."""
    return [
        {
            "branch": point["branch"],
            "time": reference.time_text(point["time"]),
            "value": str(point["value"]),
        }
        for point in points
    ]
