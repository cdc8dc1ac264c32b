"""BigQuery: datasets are datasets, a step is a job that replaces one partition."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from expmon.catalog.bookkeeping import LEASE, PARTITIONS
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import (
    ExpmonError,
    NotDeployed,
    PartitionViolation,
    WarehouseError,
    WarehouseLocked,
)
from expmon.statements import bookkeeping, migrations
from expmon.warehouse.bigquery_deploy import Deployment
from expmon.warehouse.bigquery_errors import translated
from expmon.warehouse.bigquery_jobs import Done, Jobs
from expmon.warehouse.bigquery_state import sources, state, tables
from expmon.warehouse.protocol import State, Write, Written
from expmon.windows import DAY, HOUR, Partition, floor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa
    from google.auth.credentials import Credentials
    from google.cloud import bigquery, bigquery_storage
    from google.cloud.bigquery.table import RowIterator

    from expmon.catalog.model import Names, Relation, Statement
    from expmon.findings import Finding
    from expmon.statements.migrations import Change
    from expmon.warehouse.bigquery_settings import BigQuerySettings

log = logging.getLogger(__name__)

STORAGE_EMULATOR = "BIGQUERY_STORAGE_EMULATOR_HOST"
"""``host:port`` of a Storage Read API without encryption, for tests."""
_LEASE_PAUSE = 1.0
_MARGIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Lease:
    """A run's hold on the tables, and until when by this machine's monotonic clock."""

    run_id: str
    until: float


class BigQueryWarehouse:
    """A warehouse on BigQuery. Its client is made with the first use.

    Args:
        settings: where jobs run, and their limits.
        names: where the tables lie.
        credentials: gives the credentials when they are needed.
    """

    def __init__(
        self,
        settings: BigQuerySettings,
        names: Names,
        credentials: Callable[[], Credentials],
    ) -> None:
        self.settings = settings
        self.names = names
        self._credentials = credentials
        self._lease: _Lease | None = None
        self._lease_lock = threading.Lock()
        self._jobs_suffix = ""
        self._may_read_storage = True

    def deploy(self, *, dry_run: bool = False) -> list[str]:
        """Create or update datasets, tables, views and access; see `Warehouse.deploy`."""
        changes = self._deployment.run(dry_run=dry_run, migrate=self._migrate)
        if not dry_run:
            self._jobs.run(bookkeeping.lease_row(self.names), {})
        return changes

    def check_version(self) -> None:
        """Refuse tables of another version, by a label; see `Warehouse.check_version`."""
        version = self._deployment.marked_version()
        if version is not None:
            migrations.require(version)

    def state(self) -> State:
        """What is remembered, as far as it agrees with what is there; one query."""
        places = [*map(self.names.of, tables()), *sources(self.names).values()]
        rows = self.query(bookkeeping.partitions(self.names, places), {}).to_pylist()
        return state(rows, self.names)

    def query(
        self, statement: Statement, parameters: Mapping[str, Any], *, progress: bool = False
    ) -> pa.Table:
        """The rows of the statement, through the Storage Read API where that is allowed."""
        return self._rows(self._jobs.run(statement, parameters), progress=progress)

    def batches(
        self, statement: Statement, parameters: Mapping[str, Any]
    ) -> Iterator[pa.RecordBatch]:
        """The rows of the statement as BigQuery sends them; see `query` for by which way."""
        from google.api_core.exceptions import PermissionDenied

        done = self._jobs.run(statement, parameters)
        rows = done.rows
        with translated(statement.name, sql=done.job.query):
            if self._may_read_storage and self._storage is not None:
                found = _all_of(rows, self._storage, streams=1)
                try:
                    first = next(found, None)
                except PermissionDenied:
                    self._warn_of_rest()
                    rows = done.job.result(job_retry=None)
                else:
                    if first is not None:
                        yield first
                        yield from found
                    return
            yield from rows.to_arrow_iterable()

    def write(self, writes: Iterable[Write]) -> Iterator[Written]:
        """Replace the partitions at the same time, and then remember them in one statement."""
        writes = list(writes)
        self._hold_lease()
        workers = min(self.settings.parallel_jobs, len(writes)) or 1
        with ThreadPoolExecutor(workers, thread_name_prefix="expmon-job") as pool:
            jobs = [pool.submit(self._write, write) for write in writes]
        done = [None if job.exception() else job.result() for job in jobs]
        self._remember(
            [
                (write.relation, write.partition, entry)
                for write, entry in zip(writes, done, strict=True)
                if entry is not None
            ]
        )
        for job in jobs:
            yield job.result()

    def at_once(self) -> AbstractContextManager[None]:
        """BigQuery shows each partition as soon as it is replaced: no job replaces several."""
        return contextlib.nullcontext()

    def cost(self, write: Write) -> int | None:
        """How many bytes the step would read at most: clustering and caches may spare some."""
        return self._jobs.bytes_of(write.statement, write.parameters)

    def load(
        self, relation: Relation, rows: Sequence[Mapping[str, Any]], *, key: str | None = None
    ) -> None:
        """Put experiments in the place of those with the same key.

        Raises:
            WarehouseError: for other sources; on BigQuery they are ingestion's.
        """
        if relation != EXPERIMENTS or key is None:
            raise WarehouseError(
                f"{relation.name} is not loaded by expmon on BigQuery: telemetry's own ingestion "
                "writes it. Load pings into an embedded warehouse (duckdb://...)."
            )
        self.check_version()
        statement = bookkeeping.replace_rows(relation, self.names, key=key)
        values = {"fresh": rows, "keys": [row[key] for row in rows]}
        self._jobs.run(statement, values)

    @contextlib.contextmanager
    def lease(self, wait: timedelta) -> Iterator[None]:
        """Keep other runs out, wherever they run; see `Warehouse.lease`."""
        self.check_version()
        with self._held(wait):
            yield

    def shared_lease(self, run_id: str, wait: timedelta) -> AbstractContextManager[None]:
        """Take or join the lease of a run; it stays with the run, until it's given back or ends."""
        self.check_version()
        # By the run's name, the jobs of a task that comes again would be those of its last try.
        return self._leased(run_id, wait, jobs_suffix=uuid.uuid4().hex)

    def give_back(self, run_id: str) -> None:
        """Free the lease. Where that fails it ends by itself, and what the run met matters more."""
        try:
            self._jobs.run(bookkeeping.give_lease_back(self.names), {"run_id": run_id})
        except ExpmonError as error:
            log.warning("the lease is not given back, and other runs wait until it ends: %s", error)

    def examine(self) -> list[Finding]:
        """Whether all is there, and the account may use it; see `Warehouse.examine`."""
        from expmon.warehouse.bigquery_doctor import Examination

        examination = Examination(
            self, self._credentials, client=lambda: self._client, storage=lambda: self._storage
        )
        return list(examination.run())

    def close(self) -> None:
        """Close the connections."""
        for name in ("_client", "_storage"):
            client = self.__dict__.pop(name, None)
            if name == "_client" and client is not None:
                client.close()
            elif client is not None:
                client.transport.close()
        self.__dict__.pop("_jobs", None)

    # What the methods above are made of

    def _migrate(self, changes: Sequence[Change]) -> None:
        """Make the changes while no run writes, and let the memo know what they have written."""
        self._jobs.run(bookkeeping.lease_row(self.names), {})
        with self._held(timedelta(0)):
            for change in changes:
                relation = change.relation
                remembered = self.state().partitions(relation) if relation.cadence else {}
                self._hold_lease()
                job_id = self._jobs.run(change.statement(self.names), {}).job.job_id
                self._remember(
                    [(relation, p, replace(e, job_id=job_id)) for p, e in remembered.items()]
                )

    @contextlib.contextmanager
    def _held(self, wait: timedelta) -> Iterator[None]:
        """The lease, for as long as this lasts."""
        run_id = uuid.uuid4().hex
        with self._leased(run_id, wait, jobs_suffix=run_id):
            try:
                yield
            finally:
                self.give_back(run_id)

    @contextlib.contextmanager
    def _leased(self, run_id: str, wait: timedelta, *, jobs_suffix: str) -> Iterator[None]:
        deadline = time.monotonic() + wait.total_seconds()
        while (lease := self._taken(run_id)) is None:
            if time.monotonic() >= deadline:
                raise WarehouseLocked(self._held_by())
            time.sleep(_LEASE_PAUSE)
        self._lease, self._jobs_suffix = lease, jobs_suffix
        try:
            yield
        finally:
            self._lease = None

    def _write(self, write: Write) -> Written:
        """The job that replaces the partition; it is not remembered yet."""
        self._hold_lease()  # of a long level, again
        relation = write.relation
        destination = f"{relation.table}-{write.partition.id or 'whole'}"
        suffix = self._jobs_suffix if self._lease else uuid.uuid4().hex
        cadence = relation.cadence.value if relation.cadence else ""
        try:
            done = self._jobs.run(
                write.statement,
                write.parameters,
                job_id=f"expmon-{destination}-{suffix}",
                labels={"dataset": relation.table, "cadence": cadence},
                options=self._options(write),
            )
        except WarehouseError as error:
            if _is_violation(error) and write.partition.id:
                raise PartitionViolation(
                    relation.name, write.partition.id, sql=error.sql or ""
                ) from error
            raise
        job = done.job
        slots = job.slot_millis
        return Written(
            started_at=job.created.astimezone(UTC),
            modified_at=job.ended.astimezone(UTC),
            as_of=write.as_of,
            rows=done.rows.total_rows or 0,
            job_id=job.job_id,
            bytes_read=job.total_bytes_processed,
            slot_time=None if slots is None else timedelta(milliseconds=slots),
        )

    def _options(self, write: Write) -> dict[str, Any]:
        """Where a write goes, and how: its partition, or the whole table under its own schema."""
        from google.cloud import bigquery

        place = self.names.of(write.relation)
        dataset = bigquery.DatasetReference(place.project, place.dataset)
        partition = write.partition.id
        return {
            "destination": dataset.table(
                f"{place.table}${partition}" if partition else place.table
            ),
            "create_disposition": bigquery.CreateDisposition.CREATE_NEVER,
            # Of a whole table, WRITE_TRUNCATE would replace the schema and its descriptions, too.
            "write_disposition": bigquery.WriteDisposition.WRITE_TRUNCATE
            if partition
            else bigquery.WriteDisposition.WRITE_TRUNCATE_DATA,
        }

    def _remember(self, done: Sequence[tuple[Relation, Partition, Written]]) -> None:
        if not done:
            return
        places = {relation.name: self.names.of(relation) for relation, _, _ in done}
        written = [
            {
                "place": str(places[relation.name]),
                "relation": relation.name,
                "partition": partition.id,
                "job_id": entry.job_id,
                "as_of": entry.as_of,
                "started_at": entry.started_at,
                "ended_at": entry.modified_at,
                "rows": entry.rows,
                "bytes": entry.bytes_read,
            }
            for relation, partition, entry in done
        ]
        expiring = {
            relation.name: relation.partitioning.expiration_days
            for relation in tables()
            if relation.partitioning and relation.partitioning.expiration_days
        }
        kept = max(expiring.values()) * DAY
        oldest = floor(min(entry.as_of for _, _, entry in done) - kept, HOUR)
        values = {
            "written": written,
            "expiring": list(expiring),
            "oldest": Partition.of_hour(oldest).id,
        }
        self._jobs.run(bookkeeping.remember(self.names, places.values()), values)

    def _rows(self, done: Done, *, progress: bool) -> pa.Table:
        import pyarrow as pa
        from google.api_core.exceptions import PermissionDenied

        bar = "tqdm" if progress else None
        rows, sql = done.rows, done.job.query
        with translated(done.job.job_id or "the query", sql=sql):
            if self._may_read_storage and self._storage is not None:
                try:
                    if rows.total_rows and not progress:
                        return pa.Table.from_batches(_all_of(rows, self._storage))
                    return rows.to_arrow(progress_bar_type=bar, bqstorage_client=self._storage)
                except PermissionDenied:
                    self._warn_of_rest()
                    rows = done.job.result(job_retry=None)
            return rows.to_arrow(progress_bar_type=bar, create_bqstorage_client=False)

    def _warn_of_rest(self) -> None:
        """Say once that rows come slowly, and why."""
        self._may_read_storage = False
        warnings.warn(
            "rows are fetched over BigQuery's REST API, which is slow: for the Storage Read API "
            f"the role roles/bigquery.readSessionUser on {self.settings.project} is missing",
            stacklevel=3,
        )

    def _hold_lease(self) -> None:
        """Make sure that the lease outlasts a job that begins now, all its attempts included."""
        with self._lease_lock:
            if self._lease is None:  # a write without a run
                return
            needed = (2 * self.settings.job_timeout).total_seconds()
            if time.monotonic() + needed > self._lease.until:
                lease = self._taken(self._lease.run_id)
                if lease is None:
                    raise WarehouseLocked(self._held_by())
                self._lease = lease

    def _taken(self, run_id: str) -> _Lease | None:
        """The lease, for as long as two jobs may take; None if another run has it."""
        length = 2 * self.settings.job_timeout + _MARGIN
        began = time.monotonic()
        values = {"run_id": run_id, "seconds": int(length.total_seconds())}
        done = self._jobs.run(bookkeeping.take_lease(self.names), values)
        if not done.job.num_dml_affected_rows:
            return None
        return _Lease(run_id, began + length.total_seconds())

    def _held_by(self) -> str:
        rows = self.query(bookkeeping.lease_holder(self.names), {}).to_pylist()
        if not rows:
            raise NotDeployed(LEASE.name, detail="its one row is missing")
        holder = rows[0]
        until = holder["expires_at"]
        ends = "" if until is None else f", until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return (
            f"another run ({holder['run_id']}) writes to {self.names.of(PARTITIONS).dataset}{ends} "
            "at the latest. Try again later, or wait longer."
        )

    @cached_property
    def _client(self) -> bigquery.Client:
        from google.api_core.client_info import ClientInfo
        from google.cloud import bigquery

        return bigquery.Client(
            project=self.settings.project,
            credentials=self._credentials(),
            location=self.settings.location,
            client_info=ClientInfo(user_agent="expmon"),
        )

    @cached_property
    def _storage(self) -> bigquery_storage.BigQueryReadClient | None:
        """A client of the Storage Read API; none where BigQuery itself is an emulator without."""
        from google.cloud import bigquery_storage

        target = os.environ.get(STORAGE_EMULATOR)
        if target is None:
            if os.environ.get("BIGQUERY_EMULATOR_HOST"):
                return None
            return bigquery_storage.BigQueryReadClient(credentials=self._credentials())
        import grpc
        from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
            BigQueryReadGrpcTransport,
        )

        unlimited = [("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(target, options=unlimited)
        transport = BigQueryReadGrpcTransport(channel=channel)
        return bigquery_storage.BigQueryReadClient(transport=transport)

    @property
    def _deployment(self) -> Deployment:
        return Deployment(self._client, self.settings, self.names)

    @cached_property
    def _jobs(self) -> Jobs:
        location = self.settings.location
        if location is None:
            location = self._deployment.location()
        return Jobs(self._client, self.settings, location)


def _all_of(
    rows: RowIterator, storage: bigquery_storage.BigQueryReadClient, streams: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows as they arrive, until all are there.

    Google's client looks only five times a second whether its reader has ended, and so may hold up
    each result for 0.2 s after its last row: we count the rows, and ask no further.
    """
    arrived = 0
    for batch in rows.to_arrow_iterable(bqstorage_client=storage, max_stream_count=streams):
        yield batch
        arrived += batch.num_rows
        if arrived == rows.total_rows:
            return


def _is_violation(error: WarehouseError) -> bool:
    """Whether rows belong to other partitions; BigQuery has no reason of its own for that."""
    return "different partitions" in str(error)
