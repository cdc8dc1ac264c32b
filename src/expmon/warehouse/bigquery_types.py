"""Types written as in BigQuery's DDL, as its client wants them: schemas and query parameters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.cloud import bigquery

    from expmon.catalog.model import Column, Statement

_DIALECT = "bigquery"


def schema(columns: Iterable[Column]) -> list[bigquery.SchemaField]:
    """The columns as a table's schema, all NULLABLE: what a query gives always is."""
    return [_field(c.name, _parsed(c.type), c.description or None) for c in columns]


def parameters(
    statement: Statement, values: Mapping[str, Any]
) -> list[bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter]:
    """The statement's parameters with their types and values."""
    return [
        _parameter(parameter.name, _parsed(parameter.type), values[parameter.name])
        for parameter in statement.parameters
    ]


def _parsed(text: str) -> exp.DataType:
    return exp.DataType.build(text, dialect=_DIALECT)


def _name(type_: exp.DataType) -> str:
    return type_.sql(_DIALECT)


def _fields(struct: exp.DataType) -> list[tuple[str, exp.DataType]]:
    return [(field.name, field.args["kind"]) for field in struct.expressions]


def _field(name: str, type_: exp.DataType, description: str | None) -> bigquery.SchemaField:
    from google.cloud import bigquery

    mode, element = "NULLABLE", type_
    if type_.is_type(exp.DType.ARRAY):
        mode, (element,) = "REPEATED", type_.expressions
    nested: list[bigquery.SchemaField] = []
    kind = _name(element)
    if element.is_type(exp.DType.STRUCT):
        kind = "RECORD"
        nested = [_field(inner, inner_type, None) for inner, inner_type in _fields(element)]
    if description is None:
        return bigquery.SchemaField(name, kind, mode=mode, fields=nested)
    return bigquery.SchemaField(name, kind, mode=mode, fields=nested, description=description)


def _parameter(name: str | None, type_: exp.DataType, value: Any) -> Any:
    from google.cloud import bigquery

    if type_.is_type(exp.DType.ARRAY):
        (element,) = type_.expressions
        if element.is_type(exp.DType.STRUCT):
            structs = [_parameter(None, element, row) for row in value or ()]
            return bigquery.ArrayQueryParameter(name, _parameter_type(element), structs)
        return bigquery.ArrayQueryParameter(name, _name(element), list(value or ()))
    if type_.is_type(exp.DType.STRUCT):
        inner = [_parameter(field, kind, value.get(field)) for field, kind in _fields(type_)]
        return bigquery.StructQueryParameter(name, *inner)
    if isinstance(value, datetime):
        value = value.astimezone(UTC)
    return bigquery.ScalarQueryParameter(name, _name(type_), value)


def _parameter_type(type_: exp.DataType, name: str | None = None) -> Any:
    from google.cloud import bigquery

    if type_.is_type(exp.DType.ARRAY):
        (element,) = type_.expressions
        return bigquery.ArrayQueryParameterType(_parameter_type(element), name=name)
    if type_.is_type(exp.DType.STRUCT):
        inner = [_parameter_type(kind, field) for field, kind in _fields(type_)]
        return bigquery.StructQueryParameterType(*inner, name=name)
    return bigquery.ScalarQueryParameterType(_name(type_), name=name)
