"""The one place where a tree becomes text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import ErrorLevel, exp
from sqlglot.errors import SqlglotError
from sqlglot.generators.bigquery import BigQueryGenerator

from expmon.errors import UnsupportedSQL

if TYPE_CHECKING:
    from expmon.catalog.model import Statement


def render(tree: exp.Expr, *, name: str, dialect: str = "bigquery") -> str:
    """The tree as formatted text.

    Args:
        tree: what to write.
        name: the relation or job that it is of, for the error.
        dialect: of sqlglot's.

    Raises:
        UnsupportedSQL: the dialect has no form of it.
    """
    options: dict[str, Any] = {
        "pretty": True,
        "max_text_width": 88,
        "unsupported_level": ErrorLevel.RAISE,
    }
    try:
        if dialect == "bigquery":
            generator = _BigQuery(dialect="bigquery", **options)
            return generator.generate(_with_numbers(tree), copy=False)
        return tree.sql(dialect=dialect, **options)
    except SqlglotError as error:
        raise UnsupportedSQL(name, dialect, str(error)) from error


def document(statement: Statement) -> str:
    """The statement in BigQuery's dialect, its parameters with their types in comments above it."""
    header = [f"-- {statement.name}"]
    header += [f"-- @{parameter.name} {parameter.type}" for parameter in statement.parameters]
    return "\n".join([*header, render(statement.tree, name=statement.name)]) + "\n"


class _BigQuery(BigQueryGenerator):
    """BigQuery's dialect as people write it."""

    def not_sql(self, expression: exp.Not) -> str:
        """``x IS NOT NULL`` and ``x NOT IN (…)``, where sqlglot writes NOT before x."""
        negated = expression.this
        if isinstance(negated, exp.Is):
            return f"{self.sql(negated, 'this')} IS NOT {self.sql(negated, 'expression')}"
        if isinstance(negated, exp.In):
            operand = self.sql(negated, "this")
            return f"{operand} NOT{self.in_sql(negated).removeprefix(operand)}"
        return super().not_sql(expression)


def _with_numbers(tree: exp.Expr) -> exp.Expr:
    """``INTERVAL 5 MINUTE`` as people write it; the parser has made the number a string."""
    tree = tree.copy()
    for node in tree.find_all(
        exp.Interval, exp.TimestampAdd, exp.TimestampSub, exp.DateAdd, exp.DateSub
    ):
        amount = node.this if isinstance(node, exp.Interval) else node.expression
        if isinstance(amount, exp.Literal) and amount.is_string:
            amount.replace(exp.Literal.number(amount.this))
    return tree
