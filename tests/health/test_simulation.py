"""Simulated experiments: their books, their means, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from expmon.errors import InvalidInput
from expmon.health.simulation import Comparison, Effect, Traffic, parse_ratios, simulate


def simulated(traffic, text="", comparison=Comparison.UNENROLLMENT, runs=20):
    effect = Effect.parse(text, traffic) if text else Effect.none(comparison, traffic)
    return simulate(traffic, effect, runs, np.random.default_rng(5))


def within_luck(count, expected):
    """Five standard deviations of a Poisson count, which the others here vary less than."""
    return abs(count - expected) <= 5 * math.sqrt(expected)


def test_those_present_are_those_before_and_the_new_ones_less_those_that_left():
    found = simulated(Traffic((3, 1), 4, 1, leaving=1), runs=3)
    for run in range(3):
        staying = [0, 0]
        for window in range(288):
            present = [
                n + int(m) for n, m in zip(staying, found.enrolled[run, window], strict=True)
            ]
            left = found.events[run, window].tolist()
            assert all(0 <= out <= there for out, there in zip(left, present, strict=True))
            everybody = sum(present)
            shares = [n / everybody if everybody else 0 for n in present]
            assert found.shares[run, window].tolist() == pytest.approx(shares, abs=1e-12)
            staying = [n - out for n, out in zip(present, left, strict=True)]


@pytest.mark.parametrize("ratios", [(50, 50), (19, 1), (1, 1, 1)])
def test_clients_enroll_at_the_planned_ratios(ratios):
    found = simulated(Traffic(ratios, 20, 2), comparison=Comparison.SPLIT)
    clients = 20 * 20 * 2 * 288
    for branch, ratio in enumerate(ratios):
        assert within_luck(found.enrolled[:, :, branch].sum(), clients * ratio / sum(ratios))
        assert (found.shares[:, :, branch] == ratio / sum(ratios)).all()
    assert found.events is found.enrolled


def test_with_a_wrong_split_they_enroll_at_the_true_one_and_the_planned_one_is_expected():
    found = simulated(Traffic((50, 50), 20, 2), "3:2")
    for branch, share in enumerate((0.6, 0.4)):
        assert within_luck(found.enrolled[:, :, branch].sum(), 20 * 20 * 2 * 288 * share)
    assert (found.shares == 0.5).all()


@pytest.mark.parametrize(("text", "times"), [("", (1, 1)), ("unenrollment=1.5", (1, 1.5))])
def test_so_many_of_those_present_leave(text, times):
    traffic = Traffic((50, 50), 20, 3, leaving=0.1)
    found = simulated(traffic, text)
    # Each branch gets 10 clients per window; after n windows some 10 · n · (1 - n · rate / 2).
    for branch, factor in enumerate(times):
        rate = 0.1 / 288 * factor
        present = 0.0
        expected = 0.0
        for _ in range(3 * 288):
            present += 10
            expected += present * rate
            present -= present * rate
        assert within_luck(found.events[:, :, branch].sum(), 20 * expected)


def test_a_wrong_unenrollment_is_that_of_the_last_branch():
    effect = Effect.parse("unenrollment=1.5", Traffic((2, 1, 1)))
    assert effect.leaving == (1, 1, 1.5)
    assert effect.shares == (0.5, 0.25, 0.25)


def test_ratios_are_read_as_they_are_written():
    assert parse_ratios("19:1") == (19, 1)
    assert parse_ratios(" 1 : 0.5:2e1") == (1, 0.5, 20)
    assert Traffic((9, 1)).shares == pytest.approx((0.9, 0.1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' of '' is no number"),
        ("a:b", "'a' of 'a:b' is no number"),
        ("50/50", "'50/50' of '50/50' is no number"),
        ("1::1", "'' of '1::1' is no number"),
        ("0:1", "a ratio of '0:1' must be above zero, and 0.0 is not"),
        ("2:-1", "a ratio of '2:-1' must be above zero, and -1.0 is not"),
        ("nan:1", "a ratio of 'nan:1' must be above zero, and nan is not"),
        ("1:inf", "a ratio of '1:inf' must be above zero, and inf is not"),
    ],
)
def test_ratios_that_are_none_are_refused(text, says):
    with pytest.raises(InvalidInput) as caught:
        parse_ratios(text)
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1:1:1", "'1:1:1' has 3 branches, and the plan has 2"),
        ("50", "'50' has 1 branch, and the plan has 2"),
        ("churn=2", "'churn=2' is no effect: 52:48 is one, and unenrollment=1.5"),
        ("unenrollment=x", "'x' of 'unenrollment=x' is no number"),
        ("unenrollment=0", "how many times as often clients leave must be above zero, and 0.0 is "),
        ("unenrollment=1e6", "'unenrollment=1e6': more clients than there are would leave in a "),
        ("52:x", "'x' of '52:x' is no number"),
    ],
)
def test_effects_that_are_none_are_refused(text, says):
    with pytest.raises(InvalidInput) as caught:
        Effect.parse(text, Traffic((50, 50)))
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"ratios": (1,)}, "one branch has no split: give two ratios or more, like 50:50"),
        ({"ratios": (1, 0)}, "a ratio must be above zero, and 0 is not"),
        ({"clients_per_window": 0}, "the clients per window must be above zero, and 0 is not"),
        ({"clients_per_window": math.nan}, "the clients per window must be above zero, and nan is"),
        ({"days": 0}, "the number of days must be above zero, and 0 is not"),
        ({"leaving": 0}, "the share of clients who leave in a day is no 0"),
        ({"leaving": 1.01}, "the share of clients who leave in a day is no 1.01"),
        ({"clients_per_window": 1e6}, "4,032,000,000 clients an experiment are too many to "),
    ],
)
def test_traffic_that_makes_no_sense_is_refused(values, says):
    with pytest.raises(InvalidInput) as caught:
        Traffic(**{"ratios": (50, 50), **values})
    assert str(caught.value).startswith(says)
