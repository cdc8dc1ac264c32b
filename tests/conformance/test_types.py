"""One column has one meaning: in the catalogue, BigQuery's schemas, DuckDB, Arrow and pandas."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

import googlesql
import googletypes
from expmon.catalog import FETCHABLE, RELATIONS
from expmon.catalog.model import Names
from expmon.fetch import DTYPES
from expmon.statements import reading
from expmon.warehouse.duckdb import DuckDBWarehouse

ON_DUCKDB = {
    "STRING": "VARCHAR",
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "BOOL": "BOOLEAN",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
}
IN_ARROW = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}
IN_PANDAS = {
    "STRING": "str",
    "INT64": "int64",
    "DATE": "datetime64[us]",
    "TIMESTAMP": "datetime64[us, UTC]",
}


def fields(type_):
    """The fields of a struct by name; of anything else none."""
    return {field.field_name: field.field_type for field in type_.struct_type.field}


def is_array(type_):
    return type_.HasField("array_type")


def on_duckdb(type_):
    """BigQuery's type, written as DuckDB writes it."""
    if is_array(type_):
        return f"{on_duckdb(type_.array_type.element_type)}[]"
    if inner := fields(type_):
        return f"STRUCT({', '.join(f'{quoted(n)} {on_duckdb(t)}' for n, t in inner.items())})"
    return ON_DUCKDB[googletypes.type_text(type_)]


def quoted(name):
    return f'"{name}"'


def in_arrow(type_):
    if is_array(type_):
        return pa.list_(in_arrow(type_.array_type.element_type))
    if inner := fields(type_):
        return pa.struct([(name, in_arrow(t)) for name, t in inner.items()])
    return IN_ARROW[googletypes.type_text(type_)]


def declared(relation):
    return {column.name: googletypes.type_of(column.type) for column in relation.columns}


@pytest.fixture
def warehouse(warehouse_file):
    opened = DuckDBWarehouse(warehouse_file)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def spelled():
    """A type of DuckDB's, as it prints it itself: it leaves out quotes that are not needed."""
    with duckdb.connect() as connection:
        yield lambda type_: connection.execute(f"SELECT typeof(CAST(NULL AS {type_}))").fetchone()[
            0
        ]


@pytest.mark.parametrize("name", RELATIONS)
def test_duckdb_has_every_column_with_its_declared_type_in_order(warehouse, spelled, name):
    found = warehouse._described(warehouse._name(RELATIONS[name]))
    wanted = {n: spelled(on_duckdb(t)) for n, t in declared(RELATIONS[name]).items()}
    assert list(found.items()) == list(wanted.items())


@pytest.mark.parametrize("name", RELATIONS)
def test_rows_from_duckdb_have_the_declared_types_in_arrow(warehouse, name):
    found = warehouse._file.arrow(f"SELECT * FROM {warehouse._name(RELATIONS[name])}").schema
    wanted = {n: in_arrow(t) for n, t in declared(RELATIONS[name]).items()}
    assert dict(zip(found.names, found.types, strict=True)) == wanted


@pytest.mark.parametrize("name", FETCHABLE)
def test_a_dataframe_has_the_dtypes_of_the_types_that_google_resolves(monitor, name):
    resolved = googlesql.analyze(reading.fetch(FETCHABLE[name], Names(), ()))
    found = {n: str(dtype) for n, dtype in monitor.fetch_dataframe(name, "exp").dtypes.items()}
    assert list(found.items()) == [(column, IN_PANDAS[type_]) for column, type_ in resolved]


def test_the_list_of_experiments_has_the_dtypes_of_the_types_that_google_resolves(monitor):
    resolved = googlesql.analyze(reading.active_experiments(Names()))
    found = {n: str(dtype) for n, dtype in monitor.experiments().dtypes.items()}
    assert list(found.items()) == [(column, IN_PANDAS[type_]) for column, type_ in resolved]


def test_dtypes_are_declared_for_nothing_but_what_is_fetched():
    assert DTYPES == IN_PANDAS


@pytest.mark.parametrize("relation", googlesql.SCHEMAS, ids=lambda relation: relation.name)
def test_the_catalogue_declares_the_columns_of_mozillas_schema_in_order(relation):
    real = googletypes.schema_types(googlesql.SCHEMAS[relation])
    assert list(declared(relation).items()) == list(real.items())


@pytest.mark.parametrize("relation", googlesql.SCHEMAS, ids=lambda relation: relation.name)
def test_what_is_declared_is_part_of_mozillas_whole_schema(relation):
    real = googletypes.schema_types(googlesql.SCHEMAS[relation], whole=True)
    assert lacking(declared(relation), real) == []


def lacking(wanted, real, path=""):
    """The fields that the real ones lack, or have with another type."""
    found = []
    for name, type_ in wanted.items():
        place, inner = f"{path}.{name}", fields(element_of(type_))
        other = real.get(name)
        if other is None or is_array(type_) != is_array(other):
            found.append(place)
        elif inner:
            found += lacking(inner, fields(element_of(other)), place)
        elif type_ != other:
            found.append(place)
    return found


def element_of(type_):
    """Of an array what is in it, of anything else itself."""
    return type_.array_type.element_type if is_array(type_) else type_
