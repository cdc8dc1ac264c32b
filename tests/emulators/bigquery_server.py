"""A BigQuery to test against: local-bigquery 0.4.0, and what it lacks that expmon rests on.

Run by the interpreter of `.venv-bigquery` (scripts/install_bigquery_emulator.py), never imported
by a test: `launch.py` starts it. The clients of Google's talk to it as they talk to the real one,
so everything that differs is added here, on the server's side, one function for each addition:

- `write`: a destination `table$YYYYMMDD` is that partition, replaced in one transaction, as with
  the real one; so is a whole table with WRITE_TRUNCATE_DATA. Rows of another partition, other
  columns or types, and REQUIRED columns, which a query's results never are, are refused.
- `list_rows`: `table$YYYYMMDD` can be read like a table, and a view can't.
- `partitions`: INFORMATION_SCHEMA.PARTITIONS knows when each partition was written last.
- `refusing_views`: the Storage Read API reads no views.
- `in_small_messages`: it sends a long result in many messages.
- `NULL_IN_REQUIRED`: the message for a null in a REQUIRED column is BigQuery's.

What is said of the real one is from its reference documentation; where that is silent, the
stricter of two readings is taken here.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime as dt
import os
import re
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

EXTENSIONS = ("icu", "ducklake", "avro")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--port", required=True, help="of the REST API")
    parser.add_argument("--grpc-port", required=True, help="of the Storage API")
    parser.add_argument("--project", required=True)
    parser.add_argument("--directory", required=True, type=Path, help="for all of its files")
    parser.add_argument(
        "--empty-partitions",
        choices=("shown", "gone"),
        default="shown",
        help="what PARTITIONS says of a partition that was written and has no rows: the "
        "documentation does not, so a client has to work with both",
    )
    options = parser.parse_args(arguments)
    prepare(options.directory)
    Additions(empty_partitions_shown=options.empty_partitions == "shown").install()
    from local_bigquery import cli

    cli.main(
        [
            *("--host", "127.0.0.1", "--port", options.port, "--grpc-port", options.grpc_port),
            *("--project", options.project, "--data-dir", str(options.directory / "data")),
            "serve",
        ]
    )


def prepare(directory: Path) -> None:
    """Let DuckDB find its extensions without a network, in a home directory of its own."""
    home = directory / "home"
    home.mkdir(parents=True, exist_ok=True)
    os.environ["HOME"] = str(home)
    from duckdb_extensions import import_extension
    from local_bigquery.engine import database

    for extension in EXTENSIONS:
        import_extension(extension)
    # Its macros need the spatial extension, which DuckDB would try to download.
    database.FUNCTIONS = [path for path in database.FUNCTIONS if path.name != "geography.sql"]


Reference = tuple[str, str, str]
MESSAGE_ROWS = 20_000
LENGTHS = {"HOUR": 10, "DAY": 8, "MONTH": 6, "YEAR": 4}
LITERALS = {"DATE": "DATE '{:%Y-%m-%d}'", "DATETIME": "TIMESTAMP '{:%Y-%m-%d %H:%M:%S}'"}
TIMESTAMP_LITERAL = "TIMESTAMPTZ '{:%Y-%m-%d %H:%M:%S}+00'"
NULL_IN_REQUIRED = (
    re.compile(r"NOT NULL constraint failed: (?:\S+\.)?(?P<name>\w+)"),
    "invalidQuery",
    "Required field {name} cannot be null",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Partition:
    """One partition of a table that is partitioned by the time in a column."""

    id: str
    predicate: str  # what is true of its rows, and of no others

    @classmethod
    def of(cls, table: Any, partition_id: str, label: str) -> Partition:
        """The partition that a decorator names; refused where `table` has none of that kind."""
        from local_bigquery.catalog import tables
        from local_bigquery.engine.database import quote
        from local_bigquery.errors import BigQueryError
        from local_bigquery.sql.rules.information_schema import PARTITION_FORMATS

        partitioning = table.timePartitioning
        if not (partitioning and partitioning.field):
            raise BigQueryError("invalid", f"{label} is not partitioned by a column of time")
        kind = partitioning.type or "DAY"
        if not re.fullmatch(rf"\d{{{LENGTHS[kind]}}}", partition_id):
            raise BigQueryError(
                "invalid", f"Invalid partition decorator of {label}: its partitions are per {kind}"
            )
        try:
            start = dt.datetime.strptime(partition_id, PARTITION_FORMATS[kind])  # noqa: DTZ007
        except ValueError:
            raise BigQueryError("invalid", f"Invalid partition decorator of {label}") from None
        field = partitioning.field.casefold()
        [column] = [f for f in tables.fields(table) if f.name.casefold() == field]
        literal = LITERALS.get(column.type, TIMESTAMP_LITERAL)
        name = quote(column.name)
        low, high = literal.format(start), literal.format(_next(start, kind))
        return cls(partition_id, f"({name} >= {low} AND {name} < {high})")


def _next(start: dt.datetime, kind: str) -> dt.datetime:
    if kind in ("HOUR", "DAY"):
        return start + dt.timedelta(hours=1 if kind == "HOUR" else 24)
    return (start + dt.timedelta(days=32 if kind == "MONTH" else 366)).replace(day=1)


def _split(reference: Reference) -> tuple[Reference, str]:
    """A table and the decorator on its name, if there is one."""
    project, dataset, name = reference
    table, _, decorator = name.partition("$")
    return (project, dataset, table), decorator


class Additions:
    """The additions, each put in the place of the emulator's own function."""

    def __init__(self, *, empty_partitions_shown: bool) -> None:
        """Take the functions that are still needed inside of the new ones."""
        from local_bigquery.catalog import tabledata, tables
        from local_bigquery.engine import database
        from local_bigquery.grpc import read

        self._empty_partitions_shown = empty_partitions_shown
        self._modified = Modified()
        self._write: Callable[..., bool] = tables.write
        self._list_rows: Callable[..., Any] = tabledata.list_rows
        self._writing: Callable[..., contextlib.AbstractContextManager[None]] = database.writing
        self._insert: Callable[..., Any] = tabledata._insert
        self._query: Callable[..., Any] = read._query
        self._read_rows: Callable[..., Iterator[Any]] = read.read_rows

    def install(self) -> None:
        """Put them in place."""
        from local_bigquery import errors
        from local_bigquery.catalog import tabledata, tables
        from local_bigquery.engine import database
        from local_bigquery.grpc import read
        from local_bigquery.sql.rules import information_schema

        tables.write = self.write
        tabledata.list_rows = self.list_rows
        tabledata._insert = self.insert
        database.writing = self.writing
        information_schema.VIEWS["PARTITIONS"] = self.partitions
        read._query = self.refusing_views
        read.read_rows = self.in_small_messages
        errors.DUCKDB_ERRORS.insert(0, NULL_IN_REQUIRED)

    def write(
        self,
        cursor: Any,
        query: str,
        parameters: dict[str, Any] | None,
        reference: Reference,
        config: Any,
        default: str = "WRITE_EMPTY",
        *rest: Any,
        **named: Any,
    ) -> bool:
        """Write a job's result to its destination; whether that made the table."""
        from local_bigquery.catalog import names, tables
        from local_bigquery.models import JobConfigurationQuery, Table

        table, decorator = _split(reference)
        disposition = config.writeDisposition or default
        if table[1] == tables.RESULTS:  # a query without a destination
            return self._write(cursor, query, parameters, table, config, default, *rest, **named)
        if decorator:
            label = names.label(*reference)
            partition = Partition.of(tables.load(*table), decorator, label)
            replace(cursor, query, parameters, table, partition, config, disposition)
            self._modified.touch(table, decorator)
            return False
        if disposition == "WRITE_TRUNCATE_DATA" and tables.exists(*table):
            replace(cursor, query, parameters, table, None, config, disposition)
            made = False
        else:
            made = self._write(cursor, query, parameters, table, config, default, *rest, **named)
            # A whole table's WRITE_TRUNCATE takes the descriptions of its columns with it.
            if disposition == "WRITE_TRUNCATE" and isinstance(config, JobConfigurationQuery):
                tables.annotate(table, Table.model_validate({"schema": {"fields": []}}))
                self._modified.forget_empty(table)
        self._modified.touch(table, None)
        return made

    def list_rows(
        self, project: str, dataset: str, name: str, limit: int | None, start: int, *rest: Any
    ) -> Any:
        """The rows of a table or of one partition, as `tabledata.list` gives them."""
        from local_bigquery.catalog import names, tables
        from local_bigquery.engine import database, results
        from local_bigquery.errors import BigQueryError

        table, decorator = _split((project, dataset, name))
        resource = tables.load(*table)
        if resource.type == "VIEW":
            raise BigQueryError("invalid", "Cannot list a table of type VIEW.")
        if not decorator:
            return self._list_rows(project, dataset, name, limit, start, *rest)
        selected, int64_timestamps = rest
        partition = Partition.of(resource, decorator, names.label(project, dataset, name))
        wanted = [f.strip().casefold() for f in selected.split(",")] if selected else None
        fields = [f for f in tables.columns(*table) if not wanted or f.name.casefold() in wanted]
        source = f"(SELECT rowid, * FROM {tables.name(*table)} WHERE {partition.predicate})"
        columns = [f.name.casefold() for f in fields]
        with database.cursor() as cursor:
            page = results.page(cursor, source, limit, start, columns, int64_timestamps)
        return page, fields

    @contextlib.contextmanager
    def writing(self, *table: str) -> Iterator[None]:
        """The emulator's lock around each write, and a look at what has been written."""
        from local_bigquery.catalog import tables
        from local_bigquery.errors import BigQueryError

        with self._writing(*table):
            yield
            if len(table) == 3 and table[1] != tables.RESULTS:
                with contextlib.suppress(BigQueryError):  # a temporary table
                    self._modified.look(tables.load(*table))

    def insert(self, *arguments: Any) -> Any:
        """Add streamed rows, which go past the lock of `writing`."""
        try:
            return self._insert(*arguments)
        finally:
            self._modified.doubt()

    def partitions(self, project: str, dataset: str | None) -> tuple[list[str], list[list[Any]]]:
        """INFORMATION_SCHEMA.PARTITIONS with the columns that it lacks here.

        As documented: one row per partition, a NULL partition_id for a table without partitions,
        and a last_modified_time that a mere deletion of rows does not move.
        """
        from local_bigquery.catalog import tables
        from local_bigquery.sql.rules import information_schema

        columns = [
            *information_schema.IDENTITY,
            "partition_id",
            "total_rows INT64",
            "total_logical_bytes INT64",
            "total_billable_bytes INT64",
            "last_modified_time TIMESTAMP",
            "storage_tier",
        ]
        rows = []
        for table in information_schema._tables(project, dataset):
            if table.type != "TABLE":
                continue
            identity = information_schema._identity(table)
            for partition_id, (count, time) in sorted(self._modified.seen(table).items(), key=str):
                if partition_id is not None and not count and not self._empty_partitions_shown:
                    continue
                size = tables.logical_bytes(count, len(tables.fields(table)))
                moment = information_schema._timestamp(time.isoformat())
                rows.append([*identity, partition_id, count, size, size, moment, "ACTIVE"])
        return columns, rows

    def refusing_views(self, path: str, *rest: Any) -> Any:
        """What a read session reads: a table, whatever the session asks for."""
        import grpc
        from local_bigquery.catalog import tables
        from local_bigquery.grpc import read

        if tables.load(*read.table(path)).type != "TABLE":
            raise read.StorageError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "request failed: non-table entities cannot be read with the storage API",
            )
        return self._query(path, *rest)

    def in_small_messages(self, request: Any) -> Iterator[Any]:
        """The rows of a stream in messages of a few megabytes, where the emulator sends one."""
        import pyarrow as pa
        from google.cloud.bigquery_storage_v1 import types

        for answer in self._read_rows(request):
            if not answer.arrow_record_batch.serialized_record_batch:
                yield answer
                continue
            schema = pa.ipc.read_schema(pa.py_buffer(answer.arrow_schema.serialized_schema))
            whole = pa.ipc.read_record_batch(
                pa.py_buffer(answer.arrow_record_batch.serialized_record_batch), schema
            )
            for start in range(0, whole.num_rows, MESSAGE_ROWS):
                part = whole.slice(start, MESSAGE_ROWS)
                yield types.ReadRowsResponse(
                    row_count=part.num_rows,
                    stats=answer.stats,
                    arrow_schema=answer.arrow_schema,
                    arrow_record_batch=types.ArrowRecordBatch(
                        serialized_record_batch=part.serialize().to_pybytes()
                    ),
                )


def replace(
    cursor: Any,
    query: str,
    parameters: dict[str, Any] | None,
    reference: Reference,
    partition: Partition | None,
    config: Any,
    disposition: str,
) -> None:
    """Put a query's rows in the place of a partition's, or of a table's, in one transaction."""
    from local_bigquery.catalog import names, tables
    from local_bigquery.engine import database, results
    from local_bigquery.errors import BigQueryError, already_exists

    label = names.label(*reference) + (f"${partition.id}" if partition else "")
    check_schema(cursor.sql(query, params=parameters), reference, config, label)
    table, fresh = tables.name(*reference), f"bq.main.fresh_{uuid.uuid4().hex}"
    where = partition.predicate if partition else "true"
    try:
        results.materialise(cursor, query, fresh, parameters)
        with database.writing(*reference):
            if cursor.sql(f"SELECT 1 FROM {fresh} WHERE ({where}) IS NOT TRUE LIMIT 1").fetchall():
                raise BigQueryError(
                    "invalid",
                    "Some rows belong to different partitions rather than destination partition "
                    f"{label}",
                )
            there = cursor.sql(f"SELECT 1 FROM {table} WHERE {where} LIMIT 1").fetchall()
            if there and disposition == "WRITE_EMPTY":
                raise already_exists("Table", label)
            with transaction(cursor):
                if disposition.startswith("WRITE_TRUNCATE"):
                    cursor.execute(f"DELETE FROM {table} WHERE {where}")
                cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM {fresh}")
    finally:
        database.execute(f"DROP TABLE IF EXISTS {fresh}")


@contextlib.contextmanager
def transaction(cursor: Any) -> Iterator[None]:
    """All of what is done inside, or nothing of it."""
    cursor.execute("BEGIN")
    try:
        yield
        cursor.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(Exception):  # where COMMIT failed there is nothing to undo
            cursor.execute("ROLLBACK")
        raise


def check_schema(relation: Any, reference: Reference, config: Any, label: str) -> None:
    """Refuse columns that are not the table's own: a write into a table can't change them.

    A query's columns are NULLABLE, so that a REQUIRED one in the table would have to be relaxed,
    which has to be asked for (ALLOW_FIELD_RELAXATION); a load job says the mode of its columns.
    """
    from local_bigquery.catalog import tables
    from local_bigquery.engine import types
    from local_bigquery.errors import BigQueryError
    from local_bigquery.models import JobConfigurationQuery

    def refuse(what: str) -> None:
        raise BigQueryError("invalid", f"Provided Schema does not match Table {label}. {what}")

    there = {field.name.casefold(): field for field in tables.columns(*reference)}
    given = [types.field(*column) for column in zip(relation.columns, relation.types, strict=True)]
    for field in given:
        known = there.pop(field.name.casefold(), None)
        if known is None:
            refuse(f"Cannot add fields (field: {field.name})")
        elif _kind(known) != _kind(field):
            refuse(f"Field {field.name} has changed type from {_kind(known)} to {_kind(field)}")
        elif known.mode == "REQUIRED" and isinstance(config, JobConfigurationQuery):
            refuse(f"Field {field.name} has changed mode from REQUIRED to NULLABLE")
    for field in there.values():
        refuse(f"Field {field.name} is missing in new schema")


def _kind(field: Any) -> str:
    from local_bigquery.engine import types

    return types.bigquery_type(field, quoted=False)


class Modified:
    """When each partition of each table was written last.

    DuckLake says of each row which commit wrote it, and of each commit when it began. What a
    reader needs is when it ended: so the time is taken here, when a new commit is seen for the
    first time. That is right after it for jobs, which look here themselves, and at the next look
    for streamed rows, which do not.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._lock = threading.Lock()
        self._known: dict[Reference, dict[str | None, tuple[int, dt.datetime]]] = {}
        self._made: dict[Reference, str] = {}
        self._counts: dict[Reference, dict[str | None, int]] = {}

    def doubt(self) -> None:
        """Look at every table again: something was written that doesn't pass by here."""
        with self._lock:
            self._counts.clear()

    def seen(self, table: Any) -> dict[str | None, tuple[int, dt.datetime]]:
        """As `look`, without counting again what has not been written since the last look."""
        from local_bigquery.sql.rules import information_schema

        reference: Reference = tuple(information_schema._identity(table))
        with self._lock:
            counts = self._counts.get(reference)
            if counts is not None and self._made.get(reference) == table.creationTime:
                known = self._known[reference]
                return {key: (counts.get(key, 0), time) for key, (_, time) in known.items()}
        return self.look(table)

    def look(self, table: Any) -> dict[str | None, tuple[int, dt.datetime]]:
        """The rows and the time of each partition that has rows or once was written."""
        from local_bigquery.engine import database
        from local_bigquery.sql.rules import information_schema

        reference: Reference = tuple(information_schema._identity(table))
        with self._lock:
            if self._made.get(reference) != table.creationTime:  # another table of that name
                self._made[reference] = table.creationTime
                self._known.pop(reference, None)
            known = self._known.setdefault(reference, {})
            if not (table.timePartitioning and table.timePartitioning.field):
                created = int(table.creationTime) / 1000
                known.setdefault(None, (0, dt.datetime.fromtimestamp(created, dt.UTC)))
            counts = dict.fromkeys(known, 0)
            for partition_id, count, commit in database.fetch(_commits(table)):
                counts[partition_id] = count
                if commit > known.get(partition_id, (0, None))[0]:
                    known[partition_id] = (commit, dt.datetime.now(dt.UTC))
            self._counts[reference] = counts
            return {key: (count, known[key][1]) for key, count in counts.items()}

    def touch(self, reference: Reference, partition_id: str | None) -> None:
        """Remember a write that may have left no row to tell of it."""
        from local_bigquery.catalog import tables

        known = self.look(tables.load(*reference))
        if partition_id is None and None not in known:
            return  # all of a partitioned table: its rows tell
        with self._lock:
            commit, _ = self._known[reference].get(partition_id, (0, None))
            now = dt.datetime.now(dt.UTC)
            self._known[reference][partition_id] = (commit, now)

    def forget_empty(self, reference: Reference) -> None:
        """Forget the partitions that a table lost when it was replaced as a whole."""
        from local_bigquery.catalog import tables

        for partition_id, (count, _) in self.look(tables.load(*reference)).items():
            if partition_id is not None and not count:
                with self._lock:
                    self._known[reference].pop(partition_id, None)


def _commits(table: Any) -> str:
    """The partitions of a table with their rows and the last commit that wrote one of these."""
    from local_bigquery.catalog import tables
    from local_bigquery.engine.database import quote
    from local_bigquery.sql.rules import information_schema

    partitioning, key = table.timePartitioning, "NULL"
    if partitioning and partitioning.field:
        text = information_schema.PARTITION_FORMATS[partitioning.type or "DAY"]
        key = f"coalesce(strftime({quote(partitioning.field)}, '{text}'), '__NULL__')"
    name = tables.name(*information_schema._identity(table))
    return f"SELECT {key}, count(*), max(snapshot_id) FROM {name} GROUP BY 1"


if __name__ == "__main__":
    main()
