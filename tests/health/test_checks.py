"""Each check on what was observed, by hand: verdicts, borders, numbers, and every sentence."""

from __future__ import annotations

import json
import math
import re
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expmon.health.assess import sum_of
from expmon.health.checks import CHECKS, COMPARING
from expmon.health.finding import Verdict
from expmon.health.observed import Counts, Experiment, Feed, Observed, Phase, planned
from expmon.health_settings import HealthSettings
from playing import DAY, HOUR, at

NOW = at("2021-01-26T05:30")
HOUR_OF_NOW = at("2021-01-26T05:00")
START = date(2021, 1, 20)
FRESH = Feed(NOW)
LATE = Feed(NOW - 3 * HOUR, "the last live run is 3 h 0 min old: expmon run live")
DEFAULTS = HealthSettings()
EVEN = {"a": 1, "b": 1}


def phase(ratios=EVEN, start="2021-01-20T00:00", finish="2021-01-26T05:30", **counts):
    """A phase, and of each branch its counts, or how many enrolled."""
    found = {b: Counts(enroll=n) if isinstance(n, int) else n for b, n in counts.items()}
    return Phase(at(start), at(finish), ratios, found)


def observed(*phases, as_of=NOW, hours=None, feed=FRESH, between=None, **experiment):
    """What is observed of an experiment that has started, by default with two equal branches."""
    last = {"last_window": as_of - timedelta(minutes=10), "last_search": as_of - HOUR}
    last = {name: experiment.pop(name, moment) for name, moment in last.items()}
    described = {"ratios": EVEN, "start_date": START, **experiment}
    if between is None:  # without phases, what the hours have is outside of them
        between = Counts() if phases else sum_of((hours or {}).values())
    return Observed(
        Experiment("exp", **described),
        as_of,
        phases,
        between,
        hours or {},
        feed,
        **last,
    )


def check(name, seen, **configured):
    return CHECKS[name](seen, HealthSettings(**configured) if configured else DEFAULTS)


def hours_before(name, *days, span=6, end=HOUR_OF_NOW):
    """So many events in the last hours, in the same ones yesterday, and so on."""
    found = {}
    for back, number in enumerate(days):
        hour = end - back * DAY - span * HOUR
        found[hour] = Counts(**{name: number})
    return found


def log_e(counts, ratios, concentration=100):
    """In exact fractions: the Dirichlet-multinomial chance of a sequence beside the planned one."""
    shares = [Fraction(ratio, sum(ratios)) for ratio in ratios]
    e_value = Fraction(1)
    for count, share in zip(counts, shares, strict=True):
        for n in range(count):
            e_value *= (concentration * share + n) / share
    for n in range(sum(counts)):
        e_value /= concentration + n
    return math.log(e_value.numerator) - math.log(e_value.denominator)


def ends(counts, ratios, alpha=0.001, concentration=100):
    """Where the first branch's share lies: the two roots of n log s + m log(1 - s) = bound."""
    n, m = counts[0], sum(counts) - counts[0]
    shares = [ratio / sum(ratios) for ratio in ratios]
    others = sum(k * math.log(k / m) for k in counts[1:] if k)
    bound = math.log(alpha) + log_e(counts, ratios, concentration) - others
    bound += sum(k * math.log(share) for k, share in zip(counts, shares, strict=True))

    def excess(s):
        return n * math.log(s) + m * math.log(1 - s) - bound

    found = []
    for outer in (1e-12, 1 - 1e-12):
        low, high = outer, n / (n + m)
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) < 0 else (low, middle)
        found.append(low)
    return found


# The split


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((500, 500), "ok"),
        ((530, 470), "ok"),
        ((565, 435), "suspect"),
        ((600, 400), "alarm"),
        ((0, 100), "alarm"),
    ],
)
def test_enrollments_that_divide_otherwise_than_planned_are_found(counts, verdict):
    a, b = counts
    finding = check("split", observed(phase(a=a, b=b)))
    assert finding.verdict == verdict
    assert finding.log_e == pytest.approx(log_e(counts, (1, 1)), rel=1e-9)
    assert [(s.branch, s.value, s.expected) for s in finding.shares] == [
        ("a", a, (a + b) / 2),
        ("b", b, (a + b) / 2),
    ]
    assert (finding.branch, finding.value) == ("a", a)
    assert finding.expected == (a + b) / 2


@pytest.mark.parametrize(("counts", "ratios"), [((60, 40), (1, 1)), ((700, 45, 30), (19, 1, 1))])
def test_the_interval_of_a_share_is_where_no_split_has_evidence_enough_against_it(counts, ratios):
    branches = "abc"[: len(ratios)]
    seen = phase(
        dict(zip(branches, ratios, strict=True)), **dict(zip(branches, counts, strict=True))
    )
    share = check("split", observed(seen, ratios=seen.ratios)).shares[0]
    assert [share.low, share.high] == pytest.approx(ends(counts, ratios), abs=1e-9)


def test_an_alarm_is_raised_from_the_e_value_of_one_over_alpha_on_and_suspicion_at_its_root():
    seen = observed(phase(a=600, b=400))
    evidence = log_e((600, 400), (1, 1))
    for log_alpha, verdict in (
        (evidence * (1 - 1e-9), "alarm"),
        (evidence * (1 + 1e-9), "suspect"),
        (2 * evidence * (1 - 1e-9), "suspect"),
        (2 * evidence * (1 + 1e-9), "ok"),
    ):
        assert check("split", seen, alpha=math.exp(-log_alpha)).verdict == verdict


def test_as_few_clients_as_can_never_be_evidence_are_too_few():
    # All of them in one branch would have to be an alarm.
    fewest = next(n for n in range(1, 100) if log_e((n, 0), (1, 1)) >= math.log(1000))
    below = check("split", observed(phase(a=fewest - 1)))
    assert (below.verdict, below.value, below.shares) == ("not enough data", fewest - 1, ())
    assert below.log_e == pytest.approx(log_e((fewest - 1, 0), (1, 1)))
    assert check("split", observed(phase(a=fewest))).verdict == "alarm"
    assert check("split", observed(phase(a=fewest // 2, b=fewest - fewest // 2))).verdict == "ok"


def recipes(data):
    """The ratios of each real recipe with several branches."""
    found = []
    for recipe in json.loads((data / "recipes.json").read_text()):
        arguments = recipe.get("arguments", recipe)
        ratios = {b["slug"]: b["ratio"] for b in arguments.get("branches") or ()}
        if len(ratios) > 1:
            found.append(ratios)
    return found


def test_the_ratios_of_real_recipes_are_kept_apart(data):
    given = recipes(data)
    assert {"delivery": 19, "holdback": 1} in given
    assert {"control": 75, "treatment-a": 25} in given
    for ratios in given:
        total = sum(ratios.values())
        fair = {b: 2000 * ratio // total for b, ratio in ratios.items()}
        finding = check("split", observed(phase(ratios, **fair), ratios=ratios))
        assert finding.verdict == "ok"
        assert finding.log_e == pytest.approx(log_e(fair.values(), ratios.values()))
        turned = dict(zip(ratios, reversed(fair.values()), strict=True))
        finding = check("split", observed(phase(ratios, **turned), ratios=ratios))
        assert finding.log_e == pytest.approx(log_e(turned.values(), ratios.values()))
        assert finding.verdict == ("ok" if turned == fair else "alarm")


def test_93_to_7_is_found_where_19_to_1_is_planned():
    ratios = {"delivery": 19, "holdback": 1}
    finding = check("split", observed(phase(ratios, delivery=2418, holdback=182), ratios=ratios))
    assert (finding.verdict, finding.branch) == ("alarm", "delivery")
    assert finding.low == pytest.approx(ends((2418, 182), (19, 1))[0], abs=1e-9)


@pytest.mark.parametrize("ratios", [EVEN, {"a": 19, "b": 1}, {"a": 1, "b": 1, "c": 1}])
def test_a_planned_branch_without_a_single_event_is_found(ratios):
    others = {b: 300 * ratio for b, ratio in ratios.items() if b != "b"}
    finding = check("split", observed(phase(ratios, **others), ratios=ratios))
    assert finding.verdict == "alarm"
    assert [(s.branch, s.value) for s in finding.shares if not s.value] == [("b", 0)]
    assert next(s.low for s in finding.shares if s.branch == "b") == 0


def test_evidence_of_several_phases_is_multiplied_and_the_worst_phase_is_told():
    first = phase(a=560, b=440, finish="2021-01-22T00:00")
    second = phase({"a": 3, "b": 1}, start="2021-01-23T00:00", a=800, b=200)
    finding = check("split", observed(first, second, ratios={"a": 3, "b": 1}))
    both = log_e((560, 440), (1, 1)), log_e((800, 200), (3, 1))
    assert finding.log_e == pytest.approx(sum(both))
    assert max(both) < math.log(1000) < sum(both)
    assert finding.verdict == "alarm"
    worst = (560, 500) if both[0] > both[1] else (800, 750)
    assert (finding.value, finding.expected) == worst
    # Neither of them would be an alarm by itself.
    assert finding.sentence.endswith(
        " Together with what was counted under other ratios, by chance alone this would ever be "
        "seen in fewer than 1 of 1,000 experiments, however often one looks."
    )


def test_a_phase_without_clients_neither_adds_nor_takes_away():
    healthy = phase(a=5000, b=5000, finish="2021-01-22T00:00")
    empty = phase({"a": 3, "b": 1}, start="2021-01-23T00:00")
    finding = check("split", observed(healthy, empty, ratios={"a": 3, "b": 1}))
    assert finding.log_e == pytest.approx(log_e((5000, 5000), (1, 1)))
    assert (finding.verdict, finding.value) == ("ok", 5000)


def test_a_phase_with_one_branch_is_not_compared():
    alone = phase({"a": 1}, a=4000, finish="2021-01-22T00:00")
    both = phase(start="2021-01-23T00:00", a=45, b=55)
    finding = check("split", observed(alone, both))
    assert finding.log_e == pytest.approx(log_e((45, 55), (1, 1)))
    assert sum(s.value for s in finding.shares) == 100


def test_clients_of_unplanned_branches_are_left_out_of_the_split():
    finding = check("split", observed(phase(a=500, b=500, stranger=90_000)))
    assert finding.log_e == pytest.approx(log_e((500, 500), (1, 1)))
    assert [s.branch for s in finding.shares] == ["a", "b"]


def test_huge_counts_have_finite_evidence():
    finding = check("split", observed(phase(a=2**61, b=2**60)))
    assert finding.verdict == "alarm"
    assert math.isfinite(finding.log_e)


NOTHING_TO_COMPARE = {
    "There is no metadata of it, so nobody knows what is planned.": {
        "ratios": {},
        "is_known": False,
        "start_date": None,
    },
    "A rollout has no branches to compare.": {"is_rollout": True},
    "The metadata has no branches of it, so nobody knows what is planned.": {"ratios": {}},
    "The metadata has a ratio above 0 for none of its branches.": {
        "ratios": {"a": 0, "b": None, "c": -1}
    },
    "It starts on 2021-01-27.": {"start_date": date(2021, 1, 27)},
    "By the metadata it starts on 2021-01-20 and ends before that, on 2021-01-19.": {
        "end_date": date(2021, 1, 19)
    },
    "The planned ratios have just been changed, and clients have to hear of it first.": {},
}


@pytest.mark.parametrize("sentence", NOTHING_TO_COMPARE)
@pytest.mark.parametrize("name", ["split", "unenrollment", "branches"])
def test_why_branches_are_not_compared_is_said(name, sentence):
    finding = check(name, observed(**NOTHING_TO_COMPARE[sentence]))
    assert (finding.verdict, finding.sentence) == ("not applicable", sentence)
    assert (finding.log_e, finding.value, finding.shares) == (None, None, ())


@pytest.mark.parametrize("name", COMPARING)
@pytest.mark.parametrize("others", [{}, {"b": 0}, {"b": None}, {"b": -5}])
def test_one_branch_only_is_not_compared(name, others):
    finding = check(name, observed(phase({"a": 1}, a=500), ratios={"a": 1, **others}))
    assert finding.verdict == "not applicable"
    assert finding.sentence == "It has one planned branch only, a."


# Branches


def test_clients_in_branches_that_are_not_planned_are_suspect():
    earlier = phase(a=5, b=5, old=4, finish="2021-01-22T00:00")
    later = phase(start="2021-01-23T00:00", a=5, b=5, old=3, new=5, gone=Counts(unenroll=9))
    finding = check("branches", observed(earlier, later))
    assert (finding.verdict, finding.branch, finding.value) == ("suspect", "old", 7)
    assert finding.expected == 0


def test_a_second_branch_beside_the_only_planned_one_is_suspect():
    only = phase({"a": 1}, a=50, b=40)
    finding = check("branches", observed(only, ratios={"a": 1, "b": 0}))
    assert (finding.verdict, finding.branch, finding.value) == ("suspect", "b", 40)


def test_planned_branches_alone_are_ok():
    finding = check("branches", observed(phase(a=5, gone=Counts(unenroll=9))))
    assert (finding.verdict, finding.value) == ("ok", None)


# Enrollment


@pytest.mark.parametrize(
    ("days", "verdict", "usual"),
    [
        # A tenth, and half: 60 in the same hours of two days.
        ((6, 60, 60), "alarm", 60),
        ((7, 60, 60), "suspect", 60),
        ((29, 60, 60), "suspect", 60),
        # 30 of 60 happen once in 9,955: not rare enough.
        ((30, 60, 60), "ok", 60),
        ((100, 200, 200), "suspect", 200),
        ((101, 200, 200), "ok", 200),
        # Nobody where 15 are usual: by chance once in 3.3 million; one client once in 80,000.
        ((0, 15, 15), "alarm", 15),
        ((1, 15, 15), "suspect", 15),
        # Fewer are no measure.
        ((0, 14, 14), "not enough data", None),
        # From day to day half as many: a quarter of those of two days before may come.
        ((12, 50, 100), "ok", 25),
        ((2, 50, 100), "alarm", 25),
        # More than yesterday's are not expected.
        ((20, 100, 50), "suspect", 50),
        # With one day before, a third of it.
        ((0, 45), "alarm", 15),
        ((8, 45), "ok", 15),
        ((0, 44), "not enough data", None),
        # The least of seven days; the eighth isn't looked at.
        ((10, *[100] * 6, 20, 0), "ok", 20),
    ],
)
def test_enrollment_is_held_against_the_same_hours_of_the_days_before(days, verdict, usual):
    seen = observed(phase(a=5000, b=5000), hours=hours_before("enroll", *days))
    finding = check("enrollment", seen)
    assert finding.verdict == verdict
    assert finding.expected == (None if usual is None else pytest.approx(usual))
    assert finding.value == (None if usual is None else days[0])


def test_where_six_hours_say_too_little_a_whole_day_is_compared():
    hours = hours_before("enroll", 0, 40, 40, span=24)
    finding = check("enrollment", observed(phase(a=80), hours=hours))
    assert (finding.verdict, finding.value, finding.expected) == ("alarm", 0, 40)
    assert "in the last 24 hours" in finding.sentence


def test_an_hour_that_is_not_over_is_not_counted():
    hours = {**hours_before("enroll", 0, 60, 60), at("2021-01-26T05:00"): Counts(enroll=500)}
    assert check("enrollment", observed(phase(a=620), hours=hours)).value == 0


@pytest.mark.parametrize(
    ("as_of", "verdict"),
    [
        ("2021-01-20T00:00", "not enough data"),
        ("2021-01-20T23:59:59.999999", "not enough data"),
        ("2021-01-21T00:00", "suspect"),
        ("2021-01-21T11:59:59.999999", "suspect"),
        ("2021-01-21T12:00", "alarm"),
        ("2021-02-20T00:00", "alarm"),
    ],
)
def test_nobody_at_all_is_an_alarm_a_day_and_a_half_after_the_start(as_of, verdict):
    finding = check("enrollment", observed(phase(), as_of=at(as_of)))
    assert (finding.verdict, finding.value) == (verdict, 0)


@pytest.mark.parametrize(
    ("as_of", "verdict"),
    [
        ("2021-01-24T23:59:59.999999", "not enough data"),
        ("2021-01-25T00:00", "suspect"),
        ("2021-01-25T12:00", "alarm"),
    ],
)
def test_nobody_is_missed_before_the_data_begins(as_of, verdict):
    feed = Feed(NOW, first_day=date(2021, 1, 24))
    finding = check("enrollment", observed(phase(), as_of=at(as_of), feed=feed))
    assert finding.verdict == verdict
    if verdict != "not enough data":
        assert finding.sentence == "Nobody has enrolled since 2021-01-24, where the data begins."


def test_of_a_rollout_without_a_start_nobody_says_that_nobody_ever_enrolled():
    finding = check("enrollment", observed(is_rollout=True, ratios={}, start_date=None))
    assert finding.verdict == "not enough data"
    assert finding.sentence == "Nobody has enrolled in the last two weeks."


@pytest.mark.parametrize("start", [date(2020, 12, 30), date(2019, 1, 1)])
def test_of_a_rollout_with_a_start_it_is_known_that_nobody_enrolled(start):
    finding = check("enrollment", observed(is_rollout=True, start_date=start))
    assert finding.verdict == "alarm"
    assert finding.sentence == f"Nobody has enrolled since it started on {start}."


def test_enrollments_between_the_phases_count_as_well():
    seen = observed(phase(), between=Counts(enroll=3))
    assert check("enrollment", seen).verdict == "not enough data"
    assert "Nobody" not in check("enrollment", seen).sentence


@pytest.mark.parametrize(
    ("as_of", "is_over"),
    [("2021-01-24T23:59:59.999999", False), ("2021-01-25T00:00", True)],
)
def test_nobody_is_expected_from_the_day_on_that_enrollment_ends(as_of, is_over):
    seen = observed(phase(), as_of=at(as_of), enrollment_end_date=date(2021, 1, 25))
    finding = check("enrollment", seen)
    assert finding.verdict == ("not applicable" if is_over else "alarm")


@pytest.mark.parametrize("name", ["enrollment", "forecast", "unenrollment", "leaving"])
def test_nothing_is_expected_any_more_from_the_last_moment_of_the_end_date_on(name):
    left = {b: Counts(compared=50, expected=50, log_null=-50 * math.log(2)) for b in "ab"}
    hours = {
        **hours_before("enroll", 100, 100, 100, end=at("2021-01-26T23:00")),
        at("2021-01-19T00:00"): Counts(),
    }
    given = {"end_date": date(2021, 1, 26), "hours": hours, "proposed_enrollment": 30}
    last = observed(
        phase(**left), as_of=at("2021-01-26T23:59:59.999999"), between=Counts(enroll=300), **given
    )
    assert check(name, last).verdict not in {"not applicable", "suspect", "alarm"}
    over = check(name, observed(phase(**left), as_of=at("2021-01-27T00:00"), **given))
    assert (over.verdict, over.sentence) == ("not applicable", "It ended on 2021-01-26.")


def test_the_split_is_still_judged_when_all_is_over():
    seen = observed(phase(a=600, b=400), end_date=date(2021, 1, 22))
    assert check("split", seen).verdict == "alarm"


@pytest.mark.parametrize("name", ["enrollment", "leaving", "forecast", "freshness"])
def test_late_data_says_nothing(name):
    hours = hours_before("enroll", 0, 100, 100, 100)
    seen = observed(phase(a=300), hours=hours, feed=LATE, proposed_enrollment=30)
    assert check(name, seen).verdict == "not enough data"


@pytest.mark.parametrize(
    ("quiet", "enrolled", "verdict"),
    [(24, 100, "suspect"), (23, 100, "not enough data"), (24, 99, "not enough data")],
)
def test_enrollment_that_stopped_is_suspect_when_no_day_before_is_left(quiet, enrolled, verdict):
    # All in one hour of the night, so that in most hours of the days before there was nobody.
    last = NOW.replace(minute=0) - quiet * HOUR
    hours = {last - HOUR: Counts(enroll=enrolled), last - 9 * DAY: Counts(enroll=500)}
    finding = check("enrollment", observed(phase(a=enrolled + 500), hours=hours))
    assert finding.verdict == verdict
    if verdict == "suspect":
        assert finding.sentence == (
            f"Nobody has enrolled since {last:%Y-%m-%d %H:%M} UTC, after 100 clients in the seven "
            "days before."
        )
        assert finding.expected == pytest.approx(100 / 7)


# Leaving


@pytest.mark.parametrize(
    ("days", "verdict", "usual"),
    [
        # Where 10 left, 10 + 3 * sqrt(11) = 19.9 may be usual: four times as many, or twice.
        ((80, 10, 10), "alarm", 10),
        ((79, 10, 10), "suspect", 10),
        # 41 beside 19.9 happens too often, by Chernoff's bound.
        ((42, 10), "suspect", 10),
        ((41, 10), "ok", 10),
        ((143, 50, 40), "suspect", 50),
        ((142, 50, 40), "ok", 50),
        # Where nobody left, 3 may be usual.
        ((13, 0), "ok", 0),
        ((14, 0), "suspect", 0),
        ((16, 0), "suspect", 0),
        ((17, 0), "alarm", 0),
        ((0, 900, 800), "ok", 900),
        ((5,), "not enough data", None),
    ],
)
def test_who_leaves_is_held_against_the_most_of_the_days_before(days, verdict, usual):
    finding = check("leaving", observed(hours=hours_before("unenroll", *days)))
    assert (finding.verdict, finding.expected) == (verdict, usual)
    assert finding.value == (None if usual is None else days[0])


# Unenrollment


def leaving(a, b, present_a=1, present_b=1):
    """Who left each branch, if so many were present at all times."""
    share = present_a / (present_a + present_b)
    return {
        branch: Counts(compared=n, expected=(a + b) * s, log_null=n * math.log(s))
        for branch, n, s in (("a", a, share), ("b", b, 1 - share))
    }


@pytest.mark.parametrize(
    ("left", "present", "verdict"),
    [
        ((500, 500), (1, 1), "ok"),
        ((600, 400), (1, 1), "alarm"),
        ((565, 435), (1, 1), "suspect"),
        # Three of four clients are in the first branch, as of those who leave.
        ((750, 250), (3, 1), "ok"),
        ((500, 500), (3, 1), "alarm"),
        ((4, 4), (1, 1), "not enough data"),
    ],
)
def test_leaving_is_held_against_who_was_there(left, present, verdict):
    finding = check("unenrollment", observed(phase(**leaving(*left, *present))))
    assert finding.verdict == verdict
    # As the split's, but for the chance that it is measured by.
    evidence = log_e(left, (1, 1)) - sum(left) * math.log(2)
    evidence -= sum(n * math.log(p / sum(present)) for n, p in zip(left, present, strict=True))
    assert finding.log_e == pytest.approx(evidence)
    for share, value, there in zip(finding.shares, left, present, strict=False):
        assert share.value == value
        assert share.expected == pytest.approx(sum(left) * there / sum(present))


# Failures


@pytest.mark.parametrize("kind", ["enroll_failed", "validation_failed"])
@pytest.mark.parametrize("bad", [1, 10, 20, 50, 60, 200])
def test_failures_are_held_against_the_clients_of_the_day(kind, bad):
    hours = {at("2021-01-25T05:00"): Counts(enroll=200, **{kind: bad})}
    finding = check("failures", observed(phase(a=100_000), hours=hours))
    low, high = ends((bad, 200), (2, 98))
    assert [finding.low, finding.high] == pytest.approx([low, high], abs=1e-9)
    expected = "alarm" if low > 0.1 else "suspect" if low > 0.02 else "ok"
    assert (finding.verdict, finding.value) == (expected, bad)
    assert finding.expected == pytest.approx(0.02 * (200 + bad))
    assert {1: "ok", 10: "ok", 200: "alarm"}.get(bad, expected) == expected


def test_failures_have_every_verdict():
    found = set()
    for bad in (1, 30, 200):
        hours = {at("2021-01-25T05:00"): Counts(enroll=200, enroll_failed=bad)}
        found.add(str(check("failures", observed(hours=hours)).verdict))
    assert found == {"ok", "suspect", "alarm"}


@pytest.mark.parametrize("kind", ["unenroll_failed", "update_failed"])
def test_what_befalls_all_clients_is_held_against_all_that_have_enrolled(kind):
    hours = {at("2021-01-25T05:00"): Counts(enroll=5, **{kind: 60})}
    many = observed(phase(a=10_000), hours=hours, between=Counts(enroll=500))
    assert check("failures", many).expected == pytest.approx(0.02 * 10_560)
    assert check("failures", many).verdict == "ok"
    assert check("failures", observed(phase(a=50), hours=hours)).verdict == "alarm"


@pytest.mark.parametrize("kind", ["unenroll_failed", "update_failed"])
def test_failed_updates_are_held_against_all_who_enrolled_in_a_rollout_if_they_are_known(kind):
    hours = {at("2021-01-25T05:00"): Counts(enroll=5, **{kind: 600})}

    def verdict(enrolled, start):
        between = Counts(enroll=enrolled)
        seen = observed(hours=hours, is_rollout=True, start_date=start, between=between)
        return check("failures", seen).verdict

    # Most of the many enrolled long before the hours that are known.
    assert verdict(100_000, date(2020, 1, 1)) == "ok"
    assert verdict(5, date(2020, 1, 1)) == "alarm"
    assert verdict(5, None) == "ok"


def test_the_worst_failures_are_told():
    counts = Counts(enroll=200, enroll_failed=30, validation_failed=200, update_failed=1)
    finding = check("failures", observed(phase(a=200), hours={at("2021-01-25T06:00"): counts}))
    assert (finding.verdict, finding.value) == ("alarm", 200)


@pytest.mark.parametrize(
    ("hour", "is_counted"),
    [("2021-01-25T04:00", False), ("2021-01-25T05:00", True), ("2021-01-26T04:00", True)],
)
def test_failures_are_those_of_24_whole_hours(hour, is_counted):
    finding = check("failures", observed(hours={at(hour): Counts(enroll_failed=9)}))
    assert finding.value == (9 if is_counted else None)


# The forecast


def daily(*counts):
    """So many enrolled yesterday, the day before, and so on, and one row before all of them."""
    first = NOW.replace(hour=0, minute=0) - (len(counts) + 1) * DAY
    rows = {NOW.replace(hour=12, minute=0) - (n + 1) * DAY: c for n, c in enumerate(counts)}
    return {first: Counts(), **{hour: Counts(enroll=count) for hour, count in rows.items()}}


def test_a_forecast_goes_on_at_the_pace_of_the_last_whole_days():
    seen = observed(phase(a=400, b=350), hours=daily(300, 250, 200), proposed_enrollment=10)
    finding = check("forecast", seen)
    left = (at("2021-01-30T00:00") - NOW) / DAY
    expected = 750 + 250 * left
    # Eight of ten normal deviates are within 1.2816; the pace is that of three days.
    width = 1.2816 * math.sqrt(2 * 50**2 / 2) * math.sqrt(left + left**2 / 3)
    assert finding.verdict == "ok"
    assert (finding.value, finding.expected) == (750, pytest.approx(expected))
    assert (finding.low, finding.high) == pytest.approx((expected - width, expected + width))


def test_the_date_of_the_end_of_enrollment_goes_before_the_proposal():
    seen = observed(
        phase(a=9),
        hours=daily(3, 3, 3),
        proposed_enrollment=10,
        enrollment_end_date=date(2021, 1, 27),
    )
    assert check("forecast", seen).expected == pytest.approx(9 + 3 * 18.5 / 24)
    assert check("forecast", seen).low == pytest.approx(9 + 3 * 18.5 / 24)


def test_fewer_than_have_enrolled_are_not_forecast():
    seen = observed(phase(a=900), hours=daily(900, 0, 0), proposed_enrollment=10)
    assert check("forecast", seen).low == 900


@pytest.mark.parametrize(("days", "verdict"), [((5, 5), "not enough data"), ((5, 5, 5), "ok")])
def test_a_forecast_takes_three_whole_days(days, verdict):
    seen = observed(phase(a=15), hours=daily(*days), proposed_enrollment=10)
    assert check("forecast", seen).verdict == verdict


@pytest.mark.parametrize("proposed", [None, 0, -3, -(10**12)])
def test_no_proposal_is_no_end(proposed):
    finding = check("forecast", observed(proposed_enrollment=proposed))
    assert (finding.verdict, finding.value) == ("not applicable", None)
    assert finding.sentence == "Neither an end of enrollment nor a target is known."


def test_a_proposal_past_all_calendars_is_one():
    seen = observed(phase(a=15), hours=daily(5, 5, 5), proposed_enrollment=2**62)
    assert "ends on 9999-12-31" in check("forecast", seen).sentence


@pytest.mark.parametrize(
    ("as_of", "verdict"),
    [("2021-01-29T23:59:59.999999", "not enough data"), ("2021-01-30T00:00", "not applicable")],
)
def test_after_the_planned_end_there_is_no_forecast(as_of, verdict):
    seen = observed(phase(a=9), as_of=at(as_of), proposed_enrollment=10)
    assert check("forecast", seen).verdict == verdict


@pytest.mark.parametrize("name", CHECKS)
def test_an_experiment_until_the_end_of_the_calendar_is_looked_at(name):
    seen = observed(
        phase(a=500, b=500), end_date=date.max, enrollment_end_date=date.max, start_date=START
    )
    assert check(name, seen).verdict in {"ok", "not enough data"} or name == "enrollment"
    later = observed(start_date=date.max, proposed_enrollment=5)
    assert not check(name, later).verdict.is_bad


# Every sentence

FALL = hours_before("enroll", 3, 100, 120, 140)
LEFT = {b: Counts(compared=n, expected=50, log_null=-n * math.log(2)) for b, n in EVEN.items()}
BY_CHANCE = (
    " By chance alone this would ever be seen in fewer than 1 of 1,000 experiments, however often "
    "one looks."
)
MAY_BE = " That may still be chance, but begins to look wrong."
WITHIN = " That is within what chance does."
PHASES = (
    phase(a=200, b=600, finish="2021-01-22T00:00"),
    phase({"a": 3, "b": 1}, start="2021-01-23T00:00", a=75, b=25),
)
SENTENCES = [
    ("split", observed(phase()), "Nobody has enrolled in the planned branches yet."),
    (
        "split",
        observed(phase(stranger=500)),
        "Nobody has enrolled in the planned branches yet.",
    ),
    (
        "split",
        observed(phase(a=1)),
        "1 client has enrolled in the planned branches: too few to tell.",
    ),
    (
        "split",
        observed(phase(a=4, b=3)),
        "7 clients have enrolled in the planned branches: too few to tell.",
    ),
    (
        "split",
        observed(phase(a=500, b=510)),
        "1,010 clients have enrolled; 49.5 % of them are in a, where 50.0 % were planned." + WITHIN,
    ),
    (
        "split",
        observed(phase(a=565, b=435)),
        "1,000 clients have enrolled; 56.5 % of them are in a, where 50.0 % were planned." + MAY_BE,
    ),
    (
        "split",
        observed(phase(b=1500)),
        "1,500 clients have enrolled; 0.0 % of them are in a, where 50.0 % were planned."
        + BY_CHANCE,
    ),
    (
        "split",
        observed(phase(a=100_040_000, b=99_960_000)),
        "200,000,000 clients have enrolled; 50.02 % of them are in a, where 50.00 % were planned."
        + BY_CHANCE,
    ),
    (
        "split",
        observed(*PHASES),
        "From 2021-01-20 00:00 UTC to 2021-01-22 00:00 UTC, 800 clients enrolled; 25.0 % of them "
        "are in a, where 50.0 % were planned." + BY_CHANCE,
    ),
    ("unenrollment", observed(phase(a=9)), "Nobody has left the planned branches yet."),
    (
        "unenrollment",
        observed(phase(**leaving(1, 0))),
        "1 client has left the planned branches: too few to tell.",
    ),
    (
        "unenrollment",
        observed(phase(**leaving(55, 45))),
        "100 clients have left; 55.0 % of them were in a, where it would be 50.0 % if clients left "
        "all branches alike." + WITHIN,
    ),
    (
        "unenrollment",
        observed(phase(**leaving(1500, 1500, 3, 1))),
        "3,000 clients have left; 50.0 % of them were in a, where it would be 75.0 % if clients "
        "left all branches alike." + BY_CHANCE,
    ),
    (
        "unenrollment",
        observed(
            phase(**leaving(50, 50), finish="2021-01-22T00:00"),
            phase(start="2021-01-23T00:00", **leaving(100, 300)),
        ),
        "From 2021-01-23 00:00 UTC to 2021-01-26 05:30 UTC, 400 clients left; 25.0 % of them were "
        "in a, where it would be 50.0 % if clients left all branches alike." + BY_CHANCE,
    ),
    ("branches", observed(phase(a=3)), "All branches with clients are planned."),
    (
        "branches",
        observed(phase(a=3, c=1)),
        "1 client enrolled in the branch c, which is not planned.",
    ),
    (
        "branches",
        observed(phase(a=3, c=2, d=1)),
        (
            "2 clients enrolled in the branch c (and others in 1 more such branch), which is not "
            "planned."
        ),
    ),
    (
        "branches",
        observed(phase(a=3, c=2, d=1, e=1)),
        (
            "2 clients enrolled in the branch c (and others in 2 more such branches), which is not"
            " planned."
        ),
    ),
    ("enrollment", observed(end_date=date(2021, 1, 25)), "It ended on 2021-01-25."),
    (
        "enrollment",
        observed(enrollment_end_date=date(2021, 1, 25)),
        "Enrollment ended on 2021-01-25.",
    ),
    (
        "enrollment",
        observed(feed=LATE),
        (
            "The data is late, so nothing can be said: the last live run is 3 h 0 min old: expmon "
            "run live."
        ),
    ),
    ("enrollment", observed(phase(), start_date=NOW.date()), "Nobody has enrolled yet."),
    ("enrollment", observed(phase()), "Nobody has enrolled since it started on 2021-01-20."),
    (
        "enrollment",
        observed(phase(a=1)),
        "Too few clients enroll, or for too short a time, to say what is usual.",
    ),
    (
        "enrollment",
        observed(phase(a=400), hours=hours_before("enroll", 1200, 1000)),
        (
            "1,200 clients enrolled in the last 6 hours; in the same hours of the day before it "
            "was 1,000."
        ),
    ),
    (
        "enrollment",
        observed(phase(a=400), hours=FALL),
        (
            "Only 3 clients enrolled in the last 6 hours, where in the same hours of the days "
            "before it was 100 to 140."
        ),
    ),
    (
        "enrollment",
        observed(phase(a=400), hours=hours_before("enroll", 1, 100, 100)),
        (
            "Only 1 client enrolled in the last 6 hours, where in the same hours of the days "
            "before it was 100."
        ),
    ),
    (
        "enrollment",
        observed(phase(a=400), hours=hours_before("enroll", 0, 100)),
        (
            "Nobody enrolled in the last 6 hours, where in the same hours of the day before it was"
            " 100."
        ),
    ),
    (
        "forecast",
        observed(proposed_enrollment=3),
        "The planned enrollment ended on 2021-01-23.",
    ),
    (
        "forecast",
        observed(proposed_enrollment=10),
        "A forecast takes three whole days of enrollment, and data that is not late.",
    ),
    (
        "forecast",
        observed(phase(a=1000), hours=daily(100, 100, 100), proposed_enrollment=10),
        (
            "1,000 clients have enrolled, and some 100 more do a day: some 1,377 (1,377 to 1,377, "
            "8 times out of 10) will have when the planned enrollment ends on 2021-01-30."
        ),
    ),
    (
        "forecast",
        observed(phase(a=1), hours=daily(0, 0, 0), proposed_enrollment=10),
        (
            "1 client has enrolled, and some 0 more do a day: some 1 (1 to 1, 8 times out of 10) "
            "will have when the planned enrollment ends on 2021-01-30."
        ),
    ),
    ("leaving", observed(), "There is no day before to compare with."),
    (
        "leaving",
        observed(hours=hours_before("unenroll", 0, 0)),
        "Nobody left in the last 6 hours; in the same hours of the day before it was 0.",
    ),
    (
        "leaving",
        observed(hours=hours_before("unenroll", 1, 2, 5)),
        "1 client left in the last 6 hours; in the same hours of the days before it was 2 to 5.",
    ),
    (
        "leaving",
        observed(hours=hours_before("unenroll", 90, 2, 5)),
        (
            "90 clients left in the last 6 hours, where in the same hours of the days before it "
            "was 2 to 5."
        ),
    ),
    ("failures", observed(), "Nothing failed in the last 24 hours."),
    (
        "failures",
        observed(hours={at("2021-01-26T04:00"): Counts(enroll_failed=1)}),
        (
            "In the last 24 hours 1 enrollment failed, and nobody enrolled: no more than is usual,"
            " or too few to tell."
        ),
    ),
    (
        "failures",
        observed(phase(a=1), hours={at("2021-01-26T04:00"): Counts(unenroll_failed=2)}),
        (
            "In the last 24 hours 2 unenrollments failed, and 1 client has enrolled so far: no "
            "more than is usual, or too few to tell."
        ),
    ),
    (
        "failures",
        observed(hours={at("2021-01-26T04:00"): Counts(enroll=200, validation_failed=30)}),
        (
            "In the last 24 hours 30 validations failed, and 200 clients enrolled: more than 2 % "
            "fail, and that is not chance."
        ),
    ),
    (
        "failures",
        observed(phase(a=2000), hours={at("2021-01-26T04:00"): Counts(update_failed=2000)}),
        (
            "In the last 24 hours 2,000 updates failed, and 2,000 clients have enrolled so far: "
            "more than 10 % fail, and that is not chance."
        ),
    ),
    ("freshness", observed(), "The data is there up to 2021-01-26 05:30 UTC."),
    (
        "freshness",
        observed(feed=LATE),
        "The data is late: the last live run is 3 h 0 min old: expmon run live.",
    ),
    (
        "freshness",
        observed(last_window=None, last_search=None),
        (
            "The data is there up to 2021-01-26 05:30 UTC, and nothing was counted of this "
            "experiment in the last two weeks."
        ),
    ),
    (
        "freshness",
        observed(last_window=at("2021-01-26T04:30")),
        "The data is there up to 2021-01-26 05:30 UTC.",
    ),
    (
        "freshness",
        observed(last_window=at("2021-01-26T04:25")),
        (
            "The data is there up to 2021-01-26 05:30 UTC; since 2021-01-26 04:30 UTC there truly "
            "was no event of this experiment."
        ),
    ),
    (
        "freshness",
        observed(last_search=None, app_name="fenix"),
        (
            "The data is there up to 2021-01-26 05:30 UTC. No main ping of its clients came in two"
            " days: where fenix sends none, searches are not defined."
        ),
    ),
    (
        "freshness",
        observed(last_search=None, feed=Feed(None)),
        (
            "There is no data yet. No main ping of its clients came in two days: where its "
            "application sends none, searches are not defined."
        ),
    ),
]


@pytest.mark.parametrize(("name", "seen", "sentence"), SENTENCES)
def test_the_sentence_is_plain(name, seen, sentence):
    finding = check(name, seen)
    assert finding.sentence == sentence
    assert bool(finding.action) is finding.verdict.is_bad


@pytest.mark.parametrize(
    ("so_far", "days", "target", "sentence"),
    [
        (900, (50, 50, 50), 900, "900 clients have enrolled: the target of 900 is reached."),
        (
            900,
            (50, 50, 50),
            1000,
            (
                "900 clients have enrolled, and some 50 more do a day: the target of 1,000 will be"
                " reached about 2021-01-28 (8 times out of 10: 2021-01-28 to 2021-01-28)."
            ),
        ),
        (
            900,
            (120, 30, 0),
            20_000,
            (
                "900 clients have enrolled, and some 50 more do a day: the target of 20,000 will "
                "hardly be reached within a year (at the soonest about 2021-08-12)."
            ),
        ),
        (
            900,
            (120, 30, 0),
            10_900,
            (
                "900 clients have enrolled, and some 50 more do a day: the target of 10,900 will "
                "be reached about 2021-08-14 (8 times out of 10: 2021-05-10 to over a year from "
                "now)."
            ),
        ),
        (
            1,
            (0, 0, 0),
            2,
            (
                "1 client has enrolled, and some 0 more do a day: the target of 2 will not be "
                "reached within a year."
            ),
        ),
    ],
)
def test_when_a_target_is_reached_is_said(so_far, days, target, sentence):
    seen = observed(phase(a=so_far), hours=daily(*days))
    finding = check("forecast", seen, targets={"exp": target})
    assert (finding.verdict, finding.value, finding.expected) == ("ok", so_far, target)
    assert finding.sentence == sentence


# Whatever is observed

BRANCHES = st.sampled_from(["a", "b", "c", "null"])
NUMBERS = st.sampled_from([0, 0, 1, 2, 15, 100]) | st.integers(0, 2**62)
LOGARITHMS = st.floats(-1e9, 0)
COUNTS = st.builds(
    Counts,
    *[NUMBERS] * 9,
    expected=st.floats(0, 1e18),
    log_null=LOGARITHMS,
)
RATIOS = st.dictionaries(
    BRANCHES, st.none() | st.sampled_from([-1, 0, 1, 19, 75]) | st.integers(-(2**63), 2**63 - 1)
)
DATES = st.none() | st.sampled_from([date.min, date.max]) | st.dates(date(2020, 12, 1), NOW.date())
EXPERIMENTS = st.builds(
    Experiment,
    slug=st.just("exp"),
    ratios=RATIOS,
    is_rollout=st.booleans(),
    app_name=st.none() | st.just("fenix"),
    proposed_enrollment=st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 30),
    start_date=DATES,
    enrollment_end_date=DATES,
    end_date=DATES,
    is_known=st.booleans(),
)
MOMENTS = st.integers(0, 40 * 24 * 12).map(lambda n: NOW - n * timedelta(minutes=5))


@st.composite
def observations(draw):
    seen = [draw(RATIOS) for _ in range(draw(st.integers(0, 3)))]
    edges = sorted(draw(MOMENTS) for _ in range(2 * len(seen)))
    phases = [
        Phase(start, finish, planned(ratios), draw(st.dictionaries(BRANCHES, COUNTS)))
        for ratios, start, finish in zip(seen, edges[::2], edges[1::2], strict=True)
        if planned(ratios)
    ]
    hour = MOMENTS.map(lambda moment: moment.replace(minute=0))
    return Observed(
        draw(EXPERIMENTS),
        NOW,
        tuple(phases),
        draw(COUNTS),
        draw(st.dictionaries(hour, COUNTS, max_size=20)),
        draw(st.sampled_from([FRESH, LATE, Feed(None)])),
        draw(st.none() | MOMENTS),
        draw(st.none() | MOMENTS),
    )


@given(
    seen=observations(),
    alpha=st.floats(1e-12, 0.999),
    concentration=st.floats(0.01, 1e6),
    target=st.none() | NUMBERS,
)
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_observed_each_check_says_one_plain_thing(seen, alpha, concentration, target):
    configured = HealthSettings(
        alpha=alpha,
        concentration=concentration,
        targets={} if target is None else {"exp": target},
    )
    for name, one in CHECKS.items():
        finding = one(seen, configured)
        assert (finding.experiment, finding.check) == ("exp", name)
        assert isinstance(finding.verdict, Verdict)
        assert bool(finding.action) is finding.verdict.is_bad
        for text in filter(None, (finding.sentence, finding.action)):
            assert re.fullmatch(r"[A-Z0-9].*\.", text)
            assert not re.search(r"\b(nan|inf|None|0 clients|1 clients)\b|  |\b([a-z]+) \2\b", text)
        numbers = [finding.value, finding.expected, finding.low, finding.high, finding.log_e]
        numbers += [n for s in finding.shares for n in (s.value, s.expected, s.low, s.high)]
        assert all(math.isfinite(number) for number in numbers if number is not None)
        assert all(0 <= share.low <= share.high <= 1 for share in finding.shares)
        assert finding.log_e is None or name in COMPARING
        assert finding.sentence
