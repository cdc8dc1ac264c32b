"""How far the live counts of final days were from the final ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from expmon.catalog import TIERS
from expmon.errors import InvalidInput
from expmon.materialize.plan import HOURLY_DAYS
from expmon.statements import reading
from expmon.windows import DAY, Partition, day_start, days, hours

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from expmon.catalog.model import Names, Tiers
    from expmon.warehouse.protocol import State, Warehouse

_HOURS = 24


@dataclass(frozen=True, slots=True)
class CountDrift:
    """A count of one experiment and final day, as it was live and as it is final.

    Attributes:
        experiment: its slug.
        measure: which count, by its column in the aggregates.
        live: the sum over the hourly table's rows of the day.
        final: the sum over the daily table's.
    """

    experiment: str
    measure: str
    live: int
    final: int

    @property
    def difference(self) -> int:
        """How many more were counted live than there are; negative if fewer."""
        return self.live - self.final

    @property
    def percent(self) -> float | None:
        """The difference in percent of the final count; None where that is 0."""
        return 100 * self.difference / self.final if self.final else None

    def is_past(self, threshold: float, *, at_least: int) -> bool:
        """Whether the difference is more than so many percent of the final count.

        Args:
            threshold: in percent.
            at_least: a count that is lower, live and final, is never past it.
        """
        is_large = max(self.live, self.final) >= at_least
        return is_large and 100 * abs(self.difference) > threshold * self.final


@dataclass(frozen=True, slots=True)
class DayDrift:
    """How far the live counts of a final day were from the final ones.

    Attributes:
        aggregates: ``enrollment`` or ``search``.
        day: the day.
        hours: of how many of its hours the hourly table has what was counted live.
        counts: of each experiment, by slug, those measures that aren't 0 both live and final; none
            if the day isn't known.
    """

    aggregates: str
    day: date
    hours: int
    counts: tuple[CountDrift, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether all of its hours are there to be compared."""
        return self.hours == _HOURS


def drift(warehouse: Warehouse, as_of: datetime, *, last: int, names: Names) -> list[DayDrift]:
    """The final ones of the ``last`` days before that of ``as_of``, in order.

    Raises:
        InvalidInput: there must be a day, and no more than the hourly table keeps.
    """
    if not 1 <= last <= HOURLY_DAYS:
        raise InvalidInput(f"days must be 1 to {HOURLY_DAYS}, not {last}: hours are kept no longer")
    state, today = warehouse.state(), as_of.date()
    found = []
    for tiers in TIERS:
        final = state.partitions(tiers.daily)
        wanted = (day for day in days(today - last * DAY, today) if Partition.of_day(day) in final)
        known = {day: _written_hours(tiers, day, state) for day in wanted}
        whole = [day for day, number in known.items() if number == _HOURS]
        counts = _counts(warehouse, tiers, whole, names) if whole else {}
        found += [
            DayDrift(tiers.name, day, number, tuple(counts.get(day, ())))
            for day, number in known.items()
        ]
    return sorted(found, key=lambda one: one.day)


def _written_hours(tiers: Tiers, day: date, state: State) -> int:
    written = state.partitions(tiers.hourly)
    return sum(
        Partition.of_hour(hour) in written for hour in hours(day_start(day), day_start(day + DAY))
    )


def _counts(
    warehouse: Warehouse, tiers: Tiers, wanted: list[date], names: Names
) -> Mapping[date, list[CountDrift]]:
    """The counts of some days, which are in order."""
    parameters = {
        "start": day_start(wanted[0]),
        "end": day_start(wanted[-1] + DAY),
        "days": wanted,
    }
    rows = warehouse.query(reading.drift(tiers, names), parameters).to_pylist()
    rows.sort(key=lambda row: (row["experiment"], tiers.measures.index(row["measure"])))
    found: dict[date, list[CountDrift]] = {}
    for row in rows:
        found.setdefault(row.pop("day"), []).append(CountDrift(**row))
    return found
