from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from expmon.cli import main

CLIENTS = "telemetry.clients_daily"


@pytest.fixture
def expmon():
    """Runs the command; it must end with a status, and leaves nothing behind."""

    def invoke(line, status=0):
        before = sorted(Path.cwd().iterdir())
        result = CliRunner().invoke(main, line.split())
        assert result.exit_code == status, result.output
        assert sorted(Path.cwd().iterdir()) == before
        return result

    return invoke


def rows(text):
    """The cells of each line: two spaces or more are between them."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text if line]


def test_each_value_is_printed_with_where_it_came_from(expmon, monkeypatch):
    Path("expmon.toml").write_text('store = "out"\n[projects]\nviews = "v"')
    monkeypatch.setenv("EXPMON_PROJECT", "p")
    monkeypatch.setenv("EXPMON_EMPTY_SOURCES", "telemetry_live.main_v4,telemetry_live.event_v4")
    options = "--warehouse bigquery://jobs?location=EU --set bigquery.maximum_bytes_billed=1000000"
    file = str(Path("expmon.toml").absolute())
    printed = expmon(f"{options} --set tables.{CLIENTS}=a.b config").stdout.splitlines()
    assert rows(printed) == [
        ["setting", "value", "from"],
        ["─" * len(printed[2].strip())],
        ["warehouse", "bigquery://jobs?location=EU", "argument"],
        ["store", "out", file],
        ["project", "p", "EXPMON_PROJECT"],
        ["projects.data", "p", "EXPMON_PROJECT"],
        ["projects.views", "p", "EXPMON_PROJECT"],
        ["projects.experiments", "p", "EXPMON_PROJECT"],
        ["schedule.day_lag_minutes", "180", "default"],
        ["schedule.hour_lag_minutes", "30", "default"],
        ["schedule.source_horizon_days", "7", "default"],
        ["schedule.catch_up_days", "14", "default"],
        [
            "schedule.empty_sources",
            "telemetry_live.event_v4, telemetry_live.main_v4",
            "EXPMON_EMPTY_SOURCES",
        ],
        ["health.alpha", "0.001", "default"],
        ["health.concentration", "100.0", "default"],
        ["health.settling_hours", "24", "default"],
        ["health.holding_back_hours", "6", "default"],
        ["health.muted", "default"],
        ["alerts.to", "stdout", "default"],
        ["bigquery.location", "EU", "argument"],
        ["bigquery.priority", "interactive", "default"],
        ["bigquery.job_timeout_minutes", "10", "default"],
        ["bigquery.retry_deadline_seconds", "120", "default"],
        ["bigquery.maximum_bytes_billed", "1000000", "argument"],
        ["bigquery.parallel_jobs", "8", "default"],
        ["google.quota_project", "default"],
        ["google.impersonate_service_account", "default"],
        [f"tables.{CLIENTS}", "a.b", "argument"],
    ]


def test_json_has_the_values_as_they_are(expmon):
    printed = expmon("--set schedule.catch_up_days=3 config --format json").stdout
    content = json.loads(printed)
    assert content.keys() == {"settings"}
    found = {row["setting"]: (row["value"], row["from"]) for row in content["settings"]}
    assert len(found) == 25
    assert found["warehouse"] == ("bigquery://moz-fx-data-shared-prod", "Mozilla's default")
    assert found["schedule.catch_up_days"] == (3, "argument")
    assert found["schedule.empty_sources"] == ([], "default")
    assert found["bigquery.location"] == (None, "default")


def test_tables_are_printed_where_they_really_lie(expmon, monkeypatch):
    monkeypatch.setenv("EXPMON_DATASETS", "telemetry_derived=derived")
    line = f"--set physical_tables.telemetry_live.main_v4=raw.main --set project=p {'config'}"
    printed = expmon(f"{line} --tables").stdout.splitlines()
    found = rows(printed)
    start = found.index(["relation", "table", "behind it"])
    tables = {row[0]: row[1:] for row in found[start + 2 :]}
    assert len(tables) == 47
    assert tables["telemetry_live.main_v4"] == ["p.telemetry_live.main_v4", "p.raw.main"]
    assert tables["telemetry_live.event_v4"] == ["p.telemetry_live.event_v4"]
    assert tables[CLIENTS] == [f"p.{CLIENTS}", "p.derived.clients_daily_v6"]
    assert tables["telemetry_derived.experiment_enrollment_overall_v1"] == [
        "p.derived.experiment_enrollment_overall_v1"
    ]


def test_tables_of_mozilla_lie_in_three_projects(expmon):
    content = json.loads(expmon("config --tables --format json").stdout)
    found = {row["relation"]: row["table"] for row in content["tables"]}
    view = "telemetry.experiment_enrollment_overall"
    experiments = "monitoring.experimenter_experiments_v1"
    assert found[f"telemetry_derived.{view.split('.')[1]}_v1"].startswith("moz-fx-data-shared-p")
    assert found[view] == f"mozdata.{view}"
    assert found[experiments] == f"moz-fx-data-experiments.{experiments}"
    behind = {row["relation"]: row["behind it"] for row in content["tables"] if row["behind it"]}
    assert behind == {CLIENTS: "moz-fx-data-shared-prod.telemetry_derived.clients_daily_v6"}


def test_nothing_is_connected_to(expmon, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "gone.json")
    assert "gs://bucket/x" in expmon("--store gs://bucket/x config --tables").stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--set bigquery.locaton=US config", "did you mean location?"),
        ("--set bigquery.parallel_jobs=many config", "must be a whole number from 1 to 100"),
        ("--set bigquery.location= config", "argument: bigquery.location must be a location"),
        ("--set project config", "Invalid value for --set: 'project' is not KEY=VALUE"),
        ("--set =x config", "argument: '' is unknown"),
        ("--warehouse bigquery:// config", "is no warehouse: write bigquery://project"),
        ("config --format csv", "'csv' is not one of 'table', 'json'"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(expmon, line, message):
    result = expmon(line, status=2)
    assert result.stdout == ""
    assert message in result.stderr


def test_the_last_of_two_settings_wins_and_its_value_may_have_equal_signs(expmon):
    line = "--set datasets=telemetry=a --set datasets=telemetry=b,monitoring=c config --format json"
    content = json.loads(expmon(line).stdout)["settings"]
    entries = {row["setting"]: row["value"] for row in content[25:]}
    assert entries == {"datasets.telemetry": "b", "datasets.monitoring": "c"}


def test_other_commands_take_the_settings_too(expmon):
    line = "--set project=mine --set datasets.telemetry_derived=own sql"
    printed = expmon(f"{line} experiment_enrollment_overall").stdout
    assert "FROM `mine`.own." in printed
    assert "moz" not in printed


def test_a_warehouse_that_is_set_is_the_one_that_is_used(warehouse_file):
    line = [
        "--set",
        f"warehouse=duckdb://{warehouse_file}",
        "--warehouse",
        "duckdb://other",
        "deploy",
    ]
    result = CliRunner().invoke(main, line)
    assert result.stdout == "nothing to do: everything is there\n"
