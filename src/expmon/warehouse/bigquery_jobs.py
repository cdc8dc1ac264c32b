"""Jobs of BigQuery: each is started once, whatever becomes of the answers."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import time
import uuid
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

from expmon.statements import render, tables_of
from expmon.warehouse.bigquery_errors import (
    JOB_USER,
    READER,
    WRITER,
    passing,
    translated,
)
from expmon.warehouse.bigquery_types import parameters as typed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.api_core.exceptions import GoogleAPICallError
    from google.api_core.retry import Retry
    from google.cloud import bigquery
    from google.cloud.bigquery.table import RowIterator

    from expmon.catalog.model import Statement
    from expmon.warehouse.bigquery_settings import BigQuerySettings

log = logging.getLogger(__name__)

_REQUEST_SECONDS = 60
_NOT_FOUND_SECONDS = 30
"""After a conflict the job may take a moment to be found."""
_RESULT_SECONDS = 10.0
"""BigQuery may tell of a job's failure as if the question for its rows had failed."""
_LABEL_LENGTH = 63
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Done:
    """A job that has succeeded, and its rows."""

    job: bigquery.QueryJob
    rows: RowIterator


@dataclass(slots=True)
class Jobs:
    """Query jobs with the configured limits.

    Attributes:
        client: of BigQuery.
        settings: limits and priority.
        location: of the jobs; None: BigQuery chooses by the tables.
        pause: waits for so many seconds between attempts; tests wait less.
    """

    client: bigquery.Client
    settings: BigQuerySettings
    location: str | None = None
    pause: Callable[[float], None] = time.sleep

    def run(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        job_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Done:
        """Run a statement, and wait for it.

        A request whose answer is lost is repeated with the same job id, so that it finds the job
        that it has started. Only a job that is done, and failed for a reason that BigQuery says to
        try again for or because another statement changed its table, is started anew, with another
        id.

        Args:
            statement: what to run.
            values: of its parameters.
            job_id: the attempt is added to it; made up where nobody else can start the job.
            labels: beside expmon's own.
            options: more properties of the job's configuration.
        """
        sql = render(statement.tree, name=statement.name)
        config = self.config(statement, values, labels=labels, options=options)
        job_id = job_id or f"expmon-{_job_name(statement.name)}-{uuid.uuid4().hex}"
        return self._attempts(statement, sql, config, job_id)

    def bytes_of(self, statement: Statement, values: Mapping[str, Any]) -> int:
        """How many bytes the statement would read at most, by a dry run."""
        sql = render(statement.tree, name=statement.name)
        config = self.config(statement, values)
        config.dry_run, config.use_query_cache = True, False
        with translated(statement.name, sql=sql):
            job = self.client.query(
                sql,
                config,
                location=self.location,
                retry=self.retry,
                job_retry=None,
                timeout=_REQUEST_SECONDS,
            )
        return int(job.total_bytes_processed or 0)

    @property
    def retry(self) -> Retry:
        """Repeats requests that fail for reasons that pass, with jitter, up to the deadline."""
        from google.cloud.bigquery.retry import DEFAULT_RETRY

        return DEFAULT_RETRY.with_timeout(self.settings.retry_deadline.total_seconds())

    def config(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> bigquery.QueryJobConfig:
        """The job's configuration: parameters, labels and limits."""
        from google.cloud import bigquery

        config = bigquery.QueryJobConfig(
            query_parameters=typed(statement, values),
            labels={"expmon": _version(), **(labels or {})},
            priority=self.settings.priority.upper(),
            job_timeout_ms=int(self.settings.job_timeout.total_seconds() * 1000),
            use_legacy_sql=False,
            **(options or {}),
        )
        if self.settings.maximum_bytes_billed is not None:
            config.maximum_bytes_billed = self.settings.maximum_bytes_billed
        return config

    def _attempts(
        self, statement: Statement, sql: str, config: bigquery.QueryJobConfig, job_id: str
    ) -> Done:
        from google.api_core.exceptions import GoogleAPICallError

        # No attempt begins later, so that the last one ends before the lease does.
        deadline = time.monotonic() + self.settings.job_timeout.total_seconds()
        pause, attempt = _FIRST_PAUSE, 1
        while True:
            job = None
            try:
                job = self._begun(sql, config, f"{job_id}-{attempt}")
                return Done(job, self._result(job))
            except GoogleAPICallError as error:
                failed = passing(error)
                is_over = time.monotonic() + pause >= deadline
                if job is None or not failed or is_over or not self._has_failed(job):
                    what, role = self._blamed(statement, config, error, has_begun=job is not None)
                    with translated(what, sql=sql, role=role):
                        raise
            except Exception:
                with translated(statement.name, sql=sql):
                    raise
            log.warning("%s: %s, so it is run again (job %s)", statement.name, failed, job.job_id)
            self.pause(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            pause, attempt = min(pause * 2, _LONGEST_PAUSE), attempt + 1

    def _blamed(
        self,
        statement: Statement,
        config: bigquery.QueryJobConfig,
        error: GoogleAPICallError,
        *,
        has_begun: bool,
    ) -> tuple[str, str]:
        """What an error is about, and the role that one would need: BigQuery's text alone says it.

        So each table is looked at by itself: the first that can't be seen is the one.
        """
        from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound

        if not isinstance(error, (Forbidden, NotFound)):
            return statement.name, READER
        destination = str(config.destination).partition("$")[0] if config.destination else None
        for table in [*tables_of(statement.tree), *([destination] if destination else [])]:
            try:
                self.client.get_table(table, retry=self.retry, timeout=_REQUEST_SECONDS)
            except (Forbidden, NotFound):
                return table, WRITER if table == destination else READER
            except GoogleAPICallError:
                break
        if isinstance(error, Forbidden) and not has_begun:
            return f"project {self.client.project}", JOB_USER
        return (destination, WRITER) if destination else (statement.name, READER)

    def _begun(self, sql: str, config: bigquery.QueryJobConfig, job_id: str) -> bigquery.QueryJob:
        """The job, started now or, if an answer was lost, a moment ago."""
        from google.api_core.exceptions import Conflict, NotFound
        from google.api_core.retry import Retry, if_exception_type

        try:
            return self.client.query(
                sql,
                config,
                job_id=job_id,
                location=self.location,
                retry=self.retry,
                job_retry=None,
                timeout=_REQUEST_SECONDS,
            )
        except Conflict:
            found = Retry(if_exception_type(NotFound), initial=0.2, timeout=_NOT_FOUND_SECONDS)
            get = found(self.client.get_job)
            job = get(job_id, location=self.location, retry=self.retry, timeout=_REQUEST_SECONDS)
            return cast("bigquery.QueryJob", job)

    def _result(self, job: bigquery.QueryJob) -> RowIterator:
        """The rows, once the job is done; BigQuery ends it by its own timeout.

        Whoever asks for the rows of a job that has failed gets the job's own error, which may look
        like one that passes. So they are asked for again for a short time, and then the job is.
        """
        from google.api_core.exceptions import RetryError

        deadline = time.monotonic() + self.settings.job_timeout.total_seconds() + _REQUEST_SECONDS
        patience = min(self.settings.retry_deadline.total_seconds(), _RESULT_SECONDS)
        left = self.settings.retry_deadline.total_seconds()
        briefly = self.retry.with_timeout(patience)
        # The rows that a table was written with are counted, and not fetched.
        page_size = 1 if job.write_disposition else None
        while True:
            try:
                return job.result(
                    page_size, retry=briefly, job_retry=None, timeout=_REQUEST_SECONDS
                )
            except TimeoutError:
                if time.monotonic() >= deadline:
                    raise
            except RetryError:
                left -= patience
                job.reload(retry=self.retry, timeout=_REQUEST_SECONDS)
                if left <= 0 and job.error_result is None:
                    raise

    def _has_failed(self, job: bigquery.QueryJob) -> bool:
        """Whether the job itself is over and failed; not if BigQuery doesn't say."""
        from google.api_core.exceptions import GoogleAPIError

        with contextlib.suppress(GoogleAPIError):
            is_done = job.done(retry=self.retry, timeout=_REQUEST_SECONDS)
            return is_done and job.error_result is not None
        return False


@cache
def _version() -> str:
    """The version of expmon, as a label may be written."""
    return re.sub(r"[^a-z0-9_-]", "-", metadata.version("expmon").lower())[:_LABEL_LENGTH]


def _job_name(name: str) -> str:
    return name.replace(".", "-")
