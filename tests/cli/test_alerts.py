from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

import expmon as library
import receiving
from alerting import live_run
from expmon.cli import main
from playing import at

T = at("2021-01-26T12:00")
TICK = timedelta(minutes=5)
STARTED = "Alarm: exp, split. split is alarm. Look. Since 2021-01-26 12:00 UTC.\n"
OVER = "Over: exp, split. split is ok. It was an alarm since 2021-01-26 12:00 UTC.\n"


@pytest.fixture
def expmon(warehouse_file):
    """Runs `expmon alerts`; it must end with a status."""

    def invoke(line="", moment=T, status=0):
        options = ["--warehouse", f"duckdb://{warehouse_file}", "alerts", *line.split()]
        result = CliRunner().invoke(main, [*options, "--as-of", moment.isoformat()])
        assert result.exit_code == status, result.output
        return result

    return invoke


@pytest.fixture
def found(warehouse_file):
    """Lets the warehouse have what a live run found."""

    def live(time, *found):
        with library.connect(f"duckdb://{warehouse_file}") as monitor:
            live_run(monitor, time, *found)

    return live


def test_each_start_and_end_is_a_line_once(expmon, found):
    found(T, ("exp", "split", "alarm"))
    assert expmon().stdout == STARTED
    assert expmon().output == ""
    found(T + TICK, ("exp", "split", "ok"))
    assert expmon(moment=T + TICK).stdout == OVER
    assert expmon(moment=T + TICK).output == ""


def test_json_is_a_line_for_each(expmon, found):
    found(T, ("a", "split", "alarm"), ("b", "split", "alarm"))
    lines = expmon("--format json").stdout.splitlines()
    assert [json.loads(line)["experiment"] for line in lines] == ["a", "b"]


def test_a_dry_run_prints_what_would_be_delivered_wherever_to(expmon, found):
    found(T, ("exp", "split", "alarm"))
    assert expmon("--dry-run").stdout == STARTED
    assert expmon("--dry-run --to alerts.jsonl").stdout == STARTED
    assert not Path("alerts.jsonl").exists()
    assert json.loads(expmon("--dry-run --format json").stdout)["kind"] == "started"
    assert expmon().stdout == STARTED


def test_names_obey_no_terminal(expmon, found):
    found(T, ("a\x1b[31m\nAlarm: b", "split", "alarm"))
    assert expmon().stdout.startswith("Alarm: a\\x1b[31m\\nAlarm: b, split. ")


def test_a_file_is_told_to_on_the_line_or_by_the_configuration(expmon, found, monkeypatch):
    found(T, ("exp", "split", "alarm"))
    monkeypatch.setenv("EXPMON_ALERTS_TO", "configured.jsonl")
    assert expmon("--to given.jsonl").stdout == "1 alert delivered\n"
    assert json.loads(Path("given.jsonl").read_text())["kind"] == "started"
    found(T + TICK, ("exp", "split", "ok"))
    assert expmon(moment=T + TICK).stdout == "1 alert delivered\n"
    assert json.loads(Path("configured.jsonl").read_text())["kind"] == "over"
    assert expmon(moment=T + TICK).stdout == "0 alerts delivered\n"


def test_what_cannot_be_delivered_fails_and_comes_the_next_time(expmon, found):
    found(T, ("exp", "split", "alarm"))
    failed = expmon("--to gone/alerts.jsonl", status=1)
    assert failed.stdout == ""
    assert failed.stderr.startswith(
        "Error: an alert could not be delivered to gone/alerts.jsonl: No such file or directory."
    )
    assert expmon().stdout == STARTED


@pytest.mark.enable_socket
def test_a_webhook_gets_it_and_its_address_is_not_printed(expmon, found):
    with receiving.webhook() as hook:
        found(T, ("exp", "split", "alarm"))
        hook.answers = [receiving.status(404, "no such hook")]
        failed = expmon(f"--to {hook.url}", status=1)
        assert "to 127.0.0.1: it answered 404 Not Found: no such hook. " in failed.stderr
        assert "secret" not in failed.output
        assert expmon(f"--to {hook.url}").stdout == "1 alert delivered\n"
        assert len(set(hook.ids)) == 1


def test_while_another_delivers_what_waits_is_said(expmon, found, warehouse_file):
    found(T, ("exp", "split", "alarm"))
    with library.connect(f"duckdb://{warehouse_file}") as monitor:

        def slow(_):
            waiting = expmon(status=1)
            assert waiting.stdout == ""
            assert waiting.stderr == "Note: 1 alert left for the next time\n"

        assert len(monitor.alerts(T, deliver=slow).delivered) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--to ftp://x", "alerts.to must be stdout, a file's path, or an address"),
        ("--format csv", "'csv' is not one of 'text', 'json'"),
        ("--wait -1", "-1.0 is not in the range"),
    ],
)
def test_what_makes_no_sense_is_refused(expmon, line, message):
    assert message in expmon(line, status=2).stderr


def test_the_documentation_shows_a_message_as_it_is(expmon, found):
    page = Path(__file__).parents[2] / "docs" / "alerts.md"
    (shown,) = re.findall(r"```json\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    found(T, ("exp", "split", "alarm"))
    assert json.loads(shown).keys() == json.loads(expmon("--format json").stdout).keys()
