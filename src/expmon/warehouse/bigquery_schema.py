"""How a table of BigQuery is to be, and how one that is there differs from that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from expmon.catalog import bookkeeping
from expmon.catalog.model import Kind
from expmon.statements import render, view
from expmon.warehouse.bigquery_types import schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.cloud import bigquery

    from expmon.catalog.model import Names, Partitioning, Relation

SCHEMA_LABEL = "expmon_schema"
_DAY_MS = 24 * 3600 * 1000
_ONE_NAME = {
    "BOOLEAN": "BOOL",
    "FLOAT": "FLOAT64",
    "INTEGER": "INT64",
    "STRUCT": "RECORD",
}
"""Types that have two names in BigQuery."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How a table differs from the catalogue.

    Attributes:
        refused: what can't be changed in place, a sentence each.
        changes: what can be, a few words each.
        properties: the names of the properties to update.
    """

    refused: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)


def wanted(relation: Relation, names: Names) -> bigquery.Table:
    """The table or view as it is to be."""
    from google.cloud import bigquery

    table = bigquery.Table(str(names.of(relation)))
    table.description = relation.description
    label(table, bookkeeping.SCHEMA_VERSION)
    if relation.kind is Kind.VIEW:
        table.view_query = render(view(relation, names).tree, name=relation.name)
        return table
    table.schema = schema(relation.columns)
    if relation.partitioning:
        table.time_partitioning = _partitioning(relation.partitioning)
        table.require_partition_filter = relation.partitioning.require_filter
    if relation.clustering:
        table.clustering_fields = list(relation.clustering)
    return table


def versions(tables: Iterable[bigquery.Table]) -> list[int]:
    """The schema versions that tables are labelled with."""
    labels = (table.labels.get(SCHEMA_LABEL, "") for table in tables)
    return [int(label) for label in labels if label.isdecimal()]


def label(table: bigquery.Table, version: int) -> None:
    """Label the object at hand with a schema version; other labels stay."""
    table.labels = {**table.labels, SCHEMA_LABEL: str(version)}


def amend(present: bigquery.Table, table: bigquery.Table, relation: Relation) -> Difference:
    """Make the one that is there like the one that is wanted, as far as that can be.

    Only the object at hand is changed, to be sent with the properties that the difference names.
    """
    found = Difference()
    is_view = relation.kind is Kind.VIEW
    if present.table_type != ("VIEW" if is_view else "TABLE"):
        found.refused.append(f"it is a {present.table_type.lower().replace('_', ' ')}")
        return found
    if present.description != table.description:
        present.description = table.description
        _note(found, "description", "describe it anew")
    if not table.labels.items() <= present.labels.items():
        present.labels = {**present.labels, **table.labels}
        _note(found, "labels", "label it")
    if is_view:
        if present.view_query != table.view_query:
            present.view_query = table.view_query
            _note(found, "view_query", "replace its query")
        return found
    _amend_schema(present, table, found)
    _amend_partitioning(present, table, found)
    if (present.clustering_fields or []) != (table.clustering_fields or []):
        present.clustering_fields = table.clustering_fields
        by = ", ".join(table.clustering_fields or ["nothing"])
        _note(found, "clustering_fields", f"cluster it by {by}")
    return found


def described(present: bigquery.Table, relation: Relation) -> bool:
    """Give a view's columns their descriptions; whether one had another."""
    descriptions = {c.name: c.description or None for c in relation.columns}
    columns = [_redescribed(f, descriptions.get(f.name)) for f in present.schema]
    if columns == present.schema:
        return False
    present.schema = columns
    return True


def _amend_schema(present: bigquery.Table, table: bigquery.Table, found: Difference) -> None:
    there = {column.name: column for column in present.schema}
    want = {column.name: column for column in table.schema}
    found.refused.extend(f"{name} is not in the catalogue" for name in there if name not in want)
    for name, column in want.items():
        if name in there and _type(there[name]) != _type(column):
            found.refused.append(f"{name} is {_type(there[name])} instead of {_type(column)}")
    columns = [
        _redescribed(column, want[name].description if name in want else column.description)
        for name, column in there.items()
    ]
    added = [name for name in want if name not in there]
    if columns != present.schema:
        _note(found, "schema", "describe its columns anew")
    if added:
        _note(found, "schema", f"add {', '.join(added)}")
    present.schema = [*columns, *(want[name] for name in added)]


def _amend_partitioning(present: bigquery.Table, table: bigquery.Table, found: Difference) -> None:
    there, want = present.time_partitioning, table.time_partitioning
    if _by(there) != _by(want):
        found.refused.append(f"it is partitioned by {_by(there)} instead of {_by(want)}")
        return
    if want is None or there is None:
        return
    if there.expiration_ms != want.expiration_ms:
        # "For ever" must be sent as a null: what is left out stays as it is.
        there.expiration_ms = want.expiration_ms
        present.time_partitioning = there
        kept = f"for {want.expiration_ms // _DAY_MS} days" if want.expiration_ms else "for ever"
        _note(found, "time_partitioning", f"keep its partitions {kept}")
    if bool(present.require_partition_filter) != bool(table.require_partition_filter):
        present.require_partition_filter = table.require_partition_filter
        verb = "require" if table.require_partition_filter else "no longer require"
        _note(found, "require_partition_filter", f"{verb} a filter on its partitions")


def _note(found: Difference, property_: str, change: str) -> None:
    found.changes.append(change)
    if property_ not in found.properties:
        found.properties.append(property_)


def _partitioning(partitioning: Partitioning) -> bigquery.TimePartitioning:
    from google.cloud import bigquery

    days = partitioning.expiration_days
    return bigquery.TimePartitioning(
        type_=partitioning.unit.value,
        field=partitioning.column,
        expiration_ms=None if days is None else days * _DAY_MS,
    )


def _by(partitioning: bigquery.TimePartitioning | None) -> str:
    return f"{partitioning.type_} of {partitioning.field}" if partitioning else "nothing"


def _type(column: bigquery.SchemaField) -> str:
    """A column's type and mode, by the names of standard SQL."""
    name = _ONE_NAME.get(column.field_type, column.field_type)
    if column.fields:
        name = f"STRUCT<{', '.join(f'{inner.name} {_type(inner)}' for inner in column.fields)}>"
    return name if column.mode == "NULLABLE" else f"{name} {column.mode}"


def _redescribed(column: bigquery.SchemaField, description: str | None) -> bigquery.SchemaField:
    from google.cloud import bigquery

    if (column.description or None) == (description or None):
        return column
    return bigquery.SchemaField.from_api_repr(
        {**column.to_api_repr(), "description": description or ""}
    )
