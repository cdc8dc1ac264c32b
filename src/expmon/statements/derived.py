"""The derived datasets, one builder for each kind of series.

Each statement computes one day: ``@day``, up to the window ``@latest_window`` of that day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from expmon.catalog.derived import OTHER_EVENTS
from expmon.catalog.model import Series
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.statements.build import (
    DAY_START,
    NEXT_DAY_START,
    expression,
    noted,
    select,
    table,
    union_all,
    unnest,
    where,
    with_steps,
)
from expmon.statements.tiers import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from expmon.catalog.model import Dataset, Names, Tiers

AWAKE_DAYS = 14
"""An experiment is awake on a day if it has a row on it or on the 13 days before it."""

# A NULL branch is named before rows are grouped.
_BRANCH = "COALESCE(branch, 'null') AS branch"


def derived(dataset: Dataset, names: Names) -> exp.Query:
    """The rows of the dataset on ``@day``, up to ``@latest_window``."""
    builders: dict[Series, Callable[[Dataset, Names], exp.Query]] = {
        Series.COUNT: _count,
        Series.CUMULATIVE: _cumulative,
        Series.DAILY: _daily,
        Series.EVENTS: _events,
    }
    return builders[dataset.series](dataset, names)


def _count(dataset: Dataset, names: Names) -> exp.Query:
    query = select(
        "window_start AS time", "branch", "experiment", f"SUM({dataset.value}) AS value"
    ).from_("aggregates")
    return with_steps(
        query.group_by("time", "branch", "experiment"),
        _aggregates(dataset, names, _columns(dataset.value)),
    )


def _daily(_: Dataset, names: Names) -> exp.Query:
    clients = select(_BRANCH, "experiment_id AS experiment", "active_clients").from_(
        table(ACTIVE_CLIENTS, names)
    )
    query = select(
        f"{DAY_START} AS time", "branch", "experiment", "SUM(active_clients) AS value"
    ).from_("clients")
    return with_steps(
        query.group_by("branch", "experiment"),
        {"clients": where(clients, "submission_date = DATE_SUB(@day, INTERVAL 1 DAY)")},
    )


def _events(dataset: Dataset, names: Names) -> exp.Query:
    entries = ", ".join(
        f"STRUCT('{column.removesuffix('_count')}' AS event, {column} AS value)"
        for column in OTHER_EVENTS
    )
    query = select(
        "window_start AS time",
        "branch",
        "experiment",
        "entry.event AS event",
        "SUM(entry.value) AS value",
    ).from_("aggregates")
    query = where(unnest(query, f"[{entries}]", "entry"), "entry.value > 0")
    return with_steps(
        query.group_by("time", "branch", "experiment", "event"),
        _aggregates(dataset, names, OTHER_EVENTS),
    )


def _cumulative(dataset: Dataset, names: Names) -> exp.Query:
    """Running sums: yesterday's last value, and the day's changes up to each window.

    A series has a value in every window from its first on, so that the branches of one time can be
    added up, but for experiments without a row in 14 days: they have one a day. Of the days before
    it reads by the hour which experiments had a row.
    """
    columns = _columns(dataset.value, dataset.starts or "TRUE")
    series_keys = ("branch", "experiment")
    changes = select("window_start", *series_keys, f"SUM({dataset.value}) AS change")
    changes = where(changes.from_("aggregates"), *filter(None, [dataset.starts]))
    opening_values = where(
        select(*series_keys, "value").from_(table(dataset.table, names)),
        f"time = TIMESTAMP_SUB({DAY_START}, INTERVAL 5 MINUTE)",
    )
    first_windows = union_all(
        [
            select(*series_keys, f"{DAY_START} AS first_window").from_("opening_values"),
            select(*series_keys, "window_start AS first_window").from_("changes"),
        ]
    )
    before = where(
        select("experiment").from_(table(_tiers(dataset).by_hour, names)),
        f"hour >= TIMESTAMP_SUB({DAY_START}, INTERVAL {AWAKE_DAYS - 1} DAY)",
        f"hour < {DAY_START}",
    )
    awake = noted(
        select("experiment").from_("aggregates"),
        "experiments with a row on the day, or the 13 days before it",
    )
    windows = select("time", *series_keys).from_("series")
    dense = "GENERATE_TIMESTAMP_ARRAY(first_window, @latest_window, INTERVAL 5 MINUTE)"
    return with_steps(
        _running_sum(),
        {
            **_aggregates(dataset, names, columns),
            "changes": changes.group_by("window_start", *series_keys),
            "opening_values": noted(opening_values, "the last window of the day before"),
            "awake": awake.union(before, distinct=True, copy=False),
            "first_windows": first_windows,
            "series": noted(_series(), "experiments asleep have the latest window alone"),
            "windows": unnest(windows, dense, "time"),
        },
    )


def _series() -> exp.Select:
    """Each series with the first of its windows: of experiments asleep that is the latest one."""
    query = select(
        "first_windows.branch",
        "first_windows.experiment",
        "IF(awake.experiment IS NULL, @latest_window, MIN(first_windows.first_window)) "
        "AS first_window",
    ).from_("first_windows")
    query = query.join(
        "awake",
        on=expression("first_windows.experiment = awake.experiment"),
        join_type="left",
    )
    return query.group_by("first_windows.branch", "first_windows.experiment", "awake.experiment")


def _running_sum() -> exp.Select:
    series = "windows.branch = {0}.branch AND windows.experiment = {0}.experiment"
    total = (
        "COALESCE(opening_values.value, 0) + SUM(COALESCE(changes.change, 0)) OVER so_far AS value"
    )
    return (
        select("windows.time", "windows.branch", "windows.experiment", total)
        .from_("windows")
        .join("opening_values", on=series.format("opening_values"), join_type="left")
        .join(
            "changes",
            on=f"windows.time = changes.window_start AND {series.format('changes')}",
            join_type="left",
        )
        .window(
            "so_far AS (PARTITION BY windows.experiment, windows.branch ORDER BY windows.time)",
            dialect="bigquery",
        )
    )


def _aggregates(dataset: Dataset, names: Names, columns: Sequence[str]) -> dict[str, exp.Query]:
    """The tiers as one, of the day up to the latest window."""
    return steps(
        _tiers(dataset),
        names,
        columns=("window_start", _BRANCH, "experiment", *columns),
        within=(f"window_start >= {DAY_START}", "window_start <= @latest_window"),
        whole_days=(f"window_start >= {DAY_START}", f"window_start < {NEXT_DAY_START}"),
    )


def _tiers(dataset: Dataset) -> Tiers:
    if dataset.tiers is None:
        raise ValueError(f"{dataset.name} is a {dataset.series} series and needs tiers")
    return dataset.tiers


def _columns(*texts: str) -> tuple[str, ...]:
    """The columns that the expressions read, each once."""
    found = (c.name for t in texts for c in expression(t).find_all(exp.Column, bfs=False))
    return tuple(dict.fromkeys(found))
