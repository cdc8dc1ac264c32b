"""Five-minute windows, hours, days and half-open intervals, all in UTC.

A timestamp belongs to ``[start, start + size)`` to the microsecond: 00:04:59.999999 is in the
window of 00:00, 00:05:00 in that of 00:05.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from expmon.errors import InvalidTime

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW = timedelta(minutes=5)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BUCKET = timedelta(minutes=30)
"""How wide the points of an older experiment's exported series are."""
FINE_DAYS = 14
"""Until so many days after its start an experiment has a point for every window instead."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def floor(ts: datetime, size: timedelta) -> datetime:
    """The start of the ``size``-wide slot that ``ts`` lies in; ``size`` divides a day."""
    return ts - (ts - _EPOCH) % size


def latest_window(as_of: datetime) -> datetime:
    """The start of the last window that starts before ``as_of``."""
    return floor(as_of - _TICK, WINDOW)


def day_start(day: date) -> datetime:
    """00:00 UTC of the day."""
    return datetime.combine(day, time(), UTC)


def utc(value: datetime, name: str) -> datetime:
    """The same instant in UTC.

    Raises:
        InvalidTime: the datetime has no zone.
    """
    if not isinstance(value, datetime):
        raise InvalidTime(f"{name} must be a datetime, not {value!r}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidTime(
            f"{name} = {value.isoformat()} has no time zone. "
            "Give one, for instance datetime(2021, 1, 26, tzinfo=timezone.utc)."
        )
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise InvalidTime(f"{name} = {value.isoformat()} is out of range") from None


def instant(value: datetime | date, name: str) -> datetime:
    """A date as its 00:00 UTC, a datetime as the same instant in UTC.

    Raises:
        InvalidTime: the datetime has no zone.
    """
    if isinstance(value, date) and not isinstance(value, datetime):
        return day_start(value)
    return utc(value, name)


def days(start: date, end: date) -> Iterator[date]:
    """Each day of ``[start, end)``."""
    for offset in range((end - start).days):
        yield start + timedelta(days=offset)


def hours(start: datetime, end: datetime) -> Iterator[datetime]:
    """The start of each hour of ``[start, end)``; ``start`` is the start of an hour."""
    while start < end:
        yield start
        start += HOUR


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One day or one hour of a table, or the whole of it.

    Attributes:
        id: BigQuery's name of it: ``YYYYMMDD``, ``YYYYMMDDHH``, or ``""`` for a whole table.
    """

    id: str

    def __post_init__(self) -> None:
        if self.id and not _is_partition(self.id):
            raise ValueError(f"{self.id!r} is no partition: YYYYMMDD, YYYYMMDDHH or empty")

    @classmethod
    def of_day(cls, day: date) -> Partition:
        """The partition of a day.

        Args:
            day: in UTC.
        """
        return cls(day.isoformat().replace("-", ""))

    @classmethod
    def of_hour(cls, hour: datetime) -> Partition:
        """The partition of an hour.

        Args:
            hour: its start, in UTC.
        """
        return cls(f"{hour.date().isoformat().replace('-', '')}{hour.hour:02}")

    @classmethod
    def whole(cls) -> Partition:
        """A table that has no partitions."""
        return cls("")

    @property
    def start(self) -> datetime:
        """When it starts, in UTC; a whole table has no start."""
        if not self.id:
            raise ValueError("a whole table has no start")
        return _parsed(self.id)

    @property
    def end(self) -> datetime:
        """When it ends: the start of the next one."""
        return self.start + (DAY if len(self.id) == 8 else HOUR)

    @property
    def day(self) -> date:
        """The day that it is, or lies on."""
        return self.start.date()

    def __str__(self) -> str:
        """The partition as people read it, like ``day 2021-01-26`` or ``hour 2021-01-26T05``."""
        if not self.id:
            return "whole table"
        if len(self.id) == 8:
            return f"day {self.day.isoformat()}"
        return f"hour {self.start.strftime('%Y-%m-%dT%H')}"


def _is_partition(text: str) -> bool:
    if not (text.isascii() and text.isdigit() and len(text) in {8, 10}):
        return False
    try:
        _parsed(text)
    except ValueError:
        return False
    return True


def _parsed(text: str) -> datetime:
    """When a day or an hour starts; several times as fast as strptime, for plans of many years."""
    year, month, day, hour = text[:4], text[4:6], text[6:8], text[8:] or "0"
    return datetime(int(year), int(month), int(day), int(hour), tzinfo=UTC)
