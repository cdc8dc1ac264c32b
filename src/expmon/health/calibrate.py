"""How often rules raise a false alarm, and how many clients they take to find what is wrong.

Whoever watches the experiments of `expmon.health.simulation` compares, after every window,

- the split: enrollments with the planned ratios;
- the unenrollments: of each window with the branches' shares of the clients present in it,

by three rules: the e-value of `expmon.health.evidence`; a fixed chi-square test over and over; and
what is often done about that one's false alarms, the same test once a day, and only of shares that
are off by five percentage points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from expmon.errors import InvalidInput
from expmon.health.simulation import (
    A_DAY,
    Comparison,
    Effect,
    Traffic,
    check_positive,
    simulate,
)
from expmon.health_settings import CONCENTRATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from expmon.health.simulation import Counts, Numbers, Simulated

    Answers = NDArray[np.bool_]

CHI_SQUARE_P = 0.001
"""Below this chance of its own, the fixed test raises an alarm."""
POINTS_OFF = 0.05
"""The third rule is silent while every share is closer to the expected one."""
_EXPECTED = 5
"""The chi-square tests wait until so much is expected of each branch, as textbooks tell them to."""
_A_MONTH = 30
_MOST_CLIENTS = 20_000_000
_CELLS = 2_000_000
"""So many counts are simulated at a time: one for each run, window and branch."""


class Rule(StrEnum):
    """When there is an alarm."""

    EVIDENCE = "e-value"
    CHI_SQUARE = "chi-square"
    FIVE_POINTS = "chi-square and 5 points"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule made of experiments with the same effect.

    Attributes:
        effect: its name; empty for healthy experiments.
        comparison: what was compared.
        rule: when there was an alarm.
        days: how long each experiment was watched.
        alarms: how often an alarm began, in all experiments together.
        clients: for each experiment, how many clients were enrolled when its first alarm began;
            None if none did.
        events: likewise, how many enrollments or unenrollments had been compared.
    """

    effect: str
    comparison: Comparison
    rule: Rule
    days: int
    alarms: int
    clients: tuple[int | None, ...]
    events: tuple[int | None, ...]

    @property
    def found(self) -> int:
        """In how many experiments there was an alarm."""
        return sum(clients is not None for clients in self.clients)

    @property
    def share_found(self) -> float:
        """In which share of the experiments there was an alarm."""
        return self.found / len(self.clients)

    @property
    def alarms_per_month(self) -> float:
        """How many alarms began in an experiment within 30 days."""
        return self.alarms * _A_MONTH / (self.days * len(self.clients))


def quantile(values: Sequence[int | None], share: float) -> int | None:
    """By which value so many had come; None if they never did.

    Args:
        values: None for those that never came.
        share: above 0, up to 1.
    """
    come = sorted(value for value in values if value is not None)
    place = math.ceil(share * len(values)) - 1
    return come[place] if place < len(come) else None


def calibrate(  # noqa: PLR0913 - as many figures as are to be chosen from
    traffic: Traffic,
    effects: Sequence[str] = (),
    *,
    runs: int = 500,
    alpha: float = 0.001,
    concentration: float = CONCENTRATION,
    seed: int = 1,
    progress: Callable[[int], object] | None = None,
) -> list[Outcome]:
    """What the rules make of simulated experiments, healthy ones first.

    Args:
        traffic: of the experiments.
        effects: what is wrong with others, each as `Effect.parse` takes it.
        runs: so many experiments are simulated of each kind.
        alpha: the e-value's alarm is at 1/alpha.
        concentration: as of `expmon.health.evidence.log_evidence`.
        seed: the same one gives the same figures.
        progress: called with how many more experiments have been simulated, of
            ``runs * (2 + len(effects))``.

    Returns:
        One for each rule, of both comparisons of healthy experiments, and of each effect.

    Raises:
        InvalidInput: if a value makes no sense.
    """
    import numpy as np

    check_positive("the number of runs", runs)
    check_positive("the concentration", concentration)
    if not 0 < alpha < 1:
        raise InvalidInput(f"alpha is a chance between 0 and 1, not {alpha}")
    if seed < 0:
        raise InvalidInput(f"the seed must not be negative, as {seed} is")
    kinds = [Effect.none(comparison, traffic) for comparison in Comparison]
    kinds += [Effect.parse(text, traffic) for text in effects]
    outcomes: list[Outcome] = []
    for kind, rng in zip(kinds, np.random.default_rng(seed).spawn(len(kinds)), strict=True):
        tally: dict[Rule, list[Found]] = {rule: [] for rule in Rule}
        for some in _portions(runs, traffic):
            simulated = simulate(traffic, kind, some, rng)
            for rule, found in watched(simulated, traffic.shares, alpha, concentration).items():
                tally[rule] += found
            if progress:
                progress(some)
        for rule, found in tally.items():
            alarms, clients, events = zip(*found, strict=True)
            outcomes.append(
                Outcome(
                    kind.name, kind.comparison, rule, traffic.days, sum(alarms), clients, events
                )
            )
    return outcomes


class Found(NamedTuple):
    """What a rule made of one experiment.

    Attributes:
        alarms: how often one began.
        clients: how many were enrolled when the first one began; None if none did.
        events: likewise, how many enrollments or unenrollments had been compared.
    """

    alarms: int
    clients: int | None
    events: int | None


def watched(
    simulated: Simulated, planned: Sequence[float], alpha: float, concentration: float
) -> dict[Rule, list[Found]]:
    """What each rule makes of each experiment.

    Args:
        simulated: the experiments, for whole days.
        planned: shares of the branches.
        alpha: the e-value's alarm is at 1/alpha.
        concentration: as of `expmon.health.evidence.log_evidence`.
    """
    is_unlikely, is_far = _chi_square(simulated)
    looks = {
        Rule.EVIDENCE: log_evidences(simulated, planned, concentration) >= -math.log(alpha),
        Rule.CHI_SQUARE: is_unlikely,
        Rule.FIVE_POINTS: (is_unlikely & is_far)[:, A_DAY - 1 :: A_DAY],
    }
    clients = simulated.enrolled.sum(axis=2).cumsum(axis=1)
    events = simulated.events.sum(axis=2).cumsum(axis=1)
    return {rule: _found(is_alarm, clients, events) for rule, is_alarm in looks.items()}


def _found(is_alarm: Answers, clients: Counts, events: Counts) -> list[Found]:
    """The alarms of each run, looked at at equal distances up to the last window."""
    began = is_alarm.copy()
    began[:, 1:] &= ~is_alarm[:, :-1]
    windows_a_look = clients.shape[1] // is_alarm.shape[1]
    found = []
    for run, alarms in enumerate(began.sum(axis=1).tolist()):
        first = windows_a_look * (int(is_alarm[run].argmax()) + 1) - 1
        have_come = (int(clients[run, first]), int(events[run, first])) if alarms else (None, None)
        found.append(Found(alarms, *have_come))
    return found


def _chi_square(simulated: Simulated) -> tuple[Answers, Answers]:
    """For each run and window: is the chi-square test's alarm on, and is a share far off?"""
    counts = simulated.events.cumsum(axis=1)
    expected = (simulated.events.sum(axis=2, keepdims=True) * simulated.shares).cumsum(axis=1)
    off = abs(counts - expected)
    least = expected.clip(min=_EXPECTED)  # where less is expected, there is no alarm anyhow
    is_unlikely = (off**2 / least).sum(axis=2) > critical_value(counts.shape[2] - 1)
    is_unlikely &= expected.min(axis=2) >= _EXPECTED
    return is_unlikely, off.max(axis=2) >= POINTS_OFF * counts.sum(axis=2)


def log_evidences(
    simulated: Simulated, planned: Sequence[float], concentration: float = CONCENTRATION
) -> Numbers:
    """The logarithm of the e-value of each run after each window.

    Args:
        simulated: the experiments.
        planned: shares of the branches, around which other splits are weighed.
        concentration: as of `expmon.health.evidence.log_evidence`.
    """
    import numpy as np

    counts = simulated.events.cumsum(axis=1)
    total = counts.sum(axis=2)
    log_shares = np.zeros(counts.shape)
    np.log(simulated.shares, out=log_shares, where=simulated.events > 0)
    log_null: Numbers = (simulated.events * log_shares).sum(axis=2).cumsum(axis=1)
    log_alternative = -_rising(concentration, total)
    for branch, share in enumerate(planned):
        log_alternative += _rising(concentration * share, counts[:, :, branch])
    return log_alternative - log_null


def _rising(start: float, counts: Counts) -> Numbers:
    """For each count n, the logarithm of start · (start + 1) · … · (start + n - 1)."""
    import numpy as np

    logs = np.log(start + np.arange(counts.max(initial=0)))
    so_far: Numbers = np.concatenate(([0.0], logs.cumsum()))
    return so_far[counts]


def critical_value(degrees: int, chance: float = CHI_SQUARE_P) -> float:
    """What a chi-square variable of so many degrees of freedom is above with this chance."""
    low, high = 0.0, 10.0 * degrees + 100
    for _ in range(100):
        middle = (low + high) / 2
        if _chance_above(middle, degrees) > chance:
            low = middle
        else:
            high = middle
    return high


def _chance_above(value: float, degrees: int) -> float:
    """How likely a chi-square variable is above a value: a finite sum, as degrees are whole."""
    half = value / 2
    chance = math.erfc(math.sqrt(half)) if degrees % 2 else math.exp(-half)
    order = 0.5 if degrees % 2 else 1.0
    while order < degrees / 2:
        chance += math.exp(order * math.log(half) - half - math.lgamma(order + 1))
        order += 1
    return chance


def _portions(runs: int, traffic: Traffic) -> Iterator[int]:
    """The runs in portions that fit into memory."""
    most = max(1, _CELLS // (traffic.windows * len(traffic.ratios)))
    for done in range(0, runs, most):
        yield min(most, runs - done)
