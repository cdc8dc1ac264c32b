"""What `expmon alerts` reads, and how its messages are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expmon.catalog.alerts import ALERTS
from expmon.catalog.bookkeeping import PARTITIONS
from expmon.catalog.health import HEALTH
from expmon.catalog.model import Parameter, Statement
from expmon.catalog.sources import EXPERIMENTS
from expmon.statements.build import (
    expression,
    noted,
    select,
    table,
    union_all,
    unnested,
    where,
    with_steps,
)

if TYPE_CHECKING:
    from sqlglot import exp

    from expmon.catalog.model import Names

START = Parameter("start", "TIMESTAMP")
END = Parameter("end", "TIMESTAMP")
OLDEST = Parameter("oldest", "TIMESTAMP")
OPENED = Parameter("opened", "ARRAY<STRUCT<experiment STRING, check_name STRING>>")
CHANGED = Parameter(
    "changed",
    f"ARRAY<STRUCT<{', '.join(f'{column.name} {column.type}' for column in ALERTS.columns)}>>",
)

_TOLD = ("branch", "verdict", "since", "sentence", "action")
_LAST = "MAX(time) OVER (PARTITION BY experiment, check_name) AS last_time"


def looked(names: Names) -> Statement:
    """The last live run that was looked at: by the memo, and no message is of a later one."""
    remembered = where(
        select("as_of AS time").from_(table(PARTITIONS, names)), f"relation = '{ALERTS.name}'"
    )
    told = select("time").from_(table(ALERTS, names))
    query = select("MAX(time) AS until").from_("looked")
    return Statement("alerts_looked", with_steps(query, {"looked": union_all([remembered, told])}))


def unsettled(names: Names) -> Statement:
    """The messages that are not delivered, and the starts of what is not over."""
    messages = select(*ALERTS.column_names, _LAST).from_(table(ALERTS, names))
    query = where(
        select(*ALERTS.column_names).from_("messages"),
        "delivered_at IS NULL OR (kind = 'started' AND time = last_time)",
    )
    return Statement("alerts_unsettled", with_steps(query, {"messages": messages}))


def standings(names: Names) -> Statement:
    """How it stood at each live run after ``@start`` up to ``@end``, of what matters for alerts.

    That is what was an alarm at one of them, or is ``@opened``: a row for each live run and each of
    these. Where the live run says nothing of it there is no verdict; where none of them matters
    there is one row without an experiment.
    """
    found = where(
        select("time", "experiment", "check_name", *_TOLD).from_(table(HEALTH, names)),
        "time > @start",
        "time <= @end",
    )
    remembered = where(
        select("as_of AS time").from_(table(PARTITIONS, names)),
        f"relation = '{HEALTH.name}'",
        "as_of > @start",
        "as_of <= @end",
    )
    times = union_all([select("time").from_("found"), noted(remembered, "it may find nothing")])
    alarms = where(select("experiment", "check_name").from_("found"), "verdict = 'alarm'")
    opened = select("opened.experiment AS experiment", "opened.check_name AS check_name")
    starts = where(
        select("normandy_slug AS experiment", "MIN(start_date) AS start_date").from_(
            table(EXPERIMENTS, names)
        ),
        "normandy_slug IS NOT NULL",
    )
    query = (
        select(
            "runs.time",
            "watched.experiment",
            "watched.check_name",
            *(f"found.{name}" for name in _TOLD),
            "starts.start_date",
        )
        .from_("runs")
        .join("watched", on=expression("TRUE"), join_type="left")
        .join(
            "found",
            on=expression(
                "found.time = runs.time AND found.experiment = watched.experiment "
                "AND found.check_name = watched.check_name"
            ),
            join_type="left",
        )
        .join(
            "starts",
            on=expression("starts.experiment = watched.experiment"),
            join_type="left",
        )
    )
    steps: dict[str, exp.Query] = {
        "found": found,
        "times": times,
        "runs": select("time").distinct().from_("times"),
        "mattering": union_all([alarms, opened.from_(unnested("@opened", "opened"))]),
        "watched": select("experiment", "check_name").distinct().from_("mattering"),
        "starts": starts.group_by("normandy_slug"),
    }
    return Statement("alerts_standings", with_steps(query, steps), (START, END, OPENED))


def written(names: Names) -> Statement:
    """The messages that there are, those that have changed or are new in their new form.

    Those before ``@oldest`` go, unless they are not delivered, or the last of their check.
    """
    columns = ALERTS.column_names
    changed = select(*(f"changed.{name} AS {name}" for name in columns))
    others = where(
        select(*columns).from_(table(ALERTS, names)), "id NOT IN (SELECT id FROM changed)"
    )
    steps: dict[str, exp.Query] = {
        "changed": changed.from_(unnested("@changed", "changed")),
        "messages": union_all([others, select(*columns).from_("changed")]),
        "placed": select(*columns, _LAST).from_("messages"),
    }
    query = where(
        select(*columns).from_("placed"),
        "time >= @oldest OR delivered_at IS NULL OR time = last_time",
    )
    return Statement(ALERTS.name, with_steps(query, steps), (CHANGED, OLDEST))
