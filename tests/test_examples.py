"""The examples of schedulers: what they say is well-formed, and the commands in them run."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster
import pytest
import yaml

import expmon
from expmon import config

EXAMPLES = Path(__file__).parent.parent / "examples"
BIN = Path(sys.executable).parent
CADENCES = ("live", "hourly", "daily")
CRONS = {"*/5 * * * *": "live", "30 * * * *": "hourly", "0 3 * * *": "daily"}
TIMERS = {
    "*-*-* *:00/5:00 UTC": "live",
    "*-*-* *:30:00 UTC": "hourly",
    "*-*-* 03:00:00 UTC": "daily",
}
needs_flock = pytest.mark.skipif(
    shutil.which("flock") is None, reason="flock is not installed: it is part of util-linux"
)


@pytest.fixture
def shell(warehouse_file, tmp_path):
    """Runs a command as a scheduler does, but here; it must succeed."""

    def run(command):
        here = command.replace("/opt/expmon/bin", str(BIN)).replace(
            "/var/lib/expmon", str(tmp_path)
        )
        surroundings = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "EXPMON_WAREHOUSE": f"duckdb://{warehouse_file}",
            "EXPMON_STORE": str(tmp_path / "exports"),
        }
        done = subprocess.run(
            ["/bin/sh", "-c", here],
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def written_by(shell, commands, warehouse_file):
    """Run the commands of the three cadences; the verdicts on recents after that."""
    for cadence in CADENCES:
        output = shell(commands[cadence])
        assert "partitions or tables written" in output or "partition or tables written" in output
        assert ("0 experiments: 0 files written" in output) is (cadence == "live")
    return verdicts_on_recents(warehouse_file)


def verdicts_on_recents(warehouse_file):
    with expmon.connect(f"duckdb://{warehouse_file}") as monitor:
        live = [s for s in monitor.status() if s.cadence == "live" and s.latest is not None]
    return {status.verdict for status in live if status.relation.endswith("recents_v1")}


def crontab():
    """The settings of the crontab, and its commands by their times."""
    text = (EXAMPLES / "cron" / "expmon.cron").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    settings = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    entries = [line for line in lines if not re.match(r"[A-Z_]+=", line)]
    return settings, {" ".join(e.split()[:5]): e.split(maxsplit=5)[5] for e in entries}


@needs_flock
def test_the_crontabs_commands_run(shell, warehouse_file):
    settings, commands = crontab()
    assert settings["CRON_TZ"] == "UTC"
    assert commands.keys() == CRONS.keys()
    assert not any("%" in command for command in commands.values())  # a newline to cron
    by_cadence = {CRONS[time]: command for time, command in commands.items()}
    assert written_by(shell, by_cadence, warehouse_file) == {"fresh"}


@needs_flock
def test_a_live_run_of_the_crontab_is_left_out_while_another_has_the_lock(shell, tmp_path):
    import fcntl  # where there is flock

    _, commands = crontab()
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system call that flock makes
        assert shell(commands["*/5 * * * *"]) == ""


def unit(name):
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string((EXAMPLES / "systemd" / name).read_text().replace("\\\n", ""))
    return parser


@needs_flock
def test_the_commands_of_the_systemd_services_run(shell, warehouse_file):
    commands = {}
    for cadence in CADENCES:
        service = unit(f"expmon-{cadence}.service")["Service"]
        assert (service["Type"], service["EnvironmentFile"]) == ("oneshot", "/etc/expmon.env")
        commands[cadence] = service["ExecStart"]
        timer = unit(f"expmon-{cadence}.timer")
        assert TIMERS[timer["Timer"]["OnCalendar"]] == cadence
        assert timer["Install"]["WantedBy"] == "timers.target"
    assert written_by(shell, commands, warehouse_file) == {"fresh"}


def test_the_environment_of_the_systemd_services_is_read_as_the_configuration(monkeypatch):
    lines = (EXAMPLES / "systemd" / "expmon.env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    read = [value.origin for value in config.load().values]
    assert variables
    assert {name for name in variables if name not in read} == set()


def test_the_workflow_of_github_actions_runs_each_schedule_by_its_cron(shell, warehouse_file):
    text = (EXAMPLES / "github-actions" / "expmon.yml").read_text()
    workflow = yaml.safe_load(text)
    triggers = workflow[True]  # YAML 1.1 reads `on` so
    assert {entry["cron"] for entry in triggers["schedule"]} == CRONS.keys()
    commands = {}
    for step in workflow["jobs"]["run"]["steps"]:
        if "if" in step:
            cron = re.fullmatch(r"github\.event\.schedule == '(.+)'", step["if"])
            commands[CRONS[cron[1]]] = step["run"]
    assert written_by(shell, commands, warehouse_file) == {"fresh"}


DAGSTER = (EXAMPLES / "dagster" / "expmon_schedules.py").read_text()


def schedules_of_dagster(text=DAGSTER):
    """The schedules by their cadence."""
    names = {"__name__": "expmon_schedules"}
    exec(compile(text, "expmon_schedules.py", "exec"), names)
    return {CRONS[found.cron_schedule]: found for found in names["definitions"].schedules}


def test_the_schedules_of_dagster_run_their_jobs(monkeypatch, warehouse_file, tmp_path):
    monkeypatch.setenv("EXPMON_WAREHOUSE", f"duckdb://{warehouse_file}")
    monkeypatch.setenv("EXPMON_STORE", str(tmp_path / "exports"))
    schedules = schedules_of_dagster()
    assert tuple(schedules) == CADENCES
    for schedule in schedules.values():
        assert schedule.execution_timezone == "UTC"
        moment = datetime(2021, 1, 26, tzinfo=UTC)
        context = dagster.build_schedule_context(scheduled_execution_time=moment)
        assert len(schedule.evaluate_tick(context).run_requests) == 1
        assert schedule.job.execute_in_process().success
    assert verdicts_on_recents(warehouse_file) == {"fresh"}
    assert (tmp_path / "exports" / "index.json").is_file()


@pytest.mark.parametrize("cadence", CADENCES)
def test_a_job_of_dagster_that_fails_is_tried_again_twice(monkeypatch, cadence):
    assert DAGSTER.count("delay=30") == 1
    schedules = schedules_of_dagster(DAGSTER.replace("delay=30", "delay=0"))
    monkeypatch.setenv("EXPMON_WAREHOUSE", "duckdb://not-deployed.duckdb")
    done = schedules[cadence].job.execute_in_process(raise_on_error=False)
    events = [event.event_type_value for event in done.all_events]
    assert not done.success
    assert [event for event in events if event in {"STEP_UP_FOR_RETRY", "STEP_FAILURE"}] == [
        "STEP_UP_FOR_RETRY",
        "STEP_UP_FOR_RETRY",
        "STEP_FAILURE",
    ]
