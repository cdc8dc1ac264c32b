"""What simulated clients do in experiments: enroll by ratio, fail, update, see, leave.

Times are integers: microseconds since the traffic opened. Of a random generator only ``random()``
and ``getrandbits()`` are used, whose results for a seed are the same in every version of Python.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from expmon.windows import utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from random import Random

    from expmon.sandbox.scenario import Experiment, Traffic

Event = list[Any]
"""``[time, category, method, object, value, extras]`` as in a ping."""

_NEVER: Final = 2**63
_WAITING, _ENROLLED, _GONE = range(3)

# Of each attempt to enroll; what is left enrolls.
_VALIDATION_FAILS = 0.02
_ENROLL_FAILS = 0.05
# Of each visit while enrolled, one after the other on one scale; what is left does nothing.
_LEAVES = 0.010
_UPDATES = 0.050
_UPDATE_FAILS = 0.060
_SEES = 0.300
# Of each visit after the end; what is left leaves for good.
_UNENROLL_FAILS = 0.05

_DISQUALIFIED = 0.25
_NO_BRANCH_IN_FAILURE = 0.4
_NO_BRANCH_IN_ROLLOUT = 0.3
_LATE_CLIENTS = 0.15


@dataclass(frozen=True, slots=True)
class Trial:
    """An experiment on the clock of the traffic."""

    slug: str
    is_rollout: bool
    start: int
    end: int
    share: float
    branches: tuple[str, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def of(cls, experiment: Experiment, traffic: Traffic) -> Trial:
        """The experiment, its branches as a scale from 0 to 1."""
        ratios = [ratio for _, ratio in experiment.branches]
        return cls(
            slug=experiment.slug,
            is_rollout=experiment.is_rollout,
            start=ticks(experiment.start, traffic),
            end=_NEVER if experiment.end is None else ticks(experiment.end, traffic),
            share=experiment.share,
            branches=tuple(branch for branch, _ in experiment.branches),
            thresholds=tuple(upto / sum(ratios) for upto in accumulate(ratios)),
        )

    def branch_at(self, place: float) -> str:
        """The branch at this place, below 1, on the scale."""
        return self.branches[bisect_right(self.thresholds, place)]


@dataclass(slots=True)
class Membership:
    """How far a client is with a trial that it is eligible for."""

    trial: Trial
    branch: str
    enrollment_id: str
    is_branch_silent: bool
    stage: int = _WAITING


@dataclass(slots=True)
class Client:
    """One client with what it remembers between visits.

    Attributes:
        client_id: a UUID.
        first_seen: before this it sends nothing.
        device: which of the kinds of computers it is.
        memberships: of the trials that it is eligible for.
        experiments: what its ``environment.experiments`` says; never changed, only replaced, since
            pings hold it.
    """

    client_id: str
    first_seen: int
    device: int
    memberships: list[Membership]
    experiments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def draw(cls, trials: Sequence[Trial], traffic: Traffic, *, rng: Random) -> Client:
        """A new client; most are there from the beginning, some show up later."""
        late = rng.random() < _LATE_CLIENTS
        first_seen = int(rng.random() * ticks(traffic.closes, traffic)) if late else 0
        return cls(
            client_id=draw_uuid(rng),
            first_seen=first_seen,
            device=rng.getrandbits(16),
            memberships=[
                Membership(
                    trial=trial,
                    branch=trial.branch_at(rng.random()),
                    enrollment_id=draw_uuid(rng),
                    is_branch_silent=trial.is_rollout and rng.random() < _NO_BRANCH_IN_ROLLOUT,
                )
                for trial in trials
                if rng.random() < trial.share
            ],
        )

    def visit(self, at: int, rng: Random) -> list[Event]:
        """What happens in its experiments at this time, as events."""
        events: list[Event] = []
        changed = False
        for membership in self.memberships:
            stage, trial = membership.stage, membership.trial
            if stage == _GONE or at < trial.start:
                continue
            events += _step(membership, at, rng)
            changed = changed or membership.stage != stage
        if changed:
            self.experiments = {
                member.trial.slug: _environment_entry(member)
                for member in self.memberships
                if member.stage == _ENROLLED
            }
        return events


def ticks(moment: datetime, traffic: Traffic) -> int:
    """Microseconds from the opening of the traffic to this moment."""
    passed = utc(moment, "moment") - traffic.opens
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def draw_uuid(rng: Random) -> str:
    """A random UUID of version 4."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _step(membership: Membership, at: int, rng: Random) -> list[Event]:
    is_over = at >= membership.trial.end
    if membership.stage == _WAITING:
        return [] if is_over else _try_to_enroll(membership, rng)
    return _after_the_end(membership, rng) if is_over else _while_enrolled(membership, rng)


def _try_to_enroll(membership: Membership, rng: Random) -> list[Event]:
    """A failed attempt is made again with the next visit."""
    fate = rng.random()
    if fate < _VALIDATION_FAILS:
        return [
            _event(membership, "validationFailed", rng=rng, reason="invalid-recipe", branch=None)
        ]
    if fate < _ENROLL_FAILS:
        return [_failure(membership, "enrollFailed", rng=rng, reason="name-conflict")]
    membership.stage = _ENROLLED
    return [_event(membership, "enroll", rng=rng)]


def _while_enrolled(membership: Membership, rng: Random) -> list[Event]:
    fate = rng.random()
    if fate < _LEAVES:
        membership.stage = _GONE
        if rng.random() < _DISQUALIFIED:
            reason = "studies-opt-out"
            return [
                _event(membership, "disqualification", rng=rng, reason=reason),
                _event(membership, "unenroll", rng=rng, reason=reason),
            ]
        return [_event(membership, "unenroll", rng=rng, reason="individual-opt-out")]
    if fate < _UPDATES:
        return [_event(membership, "update", rng=rng)]
    if fate < _UPDATE_FAILS:
        return [_failure(membership, "updateFailed", rng=rng, reason="invalid-feature")]
    if fate < _SEES:
        return [_event(membership, "exposure", rng=rng, featureId="urlbar")]
    return []


def _after_the_end(membership: Membership, rng: Random) -> list[Event]:
    if rng.random() < _UNENROLL_FAILS:
        return [_failure(membership, "unenrollFailed", rng=rng, reason="unknown-experiment")]
    membership.stage = _GONE
    if membership.trial.is_rollout:
        return [_event(membership, "graduate", rng=rng)]
    return [_event(membership, "unenroll", rng=rng, reason="recipe-not-seen")]


def _failure(membership: Membership, method: str, *, rng: Random, reason: str) -> Event:
    """Some clients fail before they know their branch."""
    branch = None if rng.random() < _NO_BRANCH_IN_FAILURE else membership.branch
    return _event(membership, method, rng=rng, reason=reason, branch=branch)


def _event(membership: Membership, method: str, *, rng: Random, **extras: str | None) -> Event:
    told = {"branch": membership.branch, "enrollmentId": membership.enrollment_id, **extras}
    if membership.is_branch_silent:
        told["branch"] = None
    kind = "nimbus_rollout" if membership.trial.is_rollout else "nimbus_experiment"
    return [
        int(rng.random() * 3_600_000),
        "normandy",
        method,
        kind,
        membership.trial.slug,
        {key: value for key, value in told.items() if value is not None},
    ]


def _environment_entry(membership: Membership) -> dict[str, str]:
    return {
        "branch": membership.branch,
        "type": "nimbus-rollout" if membership.trial.is_rollout else "nimbus-nimbus",
        "enrollmentId": membership.enrollment_id,
    }
