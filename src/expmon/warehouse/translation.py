"""BigQuery's statements for DuckDB: what sqlglot's own translation leaves out or gets wrong.

Each rule rewrites a kind of node, whatever statement it is in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sqlglot import exp
from sqlglot.errors import UnsupportedError

from expmon.errors import UnsupportedSQL
from expmon.statements.render import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from expmon.catalog.model import Statement


_LIST_CLAUSES = {"expressions", "from_", "where", "order", "limit"}
"""What a subquery over an array may have to become list functions."""
_QUALIFIED = {"expressions", "from_", "where", "qualify"}
"""What a query with QUALIFY may have to go by the ids of its rows."""
_STRING = r'"(?:[^"\\]|\\.)*"'
_NO_JSON = r",\s*[\]}]|(?i:nan|inf)"


_known: WeakKeyDictionary[Statement, str] = WeakKeyDictionary()
"""What statements are in DuckDB's dialect, while they are in use: trees are large."""


def duckdb_sql(statement: Statement) -> str:
    """The statement in DuckDB's dialect; parameters are ``$name``.

    Raises:
        UnsupportedSQL: it has no form there.
    """
    if (sql := _known.get(statement)) is None:
        sql = _known[statement] = _translated(statement)
    return sql


def _translated(statement: Statement) -> str:
    tree = statement.tree.copy()
    try:
        for rule in RULES:
            tree = tree.transform(rule, copy=False)
    except UnsupportedError as error:
        raise UnsupportedSQL(statement.name, "duckdb", str(error)) from error
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
    Subqueries of other shapes stay as they are.
    """
    query = node.this if isinstance(node, exp.Subquery) else None
    if not isinstance(query, exp.Select) or len(query.expressions) != 1:
        return node
    source = query.args.get("from_")
    unnested = source.this if source else None
    present = {name for name, value in query.args.items() if value}
    if not isinstance(unnested, exp.Unnest) or not present <= _LIST_CLAUSES:
        return node
    (element,) = unnested.args["alias"].args["columns"]
    values: exp.Expr = unnested.expressions[0]
    if condition := query.args.get("where"):
        values = exp.func("list_filter", values, _lambda(element.name, condition.this))
    measure = query.expressions[0].unalias()
    if isinstance(measure, exp.Sum) and not present & {"order", "limit"}:
        each = exp.func("list_transform", values, _lambda(element.name, measure.this))
        return exp.cast(exp.func("list_sum", each), "BIGINT")
    if not _is_first_in_order(query, unnested):
        return node
    return exp.Bracket(
        this=exp.func("list_transform", values, _lambda(element.name, measure)),
        expressions=[exp.Literal.number(0)],
    )


def _is_first_in_order(query: exp.Select, unnested: exp.Unnest) -> bool:
    """Whether the query takes the first element, in the array's order."""
    order, limit = query.args.get("order"), query.args.get("limit")
    offset = unnested.args.get("offset")
    return (
        limit is not None
        and limit.expression.name == "1"
        and order is not None
        and isinstance(offset, exp.Identifier)
        and [o.this.name for o in order.expressions] == [offset.name]
        and not order.expressions[0].args.get("desc")
    )


def _lambda(element: str, body: exp.Expr) -> exp.Lambda:
    """A function of the element; its name is one that no table's column has."""

    def renamed(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column):
            return node
        path = [part.name for part in node.parts]
        if path[0] != element:
            raise UnsupportedError(f"{node.sql()} in a subquery over an array must say {element}.")
        return exp.column(*reversed([f"__{element}", *path[1:]]))

    return exp.Lambda(
        this=body.copy().transform(renamed, copy=False),
        expressions=[exp.to_identifier(f"__{element}")],
    )


def _integers(node: exp.Expr) -> exp.Expr:
    """DuckDB's SUM and COUNT_IF of INT64 are HUGEINT.

    What sums up anything else says so by a cast of the sum.
    """
    is_window = isinstance(node, exp.Window)
    inner = node.this if is_window else node
    if not isinstance(inner, (exp.Sum, exp.CountIf)):
        return node
    is_done = isinstance(node.parent, exp.Cast) or (
        not is_window and isinstance(node.parent, exp.Window)
    )
    return node if is_done else exp.cast(node.copy(), "BIGINT")


def _bucket(node: exp.Expr) -> exp.Expr:
    """TIMESTAMP_BUCKET has another name and order there, and is exact to the microsecond."""
    if isinstance(node, exp.Anonymous) and node.name.upper() == "TIMESTAMP_BUCKET":
        timestamp, width = node.expressions
        return exp.Anonymous(this="time_bucket", expressions=[width, timestamp])
    return node


def _date(node: exp.Expr) -> exp.Expr:
    """The day of a time, by its microseconds: a cast looks up the zone, ten times as slowly."""
    if not isinstance(node, exp.Date) or node.expressions or node.args.get("zone"):
        return node
    return exp.cast(_call("make_timestamp", _call("epoch_us", node.this)), "DATE")


def _parse_json(node: exp.Expr) -> exp.Expr:
    """SAFE.PARSE_JSON: NULL where the text is no JSON, as a text that DuckDB's functions read.

    DuckDB accepts commas before a closing bracket, and numbers like NaN, which JSON has not.
    """
    if not isinstance(node, exp.SafeFunc) or not isinstance(node.this, exp.ParseJSON):
        return node
    text = node.this.this
    outside_strings = _call("regexp_replace", text, _STRING, '""', "g")
    # Few texts have such a thing at all: the others need not be cleared of strings, which is dear.
    is_strict = exp.or_(
        exp.not_(_call("regexp_matches", text, _NO_JSON)),
        exp.not_(_call("regexp_matches", outside_strings, _NO_JSON)),
    )
    is_valid = exp.and_(_call("json_valid", text), is_strict)
    return exp.Case(ifs=[exp.If(this=is_valid, true=text.copy())])


def _json_value(node: exp.Expr) -> exp.Expr:
    """The scalar at a path, as a text."""
    if not isinstance(node, exp.JSONExtractScalar):
        return node
    path = node.expression.sql("bigquery").strip("'")
    return _call("json_extract_string", node.this, path)


def _regexp_extract(node: exp.Expr) -> exp.Expr:
    """Without a match, or where the group has none, NULL on BigQuery and an empty text on DuckDB.

    The first of all matches is NULL in both cases.
    """
    if not isinstance(node, exp.RegexpExtract):
        return node
    if node.args.get("position") or node.args.get("occurrence"):
        raise UnsupportedError("REGEXP_EXTRACT with a position")
    group = node.args.get("group") or exp.Literal.number(0)
    matches = _call("regexp_extract_all", node.this, node.expression.name, group)
    return exp.Bracket(this=matches, expressions=[exp.Literal.number(0)])


def _call(name: str, *arguments: exp.Expr | str) -> exp.Anonymous:
    """A call of a function of DuckDB's; texts are literals."""
    return exp.Anonymous(
        this=name,
        expressions=[
            exp.Literal.string(argument) if isinstance(argument, str) else argument.copy()
            for argument in arguments
        ],
    )


def _in_unnest(node: exp.Expr) -> exp.Expr:
    """Membership of an array without NULLs, as a parameter is; sqlglot's form minds those."""
    if isinstance(node, exp.In) and (unnest := node.args.get("unnest")):
        (array,) = unnest.expressions
        return exp.func("list_contains", array.copy(), node.this.copy())
    return node


def _unnest_in_select(node: exp.Expr) -> exp.Expr:
    """A cross join with an array as UNNEST in a SELECT list: it lets filters through to the scan.

    DuckDB joins a lateral UNNEST back to its source, which it reads whole for that. The alias must
    not be the name of a column of the source.
    """
    if not isinstance(node, exp.Select):
        return node
    joins = node.args.get("joins") or []
    if not joins or not all(_is_plain_unnest(join) for join in joins):
        return node
    source = node.args["from_"].this
    for join in joins:
        (array,) = join.this.expressions
        (alias,) = join.this.args["alias"].args["columns"]
        element = exp.alias_(exp.Anonymous(this="unnest", expressions=[array.copy()]), alias.name)
        source = exp.select("*", element).from_(source).subquery()
    node.set("joins", None)
    return node.from_(source, copy=False)


def _is_plain_unnest(join: exp.Join) -> bool:
    return (
        isinstance(join.this, exp.Unnest)
        and not join.this.args.get("offset")
        and not join.args.get("side")
        and not join.args.get("on")
    )


def _first_of_group(node: exp.Expr) -> exp.Expr:
    """The first row of each group of a table's, as all but those that come after it, by row ids.

    DuckDB sorts whole rows for QUALIFY, with all that is read of them. Where no other row has the
    hash of its keys, a row is the first of its group: only of the others are keys sorted, and ids.
    QUALIFY of other shapes stays as it is.
    """
    if not isinstance(node, exp.Select) or not (keys := _keys_of_firsts(node)):
        return node
    rowid, hashed = exp.column("rowid"), exp.func("HASH", *keys)
    rows = exp.Select().from_(node.args["from_"].this.copy())
    if condition := node.args.get("where"):
        rows.set("where", condition.copy())
    shared = rows.select(hashed.copy()).group_by(hashed.copy()).having("COUNT(*) > 1")
    is_first = exp.Is(this=exp.paren(node.args["qualify"].this.copy()), expression=exp.true())
    later = rows.select(rowid.copy()).where(hashed.isin(query=shared)).qualify(exp.not_(is_first))
    node.set("qualify", None)
    return node.where(exp.not_(rowid.isin(query=later)), copy=False)


def _keys_of_firsts(query: exp.Select) -> list[exp.Expr]:
    """What ``QUALIFY [… OR] ROW_NUMBER() OVER (…) = 1`` over a table partitions by."""
    present = {name for name, value in query.args.items() if value}
    if not {"qualify"} <= present <= _QUALIFIED:
        return []
    chosen = query.args["qualify"].this
    first = chosen.expression if isinstance(chosen, exp.Or) else chosen
    window = first.this if isinstance(first, exp.EQ) and first.expression.name == "1" else None
    source = query.args["from_"].this
    # A CTE, which has no row ids, is in no dataset.
    if not isinstance(window, exp.Window) or not isinstance(source, exp.Table) or not source.db:
        return []
    is_numbered = isinstance(window.this, exp.RowNumber)
    return [key.copy() for key in window.args["partition_by"] or ()] if is_numbered else []


RULES: tuple[Callable[[exp.Expr], exp.Expr], ...] = (
    _without_project,
    _list_function,
    _integers,
    _bucket,
    _date,
    _json_value,
    _parse_json,
    _regexp_extract,
    _in_unnest,
    _unnest_in_select,
    _first_of_group,
)
