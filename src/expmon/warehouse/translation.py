"""BigQuery's statements for DuckDB: what sqlglot's own translation leaves out or gets wrong.

Each rule rewrites a kind of node, whatever statement it is in.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sqlglot import exp

from expmon.statements.render import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from expmon.catalog.model import Statement


@lru_cache(maxsize=512)
def duckdb_sql(statement: Statement) -> str:
    """The statement in DuckDB's dialect; parameters are ``$name``.

    Raises:
        UnsupportedSQL: it has no form there.
    """
    tree = statement.tree.copy()
    for rule in RULES:
        tree = tree.transform(rule, copy=False)
    return render(tree, name=statement.name, dialect="duckdb")


def duckdb_type(type_: str) -> str:
    """A column's type, written as in BigQuery, for DuckDB."""
    return exp.DataType.build(type_, dialect="bigquery").sql("duckdb")


def _without_project(node: exp.Expr) -> exp.Expr:
    """A dataset is a schema of the one database."""
    if isinstance(node, exp.Table) and node.catalog:
        node.set("catalog", None)
    return node


def _list_function(node: exp.Expr) -> exp.Expr:
    """A scalar subquery over an array, as list functions.

    DuckDB makes a join of the subquery, which takes minutes where list functions take seconds.
    """
    if not isinstance(node, exp.Subquery) or not isinstance(node.this, exp.Select):
        return node
    query = node.this
    source = query.args.get("from_")
    if source is None or not isinstance(source.this, exp.Unnest) or len(query.expressions) != 1:
        return node
    unnested = source.this
    element = unnested.args["alias"].args["columns"][0].name
    values: exp.Expr = unnested.expressions[0]
    if condition := query.args.get("where"):
        values = exp.func("list_filter", values, _lambda(element, condition.this))
    measure = query.expressions[0].unalias()
    if isinstance(measure, exp.Sum):
        summed = exp.func(
            "list_sum", exp.func("list_transform", values, _lambda(element, measure.this))
        )
        return exp.cast(summed, "BIGINT")
    if not _is_first_in_order(query, unnested):
        return node
    return exp.Bracket(
        this=exp.func("list_transform", values, _lambda(element, measure)),
        expressions=[exp.Literal.number(0)],
    )


def _is_first_in_order(query: exp.Select, unnested: exp.Unnest) -> bool:
    """Whether the query takes the first element, in the array's order."""
    order, limit, offset = (
        query.args.get("order"),
        query.args.get("limit"),
        unnested.args.get("offset"),
    )
    return (
        limit is not None
        and limit.expression.name == "1"
        and order is not None
        and isinstance(offset, exp.Identifier)
        and [o.this.name for o in order.expressions] == [offset.name]
        and not order.expressions[0].args.get("desc")
    )


def _lambda(element: str, body: exp.Expr) -> exp.Lambda:
    return exp.Lambda(this=body.copy(), expressions=[exp.to_identifier(element)])


def _sum_is_integer(node: exp.Expr) -> exp.Expr:
    """DuckDB's SUM of INT64 is a HUGEINT, which becomes a float outside of it."""
    summed = isinstance(node, exp.Sum) and not isinstance(node.parent, exp.Window)
    running = isinstance(node, exp.Window) and isinstance(node.this, exp.Sum)
    if (summed or running) and not isinstance(node.parent, exp.Cast):
        return exp.cast(node.copy(), "BIGINT")
    return node


def _bucket(node: exp.Expr) -> exp.Expr:
    """TIMESTAMP_BUCKET has another name and order there, and is exact to the microsecond."""
    if isinstance(node, exp.Anonymous) and node.name.upper() == "TIMESTAMP_BUCKET":
        timestamp, width = node.expressions
        return exp.Anonymous(this="time_bucket", expressions=[width, timestamp])
    return node


def _json_value(node: exp.Expr) -> exp.Expr:
    """A broken document is NULL on BigQuery and an error on DuckDB."""
    if isinstance(node, exp.JSONExtractScalar):
        path = exp.Literal.string(node.expression.sql("bigquery").strip("'"))
        text = node.this
        extracted = exp.Anonymous(this="json_extract_string", expressions=[text.copy(), path])
        valid = exp.Anonymous(this="json_valid", expressions=[text.copy()])
        return exp.Case(ifs=[exp.If(this=valid, true=extracted)])
    return node


def _regexp_extract(node: exp.Expr) -> exp.Expr:
    """Without a match, NULL on BigQuery and an empty text on DuckDB."""
    if not isinstance(node, exp.RegexpExtract):
        return node
    text, pattern = node.this, node.expression
    group = node.args.get("group") or exp.Literal.number(0)
    plain = exp.Literal.string(pattern.name)
    matches = exp.Anonymous(this="regexp_matches", expressions=[text.copy(), plain.copy()])
    extracted = exp.Anonymous(this="regexp_extract", expressions=[text.copy(), plain, group.copy()])
    return exp.Case(ifs=[exp.If(this=matches, true=extracted)])


def _in_unnest(node: exp.Expr) -> exp.Expr:
    """Membership of an array without NULLs, as a parameter is; sqlglot's form minds those."""
    if isinstance(node, exp.In) and (unnest := node.args.get("unnest")):
        (array,) = unnest.expressions
        return exp.func("list_contains", array.copy(), node.this.copy())
    return node


def _unnest_in_select(node: exp.Expr) -> exp.Expr:
    """A cross join with an array as UNNEST in a SELECT list: it lets filters through to the scan.

    DuckDB joins a lateral UNNEST back to its source, which it reads whole for that.
    """
    if not isinstance(node, exp.Select):
        return node
    joins = node.args.get("joins") or []
    if not joins or not all(isinstance(join.this, exp.Unnest) for join in joins):
        return node
    source = node.args["from_"].this
    for join in joins:
        (array,) = join.this.expressions
        (alias,) = join.this.args["alias"].args["columns"]
        element = exp.alias_(exp.Anonymous(this="unnest", expressions=[array.copy()]), alias.name)
        source = exp.select("*", element).from_(source).subquery()
    node.set("joins", None)
    return node.from_(source, copy=False)


RULES: tuple[Callable[[exp.Expr], exp.Expr], ...] = (
    _without_project,
    _list_function,
    _sum_is_integer,
    _bucket,
    _json_value,
    _regexp_extract,
    _in_unnest,
    _unnest_in_select,
)
