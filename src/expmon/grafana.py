"""A dashboard for Grafana's BigQuery data source, in Grafana's schema.

It takes the extra ``expmon[grafana]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import bigquery, common, dashboard, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.bigquery import EditorMode, QueryFormat
from grafana_foundation_sdk.models.common import GraphDrawStyle, StackingMode, TimeZoneUtc
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    VariableOption,
    VariableRefresh,
)

from expmon.catalog import EXPORTED
from expmon.catalog.model import Rollup, Series
from expmon.statements import grafana as queries

if TYPE_CHECKING:
    from expmon.catalog.model import Dataset, Names, Statement

UID = "expmon-experiments"
"""By which Grafana knows the dashboard again: an import replaces the one before."""
LATE_SECONDS = 15 * 60
"""The latest window is late when three runs have been missed."""

_PLUGIN = "grafana-bigquery-datasource"
_SOURCE = DataSourceRef(type_val=_PLUGIN, uid="${datasource}")
_ROLLED_UP = {
    Rollup.SUM: "A point is the sum of the time that starts where it is drawn.",
    Rollup.LAST: "A point is the last value of the time that starts where it is drawn.",
}


def dashboard_json(names: Names) -> str:
    """The dashboard as JSON, the same text each time.

    Args:
        names: where the user-facing views lie.
    """
    board = (
        dashboard.Dashboard("Experiment monitoring")
        .uid(UID)
        .description("Enrollment, population and searches of an experiment, by branch.")
        .tags(["expmon"])
        .timezone(TimeZoneUtc)
        .time("now-7d", "now")
        .refresh("5m")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type(_PLUGIN)
        )
        .with_variable(_variable("experiment", queries.experiments(names), "Those seen of late."))
        .with_variable(
            _variable("branch", queries.branches(names), "null: those without a branch.")
            .multi(True)
            .include_all(True)
            .all_value(queries.ALL_BRANCHES)
            .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
        )
        .with_panel(_freshness(names).id(1))
    )
    for number, dataset in enumerate(EXPORTED, start=2):
        board = board.with_panel(_chart(dataset, names).id(number))
    return JSONEncoder(indent=2, sort_keys=True).encode(board.build()) + "\n"


def _variable(name: str, statement: Statement, description: str) -> dashboard.QueryVariable:
    """A choice whose values are what its query offers, and nothing that is typed in."""
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .description(description)
        .datasource(_SOURCE)
        .query(_query(statement, QueryFormat.TABLE).build().to_json())
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .allow_custom_value(False)
    )


def _freshness(names: Names) -> stat.Panel:
    """How long before the end of the time shown each dataset's latest window was over."""
    return (
        stat.Panel()
        .title("Age of the latest window")
        .description(
            "How long before the end of the time shown the latest window of all experiments was "
            "over. Red: three live runs have been missed."
        )
        .datasource(_SOURCE)
        .with_target(_query(queries.freshness(names), QueryFormat.TABLE))
        .reduce_options(common.ReduceDataOptions().values(True).fields("/^seconds$/"))
        .unit("s")
        .no_value(f"none in {queries.LATEST_DAYS} days")
        .thresholds(
            dashboard.ThresholdsConfig().steps(
                [Threshold(value=None, color="green"), Threshold(value=LATE_SECONDS, color="red")]
            )
        )
        .span(24)
        .height(4)
    )


def _chart(dataset: Dataset, names: Names) -> timeseries.Panel:
    """A series for each branch: counts as bars, one on the other, everything else as lines."""
    is_daily = dataset.series is Series.DAILY
    how = "" if is_daily or dataset.rollup is None else f" {_ROLLED_UP[dataset.rollup]}"
    panel = (
        timeseries.Panel()
        .title(_title(dataset))
        .description(f"{dataset.description}.{how}")
        .datasource(_SOURCE)
        .with_target(_query(queries.chart(dataset, names), QueryFormat.TIMESERIES))
        .interval("5m")
        .unit("locale")
        .display_name("${__field.labels.branch}")
        .span(12)
        .height(8)
    )
    if dataset.series is Series.COUNT:
        stacked = common.StackingConfig().mode(StackingMode.NORMAL)
        return panel.draw_style(GraphDrawStyle.BARS).fill_opacity(80).stacking(stacked)
    return panel.draw_style(GraphDrawStyle.LINE).span_nulls(True)


def _title(dataset: Dataset) -> str:
    """``Cumulative ad clicks`` of ``experiment_cumulative_ad_clicks``."""
    words = dataset.name.removeprefix("experiment_").removesuffix("_overall")
    return words.replace("_", " ").capitalize()


def _query(statement: Statement, form: QueryFormat) -> bigquery.Dataquery:
    return (
        bigquery.Dataquery()
        .ref_id("A")
        .datasource(_SOURCE)
        .raw_query(True)
        .raw_sql(queries.in_grafana(statement))
        .format(form)
        .editor_mode(EditorMode.CODE)
    )
