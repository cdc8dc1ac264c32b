"""A run that is several tasks, as orchestrators have it; these tests need no Airflow."""

from __future__ import annotations

from datetime import timedelta

import pytest

import expmon
import playing
from expmon.errors import InvalidInput, InvalidTime, WarehouseLocked
from pings import event, event_ping, main_ping
from playing import at

HOURLY = "telemetry_derived.experiment_enrollment_aggregates_hourly_v1"
BY_HOUR = "telemetry_derived.experiment_enrollment_aggregates_by_hour_v1"
POPULATION = "telemetry_derived.experiment_enrollment_cumulative_population_estimate_v1"
AS_OF = at("2021-01-26T03:30")
HOURS = ["2021012600", "2021012601", "2021012602"]


@pytest.fixture
def url(tmp_path):
    found = f"duckdb://{tmp_path / 'monitoring.duckdb'}"
    with expmon.connect(found) as monitor:
        monitor.deploy()
        pings = [event_ping(f"2021-01-26T0{n}:05:00+00:00", event("enroll")) for n in range(3)]
        pings.append(main_ping("2021-01-26T00:05:00+00:00", {"exp": "a"}))
        playing.ingest(monitor, tmp_path / "pings.json", pings)
    return found


def hours(steps):
    return [step.partition.id for step in steps if step.relation.name == HOURLY]


def write(url, through):
    """What a task, with a monitor of its own, writes."""
    with expmon.connect(url) as monitor:
        done = monitor.shared_run("hourly", AS_OF, run_id="one").write(HOURLY, through)
    return hours(done.plan.steps)


def test_a_plan_writes_nothing(url):
    with expmon.connect(url) as monitor:
        shared = monitor.shared_run("hourly", AS_OF, run_id="one")
        assert hours(shared.plan().steps) == hours(shared.plan().steps) == HOURS
        shared.end()


def test_each_task_writes_its_partition_and_no_other_table(url):
    assert [write(url, hour) for hour in HOURS] == [[hour] for hour in HOURS]
    with expmon.connect(url) as monitor:
        left = monitor.plan("hourly", AS_OF).steps
        rows = playing.rows(monitor, HOURLY, "window_start", "enroll_count")
    assert rows == [(at(f"2021-01-26T0{n}:05"), 1) for n in range(3)]
    assert {step.relation.table for step in left} == {"experiment_search_aggregates_hourly_v1"}


def test_a_task_that_comes_before_an_earlier_one_leaves_no_gap(url):
    assert write(url, HOURS[1]) == HOURS[:2]
    assert write(url, HOURS[0]) == []
    assert write(url, HOURS[2]) == HOURS[2:]


def test_a_task_that_comes_again_writes_nothing(url):
    assert write(url, HOURS[0]) == HOURS[:1]
    assert write(url, HOURS[0]) == []


def test_a_series_is_written_with_the_sums_that_it_looks_back_at_whichever_task_comes_first(
    url, tmp_path
):
    as_of, later = AS_OF + timedelta(days=1), AS_OF + timedelta(days=1, minutes=5)
    with expmon.connect(url) as monitor:
        monitor.run("hourly", as_of)
        recents = monitor.shared_run("live", as_of, run_id="one")
        recents.write("telemetry_derived.experiment_enrollment_aggregates_recents_v1", "")
        done = monitor.shared_run("live", as_of, run_id="one").write(POPULATION, "20210127")
        assert [step.destination for step in done.plan.steps] == [
            f"{BY_HOUR}$20210126",
            f"{POPULATION}$20210126",
            f"{POPULATION}$20210127",
        ]
        found = playing.rows(monitor, POPULATION, "time", "value")
        assert found[-1] == (at("2021-01-27T03:25"), 3)
        # It is awake on that day, and so it is dense.
        assert sum(time >= at("2021-01-27T00:00") for time, _ in found) == 42
        again = monitor.shared_run("live", later, run_id="two").write(POPULATION, "20210127")
        assert [step.destination for step in again.plan.steps] == [f"{POPULATION}$20210127"]


def test_another_run_that_writes_keeps_tasks_out(url):
    with expmon.connect(url) as monitor, monitor.warehouse.lease(timedelta(0)):
        shared = monitor.shared_run("hourly", AS_OF, run_id="one")
        with pytest.raises(WarehouseLocked):
            shared.plan()
        with pytest.raises(WarehouseLocked):
            shared.write(HOURLY, HOURS[0])


def test_what_makes_no_sense_is_refused_before_anything_runs(url):
    with expmon.connect(url) as monitor:
        with pytest.raises(InvalidInput, match="run_id"):
            monitor.shared_run("hourly", AS_OF, run_id="")
        with pytest.raises(InvalidInput, match="cadence"):
            monitor.shared_run("weekly", AS_OF, run_id="one")
        with pytest.raises(InvalidTime):
            monitor.shared_run("hourly", AS_OF.replace(tzinfo=None), run_id="one")
