"""Playing schedules on an embedded warehouse, and reading what came of it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pings as client
import reference
from expmon.catalog import DATASETS, RELATIONS, TIERS
from expmon.catalog.health import HEALTH, RATIOS, TOTALS
from expmon.catalog.model import Statement
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.statements.build import select, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from expmon import Monitor

Row = tuple[Any, ...]
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def at(text: str) -> datetime:
    """``2021-01-26T00:05`` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rows(monitor: Monitor, name: str, *columns: str) -> list[Row]:
    """A relation's rows, all columns or those named, sorted."""
    relation = RELATIONS[name]
    query = select(*(columns or relation.column_names)).from_(
        table(relation, monitor.settings.names)
    )
    found = monitor.warehouse.query(Statement("rows", query), {}).to_pylist()
    cells = (tuple(_utc(cell) for cell in row.values()) for row in found)
    return sorted(cells, key=reference.sort_key)


def _utc(cell: object) -> object:
    return cell.astimezone(UTC) if isinstance(cell, datetime) else cell


def ingest(monitor: Monitor, path: Path, pings: Iterable[Mapping[str, Any]]) -> None:
    """Load the pings, every one of which must be readable."""
    result = monitor.ingest(client.write(path, pings))
    assert not result.skipped


def tables(monitor: Monitor) -> dict[str, list[Row]]:
    """What every table of the schedules and both live views hold, but what the health checks keep.

    That is a history of the live runs themselves, which no later run makes up for, and totals of
    the experiments that were active then.
    """
    kept = {HEALTH.name, RATIOS.name, TOTALS.name}
    names = [r.name for r in RELATIONS.values() if r.cadence is not None and r.name not in kept]
    names += [tiers.live.name for tiers in TIERS]
    return {name: rows(monitor, name) for name in names}


def expected_tables(played: reference.Played) -> dict[str, list[Row]]:
    """What `tables` must be, by the plain-Python reference."""
    enrollment, search = TIERS if TIERS[0].name == "enrollment" else TIERS[::-1]
    expected = {
        enrollment.daily.name: reference.enrollment_daily(played),
        enrollment.hourly.name: reference.enrollment_hourly(played),
        enrollment.recents.name: reference.enrollment_recents(played),
        enrollment.live.name: reference.enrollment_live(played),
        enrollment.by_hour.name: reference.enrollment_by_hour(played),
        search.daily.name: reference.search_daily(played),
        search.hourly.name: reference.search_hourly(played),
        search.recents.name: reference.search_recents(played),
        search.live.name: reference.search_live(played),
        search.by_hour.name: reference.search_by_hour(played),
        ACTIVE_CLIENTS.name: reference.daily_active_clients(played),
    }
    derived = reference.derived(played)
    return {**expected, **{DATASETS[name].table.name: derived[name] for name in DATASETS}}


def assert_as_expected(
    monitor: Monitor, played: reference.Played, empty: Iterable[str] = ()
) -> None:
    """Every table and live view is exactly what the reference computes, but for the empty ones."""
    found, expected = tables(monitor), expected_tables(played)
    expected |= {name: [] for name in empty}
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        missing, extra = (
            Counter(wanted) - Counter(found[name]),
            Counter(found[name]) - Counter(wanted),
        )
        assert not missing + extra, f"{name} lacks {list(missing)[:5]} and has {list(extra)[:5]}"


class Schedules:
    """The runs that were made, and by plain arithmetic what they must have written."""

    def __init__(self, first_day: date) -> None:
        self.first_day = first_day
        self.final_days: set[date] = set()
        self.hours: set[datetime] = set()

    def daily(self, monitor: Monitor, as_of: datetime) -> None:
        """A daily run: every day that ended at least three hours ago is final."""
        monitor.run("daily", as_of)
        day = self.first_day
        while reference.midnight(day + DAY) + 3 * HOUR <= as_of:
            self.final_days.add(day)
            day += DAY

    def hourly(self, monitor: Monitor, as_of: datetime) -> None:
        """An hourly run: every hour that ended half an hour ago, of days that are not final."""
        monitor.run("hourly", as_of)
        hour = reference.midnight(self.first_day)
        while hour + HOUR + timedelta(minutes=30) <= as_of:
            if hour.date() not in self.final_days:
                self.hours.add(hour)
            hour += HOUR

    def played(self, pings: Sequence[Mapping[str, Any]], as_of: datetime) -> reference.Played:
        """What has been played up to a live run as of this moment."""
        return reference.Played(
            pings, as_of, frozenset(self.final_days), frozenset(self.hours), self.first_day
        )
