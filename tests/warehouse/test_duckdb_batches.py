"""Arrays that DuckDB is asked the rows of: the same as its own, within a bounded memory."""

from __future__ import annotations

from contextlib import closing

import pytest
import sqlglot

from expmon.catalog.model import Parameter, Statement
from expmon.errors import NotDeployed, WarehouseError
from expmon.warehouse import duckdb_file
from expmon.warehouse.duckdb import DuckDBWarehouse

LIMIT = "SELECT current_setting('memory_limit')"


@pytest.fixture
def warehouse(warehouse_file):
    opened = DuckDBWarehouse(warehouse_file)
    yield opened
    opened.close()


def statement(*sources):
    """The even and the odd numbers of each source, the latest first."""
    queries = [
        f"SELECT '{name}' AS name, MOD(n, 2) AS rest, "
        "ARRAY_AGG(STRUCT(n AS number, n * n AS square) ORDER BY n DESC) AS numbers "
        f"FROM {source} AS n WHERE n < @end GROUP BY rest"
        for name, source in sources
    ]
    text = " UNION ALL ".join(queries)
    tree = sqlglot.parse_one(text, dialect="bigquery")
    return Statement("numbers", tree, (Parameter("end", "INT64"),))


def rows(batches):
    return [row for batch in batches for row in batch.to_pylist()]


def numbers(*which):
    return [{"number": n, "square": n * n} for n in which]


def test_there_is_a_row_for_each_group_with_its_array_in_order(warehouse):
    two = statement(("b", "UNNEST([3, 1, 4, 2, 9])"), ("a", "UNNEST([5])"))
    assert rows(warehouse.batches(two, {"end": 9})) == [
        {"name": "a", "rest": 1, "numbers": numbers(5)},
        {"name": "b", "rest": 0, "numbers": numbers(4, 2)},
        {"name": "b", "rest": 1, "numbers": numbers(3, 1)},
    ]


def test_without_rows_there_is_no_batch(warehouse):
    assert rows(warehouse.batches(statement(("a", "UNNEST([5])")), {"end": 5})) == []


@pytest.mark.parametrize("batch_rows", [2_048, 100_000])  # DuckDB gives whole vectors
def test_arrays_go_on_from_batch_to_batch(warehouse, monkeypatch, batch_rows):
    monkeypatch.setattr(duckdb_file, "_BATCH_ROWS", batch_rows)
    one = statement(("a", "UNNEST(GENERATE_ARRAY(0, 9999))"))
    even, odd = rows(warehouse.batches(one, {"end": 10_000}))
    assert [even["rest"], odd["rest"]] == [0, 1]
    assert even["numbers"] == numbers(*range(9998, -1, -2))
    assert odd["numbers"] == numbers(*range(9999, 0, -2))


def test_memory_is_bounded_while_rows_come_and_as_it_was_after_it(warehouse):
    (before,) = warehouse._file.row(LIMIT)
    with closing(warehouse.batches(statement(("a", "UNNEST([5, 6])")), {"end": 9})) as batches:
        next(batches)
        assert warehouse._file.row(LIMIT) == ("381.4 MiB",)
    assert warehouse._file.row(LIMIT) == (before,)


def test_the_file_is_free_once_a_reader_stopped_early(warehouse, warehouse_file):
    one = statement(("a", "UNNEST(GENERATE_ARRAY(0, 999999))"))
    with closing(warehouse.batches(one, {"end": 1_000_000})) as batches:
        next(batches)
    warehouse.close()
    with closing(DuckDBWarehouse(warehouse_file)) as again:
        assert again.state().written == {}


def test_more_rows_than_the_memory_holds_wait_on_disk(warehouse, warehouse_file, monkeypatch):
    monkeypatch.setattr(duckdb_file, "_STREAMING_MEMORY", "32MB")
    one = statement(("a", "UNNEST(GENERATE_ARRAY(0, 2999999))"))
    sums = {}
    for batch in warehouse.batches(one, {"end": 3_000_000}):
        (points,) = batch.column("numbers")
        sums[batch.column("rest")[0].as_py()] = sum(points.values.field("number").to_pylist())
    assert sums == {0: 1_499_999 * 1_500_000, 1: 1_500_000 * 1_500_000}


def test_errors_are_those_of_any_query(warehouse):
    missing = statement(("a", "UNNEST((SELECT x FROM nowhere.at_all))"))
    with pytest.raises(NotDeployed):
        rows(warehouse.batches(missing, {"end": 1}))
    with pytest.raises(WarehouseError, match="numbers: "):
        rows(warehouse.batches(statement(("a", "UNNEST([5])")), {"end": "no number"}))
