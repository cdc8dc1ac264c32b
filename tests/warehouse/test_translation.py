"""Each rule of the translation gives, on DuckDB, the answer that BigQuery gives."""

from __future__ import annotations

import gc
import weakref
from datetime import UTC, date, datetime

import duckdb
import pyarrow as pa
import pytest
import sqlglot

from expmon.catalog.enrollment import LEGACY_TELEMETRY
from expmon.catalog.model import Statement
from expmon.catalog.search import SUMS
from expmon.errors import UnsupportedSQL
from expmon.warehouse.translation import duckdb_sql, duckdb_type

ENTRIES = "STRUCT(key VARCHAR, value BIGINT)[]"
EXTRAS = "STRUCT(key VARCHAR, value VARCHAR)[]"


@pytest.fixture
def engine():
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def translated(text):
    return duckdb_sql(Statement("the_test", sqlglot.parse_one(text, dialect="bigquery")))


def asked(engine, text, **parameters):
    """The rows of a query in BigQuery's dialect, as an Arrow table."""
    return engine.sql(translated(text), params=parameters).to_arrow_table()


def answer(engine, text, **parameters):
    """The only cell of a query in BigQuery's dialect."""
    (row,) = asked(engine, text, **parameters).to_pylist()
    (cell,) = row.values()
    return cell


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def table_of(engine, type_, *cells):
    """A table t of one column x, with a number n for each row."""
    engine.execute(f"CREATE TABLE t (n BIGINT, x {type_})")
    for number, cell in enumerate(cells):
        engine.execute("INSERT INTO t VALUES (?, ?)", [number, cell])


def test_a_statement_is_translated_once_and_not_kept_when_it_is_gone():
    statement = Statement("the_test", sqlglot.parse_one("SELECT 1 AS x", dialect="bigquery"))
    gone = weakref.ref(statement)
    assert duckdb_sql(statement) is duckdb_sql(statement)
    del statement
    gc.collect()
    assert gone() is None


def test_a_dataset_is_a_schema_whatever_project_it_lies_in(engine):
    engine.execute("CREATE SCHEMA telemetry; CREATE TABLE telemetry.t AS SELECT 7 AS x")
    assert answer(engine, "SELECT x FROM `moz-fx-data-shared-prod`.telemetry.t") == 7


@pytest.mark.parametrize(
    "measure",
    [
        "SUM(x)",
        "SUM(x) OVER ()",
        "SUM(x) OVER (ORDER BY n)",
        "COUNTIF(x > 0)",
        "COUNT(*)",
        "COALESCE(SUM(x), 0)",
        "1 + SUM(x)",
        "COALESCE(1, 0) + SUM(COALESCE(x, 0)) OVER (ORDER BY n)",
    ],
)
def test_sums_and_counts_of_integers_are_int64(engine, measure):
    table_of(engine, "BIGINT", 1, 2)
    assert asked(engine, f"SELECT {measure} AS m FROM t").schema.field("m").type == pa.int64()


def test_sums_of_integers_are_exact_up_to_the_greatest(engine):
    table_of(engine, "BIGINT", 2**62, 2**62 - 1)
    assert answer(engine, "SELECT SUM(x) FROM t") == 2**63 - 1


def test_a_sum_that_int64_cannot_hold_is_an_error(engine):
    table_of(engine, "BIGINT", 2**62, 2**62)
    with pytest.raises(duckdb.Error, match="out of range"):
        answer(engine, "SELECT SUM(x) FROM t")


def test_a_running_sum_adds_up_in_order(engine):
    table_of(engine, "BIGINT", 1, None, 5)
    rows = asked(engine, "SELECT SUM(x) OVER (ORDER BY n) AS s FROM t ORDER BY n")
    assert rows.column("s").to_pylist() == [1, 1, 6]


@pytest.mark.parametrize(
    ("moment", "minutes", "bucket"),
    [
        ("2021-01-26 00:04:59.999999", 5, "2021-01-26 00:00:00"),
        ("2021-01-26 00:05:00", 5, "2021-01-26 00:05:00"),
        ("2021-01-26 00:05:00.000001", 5, "2021-01-26 00:05:00"),
        ("2021-01-25 23:59:59.999999", 5, "2021-01-25 23:55:00"),
        ("2021-01-26 00:29:59.999999", 30, "2021-01-26 00:00:00"),
        ("2021-01-26 00:30:00", 30, "2021-01-26 00:30:00"),
        ("2021-12-31 23:59:59.999999", 30, "2021-12-31 23:30:00"),
        ("2016-12-31 23:59:59.999999", 5, "2016-12-31 23:55:00"),
        ("1970-01-01 00:00:00", 5, "1970-01-01 00:00:00"),
        ("1969-12-31 23:59:59.999999", 5, "1969-12-31 23:55:00"),
        ("1969-12-31 23:55:00", 5, "1969-12-31 23:55:00"),
        ("1950-01-01 00:07:30", 5, "1950-01-01 00:05:00"),
        ("1900-02-28 23:59:59.999999", 30, "1900-02-28 23:30:00"),
        ("0001-01-01 00:00:00", 5, "0001-01-01 00:00:00"),
        ("9999-12-31 23:59:59.999999", 5, "9999-12-31 23:55:00"),
    ],
)
def test_a_timestamp_bucket_is_exact_to_the_microsecond(engine, moment, minutes, bucket):
    query = f"SELECT TIMESTAMP_BUCKET(@moment, INTERVAL {minutes} MINUTE)"
    assert answer(engine, query, moment=utc(moment)) == utc(bucket)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2021-01-26T00:00:00", date(2021, 1, 26)),
        ("2021-01-25T23:59:59.999999", date(2021, 1, 25)),
        ("2024-02-29T12:00:00", date(2024, 2, 29)),
        ("1969-12-31T23:59:59.999999", date(1969, 12, 31)),
        ("1582-10-15T00:00:00", date(1582, 10, 15)),
        ("0001-01-01T00:00:00", date(1, 1, 1)),
    ],
)
def test_the_day_of_a_time_is_that_in_utc(engine, moment, day):
    assert answer(engine, "SELECT DATE(@moment)", moment=utc(moment)) == day


def test_a_time_that_is_null_has_no_day(engine):
    assert answer(engine, "SELECT DATE(CAST(NULL AS TIMESTAMP))") is None


@pytest.mark.parametrize(
    ("expression", "moment"),
    [
        ("TIMESTAMP(@day)", "2021-01-26"),
        ("TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 1 DAY)", "2021-01-27"),
        ("TIMESTAMP_SUB(TIMESTAMP(@day), INTERVAL 5 MINUTE)", "2021-01-25T23:55"),
        ("TIMESTAMP_SUB(TIMESTAMP(@day), INTERVAL 13 DAY)", "2021-01-13"),
        (
            "TIMESTAMP_TRUNC(TIMESTAMP_ADD(TIMESTAMP(@day), INTERVAL 125 MINUTE), HOUR)",
            "2021-01-26T02:00",
        ),
    ],
)
def test_times_of_a_day_are_instants_in_utc(engine, expression, moment):
    found = asked(engine, f"SELECT {expression} AS x", day=date(2021, 1, 26))
    assert found.schema.field("x").type == pa.timestamp("us", "UTC")
    assert found.column("x").to_pylist() == [utc(moment)]


@pytest.mark.parametrize(
    ("moment", "day"),
    [("2021-01-26 00:00:00", 26), ("2021-01-25 23:59:59.999999", 25)],
)
def test_the_date_of_a_timestamp_is_that_in_utc(engine, moment, day):
    assert answer(engine, "SELECT DATE(@moment)", moment=utc(moment)) == date(2021, 1, day)


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ('{"sum": 7}', "7"),
        ('{"sum": "7"}', "7"),
        ('  {"sum":7}', "7"),
        ('{"other": 1}', None),
        ('{"sum": null}', None),
        ('{"sum": 7', None),
        ("{sum: 7}", None),
        ('{"sum": 7}}', None),
        ('{"sum": 7,}', None),
        ('{"sum": 7, "x": NaN}', None),
        ('{"sum": 7, "x": "a,]NaN"}', "7"),
        ("no JSON", None),
        ("", None),
        ("[1]", None),
        ("7", None),
        (None, None),
    ],
)
def test_a_value_of_a_broken_document_is_null(engine, document, value):
    table_of(engine, "VARCHAR", document)
    assert answer(engine, "SELECT JSON_VALUE(SAFE.PARSE_JSON(x), '$.sum') FROM t") == value


def test_a_broken_document_beside_a_good_one_costs_only_itself(engine):
    table_of(engine, "VARCHAR", "{", '{"sum": 1}', "}")
    rows = asked(engine, "SELECT n, JSON_VALUE(SAFE.PARSE_JSON(x), '$.sum') AS v FROM t ORDER BY n")
    assert rows.column("v").to_pylist() == [None, "1", None]


@pytest.mark.parametrize(
    ("text", "pattern", "found"),
    [
        ("a17b", "[0-9]+", "17"),
        ("ab", "[0-9]+", None),
        ("", "[0-9]+", None),
        (None, "[0-9]+", None),
        ("4,7", "^[0-9]+,([0-9]+)$", "7"),
        ("4;7", "^[0-9]+,([0-9]+)$", None),
        ("ab", "a(x*)b", ""),
        ("it's", "'(s)", "s"),
        ("xab", "a*", ""),
        ("b", "(?:(a)|b)", None),
        ("ba", "(?:(a)|b)", None),
    ],
)
def test_what_a_pattern_does_not_match_is_null_and_not_empty(engine, text, pattern, found):
    table_of(engine, "VARCHAR", text)
    assert answer(engine, f'SELECT REGEXP_EXTRACT(x, r"{pattern}") FROM t') == found


def extra(key, value):
    return {"key": key, "value": value}


@pytest.mark.parametrize(
    ("extras", "branch"),
    [
        ([extra("branch", "a")], "a"),
        ([extra("branch", "a"), extra("branch", "b")], "a"),
        ([extra("other", "x"), extra("branch", "b"), extra("branch", "a")], "b"),
        ([extra("branch", None), extra("branch", "b")], None),
        ([extra("branch", ""), extra("branch", "b")], ""),
        ([extra("Branch", "a")], None),
        ([extra(None, "a"), extra("branch", "b")], "b"),
        ([extra("other", "x")], None),
        ([], None),
        (None, None),
    ],
    ids=[
        "one",
        "the first of two",
        "in the array's order",
        "a NULL first",
        "an empty text first",
        "another case",
        "a NULL key",
        "none",
        "no extras",
        "NULL",
    ],
)
def test_of_two_branch_extras_the_first_counts(engine, extras, branch):
    table_of(engine, EXTRAS, extras)
    assert (
        answer(
            engine,
            f"SELECT {LEGACY_TELEMETRY.branch} AS b FROM (SELECT x AS event_map_values FROM t)",
        )
        == branch
    )


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([1, 2, 3], 6),
        ([5], 5),
        ([1, None, 3], 4),
        ([None], None),
        ([], None),
        (None, None),
        ([2**62, 2**62 - 1], 2**63 - 1),
        ([-1, 1], 0),
    ],
)
def test_a_sum_over_an_array_is_null_where_there_is_nothing_to_add(engine, values, total):
    entries = None if values is None else [extra("k", value) for value in values]
    table_of(engine, ENTRIES, entries)
    rows = asked(engine, "SELECT (SELECT SUM(e.value) FROM UNNEST(x) AS e) AS total FROM t")
    assert rows.schema.field("total").type == pa.int64()
    assert rows.column("total").to_pylist() == [total]


def test_a_sum_over_an_array_may_leave_elements_out(engine):
    table_of(engine, ENTRIES, [extra("a", 1), extra("b", 2), extra("a", 4), extra(None, 8)])
    assert (
        answer(engine, "SELECT (SELECT SUM(e.value) FROM UNNEST(x) AS e WHERE e.key = 'a') FROM t")
        == 5
    )


@pytest.mark.parametrize("column", ["e", "value", "key", "__x"])
def test_an_arrays_elements_are_not_mixed_up_with_columns_of_the_same_name(engine, column):
    engine.execute(
        f"CREATE TABLE t AS SELECT 100 AS {column}, [{{'key': 'a', 'value': 7}}] AS items"
    )
    assert answer(engine, "SELECT (SELECT SUM(e.value) FROM UNNEST(items) AS e) FROM t") == 7


def test_a_subquery_over_an_array_that_reads_a_column_outside_is_refused_by_name(engine):
    with pytest.raises(UnsupportedSQL) as caught:
        translated("SELECT (SELECT SUM(e.value) FROM UNNEST(x) AS e WHERE e.key = n) FROM t")
    assert caught.value.name == "the_test"


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("7", 7),
        ("4,7", 7),
        ("3;2;7;1,2;0:0,1:5,2:1", 7),
        ('{"sum": 7, "values": {}}', 7),
        ('{"sum": "x"}', 0),
        ('{"sum": {"a": 7}}', 0),
        ("-7", 0),
        ("x", 0),
        (None, 0),
    ],
)
def test_a_histogram_is_summed_up_whichever_way_it_is_written(engine, written, count):
    table_of(engine, EXTRAS, [extra("google", written)])
    value = SUMS["search_count"].value
    query = f"SELECT COALESCE((SELECT SUM({value}) FROM UNNEST(x) AS entry), 0) FROM t"
    assert answer(engine, query) == count


@pytest.mark.parametrize(
    ("given", "found"),
    [(["a"], ["a"]), (["b", "a"], ["a", "b"]), ([], []), (["A", "a' OR TRUE"], [])],
)
def test_membership_is_that_of_the_array(engine, given, found):
    table_of(engine, "VARCHAR", "a", "b", None)
    rows = asked(engine, "SELECT x FROM t WHERE x IN UNNEST(@given) ORDER BY x", given=given)
    assert rows.column("x").to_pylist() == found


@pytest.mark.parametrize(("given", "found"), [(["a"], ["b"]), ([], ["a", "b"])])
def test_absence_is_that_of_the_array(engine, given, found):
    table_of(engine, "VARCHAR", "a", "b")
    rows = asked(engine, "SELECT x FROM t WHERE x NOT IN UNNEST(@given) ORDER BY x", given=given)
    assert rows.column("x").to_pylist() == found


def test_a_cross_join_has_a_row_for_each_element_and_none_for_empty_and_null_arrays(engine):
    table_of(engine, ENTRIES, [extra("a", 1), extra("b", None)], [], None, [extra(None, 2)])
    rows = asked(
        engine, "SELECT n, e.key AS k, e.value AS v FROM t CROSS JOIN UNNEST(x) AS e ORDER BY n, v"
    )
    assert sorted(map(str, rows.to_pylist())) == sorted(
        map(
            str,
            [
                {"n": 0, "k": "a", "v": 1},
                {"n": 0, "k": "b", "v": None},
                {"n": 3, "k": None, "v": 2},
            ],
        )
    )


def test_nested_arrays_are_unnested_one_in_the_other(engine):
    table_of(
        engine,
        "STRUCT(events STRUCT(m VARCHAR)[])[]",
        [{"events": [{"m": "a"}, {"m": "b"}]}, {"events": None}, {"events": []}],
        [{"events": [{"m": "c"}]}, None],
    )
    rows = asked(
        engine,
        "SELECT n, e.m AS m FROM t CROSS JOIN UNNEST(x) AS p CROSS JOIN UNNEST(p.events) AS e "
        "WHERE e.m <> 'b' ORDER BY m",
    )
    assert rows.to_pylist() == [{"n": 0, "m": "a"}, {"n": 1, "m": "c"}]


def test_an_array_parameter_is_a_source_of_rows(engine):
    given = [{"slug": "a", "start": utc("2021-01-26")}, {"slug": "b", "start": utc("2021-01-25")}]
    query = "SELECT e.slug AS s, e.start AS t FROM UNNEST(@given) AS e ORDER BY t"
    assert asked(engine, query, given=given).to_pylist() == [
        {"s": "b", "t": utc("2021-01-25")},
        {"s": "a", "t": utc("2021-01-26")},
    ]


@pytest.mark.parametrize(
    ("first", "last", "minutes"),
    [("00:00", "00:10", [0, 5, 10]), ("00:05", "00:05", [5]), ("00:05", "00:00", [])],
)
def test_windows_are_made_up_to_the_last_one_inclusive(engine, first, last, minutes):
    engine.execute("CREATE TABLE t AS SELECT 1 AS n")
    query = (
        "SELECT w FROM t CROSS JOIN "
        "UNNEST(GENERATE_TIMESTAMP_ARRAY(@first, @last, INTERVAL 5 MINUTE)) AS w ORDER BY w"
    )
    bounds = {"first": utc(f"2021-01-26T{first}"), "last": utc(f"2021-01-26T{last}")}
    found = asked(engine, query, **bounds).column("w").to_pylist()
    assert found == [utc(f"2021-01-26T00:{m:02}") for m in minutes]


def test_nulls_are_sorted_first_and_last_when_descending(engine):
    table_of(engine, "VARCHAR", "b", None, "a")
    ascending = asked(engine, "SELECT x FROM t ORDER BY x").column("x").to_pylist()
    descending = asked(engine, "SELECT x FROM t ORDER BY x DESC").column("x").to_pylist()
    assert (ascending, descending) == ([None, "a", "b"], ["b", "a", None])


def test_points_are_gathered_newest_first_then_by_branch(engine):
    engine.execute("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'b'), (2, 'a'), (1, 'a')) v(x, b)")
    query = "SELECT ARRAY_AGG(STRUCT(x AS time, b) ORDER BY x DESC, b) AS points FROM t"
    assert answer(engine, query) == [
        {"time": 2, "b": "a"},
        {"time": 1, "b": "a"},
        {"time": 1, "b": "b"},
    ]


@pytest.mark.parametrize("value", ["a'b", "'; DROP TABLE t; --", "", "@given", "日本"])
def test_values_reach_the_engine_as_parameters(engine, value):
    assert answer(engine, "SELECT @given", given=value) == value


@pytest.mark.parametrize(
    ("bigquery", "found"),
    [
        ("INT64", "BIGINT"),
        ("STRING", "TEXT"),
        ("TIMESTAMP", "TIMESTAMPTZ"),
        ("DATE", "DATE"),
        ("BOOL", "BOOLEAN"),
        ("ARRAY<STRUCT<key STRING, value INT64>>", "STRUCT(key TEXT, value BIGINT)[]"),
    ],
)
def test_types_keep_their_meaning(bigquery, found):
    assert duckdb_type(bigquery) == found


# An id, a key and a moment each.
ARRIVALS = (
    (1, "a", 3),
    (2, "a", 1),
    (3, "a", 2),
    (4, "b", 5),
    (5, None, 9),
    (6, None, 9),
    (7, "c", None),
    (8, "c", 0),
)


@pytest.mark.parametrize(
    ("qualify", "kept"),
    [
        ("ROW_NUMBER() OVER (PARTITION BY k ORDER BY t) = 1", {2, 4, 7, (5, 6)}),
        ("k IS NULL OR ROW_NUMBER() OVER (PARTITION BY k ORDER BY t) = 1", {2, 4, 5, 6, 7}),
        ("ROW_NUMBER() OVER (PARTITION BY k ORDER BY t DESC) = 1", {1, 4, 8, (5, 6)}),
        ("ROW_NUMBER() OVER (PARTITION BY k ORDER BY t) = 2", {3, 8, (5, 6)}),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_first_row_of_each_group_is_found(engine, qualify, kept, backwards):
    engine.execute("CREATE TABLE t (n BIGINT, k VARCHAR, t BIGINT)")
    engine.executemany("INSERT INTO t VALUES (?, ?, ?)", ARRIVALS[:: -1 if backwards else 1])
    rows = asked(engine, f"SELECT n FROM main.t QUALIFY {qualify}").column("n").to_pylist()
    either = {n for choice in kept if isinstance(choice, tuple) for n in choice}
    certain = {choice for choice in kept if not isinstance(choice, tuple)}
    assert len(rows) == len(kept)
    assert certain <= set(rows) <= certain | either


def test_a_groups_first_row_is_one_of_those_that_the_query_asks_for(engine):
    engine.execute("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a', 1), (2, 'a', 2)) v(n, k, t)")
    first = "QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY t) = 1"
    assert answer(engine, f"SELECT n FROM main.t WHERE t > 1 {first}") == 2


def test_the_first_rows_of_a_table_are_found_by_their_ids(engine):
    first = "QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY t) = 1"
    assert "rowid" in translated(f"SELECT n FROM main.t {first}")
    of_a_step = f"WITH t AS (SELECT 1 AS n), u AS (SELECT n FROM t {first}) SELECT n FROM u"
    assert "rowid" not in translated(of_a_step)


def test_groups_whose_keys_have_the_same_hash_are_two(engine):
    engine.execute("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a', 1), (2, 'b', 2)) v(n, k, t)")
    engine.execute("CREATE MACRO hash(k) AS 1")
    first = "QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY t) = 1"
    assert answer(engine, f"SELECT SUM(n) FROM (SELECT n FROM main.t {first})") == 3
    assert answer(engine, "SELECT HASH('a') = HASH('b')") is True
