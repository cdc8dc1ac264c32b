"""What the health checks read, and how what they found is written.

The queries look at all experiments at once, from the day the oldest of them started: one row per
experiment, phase and branch, and one per experiment and hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.health import EVENTS, HEALTH, POPULATION, RATIOS, TOTALS
from expmon.catalog.model import Parameter, Statement
from expmon.catalog.search import SEARCH
from expmon.catalog.sources import EXPERIMENTS
from expmon.statements import tiers
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
from expmon.statements.reading import ACTIVE, SLUGS, START

if TYPE_CHECKING:
    from sqlglot import exp

    from expmon.catalog.model import Names, Relation, Tiers

SINCE = Parameter("since", "TIMESTAMP")
END = Parameter("end", "TIMESTAMP")
TODAY = Parameter("today", "DATE")
TIME = Parameter("time", "TIMESTAMP")
PHASES = Parameter(
    "phases",
    "ARRAY<STRUCT<slug STRING, number INT64, start TIMESTAMP, finish TIMESTAMP, branch STRING>>",
)
DAY = Parameter("day", "DATE")
COUNTED = Parameter(
    "counted",
    f"ARRAY<STRUCT<{', '.join(f'{column.name} {column.type}' for column in TOTALS.columns[1:])}>>",
)
SEEN = Parameter(
    "seen",
    "ARRAY<STRUCT<experiment STRING, seen_at TIMESTAMP, last_seen_at TIMESTAMP, branch STRING, "
    "ratio INT64>>",
)
FOUND = Parameter(
    "found",
    "ARRAY<STRUCT<experiment STRING, check_name STRING, branch STRING, verdict STRING, "
    "since TIMESTAMP, log_e FLOAT64, value FLOAT64, expected FLOAT64, sentence STRING, "
    "action STRING>>",
)

BILLION = 10**9
"""Shares and logarithms are added up as whole billionths: that comes out the same in any order."""
_MEASURES = tuple(f"{event}_count" for event in EVENTS)
_COMPARED = ("compared", "expected", "log_null")
_NEXT_DAY = "TIMESTAMP_ADD(TIMESTAMP_TRUNC(@end, DAY), INTERVAL 1 DAY)"
_DESCRIBED = ("is_rollout", "app_name", "proposed_enrollment")


def queries(names: Names) -> list[Statement]:
    """Every query that looks at the active experiments."""
    return [
        metadata(names, is_named=False),
        ratios(names),
        carried(names),
        totals(names),
        hours(names),
        windows(names),
        searches(names),
        previous(names),
    ]


def metadata(names: Names, *, is_named: bool) -> Statement:
    """The experiments to be looked at and their branches: a row for each, and one for each branch.

    Args:
        names: where the metadata lies.
        is_named: the experiments of ``@slugs`` instead of those active ``@today``.
    """
    experiments = where(
        select(
            "normandy_slug AS slug",
            "LOGICAL_OR(is_rollout OR type = 'rollout') AS is_rollout",
            "MAX(app_name) AS app_name",
            "MAX(proposed_enrollment) AS proposed_enrollment",
            "MIN(start_date) AS start_date",
            "MAX(enrollment_end_date) AS enrollment_end_date",
            "IF(LOGICAL_OR(end_date IS NULL), NULL, MAX(end_date)) AS end_date",
        ).from_(table(EXPERIMENTS, names)),
        "normandy_slug IS NOT NULL",
    ).group_by("normandy_slug")
    branches = where(
        unnest(
            select(
                "normandy_slug AS slug", "planned.slug AS branch", "MAX(planned.ratio) AS ratio"
            ).from_(table(EXPERIMENTS, names)),
            "branches",
            "planned",
        ),
        "planned.slug IS NOT NULL",
    ).group_by("normandy_slug", "planned.slug")
    wanted = ("slug IN UNNEST(@slugs)",) if is_named else ACTIVE
    described = (*_DESCRIBED, "start_date", "enrollment_end_date", "end_date")
    types = ("BOOL", "STRING", "INT64", "DATE", "DATE", "DATE")
    chosen = where(select("slug", *described).from_("experiments"), *wanted)
    rows = union_all(
        [
            select(
                "slug", *described, "CAST(NULL AS STRING) AS branch", "CAST(NULL AS INT64) AS ratio"
            ).from_("chosen"),
            where(
                select(
                    "branches.slug",
                    *(
                        f"CAST(NULL AS {kind}) AS {name}"
                        for name, kind in zip(described, types, strict=True)
                    ),
                    "branch",
                    "ratio",
                ).from_("branches"),
                "branches.slug IN (SELECT slug FROM chosen)",
            ),
        ]
    )
    steps: dict[str, exp.Query] = {
        "experiments": experiments,
        "branches": branches,
        "chosen": chosen,
    }
    return Statement("health_metadata", with_steps(rows, steps), (SLUGS if is_named else TODAY,))


def ratios(names: Names) -> Statement:
    """Every version of the ratios that was seen."""
    query = select(*RATIOS.column_names).from_(table(RATIOS, names))
    return Statement("health_ratios", query)


def carried(names: Names) -> Statement:
    """What was counted up to the end of a day."""
    query = where(select(*TOTALS.column_names[1:]).from_(table(TOTALS, names)), "day = @day")
    return Statement("health_carried", query, (DAY,))


def totals(names: Names) -> Statement:
    """The counts per experiment, phase and branch, and what unenrollments are compared with.

    Unenrollments of planned branches are compared window by window: if the clients of all branches
    are as likely to leave, they divide like those present, which are the population at the end of
    the window and those who left within it. ``log_null`` is the logarithm of the chance of so many
    in this branch, ``expected`` how many there would be on average: both in billionths, rounded in
    each window.
    """
    phases = select(
        "phase.slug AS slug",
        "phase.number AS number",
        "phase.start AS start",
        "phase.finish AS finish",
        "phase.branch AS branch",
    ).from_(unnested("@phases", "phase"))
    spans = select("slug", "number", "start", "finish").distinct().from_("phases")
    counts = select(
        "experiment",
        "branch",
        "window_start",
        *(f"SUM({measure}) AS {measure}" for measure in _MEASURES),
    ).from_("aggregates")
    totalled = (
        select(
            "counts.experiment",
            "spans.number",
            "counts.branch",
            *(f"SUM({measure}) AS {measure}" for measure in _MEASURES),
        )
        .from_("counts")
        .join(
            "spans",
            on=expression(_within("counts.experiment", "counts.window_start", "spans")),
        )
        .group_by("counts.experiment", "spans.number", "counts.branch")
    )
    windows = where(
        select("experiment", "window_start").distinct().from_("counts"), "unenroll_count > 0"
    )
    own = "counts.experiment = {0}.experiment AND counts.window_start = {0}.time"
    left = "COALESCE(counts.unenroll_count, 0)"
    present = where(
        select(
            "population.experiment",
            "phases.number",
            "population.branch",
            "population.time",
            f"{left} AS unenrolled",
            f"GREATEST(population.value + {left} + COALESCE(counts.graduate_count, 0), {left}) "
            "AS clients",
        )
        .from_(table(POPULATION.table, names).as_("population"))
        .join(
            "windows",
            on=expression(
                "population.experiment = windows.experiment "
                "AND population.time = windows.window_start"
            ),
        )
        .join(
            "phases",
            on=expression(
                _within("population.experiment", "population.time", "phases")
                + " AND population.branch = phases.branch"
            ),
        )
        .join(
            "counts",
            on=expression(own.format("population") + " AND counts.branch = population.branch"),
            join_type="left",
        ),
        "population.time >= @start",
        "population.time < @end",
        "population.experiment IN UNNEST(@slugs)",
    )
    shares = select(
        "experiment",
        "number",
        "branch",
        "unenrolled",
        "SUM(unenrolled) OVER together AS left_together",
        "clients / NULLIF(SUM(clients) OVER together, 0) AS share",
    ).from_("present")
    shares = shares.window(
        "together AS (PARTITION BY experiment, number, time)", dialect="bigquery"
    )
    compared = select(
        "experiment",
        "number",
        "branch",
        "SUM(unenrolled) AS compared",
        f"SUM({_billionths('left_together * share')}) AS expected",
        f"SUM(IF(unenrolled > 0, {_billionths('unenrolled * LN(share)')}, 0)) AS log_null",
    ).from_("shares")
    query = (
        select(
            *("experiment", "number", "branch"),
            *(f"COALESCE(totals.{measure}, 0) AS {measure}" for measure in _MEASURES),
            *(f"COALESCE(compared.{name}, 0) AS {name}" for name in _COMPARED),
        )
        .from_("totals")
        .join("compared", using=["experiment", "number", "branch"], join_type="full")
    )
    steps: dict[str, exp.Query] = {
        "phases": noted(phases, "a row for each planned branch of each phase of an experiment"),
        "spans": spans,
        **_aggregates(ENROLLMENT, names, *_MEASURES),
        "counts": counts.group_by("experiment", "branch", "window_start"),
        "totals": totalled,
        "windows": noted(windows, "windows in which somebody left"),
        "present": present,
        "shares": shares,
        "compared": compared.group_by("experiment", "number", "branch"),
    }
    return Statement("health_totals", with_steps(query, steps), (PHASES, SLUGS, START, END))


def hours(names: Names) -> Statement:
    """The counts per experiment and hour, and the last window of each that has a row.

    Days before ``@since`` are read by the hour.
    """
    since = select(
        "experiment",
        "TIMESTAMP_TRUNC(window_start, HOUR) AS hour",
        *(f"SUM({measure}) AS {measure}" for measure in _MEASURES),
        "MAX(window_start) AS last_window",
    ).from_("aggregates")
    before = _by_hour(ENROLLMENT, names, "experiment", "hour", *_MEASURES, "last_window")
    steps = _aggregates(ENROLLMENT, names, *_MEASURES, start="@since")
    tree = with_steps(union_all([before, since.group_by("experiment", "hour")]), steps)
    return Statement("health_hours", tree, (SLUGS, START, SINCE, END))


def windows(names: Names) -> Statement:
    """The counts per experiment, branch and window."""
    query = select(
        "experiment",
        "branch",
        "window_start",
        *(f"SUM({measure}) AS {measure}" for measure in _MEASURES),
    ).from_("aggregates")
    query = query.group_by("experiment", "branch", "window_start")
    steps = _aggregates(ENROLLMENT, names, *_MEASURES)
    return Statement("health_windows", with_steps(query, steps), (SLUGS, START, END))


def searches(names: Names) -> Statement:
    """The last window with a main ping of each experiment.

    Days before ``@since`` are read by the hour.
    """
    before = _by_hour(SEARCH, names, "experiment", "last_window")
    since = select("experiment", "window_start AS last_window").from_("aggregates")
    query = select("experiment", "MAX(last_window) AS last_window").from_("windows")
    steps = _aggregates(SEARCH, names, start="@since")
    tree = with_steps(
        query.group_by("experiment"), {**steps, "windows": union_all([before, since])}
    )
    return Statement("health_searches", tree, (SLUGS, START, SINCE, END))


def previous(names: Names) -> Statement:
    """What the last live run before ``@end`` found, if it was after ``@start``."""
    rows = where(
        select(*HEALTH.column_names).from_(table(HEALTH, names)),
        "time >= @start",
        "time < @end",
    )
    query = where(
        select(*HEALTH.column_names).from_("found"),
        "time = (SELECT MAX(time) FROM found)",
    )
    return Statement("health_previous", with_steps(query, {"found": rows}), (START, END))


def written(relation: Relation, names: Names) -> Statement:
    """The rows that replace the ratios, or the totals or the health of a day."""
    if relation == RATIOS:
        query = select(*(f"seen.{name} AS {name}" for name in RATIOS.column_names))
        return Statement(RATIOS.name, query.from_(unnested("@seen", "seen")), (SEEN,))
    if relation == TOTALS:
        query = select("@day AS day", *(f"counted.{n} AS {n}" for n in TOTALS.column_names[1:]))
        return Statement(TOTALS.name, query.from_(unnested("@counted", "counted")), (DAY, COUNTED))
    columns = HEALTH.column_names
    earlier = where(
        select(*columns).from_(table(HEALTH, names)),
        "time >= TIMESTAMP_TRUNC(@time, DAY)",
        "time < @time",
    )
    now = select("@time AS time", *(f"finding.{name} AS {name}" for name in columns[1:]))
    tree = union_all(
        [noted(earlier, "earlier ones of the day stay"), now.from_(unnested("@found", "finding"))]
    )
    return Statement(HEALTH.name, tree, (TIME, FOUND))


def _by_hour(tier: Tiers, names: Names, *columns: str) -> exp.Select:
    """The sums by the hour before ``@since``."""
    return where(
        select(*columns).from_(table(tier.by_hour, names)),
        "hour >= @start",
        "hour < @since",
        "experiment IN UNNEST(@slugs)",
    )


def _aggregates(
    tier: Tiers, names: Names, *measures: str, start: str = "@start"
) -> dict[str, exp.Query]:
    within = (f"window_start >= {start}", "window_start < @end")
    return tiers.steps(
        tier,
        names,
        columns=("window_start", "COALESCE(branch, 'null') AS branch", "experiment", *measures),
        within=(*within, "experiment IN UNNEST(@slugs)"),
        whole_days=(f"window_start >= {start}", f"window_start < {_NEXT_DAY}"),
    )


def _billionths(number: str) -> str:
    return f"CAST(ROUND({number} * {BILLION}) AS INT64)"


def _within(experiment: str, time: str, phases: str) -> str:
    return f"{experiment} = {phases}.slug AND {time} >= {phases}.start AND {time} < {phases}.finish"
