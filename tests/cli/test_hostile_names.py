"""Names reach programs as they are, and people so that no terminal or log makes more of them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import os
import pty
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

import expmon
import pings
from expmon.catalog import RELATIONS
from expmon.catalog.sources import EXPERIMENTS
from expmon.cli import _formatter, main
from tricky import NAMES, SLUGS

SCRIPT = Path(sys.executable).with_name("expmon")
AS_OF = "2021-01-26T00:05Z"
FETCH = ("fetch", "experiment_enrollment_overall", "exp")
EXPERIMENTS_THEN = ("experiments", "--as-of", AS_OF)
SKIPPED = len(NAMES) - len(SLUGS)
SHOWN = {
    "\x1b[2J\x1b[31mx\x1b[0m": r"\x1b[2J\x1b[31mx\x1b[0m",
    "\x9b31m": r"\x9b31m",
    "a\nb": r"a\nb",
    "a\rb": r"a\rb",
    "a\x85b": r"a\x85b",
    "a\u2028b": r"a\u2028b",
    "a\0b": r"a\x00b",
    "\u202egnp.exe": r"\u202egnp.exe",
    "\u200bexp": r"\u200bexp",
    "[red]x[/red]": "[red]x[/red]",
    "u\u0308": "u\u0308",
    "日本": "日本",
    "😀": "😀",
    "C:\\x": "C:\\x",
    "x" * 1000: "x" * 1000,
}
"""How a table has them."""


@pytest.fixture(scope="session")
def hostile_file(deployed_file, tmp_path_factory):
    """A warehouse with every name as a branch of one experiment, and as an active experiment."""
    folder = tmp_path_factory.mktemp("hostile")
    path = Path(shutil.copy(deployed_file, folder / "monitoring.duckdb"))
    events = [pings.event("enroll", "exp", name) for name in NAMES]
    with expmon.connect(f"duckdb://{path}") as monitor:
        monitor.ingest(
            pings.write(folder / "p.json", [pings.event_ping("2021-01-26T00:01:00Z", *events)])
        )
        monitor.run("live", datetime(2021, 1, 26, 0, 5, tzinfo=UTC))
        described = [{"normandy_slug": n, "start_date": date(2021, 1, 26)} for n in NAMES]
        monitor.warehouse.load(EXPERIMENTS, described, key="normandy_slug")
    return path


@pytest.fixture
def run(hostile_file, tmp_path):
    """Runs the command in this process; what it prints, as bytes."""
    path = shutil.copy(hostile_file, tmp_path / "monitoring.duckdb")

    def invoke(*arguments):
        where = ("--warehouse", f"duckdb://{path}", "--store", "exports")
        result = CliRunner().invoke(main, [*where, *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout_bytes

    return invoke


@pytest.fixture
def process(hostile_file, tmp_path):
    """The command in a process of its own, with this environment beside the usual one."""
    path = shutil.copy(hostile_file, tmp_path / "monitoring.duckdb")

    def start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **environment):
        command = [SCRIPT, "--warehouse", f"duckdb://{path}", "--store", "exports", *arguments]
        return subprocess.Popen(
            command, stdout=stdout, stderr=stderr, env={**os.environ, **environment}
        )

    return start


def lines_of(text):
    """The lines, by line feeds alone, all of which must be fit to be seen."""
    lines = text.removesuffix("\n").split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    return lines


@pytest.mark.parametrize(("command", "column"), [(FETCH, 1), (EXPERIMENTS_THEN, 0)])
def test_a_table_has_a_line_for_each_name_and_nothing_that_a_terminal_obeys(run, command, column):
    _, header, _, *lines, rule = lines_of(run(*command).decode())
    place = header.index(header.split()[column])
    assert len(lines) == len(NAMES)
    assert rule.strip() == ""
    shown = {re.split(r"  +", line[place:])[0] for line in lines}
    assert set(SHOWN.values()) <= shown


@pytest.mark.parametrize(("command", "column"), [(FETCH, "branch"), (EXPERIMENTS_THEN, "slug")])
def test_csv_and_json_have_every_name_as_it_is(run, command, column):
    text = run(*command, "--format", "csv").decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert sorted(row[column] for row in rows) == sorted(NAMES)
    assert {len(row) for row in rows} == {len(rows[0])}
    lines = run(*command, "--format", "json").decode().splitlines()
    assert sorted(json.loads(line)[column] for line in lines) == sorted(NAMES)


def test_a_csv_has_quotes_only_where_it_must(run):
    text = run(*FETCH, "--branch", "exp", "--format", "csv").decode()
    assert text == "time,branch,experiment,value\n2021-01-26T00:00:00Z,exp,exp,1\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_branch_is_looked_up_as_it_is_given(run, name):
    (line,) = run(*FETCH, "--branch", name, "--format", "json").splitlines()
    assert json.loads(line)["branch"] == name


def on_a_terminal(start, *command):
    """What the command writes to a terminal that has no colours."""
    ours, theirs = pty.openpty()
    seen = b""
    with start(*command, stdout=theirs, TERM="dumb", COLUMNS="120") as running:
        os.close(theirs)
        with contextlib.suppress(OSError):  # as Linux says that nobody writes any more
            while some := os.read(ours, 65536):
                seen += some
    os.close(ours)
    assert running.returncode == 0
    return seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("form", ["table", "csv", "json"])
@pytest.mark.parametrize("command", [FETCH, EXPERIMENTS_THEN])
def test_no_format_lets_a_name_drive_a_terminal(process, command, form):
    seen = on_a_terminal(process, *command, "--format", form)
    assert len(lines_of(seen)) >= len(NAMES)


def test_an_export_names_what_it_skips_in_a_line_each(process):
    _, told = process("export", "--as-of", AS_OF).communicate()
    lines = lines_of(told.decode())
    assert len([line for line in lines if line.startswith("skipped: ")]) == SKIPPED
    assert len([line for line in lines if "WARNING experiment" in line]) == SKIPPED
    assert len(lines) == 2 * SKIPPED
    _, told = process("--log-format", "json", "export", "--as-of", AS_OF).communicate()
    logged = [json.loads(line) for line in lines_of(told.decode()) if line.startswith("{")]
    assert len([line for line in logged if "is not exported" in line["message"]]) == SKIPPED


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_text_makes_two_lines_of_a_log(form):
    text = "a\n2021-01-26 00:00:00 INFO forged\r\x1b[2J\u2028\u202e"
    record = logging.LogRecord("expmon", logging.WARNING, "x.py", 1, "run %s", (text,), None)
    (line,) = lines_of(_formatter(form).format(record))
    assert "forged" in line


def test_what_an_encoding_lacks_is_escaped_for_people_and_programs_get_utf8(process):
    table, told = process(*FETCH, PYTHONIOENCODING="latin-1").communicate()
    assert told == b""
    assert rb"\u65e5\u672c" in table
    assert "ünï".encode("latin-1") in table
    text, told = process(*FETCH, "--format", "csv", PYTHONIOENCODING="latin-1").communicate()
    assert told == b""
    assert "日本" in text.decode()


def test_a_file_or_recipe_that_is_skipped_is_named_in_one_line(hostile_file, tmp_path):
    name = "a\x1b[2J\nskipped: b\x9b"
    (tmp_path / "r.json").write_text(json.dumps([{"slug": name, "channel": 5}]))
    where = ("--warehouse", f"duckdb://{shutil.copy(hostile_file, tmp_path / 'm.duckdb')}")
    done = CliRunner().invoke(main, [*where, "ingest", name, "--recipes", "r.json"])
    assert done.exit_code == 1
    recipe, file = lines_of(done.stderr_bytes.decode())
    shown = r"a\x1b[2J\nskipped: b\x9b"
    assert (
        recipe == f"skipped: r.json: recipe 0 ('{shown}'): channel must be a string, not a number"
    )
    assert file == f"skipped: {shown}: the file can't be read: No such file or directory"


def test_names_are_no_labels_of_prometheus(hostile_file, tmp_path):
    where = ("--warehouse", f"duckdb://{shutil.copy(hostile_file, tmp_path / 'm.duckdb')}")
    done = CliRunner().invoke(main, [*where, "status", "--format", "prometheus", "--as-of", AS_OF])
    families = text_string_to_metric_families(done.stdout)
    tables = {sample.labels["table"] for family in families for sample in family.samples}
    assert tables == {name for name, relation in RELATIONS.items() if relation.cadence}
