"""What is configured of the health checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

STDOUT = "stdout"
"""Alerts may go there instead of to a file or an address."""


CONCENTRATION = 100.0
"""How many clients' worth of belief in the expected split the weighing of other splits has."""


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """What is configured of the health checks.

    Attributes:
        alpha: of so large a share of healthy experiments a comparison of branches may ever raise a
            false alarm.
        concentration: how close to the planned shares other splits are looked for; see
            docs/calibration.md.
        settling: after a change of the ratios the split is not judged for so long, until clients
            have heard of it.
        holding_back: of an experiment nothing is sent before so long after 00:00 UTC of its start.
        muted: experiments, or checks, or ``experiment:check``, that nothing is sent of.
        targets: how many clients an experiment is to enroll, by its slug.
    """

    alpha: float = 0.001
    concentration: float = CONCENTRATION
    settling: timedelta = timedelta(hours=24)
    holding_back: timedelta = timedelta(hours=6)
    muted: frozenset[str] = frozenset()
    targets: Mapping[str, int] = field(default_factory=dict)
