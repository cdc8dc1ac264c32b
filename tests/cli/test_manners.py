"""What a person expects of the commands, beyond their purpose."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

import pings
from expmon.cli import main

SCRIPT = Path(sys.executable).with_name("expmon")
OVERALL = "experiment_enrollment_overall"


@pytest.fixture
def expmon(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPMON_WAREHOUSE", "duckdb://monitoring.duckdb")
    return lambda line: CliRunner().invoke(main, line.split())


def test_status_stays_fresh_between_two_daily_runs(expmon, warehouse_file, tmp_path):
    ping = pings.main_ping("2021-01-25T10:00:00Z", {"exp": "a"})
    expmon(f"ingest {pings.write(tmp_path / 'p.json', [ping])}")
    expmon("run daily --as-of 2021-01-26T03:00Z")
    expmon("run live --as-of 2021-01-26T03:05Z")
    expmon("run hourly --as-of 2021-01-26T05:30Z")
    expmon("run live --as-of 2021-01-26T05:35Z")
    assert expmon("status --as-of 2021-01-26T05:35Z").exit_code == 0


def test_an_unknown_experiment_claims_nothing(expmon, warehouse_file, tmp_path):
    (tmp_path / "r.json").write_text('{"slug": "exp", "startDate": "2021-01-25"}')
    expmon("ingest --recipes r.json")
    assert expmon("--store out export typo").exit_code == 2
    assert expmon("--store out export exp --as-of 2021-01-26T04:00Z").exit_code == 0


def test_all_named_experiments_are_checked_before_one_is_written(expmon, warehouse_file, tmp_path):
    (tmp_path / "r.json").write_text('{"slug": "exp", "startDate": "2021-01-25"}')
    expmon("ingest --recipes r.json")
    assert expmon("--store out export exp typo --as-of 2021-01-26T04:00Z").exit_code == 2
    assert list((tmp_path / "out").glob("*.json")) == []


def test_reading_makes_no_warehouse(expmon, tmp_path):
    assert expmon("status").exit_code == 1
    assert not (tmp_path / "monitoring.duckdb").exists()


def test_nothing_is_folded_where_there_is_no_terminal(warehouse_file, tmp_path):
    slug, branch = "s" * 150, "b" * 150
    place = ["--warehouse", f"duckdb://{warehouse_file}"]
    ping = pings.event_ping("2021-01-25T23:58:00Z", pings.event("enroll", slug, branch))
    CliRunner().invoke(main, [*place, "ingest", str(pings.write(tmp_path / "p.json", [ping]))])
    CliRunner().invoke(main, [*place, "run", "live", "--as-of", "2021-01-26T04:00Z"])
    printed = CliRunner().invoke(main, [*place, "fetch", OVERALL, slug]).stdout
    assert slug in printed


def test_the_catalogue_is_one_line_per_relation_where_there_is_no_terminal():
    lines = CliRunner().invoke(main, ["datasets"]).stdout.splitlines()
    assert [line for line in lines if line.strip() == "them"] == []


@pytest.mark.parametrize("given", ["2021-01-26"])
def test_the_hint_for_a_naive_time_is_itself_accepted(expmon, warehouse_file, given):
    told = expmon(f"status --as-of {given}").stderr
    hint = told.rpartition("write ")[2].split()[0]
    assert expmon(f"status --as-of {hint}").exit_code != 2


def test_no_rows_are_no_lines_of_json(expmon, warehouse_file):
    assert expmon(f"fetch {OVERALL} nobody --format json").stdout == ""


def test_the_sql_of_a_source_is_refused_in_plain_words(expmon):
    result = expmon("sql telemetry_live.main_v4")
    assert result.exit_code == 2
    assert "statement of" not in result.stderr.partition("'")[2].partition("'")[0]
    assert "Did you mean" not in result.stderr


def test_a_dataset_that_is_not_exported_is_not_said_to_be_missing(expmon, warehouse_file):
    result = expmon("--store out export exp --dataset experiment_enrollment_other_events")
    assert result.exit_code == 2
    assert "there is no dataset" not in result.stderr


def test_fetch_takes_the_views_by_their_full_names(expmon, warehouse_file):
    assert expmon(f"fetch telemetry.{OVERALL} exp").exit_code == 0


def test_verbose_logs_only_expmons_own_steps(warehouse_file):
    command = [SCRIPT, "--warehouse", f"duckdb://{warehouse_file}", "-v", "run", "live"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "array index offset" not in done.stderr


def test_each_step_is_logged_as_a_json_line_with_its_figures(warehouse_file):
    options = ["--warehouse", f"duckdb://{warehouse_file}", "-v", "--log-format", "json"]
    command = [SCRIPT, *options, "run", "live", "--as-of", "2021-01-26T00:10Z"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    steps = [line for line in lines if line["logger"] == "expmon.materialize.run"]
    recents = "telemetry_derived.experiment_search_aggregates_recents_v1"
    (step,) = [line for line in steps if line["dataset"] == recents]
    assert step["message"].startswith(f"{recents}: 0 rows in ")
    figures = {key: step[key] for key in ("level", "partition", "rows", "bytes", "job_id")}
    assert figures == {"level": "INFO", "partition": "", "rows": 0, "bytes": None, "job_id": ""}
    assert step["seconds"] >= 0
    assert datetime.fromisoformat(step["time"]).utcoffset() == timedelta(0)


def test_days_are_written_as_days(expmon, warehouse_file, tmp_path):
    (tmp_path / "r.json").write_text('{"slug": "exp", "startDate": "2021-01-25"}')
    expmon("ingest --recipes r.json")
    text = expmon("experiments --as-of 2021-01-26T04:00Z --format csv").stdout
    assert text.splitlines()[1].split(",")[4] == "2021-01-25"
    record = json.loads(expmon("experiments --as-of 2021-01-26T04:00Z --format json").stdout)
    assert record["start_date"] == "2021-01-25"


def test_one_is_singular(expmon, warehouse_file, tmp_path):
    (tmp_path / "r.json").write_text('{"slug": "exp", "startDate": "2021-01-25"}')
    assert expmon("ingest --recipes r.json").stdout.startswith("1 row into")
    done = expmon("--store out export exp --as-of 2021-01-26T04:00Z")
    assert done.stdout.startswith("1 experiment:")


def test_the_package_can_be_run():
    done = subprocess.run(
        [sys.executable, "-m", "expmon", "--version"], capture_output=True, check=False
    )
    assert done.returncode == 0


def test_a_misspelt_public_name_is_refused_by_mypy(tmp_path):
    (tmp_path / "x.py").write_text("import expmon\n\nexpmon.nonsense\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "x.py"],
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1


def test_the_age_of_a_live_run_is_for_people(expmon, warehouse_file):
    expmon("run live --as-of 2021-01-26T04:00:07.123456Z")
    assert "1 day, 0:59:52.876544" not in expmon("status --as-of 2021-01-27T05:00Z").stdout


def test_a_second_demo_keeps_what_is_not_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("expmon.cli.demo.CLIENTS", 3)
    (tmp_path / "demo" / "exports").mkdir(parents=True)
    (tmp_path / "demo" / ".expmon-demo").touch()
    (tmp_path / "demo" / "exports" / "notes.txt").write_text("mine")
    from expmon.cli.demo import _prepare

    _prepare(tmp_path / "demo")
    assert (tmp_path / "demo" / "exports" / "notes.txt").read_text() == "mine"


def test_the_unknown_datasets_hint_is_for_the_shell(expmon, warehouse_file):
    assert "expmon.datasets()" not in expmon("fetch xyz exp").stderr
