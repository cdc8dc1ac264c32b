"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Verdict(StrEnum):
    """How it stands, from the best to the worst."""

    NOT_APPLICABLE = "not applicable"
    NOT_ENOUGH_DATA = "not enough data"
    OK = "ok"
    SUSPECT = "suspect"
    ALARM = "alarm"

    @property
    def is_bad(self) -> bool:
        """Whether somebody should look."""
        return self in {Verdict.SUSPECT, Verdict.ALARM}

    @property
    def rank(self) -> int:
        """The higher, the worse."""
        return list(Verdict).index(self)


@dataclass(frozen=True, slots=True)
class Share:
    """A branch in a comparison.

    Attributes:
        value: what was counted, clients or events.
        expected: how many of them were expected.
        low: the lower end of where the branch's true share lies, from 0 to 1.
        high: the upper end.
    """

    branch: str
    value: int
    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class HealthFinding:
    """What one check says of one experiment.

    Attributes:
        experiment: its slug; empty for what is about all experiments.
        check: the check's name.
        verdict: how it stands.
        sentence: what it means, for people.
        action: what to do; empty where there is nothing to do.
        branch: which branch it is about most; empty where it is not about one.
        value: what was counted, clients or events; None where nothing is.
        expected: what was expected of it; None where nothing is.
        low: the lower end of where the true value lies; None where nothing is known of it.
        high: the upper end; None as above.
        log_e: the natural logarithm of the e-value; None where there is none.
        shares: of each planned branch, where branches are compared.
        since: since when it has had this verdict; None as long as nobody knows.
        onset: from when on the imbalance is explained best; None where there is none.
    """

    experiment: str
    check: str
    verdict: Verdict
    sentence: str
    action: str = ""
    branch: str = ""
    value: float | None = None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    log_e: float | None = None
    shares: tuple[Share, ...] = ()
    since: datetime | None = None
    onset: datetime | None = None
