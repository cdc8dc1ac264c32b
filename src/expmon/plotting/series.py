"""What there is to draw: series rolled up to some hundred points, and the times to mark."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from expmon.catalog import EXPORTED, TIERS, fetchable
from expmon.catalog.model import Rollup, Series
from expmon.errors import InvalidInput, PermissionMissing
from expmon.fetch import fetch_dataframe
from expmon.slugs import checked_slug
from expmon.statements.reading import plot_metadata
from expmon.windows import DAY, HOUR, WINDOW, Partition, day_start, floor, instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    import pandas as pd

    from expmon.catalog.model import Dataset, Names
    from expmon.warehouse.protocol import Warehouse

_WIDTHS = {
    WINDOW: "5 minutes",
    timedelta(minutes=15): "15 minutes",
    timedelta(minutes=30): "30 minutes",
    HOUR: "hour",
    3 * HOUR: "3 hours",
    6 * HOUR: "6 hours",
    12 * HOUR: "12 hours",
    DAY: "day",
}
_MOST_POINTS = 120
"""So many points a line has at most, unless they are days."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The times that are marked.

    Attributes:
        start: 00:00 UTC of the experiment's start date; None where the metadata has none.
        enrollment_end: 00:00 UTC of the day on which enrollment ended; None as above.
        final_until: by daily table, the end of its last day.
        computed: by table, up to when the run that wrote it looked at the data.
    """

    start: datetime | None = None
    enrollment_end: datetime | None = None
    final_until: Mapping[str, datetime] = field(default_factory=dict)
    computed: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """The values of a branch, as heights, and the UTC times that they are drawn at."""

    times: Sequence[datetime]
    heights: Sequence[int]

    @classmethod
    def of(cls, values: pd.Series[int]) -> Line:
        """The values of a series that is indexed by time."""
        return cls([time.to_pydatetime() for time in values.index], values.to_list())


@dataclass(frozen=True, slots=True)
class Panel:
    """The lines of a dataset.

    Attributes:
        unit: what a value counts, as an axis says it.
        since: when the first value's window, slot or day begins.
        lines: by branch. A count stands at the start of its slot, and once
            more at the end of the last one; a cumulative value at the end of its window.
    """

    dataset: Dataset
    unit: str
    since: datetime
    lines: Mapping[str, Line]


@dataclass(frozen=True, slots=True)
class Drawing:
    """All that a picture shows.

    Attributes:
        marks: None where the caller may not read what they come from.
    """

    slug: str
    panels: Sequence[Panel]
    marks: Marks | None


def plottable(name: str) -> Dataset:
    """The one of the eight datasets that has this name, with or without its view's dataset.

    Raises:
        UnknownDataset: there is none; the error lists the near ones.
        InvalidInput: it is not one of the eight.
    """
    view = fetchable(name)
    for dataset in EXPORTED:
        if dataset.view == view:
            return dataset
    raise InvalidInput(f"{name} can't be plotted; these can: {', '.join(d.name for d in EXPORTED)}")


def drawing(
    warehouse: Warehouse,
    names: Names,
    datasets: Sequence[Dataset],
    slug: str,
    filters: Mapping[str, Any],
) -> Drawing:
    """The series of an experiment in these datasets: a query for each, and one for the marks.

    Args:
        warehouse: what to ask.
        names: where the views and tables lie.
        datasets: of the eight; those without rows are left out.
        slug: of the experiment.
        filters: as of `expmon.fetch.fetch_dataframe`.
    """
    frames = {
        dataset.name: fetch_dataframe(warehouse, names, dataset.view.table, slug, filters)
        for dataset in datasets
    }
    marks = _marks(warehouse, names, slug)
    drawn = [dataset for dataset in datasets if len(frames[dataset.name])]
    if not drawn:
        return Drawing(slug, (), marks)
    times = [time for d in drawn for time in frames[d.name]["time"].iloc[[0, -1]]]
    width = _width(max(times) - min(times) + WINDOW)
    start, end = (None if filters[n] is None else instant(filters[n], n) for n in ("start", "end"))
    panels = []
    for dataset in drawn:
        until = datetime.now(UTC) if marks is None else marks.computed.get(dataset.table.name)
        until = min((time for time in (until, end) if time is not None), default=None)
        panels.append(_panel(dataset, frames[dataset.name], width, start, until))
    return Drawing(slug, [panel for panel in panels if panel.lines], marks)


def _width(span: timedelta) -> timedelta:
    """How wide slots are, so that there are not too many of them."""
    return next((width for width in _WIDTHS if span <= _MOST_POINTS * width), DAY)


def _panel(
    dataset: Dataset,
    frame: pd.DataFrame,
    width: timedelta,
    start: datetime | None,
    until: datetime | None,
) -> Panel:
    first = frame["time"].min().to_pydatetime()
    if dataset.series is Series.DAILY:
        return Panel(dataset, dataset.unit, first - DAY, _by_branch(frame))
    slots = frame["time"].dt.floor(width)
    if dataset.rollup is Rollup.LAST:
        last = frame.groupby(["branch", slots]).tail(1)
        lines = _by_branch(last.assign(time=last["time"] + WINDOW))
        return Panel(dataset, dataset.unit, first, lines)
    counts = frame.groupby(["branch", slots])["value"].sum()
    slots = _whole(slots, width, start, until)
    lines = {
        branch: _steps(counts[branch].reindex(slots, fill_value=0), width)
        for branch in counts.index.unique("branch")
        if len(slots)
    }
    return Panel(dataset, f"{dataset.unit} per {_WIDTHS[width]}", floor(first, width), lines)


def _by_branch(frame: pd.DataFrame) -> dict[str, Line]:
    branches = frame.set_index("time").groupby("branch")["value"]
    return {str(branch): Line.of(values) for branch, values in branches}


def _whole(
    slots: pd.Series[pd.Timestamp],
    width: timedelta,
    start: datetime | None,
    until: datetime | None,
) -> pd.DatetimeIndex:
    """All slots from the first to the last one; wide ones without the ends that are cut off."""
    import pandas as pd

    every = pd.date_range(slots.min(), slots.max(), freq=width, unit="us")
    if width == WINDOW:
        return every
    if start is not None:
        every = every[every >= pd.Timestamp(start)]
    return every if until is None else every[every + width <= pd.Timestamp(until)]


def _steps(counts: pd.Series[int], width: timedelta) -> Line:
    """The counts at the start of their slots, the last one once more at its end."""
    line = Line.of(counts)
    return Line([*line.times, line.times[-1] + width], [*line.heights, line.heights[-1]])


def _marks(warehouse: Warehouse, names: Names, slug: str) -> Marks | None:
    try:
        rows = warehouse.query(plot_metadata(names), {"slug": checked_slug(slug)}).to_pylist()
    except PermissionMissing:  # most people may read the views alone
        return None
    known: dict[str, Any] = next((row for row in rows if row["slug"] is not None), {})
    tables = {row["relation"]: row for row in rows if row["relation"] is not None}
    return Marks(
        start=_midnight(known.get("start_date")),
        enrollment_end=_midnight(known.get("enrollment_end_date")),
        final_until={
            tiers.daily.name: Partition(tables[tiers.daily.name]["latest_partition"]).end
            for tiers in TIERS
            if tiers.daily.name in tables
        },
        computed={name: row["as_of"].astimezone(UTC) for name, row in tables.items()},
    )


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else day_start(day)
