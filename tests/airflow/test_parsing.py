"""What Airflow sees of the DAGs when it parses their file."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import running

from expmon.airflow import build_dags
from expmon.errors import ConfigError

TABLES = {
    "live": [],
    "hourly": [
        "experiment_enrollment_aggregates_hourly_v1",
        "experiment_search_aggregates_hourly_v1",
    ],
    "daily": [
        "experiment_enrollment_aggregates_v1",
        "experiment_search_aggregates_v1",
        "experiments_daily_active_clients_v1",
    ],
}
HEAVY = ("pandas", "pyarrow", "numpy", "duckdb", "sqlglot", "google.auth", "google.cloud")


def cron(dag):
    return dag.timetable.expression if running.MAJOR > 2 else dag.schedule_interval


def test_the_example_is_parsed_without_errors(dag_folder):
    bag = running.dag_bag(dag_folder)
    assert bag.import_errors == {}
    assert sorted(bag.dags) == ["expmon_daily", "expmon_hourly", "expmon_live"]
    assert {dag.fileloc for dag in bag.dags.values()} == {str(dag_folder / "expmon_dags.py")}


def test_the_arguments_that_the_documentation_shows_are_taken():
    page = Path(__file__).parents[2] / "docs" / "airflow.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names = {"build_dags": build_dags, "page_somebody": print}
    exec(code, names)
    for cadence in ("live", "hourly", "daily"):
        assert names[cadence].dag_id == f"expmon_{cadence}"
        assert names[cadence].default_args["owner"] == "experiments"


def test_a_schedule_runs_when_its_data_is_ready():
    assert {name: cron(dag) for name, dag in running.dags().items()} == {
        "live": "*/5 * * * *",
        "hourly": "30 * * * *",
        "daily": "0 3 * * *",
    }


def test_other_lags_make_other_schedules(monkeypatch):
    monkeypatch.setenv("EXPMON_DAY_LAG_MINUTES", "285")
    settings = {"schedule.hour_lag_minutes": 75}
    _, hourly, daily = build_dags("duckdb://monitoring.duckdb", settings=settings)
    assert (cron(hourly), cron(daily)) == ("15 * * * *", "45 4 * * *")


@pytest.mark.parametrize("cadence", TABLES)
def test_one_run_at_a_time_with_retries_and_timeouts(cadence):
    dag = running.dags()[cadence]
    assert (dag.max_active_runs, dag.catchup, str(dag.timezone)) == (1, False, "UTC")
    assert dag.dagrun_timeout >= timedelta(hours=1)
    for task in dag.tasks:
        assert task.retries >= 2
        assert timedelta(0) < task.execution_timeout < dag.dagrun_timeout


def test_the_live_dag_is_one_task():
    assert [task.task_id for task in running.dags()["live"].tasks] == ["run"]


@pytest.mark.parametrize("cadence", ["hourly", "daily"])
def test_each_table_is_a_mapped_task_between_the_plan_and_the_end(cadence):
    dag = running.dags()[cadence]
    mapped = [task.task_id for task in dag.tasks if isinstance(task, running.MappedOperator)]
    assert sorted(mapped) == TABLES[cadence]
    for name in mapped:
        assert dag.task_dict[name].upstream_task_ids == {f"due_{name}"}
        assert dag.task_dict[f"due_{name}"].upstream_task_ids == {"plan"}
        assert dag.task_dict[name].downstream_task_ids == {"end"}
    assert dag.task_dict["end"].is_teardown


def test_arguments_for_all_tasks_win():
    arguments = {"retries": 7, "owner": "experiments"}
    for dag in build_dags("duckdb://monitoring.duckdb", default_args=arguments):
        assert {(task.retries, task.owner) for task in dag.tasks} == {(7, "experiments")}


def test_a_setting_that_makes_no_sense_is_an_error_of_the_file(dag_folder, tmp_path):
    broken = tmp_path / "dags"
    broken.mkdir()
    text = (dag_folder / "expmon_dags.py").read_text(encoding="utf-8")
    (broken / "broken.py").write_text(
        text.replace("build_dags()", 'build_dags("duckdb://x", settings={"sore": 1})'),
        encoding="utf-8",
    )
    (message,) = running.dag_bag(broken).import_errors.values()
    assert "sore" in message
    with pytest.raises(ConfigError):
        build_dags(settings={"sore": 1})


def test_parsing_loads_no_engine(dag_folder):
    code = f"""
import runpy, sys
runpy.run_path({str(dag_folder / "expmon_dags.py")!r})
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
