"""`expmon calibrate` as people and programs read it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from expmon.cli import main
from expmon.health.calibrate import Rule, calibrate
from expmon.health.simulation import Comparison, Traffic

FEW = ("--runs", "20", "--days", "2")
EFFECTS = ("--effect", "60:40", "--effect", "51:49")


def run(*arguments, status=0):
    # There is no warehouse by this name, and none is asked for.
    result = CliRunner().invoke(main, ["--warehouse", "nowhere://", "calibrate", *arguments])
    assert result.exit_code == status, result.output
    return result


def cells(text):
    """Of each line of the tables what stands between two spaces or more."""
    lines = [line for line in text.splitlines() if line.strip()]
    return [[cell for cell in line.strip().split("  ") if cell] for line in lines]


def test_a_table_of_false_alarms_and_one_of_what_was_found():
    lines = [[cell.strip() for cell in line] for line in cells(run(*FEW, *EFFECTS).stdout)]
    assert lines[0] == [
        "20 healthy experiments of 2 days at 50:50, 20 clients per window, 1 % leave in a day"
    ]
    assert lines[1] == [
        "compared", "alarm at", "looked at", "with an alarm", "of all",
        "alarms per experiment-month",
    ]  # fmt: skip
    assert [line[:3] for line in lines[3:9]] == [
        ["split", "e-value ≥ 1,000", "each window"],
        ["split", "chi-square p < 0.001", "each window"],
        ["split", "chi-square p < 0.001 and 5 points off", "once a day"],
        ["unenrollment", "e-value ≥ 1,000", "each window"],
        ["unenrollment", "chi-square p < 0.001", "each window"],
        ["unenrollment", "chi-square p < 0.001 and 5 points off", "once a day"],
    ]
    assert lines[3][3:] == ["0", "0.00 %", "0.0000"]
    assert lines[9] == ["20 experiments of each kind with something wrong"]
    assert [line[0] for line in lines[12:18]] == ["60:40"] * 3 + ["51:49"] * 3
    assert lines[12][1:5] == ["split", "e-value ≥ 1,000", "each window", "100.00 %"]
    assert 100 < int(lines[12][5]) < int(lines[12][6].replace(",", "")) < 2_000
    missed = lines[17]  # one point is far from five
    assert missed[2:7] == [
        "chi-square p < 0.001 and 5 points off", "once a day", "0.00 %", "not found", "not found",
    ]  # fmt: skip


def test_without_an_effect_there_is_one_table():
    assert "something wrong" not in run(*FEW).stdout


def test_json_has_an_object_a_line_with_the_functions_figures():
    arguments = ("--ratios", "9:1", "--clients-per-window", "8", "--leaving", "50")
    arguments += ("--alpha", "0.01", "--concentration", "30", "--seed", "4")
    printed = run(*FEW, *arguments, "--effect", "unenrollment=3", "--format", "json").stdout
    found = [json.loads(line) for line in printed.splitlines()]
    outcomes = calibrate(
        Traffic((9, 1), 8, 2, 0.5),
        ["unenrollment=3"],
        runs=20,
        alpha=0.01,
        concentration=30,
        seed=4,
    )
    assert [line["with_alarm"] for line in found] == [o.found for o in outcomes]
    assert [line["alarms"] for line in found] == [o.alarms for o in outcomes]
    assert [(line["effect"], line["compared"], line["rule"]) for line in found] == [
        (effect, compared, rule)
        for effect, compared in [
            (None, Comparison.SPLIT),
            (None, Comparison.UNENROLLMENT),
            ("unenrollment=3", Comparison.UNENROLLMENT),
        ]
        for rule in Rule
    ]
    last = found[6]
    assert (last["experiments"], last["days"]) == (20, 2)
    assert last["with_alarm"] == 20
    assert 0 < last["unenrollments_median"] < last["clients_median"] <= last["clients_90_percent"]
    assert found[0]["unenrollments_median"] is None


def test_stdout_has_the_figures_alone():
    printed = run(*FEW, "--format", "json")
    assert len(printed.stdout.splitlines()) == 6
    assert "simulating" not in printed.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--ratios", "50"], "Error: one branch has no split: give two ratios or more, like 50:50"),
        (["--ratios", "0:1"], "Error: a ratio of '0:1' must be above zero, and 0.0 is not"),
        (["--ratios", "a:1"], "Error: 'a' of 'a:1' is no number"),
        (["--effect", "1:1:1"], "Error: '1:1:1' has 3 branches, and the plan has 2"),
        (["--alpha", "1"], "Error: alpha is a chance between 0 and 1, not 1.0"),
        (["--concentration", "-1"], "Error: the concentration must be above zero, and -1.0 is not"),
        (["--leaving", "101"], "Error: the share of clients who leave in a day is no 1.01"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(arguments, says):
    assert run(*arguments, status=2).stderr == f"{says}\n"
