"""What the rules make of simulated experiments, beside plain Python and within bounds of luck."""

from __future__ import annotations

import math

import numpy as np
import pytest

from expmon.errors import InvalidInput
from expmon.health.calibrate import (
    Outcome,
    Rule,
    calibrate,
    critical_value,
    log_evidences,
    quantile,
    watched,
)
from expmon.health.evidence import log_evidence
from expmon.health.simulation import Comparison, Effect, Simulated, Traffic, simulate

HALF = (0.5, 0.5)
RATIOS = [(50, 50), (9, 1), (19, 1), (1, 1, 1), (1,) * 10]


def by_rule(outcomes, effect="", comparison=Comparison.SPLIT):
    found = [o for o in outcomes if (o.effect, o.comparison) == (effect, comparison)]
    assert [o.rule for o in found] == list(Rule)
    return {outcome.rule: outcome for outcome in found}


# As tables in textbooks have them, to three decimals.
@pytest.mark.parametrize(
    ("degrees", "chance", "value"),
    [
        (1, 0.001, 10.828),
        (2, 0.001, 13.816),
        (3, 0.001, 16.266),
        (9, 0.001, 27.877),
        (1, 0.05, 3.841),
        (2, 0.05, 5.991),
        (3, 0.05, 7.815),
        (10, 0.05, 18.307),
        (30, 0.05, 43.773),
    ],
)
def test_critical_values_are_those_of_textbooks(degrees, chance, value):
    assert critical_value(degrees, chance) == pytest.approx(value, abs=0.0006)


@pytest.mark.parametrize("ratios", RATIOS)
def test_the_evidence_on_the_split_is_that_of_the_counts_so_far(ratios):
    traffic = Traffic(ratios, 3, 1)
    simulated = simulate(
        traffic, Effect.none(Comparison.SPLIT, traffic), 2, np.random.default_rng(1)
    )
    found = log_evidences(simulated, traffic.shares, 7.0)
    for run in range(2):
        counts = [0] * len(ratios)
        for window in range(288):
            counts = [
                n + int(m) for n, m in zip(counts, simulated.enrolled[run, window], strict=True)
            ]
            expected = log_evidence(counts, traffic.shares, 7.0)
            assert found[run, window] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("ratios", RATIOS)
def test_the_evidence_on_unenrollments_compares_with_who_was_present(ratios):
    traffic = Traffic(ratios, 5, 1, leaving=1)
    effect = Effect.none(Comparison.UNENROLLMENT, traffic)
    simulated = simulate(traffic, effect, 1, np.random.default_rng(1))
    found = log_evidences(simulated, traffic.shares, 30.0)
    # Client by client: the mixture's chance that the next one to leave is of that branch, from
    # those that left before, against the branch's share of the clients present.
    staying = [0] * len(ratios)
    gone = [0] * len(ratios)
    evidence = 0.0
    for window in range(288):
        present = [n + int(m) for n, m in zip(staying, simulated.enrolled[0, window], strict=True)]
        for branch, left in enumerate(map(int, simulated.events[0, window])):
            for _ in range(left):
                believed = (30 * traffic.shares[branch] + gone[branch]) / (30 + sum(gone))
                evidence += math.log(believed) - math.log(present[branch] / sum(present))
                gone[branch] += 1
        staying = [n - int(m) for n, m in zip(present, simulated.events[0, window], strict=True)]
        assert found[0, window] == pytest.approx(evidence, abs=1e-9)
    assert sum(gone) > 500


def test_alarms_are_counted_when_they_begin_and_daily_looks_are_at_the_days_end():
    # The chi-square test is above 10.8 at 20:0, 0 at 20:20, 20 at 60:20, and stays there.
    enrolled = np.zeros((1, 2 * 288, 2), np.int64)
    enrolled[0, :3] = (20, 0), (0, 20), (40, 0)
    enrolled[0, 300] = (4, 4)
    shares = np.broadcast_to(HALF, enrolled.shape)
    alpha = 1 / math.exp(log_evidence((60, 20), HALF) - 0.01)
    assert log_evidence((20, 0), HALF) < -math.log(alpha) < log_evidence((60, 20), HALF)
    assert log_evidence((64, 24), HALF) < -math.log(alpha)
    found = watched(Simulated(enrolled, enrolled, shares), HALF, alpha, 100.0)
    assert found == {
        Rule.EVIDENCE: [(1, 80, 80)],
        Rule.CHI_SQUARE: [(2, 20, 20)],
        Rule.FIVE_POINTS: [(1, 80, 80)],
    }


def test_a_day_of_five_points_too_few_or_too_likely_is_no_alarm_by_the_third_rule():
    # 10,000 clients at 54:46: chi-square is 64. 100 clients at 60:40: it is 4.
    enrolled = np.zeros((2, 288, 2), np.int64)
    enrolled[0, 7] = (5_400, 4_600)
    enrolled[1, 7] = (60, 40)
    shares = np.broadcast_to(HALF, enrolled.shape)
    found = watched(Simulated(enrolled, enrolled, shares), HALF, 0.001, 100.0)
    assert found[Rule.FIVE_POINTS] == [(0, None, None)] * 2
    assert found[Rule.CHI_SQUARE] == [(1, 10_000, 10_000), (0, None, None)]


def test_the_chi_square_test_waits_for_five_expected_of_each_branch():
    enrolled = np.zeros((1, 288, 2), np.int64)
    enrolled[0, :2] = (80, 19), (2, 0)  # of 99 clients 4.95 are expected, of 101 are 5.05
    shares = np.broadcast_to((0.95, 0.05), enrolled.shape)
    found = watched(Simulated(enrolled, enrolled, shares), (0.95, 0.05), 0.001, 100.0)
    assert found[Rule.CHI_SQUARE] == [(1, 101, 101)]


def test_quantiles_count_those_that_never_came():
    values = [40, None, 10, 30, 20]
    assert [quantile(values, q) for q in (0.2, 0.5, 0.8, 0.9, 1)] == [10, 30, 40, None, None]
    assert quantile([None], 0.5) is None


def test_an_outcome_adds_up():
    outcome = Outcome("", Comparison.SPLIT, Rule.EVIDENCE, 15, 6, (1, None, 5, None), (1,) * 4)
    assert (outcome.found, outcome.share_found) == (2, 0.5)
    assert outcome.alarms_per_month == 3  # 6 in 4 · 15 days


def test_what_is_obvious_is_found_as_soon_as_it_can_be():
    # All clients are in the first branch. The chi-square test needs 11 of them: 11 is above 10.83.
    needed = next(n for n in range(1, 100) if log_evidence((n, 0), HALF) >= math.log(1000))
    found = by_rule(calibrate(Traffic((1, 1), 1, 1), ["1e9:1"], runs=50), "1e9:1")
    # In a window there is one client on average, and more than 9 once in 10^7 windows.
    assert all(needed <= n < needed + 9 for n in found[Rule.EVIDENCE].clients)
    assert all(11 <= n < 11 + 9 for n in found[Rule.CHI_SQUARE].clients)
    # 288 clients on the first day, six times 17 more or less.
    assert all(186 <= n <= 390 for n in found[Rule.FIVE_POINTS].clients)
    assert all(outcome.share_found == 1 for outcome in found.values())


def test_the_same_seed_gives_the_same_figures_and_another_one_others():
    traffic = Traffic((1, 1), 20, 1)
    one, again, other = (calibrate(traffic, ["56:44"], runs=20, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_progress_comes_to_all_experiments():
    done = []
    traffic = Traffic((1,) * 10, 1, 14)  # 40,320 counts of an experiment: not all at a time
    calibrate(traffic, ["2:1:1:1:1:1:1:1:1:1"], runs=60, progress=done.append)
    assert sum(done) == 3 * 60
    assert len(done) > 3


# At alpha = 0.05, where few experiments tell much: of 400 healthy ones at most 20 are expected to
# alarm, and more than 37 would be four standard deviations of 4.4 away.
@pytest.mark.parametrize("ratios", RATIOS, ids=str)
def test_healthy_experiments_hardly_ever_alarm_however_often_one_looks(ratios):
    traffic = Traffic(ratios, 20, 3, leaving=0.3)
    outcomes = calibrate(traffic, runs=400, alpha=0.05, seed=3)
    for comparison in Comparison:
        assert by_rule(outcomes, comparison=comparison)[Rule.EVIDENCE].found <= 37


def test_a_fixed_test_looked_at_over_and_over_alarms_far_more_often_than_it_says():
    # 0.1 % of 1,000 is one: 8 or more would come by chance once in 10^5 times.
    found = by_rule(calibrate(Traffic((50, 50), 20, 3), runs=1_000, seed=3))
    assert found[Rule.CHI_SQUARE].found >= 8
    assert found[Rule.EVIDENCE].found <= 6  # one expected at most, and luck


@pytest.mark.parametrize(
    ("ratios", "effect", "clients"),
    [((50, 50), "52:48", 12_000), ((50, 50), "56:44", 1_300), ((95, 5), "93:7", 2_600)],
)
def test_a_wrong_split_is_found_by_so_many_clients_in_the_median(ratios, effect, clients):
    outcomes = calibrate(Traffic(ratios, 20, 7), [effect], runs=200)
    found = by_rule(outcomes, effect)[Rule.EVIDENCE]
    assert quantile(found.clients, 0.5) <= clients
    assert found.share_found == 1


def test_a_branch_that_loses_its_clients_faster_is_found():
    # Of its unenrollments the branch has 0.6 instead of 0.5. In the mean each is worth 0.02 of
    # log e, and log(1000) + log(sqrt(1 + n / 100)) must come together: some 390 unenrollments.
    name, compared = "unenrollment=1.5", Comparison.UNENROLLMENT
    outcomes = calibrate(Traffic((50, 50), 20, 7), [name], runs=100)
    found = by_rule(outcomes, name, compared)[Rule.EVIDENCE]
    assert 300 <= quantile(found.events, 0.5) <= 480
    assert found.share_found == 1


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"runs": 0}, "the number of runs must be above zero, and 0 is not"),
        ({"alpha": 0}, "alpha is a chance between 0 and 1, not 0"),
        ({"alpha": 1}, "alpha is a chance between 0 and 1, not 1"),
        ({"alpha": math.nan}, "alpha is a chance between 0 and 1, not nan"),
        ({"concentration": 0}, "the concentration must be above zero, and 0 is not"),
        ({"concentration": math.inf}, "the concentration must be above zero, and inf is not"),
        ({"seed": -1}, "the seed must not be negative, as -1 is"),
    ],
)
def test_values_that_make_no_sense_are_refused(values, says):
    with pytest.raises(InvalidInput) as caught:
        calibrate(Traffic((1, 1)), **values)
    assert str(caught.value) == says
