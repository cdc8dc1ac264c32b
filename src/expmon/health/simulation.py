"""Simulated experiments, healthy and broken, window by window.

Clients enroll at some ratios, independently of each other, and each one that is present leaves with
a small chance in every window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from expmon.errors import InvalidInput
from expmon.windows import DAY, WINDOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Numbers = NDArray[np.float64]

A_DAY = DAY // WINDOW
"""So many windows."""
_MOST_CLIENTS = 20_000_000


class Comparison(StrEnum):
    """What is compared between the branches."""

    SPLIT = "split"
    UNENROLLMENT = "unenrollment"


@dataclass(frozen=True, slots=True)
class Traffic:
    """The experiments that are simulated.

    Attributes:
        ratios: planned for each branch, two or more.
        clients_per_window: who enroll in five minutes, on average.
        days: how long they are watched.
        leaving: the share of the present clients who leave in a day.

    Raises:
        InvalidInput: if one of them makes no sense.
    """

    ratios: tuple[float, ...]
    clients_per_window: float = 20
    days: int = 14
    leaving: float = 0.01

    def __post_init__(self) -> None:
        if len(self.ratios) < 2:
            raise InvalidInput("one branch has no split: give two ratios or more, like 50:50")
        for ratio in self.ratios:
            check_positive("a ratio", ratio)
        check_positive("the clients per window", self.clients_per_window)
        check_positive("the number of days", self.days)
        if not 0 < self.leaving <= 1:
            raise InvalidInput(f"the share of clients who leave in a day is no {self.leaving}")
        clients = self.clients_per_window * self.windows
        if clients > _MOST_CLIENTS:
            raise InvalidInput(
                f"{clients:,.0f} clients an experiment are too many to simulate: at most "
                f"{_MOST_CLIENTS:,}, of fewer clients per window or days"
            )

    @property
    def windows(self) -> int:
        """How many there are, and so how often one looks."""
        return self.days * A_DAY

    @property
    def shares(self) -> tuple[float, ...]:
        """The ratios, 1 together."""
        return _shares(self.ratios)


@dataclass(frozen=True, slots=True)
class Effect:
    """What is wrong with an experiment, or nothing.

    Attributes:
        name: as it was asked for; empty if nothing is wrong.
        comparison: which is to find it.
        shares: of the clients who really enroll, for each branch.
        leaving: how many times as often as planned the clients of each branch leave.
    """

    name: str
    comparison: Comparison
    shares: tuple[float, ...]
    leaving: tuple[float, ...]

    @classmethod
    def none(cls, comparison: Comparison, traffic: Traffic) -> Effect:
        """A healthy experiment."""
        return cls("", comparison, traffic.shares, (1.0,) * len(traffic.ratios))

    @classmethod
    def parse(cls, text: str, traffic: Traffic) -> Effect:
        """An effect from a text.

        Args:
            text: the true ratios, like ``52:48``, or how many times as often the clients of the
                last branch leave, like ``unenrollment=1.5``.
            traffic: in which it shows.

        Raises:
            InvalidInput: if it is neither, or has another number of branches.
        """
        branches = len(traffic.ratios)
        kind, separator, factor = text.partition("=")
        if separator:
            if kind.strip() != Comparison.UNENROLLMENT:
                raise InvalidInput(f"{text!r} is no effect: 52:48 is one, and unenrollment=1.5")
            times = _number(factor, text)
            check_positive("how many times as often clients leave", times)
            if times * traffic.leaving > A_DAY:
                raise InvalidInput(f"{text!r}: more clients than there are would leave in a window")
            leaving = (*(1.0,) * (branches - 1), times)
            return cls(text, Comparison.UNENROLLMENT, traffic.shares, leaving)
        ratios = parse_ratios(text)
        if len(ratios) != branches:
            given = f"{len(ratios)} branch{'' if len(ratios) == 1 else 'es'}"
            raise InvalidInput(f"{text!r} has {given}, and the plan has {branches}")
        return cls(text, Comparison.SPLIT, _shares(ratios), (1.0,) * branches)


@dataclass(frozen=True, slots=True)
class Simulated:
    """Experiments window by window: arrays over runs, windows and branches.

    Attributes:
        enrolled: clients who enrolled.
        events: what is compared: those enrollments, or the unenrollments.
        shares: what is expected of each branch among a window's events.
    """

    enrolled: Counts
    events: Counts
    shares: Numbers


def simulate(traffic: Traffic, effect: Effect, runs: int, rng: np.random.Generator) -> Simulated:
    """Experiments with this traffic and effect."""
    import numpy as np

    planned = np.asarray(traffic.shares)
    size = (runs, traffic.windows, len(planned))
    enrolled = rng.poisson(traffic.clients_per_window * np.asarray(effect.shares), size)
    if effect.comparison is Comparison.SPLIT:
        return Simulated(enrolled, enrolled, np.broadcast_to(planned, size))
    leaving = traffic.leaving / A_DAY * np.asarray(effect.leaving)
    present = np.zeros_like(enrolled)
    left = np.zeros_like(enrolled)
    staying = np.zeros((runs, len(planned)), np.int64)
    for window in range(traffic.windows):
        present[:, window] = staying + enrolled[:, window]
        left[:, window] = rng.binomial(present[:, window], leaving)
        staying = present[:, window] - left[:, window]
    everybody = np.maximum(present.sum(axis=2, keepdims=True), 1)
    return Simulated(enrolled, left, present / everybody)


def parse_ratios(text: str) -> tuple[float, ...]:
    """Ratios from a text like ``50:50`` or ``19:1``.

    Raises:
        InvalidInput: if one is no number, or not above zero.
    """
    ratios = tuple(_number(part, text) for part in text.split(":"))
    for ratio in ratios:
        check_positive(f"a ratio of {text!r}", ratio)
    return ratios


def _shares(ratios: Sequence[float]) -> tuple[float, ...]:
    total = math.fsum(ratios)
    return tuple(ratio / total for ratio in ratios)


def _number(part: str, text: str) -> float:
    try:
        return float(part)
    except ValueError:
        raise InvalidInput(f"{part.strip()!r} of {text!r} is no number") from None


def check_positive(name: str, value: float) -> None:
    """Refuse what is no number above zero.

    Raises:
        InvalidInput: with this name.
    """
    if not 0 < value < math.inf:
        raise InvalidInput(f"{name} must be above zero, and {value} is not")
