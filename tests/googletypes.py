"""Types and values as Google's SQL engine takes and gives them, and as Python has them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlglot import exp
from zetasql.wasi._pb2.zetasql.public import type_pb2 as types
from zetasql.wasi._pb2.zetasql.public.type_pb2 import TypeProto
from zetasql.wasi._pb2.zetasql.public.value_pb2 import ValueProto

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).parent / "data"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KINDS = {
    "STRING": types.TYPE_STRING,
    "INT64": types.TYPE_INT64,
    "FLOAT64": types.TYPE_DOUBLE,
    "BOOL": types.TYPE_BOOL,
    "DATE": types.TYPE_DATE,
    "TIMESTAMP": types.TYPE_TIMESTAMP,
    "BYTES": types.TYPE_BYTES,
}
SPELLINGS = {"INTEGER": "INT64", "BOOLEAN": "BOOL", "FLOAT": "FLOAT64"}


# Types


def type_of(text: str) -> TypeProto:
    """The type that BigQuery writes so."""
    return _type_of(exp.DataType.build(text, dialect="bigquery"))


def _type_of(type_: exp.DataType) -> TypeProto:
    if type_.is_type("array"):
        return _array(_type_of(type_.expressions[0]))
    if type_.is_type("struct"):
        return _struct({field.name: _type_of(field.args["kind"]) for field in type_.expressions})
    return TypeProto(type_kind=KINDS[type_.sql("bigquery")])


def type_text(type_: TypeProto) -> str:
    """A type as BigQuery writes it."""
    if type_.type_kind == types.TYPE_ARRAY:
        return f"ARRAY<{type_text(type_.array_type.element_type)}>"
    if type_.type_kind == types.TYPE_STRUCT:
        fields = (f"{f.field_name} {type_text(f.field_type)}" for f in type_.struct_type.field)
        return f"STRUCT<{', '.join(fields)}>"
    return next(name for name, kind in KINDS.items() if kind == type_.type_kind)


def schema_types(name: str, *, whole: bool = False) -> dict[str, TypeProto]:
    """The columns of a schema of Mozilla's: of what is read of it, or of the whole."""
    if whole:
        text = gzip.decompress((DATA / f"{name}.bq.gz").read_bytes())
    else:
        text = (DATA / f"{name}.pruned.bq").read_bytes()
    return {field["name"]: _type_of_field(field) for field in json.loads(text)}


def _type_of_field(field: Mapping[str, Any]) -> TypeProto:
    if field["type"] in {"RECORD", "STRUCT"}:
        type_ = _struct({inner["name"]: _type_of_field(inner) for inner in field["fields"]})
    else:
        type_ = TypeProto(type_kind=KINDS[SPELLINGS.get(field["type"], field["type"])])
    return _array(type_) if field["mode"] == "REPEATED" else type_


def _array(element: TypeProto) -> TypeProto:
    type_ = TypeProto(type_kind=types.TYPE_ARRAY)
    type_.array_type.element_type.CopyFrom(element)
    return type_


def _struct(fields: Mapping[str, TypeProto]) -> TypeProto:
    type_ = TypeProto(type_kind=types.TYPE_STRUCT)
    for name, field in fields.items():
        type_.struct_type.field.add(field_name=name, field_type=field)
    return type_


# Values


def encoded(value: Any, type_: TypeProto) -> ValueProto:
    """The value as the engine takes it; None is NULL, a field that a dict lacks as well."""
    message = ValueProto()
    if value is None:
        return message
    match type_.type_kind:
        case types.TYPE_ARRAY:
            elements = [encoded(element, type_.array_type.element_type) for element in value]
            message.array_value.SetInParent()
            message.array_value.element.extend(elements)
        case types.TYPE_STRUCT:
            fields = [
                encoded(value.get(f.field_name), f.field_type) for f in type_.struct_type.field
            ]
            message.struct_value.SetInParent()
            message.struct_value.field.extend(fields)
        case types.TYPE_TIMESTAMP:
            seconds, rest = divmod(value - EPOCH, timedelta(seconds=1))
            message.timestamp_value.SetInParent()
            message.timestamp_value.seconds = seconds
            message.timestamp_value.nanos = rest.microseconds * 1000
        case types.TYPE_DATE:
            message.date_value = (value - EPOCH.date()).days
        case types.TYPE_STRING:
            message.string_value = value
        case types.TYPE_BOOL:
            message.bool_value = value
        case types.TYPE_DOUBLE:
            message.double_value = value
        case types.TYPE_INT64:
            message.int64_value = value
        case _:
            raise TypeError(f"no values of {type_text(type_)}")
    return message


def decoded(value: ValueProto, type_: TypeProto) -> Any:
    """The value as Python has it: lists, dicts, datetimes in UTC."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    match type_.type_kind:
        case types.TYPE_ARRAY:
            element = type_.array_type.element_type
            return [decoded(each, element) for each in value.array_value.element]
        case types.TYPE_STRUCT:
            fields = zip(type_.struct_type.field, value.struct_value.field, strict=True)
            return {f.field_name: decoded(each, f.field_type) for f, each in fields}
        case types.TYPE_TIMESTAMP:
            stamp = value.timestamp_value
            return EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
        case types.TYPE_DATE:
            return EPOCH.date() + timedelta(days=value.date_value)
        case _:
            return getattr(value, kind)
