"""What a Grafana dashboard asks of the user-facing views, through its BigQuery data source.

Each query is a statement with parameters, like any other; `in_grafana` writes it with Grafana's
variables in their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from expmon.catalog import DATASETS, EXPORTED
from expmon.catalog.model import Parameter, Rollup, Series, Statement
from expmon.statements.build import expression, select, table, union_all, where, with_steps
from expmon.statements.reading import END, ROLLED_UP, START
from expmon.statements.render import render

if TYPE_CHECKING:
    from expmon.catalog.model import Dataset, Names

MINUTES = Parameter("minutes", "INT64")
EXPERIMENT = Parameter("experiment", "STRING")
BRANCHES = Parameter("branches", "ARRAY<STRING>")

ALL_BRANCHES = "branch"
"""What Grafana writes for "All" in place of the list: every branch is in the list of itself."""
LATEST_DAYS = 2
"""Names, and the latest window, are looked for in so many days more than are shown."""

# singlequote makes \' of a quote, which is BigQuery's form; sqlstring would make two of it.
_VARIABLES = {
    START: "TIMESTAMP_MILLIS(${__from})",
    END: "TIMESTAMP_MILLIS(${__to})",
    MINUTES: "DIV($__interval_ms, 60000)",
    EXPERIMENT: "${experiment:singlequote}",
    BRANCHES: "[${branch:singlequote}]",
}
# Names come from clients. What Grafana leaves as it is, and what it would take for a variable.
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "$": "\\x24"}
_NAMING = (
    "experiment_enrollment_overall",
    "experiment_enrollment_daily_active_population",
)
"""The views that are asked for names: small ones that together know every experiment."""


def in_grafana(statement: Statement) -> str:
    """The statement's text in BigQuery's dialect, Grafana's variables in its parameters' place."""
    variables = {parameter.name: text for parameter, text in _VARIABLES.items()}

    def filled(node: exp.Expr) -> exp.Expr:
        return exp.Var(this=variables[node.name]) if isinstance(node, exp.Parameter) else node

    return render(statement.tree.transform(filled), name=statement.name)


def chart(dataset: Dataset, names: Names) -> Statement:
    """The points of an experiment's branches, from ``@start`` up to ``@end``, in order.

    A point is for ``@minutes``, which divide a day, and is labelled with their start: counts added
    up, of cumulative values the last. What is only partly within the time asked for is left out,
    so that no chart starts or ends in a dip. A daily dataset keeps its days.
    """
    of_branches = ("experiment = @experiment", "branch IN UNNEST(@branches)")
    within = ("time >= @start", "time < @end")
    source = table(dataset.view, names)
    if dataset.series is Series.DAILY:
        query = where(select("time", "branch", "value").from_(source), *within, *of_branches)
        query = query.order_by("time", "branch")
        return Statement(dataset.name, query, (START, END, EXPERIMENT, BRANCHES))
    width = "INTERVAL @minutes MINUTE"
    points = select(f"TIMESTAMP_BUCKET(time, {width}) AS point", "time", "branch", "value")
    query = select("point", "branch", ROLLED_UP[dataset.rollup or Rollup.SUM]).from_("points")
    query = where(query, "point >= @start", f"TIMESTAMP_ADD(point, {width}) <= @end")
    query = query.group_by("point", "branch").order_by("point", "branch")
    steps = {"points": where(points.from_(source), *within, *of_branches)}
    tree = with_steps(query, steps)
    return Statement(dataset.name, tree, (START, END, MINUTES, EXPERIMENT, BRANCHES))


def experiments(names: Names) -> Statement:
    """The experiments with a row between two days before ``@start`` and ``@end``, each once."""
    return _choices("experiment", names)


def branches(names: Names) -> Statement:
    """The branches of ``@experiment`` with a row in that time, each once."""
    return _choices("branch", names, "experiment = @experiment")


def freshness(names: Names) -> Statement:
    """By dataset, how many seconds before ``@end`` the latest window was over.

    It is asked of the cumulative ones, which have every window: NULL where there was none within
    two days.
    """
    latest = union_all(
        where(
            select(f"'{dataset.name}' AS dataset", "MAX(time) AS time").from_(
                table(dataset.view, names)
            ),
            f"time >= TIMESTAMP_SUB(@end, INTERVAL {LATEST_DAYS} DAY)",
            "time <= TIMESTAMP_SUB(@end, INTERVAL 5 MINUTE)",
        )
        for dataset in EXPORTED
        if dataset.series is Series.CUMULATIVE
    )
    age = "TIMESTAMP_DIFF(@end, TIMESTAMP_ADD(time, INTERVAL 5 MINUTE), SECOND) AS seconds"
    query = select("dataset", age).from_("latest").order_by("dataset")
    return Statement("freshness", with_steps(query, {"latest": latest}), (END,))


def _choices(column: str, names: Names, *conditions: str) -> Statement:
    """What a variable offers: names as ``text``, and as the ``value`` that a query can quote."""
    rows = union_all(
        where(
            select(column).from_(table(DATASETS[name].view, names)),
            f"time >= TIMESTAMP_SUB(@start, INTERVAL {LATEST_DAYS} DAY)",
            "time < @end",
            *conditions,
        )
        for name in _NAMING
    )
    value = expression(column)
    for character, escape in _ESCAPES.items():
        value = exp.Replace(
            this=value,
            expression=exp.Literal.string(character),
            replacement=exp.Literal.string(escape),
        )
    query = select(f"{column} AS text", exp.alias_(value, "value")).distinct()
    parameters = (START, END, EXPERIMENT) if conditions else (START, END)
    query = query.from_("names").order_by("text")
    return Statement(f"{column}_names", with_steps(query, {"names": rows}), parameters)
