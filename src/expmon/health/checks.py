"""The checks, each a function of what was observed of one experiment.

Those that compare branches are valid however often one looks; see `expmon.health.evidence`. The
others hold what happened in the last hours against the same hours of the days before.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from expmon.health.evidence import (
    log_alternative,
    log_evidence,
    most_evidence,
    share_intervals,
)
from expmon.health.finding import HealthFinding, Share, Verdict
from expmon.health.observed import planned
from expmon.windows import DAY, HOUR, WINDOW, day_start

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from expmon.health.observed import Observed, Phase
    from expmon.health_settings import HealthSettings

    Check = Callable[[Observed, HealthSettings], HealthFinding]

SPANS = (6, 24)
"""So many hours are held against those of the days before; the first with enough events."""
PAST_DAYS = 7
"""With so many days before: each weekday is among them."""
MANY = 100
"""Where so many enrolled in a week, it is strange that nobody does for a day."""
FEWEST = 15
"""Hours in which fewer events are usual say nothing."""
RARE, VERY_RARE = math.log(1e-4), math.log(1e-6)
FAILING, MAY_FAIL = 0.10, 0.02
"""Failures as a share of clients: more are an alarm, or suspect."""


def split(observed: Observed, settings: HealthSettings) -> HealthFinding:
    """Whether enrollments divide as planned, over all phases together."""
    if (reason := _no_comparison(observed)) is not None:
        return _finding(observed, "split", Verdict.NOT_APPLICABLE, reason)
    phases = [_Compared.of_split(phase, settings) for phase in _with_branches(observed)]
    return _comparison(observed, settings, "split", phases)


def unenrollment(observed: Observed, settings: HealthSettings) -> HealthFinding:
    """Whether the branches' clients leave alike, given how many were there in each window."""
    reason = _no_comparison(observed) or _is_over(observed)
    if reason is not None:
        return _finding(observed, "unenrollment", Verdict.NOT_APPLICABLE, reason)
    phases = [_Compared.of_unenrollments(phase, settings) for phase in _with_branches(observed)]
    return _comparison(observed, settings, "unenrollment", phases)


def branches(observed: Observed, settings: HealthSettings) -> HealthFinding:
    """Whether clients enroll in branches that are not planned."""
    del settings
    experiment = observed.experiment
    reason = _nothing_planned(observed) or (None if observed.phases else _no_phase(observed))
    if reason is not None:
        return _finding(observed, "branches", Verdict.NOT_APPLICABLE, reason)
    strangers: dict[str, int] = {}
    for phase in observed.phases:
        for branch, counts in phase.counts.items():
            if branch not in phase.ratios and counts.enroll:
                strangers[branch] = strangers.get(branch, 0) + counts.enroll
    if not strangers:
        return _finding(observed, "branches", Verdict.OK, "All branches with clients are planned.")
    branch, value = max(strangers.items(), key=lambda item: item[1])
    more = len(strangers) - 1
    others = f" (and others in {_number(more, 'more such branch', 'es')})" if more else ""
    return HealthFinding(
        experiment.slug,
        "branches",
        Verdict.SUSPECT,
        f"{_who(value)} enrolled in the branch {branch}{others}, which is not planned.",
        "Compare the branches in the telemetry with those in Experimenter: one may have been "
        "renamed or removed, or its ratio set to 0, while clients still enroll.",
        branch=branch,
        value=value,
        expected=0.0,
    )


def enrollment(observed: Observed, settings: HealthSettings) -> HealthFinding:
    """Whether clients enroll at all, and as many as in the same hours of the days before."""
    del settings
    experiment, check = observed.experiment, "enrollment"
    if (reason := _is_over(observed)) is not None:
        return _finding(observed, check, Verdict.NOT_APPLICABLE, reason)
    ends = experiment.enrollment_end_date
    if ends is not None and observed.as_of >= day_start(ends):
        reason = f"Enrollment ended on {ends}."
        return _finding(observed, check, Verdict.NOT_APPLICABLE, reason)
    if observed.feed.problem:
        reason = f"The data is late, so nothing can be said: {observed.feed.problem}."
        return _finding(observed, check, Verdict.NOT_ENOUGH_DATA, reason)
    if not observed.counted("enroll"):
        return _nobody(observed)
    spans = _against_days_before(observed, "enroll")
    compared = next((span for span in spans if span.least >= FEWEST), None)
    if compared is None:
        sentence = "Too few clients enroll, or for too short a time, to say what is usual."
        unknown = _finding(observed, check, Verdict.NOT_ENOUGH_DATA, sentence)
        return _stopped(observed) or unknown
    recent, usual = compared.recent, compared.least
    # Chernoff's bound on so few where so many are usual.
    luck = -_divergence(recent, usual) if recent < usual else 0.0
    verdict = Verdict.OK
    if recent <= 0.1 * usual and luck <= VERY_RARE:
        verdict = Verdict.ALARM
    elif recent <= 0.5 * usual and luck <= RARE:
        verdict = Verdict.SUSPECT
    said = f"{_who(recent)} enrolled in the last {compared.hours} hours"
    if verdict is Verdict.OK:
        sentence, action = f"{said}; in {compared.before_text}.", ""
    else:
        only = f"Only {said}" if recent else said
        sentence = f"{only}, where in {compared.before_text}."
        action = (
            "See whether the recipe was changed or ended, or a release has lost the targeted "
            "clients; if other experiments dropped as well, it is not this one."
        )
    return HealthFinding(
        experiment.slug,
        check,
        verdict,
        sentence,
        action,
        value=recent,
        expected=usual,
    )


def forecast(observed: Observed, settings: HealthSettings) -> HealthFinding:
    """How many clients will have enrolled, or when as many as are wanted."""
    experiment, check = observed.experiment, "forecast"
    ends = _planned_end(observed)
    target = settings.targets.get(experiment.slug)
    if (reason := _is_over(observed)) is not None:
        return _finding(observed, check, Verdict.NOT_APPLICABLE, reason)
    if target is None and ends is None:
        reason = "Neither an end of enrollment nor a target is known."
        return _finding(observed, check, Verdict.NOT_APPLICABLE, reason)
    if ends is not None and observed.as_of >= ends:
        reason = f"The planned enrollment ended on {ends:%Y-%m-%d}."
        return _finding(observed, check, Verdict.NOT_APPLICABLE, reason)
    days = _whole_days(observed, "enroll")
    if len(days) < 3 or observed.feed.problem:
        sentence = "A forecast takes three whole days of enrollment, and data that is not late."
        return _finding(observed, check, Verdict.NOT_ENOUGH_DATA, sentence)
    pace = _Pace.of(days, observed.counted("enroll"))
    text = f"{pace.text}, and some {pace.mean:,.0f} more do a day"
    if target is not None:
        return _towards(observed, pace, target, text)
    assert ends is not None  # noqa: S101 - one of the two is known
    left = (ends - observed.as_of) / DAY
    low, expected, high = pace.after(left)
    return HealthFinding(
        experiment.slug,
        check,
        Verdict.OK,
        f"{text}: some {expected:,.0f} ({low:,.0f} to {high:,.0f}, 8 times out of 10) will have "
        f"when the planned enrollment ends on {ends:%Y-%m-%d}.",
        value=pace.so_far,
        expected=expected,
        low=low,
        high=high,
    )


def leaving(observed: Observed, settings: HealthSettings) -> HealthFinding:
    """Whether more clients leave than in the same hours of the days before."""
    del settings
    check = "leaving"
    if (reason := _is_over(observed)) is not None:
        return _finding(observed, check, Verdict.NOT_APPLICABLE, reason)
    if observed.feed.problem:
        reason = f"The data is late, so nothing can be said: {observed.feed.problem}."
        return _finding(observed, check, Verdict.NOT_ENOUGH_DATA, reason)
    spans = _against_days_before(observed, "unenroll")
    if not spans:
        sentence = "There is no day before to compare with."
        return _finding(observed, check, Verdict.NOT_ENOUGH_DATA, sentence)
    compared = spans[0]
    # Of few that were usual it is not known well how many are.
    highest = max(compared.before)
    recent, usual = compared.recent, highest + 3 * math.sqrt(highest + 1)
    luck = -_divergence(recent, usual) if recent > usual else 0.0
    verdict = Verdict.OK
    if recent >= 4 * usual and luck <= VERY_RARE:
        verdict = Verdict.ALARM
    elif recent >= 2 * usual and luck <= RARE:
        verdict = Verdict.SUSPECT
    joined = ", where" if verdict.is_bad else ";"
    sentence = (
        f"{_who(recent)} left in the last {compared.hours} hours{joined} in {compared.before_text}."
    )
    return HealthFinding(
        observed.experiment.slug,
        check,
        verdict,
        sentence,
        "See whether a release or a change of the recipe makes clients unenroll, or users opt out."
        if verdict.is_bad
        else "",
        value=recent,
        expected=highest,
    )


def failures(observed: Observed, settings: HealthSettings) -> HealthFinding:
    """Whether enrolling, unenrolling, updating or validating fails, in the last 24 hours."""
    found = [f for kind in _FAILURES if (f := _failing(observed, settings, kind)) is not None]
    if not found:
        sentence = "Nothing failed in the last 24 hours."
        return _finding(observed, "failures", Verdict.OK, sentence)
    return max(found, key=lambda f: (f.verdict.rank, f.low or 0.0))


def freshness(observed: Observed, settings: HealthSettings) -> HealthFinding:
    """Whether what is not there is late, or truly nothing."""
    del settings
    feed, last, check = observed.feed, observed.last_window, "freshness"
    if feed.problem:
        return _finding(
            observed, check, Verdict.NOT_ENOUGH_DATA, f"The data is late: {feed.problem}."
        )
    until = f"The data is there up to {_time(feed.until)}" if feed.until else "There is no data yet"
    if last is None:
        sentence = f"{until}, and nothing was counted of this experiment in the last two weeks."
    elif observed.as_of - last <= HOUR:
        sentence = f"{until}."
    else:
        since = _time(last + WINDOW)
        sentence = f"{until}; since {since} there truly was no event of this experiment."
    if last is not None and observed.last_search is None:
        app = observed.experiment.app_name or "its application"
        sentence += (
            f" No main ping of its clients came in two days: where {app} sends none, searches are "
            "not defined."
        )
    return _finding(observed, check, Verdict.OK, sentence)


CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        split,
        branches,
        enrollment,
        forecast,
        unenrollment,
        leaving,
        failures,
        freshness,
    )
}
"""Every check by its name, in the order of reports."""

COMPARING = ("split", "unenrollment")
"""The checks with e-values."""

_FAILURES = {
    "enroll_failed": "enrollment",
    "unenroll_failed": "unenrollment",
    "update_failed": "update",
    "validation_failed": "validation",
}
_OF_NEW_CLIENTS = ("enroll_failed", "validation_failed")


class _Compared(NamedTuple):
    """The counts of one phase beside what was expected."""

    phase: Phase
    counts: list[int]
    expected: list[float]
    log_e: float
    most: float

    @classmethod
    def of_split(cls, phase: Phase, settings: HealthSettings) -> _Compared:
        shares = list(phase.shares.values())
        counts = [phase.of(branch).enroll for branch in phase.ratios]
        total = sum(counts)
        log_e = log_evidence(counts, shares, settings.concentration)
        most = most_evidence(total, shares, settings.concentration)
        return cls(phase, counts, [total * share for share in shares], log_e, most)

    @classmethod
    def of_unenrollments(cls, phase: Phase, settings: HealthSettings) -> _Compared:
        shares = list(phase.shares.values())
        found = [phase.of(branch) for branch in phase.ratios]
        counts = [branch.compared for branch in found]
        log_e = log_alternative(counts, shares, settings.concentration)
        log_e -= math.fsum(branch.log_null for branch in found)
        most = most_evidence(sum(counts), shares, settings.concentration)
        return cls(phase, counts, [branch.expected for branch in found], log_e, most)


def _comparison(
    observed: Observed, settings: HealthSettings, check: str, phases: Sequence[_Compared]
) -> HealthFinding:
    """What the phases say together: their e-values are multiplied."""
    experiment = observed.experiment.slug
    log_e = math.fsum(phase.log_e for phase in phases)
    total = sum(sum(phase.counts) for phase in phases)
    enough = -math.log(settings.alpha)
    told = "enrolled in" if check == "split" else "left"
    # With as few, not even all in one branch would be evidence enough.
    if math.fsum(phase.most for phase in phases) < enough and log_e < enough:
        sentence = f"{_who(total)} {_have(total)} {told} the planned branches"
        sentence += ": too few to tell." if total else " yet."
        verdict = Verdict.NOT_ENOUGH_DATA
        return HealthFinding(experiment, check, verdict, sentence, value=total, log_e=log_e)
    verdict = Verdict.OK
    if log_e >= enough:
        verdict = Verdict.ALARM
    elif log_e >= enough / 2:
        verdict = Verdict.SUSPECT
    worst = max((phase for phase in phases if any(phase.counts)), key=lambda phase: phase.log_e)
    shares = _shares(worst, settings)
    most = max(shares, key=lambda share: abs(share.value - share.expected))
    sentence = _compared_text(check, worst, most, verdict, is_one_of_many=len(phases) > 1)
    alone = "By chance alone this"
    if worst.log_e < enough:
        alone = "Together with what was counted under other ratios, by chance alone this"
    sentence += {
        Verdict.OK: " That is within what chance does.",
        Verdict.SUSPECT: " That may still be chance, but begins to look wrong.",
        Verdict.ALARM: (
            f" {alone} would ever be seen in fewer than 1 of {1 / settings.alpha:,.0f} experiments,"
            " however often one looks."
        ),
    }[verdict]
    return HealthFinding(
        experiment,
        check,
        verdict,
        sentence,
        _ACTIONS[check] if verdict.is_bad else "",
        branch=most.branch,
        value=most.value,
        expected=most.expected,
        low=most.low,
        high=most.high,
        log_e=log_e,
        shares=shares,
    )


def _compared_text(
    check: str, compared: _Compared, most: Share, verdict: Verdict, *, is_one_of_many: bool
) -> str:
    """How the branch that is furthest from it differs from what was expected."""
    count, phase = sum(compared.counts), compared.phase
    found, expected = _percents(most.value / count, most.expected / count, verdict)
    when, have = "", f" {_have(count)}"
    if is_one_of_many:
        when, have = f"From {_time(phase.start)} to {_time(phase.finish)}, ", ""
    if check == "split":
        return (
            f"{when}{_who(count)}{have} enrolled; {found} of them are in {most.branch}, "
            f"where {expected} were planned."
        )
    return (
        f"{when}{_who(count)}{have} left; {found} of them were in {most.branch}, where it would be "
        f"{expected} if clients left all branches alike."
    )


_ACTIONS = {
    "split": (
        "Don't compare the branches before it is explained: look for a branch whose clients can't "
        "enroll or are lost before they report, and for a change at the time it began."
    ),
    "unenrollment": (
        "See what this branch does to its clients: those who stay differ from those who left, so "
        "what they do can't simply be compared."
    ),
}


def _shares(compared: _Compared, settings: HealthSettings) -> tuple[Share, ...]:
    planned = list(compared.phase.shares.values())
    intervals = share_intervals(compared.counts, planned, settings.alpha, settings.concentration)
    return tuple(
        Share(branch, value, expected, low, high)
        for branch, value, expected, (low, high) in zip(
            compared.phase.ratios, compared.counts, compared.expected, intervals, strict=True
        )
    )


def _with_branches(observed: Observed) -> list[Phase]:
    """The phases with branches to compare."""
    return [phase for phase in observed.phases if len(phase.ratios) > 1]


def _no_comparison(observed: Observed) -> str | None:
    """Why there are no branches to compare."""
    if (reason := _nothing_planned(observed)) is not None:
        return reason
    branches = list(planned(observed.experiment.ratios))
    if len(branches) == 1:
        return f"It has one planned branch only, {branches[0]}."
    return None if _with_branches(observed) else _no_phase(observed)


def _nothing_planned(observed: Observed) -> str | None:
    """Why nobody knows what is planned for the branches."""
    experiment = observed.experiment
    reasons = {
        "There is no metadata of it, so nobody knows what is planned.": not experiment.is_known,
        "A rollout has no branches to compare.": experiment.is_rollout,
        "The metadata has no branches of it, so nobody knows what is planned.": (
            not experiment.ratios
        ),
        "The metadata has a ratio above 0 for none of its branches.": (
            not planned(experiment.ratios)
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _no_phase(observed: Observed) -> str:
    """Why there is no time with the same planned ratios."""
    start, end = observed.experiment.start_date, observed.experiment.end_date
    if start is not None and observed.as_of <= day_start(start):
        return f"It starts on {start}."
    if start is not None and end is not None and end < start:
        return f"By the metadata it starts on {start} and ends before that, on {end}."
    return "The planned ratios have just been changed, and clients have to hear of it first."


def _is_over(observed: Observed) -> str | None:
    """Why nothing is expected any more."""
    end = observed.experiment.end_date
    if end is not None and observed.as_of.date() > end:
        return f"It ended on {end}."
    return None


def _nobody(observed: Observed) -> HealthFinding:
    """What it means that nobody has ever enrolled."""
    start, data = observed.experiment.start_date, observed.feed.first_day
    verdict, sentence = Verdict.NOT_ENOUGH_DATA, "Nobody has enrolled yet."
    if start is None or not observed.is_whole:
        sentence = "Nobody has enrolled in the last two weeks."
        return _not_enrolled(observed, verdict, sentence)
    # The metadata has the day of the start, not the hour; the data may begin later.
    begins = start if data is None else max(start, data)
    age = observed.as_of - day_start(begins)
    if age >= DAY:
        verdict = Verdict.ALARM if age >= 1.5 * DAY else Verdict.SUSPECT
        told = f"it started on {start}" if begins == start else f"{data}, where the data begins"
        sentence = f"Nobody has enrolled since {told}."
    return _not_enrolled(observed, verdict, sentence)


def _stopped(observed: Observed) -> HealthFinding | None:
    """What it means that nobody has enrolled for a day, after many had; None if it isn't so."""
    enrolled = [hour for hour, counts in observed.hours.items() if counts.enroll]
    if not enrolled or observed.last_hour - (end := max(enrolled) + HOUR) < DAY:
        return None
    before = observed.within("enroll", end, PAST_DAYS * 24)
    if before < MANY:
        return None
    return HealthFinding(
        observed.experiment.slug,
        "enrollment",
        Verdict.SUSPECT,
        f"Nobody has enrolled since {_time(end)}, after {_who(before)} in the seven days before.",
        "See whether the recipe was changed or ended, or a release has lost the targeted clients.",
        value=0,
        expected=before / PAST_DAYS,
    )


def _not_enrolled(observed: Observed, verdict: Verdict, sentence: str) -> HealthFinding:
    return HealthFinding(
        observed.experiment.slug,
        "enrollment",
        verdict,
        sentence,
        "See whether the recipe is published, and whether any client is targeted by it."
        if verdict.is_bad
        else "",
        value=0,
    )


class _Before(NamedTuple):
    """The last hours, and the same ones of the days before, yesterday first."""

    hours: int
    recent: int
    before: list[int]

    @property
    def least(self) -> float:
        """How many are to be expected at least.

        Enrollment fades from day to day, as who is there has enrolled: as it has before, or to a
        third where there is but one day.
        """
        if len(self.before) == 1:
            return self.before[0] / 3
        fading = self.before[0] / max(self.before[1], 1)
        return min(self.before) * min(fading, 1)

    @property
    def before_text(self) -> str:
        low, high = min(self.before), max(self.before)
        days = "days" if len(self.before) > 1 else "day"
        numbers = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        return f"the same hours of the {days} before it was {numbers}"


def _against_days_before(observed: Observed, name: str) -> list[_Before]:
    """The last hours beside those of up to seven days before, for each span with such a day."""
    end, first = observed.last_hour, min(observed.hours, default=observed.as_of)
    found = []
    for hours in SPANS:
        before = [
            observed.within(name, end - day * DAY, hours)
            for day in range(1, PAST_DAYS + 1)
            if end - day * DAY - hours * HOUR >= first
        ]
        if before:
            found.append(_Before(hours, observed.within(name, end, hours), before))
    return found


def _divergence(count: int, usual: float) -> float:
    """The negative logarithm of Chernoff's bound on a Poisson count's tail."""
    log = count * math.log(count / usual) if count else 0.0
    return usual - count + log


def _failing(observed: Observed, settings: HealthSettings, kind: str) -> HealthFinding | None:
    """How many failed beside the clients that it can happen to: new ones, or all that enrolled."""
    bad = observed.within(kind, observed.last_hour, 24)
    # It happens to all clients that have ever enrolled, who are not known.
    if not bad or not (kind in _OF_NEW_CLIENTS or observed.is_whole):
        return None
    if kind in _OF_NEW_CLIENTS:
        good = observed.within("enroll", observed.last_hour, 24)
        beside = f"{_who(good).lower()} enrolled"
    else:
        good = observed.counted("enroll")
        beside = f"{_who(good).lower()} {_have(good)} enrolled so far"
    ((low, high), _) = share_intervals(
        [bad, good], [MAY_FAIL, 1 - MAY_FAIL], settings.alpha, settings.concentration
    )
    verdict = Verdict.OK
    meaning = "no more than is usual, or too few to tell"
    if low > MAY_FAIL:
        verdict = Verdict.ALARM if low > FAILING else Verdict.SUSPECT
        passed = FAILING if low > FAILING else MAY_FAIL
        meaning = f"more than {100 * passed:.0f} % fail, and that is not chance"
    return HealthFinding(
        observed.experiment.slug,
        "failures",
        verdict,
        f"In the last 24 hours {_number(bad, _FAILURES[kind])} failed, and {beside}: {meaning}.",
        "Look at the reasons that the clients' events give, by application version."
        if verdict.is_bad
        else "",
        value=bad,
        expected=MAY_FAIL * (bad + good),
        low=low,
        high=high,
    )


class _Pace(NamedTuple):
    """How many enroll a day."""

    so_far: int
    mean: float
    spread: float
    days: int

    @classmethod
    def of(cls, days: Sequence[int], so_far: int) -> _Pace:
        mean = sum(days) / len(days)
        spread = math.sqrt(sum((n - mean) ** 2 for n in days) / (len(days) - 1))
        return cls(so_far, mean, spread, len(days))

    @property
    def text(self) -> str:
        return f"{_who(self.so_far)} {_have(self.so_far)} enrolled"

    def after(self, days: float) -> tuple[float, float, float]:
        """How many there will be in so many days: low, expected and high."""
        expected = self.so_far + self.mean * days
        width = 1.2816 * self.spread * math.sqrt(days + days**2 / self.days)
        return max(expected - width, self.so_far), expected, expected + width


def _towards(observed: Observed, pace: _Pace, target: int, text: str) -> HealthFinding:
    """When the target is reached."""
    slug, check = observed.experiment.slug, "forecast"
    if pace.so_far >= target:
        sentence = f"{pace.text}: the target of {target:,} is reached."
        return HealthFinding(slug, check, Verdict.OK, sentence, value=pace.so_far, expected=target)
    reached = [
        next((day for day in range(1, 366) if pace.after(day)[place] >= target), None)
        for place in (2, 1, 0)
    ]
    soonest, likely, latest = (
        None if day is None else f"{observed.as_of + day * DAY:%Y-%m-%d}" for day in reached
    )
    if soonest is None:
        when = "not be reached within a year"
    elif likely is None:
        when = f"hardly be reached within a year (at the soonest about {soonest})"
    else:
        span = f"{soonest} to {latest or 'over a year from now'}"
        when = f"be reached about {likely} (8 times out of 10: {span})"
    return HealthFinding(
        slug,
        check,
        Verdict.OK,
        f"{text}: the target of {target:,} will {when}.",
        value=pace.so_far,
        expected=target,
    )


def _planned_end(observed: Observed) -> datetime | None:
    experiment = observed.experiment
    if experiment.enrollment_end_date is not None:
        return day_start(experiment.enrollment_end_date)
    start, days = experiment.start_date, experiment.proposed_enrollment
    if start is None or days is None or days <= 0:
        return None
    # Beyond 9999 there are no dates.
    return day_start(start + timedelta(days=min(days, (date.max - start).days)))


def _whole_days(observed: Observed, name: str) -> list[int]:
    """The counts of up to seven whole days, from the second one on that has a row."""
    if not observed.hours:
        return []
    first: date = min(observed.hours).date() + DAY
    today = observed.as_of.date()
    days = [today - DAY * n for n in range(1, PAST_DAYS + 1)]
    return [observed.within(name, day_start(day + DAY), 24) for day in days if day >= first]


def _finding(observed: Observed, check: str, verdict: Verdict, sentence: str) -> HealthFinding:
    return HealthFinding(observed.experiment.slug, check, verdict, sentence)


def _number(number: int, name: str, plural: str = "s") -> str:
    return f"{number:,} {name}{'' if number == 1 else plural}"


def _who(number: int) -> str:
    return _number(number, "client") if number else "Nobody"


def _have(number: int) -> str:
    return "have" if number > 1 else "has"


def _percents(one: float, other: float, verdict: Verdict) -> tuple[str, str]:
    """Two shares as text; where they are told apart, with as many digits as that takes."""
    for digits in range(1, 7 if verdict.is_bad else 2):
        texts = f"{100 * one:.{digits}f} %", f"{100 * other:.{digits}f} %"
        if texts[0] != texts[1]:
            break
    return texts


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
