"""Evidence that counts are not split as they should be, valid at whichever moment one looks.

An e-value says how many times better the counts are explained by some other split than by the
expected one. If the expected one is true, the chance that it ever reaches 1/alpha is at most alpha,
however often one looks. The other splits are weighed by a Dirichlet distribution around the
expected one: Lindon and Malek, "Anytime-Valid Inference For Multinomial Count Data", NeurIPS 2022.

All logarithms are natural. Counts are of clients, or of events one per client.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

from expmon.health_settings import CONCENTRATION

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

_Key = TypeVar("_Key", bound="Hashable")


def log_evidence(
    counts: Sequence[int], shares: Sequence[float], concentration: float = CONCENTRATION
) -> float:
    """The logarithm of the e-value against the expected shares.

    It depends on the counts alone, not on how they came bit by bit.

    Args:
        counts: of each branch.
        shares: what is expected of each branch, above 0 and 1 together.
        concentration: above 0; the higher, the closer to the expected shares are the other splits
            that are looked for.
    """
    log_null = math.fsum(n * math.log(p) for n, p in zip(counts, shares, strict=True) if n)
    return log_alternative(counts, shares, concentration) - log_null


def log_alternative(
    counts: Sequence[int], shares: Sequence[float], concentration: float = CONCENTRATION
) -> float:
    """The logarithm of the chance of a sequence with these counts, over all other splits.

    Arguments as of `log_evidence`.
    """
    own = (
        math.lgamma(concentration * p + n) - math.lgamma(concentration * p)
        for n, p in zip(counts, shares, strict=True)
    )
    total = math.lgamma(concentration + sum(counts)) - math.lgamma(concentration)
    return math.fsum(own) - total


def most_evidence(total: int, shares: Sequence[float], concentration: float) -> float:
    """The highest that `log_evidence` can be of so many clients: all in one branch."""
    return max(
        log_evidence([total if i == j else 0 for j in range(len(shares))], shares, concentration)
        for i in range(len(shares))
    )


def share_intervals(
    counts: Sequence[int],
    shares: Sequence[float],
    alpha: float,
    concentration: float = CONCENTRATION,
) -> list[tuple[float, float]]:
    """Where each branch's true share lies, at all times and for all branches at once.

    A share is outside where every split that has it has an e-value of 1/alpha against it. The
    chance that any true share is ever outside is at most ``alpha``.

    Args:
        counts: of each branch.
        shares: what is expected of each; around it other splits are weighed.
        alpha: between 0 and 1.
        concentration: as of `log_evidence`.

    Returns:
        The lower and the upper end for each branch.
    """
    total = sum(counts)
    bound = log_alternative(counts, shares, concentration) + math.log(alpha)
    found: list[tuple[float, float]] = []
    for count in counts:
        # The likeliest split with this share gives the rest to the others as they have it.
        others = list(counts)
        others.remove(count)
        rest = math.fsum(n * math.log(n / (total - count)) for n in others if n)

        def is_inside(share: float, count: int = count, rest: float = rest) -> bool:
            likely = rest
            for n, p in ((count, share), (total - count, 1 - share)):
                if n:
                    likely += n * math.log(p) if p > 0 else -math.inf
            return likely > bound

        centre = count / total if total else shares[len(found)]
        found.append((_edge(0.0, centre, is_inside), _edge(1.0, centre, is_inside)))
    return found


def _edge(outside: float, inside: float, is_inside: Callable[[float], bool]) -> float:
    """Where ``is_inside`` begins between two numbers."""
    if is_inside(outside):
        return outside
    for _ in range(60):
        middle = (outside + inside) / 2
        if is_inside(middle):
            inside = middle
        else:
            outside = middle
    return outside


def onset(
    counts: Sequence[Sequence[int]],
    shares: Sequence[float],
    concentration: float = CONCENTRATION,
) -> int:
    """From which window on another split explains the counts best.

    Args:
        counts: for each window the counts of each branch; at least one window.
        shares: as of `log_evidence`.
        concentration: as of `log_evidence`.

    Returns:
        The index of the window: the one from which to the end the e-value is highest.
    """

    def added(one: Sequence[int], other: Sequence[int]) -> list[int]:
        return [a + b for a, b in zip(one, other, strict=True)]

    from_the_end = list(accumulate(reversed(counts), added))
    evidence = [log_evidence(c, shares, concentration) for c in reversed(from_the_end)]
    return max(range(len(evidence)), key=evidence.__getitem__)


def discoveries(log_evidence: Mapping[_Key, float], rate: float) -> set[_Key]:
    """Those of many e-values that stand out, by e-BH.

    Of the ones that are named, at most the share ``rate`` is named wrongly on average, whichever
    depend on each other: Wang and Ramdas, "False discovery rate control with e-values", JRSS-B
    2022.

    Args:
        log_evidence: the logarithm of each one's e-value.
        rate: between 0 and 1.
    """
    ranked = sorted(log_evidence, key=log_evidence.__getitem__, reverse=True)
    count = len(ranked)
    enough = [
        k
        for k, key in enumerate(ranked, start=1)
        if log_evidence[key] >= math.log(count) - math.log(k) - math.log(rate)
    ]
    return set(ranked[: max(enough, default=0)])
