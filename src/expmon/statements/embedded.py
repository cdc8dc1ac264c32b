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
from expmon.statements.build import expression, select, table, unnest, where, with_steps
from expmon.statements.counting import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot import exp

    from expmon.catalog.model import Names, Relation

_FIRST_ARRIVAL = (
    "document_id IS NULL OR ROW_NUMBER() OVER "
    "(PARTITION BY DATE(submission_timestamp), document_id ORDER BY submission_timestamp) = 1"
)


def source_views(names: Names, within: Sequence[str] = ()) -> dict[str, exp.Query]:
    """The queries of the sources that an embedded warehouse has as views, by relation.

    Args:
        names: where the pings lie.
        within: conditions on the pings that are looked at.
    """

    def pings(relation: Relation, *columns: str) -> exp.Select:
        return where(select(*columns).from_(table(relation, names)), *within)

    event_pings = pings(EVENT_V4, "submission_timestamp", "payload")
    main_pings = pings(MAIN_V4, "submission_timestamp", "payload")
    return {
        STABLE_MAIN_V4.name: _first_arrivals(pings(MAIN_V4, *MAIN_V4.column_names)),
        EVENT_EVENTS.name: _events(event_pings, "payload.events.{}"),
        MAIN_EVENTS.name: _events(main_pings, "payload.processes.{}.events"),
        CLIENTS_DAILY.name: _clients_daily(table(STABLE_MAIN_V4, names)),
    }


def _first_arrivals(pings: exp.Select) -> exp.Select:
    """The first arrival of each document on each day."""
    return pings.qualify(expression(_FIRST_ARRIVAL))


def _events(pings: exp.Select, array: str) -> exp.Query:
    """One row per event of the first arrivals."""
    arrays = ", ".join(f"STRUCT({array.format(p)} AS events)" for p in PROCESSES)
    query = events(select().from_("first_arrivals"), f"[{arrays}]")
    return with_steps(query, {"first_arrivals": _first_arrivals(pings)})


def _clients_daily(stable: exp.Table) -> exp.Query:
    pings = select(
        "DATE(submission_timestamp) AS submission_date",
        "client_id",
        "environment.experiments AS experiments",
    ).from_(stable)
    memberships = unnest(
        select(
            "submission_date", "client_id", "member.key AS key", "member.value.branch AS value"
        ).from_("pings"),
        "experiments",
        "member",
    ).distinct()
    experiments = (
        select("submission_date", "client_id", "ARRAY_AGG(STRUCT(key, value)) AS experiments")
        .from_("memberships")
        .group_by("submission_date", "client_id")
    )
    clients = select("submission_date", "client_id").distinct().from_("pings")
    query = (
        select("clients.submission_date", "clients.client_id", "members.experiments")
        .from_("clients")
        .join(
            "members",
            on="clients.submission_date = members.submission_date "
            "AND clients.client_id = members.client_id",
            join_type="left",
        )
    )
    return with_steps(
        query,
        {
            "pings": where(pings, "client_id IS NOT NULL"),
            "memberships": memberships,
            "members": experiments,
            "clients": clients,
        },
    )
