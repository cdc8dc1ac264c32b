"""What a statement reads: the windows of each table that its conditions let through.

BigQuery prunes partitions by conditions on the bare partition column against constants and
parameters; these conditions are evaluated here for every window of some days.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from expmon.catalog import RELATIONS
from expmon.catalog.model import Statement
from expmon.statements.build import select, where
from expmon.warehouse.translation import duckdb_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BY_TABLE = {(r.dataset, r.table): r for r in RELATIONS.values()}


def scans(tree: exp.Expr) -> Iterator[tuple[str, tuple[exp.Expr, ...]]]:
    """Each partitioned table that is selected from, with the conditions that prune it."""
    for query in tree.find_all(exp.Select):
        source = query.args.get("from_")
        scanned = source.this if source else None
        relation = (
            BY_TABLE.get((scanned.db, scanned.name)) if isinstance(scanned, exp.Table) else None
        )
        if relation is None or relation.partitioning is None:
            continue
        condition = query.args.get("where")
        parts = (
            list(condition.this.flatten())
            if isinstance(condition and condition.this, exp.And)
            else ([condition.this] if condition else [])
        )
        column = relation.partitioning.column
        yield relation.name, tuple(p for p in parts if _prunes(p, column))


def scanned(
    statement: Statement, parameters: Mapping[str, Any], first: date, days: int
) -> list[tuple[str, datetime | None, datetime | None, int]]:
    """Per scan its table, the first and the last window it lets through, and how many."""
    found = []
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        for name, conditions in scans(statement.tree):
            relation = RELATIONS[name]
            assert relation.partitioning is not None
            column = relation.partitioning.column
            cast = "::DATE" if _type(name, column) == "DATE" else ""
            database.execute(
                f"CREATE OR REPLACE TABLE calendar AS SELECT w{cast} AS {column} FROM "
                f"generate_series(TIMESTAMPTZ '{first} 00:00:00+00', "
                f"TIMESTAMPTZ '{first + timedelta(days=days)} 00:00:00+00', "
                "INTERVAL 5 MINUTE) AS s(w)"
            )
            query = where(select(column).from_("calendar"))
            for condition in conditions:
                query = query.where(condition.transform(_bare))
            asked = duckdb_sql(Statement("scan", query))
            row = database.execute(
                f"SELECT CAST(MIN({column}) AS VARCHAR), CAST(MAX({column}) AS VARCHAR), COUNT(*) "
                f"FROM ({asked})",
                {k: v for k, v in parameters.items() if f"${k}" in asked},
            ).fetchone()
            found.append((name, *row))
    return found


def _bare(node: exp.Expr) -> exp.Expr:
    """A column without the name of its table."""
    return exp.column(node.name) if isinstance(node, exp.Column) else node


def _prunes(condition: exp.Expr, column: str) -> bool:
    """Whether it compares the bare column with something that has no column."""
    if not isinstance(condition, (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.EQ)):
        return False
    is_bare = isinstance(condition.this, exp.Column) and condition.this.name == column
    return is_bare and condition.expression.find(exp.Column, exp.Select) is None


def _type(name: str, column: str) -> str:
    return next(c.type for c in RELATIONS[name].columns if c.name == column)


def clusters(tree: exp.Expr) -> list[tuple[str, str]]:
    """The conditions that prune blocks: bare clustering columns against parameters."""
    found = []
    for condition in tree.find_all(exp.In, exp.EQ):
        column, query = condition.this, condition.find_ancestor(exp.Select)
        source = query.args.get("from_") if query else None
        table = source.this if source else None
        relation = BY_TABLE.get((table.db, table.name)) if isinstance(table, exp.Table) else None
        is_bare = isinstance(column, exp.Column) and condition.find(exp.Parameter)
        if relation and is_bare and column.name in relation.clustering:
            found.append((relation.name, condition.sql("bigquery")))
    return found
