"""A real project as the smoke checks see it: bounded jobs in a temporary dataset, and their cost.

Google's clients alone: what expmon does with them is what is being tried.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions
from google.api_core.retry import Retry
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY
from google.cloud.storage.retry import DEFAULT_RETRY as STORAGE_RETRY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from google.cloud import bigquery_storage, storage

SECONDS = 30.0
"""One request to a service may take so long."""
JOB_SECONDS = 120.0
"""One job may take so long, its waiting in a queue included."""
RETRY = DEFAULT_RETRY.with_timeout(60)
STREAM_RETRY = Retry(timeout=60)
UPLOAD_RETRY = STORAGE_RETRY.with_timeout(60)
MOST_BYTES = 200 * 2**20
"""BigQuery refuses a job that would bill more. It bills at least 10 MB for each table it reads."""
SCHEMA = (
    bigquery.SchemaField("window_start", "TIMESTAMP", description="Start of the window."),
    bigquery.SchemaField("branch", "STRING", description="Slug."),
    bigquery.SchemaField("count", "INT64", description="Clients."),
)
COLUMNS = "window_start, branch, count"
LABELS = {"expmon": "smoke"}


class NotTried(Exception):
    """A check can't be tried here; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check found, and whether expmon may rest on it."""

    text: str
    is_expected: bool


@dataclass(frozen=True, slots=True)
class Check:
    """An assumption of expmon's and how it is tried.

    Attributes:
        name: of the check, in the table.
        needed: what of expmon rests on it, and where that is written.
        expected: the answer that expmon needs.
        ask: tries it. What Google's clients raise there is an answer, too.
    """

    name: str
    needed: str
    expected: str
    ask: Callable[[Project], Answer]


@dataclass(frozen=True, slots=True)
class Project:
    """Where the checks are tried.

    Attributes:
        client: of BigQuery, with the location that its jobs run in.
        reader: of the Storage Read API.
        dataset: the temporary one, ``project.dataset``.
        other_dataset: a second one, for what reaches from one dataset to another.
        bucket: of Cloud Storage; None: none was given.
        folder: where in the bucket objects may be made, with a slash at its end.
        today: the day on which the checks run, UTC. Days before it are used, and no older ones:
            partitions of a project without billing expire after 60 days.
        billed: the bytes of each job.
    """

    client: bigquery.Client
    reader: bigquery_storage.BigQueryReadClient
    dataset: str
    other_dataset: str
    bucket: storage.Bucket | None
    folder: str
    today: date
    billed: list[int] = field(default_factory=list)

    @property
    def first_day(self) -> date:
        """The first of the two days that tables are filled with."""
        return self.today - timedelta(days=3)

    @property
    def second_day(self) -> date:
        """The day after it."""
        return self.today - timedelta(days=2)

    def at(self, hour: int, minute: int = 0, *, day: date | None = None) -> datetime:
        """A time of the first day, or of another."""
        return datetime.combine(day or self.first_day, time(hour, minute), UTC)

    def made(
        self,
        name: str,
        granularity: str | None = None,
        *,
        schema: Sequence[bigquery.SchemaField] = SCHEMA,
        dataset: str | None = None,
    ) -> str:
        """A new table, described, labelled and clustered; what SQL calls it, without backticks."""
        table = bigquery.Table(f"{dataset or self.dataset}.{name}", schema=schema)
        table.description = "A table of expmon's smoke check."
        table.labels = dict(LABELS)
        table.clustering_fields = ["branch"]
        if granularity:
            table.time_partitioning = bigquery.TimePartitioning(granularity, field="window_start")
        self.client.create_table(table, retry=RETRY, timeout=SECONDS)
        return f"{dataset or self.dataset}.{name}"

    def filled(self, name: str, granularity: str | None = None, *, dataset: str = "") -> str:
        """A new table of three rows: the counts 1 and 2 on the first day, 3 on the second."""
        table = self.made(name, granularity, dataset=dataset or self.dataset)
        times = (self.at(0), self.at(23, 55), self.at(0, day=self.second_day))
        self.write(rows(*zip(times, (1, 2, 3), strict=True)), table, disposition="WRITE_APPEND")
        return table

    def write(self, sql: str, destination: str, **more: Any) -> bigquery.QueryJob:
        """Replace a table or partition by a query's rows, as expmon does; the finished job."""
        job = self.begin(sql, destination=destination, **more)
        self.finish(job)
        return job

    def begin(  # noqa: PLR0913 - what expmon says of its jobs
        self,
        sql: str,
        *,
        destination: str | None = None,
        disposition: str = "WRITE_TRUNCATE",
        parameters: Sequence[Any] = (),
        job_id: str | None = None,
        seconds: float = JOB_SECONDS,
        dry_run: bool = False,
    ) -> bigquery.QueryJob:
        """A query that has been sent; BigQuery is to end it after ``seconds``."""
        config = bigquery.QueryJobConfig(
            query_parameters=list(parameters),
            maximum_bytes_billed=MOST_BYTES,
            use_query_cache=False,
            dry_run=dry_run,
            labels=LABELS,
        )
        config.job_timeout_ms = int(seconds * 1000)
        if destination:
            config.destination = destination
            config.write_disposition = disposition
            config.create_disposition = "CREATE_NEVER"
        return self.client.query(
            sql, config, job_id=job_id, job_retry=None, retry=RETRY, timeout=SECONDS
        )

    def finish(self, job: bigquery.QueryJob, seconds: float = JOB_SECONDS) -> list[tuple[Any, ...]]:
        """Wait for a job; its rows.

        Raises:
            GoogleAPICallError: BigQuery refused it, or it failed.
            TimeoutError: it is still running; it has been asked to stop.
        """
        try:
            found = job.result(retry=RETRY, timeout=seconds, job_retry=None)
            return [tuple(row.values()) for row in found]
        except (concurrent.futures.TimeoutError, exceptions.RetryError):
            with contextlib.suppress(exceptions.GoogleAPICallError):
                job.cancel(retry=RETRY, timeout=SECONDS)
            raise TimeoutError(f"a job was still running after {seconds:g} s") from None
        finally:
            self.billed.append(job.total_bytes_billed or 0)

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self.finish(self.begin(sql, parameters=parameters))

    def counts(self, table: str) -> list[int]:
        """The counts of a table, in the order of their times."""
        return [row[0] for row in self.rows(f"SELECT count FROM `{table}` ORDER BY window_start")]

    def partitions(self, table: str) -> dict[str | None, tuple[int, datetime]]:
        """What INFORMATION_SCHEMA.PARTITIONS says of a table: rows and time of each partition."""
        dataset, _, name = table.rpartition(".")
        found = self.rows(
            "SELECT partition_id, total_rows, last_modified_time "
            f"FROM `{dataset}`.INFORMATION_SCHEMA.PARTITIONS WHERE table_name = '{name}'"
        )
        return {partition: (count, modified) for partition, count, modified in found}

    def label(self, name: str, label: str) -> None:
        """Add a label to a table, as a deploy of a new schema version does."""
        table = self.table(name)
        table.labels = {**table.labels, label: ""}
        self.client.update_table(table, ["labels"], retry=RETRY, timeout=SECONDS)

    def table(self, name: str) -> bigquery.Table:
        """What the API says of a table."""
        return self.client.get_table(name, retry=RETRY, timeout=SECONDS)


@contextlib.contextmanager
def temporary(project: Project, *, location: str, keep: bool) -> Iterator[None]:
    """The project with its datasets, which are gone afterwards, and the objects with them.

    A dataset that was there before is refused and stays. The tables expire after a day, so that
    none is left where this process dies. What can't be removed is told.

    Raises:
        Conflict: a dataset of that name is there.
    """
    with contextlib.ExitStack() as cleaning:
        if project.bucket is not None and not keep:
            cleaning.callback(_remove, _remove_objects, project, project.folder)
        for name in (project.dataset, project.other_dataset):
            dataset = bigquery.Dataset(name)
            dataset.location = location
            dataset.description = "Temporary: expmon's scripts/smoke_bigquery.py"
            dataset.default_table_expiration_ms = 24 * 60 * 60 * 1000
            dataset.labels = dict(LABELS)
            project.client.create_dataset(dataset, retry=RETRY, timeout=SECONDS)
            if not keep:
                cleaning.callback(_remove, _remove_dataset, project, name)
        yield


def _remove(remove: Callable[[Project, str], None], project: Project, name: str) -> None:
    try:
        remove(project, name)
    except Exception as error:  # noqa: BLE001 - the answers and the other removals matter more
        tell(f"{name} is left over, for it could not be removed: {said(error)}")


def _remove_dataset(project: Project, name: str) -> None:
    project.client.delete_dataset(
        name, delete_contents=True, not_found_ok=True, retry=RETRY, timeout=SECONDS
    )


def _remove_objects(project: Project, folder: str) -> None:
    if project.bucket is None:
        return
    listed = project.bucket.list_blobs(prefix=folder, retry=UPLOAD_RETRY, timeout=SECONDS)
    for blob in listed:
        blob.delete(retry=UPLOAD_RETRY, timeout=SECONDS)


def tell(line: str) -> None:
    """Show how far it is, apart from the table."""
    print(line, file=sys.stderr, flush=True)


def rows(*times_and_counts: tuple[datetime, int]) -> str:
    """A query with these rows, of the branch `a`."""
    structs = ", ".join(
        f"STRUCT(TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}+00' AS window_start, {count} AS count)"
        for moment, count in times_and_counts
    )
    return f"SELECT window_start, 'a' AS branch, count FROM UNNEST([{structs}])"


def no_row() -> str:
    """A query with no row."""
    return f"SELECT {COLUMNS} FROM ({rows((datetime(2021, 1, 26, tzinfo=UTC), 0))}) WHERE FALSE"


def day_of(table: str, day: date) -> str:
    """The partition of a day, as a destination."""
    return f"{table}${day:%Y%m%d}"


def said(error: Exception) -> str:
    """What an error says, in one line: Google's word for its reason, where there is one, first."""
    entries = getattr(error, "errors", None) or []  # REST's have words, gRPC's the call itself
    reasons = [
        entry["reason"] for entry in entries if isinstance(entry, dict) and "reason" in entry
    ]
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    line = " ".join(str(message).split())
    # The clients put the request before what the server said, and other words for it after it.
    line = re.sub(r"^[A-Z]+ http\S+: ", "", line)
    line = line.partition("; reason: ")[0].partition(" Location: ")[0].partition(" Job ID: ")[0]
    if isinstance(error, exceptions.RetryError) and error.cause is not None:
        line = f"{line[:100]} {error.cause}"  # what each attempt met with
    return ": ".join([*reasons[:1], line[:300]])
