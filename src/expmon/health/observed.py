"""What the checks look at: an experiment as it is planned, and what was counted of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from expmon.windows import HOUR, floor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

HISTORY = timedelta(days=14)
"""So far back hours are looked at."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment as the metadata has it; dates and the application may be missing.

    Attributes:
        ratios: of each branch of the metadata; None where it has none.
        proposed_enrollment: for how many days it is planned to enroll.
        is_known: whether there is metadata of it at all.
    """

    slug: str
    ratios: Mapping[str, int | None] = field(default_factory=dict)
    is_rollout: bool = False
    app_name: str | None = None
    proposed_enrollment: int | None = None
    start_date: date | None = None
    enrollment_end_date: date | None = None
    end_date: date | None = None
    is_known: bool = True


def planned(ratios: Mapping[str, int | None]) -> dict[str, int]:
    """The ratios of the branches that clients are planned for: those above 0."""
    return {branch: ratio for branch, ratio in ratios.items() if ratio is not None and ratio > 0}


@dataclass(frozen=True, slots=True)
class Counts:
    """Events that were counted.

    Attributes:
        compared: the unenrollments that are compared between the branches.
        expected: how many those of this branch would be if all branches' clients left alike.
        log_null: the natural logarithm of the chance of those of this branch, if so.
    """

    enroll: int = 0
    unenroll: int = 0
    graduate: int = 0
    update: int = 0
    enroll_failed: int = 0
    unenroll_failed: int = 0
    update_failed: int = 0
    validation_failed: int = 0
    compared: int = 0
    expected: float = 0.0
    log_null: float = 0.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A time with the same planned ratios, and what was counted in it by branch.

    Attributes:
        start: the start of its first window.
        finish: the end of its last window.
        ratios: of the planned branches, each above 0; at least one.
        counts: of every branch with an event, planned or not.
    """

    start: datetime
    finish: datetime
    ratios: Mapping[str, int]
    counts: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def shares(self) -> dict[str, float]:
        """What share of the clients is planned for each branch."""
        total = sum(self.ratios.values())
        return {branch: ratio / total for branch, ratio in self.ratios.items()}

    def of(self, branch: str) -> Counts:
        """What was counted of a branch, nothing if there is nothing."""
        return self.counts.get(branch, Counts())


@dataclass(frozen=True, slots=True)
class Feed:
    """How it stands with the data of all experiments.

    Attributes:
        until: up to when the last live run looked; None if there was none.
        problem: why the data can't be relied on; empty if it can.
        first_day: the first day that anything was counted of; None if none is known.
    """

    until: datetime | None
    problem: str = ""
    first_day: date | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of an experiment at a moment.

    Attributes:
        phases: in order; none where no branches are compared.
        between: what was counted outside of the phases, from its start to its end; without a
            start, in the last weeks.
        hours: what was counted in each hour of the last weeks that has a row.
        last_window: the start of its last window with an event.
        last_search: the start of its last window with a main ping, within two days.
    """

    experiment: Experiment
    as_of: datetime
    phases: tuple[Phase, ...]
    between: Counts
    hours: Mapping[datetime, Counts]
    feed: Feed
    last_window: datetime | None = None
    last_search: datetime | None = None

    @property
    def last_hour(self) -> datetime:
        """The end of the last whole hour."""
        return floor(self.as_of, HOUR)

    @property
    def is_whole(self) -> bool:
        """Whether what is counted goes back to the experiment's start."""
        return self.experiment.start_date is not None

    def counted(self, name: str) -> int:
        """How many events of a kind there were; without a start, in the last weeks."""
        of_phases = [counts for phase in self.phases for counts in phase.counts.values()]
        return sum(getattr(counts, name) for counts in (*of_phases, self.between))

    def within(self, name: str, end: datetime, hours: int) -> int:
        """How many events of a kind there were in so many hours before ``end``."""
        found = (self.hours.get(end - HOUR * (i + 1)) for i in range(hours))
        return sum(getattr(counts, name) for counts in found if counts is not None)
