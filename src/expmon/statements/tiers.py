"""The three tiers as one: each window from exactly one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expmon.statements.build import (
    DAY_START,
    NEXT_DAY_START,
    noted,
    select,
    table,
    union_all,
    where,
    with_steps,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot import exp

    from expmon.catalog.model import Names, Relation, Tiers


def steps(
    tiers: Tiers,
    names: Names,
    *,
    columns: Sequence[str],
    within: Sequence[str] = (),
    whole_days: Sequence[str] = (),
) -> dict[str, exp.Query]:
    """The CTEs of the tiers as one, the last being ``aggregates``.

    A day is the daily table's if that has a row of it, else an hour is the hourly table's if that
    has a row of it, else it is that of recents. So days and hours are excluded by the windows that
    start in them; by ``window_end`` the day after a final one would be lost.

    Args:
        tiers: which aggregates.
        names: where the tables lie.
        columns: what a row of ``aggregates`` has.
        within: conditions that bound the rows.
        whole_days: conditions that bound the days that may be final, of which a row decides.
    """

    def rows_of(relation: Relation, *conditions: str) -> exp.Select:
        query = select(*columns).from_(table(relation, names))
        return where(query, *within, *conditions)

    not_final = "NOT DATE(window_start) IN (SELECT day FROM final_days)"
    not_written = "NOT TIMESTAMP_TRUNC(window_start, HOUR) IN (SELECT hour FROM written_hours)"
    days = select("DATE(window_start) AS day").from_(table(tiers.daily, names)).distinct()
    hours = select("TIMESTAMP_TRUNC(window_start, HOUR) AS hour").distinct()
    hours = hours.from_(table(tiers.hourly, names))
    return {
        "final_days": noted(
            where(days, *whole_days), "a day that has a row here is taken from nowhere else"
        ),
        "written_hours": noted(
            where(hours, *whole_days), "an hour of other days that has a row here is not recents'"
        ),
        "aggregates": union_all(
            [
                rows_of(tiers.daily),
                rows_of(tiers.hourly, not_final),
                rows_of(tiers.recents, not_final, not_written),
            ]
        ),
    }


def by_hour(tiers: Tiers, names: Names) -> exp.Query:
    """The sums of each experiment and hour of ``@day``, which is over."""
    query = select(
        "TIMESTAMP_TRUNC(window_start, HOUR) AS hour",
        "experiment",
        *(f"SUM({measure}) AS {measure}" for measure in tiers.measures),
        "MAX(window_start) AS last_window",
    ).from_("aggregates")
    within = (f"window_start >= {DAY_START}", f"window_start < {NEXT_DAY_START}")
    columns = ("window_start", "experiment", *tiers.measures)
    return with_steps(
        query.group_by("hour", "experiment"),
        steps(tiers, names, columns=columns, within=within, whole_days=within),
    )


def live_view(tiers: Tiers, names: Names) -> exp.Query:
    """The live view, with running sums per experiment and branch where the tiers have them."""
    query = select(*tiers.columns).from_("aggregates")
    if tiers.cumulative:
        query = query.select(
            *(f"SUM({measure}) OVER so_far AS cumulative_{measure}" for measure in tiers.measures),
            dialect="bigquery",
        ).window(
            "so_far AS (PARTITION BY experiment, branch ORDER BY window_start)", dialect="bigquery"
        )
    return with_steps(query, steps(tiers, names, columns=tiers.columns))
