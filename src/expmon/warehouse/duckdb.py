"""The embedded engine: one DuckDB file, a dataset is a schema of it."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expmon.catalog import RELATIONS, bookkeeping
from expmon.catalog.bookkeeping import PARTITIONS, SCHEMA
from expmon.catalog.model import Kind, Names, Relation, Statement
from expmon.catalog.sources import EVENTS_LIVE, EXPERIMENTS
from expmon.errors import (
    NotDeployed,
    PartitionViolation,
    SchemaMismatch,
    WarehouseError,
    WarehouseLocked,
)
from expmon.findings import DEPLOY, Check, Finding, counted, examined, listed
from expmon.statements import migrations, view
from expmon.statements.embedded import clients_ungathered, ordered_rows
from expmon.warehouse.duckdb_arrays import gathered
from expmon.warehouse.duckdb_file import DuckDBFile
from expmon.warehouse.duckdb_sources import LOADED, days_to_look_at, final_sources
from expmon.warehouse.protocol import SourceState, State, Write, Written
from expmon.warehouse.translation import duckdb_sql, duckdb_type
from expmon.windows import DAY, HOUR, Partition, floor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

_TICK = timedelta(microseconds=1)
_leases: dict[str, threading.Lock] = {}


class DuckDBWarehouse:
    """A warehouse in one file.

    The file is opened with the first use and stays open, and so locked for other processes, until
    `close`. Runs in one process wait for each other.

    Args:
        path: the file; its directory must exist.
        names: what the tables are called; projects have no meaning here.
    """

    def __init__(self, path: Path, names: Names | None = None) -> None:
        self.names = names or Names()
        self._file = DuckDBFile(path)

    def deploy(self, *, dry_run: bool = False) -> list[str]:
        """Create the file, tables, views and sources; see `Warehouse.deploy`."""
        if dry_run and not self._file.path.exists():
            with tempfile.TemporaryDirectory() as directory:
                elsewhere = DuckDBWarehouse(Path(directory) / "monitoring.duckdb", self.names)
                with contextlib.closing(elsewhere):
                    return elsewhere.deploy()
        self._file.create()
        with self._file.transaction(undo=dry_run):
            return list(self._changes())

    def check_version(self) -> None:
        """Refuse tables of another version; see `Warehouse.check_version`."""
        migrations.require(self._version())

    def state(self) -> State:
        """What is remembered, and which days the tables and sources have."""
        columns = "relation", "partition", "started_at", "modified_at", "as_of", "rows"
        with self._explained():
            memo = self._file.arrow(f"SELECT {_quoted(columns)} FROM {self._name(PARTITIONS)}")
            written: dict[str, dict[Partition, Written]] = {}
            for row in memo.to_pylist():
                entry = Written(
                    started_at=row["started_at"].astimezone(UTC),
                    modified_at=row["modified_at"].astimezone(UTC),
                    as_of=row["as_of"].astimezone(UTC),
                    rows=row["rows"],
                )
                written.setdefault(row["relation"], {})[Partition(row["partition"])] = entry
            firsts = self._first_days(written)
        loaded = {
            relation.name: SourceState(
                firsts.pop(relation.name, None),
                {p.day: e.modified_at for p, e in written.pop(relation.name, {}).items()},
            )
            for relation in LOADED
        }
        inputs = {name for relation in RELATIONS.values() for name in relation.inputs}
        sources = {
            name: loaded[_loaded_behind(RELATIONS[name])]
            for name in inputs
            if RELATIONS[name].kind is Kind.SOURCE or RELATIONS[name] == EVENTS_LIVE
        }
        return State(written, sources, firsts)

    def query(
        self, statement: Statement, parameters: Mapping[str, Any], *, progress: bool = False
    ) -> pa.Table:
        """The rows of the statement, too soon to show progress."""
        del progress
        with self._explained():
            return self._file.arrow(duckdb_sql(statement), parameters, name=statement.name)

    def batches(
        self, statement: Statement, parameters: Mapping[str, Any]
    ) -> Iterator[pa.RecordBatch]:
        """A row for each of the statement's groups, one at a time."""
        rows, keys, array = ordered_rows(statement)
        with self._explained():
            yield from gathered(
                self._file.batches(duckdb_sql(rows), parameters, name=statement.name), keys, array
            )

    def write(self, writes: Iterable[Write]) -> Iterator[Written]:
        """Replace the partitions one after the other."""
        return map(self._write, writes)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """One transaction for all writes; what reads waits until it ends."""
        with self._explained(), self._file.transaction():
            yield

    def cost(self, write: Write) -> int | None:
        """Nothing is known before a statement runs."""
        del write
        return None

    def load(
        self, relation: Relation, rows: Sequence[Mapping[str, Any]], *, key: str | None = None
    ) -> None:
        """Add rows to a source and remember which of its days changed, in one transaction.

        Rows that can be had as Arrow (``__arrow_c_stream__``) are taken so.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        target = self._name(relation)
        self.check_version()
        with self._explained(), self._file.transaction():
            if key is not None:
                self._file.execute(
                    f'DELETE FROM {target} WHERE list_contains($keys, "{key}")',
                    {"keys": [row[key] for row in rows]},
                )
            if hasattr(rows, "__arrow_c_stream__"):
                batch = pa.table(rows)
            else:
                empty = self._file.arrow(f"SELECT * FROM {target} LIMIT 0", name=relation.name)
                batch = pa.Table.from_pylist(list(rows), schema=empty.schema)
            self._file.insert(target, batch)
            if relation.partitioning:
                moments = batch[relation.partitioning.column].cast(pa.timestamp("us"))
                counts = pc.value_counts(moments.cast(pa.date32())).to_pylist()
                now = self._now()
                self._remember(
                    relation,
                    {
                        Partition.of_day(day["values"]): Written(now, now, now, day["counts"])
                        for day in counts
                    },
                )

    @contextlib.contextmanager
    def lease(self, wait: timedelta) -> Iterator[None]:
        """Keep other runs of this process out; other processes can't open the file."""
        self._file.opened(wait)
        lock = _leases.setdefault(str(self._file.path.resolve()), threading.Lock())
        if not lock.acquire(timeout=wait.total_seconds()):
            raise WarehouseLocked(
                f"another run writes to {self._file.path}. Try again later, or wait longer."
            )
        try:
            self.check_version()
            yield
        finally:
            lock.release()

    def examine(self) -> list[Finding]:
        """Whether the file is there, is to be had, and has the tables; see `Warehouse.examine`."""
        path = f"file {self._file.path}"
        checks = (
            Check(path, self._check_file),
            Check("tables and views", self._check_tables, (path,)),
            Check("what has been written", self._check_memo, (path, "tables and views")),
        )
        return list(examined(checks))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # What the methods above are made of

    def _check_file(self) -> Iterator[Finding]:
        path = self._file.path
        if not path.exists():
            yield Finding(f"file {path}", "missing", "it is not there", DEPLOY)
            return
        self._file.opened()
        yield Finding(f"file {path}", "ok", f"opened; {path.stat().st_size:,} bytes")

    def _check_tables(self) -> Iterator[Finding]:
        changes = self.deploy(dry_run=True)
        if changes:
            # Many tables may have to be made; what changes those that are there says more.
            changes.sort(key=lambda change: not change.startswith("migrate "))
            yield Finding("tables and views", "missing", listed(changes), DEPLOY)
        else:
            version = f"of schema version {bookkeeping.SCHEMA_VERSION}"
            declared = f"all {len(RELATIONS)} are there, as declared, {version}"
            yield Finding("tables and views", "ok", declared)

    def _check_memo(self) -> Iterator[Finding]:
        number = sum(map(len, self.state().written.values()))
        remembered = f"{counted(number, 'partition')} or tables are remembered"
        yield Finding("what has been written", "ok", remembered)

    def _write(self, write: Write) -> Written:
        """Replace the partition and remember it, in one transaction."""
        relation = write.relation
        sql = duckdb_sql(clients_ungathered(write.statement, self.names))
        columns, target = _quoted(relation.column_names), self._name(relation)
        belongs, bounds = _partition_filter(write)
        looking = self._file.variables(days_to_look_at(write))
        with self._explained(), looking, self._file.transaction():
            started_at = self._now()
            self._file.execute(
                f"CREATE OR REPLACE TEMP TABLE step AS {sql}", write.parameters, name=relation.name
            )
            rows, strangers = self._file.row(
                f"SELECT COUNT(*), COUNT_IF(({belongs}) IS NOT TRUE) FROM step", bounds
            )
            if strangers:
                raise PartitionViolation(relation.name, write.partition.id, strangers, sql=sql)
            self._file.execute(f"DELETE FROM {target} WHERE {belongs}", bounds, name=relation.name)
            self._file.execute(f"INSERT INTO {target} ({columns}) SELECT {columns} FROM step")
            modified_at = max(datetime.now(UTC), started_at + _TICK)
            entry = Written(started_at, modified_at, write.as_of, rows)
            self._remember(relation, {write.partition: entry})
            self._expire(relation, write.as_of)
        return entry

    def _changes(self) -> Iterator[str]:
        """Make what deploy has to make, and say what: missing tables before those that change."""
        version = self._version()
        steps = migrations.pending(version)
        for relation in RELATIONS.values():
            if _is_table(relation) and not self._table_type(relation):
                yield from self._deploy(relation)
        for change in (change for step in steps for change in step.changes):
            if self._table_type(change.relation) == "BASE TABLE":
                self._file.execute(
                    duckdb_sql(change.statement(self.names)), name=change.relation.name
                )
        yield from migrations.sentences(version)
        for relation in RELATIONS.values():
            yield from self._deploy(relation)
        if self._marked() != bookkeeping.SCHEMA_VERSION:
            self._file.execute(f"DELETE FROM {self._name(SCHEMA)}")
            self._file.execute(
                f"INSERT INTO {self._name(SCHEMA)} VALUES ({bookkeeping.SCHEMA_VERSION})"
            )

    def _version(self) -> int:
        """The schema version of the tables that are there; of none, the catalogue's."""
        marked = self._marked()
        if marked is None:
            is_empty = not any(map(self._table_type, RELATIONS.values()))
            return bookkeeping.SCHEMA_VERSION if is_empty else 1
        return marked

    def _marked(self) -> int | None:
        """The version that the tables are marked with, if they are."""
        if not self._table_type(SCHEMA):
            return None
        (version,) = self._file.row(f"SELECT MAX(version) FROM {self._name(SCHEMA)}")
        return None if version is None else int(version)

    def _deploy(self, relation: Relation) -> Iterator[str]:
        self._file.execute(f'CREATE SCHEMA IF NOT EXISTS "{self.names.of(relation).dataset}"')
        is_there = self._is_there(relation)
        if not _is_table(relation):
            tree = final_sources(self.names).get(relation.name) or view(relation, self.names).tree
            yield from self._deploy_view(relation, Statement(relation.name, tree))
        elif not is_there:
            self._file.execute(f"CREATE TABLE {self._name(relation)} ({_ddl(relation)})")
            yield f"create table {relation.name}"

    def _is_there(self, relation: Relation) -> bool:
        """Whether it is there, and as declared; as something else it is a `SchemaMismatch`."""
        present, is_table = self._table_type(relation), _is_table(relation)
        if present and present != ("BASE TABLE" if is_table else "VIEW"):
            raise SchemaMismatch(relation.name, [f"it is a {present.lower()}"])
        if present and is_table:
            self._file.execute(f"CREATE OR REPLACE TEMP TABLE wanted ({_ddl(relation)})")
            wanted = self._described("wanted")
            if differences := _differences(self._described(self._name(relation)), wanted):
                raise SchemaMismatch(relation.name, differences)
        return bool(present)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Where DuckDB doesn't know a name, the first relation that isn't as declared is why."""
        import duckdb

        try:
            yield
        except WarehouseError as error:
            is_name = isinstance(error.__cause__, (duckdb.CatalogException, duckdb.BinderException))
            # Within a transaction that failed DuckDB answers nothing: who began it looks.
            if is_name and not self._file.is_in_transaction:
                for relation in RELATIONS.values():
                    if not self._is_there(relation):
                        raise NotDeployed(relation.name, sql=error.sql) from error
            raise

    def _deploy_view(self, relation: Relation, statement: Statement) -> Iterator[str]:
        before = self._view_sql(relation)
        self._file.execute(
            f"CREATE OR REPLACE VIEW {self._name(relation)} AS {duckdb_sql(statement)}",
            name=relation.name,
        )
        if before != self._view_sql(relation):
            yield f"{'replace' if before else 'create'} view {relation.name}"

    def _view_sql(self, relation: Relation) -> str | None:
        place = self.names.of(relation)
        (found,) = self._file.row(
            "SELECT MAX(sql) FROM duckdb_views() WHERE schema_name = $schema AND view_name = $view",
            {"schema": place.dataset, "view": place.table},
        )
        return None if found is None else str(found)

    def _table_type(self, relation: Relation) -> str | None:
        place = self.names.of(relation)
        (found,) = self._file.row(
            "SELECT MAX(table_type) FROM information_schema.tables "
            "WHERE table_schema = $schema AND table_name = $table",
            {"schema": place.dataset, "table": place.table},
        )
        return None if found is None else str(found)

    def _described(self, table: str) -> dict[str, str]:
        described = self._file.arrow(f"DESCRIBE {table}").to_pylist()
        return {row["column_name"]: row["column_type"] for row in described}

    def _first_days(self, written: Mapping[str, Mapping[Partition, Written]]) -> dict[str, date]:
        """The first day that each source has rows of, and each table before what is remembered.

        None of empty ones; tables that came with a later version than theirs, before its deploy,
        are as good as empty.
        """
        is_earlier = self._version() < bookkeeping.SCHEMA_VERSION
        tables = [
            relation
            for relation in RELATIONS.values()
            if relation.partitioning
            and (relation.kind is Kind.TABLE or relation in LOADED)
            and not (is_earlier and self._table_type(relation) is None)
        ]
        firsts = {r: min(written[r.name]) for r in tables if r.name in written}
        found = self._earliest(
            {r: (firsts[r].end if r in LOADED else firsts[r].start) for r in firsts}
            | dict.fromkeys(r for r in tables if r not in firsts)
        )
        # What is remembered of a source may have been deleted by hand.
        gone = [r for r in LOADED if r in firsts and r.name not in found]
        return found | (self._earliest(dict.fromkeys(gone)) if gone else {})

    def _earliest(self, before: Mapping[Relation, datetime | None]) -> dict[str, date]:
        """The first day of each table's rows, or of those before a moment; none if there are none.

        Not by the MIN: once rows have been deleted, DuckDB reads all of the table for that.
        """
        queries = []
        for relation, moment in before.items():
            name, type_ = _partitioned_by(relation)
            bound = "IS NOT NULL"
            if moment is not None:
                bound = f"< CAST(${relation.table} AS {duckdb_type(type_)})"
            queries.append(
                f"SELECT '{relation.name}' AS relation, CAST(\"{name}\" AS DATE) AS first_day "
                f'FROM (SELECT "{name}" FROM {self._name(relation)} '
                f'WHERE "{name}" {bound} ORDER BY "{name}" LIMIT 1)'
            )
        moments = {relation.table: moment for relation, moment in before.items() if moment}
        rows = self._file.arrow(" UNION ALL ".join(queries), moments).to_pylist()
        return {row["relation"]: row["first_day"] for row in rows}

    def _remember(self, relation: Relation, entries: Mapping[Partition, Written]) -> None:
        for partition, entry in entries.items():
            values = {
                "relation": relation.name,
                "partition": partition.id,
                "job_id": uuid.uuid4().hex,
                "as_of": entry.as_of,
                "started_at": entry.started_at,
                "rows": entry.rows,
                "bytes": None,
                "modified_at": entry.modified_at,
            }
            places = ", ".join(f"${name}" for name in values)
            self._forget(relation, '"partition" = $partition', {"partition": partition.id})
            self._file.execute(
                f"INSERT INTO {self._name(PARTITIONS)} ({_quoted(tuple(values))}) "
                f"VALUES ({places})",
                values,
                name=PARTITIONS.name,
            )

    def _forget(self, relation: Relation, which: str, values: Mapping[str, Any]) -> None:
        self._file.execute(
            f"DELETE FROM {self._name(PARTITIONS)} WHERE relation = $relation AND {which}",
            {"relation": relation.name, **values},
            name=PARTITIONS.name,
        )

    def _expire(self, relation: Relation, as_of: datetime) -> None:
        """Drop the partitions that ended longer ago than the table keeps them."""
        partitioning = relation.partitioning
        if partitioning is None or partitioning.expiration_days is None:
            return
        oldest = floor(as_of - partitioning.expiration_days * DAY, HOUR)
        self._file.execute(
            f'DELETE FROM {self._name(relation)} WHERE "{partitioning.column}" < $oldest',
            {"oldest": oldest},
        )
        self._forget(relation, '"partition" < $oldest', {"oldest": Partition.of_hour(oldest).id})

    def _now(self) -> datetime:
        """Strictly later than every time that has been remembered, whatever the clock does."""
        (latest,) = self._file.arrow(
            f"SELECT MAX(modified_at) AS latest FROM {self._name(PARTITIONS)}", name=PARTITIONS.name
        ).column("latest")
        now = datetime.now(UTC)
        return max(now, latest.as_py().astimezone(UTC) + _TICK) if latest.is_valid else now

    def _name(self, relation: Relation) -> str:
        place = self.names.of(relation)
        return f'"{place.dataset}"."{place.table}"'


def _is_table(relation: Relation) -> bool:
    """Whether it has rows of its own here, as sources that expmon loads have, too."""
    return relation.kind is Kind.TABLE or relation in {*LOADED, EXPERIMENTS}


def _loaded_behind(relation: Relation) -> str:
    """The source with the rows, of a source that is a view."""
    while relation not in LOADED:
        (source,) = relation.inputs
        relation = RELATIONS[source]
    return relation.name


def _partition_filter(write: Write) -> tuple[str, dict[str, datetime | date]]:
    """Which rows belong to the partition; all to a whole table."""
    if not write.partition.id:
        return "TRUE", {}
    column, type_ = _partitioned_by(write.relation)
    start, end = write.partition.start, write.partition.end
    bounds: dict[str, datetime | date] = {"start": start, "end": end}
    if type_ == "DATE":
        bounds = {"start": start.date(), "end": end.date()}
    return f'"{column}" >= $start AND "{column}" < $end', bounds


def _partitioned_by(relation: Relation) -> tuple[str, str]:
    """The name and the type of the column that a table is partitioned by."""
    if relation.partitioning is None:
        raise ValueError(f"{relation.name} has no partitions")
    types = {column.name: column.type for column in relation.columns}
    return relation.partitioning.column, types[relation.partitioning.column]


def _ddl(relation: Relation) -> str:
    return ", ".join(f'"{column.name}" {duckdb_type(column.type)}' for column in relation.columns)


def _differences(present: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    found = [f"{name} is missing" for name in wanted if name not in present]
    found += [f"{name} is not in the catalogue" for name in present if name not in wanted]
    found += [
        f"{name} is {present[name]} instead of {type_}"
        for name, type_ in wanted.items()
        if name in present and present[name] != type_
    ]
    if not found and list(present) != list(wanted):
        found = ["the columns are in another order"]
    return found


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
