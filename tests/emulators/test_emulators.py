"""What expmon rests on of BigQuery and Cloud Storage holds for the servers that tests run against.

Each test uses Google's own client, as expmon does.
"""

from __future__ import annotations

import base64
import datetime as dt
import signal
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import grpc
import pyarrow as pa
import pytest
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, bigquery_storage, storage
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
    BigQueryReadGrpcTransport,
)
from google.cloud.storage.retry import DEFAULT_RETRY

from emulators import launch

pytestmark = pytest.mark.enable_socket

# Google's clients try again for ten minutes where nothing answers.
BRIEFLY = Retry(timeout=20)
PATIENTLY = DEFAULT_RETRY.with_timeout(20)  # fake-gcs-server cuts a connection now and then
SECONDS = 20
SCHEMA = (
    bigquery.SchemaField("window_start", "TIMESTAMP"),
    bigquery.SchemaField("branch", "STRING"),
    bigquery.SchemaField("count", "INTEGER", description="Clients."),
)
TWO_DAYS = """
SELECT TIMESTAMP '2021-01-26 00:00:00+00' AS window_start, 'a' AS branch, 1 AS count
UNION ALL SELECT TIMESTAMP '2021-01-26 23:55:00+00', 'b', 2
UNION ALL SELECT TIMESTAMP '2021-01-27 00:00:00+00', 'a', 3
"""
NO_ROW = "SELECT window_start, branch, count FROM (" + TWO_DAYS + ") WHERE FALSE"


# Servers and clients


@pytest.fixture(scope="module")
def bigquery_server():
    with launch.required(launch.bigquery()) as server:
        yield server


@pytest.fixture(scope="module")
def gcs_server():
    with launch.required(launch.gcs()) as server:
        yield server


@pytest.fixture
def client(bigquery_server):
    with bigquery_client(bigquery_server) as made:
        yield made


def bigquery_client(server: launch.BigQuery) -> bigquery.Client:
    return bigquery.Client(
        project=server.project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": server.rest_url},
    )


@pytest.fixture
def reader(bigquery_server):
    with grpc.insecure_channel(bigquery_server.grpc_target) as channel:
        yield bigquery_storage.BigQueryReadClient(
            transport=BigQueryReadGrpcTransport(channel=channel)
        )


# What the real Cloud Storage refuses and these do not, by the test that shows it.
LENIENT = {
    "fake-gcs-server": {
        "test_an_object_is_deleted_only_in_the_generation_that_was_read",
        "test_content_that_is_not_what_its_checksum_says_is_refused",
    },
    "gcp-storage-emulator": {
        "test_an_object_is_made_once_where_none_may_be_there",
        "test_an_object_is_replaced_only_in_the_generation_that_was_read",
        "test_nothing_is_replaced_where_something_must_be_there_and_is_not",
        "test_a_resumable_upload_keeps_to_the_generation_too",
        "test_an_object_is_deleted_only_in_the_generation_that_was_read",
        "test_of_many_that_race_one_wins",
    },
}


@pytest.fixture
def bucket(gcs_server, request):
    if request.node.originalname in LENIENT[gcs_server.kind]:
        gap = pytest.mark.xfail(
            raises=(pytest.fail.Exception, AssertionError),
            reason=f"{gcs_server.kind} does not refuse it",
            strict=True,
        )
        request.applymarker(gap)
    made = storage.Client(
        project="expmon-test",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": gcs_server.url},
    )
    yield made.create_bucket(f"expmon-{uuid.uuid4().hex}", retry=PATIENTLY, timeout=SECONDS)
    made.close()


@pytest.fixture
def dataset(client):
    """A dataset of this test's own."""
    name = f"d_{uuid.uuid4().hex}"
    client.create_dataset(name, retry=BRIEFLY, timeout=SECONDS)
    return f"{client.project}.{name}"


@pytest.fixture
def daily(client, dataset):
    """A table of days that holds three rows of two of them."""
    return table_of(client, f"{dataset}.daily", "DAY", TWO_DAYS)


def table_of(client, name, granularity, rows=None, schema=SCHEMA):
    table = bigquery.Table(name, schema=schema)
    if granularity:
        table.time_partitioning = bigquery.TimePartitioning(granularity, field="window_start")
    client.create_table(table, retry=BRIEFLY, timeout=SECONDS)
    if rows:
        run(client, f"INSERT INTO `{name}` (window_start, branch, count) {rows}")
    return name


def run(client, sql, destination=None, disposition="WRITE_TRUNCATE", job_id=None):
    """The rows of a query, written to `destination` the way expmon writes a partition."""
    config = bigquery.QueryJobConfig()
    if destination:
        config.destination = destination
        config.write_disposition = disposition
        config.create_disposition = "CREATE_NEVER"
    job = client.query(
        sql, job_config=config, job_id=job_id, job_retry=None, retry=BRIEFLY, timeout=SECONDS
    )
    rows = job.result(retry=BRIEFLY, timeout=SECONDS, job_retry=None)
    return [tuple(row) for row in rows]


def counts(client, table):
    return run(client, f"SELECT window_start, branch, count FROM `{table}` ORDER BY 1, 2")


def one_row(time_of_day, branch="new", count=9, day=26):
    return (
        f"SELECT TIMESTAMP '2021-01-{day} {time_of_day}+00' AS window_start, "
        f"'{branch}' AS branch, {count} AS count"
    )


def at(day, hour=0, minute=0):
    return dt.datetime(2021, 1, day, hour, minute, tzinfo=dt.UTC)


def modified(client, table):
    """What INFORMATION_SCHEMA.PARTITIONS says: partition to rows and time."""
    project, dataset, name = table.split(".")
    rows = run(
        client,
        "SELECT partition_id, total_rows, last_modified_time "
        f"FROM `{project}.{dataset}`.INFORMATION_SCHEMA.PARTITIONS WHERE table_name = '{name}'",
    )
    return {partition: (count, time) for partition, count, time in rows}


# A partition of BigQuery as the destination of a query


def test_a_partition_is_replaced_and_no_other_touched(client, daily):
    run(client, one_row("12:00:00"), f"{daily}$20210126")
    assert counts(client, daily) == [(at(26, 12), "new", 9), (at(27), "a", 3)]


def test_an_hour_is_replaced_and_no_other_touched(client, dataset):
    table = table_of(client, f"{dataset}.hourly", "HOUR", TWO_DAYS)
    run(client, one_row("23:00:00"), f"{table}$2021012623")
    assert counts(client, table) == [
        (at(26), "a", 1),
        (at(26, 23), "new", 9),
        (at(27), "a", 3),
    ]


def test_a_date_column_partitions_too(client, dataset):
    schema = [bigquery.SchemaField("day", "DATE"), bigquery.SchemaField("count", "INTEGER")]
    table = bigquery.Table(f"{dataset}.dates", schema=schema)
    table.time_partitioning = bigquery.TimePartitioning("DAY", field="day")
    client.create_table(table, retry=BRIEFLY, timeout=SECONDS)
    for day in (30, 31):
        run(
            client,
            f"SELECT DATE '2021-01-{day}' AS day, {day} AS count",
            f"{dataset}.dates$202101{day}",
        )
    run(client, "SELECT DATE '2021-01-31' AS day, 1 AS count", f"{dataset}.dates$20210131")
    assert run(client, f"SELECT day, count FROM `{dataset}.dates` ORDER BY day") == [
        (dt.date(2021, 1, 30), 30),
        (dt.date(2021, 1, 31), 1),
    ]


def test_a_statement_may_read_the_table_whose_partition_it_replaces(client, daily):
    sql = (
        f"SELECT window_start, branch, count * 10 AS count FROM `{daily}` "
        "WHERE window_start < '2021-01-27'"
    )
    run(client, sql, f"{daily}$20210126")
    assert [row[2] for row in counts(client, daily)] == [10, 20, 3]


def test_an_empty_result_empties_the_partition(client, daily):
    assert run(client, NO_ROW, f"{daily}$20210126") == []
    assert counts(client, daily) == [(at(27), "a", 3)]


def test_a_job_gives_the_rows_of_the_partition_it_wrote(client, daily):
    assert run(client, one_row("12:00:00"), f"{daily}$20210126") == [(at(26, 12), "new", 9)]


@pytest.mark.parametrize("moment", ["00:00:00", "23:59:59.999999"])
def test_a_row_of_another_partition_is_refused_and_nothing_written(client, daily, moment):
    before = counts(client, daily)
    sql = f"{one_row(moment, day=26)} UNION ALL {one_row('00:00:00', day=27)}"
    with pytest.raises(exceptions.BadRequest, match="Some rows belong to different partitions"):
        run(client, sql, f"{daily}$20210126")
    with pytest.raises(exceptions.BadRequest, match="Some rows belong to different partitions"):
        run(client, one_row(moment), f"{daily}$20210125")
    assert counts(client, daily) == before


def test_a_row_without_a_time_is_refused(client, daily):
    with pytest.raises(exceptions.BadRequest, match="Some rows belong to different partitions"):
        run(
            client,
            "SELECT CAST(NULL AS TIMESTAMP) AS window_start, 'a' AS branch, 1 AS count",
            f"{daily}$20210126",
        )


def test_a_partition_of_a_table_that_is_not_there_is_not_found(client, dataset):
    with pytest.raises(exceptions.NotFound, match="nowhere"):
        run(client, one_row("12:00:00"), f"{dataset}.nowhere$20210126")
    assert list(client.list_tables(dataset, retry=BRIEFLY, timeout=SECONDS)) == []


def test_a_table_without_partitions_has_none_to_write(client, dataset):
    table = table_of(client, f"{dataset}.recents", None, TWO_DAYS)
    with pytest.raises(exceptions.BadRequest, match="not partitioned"):
        run(client, one_row("12:00:00"), f"{table}$20210126")


def test_a_partition_can_be_appended_to_or_written_only_if_empty(client, daily):
    run(client, one_row("12:00:00"), f"{daily}$20210126", "WRITE_APPEND")
    with pytest.raises(exceptions.Conflict):
        run(client, one_row("13:00:00"), f"{daily}$20210126", "WRITE_EMPTY")
    assert [row[2] for row in counts(client, daily)] == [1, 9, 2, 3]


@pytest.mark.parametrize("decorator", ["2021012600", "202101", "20210199", "yesterday"])
def test_a_decorator_of_another_granularity_is_refused(client, daily, decorator):
    with pytest.raises(exceptions.BadRequest, match="decorator"):
        run(client, one_row("12:00:00"), f"{daily}${decorator}")


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ("branch, count, 1 AS more", "Cannot add fields"),
        ("branch", "count is missing"),
        ("branch, CAST(count AS STRING) AS count", "changed type from INT64 to STRING"),
    ],
)
def test_columns_that_are_not_the_tables_are_refused(client, daily, columns, why):
    sql = f"SELECT window_start, {columns} FROM ({one_row('12:00:00')})"
    with pytest.raises(exceptions.BadRequest, match=why):
        run(client, sql, f"{daily}$20210126")


def test_a_failing_statement_leaves_the_partition(client, daily):
    before = counts(client, daily)
    with pytest.raises(exceptions.BadRequest):
        run(client, one_row("12:00:00", count="DIV(1, 0)"), f"{daily}$20210126")
    assert counts(client, daily) == before


def test_nobody_sees_half_a_partition(bigquery_server, client, dataset):
    """Whoever reads while partitions are replaced sees all rows of one write, at any time."""
    table = table_of(client, f"{dataset}.busy", "DAY")

    def rows(count, day):
        return (
            f"SELECT TIMESTAMP_ADD(TIMESTAMP '2021-01-{day}', INTERVAL i MINUTE) AS window_start, "
            f"'a' AS branch, {count} AS count FROM UNNEST(GENERATE_ARRAY(1, 500)) AS i"
        )

    for day in (26, 27):
        run(client, rows(0, day), f"{table}$202101{day}")
    done = threading.Event()
    seen = set()

    def watch():
        with bigquery_client(bigquery_server) as other:
            while not done.is_set():
                sql = (
                    f"SELECT DATE(window_start), COUNT(*), MIN(count) = MAX(count) FROM `{table}` "
                    "GROUP BY 1 ORDER BY 1"
                )
                seen.add(tuple(row[1:] for row in run(other, sql)))

    def write(day):
        with bigquery_client(bigquery_server) as other:
            for count in range(1, 9):
                run(other, rows(count, day), f"{table}$202101{day}")

    with ThreadPoolExecutor() as pool:
        watching = pool.submit(watch)
        try:
            for writing in [pool.submit(write, day) for day in (26, 27)]:
                writing.result()
        finally:
            done.set()
        watching.result()
    assert seen == {((500, True), (500, True))}
    assert {(row[0].day, row[2]) for row in counts(client, table)} == {(26, 8), (27, 8)}


# Whole tables, nulls, jobs


def test_truncate_data_replaces_rows_and_keeps_the_descriptions(client, dataset):
    table = table_of(client, f"{dataset}.recents", None, TWO_DAYS)
    run(client, one_row("12:00:00"), table, "WRITE_TRUNCATE_DATA")
    assert counts(client, table) == [(at(26, 12), "new", 9)]
    assert (
        client.get_table(table, retry=BRIEFLY, timeout=SECONDS).schema[2].description == "Clients."
    )
    with pytest.raises(exceptions.BadRequest, match="Cannot add fields"):
        run(
            client,
            f"SELECT *, 1 AS more FROM ({one_row('12:00:00')})",
            table,
            "WRITE_TRUNCATE_DATA",
        )


def test_truncate_of_a_whole_table_loses_the_descriptions(client, dataset):
    table = table_of(client, f"{dataset}.recents", None, TWO_DAYS)
    run(client, one_row("12:00:00"), table)
    assert counts(client, table) == [(at(26, 12), "new", 9)]
    assert client.get_table(table, retry=BRIEFLY, timeout=SECONDS).schema[2].description is None


REQUIRED = (*SCHEMA[:2], bigquery.SchemaField("count", "INTEGER", mode="REQUIRED"))


def test_nulls_into_a_required_column_are_refused(client, dataset):
    table = table_of(client, f"{dataset}.strict", "DAY", TWO_DAYS, REQUIRED)
    merge = (
        f"MERGE `{table}` t USING ({one_row('12:00:00')}) s ON FALSE WHEN NOT MATCHED THEN INSERT "
        "(window_start, branch) VALUES (window_start, branch)"
    )
    for statement in (
        f"INSERT INTO `{table}` (window_start, branch) VALUES ('2021-01-26', 'a')",
        f"UPDATE `{table}` SET count = NULL WHERE TRUE",
        merge,
    ):
        with pytest.raises(exceptions.BadRequest, match="Required field count cannot be null"):
            run(client, statement)
    with pytest.raises(exceptions.BadRequest, match="Required field count cannot be null"):
        run(client, one_row("12:00:00", count="CAST(NULL AS INT64)"), table, "WRITE_APPEND")
    assert [row[2] for row in counts(client, table)] == [1, 2, 3]


@pytest.mark.parametrize("count", ["9", "CAST(NULL AS INT64)"])
def test_a_partition_with_a_required_column_takes_no_query(client, dataset, count):
    """A query's columns are NULLABLE, whatever is in them."""
    table = table_of(client, f"{dataset}.strict", "DAY", TWO_DAYS, REQUIRED)
    with pytest.raises(exceptions.BadRequest, match="changed mode from REQUIRED to NULLABLE"):
        run(client, one_row("12:00:00", count=count), f"{table}$20210126")


def test_a_job_id_is_taken_once(client, daily):
    job_id = f"expmon_{uuid.uuid4().hex}"
    run(client, one_row("12:00:00"), f"{daily}$20210126", job_id=job_id)
    with pytest.raises(exceptions.Conflict):
        run(client, one_row("13:00:00"), f"{daily}$20210126", job_id=job_id)
    assert client.get_job(job_id, retry=BRIEFLY, timeout=SECONDS).state == "DONE"
    assert counts(client, daily)[0] == (at(26, 12), "new", 9)


# The view PARTITIONS of BigQuery


def test_partitions_says_how_many_rows_and_when(client, dataset):
    before = dt.datetime.now(dt.UTC)
    table = table_of(client, f"{dataset}.daily", "DAY", TWO_DAYS)
    after = dt.datetime.now(dt.UTC)
    found = modified(client, table)
    assert {partition: rows for partition, (rows, _) in found.items()} == {
        "20210126": 2,
        "20210127": 1,
    }
    assert all(before <= time <= after for _, time in found.values())
    assert modified(client, table) == found


def test_the_time_of_a_written_partition_moves_and_no_other(client, daily):
    before = modified(client, daily)
    run(client, one_row("12:00:00"), f"{daily}$20210126")
    after = modified(client, daily)
    assert after["20210126"][0] == 1
    assert after["20210126"][1] > before["20210126"][1]
    assert after["20210127"] == before["20210127"]


def test_the_time_moves_by_the_same_rows_written_again(client, daily):
    run(client, one_row("12:00:00"), f"{daily}$20210126")
    before = modified(client, daily)
    run(client, one_row("12:00:00"), f"{daily}$20210126")
    assert modified(client, daily)["20210126"][1] > before["20210126"][1]


@pytest.mark.parametrize("how", ["insert", "update", "merge", "load", "stream"])
def test_the_time_moves_by_whatever_else_writes_rows(client, daily, how):
    before = modified(client, daily)
    row = {"window_start": "2021-01-26T06:00:00Z", "branch": "c", "count": 4}
    if how == "insert":
        run(client, f"INSERT INTO `{daily}` (window_start, branch, count) {one_row('06:00:00')}")
    elif how == "update":
        run(client, f"UPDATE `{daily}` SET count = 7 WHERE window_start < '2021-01-27'")
    elif how == "merge":
        run(
            client,
            f"MERGE `{daily}` t USING ({one_row('06:00:00')}) s ON FALSE WHEN NOT MATCHED "
            "THEN INSERT (window_start, branch, count) VALUES (window_start, branch, count)",
        )
    elif how == "load":
        config = bigquery.LoadJobConfig(schema=SCHEMA, write_disposition="WRITE_APPEND")
        client.load_table_from_json([row], daily, job_config=config, timeout=SECONDS).result(
            retry=BRIEFLY, timeout=SECONDS
        )
    else:
        assert client.insert_rows_json(daily, [row], retry=BRIEFLY, timeout=SECONDS) == []
    after = modified(client, daily)
    assert after["20210126"][1] > before["20210126"][1]
    assert after["20210127"] == before["20210127"]


def test_a_deletion_moves_no_time(client, daily):
    """The documentation says that it may not be reflected: nothing may rest on it."""
    before = modified(client, daily)
    run(client, f"DELETE FROM `{daily}` WHERE branch = 'b'")
    assert modified(client, daily)["20210126"] == (1, before["20210126"][1])


def test_an_emptied_partition_is_there_with_the_time_it_was_emptied(client, daily):
    before = modified(client, daily)
    run(client, NO_ROW, f"{daily}$20210126")
    run(client, NO_ROW, f"{daily}$20210128")
    after = modified(client, daily)
    assert after["20210126"][0] == 0
    assert after["20210126"][1] > before["20210126"][1]
    assert after["20210128"][0] == 0


def test_empty_partitions_can_be_gone_instead(bigquery_server):
    """What the real one says of them is not documented, so that both can be tried."""
    with (
        launch.required(launch.bigquery(empty_partitions="gone")) as server,
        bigquery_client(server) as client,
    ):
        client.create_dataset("d", retry=BRIEFLY, timeout=SECONDS)
        table = table_of(client, f"{client.project}.d.daily", "DAY", TWO_DAYS)
        run(client, NO_ROW, f"{table}$20210126")
        assert list(modified(client, table)) == ["20210127"]


@pytest.mark.parametrize("disposition", ["WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA"])
@pytest.mark.parametrize("sql", [NO_ROW, TWO_DAYS], ids=["no row", "three rows"])
def test_a_whole_table_has_one_time_which_moves(client, dataset, disposition, sql):
    table = table_of(client, f"{dataset}.recents", None, TWO_DAYS)
    before = modified(client, table)
    run(client, sql, table, disposition)
    after = modified(client, table)
    assert before[None][0] == 3
    assert after[None][0] == (0 if sql == NO_ROW else 3)
    assert after[None][1] > before[None][1]


def test_a_write_that_fails_moves_no_time(client, daily):
    before = modified(client, daily)
    for destination in (daily, f"{daily}$20210126"):
        with pytest.raises(exceptions.BadRequest):
            run(client, one_row("12:00:00", count="DIV(1, 0)"), destination)
    with pytest.raises(exceptions.BadRequest):
        run(client, one_row("12:00:00", day=27), f"{daily}$20210126")
    assert modified(client, daily) == before


def test_a_table_replaced_as_a_whole_has_the_partitions_of_its_rows(client, daily):
    run(client, one_row("12:00:00"), daily)
    assert list(modified(client, daily)) == ["20210126"]


def test_views_and_forgotten_tables_have_no_partitions(client, dataset, daily):
    view = bigquery.Table(f"{dataset}.view")
    view.view_query = f"SELECT window_start, branch, count FROM `{daily}`"
    client.create_table(view, retry=BRIEFLY, timeout=SECONDS)
    assert modified(client, f"{dataset}.view") == {}
    client.delete_table(daily, retry=BRIEFLY, timeout=SECONDS)
    table_of(client, daily, "DAY")
    assert modified(client, daily) == {}


# The ways of reading from BigQuery


def session(reader, table):
    project, dataset, name = table.split(".")
    return reader.create_read_session(
        parent=f"projects/{project}",
        read_session=bigquery_storage.ReadSession(
            table=f"projects/{project}/datasets/{dataset}/tables/{name}",
            data_format=bigquery_storage.DataFormat.ARROW,
        ),
        max_stream_count=1,
        retry=BRIEFLY,
        timeout=SECONDS,
    )


def test_the_storage_api_reads_a_table(client, reader, daily):
    opened = session(reader, daily)
    schema = pa.ipc.read_schema(pa.py_buffer(opened.arrow_schema.serialized_schema))
    found = []
    for answer in reader.read_rows(opened.streams[0].name, retry=BRIEFLY, timeout=SECONDS):
        batch = pa.py_buffer(answer.arrow_record_batch.serialized_record_batch)
        found += pa.ipc.read_record_batch(batch, schema)["count"].to_pylist()
    assert sorted(found) == [1, 2, 3]


@pytest.mark.filterwarnings("ignore:Retrieving Arrow record batches:PendingDeprecationWarning")
def test_the_storage_api_reads_the_result_of_a_query(client, reader, daily):
    job = client.query(f"SELECT branch, count FROM `{daily}`", retry=BRIEFLY, timeout=SECONDS)
    rows = job.result(retry=BRIEFLY, timeout=SECONDS).to_arrow(bqstorage_client=reader)
    assert sorted(rows["count"].to_pylist()) == [1, 2, 3]


def test_a_view_is_read_by_a_query_alone(client, reader, dataset, daily):
    view = bigquery.Table(f"{dataset}.view")
    view.view_query = f"SELECT window_start, branch, count FROM `{daily}`"
    made = client.create_table(view, retry=BRIEFLY, timeout=SECONDS)
    with pytest.raises(exceptions.InvalidArgument, match="non-table entities"):
        session(reader, f"{dataset}.view")
    with pytest.raises(exceptions.BadRequest, match="VIEW"):
        list(client.list_rows(made, retry=BRIEFLY, timeout=SECONDS))
    assert len(counts(client, f"{dataset}.view")) == 3


# Cloud Storage


def put(bucket, name, text, **more):
    """Upload; the object's generation."""
    blob = bucket.blob(name)
    blob.upload_from_string(text, retry=PATIENTLY, timeout=SECONDS, **more)
    return blob.generation


def text_of(bucket, name):
    return bucket.blob(name).download_as_text(retry=PATIENTLY, timeout=SECONDS)


def test_an_object_is_made_once_where_none_may_be_there(bucket):
    put(bucket, "claim", "first", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        put(bucket, "claim", "second", if_generation_match=0)
    assert text_of(bucket, "claim") == "first"


def test_an_object_is_replaced_only_in_the_generation_that_was_read(bucket):
    first = put(bucket, "claim", "first")
    second = put(bucket, "claim", "second", if_generation_match=first)
    assert second > first
    for wrong in (first, second + 1, 0):
        with pytest.raises(exceptions.PreconditionFailed):
            put(bucket, "claim", "third", if_generation_match=wrong)
    assert text_of(bucket, "claim") == "second"


def test_nothing_is_replaced_where_something_must_be_there_and_is_not(bucket):
    with pytest.raises((exceptions.PreconditionFailed, exceptions.NotFound)):
        put(bucket, "claim", "first", if_generation_match=123)
    assert not bucket.blob("claim").exists(retry=PATIENTLY, timeout=SECONDS)


def test_a_resumable_upload_keeps_to_the_generation_too(bucket):
    first = put(bucket, "large", "first")
    put(bucket, "large", "second")
    blob = bucket.blob("large", chunk_size=256 * 1024)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.upload_from_string(
            b"x" * 600_000, if_generation_match=first, retry=PATIENTLY, timeout=SECONDS
        )
    assert text_of(bucket, "large") == "second"


def test_an_object_is_deleted_only_in_the_generation_that_was_read(bucket):
    first = put(bucket, "claim", "first")
    put(bucket, "claim", "second")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("claim").delete(if_generation_match=first, retry=PATIENTLY, timeout=SECONDS)
    assert text_of(bucket, "claim") == "second"


@pytest.mark.parametrize("exists", [False, True])
def test_of_many_that_race_one_wins(bucket, exists):
    generation = put(bucket, "claim", "before") if exists else 0
    gate = threading.Barrier(8)

    def race(number):
        gate.wait(SECONDS)
        try:
            blob = bucket.blob("claim")
            text = f"by {number}"
            blob.upload_from_string(
                text, if_generation_match=generation, retry=None, timeout=SECONDS
            )
        except exceptions.PreconditionFailed:
            return "lost", number
        except ConnectionError:  # the server cuts one now and then, and its answer with it
            return "unknown", number
        return "won", number

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(race, range(8)))
    winners = [f"by {number}" for outcome, number in outcomes if outcome == "won"]
    perhaps = [f"by {number}" for outcome, number in outcomes if outcome == "unknown"]
    final = text_of(bucket, "claim")
    assert winners == [final] or (winners == [] and final in perhaps)


def test_the_checksum_is_that_of_the_content(bucket):
    put(bucket, "file.json", '{"a": 1}', checksum="crc32c")
    blob = bucket.get_blob("file.json", retry=PATIENTLY, timeout=SECONDS)
    crc = google_crc32c.value(b'{"a": 1}')
    assert blob.crc32c == storage_encoding(crc)
    assert (
        blob.download_as_bytes(checksum="crc32c", retry=PATIENTLY, timeout=SECONDS) == b'{"a": 1}'
    )


def storage_encoding(crc):
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def test_content_that_is_not_what_its_checksum_says_is_refused(bucket):
    blob = bucket.blob("file.json")
    blob.crc32c = "AAAAAA=="
    with pytest.raises(exceptions.BadRequest):
        blob.upload_from_string('{"a": 1}', checksum=None, retry=PATIENTLY, timeout=SECONDS)
    assert not bucket.blob("file.json").exists(retry=PATIENTLY, timeout=SECONDS)


def test_what_is_said_of_an_object_is_kept(bucket):
    blob = bucket.blob("file.json")
    blob.cache_control = "no-cache"
    blob.metadata = {"as_of": "2021-01-26T00:05:00Z"}
    blob.upload_from_string("{}", content_type="application/json", retry=PATIENTLY, timeout=SECONDS)
    found = bucket.get_blob("file.json", retry=PATIENTLY, timeout=SECONDS)
    assert found.content_type == "application/json"
    assert found.cache_control == "no-cache"
    assert found.metadata == {"as_of": "2021-01-26T00:05:00Z"}
    assert found.size == 2


def test_a_listing_tells_names_checksums_and_generations(bucket):
    made = {name: put(bucket, name, name) for name in ("p/b.json", "p/a.json", "q/c.json")}
    listed = list(bucket.list_blobs(prefix="p/", retry=PATIENTLY, timeout=SECONDS))
    assert [(b.name, b.generation) for b in listed] == [
        (name, made[name]) for name in ("p/a.json", "p/b.json")
    ]
    assert [b.crc32c for b in listed] == [
        storage_encoding(google_crc32c.value(b.name.encode())) for b in listed
    ]


# The launcher


def test_a_missing_emulator_is_a_reason_and_not_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "BIGQUERY_STAMP", tmp_path / "nothing")
    with (
        pytest.raises(launch.Missing, match="install_bigquery_emulator"),
        launch.bigquery(),
    ):
        pass


def test_a_missing_emulator_skips_but_fails_on_ci(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "BIGQUERY_STAMP", tmp_path / "nothing")
    monkeypatch.delenv("CI", raising=False)
    with (
        pytest.raises(pytest.skip.Exception, match="Python"),
        launch.required(launch.bigquery()),
    ):
        pass
    monkeypatch.setenv("CI", "true")
    with (
        pytest.raises(pytest.fail.Exception, match="Python"),
        launch.required(launch.bigquery()),
    ):
        pass


HOLD = """
import sys
sys.path.insert(0, {tests!r})
from emulators import launch
with launch.gcs() as server:
    print(server.log.parent, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, None])
def test_nothing_is_left_over_however_the_tests_end(gcs_server, how):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.format(tests=str(Path(__file__).parents[1]))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        directory = holder.stdout.readline().strip()
        assert processes_naming(directory)
        if how is None:
            holder.stdin.close()
        else:
            holder.send_signal(how)
        holder.wait(SECONDS)
    for _ in range(200):
        if not processes_naming(directory) and not Path(directory).exists():
            break
        time.sleep(0.05)
    assert not processes_naming(directory)
    assert not Path(directory).exists()


def processes_naming(directory):
    """The processes that were started in or for a directory, where /proc tells."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            folder = str((process / "cwd").readlink())
        except OSError:
            continue
        if directory in command or folder.startswith(directory):
            found.append(process.name)
    return found
