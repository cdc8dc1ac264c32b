"""What is configured of BigQuery: where jobs run, how long, and what they may cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class BigQuerySettings:
    """Where jobs run and are billed, and their limits.

    Attributes:
        project: where jobs run and are billed; the data may lie elsewhere.
        location: of the datasets, for instance ``US``; None: BigQuery finds out.
        quota_project: whose API quota is used; None: the credentials' own.
        priority: ``interactive`` or ``batch``.
        job_timeout: BigQuery ends a job after this.
        retry_deadline: errors that pass by themselves are tried again for so long.
        maximum_bytes_billed: a job that would read more fails before it starts; None: no limit.
        parallel_jobs: so many of a run's jobs are under way at once.
    """

    project: str
    location: str | None = None
    quota_project: str | None = None
    priority: str = "interactive"
    job_timeout: timedelta = timedelta(minutes=10)
    retry_deadline: timedelta = timedelta(minutes=2)
    maximum_bytes_billed: int | None = None
    parallel_jobs: int = 8
