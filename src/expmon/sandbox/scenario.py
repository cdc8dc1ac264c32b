"""What is simulated: experiments, and how many clients for how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from expmon.errors import InvalidInput
from expmon.windows import utc

_QUIET_FROM = time(2, tzinfo=UTC)
_QUIET_FOR = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment or rollout that simulated clients take part in.

    Attributes:
        slug: its name.
        start: from when on clients enroll.
        end: from when on clients leave it; None if it goes on.
        branches: each branch with its ratio; a rollout has one.
        is_rollout: whether it is a rollout.
        share: the fraction of clients that are eligible.
    """

    slug: str
    start: datetime
    end: datetime | None
    branches: tuple[tuple[str, int], ...]
    is_rollout: bool
    share: float

    def __post_init__(self) -> None:
        if not self.slug:
            raise InvalidInput("an experiment needs a slug")
        start = utc(self.start, f"start of {self.slug}")
        if self.end is not None and utc(self.end, f"end of {self.slug}") < start:
            raise InvalidInput(f"{self.slug} ends before it starts")
        ratios = [ratio for _, ratio in self.branches]
        if min(ratios, default=0) < 0 or sum(ratios) <= 0:
            raise InvalidInput(f"{self.slug} needs branches with ratios, one of them above zero")
        if not 0 <= self.share <= 1:
            raise InvalidInput(f"the share of {self.slug} must be from 0 to 1, not {self.share}")


@dataclass(frozen=True, slots=True)
class Traffic:
    """How much traffic there is, and when.

    Attributes:
        start: the first day, in UTC.
        days: for how many days.
        clients: how many clients there are; about two in three send pings on a given day.
        seed: the same seed gives the same pings.
    """

    start: date
    days: int
    clients: int
    seed: int

    def __post_init__(self) -> None:
        if self.days < 1 or self.clients < 1:
            raise InvalidInput(
                f"traffic needs at least one day and one client, not {self.days} and {self.clients}"
            )

    @property
    def opens(self) -> datetime:
        """When it begins: 00:00 UTC of the first day."""
        return datetime.combine(self.start, time(), UTC)

    @property
    def closes(self) -> datetime:
        """When it is over: 00:00 UTC after the last day."""
        return self.opens + timedelta(days=self.days)

    @property
    def quiet_night(self) -> tuple[datetime, datetime]:
        """The stretch without a single ping, half open: 02:00 to 04:00 of the second day.

        Of traffic of one day it is in that day's night.
        """
        day = self.start + timedelta(days=min(1, self.days - 1))
        start = datetime.combine(day, _QUIET_FROM)
        return start, start + _QUIET_FOR
