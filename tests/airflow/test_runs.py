"""The DAGs run in a real Airflow, on the embedded engine, judged by the reference."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
import running

import expmon
import playing
import reference
from pings import event, event_ping, main_ping
from playing import DAY, HOUR, at

FIRST = date(2021, 1, 25)
ENROLLMENT = "experiment_enrollment_aggregates_v1"
SEARCH = "experiment_search_aggregates_v1"
CLIENTS = "experiments_daily_active_clients_v1"


def traffic():
    """Two days and a bit of enrollments and searches, some sent twice."""
    for number in range(86):
        text = (at("2021-01-25T00:00") + number * timedelta(minutes=37)).isoformat()
        branch = ("a", "b", None)[number % 3]
        method = ("enroll", "enroll", "unenroll", "update", "exposure")[number % 5]
        yield event_ping(text, event(method, "exp", branch), id=f"e{number % 80}")
        yield main_ping(text, {"exp": branch}, searches={"a": str(number)}, id=f"m{number % 80}")


@pytest.fixture
def pings(warehouse, tmp_path):
    found = list(traffic())
    with expmon.connect(warehouse) as monitor:
        playing.ingest(monitor, tmp_path / "pings.json", found)
    return found


def assert_tables(warehouse, pings, as_of, *, days, hours):
    played = reference.Played(pings, as_of, frozenset(days), frozenset(hours), FIRST)
    with expmon.connect(warehouse) as monitor:
        playing.assert_as_expected(monitor, played)


def tables(warehouse):
    with expmon.connect(warehouse) as monitor:
        return playing.tables(monitor)


def partitions(warehouse, table):
    with expmon.connect(warehouse) as monitor:
        written = monitor.warehouse.state().written.get(f"telemetry_derived.{table}", {})
    return sorted(partition.id for partition in written)


def alter(warehouse, sql):
    """Change the database behind expmon's back."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{warehouse.removeprefix('duckdb://')}' AS warehouse")
        connection.execute("USE warehouse")
        connection.execute(sql)


def break_clients(warehouse):
    """One table of the daily schedule can't be written; planning doesn't meet it."""
    alter(warehouse, f"ALTER TABLE telemetry_derived.{CLIENTS} RENAME active_clients TO gone")


def mend_clients(warehouse):
    alter(warehouse, f"ALTER TABLE telemetry_derived.{CLIENTS} RENAME gone TO active_clients")


def test_the_three_schedules_write_the_tables_and_the_files(warehouse, pings, tmp_path):
    dags = running.dags()
    for cadence, moment in (
        ("hourly", "2021-01-25T05:30"),
        ("live", "2021-01-25T06:00"),
        ("daily", "2021-01-26T03:00"),
        ("daily", "2021-01-27T03:00"),
        ("hourly", "2021-01-27T04:30"),
        ("live", "2021-01-27T05:00"),
    ):
        assert running.run(dags[cadence], at(moment)).state == "success"
    written = {at("2021-01-25T00:00") + n * HOUR for n in range(5)}
    written |= {at("2021-01-27T00:00") + n * HOUR for n in range(4)}
    now = at("2021-01-27T05:00")
    assert_tables(warehouse, pings, now, days={FIRST, FIRST + DAY}, hours=written)
    index = json.loads((tmp_path / "exports" / "index.json").read_text(encoding="utf-8"))
    assert index["as_of"].startswith("2021-01-27")


def test_missed_days_are_caught_up_one_after_the_other(warehouse, pings):
    ran = running.run(running.dags()["daily"], at("2021-01-27T03:00"))
    assert ran.state == "success"
    for table in (ENROLLMENT, SEARCH, CLIENTS):
        assert ran.states(table) == ["success", "success"]
        assert [ran.names[table, index] for index in (0, 1)] == ["20210125", "20210126"]
        assert partitions(warehouse, table) == ["20210125", "20210126"]
    with expmon.connect(warehouse) as monitor:
        monitor.run("live", at("2021-01-27T05:00"))
    now = at("2021-01-27T05:00")
    assert_tables(warehouse, pings, now, days={FIRST, FIRST + DAY}, hours=())


def test_a_task_that_failed_is_tried_again_and_the_others_are_not(warehouse, pings):
    tries = []

    def mend(context):
        tries.append(context["ti"].task_id)
        mend_clients(warehouse)

    break_clients(warehouse)
    ran = running.run(running.dags(on_retry_callback=mend)["daily"], at("2021-01-26T03:00"))
    assert ran.state == "success"
    assert tries == [CLIENTS]
    assert ran.tasks[CLIENTS, 0] == ("success", 2)
    assert ran.tasks[ENROLLMENT, 0] == ran.tasks[SEARCH, 0] == ran.tasks["plan", -1]
    assert ran.tasks["plan", -1] == ("success", 1)
    assert partitions(warehouse, CLIENTS) == ["20210125"]
    with expmon.connect(warehouse) as monitor:
        monitor.run("live", at("2021-01-26T05:00"))
    assert_tables(warehouse, pings, at("2021-01-26T05:00"), days={FIRST}, hours=())


def test_a_live_task_that_failed_is_tried_again(warehouse, pings):
    alter(warehouse, "ALTER TABLE telemetry_live.main_v4 RENAME payload TO gone")

    def mend(_):
        alter(warehouse, "ALTER TABLE telemetry_live.main_v4 RENAME gone TO payload")

    ran = running.run(running.dags(on_retry_callback=mend)["live"], at("2021-01-26T05:00"))
    assert (ran.state, ran.tasks) == ("success", {("run", -1): ("success", 2)})
    assert_tables(warehouse, pings, at("2021-01-26T05:00"), days=(), hours=())


def test_what_a_failed_run_left_is_written_by_the_next_one(warehouse, pings):
    dag = running.dags(retries=0)["daily"]
    break_clients(warehouse)
    ran = running.run(dag, at("2021-01-26T03:00"))
    assert ran.state == "failed"
    assert ran.states(CLIENTS) == ["failed"]
    assert ran.states(ENROLLMENT) == ran.states(SEARCH) == ran.states("end") == ["success"]
    mend_clients(warehouse)
    ran = running.run(dag, at("2021-01-27T03:00"))
    assert ran.state == "success"
    assert ran.states(CLIENTS) == ["success", "success"]
    assert ran.states(ENROLLMENT) == ran.states(SEARCH) == ["success"]
    with expmon.connect(warehouse) as monitor:
        monitor.run("live", at("2021-01-27T05:00"))
    now = at("2021-01-27T05:00")
    assert_tables(warehouse, pings, now, days={FIRST, FIRST + DAY}, hours=())


def test_a_run_that_is_repeated_changes_nothing(warehouse, pings):
    dags = running.dags()
    moments = {
        "daily": "2021-01-26T03:00",
        "hourly": "2021-01-26T04:30",
        "live": "2021-01-26T04:30",
    }
    for cadence, moment in moments.items():
        assert running.run(dags[cadence], at(moment)).state == "success"
    before = tables(warehouse)
    for cadence, moment in moments.items():
        ran = running.run(dags[cadence], at(moment))
        assert ran.state == "success"
        if cadence == "daily":
            assert ran.states(ENROLLMENT) == ran.states(CLIENTS) == ["skipped"]
    assert tables(warehouse) == before


def test_a_live_run_that_comes_late_leaves_what_is_newer(warehouse, pings, tmp_path):
    live = running.dags()["live"]
    assert running.run(live, at("2021-01-26T05:00")).state == "success"
    before, index = tables(warehouse), tmp_path / "exports" / "index.json"
    exported = index.read_bytes()
    assert running.run(live, at("2021-01-26T04:00")).state == "success"
    assert tables(warehouse) == before
    assert index.read_bytes() == exported


def test_runs_write_what_was_due_at_their_own_moment(warehouse, pings):
    running.run(running.dags()["hourly"], at("2021-01-25T02:30"))
    table = "experiment_search_aggregates_hourly_v1"
    assert partitions(warehouse, table) == ["2021012500", "2021012501"]


def test_a_run_that_somebody_triggers_looks_from_then(warehouse, pings):
    dag, moment = running.dags()["hourly"], at("2021-01-25T02:44")
    # In Airflow 2 every run has a date, in Airflow 3 only if it is given one.
    undated = {"logical_date": None, "run_after": moment}
    done = dag.test(**undated if running.MAJOR > 2 else {"execution_date": moment})
    assert str(done.state) == "success"
    table = "experiment_search_aggregates_hourly_v1"
    assert partitions(warehouse, table) == ["2021012500", "2021012501"]


def test_without_tables_the_run_fails_and_says_what_to_do(warehouse):
    Path(warehouse.removeprefix("duckdb://")).unlink()
    ran = running.run(running.dags(retries=0)["daily"], at("2021-01-26T03:00"))
    assert ran.state == "failed"
    assert ran.states("plan") == ["failed"]
