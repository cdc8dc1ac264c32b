"""The final sources where no pipeline makes them: views that keep each document once a day.

The document's first arrival on a day counts; a ping without an id is a document of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from expmon.catalog.sources import (
    CLIENTS_DAILY,
    EVENT_EVENTS,
    EVENT_V4,
    MAIN_EVENTS,
    MAIN_V4,
    PROCESSES,
    STABLE_MAIN_V4,
)
from expmon.statements.build import expression, select, table, unnest, with_steps
from expmon.statements.counting import events

if TYPE_CHECKING:
    from sqlglot import exp

    from expmon.catalog.model import Names, Relation

_FIRST_ARRIVAL = (
    "document_id IS NULL OR ROW_NUMBER() OVER "
    "(PARTITION BY DATE(submission_timestamp), document_id ORDER BY submission_timestamp) = 1"
)


def source_views(names: Names) -> dict[str, exp.Query]:
    """The queries of the sources that an embedded warehouse has as views, by relation."""
    stable = table(STABLE_MAIN_V4, names)
    entries = ", ".join(f"STRUCT(payload.processes.{p}.events AS events)" for p in PROCESSES)
    event_arrays = ", ".join(f"STRUCT(payload.events.{p} AS events)" for p in PROCESSES)
    event_pings = _first_arrivals(EVENT_V4, ("submission_timestamp", "payload"), names)
    return {
        STABLE_MAIN_V4.name: _first_arrivals(MAIN_V4, MAIN_V4.column_names, names),
        EVENT_EVENTS.name: with_steps(
            events(select().from_("pings"), f"[{event_arrays}]"), {"pings": event_pings}
        ),
        MAIN_EVENTS.name: events(select().from_(stable), f"[{entries}]"),
        CLIENTS_DAILY.name: _clients_daily(stable),
    }


def _first_arrivals(relation: Relation, columns: tuple[str, ...], names: Names) -> exp.Select:
    query = select(*columns).from_(table(relation, names))
    return query.qualify(expression(_FIRST_ARRIVAL))


def _clients_daily(stable: exp.Table) -> exp.Query:
    pings = select(
        "DATE(submission_timestamp) AS submission_date",
        "client_id",
        "environment.experiments AS experiments",
    ).from_(stable)
    memberships = select(
        "submission_date",
        "client_id",
        "member.key AS key",
        "member.value.branch AS value",
    ).from_("pings")
    memberships = unnest(memberships, "experiments", "member").distinct()
    query = (
        select("submission_date", "client_id", "ARRAY_AGG(STRUCT(key, value)) AS experiments")
        .from_("memberships")
        .group_by("submission_date", "client_id")
    )
    return with_steps(
        query.where("client_id IS NOT NULL"), {"pings": pings, "memberships": memberships}
    )
