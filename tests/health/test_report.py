"""A report as JSON and as a DataFrame, its worst verdict, and what stands out among many."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import pandas as pd
import pytest

from expmon.health.finding import HealthFinding, Share, Verdict
from expmon.health.report import HealthReport
from playing import at

NOW = at("2021-01-26T05:30")
SPLIT = HealthFinding(
    "exp",
    "split",
    Verdict.ALARM,
    "It is wrong.",
    "Look.",
    branch="ü",
    value=60,
    expected=50.0,
    low=0.5,
    high=0.75,
    log_e=7.25,
    shares=(Share("ü", 60, 50.0, 0.5, 0.75), Share("b", 40, 50.0, 0.25, 0.5)),
    since=NOW - timedelta(minutes=5),
    onset=NOW - timedelta(hours=1),
)
FRESH = HealthFinding("exp", "freshness", Verdict.OK, "It is there.")
OTHER = HealthFinding("other", "split", Verdict.SUSPECT, "Hm.", "Look.", log_e=4.0, since=NOW)
ALL = HealthFinding("", "enrollment", Verdict.NOT_ENOUGH_DATA, "All of them.", since=NOW)
REPORT = HealthReport(NOW, (ALL, SPLIT, FRESH, OTHER), 0.001)


def test_the_dict_is_json_and_has_everything():
    text = json.dumps(REPORT.to_dict(), allow_nan=False)
    found = json.loads(text)
    assert (found["schema_version"], found["as_of"]) == (1, "2021-01-26T05:30:00+00:00")
    assert found["worst"] == "alarm"
    assert [f["experiment"] for f in found["findings"]] == ["", "exp", "exp", "other"]
    assert found["findings"][1] == {
        "experiment": "exp",
        "check": "split",
        "verdict": "alarm",
        "sentence": "It is wrong.",
        "action": "Look.",
        "branch": "ü",
        "value": 60,
        "expected": 50.0,
        "low": 0.5,
        "high": 0.75,
        "log_e": 7.25,
        "shares": [
            {"branch": "ü", "value": 60, "expected": 50.0, "low": 0.5, "high": 0.75},
            {"branch": "b", "value": 40, "expected": 50.0, "low": 0.25, "high": 0.5},
        ],
        "since": "2021-01-26T05:25:00+00:00",
        "onset": "2021-01-26T04:30:00+00:00",
    }
    unknown = ("value", "expected", "low", "high", "log_e", "since", "onset")
    assert {found["findings"][2][name] for name in unknown} == {None}
    assert found["findings"][2]["shares"] == []


TYPES = {
    **dict.fromkeys(["experiment", "check", "branch", "verdict", "sentence", "action"], "str"),
    **dict.fromkeys(["since", "onset"], "datetime64[us, UTC]"),
    **dict.fromkeys(["value", "expected", "low", "high", "log_e"], "float64"),
}


@pytest.mark.parametrize(
    "findings", [(), (FRESH,), (ALL, OTHER), REPORT.findings], ids=["none", "bare", "two", "all"]
)
def test_the_frame_has_the_same_types_whatever_is_in_it(findings):
    frame = HealthReport(NOW, findings, 0.001).to_dataframe()
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == TYPES
    assert len(frame) == len(findings)


def test_the_frame_has_each_finding_and_gaps_where_nothing_is_known():
    frame = REPORT.to_dataframe()
    row = frame.iloc[1]
    assert (row["verdict"], row["branch"], row["value"], row["log_e"]) == ("alarm", "ü", 60, 7.25)
    assert row["since"] == pd.Timestamp("2021-01-26T05:25Z")
    bare = frame.iloc[2]
    assert bare["since"] is pd.NaT
    assert math.isnan(bare["log_e"])


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ((), "not applicable"),
        (("not applicable", "not enough data"), "not enough data"),
        (("ok", "not enough data", "not applicable"), "ok"),
        (("ok", "suspect", "ok"), "suspect"),
        (("suspect", "alarm", "ok"), "alarm"),
    ],
)
def test_the_worst_verdict_is_that_of_the_report(verdicts, worst):
    findings = tuple(HealthFinding("exp", "split", Verdict(v), "It is so.") for v in verdicts)
    assert HealthReport(NOW, findings, 0.001).worst == worst


def test_a_report_of_one_has_its_own_and_what_is_about_all():
    assert REPORT.of("exp").findings == (ALL, SPLIT, FRESH)
    assert REPORT.of("nobody").findings == (ALL,)
    assert (REPORT.of("exp").as_of, REPORT.of("exp").alpha) == (NOW, 0.001)


def test_what_stands_out_is_named_by_check():
    # Of four, by e-BH at 5 %: the first e-value has to reach 80, or the first two 40 each.
    e_values = {"one": 79, "two": 41, "three": 39, "four": 1}
    findings = tuple(
        HealthFinding(slug, "unenrollment", Verdict.OK, "It is so.", log_e=math.log(e))
        for slug, e in e_values.items()
    )
    silent = HealthFinding("five", "unenrollment", Verdict.NOT_APPLICABLE, "There is none.")
    report = HealthReport(NOW, (*findings, silent, SPLIT), 0.001)
    # 39 is at least 4 / (3 * 0.05) = 26.7: the third is named with them.
    assert report.discoveries(0.05) == {"split": {"exp"}, "unenrollment": {"one", "two", "three"}}
    assert report.discoveries(0.01) == {"split": {"exp"}, "unenrollment": set()}
    assert HealthReport(NOW, (), 0.001).discoveries(0.05) == {"split": set(), "unenrollment": set()}


def test_times_keep_their_moment_in_any_zone():
    away = datetime(2021, 1, 26, 7, 30, tzinfo=timezone(timedelta(hours=2)))
    report = HealthReport(NOW, (HealthFinding("exp", "x", Verdict.OK, "So.", since=away),), 0.001)
    since = report.to_dataframe()["since"][0]
    assert since == NOW
    assert str(since.tz) == str(UTC)
