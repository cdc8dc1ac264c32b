"""Small helpers that the builders read well with. Texts are constants or names of the catalogue."""

from __future__ import annotations

from functools import cache, reduce
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from expmon.catalog.model import Names, Relation

DIALECT = "bigquery"

WINDOW_END = "TIMESTAMP_ADD(window_start, INTERVAL 5 MINUTE) AS window_end"
DAY_START = "TIMESTAMP(@day)"
NEXT_DAY_START = "TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 1 DAY)"


def table(relation: Relation, names: Names) -> exp.Table:
    """The relation by its full name, in the project where it really lies."""
    place = names.of(relation)
    return exp.Table(
        this=exp.to_identifier(place.table),
        db=exp.to_identifier(place.dataset),
        catalog=exp.to_identifier(place.project, quoted=True),
    )


def tables_of(tree: exp.Expr) -> list[str]:
    """The full names of the tables and views that a statement names, each once."""
    steps = {step.alias for step in tree.find_all(exp.CTE)}
    names = [
        ".".join(part.name for part in found.parts)
        for found in tree.find_all(exp.Table)
        if found.name not in steps or found.db
    ]
    return [n for n in dict.fromkeys(names) if "INFORMATION_SCHEMA" not in n]


def expression(text: str) -> exp.Expr:
    """An expression of BigQuery's dialect."""
    return _parsed(text).copy()


@cache
def _parsed(text: str) -> exp.Expr:
    """The same few texts stand in many statements, and a copy takes a tenth of the time."""
    return sqlglot.parse_one(text, dialect=DIALECT)


def select(*columns: str | exp.Expr) -> exp.Select:
    """The start of a query: what a row of it has."""
    return exp.select(*(expression(c) if isinstance(c, str) else c for c in columns), copy=False)


def where(query: exp.Select, *conditions: str) -> exp.Select:
    """The query itself, with all of the conditions added to it."""
    return query.where(*map(expression, conditions), copy=False)


def unnest(query: exp.Select, array: str, alias: str) -> exp.Select:
    """The query itself, with a row for each element of the array, beside its own columns."""
    return query.join(unnested(array, alias), join_type="cross", copy=False)


def unnested(array: str, alias: str) -> exp.Unnest:
    """The elements of the array, as something to select from."""
    return exp.Unnest(
        expressions=[expression(array)],
        alias=exp.TableAlias(columns=[exp.to_identifier(alias)]),
    )


def union_all(queries: Iterable[exp.Query]) -> exp.Query:
    """The rows of all of the queries."""
    return reduce(lambda left, right: left.union(right, distinct=False, copy=False), queries)


def with_steps(query: exp.Query, steps: Mapping[str, exp.Query]) -> exp.Query:
    """The query with its CTEs, in the order that a reader needs them."""
    for name, step in steps.items():
        query = query.with_(name, as_=step, copy=False)
    return query


def noted(query: exp.Select, comment: str) -> exp.Select:
    """The query with a comment that is printed above it, for whoever reads the statement."""
    query = query.copy()
    query.add_comments([f" {comment} "])
    return query
