"""What befalls many experiments at once is said once: borders, and what stays each one's own."""

from __future__ import annotations

import pytest

from expmon.health.finding import HealthFinding, Verdict
from expmon.health.observed import Counts, Experiment, Feed, Observed
from expmon.health.together import told_once
from playing import at

NOW = at("2021-01-26T05:30")


def looked_at(*apps, problem=""):
    return [
        Observed(Experiment(f"exp-{n}", app_name=app), NOW, (), Counts(), {}, Feed(NOW, problem))
        for n, app in enumerate(apps)
    ]


def findings(*verdicts, check="enrollment", value=1, expected=100):
    return [
        HealthFinding(
            f"exp-{n}",
            check,
            Verdict(verdict),
            f"Sentence {n}.",
            "Look." if verdict in {"suspect", "alarm"} else "",
            value=value,
            expected=None if verdict == "not enough data" else expected,
        )
        for n, verdict in enumerate(verdicts)
    ]


def common(found):
    return [f for f in found if not f.experiment]


@pytest.mark.parametrize(
    ("verdicts", "number"),
    [
        (["alarm"] * 2, 0),
        (["alarm"] * 3, 3),
        # Four of five are nearly all, three of four are not.
        (["alarm"] * 4 + ["ok"], 4),
        (["alarm"] * 3 + ["ok"], 0),
        # Who can't be judged doesn't count.
        (["alarm"] * 3 + ["not enough data"] * 9, 3),
        (["ok"] * 9, 0),
    ],
)
@pytest.mark.parametrize("check", ["enrollment", "leaving"])
def test_all_are_four_of_five_and_at_least_three(verdicts, number, check):
    given = findings(*verdicts, check=check)
    found = told_once(given, looked_at(*[None] * len(verdicts)))
    if not number:
        assert found == given
        return
    (told,) = common(found)
    assert (told.check, told.value, told.expected) == (check, number, 100 * number)
    own = [f for f in found if f.experiment]
    assert [f.experiment for f in own] == [f.experiment for f in given]
    assert [f.verdict.is_bad for f in own] == [False] * len(own)
    assert [f.action for f in own] == [""] * len(own)
    assert [f for f in own if f.verdict == "ok"] == [f for f in given if f.verdict == "ok"]


@pytest.mark.parametrize("worst", ["suspect", "alarm"])
def test_it_is_as_bad_as_the_worst(worst):
    (told,) = common(told_once(findings("suspect", worst, "suspect"), looked_at(*[None] * 3)))
    assert told.verdict == worst


def test_nobody_ever_is_each_ones_own():
    # Without a number to expect it is no fall.
    given = findings("alarm", "alarm", "alarm", expected=None)
    assert told_once(given, looked_at(*[None] * 3)) == given


def test_the_branches_of_all_are_each_ones_own():
    given = findings("alarm", "alarm", "alarm", check="split")
    assert told_once(given, looked_at(*[None] * 3)) == given


def test_an_application_is_told_where_not_all_fall():
    given = findings(*["alarm"] * 3, *["ok"] * 3)
    (told,) = common(told_once(given, looked_at(*["fenix"] * 3, *["ios"] * 3)))
    assert told.sentence == (
        "Fewer clients enroll in all experiments of fenix that can be judged, or nearly all: in 3 "
        "of them 3 clients enrolled in the last hours, where some 300 would be usual. That comes "
        "from the pipeline or the application, not from one experiment."
    )


def test_experiments_without_an_application_are_no_application():
    given = findings(*["alarm"] * 3, *["ok"] * 3)
    assert told_once(given, looked_at(*[None] * 3, *["ios"] * 3)) == given


def test_late_data_comes_first_and_once():
    given = findings("not enough data")
    found = told_once(given, looked_at("fenix", problem="the last live run is 3 h old"))
    assert found[1:] == given
    assert found[0].sentence == (
        "The data of all experiments is late: the last live run is 3 h old."
    )
    assert (found[0].experiment, found[0].verdict) == ("", "alarm")


def test_nothing_looked_at_says_nothing():
    assert told_once([], []) == []


def test_sentences_of_all_are_plain():
    given = findings("alarm", "alarm", "alarm", check="leaving", value=1000, expected=10)
    told, first, *_ = told_once(given, looked_at(*[None] * 3))
    assert told.sentence == (
        "More clients leave in all experiments that can be judged, or nearly all: in 3 of them "
        "3,000 clients left in the last hours, where some 30 would be usual. That comes from the "
        "pipeline or the application, not from one experiment."
    )
    assert first.sentence == "Sentence 0. So it is with all experiments at the same time."
