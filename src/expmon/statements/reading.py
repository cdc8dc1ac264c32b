"""What is read out of the tables: an experiment's rows, the experiments, the export's series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from expmon.catalog.bookkeeping import PARTITIONS
from expmon.catalog.health import HEALTH
from expmon.catalog.model import Parameter, Rollup, Series, Statement
from expmon.catalog.sources import EXPERIMENTS
from expmon.statements.build import (
    expression,
    noted,
    select,
    table,
    union_all,
    unnest,
    unnested,
    where,
    with_steps,
)
from expmon.windows import FINE_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlglot import exp

    from expmon.catalog.model import Dataset, Names, Relation, Tiers

SLUG = Parameter("slug", "STRING")
BRANCH = Parameter("branch", "STRING")
START = Parameter("start", "TIMESTAMP")
END = Parameter("end", "TIMESTAMP")
TODAY = Parameter("today", "DATE")
SLUGS = Parameter("slugs", "ARRAY<STRING>")
EXPERIMENT_STARTS = Parameter("experiments", "ARRAY<STRUCT<slug STRING, start TIMESTAMP>>")
EARLIEST_START = Parameter("earliest_start", "TIMESTAMP")
AS_OF = Parameter("as_of", "TIMESTAMP")
DAYS = Parameter("days", "ARRAY<DATE>")

EXPORTED_DAYS = 14
"""An experiment is exported until so many days after its end."""


# The end date stands alone: after the last day that BigQuery knows there is none.
ACTIVE = (
    "start_date <= @today",
    f"(end_date IS NULL OR end_date >= DATE_SUB(@today, INTERVAL {EXPORTED_DAYS} DAY))",
)
"""The conditions on an experiment that is live on ``@today``, or ended at most 14 days before."""

_LOOKED = ("time >= @start", "time <= @end")
_WRITTEN_TYPES = {"relation": "STRING", "latest_partition": "STRING", "as_of": "TIMESTAMP"}
_WRITTEN = {
    "relation": "relation",
    "latest_partition": "MAX(`partition`)",
    "as_of": "MAX(as_of)",
}
"""How far each table goes, by the memo."""

ROLLED_UP = {
    Rollup.SUM: "SUM(value) AS value",
    Rollup.LAST: "ANY_VALUE(value HAVING MAX time) AS value",
}


def fetch(relation: Relation, names: Names, filters: Sequence[Parameter]) -> Statement:
    """An experiment's rows of a view.

    Args:
        relation: one of the user-facing views.
        names: where it lies.
        filters: beside the slug, which of `BRANCH`, `START` and `END` are given.
    """
    columns = relation.column_names
    time = "time" if "time" in columns else "window_start"
    # The live views keep NULL where an event has no branch.
    branch = "branch" if time == "time" else "COALESCE(branch, 'null')"
    conditions = {
        SLUG: "experiment = @slug",
        BRANCH: f"{branch} = @branch",
        START: f"{time} >= @start",
        END: f"{time} < @end",
    }
    parameters = (SLUG, *filters)
    keys = [name for name in ("branch", "type", "event") if name in columns]
    query = where(
        select(*columns).from_(table(relation, names)), *(conditions[p] for p in parameters)
    )
    return Statement(relation.name, query.order_by(time, *keys), parameters)


def active_experiments(names: Names) -> Statement:
    """The experiments that are live on ``@today``, or ended at most 14 days before."""
    query = select(
        "slug", "type", "app_name", "channel", "start_date", "enrollment_end_date", "end_date"
    ).from_("experiments")
    steps = {"experiments": _experiments(names, "type", "app_name", "channel")}
    query = where(query, *ACTIVE).order_by("start_date", "slug")
    return Statement("active_experiments", with_steps(query, steps), (TODAY,))


def export_metadata(names: Names, *, is_named: bool) -> Statement:
    """Three lists in one query: the experiments to export, how far each table goes, and health.

    Of tables also when a day before ``@today`` was last written. The health is what the last live
    run in ``[@start, @end]`` found.

    Args:
        names: where the tables lie.
        is_named: the experiments of ``@slugs`` instead of those active ``@today``.
    """
    columns = {
        "slug": "STRING",
        "start_date": "DATE",
        **_WRITTEN_TYPES,
        "past_as_of": "TIMESTAMP",
        **{column.name: column.type for column in HEALTH.columns},
    }
    past = "MAX(IF(`partition` < FORMAT_DATE('%Y%m%d', @today), as_of, NULL))"
    looked = where(select(*HEALTH.column_names).from_(table(HEALTH, names)), *_LOOKED)
    of_these = ("slug IN UNNEST(@slugs)",) if is_named else ACTIVE
    whose = ("(experiment IN UNNEST(@slugs) OR experiment = '')",) if is_named else ()
    lists = [
        where(_list(columns, ("slug", "start_date")).from_("experiments"), *of_these),
        _list(columns, {**_WRITTEN, "past_as_of": past})
        .from_(table(PARTITIONS, names))
        .group_by("relation"),
        where(
            _list(columns, HEALTH.column_names).from_("looked"),
            "time = (SELECT MAX(time) FROM looked)",
            *whose,
        ),
    ]
    steps: dict[str, exp.Query] = {"experiments": _experiments(names), "looked": looked}
    parameters = (*((SLUGS,) if is_named else ()), TODAY, START, END)
    return Statement("export_metadata", with_steps(union_all(lists), steps), parameters)


def plot_metadata(names: Names) -> Statement:
    """Two lists in one query: when an experiment starts and ends to enroll; how far tables go."""
    described = {"slug": "STRING", "start_date": "DATE", "enrollment_end_date": "DATE"}
    columns = {**described, **_WRITTEN_TYPES}
    experiments = where(
        _list(
            columns,
            {
                "slug": "normandy_slug",
                "start_date": "MIN(start_date)",
                "enrollment_end_date": "MAX(enrollment_end_date)",
            },
        ).from_(table(EXPERIMENTS, names)),
        "normandy_slug = @slug",
    ).group_by("normandy_slug")
    written = _list(columns, _WRITTEN).from_(table(PARTITIONS, names)).group_by("relation")
    return Statement("plot_metadata", union_all([experiments, written]), (SLUG,))


def _list(columns: Mapping[str, str], given: Mapping[str, str] | Iterable[str]) -> exp.Select:
    """A list with all of the columns: as they are given, or NULL, by their type."""
    values = dict(given) if isinstance(given, Mapping) else {name: name for name in given}
    return select(
        *(
            f"{values.get(name, f'CAST(NULL AS {type_})')} AS {name}"
            for name, type_ in columns.items()
        )
    )


def first_time(names: Names, datasets: Sequence[Dataset]) -> Statement:
    """The time of an experiment's first row in any of the datasets; NULL if it has none."""
    rows = union_all(
        where(select("time").from_(table(d.table, names)), "experiment = @slug") for d in datasets
    )
    query = select("MIN(time) AS time").from_("times")
    return Statement("first_time", with_steps(query, {"times": rows}), (SLUG,))


def drift(tiers: Tiers, names: Names) -> Statement:
    """The live and the final sum of ``@days`` per day, experiment and measure.

    Live are those of the hourly table. ``@start`` and ``@end`` bound what is read of both tables;
    where both sums are 0 there is no row.
    """

    def counts(relation: Relation, *, is_final: bool) -> exp.Select:
        query = select(
            "DATE(window_start) AS day",
            "experiment",
            f"{is_final} AS is_final",
            *tiers.measures,
        ).from_(table(relation, names))
        within = ("window_start >= @start", "window_start < @end")
        return where(query, *within, "DATE(window_start) IN UNNEST(@days)")

    entries = ", ".join(f"STRUCT('{name}' AS measure, {name} AS value)" for name in tiers.measures)
    query = select(
        "day",
        "experiment",
        "entry.measure AS measure",
        "SUM(IF(is_final, 0, entry.value)) AS live",
        "SUM(IF(is_final, entry.value, 0)) AS final",
    ).from_("counts")
    query = where(unnest(query, f"[{entries}]", "entry"), "entry.value > 0")
    both = union_all([counts(tiers.hourly, is_final=False), counts(tiers.daily, is_final=True)])
    return Statement(
        f"{tiers.name}_drift",
        with_steps(query.group_by("day", "experiment", "measure"), {"counts": both}),
        (START, END, DAYS),
    )


def export_series(names: Names, datasets: Sequence[Dataset]) -> Statement:
    """One row per experiment and dataset with its points, newest first, then by branch.

    Up to 14 days after an experiment's start it has a point for every window; after that one for
    every 30 minutes, labelled with their end: counts added up, of cumulative values the last.
    """
    experiments = select(
        "experiment.slug AS slug",
        "experiment.start AS start",
        f"@as_of > TIMESTAMP_ADD(experiment.start, INTERVAL {FINE_DAYS} DAY) AS is_coarse",
    ).from_(unnested("@experiments", "experiment"))
    steps: dict[str, exp.Query] = {"experiments": experiments}
    steps |= {dataset.name: _points(dataset, names) for dataset in datasets}
    series = union_all(_series(dataset) for dataset in datasets)
    parameters = (EXPERIMENT_STARTS, SLUGS, EARLIEST_START, AS_OF)
    return Statement("export_series", with_steps(series, steps), parameters)


def _series(dataset: Dataset) -> exp.Select:
    """The arrays of a dataset; all datasets at once would take several times the memory."""
    series = select(
        f"'{dataset.name}' AS dataset",
        "experiment",
        "ARRAY_AGG(STRUCT(point AS time, branch AS branch, value AS value) "
        "ORDER BY point DESC, branch) AS points",
    )
    return series.from_(dataset.name).group_by("experiment")


def _points(dataset: Dataset, names: Names) -> exp.Select:
    """A dataset's points.

    Which half hours are over is asked of the rows' times: the start of the current one is the same
    for all rows, while the label of each row's own would be computed a second time.
    """
    half_hour = "TIMESTAMP_ADD(TIMESTAMP_BUCKET(time, INTERVAL 30 MINUTE), INTERVAL 30 MINUTE)"
    is_over = "(NOT is_coarse OR time < TIMESTAMP_BUCKET(@as_of, INTERVAL 30 MINUTE))"
    rolled_up = None if dataset.series is Series.DAILY else dataset.rollup
    query = select(
        "experiment",
        "branch",
        f"IF(is_coarse, {half_hour}, time) AS point" if rolled_up else "time AS point",
        ROLLED_UP[rolled_up] if rolled_up else "value",
    ).from_(table(dataset.table, names))
    query = where(
        query.join("experiments", on=expression("experiment = slug")),
        "time >= @earliest_start",
        "time >= start",
        "time < @as_of",
        *([is_over] if rolled_up else []),
        "experiment IN UNNEST(@slugs)",
    )
    if not rolled_up:
        return query
    query = query.group_by("experiment", "branch", "point")
    return noted(query, "half hours that are not over are left out: no chart ends in a dip")


def _experiments(names: Names, *described: str) -> exp.Select:
    """Each slug once: from its earliest start to its latest end, no end beating any other."""
    query = select(
        "normandy_slug AS slug",
        *(f"MAX({column}) AS {column}" for column in described),
        "MIN(start_date) AS start_date",
        *(["MAX(enrollment_end_date) AS enrollment_end_date"] if described else []),
        "IF(LOGICAL_OR(end_date IS NULL), NULL, MAX(end_date)) AS end_date",
    ).from_(table(EXPERIMENTS, names))
    return where(query, "normandy_slug IS NOT NULL").group_by("normandy_slug")
