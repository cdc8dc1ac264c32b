"""The engines that the whole pipeline runs on, each with its sources and its store.

On the embedded engine expmon itself loads pings, and the deduplicated sources are views. On
BigQuery ingestion is not expmon's: here an embedded warehouse plays its part, and the rows that it
has of each source and day replace that day's partition of the source on BigQuery.
"""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage
from google.cloud.storage.retry import DEFAULT_RETRY

import expmon
import pings as client
import reference
from expmon.catalog import sources
from expmon.catalog.model import Names, Statement
from expmon.catalog.sources import EXPERIMENTS
from expmon.statements.build import select, table, where
from expmon.warehouse.bigquery_types import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from emulators import launch
    from expmon import Monitor
    from expmon.catalog.model import Relation

DAY = timedelta(days=1)
SECONDS = 60
PREFIX = "monitoring"
SOURCES = (
    sources.EVENT_V4,
    sources.MAIN_V4,
    sources.STABLE_MAIN_V4,
    sources.EVENT_EVENTS,
    sources.MAIN_EVENTS,
    sources.CLIENTS_DAILY,
)


class World(Protocol):
    """An engine with empty tables, and a store with nothing in it."""

    monitor: Monitor

    def ingest(self, pings: Iterable[Mapping[str, Any]]) -> None:
        """Let the sources have the pings."""

    def files(self) -> dict[str, bytes]:
        """What lies in the store, helpers left out."""


def describe(world: World, *experiments: Mapping[str, Any]) -> None:
    """Let the experiments be known to the metadata."""
    world.monitor.warehouse.load(EXPERIMENTS, experiments, key="normandy_slug")


def assert_exported(
    world: World, played: reference.Played, as_of: datetime, starts: Mapping[str, date]
) -> None:
    """Every file of the series is there, byte for byte as plain Python writes it.

    Those of the health checks have tests of their own.
    """
    found = {n: data for n, data in world.files().items() if not n.endswith("_health.json")}
    index = json.loads(found.pop("index.json"))
    tables, expected = reference.derived(played), {}
    for slug, start in starts.items():
        files = reference.export_tables(tables, slug=slug, start=start, as_of=as_of)
        for name, records in files.items():
            text = json.dumps(records, ensure_ascii=False, separators=(",", ":"))
            expected[name] = text.encode()
    assert found == expected
    entries = {n: entry for n, entry in index["files"].items() if entry["dataset"] != "health"}
    assert {name: entry["rows"] for name, entry in entries.items()} == {
        name: len(json.loads(data)) for name, data in expected.items()
    }


@dataclass
class Embedded:
    """DuckDB and a directory."""

    monitor: Monitor
    directory: Path

    def ingest(self, pings: Iterable[Mapping[str, Any]]) -> None:
        result = self.monitor.ingest(client.write(self.directory / "pings.json", pings))
        assert not result.skipped

    def files(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in (self.directory / "exports").glob("*.json")}


@dataclass
class Cloud:
    """BigQuery and Cloud Storage, by their emulators."""

    monitor: Monitor
    pipeline: Embedded
    google: bigquery.Client
    bucket: storage.Bucket
    days: set[date] = field(default_factory=set)

    @property
    def names(self) -> Names:
        return self.monitor.settings.names

    def prepare(self) -> None:
        """Make the sources, as ingestion would, and deploy."""
        for source in SOURCES:
            place, behind = self.names.of(source), self.names.behind(source)
            for name in {place.dataset, behind.dataset}:
                self.google.create_dataset(f"{place.project}.{name}", exists_ok=True)
            found = bigquery.Table(str(behind), schema=schema(source.columns))
            found.time_partitioning = bigquery.TimePartitioning(field=source.partitioning.column)
            self.google.create_table(found, timeout=SECONDS)
            if behind != place:
                view = bigquery.Table(str(place))
                view.view_query = f"SELECT * FROM `{behind}`"
                self.google.create_table(view, timeout=SECONDS)
        self.monitor.deploy()

    def ingest(self, pings: Iterable[Mapping[str, Any]]) -> None:
        found = list(pings)
        self.pipeline.ingest(found)
        moments = [datetime.fromisoformat(p["submission_timestamp"]) for p in found]
        touched = {moment.astimezone(expmon.windows.UTC).date() for moment in moments}
        if touched:
            # A day without pings is there, too, and empty.
            known = self.days | touched
            span = (max(known) - min(known)).days + 1
            self.publish(touched | {min(known) + n * DAY for n in range(span)} - self.days)

    def publish(self, days: set[date]) -> None:
        """Let BigQuery have what the pipeline has of these days."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda source: self.replace(source, sorted(days)), SOURCES))
        self.days |= days

    def replace(self, source: Relation, days: list[date]) -> None:
        """Replace these days' partitions of a source, by way of a table of its own."""
        behind, columns = self.names.behind(source), ", ".join(source.column_names)
        fresh = f"{behind}_fresh"
        config = bigquery.LoadJobConfig(
            schema=schema(source.columns), write_disposition="WRITE_TRUNCATE"
        )
        rows = self.rows(source, days)
        self.google.load_table_from_json(rows, fresh, job_config=config).result(timeout=SECONDS)
        for day in days:
            query = (
                f"SELECT {columns} FROM `{fresh}` WHERE DATE({source.partitioning.column}) = @day"
            )
            config = bigquery.QueryJobConfig(
                destination=f"{behind}${day:%Y%m%d}",
                write_disposition="WRITE_TRUNCATE",
                create_disposition="CREATE_NEVER",
                query_parameters=[bigquery.ScalarQueryParameter("day", "DATE", day)],
            )
            self.google.query(query, job_config=config).result(timeout=SECONDS)

    def rows(self, source: Relation, days: list[date]) -> list[dict[str, Any]]:
        """What the pipeline has of the source on these days, as JSON has it."""
        dates = ", ".join(f"DATE '{day}'" for day in days)
        query = where(
            select(*source.column_names).from_(table(source, Names())),
            f"DATE({source.partitioning.column}) IN ({dates})",
        )
        found = self.pipeline.monitor.warehouse.query(Statement("rows", query), {})
        return [_plain(row) for row in found.to_pylist()]

    def files(self) -> dict[str, bytes]:
        blobs = self.bucket.client.list_blobs(self.bucket, prefix=f"{PREFIX}/", timeout=SECONDS)
        names = {blob: blob.name.removeprefix(f"{PREFIX}/") for blob in blobs}
        return {name: b.download_as_bytes() for b, name in names.items() if "/" not in name}


def _plain(value: Any) -> Any:
    """A cell as JSON has it."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def embedded(directory: Path, file: Path) -> Embedded:
    """A world in the directory, with the tables of a file."""
    return Embedded(expmon.connect(f"duckdb://{file}", directory / "exports"), directory)


def cloud(
    directory: Path,
    file: Path,
    *,
    bigquery_server: launch.BigQuery,
    gcs_server: launch.CloudStorage,
) -> Cloud:
    """A world of its own on the servers, which the environment must name."""
    project = f"expmon-{uuid.uuid4().hex[:12]}"
    google = bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": bigquery_server.rest_url},
    )
    files = storage.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": gcs_server.url},
    )
    bucket = files.create_bucket(project, retry=DEFAULT_RETRY.with_timeout(SECONDS))
    monitor = expmon.connect(
        f"bigquery://{project}?location=US",
        store=f"gs://{project}/{PREFIX}",
        settings={"project": project},
    )
    world = Cloud(monitor, embedded(directory, file), google, bucket)
    world.prepare()
    return world
