from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import pings
from expmon.cli import main
from expmon.errors import ConfigError, ExpmonError, InvalidInput

SCRIPT = Path(sys.executable).with_name("expmon")
AS_OF = "2021-01-26T04:00Z"
OVERALL = "experiment_enrollment_overall"
GOOD = pings.event_ping("2021-01-25T23:58:00Z", pings.event("enroll"))

REFUSED = {
    "an unknown command": ("fetc", "No such command 'fetc'. Did you mean 'fetch'?"),
    "an unknown cadence": ("run weekly", "'weekly' is not one of 'live', 'hourly', 'daily'"),
    "an unknown option": ("status --wait 3", "No such option '--wait'"),
    "a dataset with a typo": (
        "fetch experiment_enrolment_overall exp",
        "there is no dataset 'experiment_enrolment_overall'. Did you mean " + OVERALL,
    ),
    "an unknown dataset": ("fetch xyz exp", "there is no dataset 'xyz'"),
    "a relation with a typo": ("datasets event_live", "Did you mean events_live"),
    "a statement with a typo": (f"sql {OVERALL[:-1]}", f"Did you mean {OVERALL}"),
    "an unknown exported dataset": (
        "export exp --dataset experiment_cumulative_clicks",
        "Did you mean experiment_cumulative_ad_clicks",
    ),
    "a slug with a path in it": (f"fetch {OVERALL} ../x", "'../x' is not an experiment slug"),
    "an export of a bad slug": ("export a/b", "'a/b' is not an experiment slug"),
    "an unknown experiment": ("--store out export nosuch", "there is no experiment 'nosuch'"),
    "a time without a zone": (
        "run live --as-of 2021-01-26T00:05",
        "'2021-01-26T00:05' has no time zone: write 2021-01-26T00:05:00Z for UTC",
    ),
    "a start without a zone": (
        f"fetch {OVERALL} exp --start 2021-01-26T00:05",
        "has no time zone: write 2021-01-26T00:05:00Z for UTC",
    ),
    "a stamp without a zone": (
        "ingest x.json --submission-timestamp 2021-01-26T00:05",
        "has no time zone: write 2021-01-26T00:05:00Z for UTC",
    ),
    "a word for a time": ("plan live --as-of now", "'now' is no time like 2021-01-26T00:05Z"),
    "a day that no month has": ("status --as-of 2021-02-30T00:00Z", "is no time like"),
    "a time in the future": ("status --as-of 2999-01-01T00:00Z", "is in the future"),
    "a month of 13": (f"fetch {OVERALL} exp --end 2021-13-26", "'2021-13-26' is no time"),
    "a day with one digit": ("backfill 2021-1-26 2021-01-27", "is no date like 2021-01-26"),
    "a time for a day": ("backfill 2021-01-25T00:00Z 2021-01-26", "is no date like 2021-01-26"),
    "a fetch that ends early": (
        f"fetch {OVERALL} exp --start 2021-01-26 --end 2021-01-25",
        "is before start",
    ),
    "a backfill of no day": (
        "backfill 2021-01-25 2021-01-25 --as-of 2021-01-27T00:00Z",
        "nothing to backfill: end 2021-01-25 is not after start 2021-01-25",
    ),
    "a backfill that ends early": (
        "backfill 2021-01-26 2021-01-25 --as-of 2021-01-27T00:00Z",
        "end 2021-01-25 is not after start 2021-01-26",
    ),
    "a backfill of a day that is not over": (
        "backfill 2021-01-25 2021-01-27 --as-of 2021-01-26T04:00Z",
        "day 2021-01-26 is not ready",
    ),
    "a wait below zero": ("run live --wait -1", "-1.0 is not in the range x>=0"),
    "nothing to ingest": ("ingest", "give FILES of pings, or --recipes FILE"),
    "datasets of all experiments": (f"export --dataset {OVERALL}", "--dataset needs SLUGS"),
    "neither statement nor place": ("sql", "give either the NAME of one statement, or --out"),
    "both statement and place": (f"sql {OVERALL} --out x", "give either the NAME"),
    "a file for the statements' place": ("sql --out monitoring.duckdb", "is a file"),
    "no store": ("export", "there is no place to export to: give store="),
    "a missing configuration": ("--config no.toml status", "'no.toml' does not exist"),
    "a warehouse of no kind": ("--warehouse a.duckdb status", "'a.duckdb' is no warehouse"),
    "a warehouse without a file": ("--warehouse duckdb:// status", "is no warehouse"),
    "a store of no kind": ("--store ftp://a export", "ftp://a can't be used"),
    "a format that there is not": (f"fetch {OVERALL} exp --format xml", "'xml' is not one of"),
}
FAILED = {
    "a backfill of a day that no source has": (
        "backfill 2020-01-01 2020-01-02",
        "Error: day 2020-01-01 of telemetry_derived.",
    ),
    "a directory that is not there": (
        "--warehouse duckdb://none/a.duckdb deploy",
        "does its directory exist",
    ),
    "a file that is no database": ("--warehouse duckdb://note.txt deploy", "no DuckDB database"),
    "a file for a store": ("--store note.txt export", "note.txt can't be used for exports"),
    "a place for statements below a file": ("sql --out note.txt/x", "can't be written"),
    "a file that can't be read": ("ingest no.json", "skipped: no.json: the file can't be read"),
    "a demo in a file": ("demo note.txt", "note.txt can't be used"),
}
BEFORE_DEPLOYMENT = [
    "status",
    "plan live",
    "run daily",
    "experiments",
    f"fetch {OVERALL} exp",
    "export exp",
    "backfill 2021-01-25 2021-01-26",
    "ingest pings.json",
]


@pytest.fixture
def expmon(tmp_path, monkeypatch):
    """Runs a command line on the warehouse of the environment."""
    monkeypatch.setenv("EXPMON_WAREHOUSE", "duckdb://monitoring.duckdb")
    (tmp_path / "note.txt").write_text("a note of eighteen")
    pings.write(tmp_path / "pings.json", [GOOD])
    return lambda line: CliRunner().invoke(main, line.split())


@pytest.mark.parametrize(("line", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_ends_with_2_and_a_hint_and_prints_nothing(
    expmon, warehouse_file, line, message
):
    result = expmon(line)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(("line", "message"), FAILED.values(), ids=FAILED)
def test_what_fails_ends_with_1_and_its_reason_and_prints_nothing(
    expmon, warehouse_file, tmp_path, line, message
):
    result = expmon(line)
    assert result.exit_code == 1
    assert result.stdout == ""
    (told,) = result.stderr.splitlines()
    assert message in told
    assert (tmp_path / "note.txt").read_text() == "a note of eighteen"


@pytest.mark.parametrize("line", BEFORE_DEPLOYMENT)
def test_without_tables_each_command_says_how_to_make_them(expmon, line):
    result = expmon(f"--store exports {line}")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "does not exist. Create the tables and views first: `expmon deploy`" in result.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [(InvalidInput("no"), 2), (ConfigError("no"), 2), (ExpmonError("no"), 1)],
)
def test_errors_of_expmon_become_one_line_and_a_status(expmon, monkeypatch, error, status):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("expmon.connection.connect", fail)
    result = expmon("status")
    assert (result.stdout, result.stderr, result.exit_code) == ("", "Error: no\n", status)


def test_errors_that_nobody_expects_are_not_hidden(expmon, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("expmon.connection.connect", fail)
    assert isinstance(expmon("status").exception, ZeroDivisionError)


def test_ingest_loads_what_it_can_read_and_names_the_rest_with_file_and_line(
    expmon, warehouse_file, tmp_path
):
    good = json.dumps(GOOD)
    (tmp_path / "mixed.json").write_text(f'{good}\nnonsense\n{good}\n{{"type": "event"}}\n')
    result = expmon("ingest mixed.json missing.json --recipes none.json")
    assert result.exit_code == 1
    assert "2 rows into telemetry_live.event_v4" in result.stdout.splitlines()
    recipes, text, ping, missing = result.stderr.splitlines()
    assert recipes.startswith("skipped: none.json: ")
    assert text.startswith("skipped: mixed.json:2: not JSON")
    assert ping.startswith("skipped: mixed.json:4: ")
    assert missing.startswith("skipped: missing.json: the file can't be read")


def test_ingest_names_twenty_of_many_unreadable_pings_and_counts_the_others(
    expmon, warehouse_file, tmp_path
):
    (tmp_path / "bad.json").write_text("nonsense\n" * 1234)
    result = expmon("ingest bad.json")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 21
    assert lines[19].startswith("skipped: bad.json:20: ")
    assert lines[20] == "… and 1,214 more"


def test_an_older_export_is_refused_and_leaves_the_files(expmon, warehouse_file, tmp_path):
    (tmp_path / "recipes.json").write_text('{"slug": "exp", "startDate": "2021-01-25"}')
    expmon("ingest --recipes recipes.json")
    assert expmon(f"--store out export --as-of {AS_OF}").exit_code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.json")}
    result = expmon("--store out export --as-of 2021-01-26T03:00Z")
    assert result.exit_code == 0  # there is nothing to do, and nothing to call anybody for
    assert result.stdout == ""
    assert "one as of 2021-01-26T04:00:00+00:00 has claimed the same place" in result.stderr
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").glob("*.json")} == before
    assert len(before) == 17


def test_a_slug_that_can_not_name_a_file_is_skipped_and_said_so(expmon, warehouse_file, tmp_path):
    recipes = [{"slug": slug, "startDate": "2021-01-25"} for slug in ("exp", "a b", "[red]c")]
    (tmp_path / "recipes.json").write_text(json.dumps(recipes))
    expmon("ingest --recipes recipes.json")
    result = expmon(f"--store out export --as-of {AS_OF}")
    assert result.exit_code == 0
    assert "16 files written" in result.stdout
    for slug in ("'a b'", "'[red]c'"):
        assert f"skipped: {slug} can't be part of a file name" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "chosen"),
    [
        ("--warehouse duckdb://arg.db", "duckdb://env.db", "arg.db"),
        ("", "duckdb://env.db", "env.db"),
        ("", "", "toml.db"),
        ("--config other.toml", "", "other.db"),
        ("--config other.toml", "duckdb://env.db", "env.db"),
        ("--config other.toml --warehouse duckdb://arg.db", "", "arg.db"),
    ],
)
def test_options_come_before_the_environment_and_that_before_the_file(
    tmp_path, monkeypatch, arguments, environment, chosen
):
    monkeypatch.setenv("EXPMON_WAREHOUSE", environment)
    (tmp_path / "expmon.toml").write_text('warehouse = "duckdb://toml.db"')
    (tmp_path / "other.toml").write_text('warehouse = "duckdb://other.db"')
    result = CliRunner().invoke(main, [*arguments.split(), "deploy"])
    assert result.exit_code == 0, result.stderr
    assert [path.name for path in tmp_path.glob("*.db")] == [chosen]


@pytest.mark.parametrize(
    ("arguments", "environment", "chosen"),
    [("--store arg", "env", "arg"), ("", "env", "env"), ("", "", "toml")],
)
def test_the_store_is_chosen_in_the_same_order(
    warehouse_file, monkeypatch, arguments, environment, chosen
):
    settings = f'warehouse = "duckdb://{warehouse_file}"\nstore = "toml"\n'
    Path("expmon.toml").write_text(settings)
    monkeypatch.setenv("EXPMON_STORE", environment)
    result = CliRunner().invoke(main, [*arguments.split(), "export", "--as-of", AS_OF])
    assert result.stdout == f"0 experiments: 0 files written, 0 unchanged, in {chosen}\n"
    assert Path(chosen, "index.json").is_file()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("wharehouse = 'x'", "expmon.toml: 'wharehouse' is unknown: did you mean warehouse?"),
        ("warehouse =", "expmon.toml is not TOML"),
        ("[schedule]\nday_lag_minutes = -1", "must be a whole number from 0 to 1000000, not -1"),
        ("[projects]\nview = 'x'", "projects: 'view' is unknown: did you mean views?"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(tmp_path, content, message):
    (tmp_path / "expmon.toml").write_text(content)
    for command in (["status"], ["sql", OVERALL]):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith("Error: ")
        assert message in result.stderr


def test_statements_name_the_projects_of_the_configuration(tmp_path):
    (tmp_path / "mine.toml").write_text('project = "mine"')
    result = CliRunner().invoke(main, ["--config", "mine.toml", "sql", OVERALL])
    assert "FROM `mine`.telemetry_derived." in result.stdout
    assert "moz" not in result.stdout


def test_the_real_command_ends_with_the_same_statuses_and_streams(warehouse_file):
    place = f"duckdb://{warehouse_file}"

    def real(*command):
        whole = [SCRIPT, "--warehouse", place, *command]
        return subprocess.run(whole, capture_output=True, text=True, check=False)

    refused = real("fetch", "xyz", "exp")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("Error: there is no dataset 'xyz'")
    late = real("status", "--as-of", AS_OF)
    assert late.returncode == 1
    assert late.stderr == ""
    # Two recents, two sums by the hour, nine derived tables and the three of the health checks;
    # without any source nothing else is due.
    assert late.stdout.count("no live run has been here yet: expmon run live") == 2 + 2 + 9 + 3
    done = real("-v", "run", "live", "--as-of", AS_OF)
    assert done.returncode == 0
    assert "experiment_enrollment_aggregates_recents_v1: 0 rows in " in done.stderr
    assert done.stdout.endswith(" partitions or tables written\n")


def test_a_warehouse_that_another_process_has_is_said_to_be_locked(monitor, warehouse_file):
    monitor.status()
    command = [SCRIPT, "--warehouse", f"duckdb://{warehouse_file}", "run", "live"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "another process has it" in done.stderr


def test_a_pipe_that_closes_early_is_no_error():
    line = f"{SCRIPT} datasets | head -1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_nothing_is_cut_off_or_broken_where_there_is_no_terminal(warehouse_file, tmp_path):
    slug, branch = "s" * 120, "b" * 60
    (tmp_path / "recipes.json").write_text(json.dumps({"slug": slug, "startDate": "2021-01-25"}))
    ping = pings.event_ping("2021-01-25T23:58:00Z", pings.event("enroll", slug, branch))
    place = ["--warehouse", f"duckdb://{warehouse_file}"]
    for command in (
        ["ingest", str(pings.write(tmp_path / "p.json", [ping])), "--recipes", "recipes.json"],
        ["run", "live", "--as-of", AS_OF],
    ):
        assert CliRunner().invoke(main, [*place, *command]).exit_code == 0
    for command in (["fetch", OVERALL, slug], ["experiments", "--as-of", AS_OF]):
        done = subprocess.run(
            [SCRIPT, *place, *command],
            capture_output=True,
            text=True,
            check=True,
            env={"COLUMNS": "40", "PYTHONIOENCODING": "utf-8"},
        )
        assert slug in done.stdout
        assert "…" not in done.stdout
        assert (branch in done.stdout) is (command[0] == "fetch")
