"""`expmon health`: what it prints, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

import expmon
import pings
from expmon.catalog.sources import EXPERIMENTS
from expmon.cli import main
from expmon.health.checks import CHECKS
from playing import at

AS_OF = at("2021-01-25T12:02")
WORDS = "2021-01-25T12:02Z"
COLUMNS = ["experiment", "check", "branch", "verdict", "sentence", "action", "since", "onset"]
COLUMNS += ["value", "expected", "low", "high", "log_e"]
HOSTILE = "\x1b[31mx\n\u202e"
ENROLLED = {
    "wrong": {"a": 100, "b": 20},
    "right": {"a": 50, "b": 50},
    "odd": {"a": 50, "b": 50, "stranger": 1},
    "hostile": {HOSTILE: 1, "a": 3, "b": 3},
}


@pytest.fixture(scope="module")
def health_file(deployed_file, tmp_path_factory):
    """Experiments of which one is right."""
    folder = tmp_path_factory.mktemp("health")
    path = Path(shutil.copy(deployed_file, folder / "monitoring.duckdb"))
    with expmon.connect(f"duckdb://{path}") as monitor:
        planned = [{"slug": branch, "ratio": 1} for branch in "ab"]
        known = [
            {"normandy_slug": slug, "start_date": date(2021, 1, 25), "branches": planned}
            for slug in ENROLLED
        ]
        monitor.warehouse.load(EXPERIMENTS, known, key="normandy_slug")
        moment = (AS_OF - timedelta(minutes=7)).isoformat()
        found = [
            pings.event_ping(moment, *[pings.event("enroll", slug, branch)] * number)
            for slug, branches in ENROLLED.items()
            for branch, number in branches.items()
        ]
        monitor.ingest(pings.write(folder / "pings.json", found))
        monitor.run("live", AS_OF)
    return path


@pytest.fixture
def health(health_file, tmp_path):
    """Runs the command on that file; it must end with a status."""
    shutil.copy(health_file, tmp_path / "monitoring.duckdb")

    def run(*arguments, status=0, as_of=WORDS):
        where = ("--warehouse", "duckdb://monitoring.duckdb")
        result = CliRunner().invoke(main, [*where, "health", *arguments, "--as-of", as_of])
        assert result.exit_code == status, result.output
        return result.stdout if status in {0, 3, 4} else result.stderr

    return run


def test_an_experiment_is_told_in_full_the_worst_first(health):
    assert health("wrong", status=4) == (
        "Health as of 2021-01-25 12:02 UTC\n"
        "\n"
        "wrong\n"
        "  alarm            split: 120 clients have enrolled; 83.3 % of them are in a, where 50.0 "
        "% were planned. By chance alone this would ever be seen in fewer than 1 of 1,000 "
        "experiments, however often one looks. What was counted is explained best if it began "
        "about 2021-01-25 11:55 UTC.\n"
        "                   Don't compare the branches before it is explained: look for a branch "
        "whose clients can't enroll or are lost before they report, and for a change at the time "
        "it began.\n"
        "                   Since 2021-01-25 12:02 UTC.\n"
        "  ok               branches: All branches with clients are planned.\n"
        "  ok               failures: Nothing failed in the last 24 hours.\n"
        "  ok               freshness: The data is there up to 2021-01-25 12:02 UTC. No main ping "
        "of its clients came in two days: where its application sends none, searches are not "
        "defined.\n"
        "  not enough data  enrollment: Too few clients enroll, or for too short a time, to say "
        "what is usual.\n"
        "  not enough data  unenrollment: Nobody has left the planned branches yet.\n"
        "  not enough data  leaving: There is no day before to compare with.\n"
        "  not applicable   forecast: Neither an end of enrollment nor a target is known.\n"
    )


@pytest.mark.parametrize(("slug", "status"), [("right", 0), ("odd", 3), ("wrong", 4)])
def test_the_status_is_by_the_worst_verdict(health, slug, status):
    health(slug, status=status)
    health(slug, "--format", "json", status=status)
    health(slug, "--format", "csv", status=status)


def test_of_all_active_ones_only_what_is_wrong_is_told(health):
    lines = health("--active", status=4).splitlines()
    assert lines[0] == "Health of 4 experiments, as of 2021-01-25 12:02 UTC"
    told = [line for line in lines[1:] if line and not line.startswith(" ")]
    assert told == ["hostile", "odd", "wrong"]
    verdicts = [line.split()[:2] for line in lines if line.startswith("  ") and line[2] != " "]
    assert verdicts == [["suspect", "branches:"], ["suspect", "branches:"], ["alarm", "split:"]]


def test_all_of_all_is_told_if_asked_for(health):
    lines = health("--active", "--all", status=4).splitlines()
    verdicts = [line for line in lines if line.startswith("  ") and line[2] != " "]
    assert len(verdicts) == 4 * len(CHECKS)
    assert "right" in lines


def test_json_has_every_finding(health):
    found = json.loads(health("--active", "--format", "json", status=4))
    assert found["worst"] == "alarm"
    assert [(f["experiment"], f["check"]) for f in found["findings"]] == [
        (slug, check) for slug in sorted(ENROLLED) for check in CHECKS
    ]


def test_csv_has_a_row_for_each_finding(health):
    rows = list(csv.DictReader(io.StringIO(health("wrong", "--format", "csv", status=4))))
    assert list(rows[0]) == COLUMNS
    assert [row["check"] for row in rows] == list(CHECKS)
    assert (rows[0]["verdict"], rows[0]["branch"], rows[0]["value"]) == ("alarm", "a", "100.0")
    assert rows[0]["since"] == "2021-01-25T12:02:00Z"
    assert rows[1]["log_e"] == rows[1]["onset"] == ""


def test_names_are_printed_so_that_no_terminal_makes_more_of_them(health):
    text = health("hostile", status=3)
    assert "1 client enrolled in the branch \\x1b[31mx\\n\\u202e, which is not planned." in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    found = json.loads(health("hostile", "--format", "json", status=3))
    assert found["findings"][1]["branch"] == HOSTILE


def test_what_stands_out_among_all_is_named(health):
    lines = health("--active", "--rate", "0.05", status=4).splitlines()
    assert lines[-3:] == [
        "Standing out among all, at most 5 % of them wrongly:",
        "  split: wrong",
        "  unenrollment: none",
    ]


@pytest.mark.parametrize(
    "arguments", [("--active", "--format", "json"), ("--active", "--format", "csv"), ("wrong",)]
)
def test_what_stands_out_is_said_of_all_and_in_text_alone(health, arguments):
    told = health(*arguments, "--rate", "0.05", status=2)
    assert "--rate goes with --active and --format text" in told


@pytest.mark.parametrize(
    ("as_of", "text"),
    [
        (
            "2021-01-25T00:01Z",
            (
                "Health of 4 experiments, as of 2021-01-25 00:01 UTC\n\n"
                "Nothing is wrong, as far as can be told.\n"
            ),
        ),
        (
            "2021-01-24T23:59Z",
            "Health of 0 experiments, as of 2021-01-24 23:59 UTC\n\nNone is active.\n",
        ),
    ],
)
def test_that_nothing_is_wrong_is_said(health, as_of, text):
    assert health("--active", as_of=as_of) == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either the slug of an experiment or --active"),
        (("wrong", "--active"), "give either the slug of an experiment or --active"),
        (("--active", "--rate", "0"), "0"),
        (("--active", "--rate", "1"), "1"),
        (("--active", "--format", "xml"), "xml"),
        (("a/b",), "is not an experiment slug"),
    ],
)
def test_what_is_no_question_is_refused(health, arguments, message):
    assert message in health(*arguments, status=2)


def test_an_unknown_experiment_is_said_to_be_so(health):
    result = CliRunner().invoke(
        main, ["--warehouse", "duckdb://monitoring.duckdb", "health", "nobody", "--as-of", WORDS]
    )
    assert "'nobody'" in result.stderr
    assert result.exit_code not in {0, 3, 4}


def test_the_help_says_what_the_status_means():
    text = " ".join(CliRunner().invoke(main, ["health", "--help"]).stdout.split())
    assert "The exit status is 4 if there is an alarm, 3 if something is suspect" in text
    for option in ("--active", "--as-of", "--all", "--rate", "--format"):
        assert option in text
