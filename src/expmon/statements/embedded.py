"""What only the embedded engine asks.

Where no pipeline makes the final sources, they are views that keep each document once a day: its
first arrival on a day counts; a ping without an id is a document of its own. And two statements are
asked in another way than on BigQuery, with the same answer.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sqlglot import exp

from expmon.catalog.model import Statement
from expmon.catalog.sources import (
    CLIENTS_DAILY,
    EVENT_EVENTS,
    EVENT_V4,
    MAIN_EVENTS,
    MAIN_V4,
    PROCESSES,
    STABLE_MAIN_V4,
)
from expmon.statements.build import (
    expression,
    select,
    table,
    tables_of,
    unnest,
    where,
    with_steps,
)
from expmon.statements.counting import events

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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


@lru_cache(maxsize=64)
def clients_ungathered(statement: Statement, names: Names) -> Statement:
    """The statement; where it counts distinct clients of clients_daily, it reads pings instead.

    To gather a day's pings by client takes as long as to count them.
    """
    if f"{names.of(CLIENTS_DAILY)}" not in tables_of(statement.tree):
        return statement
    tree = statement.tree.copy()
    for source in list(tree.find_all(exp.Table)):
        query = source.find_ancestor(exp.Select)
        is_read = tables_of(source) == [f"{names.of(CLIENTS_DAILY)}"]
        if is_read and query is not None and _counts_distinct(query):
            source.replace(_clients_of_pings(names).subquery())
    return Statement(statement.name, tree, statement.parameters)


def _clients_of_pings(names: Names) -> exp.Query:
    """Rows as of clients_daily, but one for each experiment of each ping: none is gathered."""
    query = select(
        "DATE(submission_timestamp) AS submission_date",
        "client_id",
        "[STRUCT(member.key AS key, member.value.branch AS value)] AS experiments",
    ).from_(table(STABLE_MAIN_V4, names))
    return where(unnest(query, "environment.experiments", "member"), "client_id IS NOT NULL")


def _counts_distinct(query: exp.Select) -> bool:
    """Whether it makes no difference how often a row is there."""
    found = list(query.find_all(exp.AggFunc))
    return bool(found) and all(
        isinstance(function, exp.Count) and isinstance(function.this, exp.Distinct)
        for function in found
    )


def ordered_rows(statement: Statement) -> tuple[Statement, int, str]:
    """The rows that the arrays are made of; how many keys a group has, and the array's name.

    Args:
        statement: one query, or several as one, each of which selects the keys of its groups and
            ``ARRAY_AGG(STRUCT(…) ORDER BY …)``, by expressions that the struct has.
    """
    tree = statement.tree.copy()
    for query in _selects(tree):
        *keys, array = query.expressions
        ordered = array.this.this
        fields = ordered.this.expressions
        query.set("expressions", [*keys, *(exp.alias_(f.expression, f.name) for f in fields)])
        query.set("group", None)
    names = {field.expression: field.name for field in fields}
    for part in ordered.expressions:
        part.set("this", exp.column(names[part.this]))
    order = [*(exp.column(key.alias_or_name) for key in keys), *ordered.expressions]
    tree.set("order", exp.Order(expressions=order))
    rows = Statement(statement.name, tree, statement.parameters)
    return rows, len(keys), array.alias


def _selects(query: exp.Expr) -> Iterator[exp.Select]:
    """The query itself, or those that it has the rows of."""
    if isinstance(query, exp.Select):
        yield query
    else:
        yield from _selects(query.this)
        yield from _selects(query.expression)


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
