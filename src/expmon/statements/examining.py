"""What is asked, in dry runs, to find out whether it may be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from expmon.catalog.model import Parameter, Statement
from expmon.statements.build import DAY_START, DIALECT, NEXT_DAY_START, select, table, where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from expmon.catalog.model import Names, Relation

DAY = Parameter("day", "DATE")


def one() -> Statement:
    """A query that reads nothing."""
    return Statement("one", select("1 AS one"))


def day_of(source: Relation, names: Names) -> Statement:
    """What the catalogue declares of a source, on ``@day``; of one without partitions, all of it.

    Of a struct only the declared fields are named: the real ones have thousands more, and the
    account may be let to read these alone.
    """
    paths = [path for column in source.columns for path in _paths(column.name, column.type)]
    query = select(*(f"{path} AS c{number}" for number, path in enumerate(paths)))
    query = query.from_(table(source, names))
    if source.partitioning is None:
        return Statement(source.name, query)
    column = source.partitioning.column
    types = {c.name: c.type for c in source.columns}
    conditions = [f"{column} >= {DAY_START}", f"{column} < {NEXT_DAY_START}"]
    if types[column] == "DATE":
        conditions = [f"{column} = @day"]
    return Statement(source.name, where(query, *conditions), (DAY,))


def _paths(name: str, type_: str | exp.DataType) -> Iterator[str]:
    """A column, or the fields of a struct, down to arrays, which are read whole."""
    parsed = exp.DataType.build(type_, dialect=DIALECT)
    if not parsed.is_type(exp.DType.STRUCT):
        yield name
        return
    for field in parsed.expressions:
        yield from _paths(f"{name}.{field.name}", field.args["kind"])
