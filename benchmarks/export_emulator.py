"""Export 50 experiments and 8 datasets from BigQuery's emulator to a Cloud Storage server.

    .venv/bin/python benchmarks/export_emulator.py [--quick]

The derived tables are those of `export.py`: three branches with a row in every window of 30 days.
expmon exports all experiments into an empty prefix. The other side goes through them in the manner
of Mozilla's script, in which each experiment and dataset takes four jobs: a query for all branches,
an extract job that writes its result to the bucket as lines of JSON, and the same by branch; each
file is then read, written again as an array, and the lines are deleted. The script has 20 such
exports at a time; here one follows the other, since servers and clients share the processors.

The loop takes minutes: it is measured for a few experiments with all their datasets, and its time
is multiplied for the others. Jobs are those that the emulator lists. Of each file of the sample
both sides must have written as many points.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import servers
from measuring import Line, alone, alternately, timed

import expmon
from expmon.catalog import EXPORTED
from expmon.catalog.bookkeeping import PARTITIONS
from expmon.catalog.health import HEALTH
from expmon.catalog.model import Series
from expmon.catalog.sources import EXPERIMENTS
from export import AS_OF, BRANCHES, END, START

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.cloud import bigquery, storage

    from expmon.catalog.model import Dataset

PROJECT, BUCKET = "expmon-bench", "bench"
QUERIES_GOAL, SPEED_GOAL = 2, 10
ALL_BRANCHES, BY_BRANCH = "", "_by_branch"


def lines(*, quick: bool) -> Iterator[Line]:
    """Jobs and time of both sides."""
    size, sample, runs = (5, 1, 1) if quick else (50, 3, 3)
    with servers.running(PROJECT, with_storage=True):
        bench = Bench.filled(size)
        jobs = {"whole": bench.jobs_of(lambda: bench.whole("whole"))}
        jobs["loop"] = bench.jobs_of(lambda: bench.loop("loop", sample)) * size // sample
        files = bench.compare("whole", "loop", sample)
        numbers = itertools.count()
        taken = alternately(
            {
                "whole": lambda: timed(lambda: bench.whole(f"whole-{next(numbers)}")),
                "loop": lambda: timed(lambda: bench.loop(f"loop-{next(numbers)}", sample)),
            },
            runs,
        )
    loop = taken["loop"] * size / sample
    ratio = loop / taken["whole"]
    yield Line(
        f"export of {size} experiments on the emulators: queries",
        f"{QUERIES_GOAL}",
        jobs["whole"],
        "queries",
        met=jobs["whole"] == QUERIES_GOAL,
        detail=f"{jobs['loop']} jobs one by one, 4 for each experiment and dataset; {files} files",
    )
    yield Line(
        f"export of {size} experiments on the emulators: time",
        f"at least {SPEED_GOAL} times faster than one by one",
        taken["whole"],
        "s",
        ratio,
        ratio >= SPEED_GOAL,
        runs,
        f"one by one {loop:.0f} s: {taken['loop']:.1f} s were measured for {sample} experiments "
        f"and 8 datasets, times {size / sample:.3g}",
    )


@dataclass(frozen=True, slots=True)
class Bench:
    """Both servers, with full tables."""

    client: bigquery.Client
    bucket: storage.Bucket

    @classmethod
    def filled(cls, size: int) -> Bench:
        """With this many experiments, and the tables that an export reads."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery, storage

        from expmon.warehouse.bigquery_types import schema

        credentials = AnonymousCredentials()
        client = bigquery.Client(project=PROJECT, credentials=credentials)
        # Nobody has looked at their health: one by one there would be none of it, either.
        relations = (EXPERIMENTS, PARTITIONS, HEALTH, *(dataset.table for dataset in EXPORTED))
        for name in {relation.dataset for relation in relations}:
            client.create_dataset(name)
        for relation in relations:
            table = bigquery.Table(f"{PROJECT}.{relation.name}", schema=schema(relation.columns))
            if relation.partitioning:
                field = relation.partitioning.column
                table.time_partitioning = bigquery.TimePartitioning(field=field)
            client.create_table(table)
        for statement in fill(size):
            client.query(statement).result()
        bucket = storage.Client(project=PROJECT, credentials=credentials).create_bucket(BUCKET)
        return cls(client, bucket)

    def jobs_of(self, call: Any) -> int:
        """How many jobs the server has afterwards that it had not before."""
        before = sum(1 for _ in self.client.list_jobs(all_users=True))
        call()
        return sum(1 for _ in self.client.list_jobs(all_users=True)) - before

    def whole(self, prefix: str) -> None:
        """All experiments by expmon, with a monitor of its own."""
        with expmon.connect(
            f"bigquery://{PROJECT}?location=US",
            store=f"gs://{BUCKET}/{prefix}",
            settings={"project": PROJECT},
        ) as monitor:
            monitor.export_active(AS_OF)

    def loop(self, prefix: str, sample: int) -> None:
        """The first experiments, one and a dataset at a time."""
        for number, dataset in itertools.product(range(sample), EXPORTED):
            for suffix in (ALL_BRANCHES, BY_BRANCH):
                name = f"experiment-{number}_{dataset.name}{suffix}.json"
                query = series(dataset, f"experiment-{number}", by_branch=suffix == BY_BRANCH)
                self.extract(query, f"{prefix}/{name}")

    def extract(self, query: str, path: str) -> None:
        """A query's result as a file: by way of a table and of lines."""
        from google.cloud import bigquery

        job = self.client.query(query)
        job.result()
        as_lines = f"{path}.ndjson"
        config = bigquery.ExtractJobConfig(
            destination_format=bigquery.DestinationFormat.NEWLINE_DELIMITED_JSON
        )
        place = f"gs://{BUCKET}/{as_lines}"
        self.client.extract_table(job.destination, place, job_config=config).result()
        blob = self.bucket.blob(as_lines)
        array = b"[" + b",".join(blob.download_as_bytes().splitlines()) + b"]"
        self.bucket.blob(path).upload_from_string(array, "application/json")
        blob.delete()

    def compare(self, whole: str, loop: str, sample: int) -> int:
        """How many files the export has.

        Raises:
            RuntimeError: a file of the sample has another number of points than the loop's.
        """
        for number, dataset in itertools.product(range(sample), EXPORTED):
            for suffix in (ALL_BRANCHES, BY_BRANCH):
                name = f"experiment-{number}_{dataset.name}{suffix}.json"
                counts = [
                    len(json.loads(self.bucket.blob(f"{prefix}/{name}").download_as_bytes()))
                    for prefix in (whole, loop)
                ]
                if counts[0] != counts[1] or not counts[0]:
                    raise RuntimeError(f"{name} has {counts[0]} points and {counts[1]} in the loop")
        prefix = f"{whole}/experiment-"
        return sum(1 for _ in self.bucket.client.list_blobs(self.bucket, prefix=prefix))


def fill(size: int) -> Iterator[str]:
    """The statements that fill the tables."""
    numbers = f"UNNEST(GENERATE_ARRAY(0, {size - 1})) AS n"
    yield (
        f"INSERT INTO {EXPERIMENTS.name} (normandy_slug, start_date) "
        f"SELECT CONCAT('experiment-', n), DATE '{START.date()}' FROM {numbers}"
    )
    for dataset in EXPORTED:
        step = "1 DAY" if dataset.series is Series.DAILY else "5 MINUTE"
        times = (
            f"UNNEST(GENERATE_TIMESTAMP_ARRAY(TIMESTAMP '{START:%F}', "
            f"TIMESTAMP_SUB(TIMESTAMP '{END:%F}', INTERVAL {step}), INTERVAL {step})) AS time"
        )
        yield (
            f"INSERT INTO {dataset.table.name} (time, branch, experiment, value) "
            "SELECT time, CONCAT('branch-', b), CONCAT('experiment-', n), "
            "MOD(n * 7919 + b * 31 + EXTRACT(HOUR FROM time), 1000) "
            f"FROM {times}, UNNEST(GENERATE_ARRAY(0, {BRANCHES - 1})) AS b, {numbers}"
        )


def series(dataset: Dataset, slug: str, *, by_branch: bool) -> str:
    """One file's points: every half hour, daily datasets as they are, from the start on."""
    half_hour = (
        "TIMESTAMP_ADD(TIMESTAMP_SECONDS(DIV(UNIX_SECONDS(time), 1800) * 1800), INTERVAL 30 MINUTE)"
    )
    start = (
        f"SELECT TIMESTAMP(MIN(start_date)) FROM {EXPERIMENTS.name} WHERE normandy_slug = '{slug}'"
    )
    rows = (
        f"SELECT branch, {'time' if dataset.series is Series.DAILY else half_hour} AS point, value "
        f"FROM {dataset.table.name} WHERE experiment = '{slug}' AND time >= ({start})"
    )
    if dataset.series is Series.CUMULATIVE:
        rows += (
            f" QUALIFY ROW_NUMBER() OVER (PARTITION BY branch, {half_hour} ORDER BY time DESC) = 1"
        )
    branch = "branch, " if by_branch else ""
    return (
        f"SELECT {branch}point AS time, SUM(value) AS value FROM ({rows}) "
        f"GROUP BY {branch}point ORDER BY point DESC"
    )


if __name__ == "__main__":
    alone(__doc__, lines)
