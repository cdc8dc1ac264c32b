from __future__ import annotations

import contextlib
import threading
import time
from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest
import sqlglot

import pings
import playing
from expmon import connect
from expmon.catalog import RELATIONS
from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.model import Kind, Statement
from expmon.catalog.sources import EVENT_V4, EXPERIMENTS, MAIN_V4, STABLE_MAIN_V4
from expmon.errors import (
    NotDeployed,
    PartitionViolation,
    SchemaMismatch,
    WarehouseError,
    WarehouseLocked,
)
from expmon.statements.build import tables_of
from expmon.statements.embedded import clients_ungathered
from expmon.warehouse.duckdb import DuckDBWarehouse
from expmon.warehouse.protocol import Write
from expmon.windows import Partition
from playing import at

DAILY = RELATIONS["telemetry_derived.experiments_daily_active_clients_v1"]
HOURLY = ENROLLMENT.hourly
RECENTS = RELATIONS["telemetry_derived.experiment_search_aggregates_recents_v1"]
DERIVED = RELATIONS["telemetry_derived.experiment_enrollment_overall_v1"]
MEMO = "telemetry_derived.expmon_partitions_v1"
DAY = Partition.of_day(date(2021, 1, 26))
NOW = at("2021-01-26T05:00")
NO_WAIT = timedelta(0)


@pytest.fixture
def warehouse(warehouse_file):
    """A deployed, empty warehouse."""
    opened = DuckDBWarehouse(warehouse_file)
    yield opened
    opened.close()


@contextlib.contextmanager
def by_hand(path):
    """A connection of one's own, without expmon."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{path}' AS warehouse; USE warehouse; SET TimeZone = 'UTC'")
        yield connection


def everything(path):
    """The tables and views with their definitions, and every row of every table."""
    with by_hand(path) as connection:
        views = connection.sql("SELECT schema_name, view_name, sql FROM duckdb_views()").fetchall()
        found = connection.sql(
            "SELECT schema_name || '.' || table_name, sql FROM duckdb_tables()"
        ).fetchall()
        rows = {
            name: connection.sql(f"SELECT * FROM {name}").to_arrow_table().to_pylist()
            for name, _ in found
        }
    return sorted(views), sorted(found), rows


def select(text, relation):
    return Statement(relation.name, sqlglot.parse_one(text, dialect="bigquery"))


def write(warehouse, relation, partition, text, *, as_of=NOW):
    statement = select(text, relation)
    (entry,) = warehouse.write([Write(relation, partition, statement, {}, as_of)])
    return entry


def clients(day, *counts):
    """A statement with a row of so many active clients each."""
    rows = (
        f"SELECT DATE '{day}' AS submission_date, 'exp' AS experiment_id, 'a' AS branch, "
        f"{count} AS active_clients"
        for count in counts
    )
    return " UNION ALL ".join(rows)


def points(moment):
    """A statement with one point of a derived dataset."""
    return (
        f"SELECT TIMESTAMP '{moment} UTC' AS time, 'a' AS branch, 'exp' AS experiment, 1 AS value"
    )


def rows(warehouse, relation, *columns):
    text = f"SELECT {', '.join(columns)} FROM {relation.name} ORDER BY 1, 2"
    found = warehouse.query(select(text, relation), {}).to_pylist()
    return [tuple(row.values()) for row in found]


def event_row(moment):
    return {"document_id": "d", "submission_timestamp": moment}


def test_deploy_makes_every_relation_of_the_catalogue_and_says_so(tmp_path):
    with connect(f"duckdb://{tmp_path}/new.duckdb") as monitor:
        done = monitor.deploy()
    assert len(done) == len(set(done)) == len(RELATIONS)
    with by_hand(tmp_path / "new.duckdb") as connection:
        found = connection.sql(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables"
        ).fetchall()
    assert {name for (name,) in found} == RELATIONS.keys()


def test_a_second_deploy_changes_nothing(warehouse, warehouse_file):
    write(warehouse, DAILY, DAY, clients("2021-01-26", 5))
    warehouse.close()
    before = everything(warehouse_file)
    assert warehouse.deploy() == []
    warehouse.close()
    assert everything(warehouse_file) == before


def test_a_view_that_differs_is_replaced_and_nothing_else(warehouse, warehouse_file):
    before = everything(warehouse_file)
    view = "telemetry.experiment_enrollment_overall"
    with by_hand(warehouse_file) as connection:
        connection.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT 1 AS x")
    assert warehouse.deploy() == [f"replace view {view}"]
    warehouse.close()
    assert everything(warehouse_file) == before


def test_what_is_missing_is_made_again_beside_the_rest(warehouse, warehouse_file):
    with by_hand(warehouse_file) as connection:
        connection.execute("DROP TABLE telemetry_derived.expmon_lease_v1")
        connection.execute("DROP VIEW telemetry.experiment_cumulative_ad_clicks")
    assert sorted(warehouse.deploy()) == [
        "create table telemetry_derived.expmon_lease_v1",
        "create view telemetry.experiment_cumulative_ad_clicks",
    ]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("ALTER TABLE {} DROP COLUMN value", "value is missing"),
        ("ALTER TABLE {} ADD COLUMN extra BIGINT", "extra is not in the catalogue"),
        ("ALTER TABLE {} ALTER value TYPE DOUBLE", "value is DOUBLE instead of BIGINT"),
        ("ALTER TABLE {} ALTER time TYPE TIMESTAMP", "time is TIMESTAMP instead of"),
        (
            "CREATE OR REPLACE TABLE {} AS SELECT time, experiment, branch, value FROM {}",
            "the columns are in another order",
        ),
    ],
    ids=["missing", "more", "another type", "no zone", "another order"],
)
def test_a_table_of_other_columns_is_refused_and_nothing_is_changed(
    warehouse, warehouse_file, change, difference
):
    with by_hand(warehouse_file) as connection:
        connection.execute(change.replace("{}", DERIVED.name))
        # What comes before it in the catalogue is not made either.
        connection.execute("DROP TABLE telemetry_derived.expmon_lease_v1")
        connection.execute("DROP TABLE telemetry_live.event_v4")
        connection.execute("CREATE OR REPLACE VIEW telemetry.clients_daily AS SELECT 1 AS x")
    before = everything(warehouse_file)
    with pytest.raises(SchemaMismatch) as caught:
        warehouse.deploy()
    assert caught.value.relation == DERIVED.name
    assert [difference in told for told in caught.value.differences] == [True]
    warehouse.close()
    assert everything(warehouse_file) == before


@pytest.mark.parametrize(
    ("relation", "is_there"),
    [
        (DERIVED, "view"),
        (EVENT_V4, "view"),
        (RELATIONS["telemetry.experiment_enrollment_overall"], "base table"),
        (RELATIONS["telemetry.clients_daily"], "base table"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_view_in_a_tables_place_is_refused_and_so_is_the_reverse(
    warehouse, warehouse_file, relation, is_there
):
    is_view = relation.kind is Kind.VIEW or relation.name == "telemetry.clients_daily"
    made = "TABLE" if is_view else "VIEW"
    with by_hand(warehouse_file) as connection:
        connection.execute(f"DROP {'VIEW' if is_view else 'TABLE'} {relation.name}")
        connection.execute(f"CREATE {made} {relation.name} AS SELECT 1 AS x")
    before = everything(warehouse_file)
    with pytest.raises(SchemaMismatch, match=f"it is a {is_there}"):
        warehouse.deploy()
    warehouse.close()
    assert everything(warehouse_file) == before


def test_a_write_replaces_its_partition_alone(warehouse):
    for day in (25, 26, 27):
        partition = Partition.of_day(date(2021, 1, day))
        write(warehouse, DAILY, partition, clients(f"2021-01-{day}", day))
    entry = write(warehouse, DAILY, DAY, clients("2021-01-26", 1, 2))
    assert (entry.rows, entry.as_of) == (2, NOW)
    assert rows(warehouse, DAILY, "submission_date", "active_clients") == [
        (date(2021, 1, 25), 25),
        (date(2021, 1, 26), 1),
        (date(2021, 1, 26), 2),
        (date(2021, 1, 27), 27),
    ]
    written = warehouse.state().partitions(DAILY)
    assert written[DAY] == entry
    assert {partition.id: known.rows for partition, known in written.items()} == {
        "20210125": 1,
        "20210126": 2,
        "20210127": 1,
    }


def test_a_partition_that_is_rightly_empty_is_remembered(warehouse):
    write(warehouse, DAILY, DAY, clients("2021-01-26", 1))
    write(warehouse, DAILY, DAY, f"SELECT * FROM ({clients('2021-01-26', 1)}) WHERE FALSE")
    assert rows(warehouse, DAILY, "submission_date", "active_clients") == []
    assert warehouse.state().partitions(DAILY)[DAY].rows == 0


@pytest.mark.parametrize(
    ("moment", "is_inside"),
    [
        ("2021-01-26 00:00:00", True),
        ("2021-01-26 23:59:59.999999", True),
        ("2021-01-25 23:59:59.999999", False),
        ("2021-01-27 00:00:00", False),
    ],
)
def test_a_days_partition_is_half_open_in_utc(warehouse, moment, is_inside):
    expected = contextlib.nullcontext() if is_inside else pytest.raises(PartitionViolation)
    with expected:
        write(warehouse, DERIVED, DAY, points(moment))
    assert len(rows(warehouse, DERIVED, "time", "value")) == is_inside


@pytest.mark.parametrize(
    "strangers",
    [
        clients("2021-01-25", 1),
        f"{clients('2021-01-26', 1)} UNION ALL {clients('2021-01-27', 2)}",
        clients("2021-01-26", 1).replace("DATE '2021-01-26'", "CAST(NULL AS DATE)"),
    ],
    ids=["another day", "one of two", "no day"],
)
def test_rows_of_another_partition_are_refused_and_nothing_is_written(
    warehouse, warehouse_file, strangers
):
    write(warehouse, DAILY, DAY, clients("2021-01-26", 5))
    warehouse.close()
    before = everything(warehouse_file)
    with pytest.raises(PartitionViolation) as caught:
        write(warehouse, DAILY, DAY, strangers)
    error = caught.value
    assert (error.relation, error.partition, error.rows) == (DAILY.name, "20210126", 1)
    assert "submission_date" in error.sql
    warehouse.close()
    assert everything(warehouse_file) == before


@pytest.mark.parametrize(
    "text",
    [
        clients("2021-01-26", "CAST('no number' AS INT64)"),
        clients("2021-01-26", 9).replace("AS active_clients", "AS other_name"),
        clients("2021-01-26", "'no number'"),
        "SELECT nothing FROM telemetry_derived.gone",
    ],
    ids=["fails as it runs", "another column", "another type", "a missing table"],
)
def test_a_statement_that_fails_leaves_table_and_memo_as_they_were_and_the_next_succeeds(
    warehouse, warehouse_file, text
):
    write(warehouse, DAILY, DAY, clients("2021-01-26", 5))
    warehouse.close()
    before = everything(warehouse_file)
    with pytest.raises(WarehouseError) as caught:
        write(warehouse, DAILY, DAY, text)
    assert isinstance(caught.value.__cause__, duckdb.Error)
    assert caught.value.sql
    warehouse.close()
    assert everything(warehouse_file) == before
    write(warehouse, DAILY, DAY, clients("2021-01-26", 7))
    assert rows(warehouse, DAILY, "submission_date", "active_clients") == [(date(2021, 1, 26), 7)]


def test_a_job_begins_later_than_everything_that_was_written_before(warehouse):
    entries = [
        write(warehouse, DAILY, DAY, clients("2021-01-26", 1)),
        write(warehouse, DERIVED, DAY, points("2021-01-26 00:00:00")),
        write(warehouse, DAILY, DAY, clients("2021-01-26", 2)),
    ]
    times = [moment for entry in entries for moment in (entry.started_at, entry.modified_at)]
    assert times == sorted(set(times))


def hour_of_counts(hour):
    counts = ", ".join(f"0 AS {column}" for column in ENROLLMENT.measures)
    moment = f"{hour:%Y-%m-%d %H}"
    return (
        "SELECT 't' AS type, 'exp' AS experiment, 'a' AS branch, "
        f"TIMESTAMP '{moment}:00:00 UTC' AS window_start, "
        f"TIMESTAMP '{moment}:05:00 UTC' AS window_end, {counts}"
    )


def test_hourly_partitions_alone_expire_after_14_days_with_their_entries(warehouse):
    old = Partition.of_day(date(2020, 1, 1))
    write(warehouse, DAILY, old, clients("2020-01-01", 1), as_of=at("2020-01-02T03:00"))
    hours = [at(f"2021-01-12T{hour:02}:00") for hour in (3, 4, 5, 6)]
    for hour in hours:
        write(warehouse, HOURLY, Partition.of_hour(hour), hour_of_counts(hour), as_of=hour)
    recent = at("2021-01-26T04:00")
    write(warehouse, HOURLY, Partition.of_hour(recent), hour_of_counts(recent), as_of=NOW)
    kept = [*hours[2:], recent]
    assert [row[0] for row in rows(warehouse, HOURLY, "window_start", "experiment")] == kept
    assert sorted(warehouse.state().partitions(HOURLY)) == [Partition.of_hour(h) for h in kept]
    assert list(warehouse.state().partitions(DAILY)) == [old]
    assert len(rows(warehouse, DAILY, "submission_date", "branch")) == 1


def test_a_load_remembers_which_days_changed_and_when(warehouse):
    before = datetime.now(UTC)
    warehouse.load(EVENT_V4, [event_row(at("2021-01-25T23:59:59.999999")), event_row(NOW)])
    source = warehouse.state().sources[EVENT_V4.name]
    assert source.first_day == date(2021, 1, 25)
    first = source.modified
    assert first.keys() == {date(2021, 1, 25), date(2021, 1, 26)}
    assert all(before <= moment <= datetime.now(UTC) for moment in first.values())
    warehouse.load(EVENT_V4, [event_row(at("2021-01-26T06:00"))])
    second = warehouse.state().sources[EVENT_V4.name].modified
    assert second[date(2021, 1, 25)] == first[date(2021, 1, 25)]
    assert second[date(2021, 1, 26)] > first[date(2021, 1, 26)]


def test_a_final_day_looks_at_its_own_pings_alone_and_everybody_else_at_all(warehouse):
    warehouse.deploy()
    days = [date(2021, 1, day) for day in (25, 26, 27)]
    noons = [at(f"{day}T12:00") for day in days]
    warehouse.load(MAIN_V4, [{"document_id": "d", "submission_timestamp": noon} for noon in noons])
    seen = f"SELECT DATE(submission_timestamp) AS submission_date FROM {STABLE_MAIN_V4.name}"
    of_step = (
        "SELECT submission_date, 'exp' AS experiment_id, 'a' AS branch, 1 AS active_clients "
        f"FROM ({seen})"
    )
    assert write(warehouse, DAILY, DAY, of_step).rows == 1
    with pytest.raises(WarehouseError):
        write(warehouse, DAILY, DAY, f"SELECT 1 / 0 AS no_such_columns FROM ({seen})")
    found = warehouse.query(select(seen, DAILY), {}).column("submission_date").to_pylist()
    assert sorted(found) == days


def test_a_final_day_that_is_interrupted_at_its_start_leaves_others_to_look_at_all(warehouse):
    warehouse.deploy()
    warehouse.load(MAIN_V4, [{"document_id": "d", "submission_timestamp": NOW}])
    execute = warehouse._file.execute

    def interrupted(sql, *arguments, **options):
        if "expmon_until" in sql and sql.startswith("SET"):
            raise KeyboardInterrupt
        execute(sql, *arguments, **options)

    warehouse._file.execute = interrupted
    with pytest.raises(KeyboardInterrupt):
        write(warehouse, DAILY, Partition.of_day(date(2021, 1, 27)), clients("2021-01-27", 1))
    warehouse._file.execute = execute
    seen = f"SELECT document_id FROM {STABLE_MAIN_V4.name}"
    assert warehouse.query(select(seen, DAILY), {}).num_rows == 1


def test_a_load_by_key_replaces_the_rows_of_that_key(warehouse):
    for channel in ("beta", "release"):
        loaded = [{"normandy_slug": slug, "channel": channel} for slug in ("a", channel)]
        warehouse.load(EXPERIMENTS, loaded, key="normandy_slug")
    assert rows(warehouse, EXPERIMENTS, "normandy_slug", "channel") == [
        ("a", "release"),
        ("beta", "beta"),
        ("release", "release"),
    ]


def test_a_closed_monitor_can_be_used_again(warehouse_file):
    monitor = connect(f"duckdb://{warehouse_file}")
    for _ in range(3):
        assert monitor.experiments(NOW).empty
        monitor.close()
        monitor.close()
        with by_hand(warehouse_file) as connection:
            assert connection.sql(f"SELECT * FROM {MEMO}").fetchall() == []


@pytest.mark.parametrize("path", ["{}", "{}/../{name}/monitoring.duckdb", "link"])
def test_two_monitors_of_a_process_share_a_file(monitor, warehouse_file, tmp_path, path):
    (tmp_path / "link.duckdb").symlink_to(warehouse_file)
    place = {
        "{}": warehouse_file,
        "link": tmp_path / "link.duckdb",
    }.get(path, f"{tmp_path}/../{tmp_path.name}/monitoring.duckdb")
    assert monitor.experiments(NOW).empty
    with connect(f"duckdb://{place}") as second:
        ping = pings.event_ping("2021-01-26T00:01:00Z", pings.event("enroll"))
        playing.ingest(second, tmp_path / "p.jsonl", [ping])
        monitor.run("live", NOW)
        frame = second.fetch_dataframe("experiment_enrollment_overall", "exp")
        assert frame["value"].tolist() == [1]
    assert len(monitor.fetch_dataframe("experiment_enrollment_overall", "exp")) == 1


def test_a_table_that_is_gone_is_named(warehouse, warehouse_file):
    with by_hand(warehouse_file) as connection:
        connection.execute(f"DROP TABLE {MEMO}")
    with pytest.raises(NotDeployed) as caught:
        warehouse.state()
    assert caught.value.relation == MEMO


def test_a_second_run_leaves_while_another_has_the_lease(warehouse, warehouse_file):
    other = DuckDBWarehouse(warehouse_file)
    with warehouse.lease(NO_WAIT):
        for wait in (NO_WAIT, timedelta(milliseconds=100)):
            with pytest.raises(WarehouseLocked, match="another run writes to"), other.lease(wait):
                pass
    with other.lease(NO_WAIT):
        write(other, DAILY, DAY, clients("2021-01-26", 1))
    other.close()
    assert warehouse.state().partitions(DAILY)[DAY].rows == 1


def test_a_second_run_waits_for_the_first_if_asked(warehouse, warehouse_file):
    taken, ended = threading.Event(), []

    def first():
        with warehouse.lease(NO_WAIT):
            taken.set()
            time.sleep(0.3)
            ended.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert taken.wait(10)
    other = DuckDBWarehouse(warehouse_file)
    with other.lease(timedelta(seconds=30)):
        ended.append("second")
    thread.join()
    other.close()
    assert ended == ["first", "second"]


def test_a_run_that_fails_gives_the_lease_back(warehouse):
    with pytest.raises(PartitionViolation), warehouse.lease(NO_WAIT):
        write(warehouse, DAILY, DAY, clients("2021-01-27", 1))
    with warehouse.lease(NO_WAIT):
        assert warehouse.state().partitions(DAILY) == {}


def test_a_whole_table_is_replaced_and_its_entry_has_no_partition(warehouse):
    sums = "1 AS search_count, 2 AS search_with_ads_count, 3 AS ad_clicks_count"
    for branch in ("a", "b"):
        text = (
            f"SELECT 'exp' AS experiment, '{branch}' AS branch, "
            "TIMESTAMP '2021-01-26 00:00:00 UTC' AS window_start, "
            f"TIMESTAMP '2021-01-26 00:05:00 UTC' AS window_end, {sums}"
        )
        write(warehouse, RECENTS, Partition.whole(), text)
    assert rows(warehouse, RECENTS, "experiment", "branch") == [("exp", "b")]
    assert list(warehouse.state().partitions(RECENTS)) == [Partition.whole()]


def test_a_client_of_several_pings_counts_once_in_each_of_its_branches(warehouse, tmp_path):
    with connect(f"duckdb://{warehouse._file.path}") as monitor:
        branches = ["a", "a", "b", "a"]
        sent = [
            pings.main_ping(f"2021-01-26T0{hour}:00:00Z", {"exp": branch}, client="one")
            for hour, branch in enumerate(branches)
        ]
        playing.ingest(monitor, tmp_path / "pings.jsonl", sent)
        monitor.run("daily", at("2021-01-27T04:00"))
        columns = "submission_date", "experiment_id", "branch", "active_clients"
        counted = playing.rows(monitor, DAILY.name, *columns)
    assert counted == [(DAY.day, "exp", "a", 1), (DAY.day, "exp", "b", 1)]


def test_a_statement_that_counts_rows_reads_clients_gathered(warehouse):
    names = warehouse.names
    counting = "SELECT {} AS active_clients FROM `{}` CROSS JOIN UNNEST(experiments) AS member"
    place = names.of(RELATIONS["telemetry.clients_daily"])
    for measure, reads in (
        ("COUNT(DISTINCT client_id)", STABLE_MAIN_V4),
        ("COUNT(*)", RELATIONS["telemetry.clients_daily"]),
        ("COUNT(DISTINCT client_id) + COUNT(*)", RELATIONS["telemetry.clients_daily"]),
    ):
        statement = select(counting.format(measure, place), DAILY)
        read = clients_ungathered(statement, names)
        assert tables_of(read.tree) == [f"{names.of(reads)}"]
