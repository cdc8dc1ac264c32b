"""The derived datasets: eight time series of one schema, and the other events one by one."""

from __future__ import annotations

from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.model import (
    Cadence,
    Column,
    Dataset,
    Kind,
    Partitioning,
    Project,
    Relation,
    Rollup,
    Series,
    Tiers,
)
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.catalog.search import SEARCH

_WINDOW_TIME = Column("time", "TIMESTAMP", "Start of the five-minute window, UTC")
_DAY_TIME = Column("time", "TIMESTAMP", "00:00 UTC after the day on which they were active")
_BRANCH = Column("branch", "STRING", "Slug of the branch; 'null' where there is none")
_EXPERIMENT = Column("experiment", "STRING", "Slug of the experiment")


def _dataset(  # noqa: PLR0913 - a declaration with names
    name: str,
    description: str,
    *,
    series: Series,
    value: str,
    unit: str,
    tiers: Tiers | None = None,
    starts: str | None = None,
) -> Dataset:
    inputs = [tiers.daily, tiers.hourly, tiers.recents] if tiers else [ACTIVE_CLIENTS]
    if tiers and series is Series.CUMULATIVE:
        inputs.append(tiers.by_hour)
    event = Column("event", "STRING", "What happened: the aggregates' column without _count")
    columns = (
        _DAY_TIME if series is Series.DAILY else _WINDOW_TIME,
        _BRANCH,
        _EXPERIMENT,
        *([event] if series is Series.EVENTS else []),
        Column("value", "INT64", description),
    )
    table = Relation(
        f"telemetry_derived.{name}_v1",
        Kind.TABLE,
        description,
        columns,
        Partitioning("time"),
        ("experiment", "branch"),
        Cadence.LIVE,
        tuple(relation.name for relation in inputs),
    )
    view = Relation(
        f"telemetry.{name}",
        Kind.VIEW,
        description,
        columns,
        inputs=(table.name,),
        project=Project.VIEWS,
    )
    rollup = {Series.CUMULATIVE: Rollup.LAST, Series.EVENTS: None}.get(series, Rollup.SUM)
    return Dataset(name, description, series, value, unit, table, view, tiers, starts, rollup)


DERIVED = (
    _dataset(
        "experiment_enrollment_overall",
        "Enrollments per window",
        series=Series.COUNT,
        tiers=ENROLLMENT,
        value="enroll_count",
        unit="enrollments",
    ),
    _dataset(
        "experiment_unenrollment_overall",
        "Unenrollments per window",
        series=Series.COUNT,
        tiers=ENROLLMENT,
        value="unenroll_count",
        unit="unenrollments",
    ),
    _dataset(
        "experiment_enrollment_other_events_overall",
        "Graduations, updates and failures per window",
        series=Series.COUNT,
        tiers=ENROLLMENT,
        value=(
            "graduate_count + update_count + enroll_failed_count + unenroll_failed_count "
            "+ update_failed_count"
        ),
        unit="other events",
    ),
    _dataset(
        "experiment_enrollment_cumulative_population_estimate",
        "Clients enrolled at the end of the window: enrolled less unenrolled and graduated",
        series=Series.CUMULATIVE,
        tiers=ENROLLMENT,
        value="enroll_count - unenroll_count - graduate_count",
        unit="clients enrolled",
        starts="enroll_count > 0 OR unenroll_count > 0 OR graduate_count > 0",
    ),
    _dataset(
        "experiment_enrollment_daily_active_population",
        "Active clients of a day; time is 00:00 UTC after that day",
        series=Series.DAILY,
        value="active_clients",
        unit="clients of the day before",
    ),
    _dataset(
        "experiment_cumulative_ad_clicks",
        "Ads clicked up to the end of the window",
        series=Series.CUMULATIVE,
        tiers=SEARCH,
        value="ad_clicks_count",
        unit="ad clicks so far",
    ),
    _dataset(
        "experiment_cumulative_search_count",
        "Searches up to the end of the window",
        series=Series.CUMULATIVE,
        tiers=SEARCH,
        value="search_count",
        unit="searches so far",
    ),
    _dataset(
        "experiment_cumulative_search_with_ads_count",
        "Search pages shown with ads up to the end of the window",
        series=Series.CUMULATIVE,
        tiers=SEARCH,
        value="search_with_ads_count",
        unit="searches with ads so far",
    ),
    _dataset(
        "experiment_enrollment_other_events",
        "Every other event per window: all but enrollments and unenrollments, by kind",
        series=Series.EVENTS,
        tiers=ENROLLMENT,
        value="",
        unit="other events",
    ),
)

OTHER_EVENTS = tuple(
    measure for measure in ENROLLMENT.measures if measure not in {"enroll_count", "unenroll_count"}
)
"""The columns that `experiment_enrollment_other_events` has rows of."""


def _live_view(tiers: Tiers, name: str) -> Relation:
    return Relation(
        f"telemetry.{name}",
        Kind.VIEW,
        tiers.live.description,
        tiers.live.columns,
        inputs=(tiers.live.name,),
        project=Project.VIEWS,
    )


LIVE_VIEWS = (
    _live_view(ENROLLMENT, "experiment_enrollment_aggregates_live"),
    _live_view(SEARCH, "experiment_search_aggregates_live"),
)
