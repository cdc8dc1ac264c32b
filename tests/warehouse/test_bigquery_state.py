"""What BigQuery holds: the memo counts as far as it agrees with what is there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from google.cloud import bigquery

import reference
from emulators import launch
from expmon.catalog import DATASETS, RELATIONS, TIERS
from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.model import Names
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.catalog.search import SEARCH
from expmon.catalog.sources import (
    CLIENTS_DAILY,
    EVENT_EVENTS,
    EVENT_V4,
    EVENTS_LIVE,
    MAIN_EVENTS,
    MAIN_V4,
    STABLE_MAIN_V4,
)
from expmon.statements import bookkeeping
from expmon.warehouse.bigquery_state import sources, state, tables
from expmon.warehouse.protocol import Written
from expmon.windows import Partition
from playing import at

DAILY = "telemetry_derived.experiment_enrollment_aggregates_v1"
HOURLY = "telemetry_derived.experiment_enrollment_aggregates_hourly_v1"
RECENTS = "telemetry_derived.experiment_enrollment_aggregates_recents_v1"
NAMES = Names("data", "views", "experimenter")
STARTED = at("2021-01-27T03:00:01")
MODIFIED = at("2021-01-27T03:00:05").replace(microsecond=123)
AS_OF = at("2021-01-27T03:00:00")
DAY = Partition("20210126")


# Pure: from the rows of one query to the state


def entry(relation=DAILY, partition="20210126", rows=5, modified_at=MODIFIED):
    """A row of the memo."""
    return {
        "relation": relation,
        "place": None,
        "partition": partition,
        "rows": rows,
        "modified_at": modified_at,
        "started_at": STARTED,
        "as_of": AS_OF,
    }


def present(place=f"data.{DAILY}", partition="20210126", rows=5, modified_at=MODIFIED):
    """A row of INFORMATION_SCHEMA.PARTITIONS."""
    return {
        "relation": None,
        "place": place,
        "partition": partition,
        "rows": rows,
        "modified_at": modified_at,
        "started_at": None,
        "as_of": None,
    }


LATER = MODIFIED + timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("memo", "there", "is_valid"),
    [
        (entry(), [present()], True),
        (entry(), [present(rows=4)], True),  # the time alone tells: rows are estimates for a while
        (entry(), [present(modified_at=LATER)], False),
        (entry(), [present(modified_at=MODIFIED - timedelta(microseconds=1))], False),
        (entry(), [], False),
        (entry(), [present(partition="20210125")], False),
        (entry(), [present(place=f"data.{HOURLY}")], False),
        (entry(), [present(place=f"elsewhere.{DAILY}")], False),
        (entry(modified_at=None), [present()], False),
        (entry(modified_at=None), [], False),
        (entry(rows=0), [], True),
        (entry(rows=0), [present(rows=0)], True),
        (entry(rows=0), [present(rows=0, modified_at=LATER)], True),
        (entry(rows=0), [present(rows=1)], False),
        (entry(rows=0, modified_at=None), [], False),
    ],
    ids=[
        "as it was written",
        "as it was written, counted otherwise",
        "written since",
        "written before",
        "gone",
        "another partition",
        "another table",
        "another project",
        "never seen there",
        "never seen there, nor there",
        "empty and absent",
        "empty and there",
        "empty, there and younger",
        "empty and filled since",
        "empty, and the job's end unknown",
    ],
)
def test_an_entry_counts_only_while_it_agrees_with_what_is_there(memo, there, is_valid):
    found = state([memo, *there], NAMES).written
    kept = Written(STARTED, memo["modified_at"], AS_OF, memo["rows"]) if is_valid else None
    assert found == ({DAILY: {DAY: kept}} if is_valid else {})


def test_days_hours_and_whole_tables_are_told_apart():
    rows = [
        entry(),
        entry(partition="20210125", rows=0),
        present(),
        entry(HOURLY, "2021012600"),
        present(f"data.{HOURLY}", "2021012600"),
        entry(RECENTS, ""),
        present(f"data.{RECENTS}", ""),
    ]
    found = state(rows, NAMES).written
    assert {name: sorted(p.id for p in entries) for name, entries in found.items()} == {
        DAILY: ["20210125", "20210126"],
        HOURLY: ["2021012600"],
        RECENTS: [""],
    }


def test_entries_of_relations_and_partitions_that_nobody_knows_are_passed_over():
    rows = [
        entry("telemetry_derived.some_table_v0", rows=0),
        entry(partition="202101", rows=0),
        entry(partition="2021", rows=0),
        present(partition="202101"),
        present(partition="nonsense"),
        present(partition="20210125"),
    ]
    found = state(rows, NAMES)
    assert found.written == {}
    assert found.first_days == {DAILY: date(2021, 1, 25)}


def test_times_are_in_utc_whatever_zone_they_came_in():
    zone = timezone(timedelta(hours=-8))
    rows = [entry(modified_at=MODIFIED.astimezone(zone)), present()]
    kept = state(rows, NAMES).written[DAILY][DAY]
    assert kept.modified_at == MODIFIED
    assert kept.modified_at.tzinfo is UTC


def test_a_tables_first_day_is_the_first_with_rows_remembered_or_not():
    rows = [
        present(partition="20210120", rows=0),
        present(partition="20210122"),
        present(partition="20210121"),
        present(f"data.{HOURLY}", "2021012423"),
        present(f"data.{RECENTS}", ""),
    ]
    assert state(rows, NAMES).first_days == {DAILY: date(2021, 1, 21), HOURLY: date(2021, 1, 24)}


def test_a_sources_days_and_times_are_those_of_its_partitions():
    place = "data.telemetry_derived.event_events_v1"
    rows = [
        present(place, "20210125", rows=0),
        present(place, "20210127", modified_at=LATER),
        present(place, "2021012803"),  # were it partitioned by the hour
        present(place, "2021012805", modified_at=LATER),
        present(place, "2021012804"),
    ]
    found = state(rows, NAMES).sources
    source = found[EVENT_EVENTS.name]
    assert source.first_day == date(2021, 1, 25)
    assert source.days == {date(2021, 1, 25), date(2021, 1, 27), date(2021, 1, 28)}
    assert source.modified == {
        date(2021, 1, 25): MODIFIED,
        date(2021, 1, 27): LATER,
        date(2021, 1, 28): LATER,
    }
    nothing = found[MAIN_EVENTS.name]
    assert (nothing.first_day, nothing.days, nothing.modified) == (None, frozenset(), {})


def test_the_sources_are_those_that_the_tables_are_computed_from_and_where_their_rows_lie():
    found = {name: str(place) for name, place in sources(NAMES).items()}
    assert found == {
        # Views have no partitions: what is behind them has.
        EVENTS_LIVE.name: "data.telemetry_live.event_v4",
        CLIENTS_DAILY.name: "data.telemetry_derived.clients_daily_v6",
        EVENT_EVENTS.name: "data.telemetry_derived.event_events_v1",
        MAIN_EVENTS.name: "data.telemetry_derived.main_events_v1",
        MAIN_V4.name: "data.telemetry_live.main_v4",
        STABLE_MAIN_V4.name: "data.telemetry_stable.main_v4",
    }


def test_a_configured_table_behind_a_view_is_the_one_that_tells():
    names = Names(
        "data",
        renamed={CLIENTS_DAILY.name: "other.mine.clients"},
        physical={CLIENTS_DAILY.name: "other.mine.clients_v2", EVENT_V4.name: "live.events_v5"},
    )
    found = {name: str(place) for name, place in sources(names).items()}
    assert found[CLIENTS_DAILY.name] == "other.mine.clients_v2"
    assert found[EVENTS_LIVE.name] == "data.live.events_v5"
    rows = [
        present("other.mine.clients_v2", "20210126"),
        present("other.mine.clients", "20210125"),
        present("data.telemetry_derived.clients_daily_v6", "20210124"),
    ]
    assert state(rows, names).sources[CLIENTS_DAILY.name].days == {date(2021, 1, 26)}


def test_a_table_that_was_renamed_is_looked_for_where_it_lies():
    names = Names("data", renamed={DAILY: "mine.counts"})
    assert state([entry(), present("data.mine.counts")], names).written[DAILY].keys() == {DAY}
    assert state([entry(), present()], names).written == {}


def test_every_table_of_the_schedules_is_looked_at_and_nothing_else():
    assert {r.name for r in tables()} == {r.name for r in RELATIONS.values() if r.cadence}
    assert ACTIVE_CLIENTS in tables()


# On the emulator, which shows partitions without rows or doesn't: the documentation is silent

NOW = at("2021-01-26T03:30")
EMPTY = Partition("2021012602")
HOURS = sorted(f"{tiers.hourly.table}$202101260{hour}" for tiers in TIERS for hour in (0, 1, 2))


@pytest.fixture(scope="module")
def server_where_the_empty_are_gone():
    with launch.required(launch.bigquery(empty_partitions="gone")) as server:
        yield server


@pytest.fixture(scope="module", params=["shown", "gone"])
def own_place(request, pipeline, relations_of_hours, opened):
    """A place with sources of its own, on a server of each kind."""
    kinds = {"shown": "server", "gone": "server_where_the_empty_are_gone"}
    project = f"expmon-own-{request.param}"
    with opened(request.getfixturevalue(kinds[request.param]), Names(*[project] * 3)) as made:
        made.put(*relations_of_hours)
        made.publish(pipeline, EVENT_V4, MAIN_V4)
        yield made


@pytest.fixture
def own(own_place, hasty):
    """The same, and nothing written yet."""
    own_place.clear(*(tiers.hourly for tiers in TIERS))
    return own_place


def destinations(plan):
    return sorted(step.destination.split(".")[1] for step in plan.steps)


def by_hand(place, relation, partition, query):
    """Write a partition past expmon."""
    table = f"{place.names.of(relation)}${partition}"
    config = bigquery.QueryJobConfig(destination=table, write_disposition="WRITE_TRUNCATE")
    place.google.query(query, config, timeout=60).result(timeout=60)


def copied(place, relation, condition):
    columns = ", ".join(relation.column_names)
    return f"SELECT {columns} FROM `{place.names.of(relation)}` WHERE {condition}"


@pytest.mark.enable_socket
def test_an_hour_that_was_truly_empty_is_done_and_not_missing_for_ever(own, hourly_played):
    monitor = own.monitor()
    first = monitor.run("hourly", NOW)
    assert destinations(first.plan) == HOURS
    assert {s.destination: w.rows for s, w in zip(first.plan.steps, first.written, strict=True)}[
        f"{ENROLLMENT.hourly.name}${EMPTY.id}"
    ] == 0
    held = monitor.warehouse.state()
    for tiers in TIERS:
        assert [p.id for p in sorted(held.partitions(tiers.hourly))] == [
            *("2021012600", "2021012601", "2021012602"),
        ]
    assert held.sources[EVENTS_LIVE.name].days == {date(2021, 1, 26)}
    assert monitor.run("hourly", NOW).written == ()
    expected = hourly_played(own, NOW, [0, 1, 2])
    assert own.rows(ENROLLMENT.hourly) == reference.enrollment_hourly(expected)
    assert own.memo() == HOURS


@pytest.mark.enable_socket
def test_hours_that_were_changed_by_hand_are_written_again_and_no_others(own, hourly_played):
    monitor = own.monitor()
    monitor.run("hourly", NOW)
    hourly = ENROLLMENT.hourly
    # One is rewritten with fewer rows, one emptied, and the empty one filled.
    by_hand(own, hourly, "2021012600", copied(own, hourly, "branch = 'b'"))
    by_hand(own, hourly, "2021012601", copied(own, hourly, "FALSE"))
    moved = copied(own, hourly, "branch = 'b'").replace(
        "window_start,", "TIMESTAMP_ADD(window_start, INTERVAL 2 HOUR) AS window_start,"
    )
    by_hand(own, hourly, EMPTY.id, moved)
    assert own.rows(hourly) != reference.enrollment_hourly(hourly_played(own, NOW, [0, 1, 2]))
    again = monitor.run("hourly", NOW)
    assert destinations(again.plan) == [f"{hourly.table}$202101260{hour}" for hour in (0, 1, 2)]
    expected = hourly_played(own, NOW, [0, 1, 2])
    assert own.rows(hourly) == reference.enrollment_hourly(expected)
    assert own.rows(SEARCH.hourly) == reference.search_hourly(expected)
    assert own.memo() == HOURS
    assert destinations(monitor.plan("hourly", NOW)) == []


@pytest.mark.enable_socket
def test_a_lost_memo_costs_a_rewrite_and_nothing_else(place, hourly_played):
    monitor = place.monitor()
    monitor.run("hourly", NOW)
    expected = hourly_played(place, NOW, [0, 1, 2])
    place.sql("DELETE FROM {derived}.expmon_partitions_v1 WHERE TRUE")
    assert destinations(monitor.plan("hourly", NOW)) == HOURS
    monitor.run("hourly", NOW)
    assert place.rows(ENROLLMENT.hourly) == reference.enrollment_hourly(expected)
    assert place.memo() == HOURS
    assert destinations(monitor.plan("hourly", NOW)) == []


@pytest.mark.enable_socket
def test_entries_of_hours_that_have_expired_leave_the_memo_and_those_of_days_stay(place):
    """Hourly partitions are kept for 14 days, reckoned from the hour of the run."""
    hourly = ENROLLMENT.hourly.name
    entries = [
        (hourly, "2021011202"),
        (hourly, "2021011203"),
        (SEARCH.hourly.name, "2021011123"),
        (SEARCH.hourly.name, "2021011204"),
        (DAILY, "20200101"),
        (RECENTS, ""),
    ]
    values = ", ".join(f"('{relation}', '{partition}', 0)" for relation, partition in entries)
    place.sql(
        "INSERT INTO {derived}.expmon_partitions_v1 (relation, `partition`, `rows`) "
        f"VALUES {values}"
    )
    place.monitor().run("hourly", NOW)
    kept = [entries[1], entries[3], entries[4], entries[5]]
    old = sorted(f"{relation.split('.')[1]}${partition}" for relation, partition in kept)
    assert place.memo() == sorted([*HOURS, *old])


@pytest.mark.enable_socket
def test_what_is_remembered_of_a_job_is_what_the_partition_says(place):
    done = place.monitor().run("hourly", NOW)
    found = place.sql(
        "SELECT relation, `partition`, job_id, as_of, started_at, `rows`, bytes, modified_at "
        "FROM {derived}.expmon_partitions_v1"
    )
    modified = {
        (f"telemetry_derived.{table}", partition): (moment, rows)
        for table, partition, moment, rows in place.sql(
            "SELECT table_name, partition_id, last_modified_time, total_rows "
            "FROM {derived}.INFORMATION_SCHEMA.PARTITIONS WHERE partition_id IS NOT NULL"
        )
    }
    entries = {(row[0], row[1]): row[2:] for row in found}
    assert len(entries) == len(found) == len(done.written) == len(HOURS)
    for step, written in zip(done.plan.steps, done.written, strict=True):
        key = (step.relation.name, step.partition.id)
        job_id, as_of, started_at, rows, read, modified_at = entries[key]
        assert (job_id, as_of, started_at) == (written.job_id, NOW, written.started_at)
        assert (rows, read) == (written.rows, 0)
        if rows:
            assert (modified_at, rows) == modified[key]
        else:
            assert modified_at == written.modified_at


@pytest.mark.enable_socket
def test_a_day_that_was_rewritten_by_hand_makes_what_is_derived_of_it_stale_and_only_that(emptied):
    now = at("2021-01-27T04:02")
    monitor = emptied.monitor()
    assert destinations(monitor.run("daily", now).plan) == [
        "experiment_enrollment_aggregates_v1$20210126",
        "experiment_search_aggregates_v1$20210126",
        "experiments_daily_active_clients_v1$20210126",
    ]
    # Of the live run's steps those of the day are enough here.
    tables = [dataset.table for dataset in DATASETS.values()]
    steps = [s for s in monitor.plan("live", now).steps if s.relation in tables]
    derived = [s for s in steps if s.partition.id == "20210126"]
    assert {s.reason for s in derived} == {"day 2021-01-26 is missing"}
    written = list(monitor.warehouse.write(step.write for step in derived))
    assert len(written) == len(DATASETS) - 1  # active clients of that day are for the next one
    steps = [s for s in monitor.plan("live", now).steps if s.relation in tables]
    assert [s for s in steps if s.partition.id == "20210126"] == []
    daily = ENROLLMENT.daily
    by_hand(emptied, daily, "20210126", copied(emptied, daily, "branch = 'b'"))
    again = monitor.run("daily", now)
    assert destinations(again.plan) == [f"{daily.table}$20210126"]
    found = {
        s.relation.table: s.reason
        for s in monitor.plan("live", now).steps
        if s.partition.id == "20210126" and s.relation in tables
    }
    assert sorted(found) == [
        "experiment_enrollment_cumulative_population_estimate_v1",
        "experiment_enrollment_other_events_overall_v1",
        "experiment_enrollment_other_events_v1",
        "experiment_enrollment_overall_v1",
        "experiment_unenrollment_overall_v1",
    ]
    assert set(found.values()) == {"day 2021-01-26 was finalised after it was derived"}


@pytest.mark.enable_socket
def test_what_is_there_is_asked_by_table_and_of_both_projects(place):
    """Where no table is named, BigQuery reads the partitions of the whole dataset."""
    hourly, source = place.names.of(ENROLLMENT.hourly), place.behind(EVENT_V4)
    statement = bookkeeping.partitions(place.names, [hourly, source])
    place.sql(
        "INSERT INTO {derived}.expmon_partitions_v1 (relation, `partition`) "
        "VALUES ('x.y', '20210126'), ('x.z', ''); "
        f"INSERT INTO {{derived}}.{ENROLLMENT.hourly.table} (window_start) "
        "VALUES (TIMESTAMP '2021-01-26 05:55:00+00'); "
        f"INSERT INTO {{derived}}.{SEARCH.hourly.table} (window_start) "
        "VALUES (TIMESTAMP '2021-01-26 06:00:00+00')"
    )
    rows = place.warehouse().query(statement, {}).to_pylist()
    # Other tests may have left partitions without rows.
    there = {(row["place"], row["partition"]) for row in rows if row["place"] and row["rows"]}
    assert there == {(str(source), "20210126"), (str(hourly), "2021012605")}
    assert source.project != hourly.project
    # The memo's rows are all of them there, whichever tables were asked for.
    assert {(row["relation"], row["partition"]) for row in rows if row["relation"]} == {
        ("x.y", "20210126"),
        ("x.z", ""),
    }
    assert all(isinstance(row["modified_at"], datetime) for row in rows if row["place"])
