"""Evidence beside exact fractions, all outcomes of a few clients, grids, and published figures.

The formulas are those of docs/calibration.md.
"""

from __future__ import annotations

import itertools
import math
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expmon.health.evidence import (
    discoveries,
    log_alternative,
    log_evidence,
    most_evidence,
    onset,
    share_intervals,
)

HALF = (Fraction(1, 2),) * 2
RATIOS = {
    "50:50": HALF,
    "75:25": (Fraction(3, 4), Fraction(1, 4)),
    "9:1": (Fraction(9, 10), Fraction(1, 10)),
    "19:1": (Fraction(19, 20), Fraction(1, 20)),
    "three": (Fraction(1, 3),) * 3,
    "five:three:two": (Fraction(1, 2), Fraction(3, 10), Fraction(1, 5)),
    "ten": (Fraction(1, 10),) * 10,
}
BY_RATIO = pytest.mark.parametrize("shares", RATIOS.values(), ids=RATIOS)
EXAMPLES = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
"""The same in each run, however busy the machine is."""
CONCENTRATIONS = (Fraction(1), Fraction(5, 2), Fraction(100))
MANY = 10**9


def floats(shares):
    return [float(p) for p in shares]


def log(fraction):
    """Of any fraction, however many digits it has."""
    return math.log(fraction.numerator) - math.log(fraction.denominator)


def drawn(sequence, shares, concentration):
    """The chance of these branches in this order, drawn from Pólya's urn.

    It holds so much of each branch; what is drawn goes back with one more of its kind.
    """
    urn = [concentration * p for p in shares]
    chance = Fraction(1)
    for branch in sequence:
        chance *= urn[branch] / sum(urn)
        urn[branch] += 1
    return chance


def assigned(sequence, shares):
    """The chance of these branches in this order, as they are planned."""
    return math.prod((shares[branch] for branch in sequence), start=Fraction(1))


def counted(sequence, shares):
    return [list(sequence).count(branch) for branch in range(len(shares))]


def sequence_of(counts):
    return [branch for branch, n in enumerate(counts) for _ in range(n)]


def e_value(counts, shares, concentration):
    sequence = sequence_of(counts)
    return drawn(sequence, shares, concentration) / assigned(sequence, shares)


def compositions(total, parts):
    """All counts of so many branches that are ``total`` together."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(total - first, parts - 1):
            yield (first, *rest)


@st.composite
def sequences(draw, longest=40):
    """The branches of clients as they come, and what was planned."""
    shares = draw(st.sampled_from(list(RATIOS.values())))
    branches = st.integers(0, len(shares) - 1)
    return draw(st.lists(branches, max_size=longest)), shares


@EXAMPLES
@given(sequences(), st.sampled_from(CONCENTRATIONS))
def test_it_is_the_urns_chance_over_the_planned_one(drawing, concentration):
    sequence, shares = drawing
    expected = log(drawn(sequence, shares, concentration))
    counts = counted(sequence, shares)
    given_to_it = (counts, floats(shares), float(concentration))
    assert log_alternative(*given_to_it) == pytest.approx(expected, abs=1e-10)
    expected -= log(assigned(sequence, shares))
    assert log_evidence(*given_to_it) == pytest.approx(expected, abs=1e-10)


@EXAMPLES
@given(sequences(), st.sampled_from(CONCENTRATIONS), st.data())
def test_it_is_the_same_however_the_counts_are_cut_into_windows(drawing, concentration, data):
    # Window by window: what is believed of the shares before it, from all that came earlier.
    sequence, shares = drawing
    cuts = data.draw(st.lists(st.integers(0, len(sequence)), max_size=6).map(sorted))
    belief = [float(concentration * p) for p in shares]
    added = 0.0
    for start, end in itertools.pairwise([0, *cuts, len(sequence)]):
        window = counted(sequence[start:end], shares)
        so_far = sum(belief)
        added += log_alternative(window, [b / so_far for b in belief], so_far)
        added -= math.fsum(n * math.log(p) for n, p in zip(window, shares, strict=True))
        belief = [b + n for b, n in zip(belief, window, strict=True)]
    whole = log_evidence(counted(sequence, shares), floats(shares), float(concentration))
    assert whole == pytest.approx(added, abs=1e-10)


@BY_RATIO
@pytest.mark.parametrize("concentration", CONCENTRATIONS)
def test_if_nothing_is_wrong_its_mean_is_one(shares, concentration):
    clients = 4 if len(shares) > 3 else 9
    mean = Fraction(0)
    in_floats = []
    for counts in compositions(clients, len(shares)):
        orders = math.factorial(clients) // math.prod(map(math.factorial, counts))
        chance = orders * assigned(sequence_of(counts), shares)
        mean += chance * e_value(counts, shares, concentration)
        evidence = log_evidence(counts, floats(shares), float(concentration))
        in_floats.append(float(chance) * math.exp(evidence))
    assert mean == 1
    assert math.fsum(in_floats) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shares", [HALF, RATIOS["75:25"], RATIOS["19:1"]])
@pytest.mark.parametrize("concentration", [1, 10, 100])
def test_whoever_looks_after_each_client_is_hardly_ever_alarmed_for_nothing(shares, concentration):
    # The chance of every count of the second branch, of those that were never alarmed so far.
    alpha, clients = 0.05, 300
    p, q = floats(shares)
    calm = {0: 1.0}
    alarmed = 0.0
    for n in range(1, clients + 1):
        after = dict.fromkeys(range(n + 1), 0.0)
        for second, chance in calm.items():
            after[second] += chance * p
            after[second + 1] += chance * q
        for second in list(after):
            if log_evidence([n - second, second], [p, q], concentration) >= -math.log(alpha):
                alarmed += after.pop(second)
        calm = after
    assert 0 < alarmed <= alpha
    assert alarmed + math.fsum(calm.values()) == pytest.approx(1, abs=1e-12)


# The tests of the package `ssrm_test`, by the method's author: github.com/optimizely/ssrm, commit
# c44f538, ssrm_test/test_ssrm_test.py. "M1" is the mixture, there with a Dirichlet distribution of
# (1, 1, 1), and "M0" what was planned.
PLANNED = (0.4, 0.4, 0.2)
THIRDS = (1 / 3,) * 3


def test_it_agrees_with_published_figures_client_by_client():
    # test_sequential_posteriors, "unit-level data"
    published = [
        -1.0986122886681096,
        -2.4849066497880004,
        -3.401197381662155,
        -4.499809670330265,
        -6.4457198193855785,
    ]
    counts = [(1, 0, 0), (1, 1, 0), (2, 1, 0), (2, 2, 0), (2, 2, 1)]
    found = [log_alternative(c, THIRDS, 3) for c in counts]
    assert found == pytest.approx(published, rel=1e-12)


def test_it_agrees_with_published_figures_window_by_window():
    # test_sequential_posteriors, "time-aggregated data": how M1 is to M0, in which the number of
    # orders of a window's clients has no part.
    windows = [(20, 17, 9), (18, 21, 8), (4, 6, 4), (18, 19, 11)]
    published = [
        -7.028201432058012 + 4.0776406466061985,
        -11.947847738358888 + 8.265946861099877,
        -15.471401950257842 + 11.610743519545139,
        -19.96484521090386 + 15.781031228536165,
    ]
    for until, expected in enumerate(published, start=1):
        counts = [sum(column) for column in zip(*windows[:until], strict=True)]
        planned = math.fsum(n * math.log(p) for n, p in zip(counts, PLANNED, strict=True))
        assert log_alternative(counts, THIRDS, 3) - planned == pytest.approx(expected, abs=1e-9)


def test_it_agrees_with_a_published_e_value():
    # test_regression: `numpy.random.RandomState(0).multinomial(1, (0.1, 0.49, 0.41), size=10)`, as
    # that test draws them, are 2, 1 and 7 clients.
    found = math.exp(log_evidence((2, 1, 7), (0.1, 0.5, 0.4), 10_000))
    assert found == pytest.approx(1.0017496120131435, rel=1e-9)


def log_gamma(x):
    """Stirling's series in forty digits; for x from 5 on it is right to some 1e-10."""
    with localcontext() as context:
        context.prec = 40
        x = Decimal(x.numerator) / x.denominator
        tau = Decimal("6.283185307179586476925286766559005768394")
        series = (x - Decimal("0.5")) * x.ln() - x + tau.ln() / 2
        bernoulli = (12, -360, 1260, -1680, 1188)
        series += sum(1 / (b * x ** (2 * k + 1)) for k, b in enumerate(bernoulli))
        return series


def precise(counts, shares, concentration):
    """The evidence in forty digits, as far as `log_gamma` goes."""
    with localcontext() as context:
        context.prec = 40
        own = sum(
            log_gamma(concentration * p + n)
            - log_gamma(concentration * p)
            - n * (Decimal(p.numerator) / p.denominator).ln()
            for n, p in zip(counts, shares, strict=True)
        )
        whole = log_gamma(concentration + sum(counts)) - log_gamma(concentration)
        return float(own - whole)


EXTREMES = {
    "nobody": (HALF, [0, 0]),
    "one branch without anybody": (HALF, [0, MANY]),
    "as planned": (HALF, [MANY, MANY]),
    "off by six sigma": (HALF, [MANY + 134_164, MANY - 134_164]),
    "19:1 as planned": (RATIOS["19:1"], [950_000_000, 50_000_000]),
    "19:1 with the small one alone": (RATIOS["19:1"], [0, MANY]),
    "75:25 as planned": (RATIOS["75:25"], [750_000_000, 250_000_000]),
    "75:25 the other way round": (RATIOS["75:25"], [250_000_000, 750_000_000]),
    "ten as planned": (RATIOS["ten"], [MANY] * 10),
    "ten with one missing": (RATIOS["ten"], [0] + [MANY] * 9),
    "ten with one alone": (RATIOS["ten"], [MANY] + [0] * 9),
}


@pytest.mark.parametrize(("shares", "counts"), EXTREMES.values(), ids=EXTREMES)
def test_it_is_exact_enough_for_billions(shares, counts):
    # lgamma(1e10) is 2.2e11, of which the next double is 3e-5 away; there are up to a dozen such.
    found = log_evidence(counts, floats(shares))
    assert found == pytest.approx(precise(counts, shares, Fraction(100)), abs=1e-3, rel=1e-12)


@BY_RATIO
def test_most_evidence_is_the_highest_of_all_outcomes(shares):
    for clients in (0, 1, 2, 4):
        every = [e_value(c, shares, Fraction(100)) for c in compositions(clients, len(shares))]
        found = most_evidence(clients, floats(shares), 100.0)
        assert found == pytest.approx(log(max(every)), abs=1e-10)


@pytest.mark.parametrize("shares", RATIOS.values(), ids=RATIOS)
def test_without_data_every_share_is_possible(shares):
    found = share_intervals([0] * len(shares), floats(shares), 0.001)
    assert found == [(0.0, 1.0)] * len(shares)


def unrefuted(counts, shares, alpha, steps):
    """The splits of a grid against which the e-value is below 1/alpha."""
    chance = drawn(sequence_of(counts), shares, Fraction(100))
    for parts in compositions(steps, len(counts)):
        split = [Fraction(part, steps) for part in parts]
        if chance * alpha < math.prod(p**n for p, n in zip(split, counts, strict=True)):
            yield split


@pytest.mark.parametrize("counts", [(7, 5), (30, 0), (0, 12), (400, 20), (58, 42), (300, 100)])
@pytest.mark.parametrize("shares", [HALF, RATIOS["75:25"], RATIOS["19:1"]])
@pytest.mark.parametrize("alpha", [Fraction(1, 20), Fraction(1, 1000)])
def test_intervals_of_two_are_where_splits_of_a_grid_are_unrefuted(counts, shares, alpha):
    steps = 500
    first = [split[0] for split in unrefuted(counts, shares, alpha, steps)]
    one, other = share_intervals(counts, floats(shares), float(alpha))
    assert min(first) - Fraction(1, steps) <= one[0] <= min(first)
    assert max(first) <= one[1] <= max(first) + Fraction(1, steps)
    assert other == pytest.approx((1 - one[1], 1 - one[0]), abs=1e-12)


@pytest.mark.parametrize(
    "counts", [(30, 30, 30), (9, 40, 9), (0, 50, 10), (0, 0, 60), (70, 25, 15)]
)
@pytest.mark.parametrize("shares", [RATIOS["three"], RATIOS["five:three:two"]])
def test_intervals_of_three_are_where_splits_of_a_grid_are_unrefuted(counts, shares):
    # Near an end few splits are left, and the grid may miss them, but not within two of its steps.
    steps = 60
    splits = list(unrefuted(counts, shares, Fraction(1, 20), steps))
    found = share_intervals(counts, floats(shares), 0.05)
    for (lower, upper), on_the_grid in zip(found, zip(*splits, strict=True), strict=True):
        assert min(on_the_grid) - Fraction(2, steps) <= lower <= min(on_the_grid)
        assert max(on_the_grid) <= upper <= max(on_the_grid) + Fraction(2, steps)


@pytest.mark.parametrize("shares", [HALF, RATIOS["75:25"], RATIOS["19:1"]])
def test_of_two_the_planned_share_is_outside_exactly_when_there_is_an_alarm(shares):
    alpha = Fraction(1, 20)
    answers = set()
    for total in (0, 1, 10, 80):
        for counts in compositions(total, 2):
            is_alarm = e_value(counts, shares, Fraction(100)) >= 1 / alpha
            found = share_intervals(counts, floats(shares), float(alpha))
            for (lower, upper), share in zip(found, shares, strict=True):
                assert is_alarm is not (lower < share < upper)
            answers.add(is_alarm)
    assert answers == {True, False}


@EXAMPLES
@given(sequences(longest=200), st.sampled_from([0.05, 0.001]))
def test_the_observed_share_is_inside(drawing, alpha):
    sequence, shares = drawing
    counts = counted(sequence, shares)
    for n, (lower, upper) in zip(
        counts, share_intervals(counts, floats(shares), alpha), strict=True
    ):
        assert 0 <= lower <= upper <= 1
        if sequence:
            assert lower <= n / len(sequence) <= upper


@pytest.mark.parametrize(("shares", "counts"), EXTREMES.values(), ids=EXTREMES)
def test_intervals_of_billions_are_narrow_and_hold_the_observed_share(shares, counts):
    # At d from the likeliest split the evidence has grown by 2·n·d² or more: by 2,000 at 1e-3, of
    # 1e9 clients. The mixture is behind the likeliest split by less: by 95·ln(1e9) = 1,970 at most,
    # where all are in the small branch of 19:1.
    total = sum(counts)
    for n, (lower, upper) in zip(
        counts, share_intervals(counts, floats(shares), 0.001), strict=True
    ):
        assert lower <= n / max(total, 1) <= upper
        assert not total or upper - lower < 2e-3


def test_the_onset_of_a_planted_change_is_where_it_was_planted():
    before, after = (10, 10), (14, 6)
    for healthy, broken in ((100, 40), (0, 12), (3_000, 60)):
        counts = [before] * healthy + [after] * broken
        assert onset(counts, (0.5, 0.5)) == healthy


def test_the_onset_of_a_change_of_nineteen_to_one_and_of_ten():
    assert onset([(19, 1)] * 50 + [(17, 3)] * 30, (0.95, 0.05)) == 50
    assert onset([(2,) * 10] * 50 + [(4, 0, *(2,) * 8)] * 30, (0.1,) * 10) == 50


windows_of_two = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@EXAMPLES
@given(windows_of_two, st.sampled_from([HALF, RATIOS["19:1"]]))
def test_from_the_onset_on_the_e_value_is_highest(windows, shares):
    def from_there(start):
        counts = [sum(column) for column in zip(*windows[start:], strict=True)]
        return log(e_value(counts, shares, Fraction(100)))

    highest = max(map(from_there, range(len(windows))))
    assert from_there(onset(windows, floats(shares))) == pytest.approx(highest, abs=1e-10)


def test_without_data_the_onset_is_the_first_window():
    assert onset([(0, 0)] * 5, (0.5, 0.5)) == 0


@EXAMPLES
@given(
    st.dictionaries(st.integers(0, 99), st.integers(0, 30), max_size=8),
    st.sampled_from([Fraction(1, 3), Fraction(1, 7)]),
)
def test_discoveries_are_the_most_that_bear_each_other_out(e_values, rate):
    # Wang and Ramdas (2022), section 4: sets of k whose e-values all reach K / (rate · k). Of a
    # fraction that is next to an integer, logarithms can't tell on which side it is.
    e_values = {key: Fraction(e) + Fraction(1, 1000) for key, e in e_values.items()}
    borne_out = [
        set(some)
        for k in range(len(e_values) + 1)
        for some in itertools.combinations(e_values, k)
        if all(e_values[key] * rate * k >= len(e_values) for key in some)
    ]
    largest = max(borne_out, key=len)
    assert sum(len(some) == len(largest) for some in borne_out) == 1
    assert discoveries({key: log(e) for key, e in e_values.items()}, float(rate)) == largest


def test_one_e_value_of_a_thousand_must_be_higher_than_one_alone():
    quiet = dict.fromkeys(range(999), 0.0)
    assert discoveries({"it": math.log(25)}, 0.05) == {"it"}
    assert discoveries({**quiet, "it": math.log(25)}, 0.05) == set()
    assert discoveries({**quiet, "it": math.log(20_001)}, 0.05) == {"it"}
    assert discoveries({}, 0.05) == set()
