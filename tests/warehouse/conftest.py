"""BigQuery for tests: projects of a test's own on the emulator, and a proxy that fails on demand.

The sources are ingestion's: one project has them with a few pings, and the views and tables of
others are over that. The emulator takes longer for everything with each table that it holds: so
tests share projects, emptied before each test, and those with many tables are on another server.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

import expmon
import reference
import worlds
from emulators import launch
from emulators.proxy import Proxy
from expmon import Monitor
from expmon.catalog import RELATIONS, TIERS
from expmon.catalog.bookkeeping import LEASE, PARTITIONS
from expmon.catalog.model import Kind, Names
from expmon.catalog.sources import EVENT_V4, EVENTS_LIVE, MAIN_V4
from expmon.materialize.schedule import Settings
from expmon.statements import bookkeeping, render
from expmon.warehouse.bigquery import STORAGE_EMULATOR, BigQueryWarehouse
from expmon.warehouse.bigquery_schema import wanted
from expmon.warehouse.bigquery_settings import BigQuerySettings
from expmon.warehouse.bigquery_types import schema
from pings import event, event_ping, main_ping
from playing import at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from expmon.catalog.model import Relation, TableName

SECONDS = 60
FIRST_DAY = date(2021, 1, 26)
PINGS = (
    event_ping("2021-01-26T00:01:00+00:00", event("enroll", "exp", "a")),
    event_ping("2021-01-26T00:59:59.999999+00:00", event("unenroll", "exp", "b")),
    event_ping("2021-01-26T01:00:00+00:00", event("enroll", "exp", None), event("update")),
    main_ping("2021-01-26T00:02:00+00:00", {"exp": "a"}, searches={"a": "5"}, ad_clicks={"x": 2}),
    main_ping("2021-01-26T01:58:00+00:00", {"exp": "b"}, with_ads={"x": 3}),
)
"""Of the hours 00 and 01, and none later."""
HOURLY = tuple(tiers.hourly for tiers in TIERS)
LIVE_SOURCES = (EVENT_V4, MAIN_V4)
OF_HOURS = (EVENTS_LIVE, *HOURLY, PARTITIONS, LEASE)
"""What an hourly run reads and writes, but for the sources."""


@dataclass
class Place:
    """A project on the emulator, and what to look at it with, by Google's client alone."""

    server: launch.BigQuery
    names: Names
    google: bigquery.Client
    pings: tuple[Any, ...] = PINGS
    earlier: frozenset[str] = frozenset()
    opened: list[BigQueryWarehouse] = field(default_factory=list)

    def warehouse(
        self, url: str | None = None, *, credentials: Any = AnonymousCredentials, **settings: Any
    ) -> BigQueryWarehouse:
        """A warehouse of these tables, by way of the server at a URL."""
        configured = BigQuerySettings(**{"project": self.names.data, "location": "US", **settings})
        warehouse = BigQueryWarehouse(configured, self.names, credentials)
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("BIGQUERY_EMULATOR_HOST", url or self.server.rest_url)
            patched.setenv(STORAGE_EMULATOR, self.server.grpc_target)
            assert warehouse._client
            assert warehouse._storage
        self.opened.append(warehouse)
        return warehouse

    def monitor(self, url: str | None = None, **settings: Any) -> Monitor:
        """A monitor of these tables."""
        return Monitor(self.warehouse(url, **settings), None, Settings(self.names))

    def sql(self, text: str, **config: Any) -> list[tuple[Any, ...]]:
        """The rows of a query or of a script; ``{derived}`` is that dataset."""
        query = text.replace("{derived}", f"`{self.names.data}`.telemetry_derived")
        job = self.google.query(query, bigquery.QueryJobConfig(**config), timeout=SECONDS)
        return [tuple(row) for row in job.result(timeout=SECONDS)]

    def rows(self, relation: Relation) -> list[tuple[Any, ...]]:
        """Every row, sorted as those of the reference."""
        columns = ", ".join(f"`{name}`" for name in relation.column_names)
        found = self.sql(f"SELECT {columns} FROM `{self.names.of(relation)}`")
        cells = (tuple(_utc(cell) for cell in row) for row in found)
        return sorted(cells, key=reference.sort_key)

    def memo(self) -> list[str]:
        """The entries of the memo as ``table$partition``, sorted: one that is there twice shows."""
        found = self.sql("SELECT relation, `partition` FROM {derived}.expmon_partitions_v1")
        return sorted(f"{relation.split('.')[1]}${partition}" for relation, partition in found)

    def jobs(self, start: str = "expmon-") -> list[str]:
        """The ids of the jobs of this test, sorted: each once, as BigQuery sees to it."""
        found = {job.job_id for job in self.google.list_jobs(timeout=SECONDS)} - self.earlier
        return sorted(name for name in found if name.startswith(start))

    def written_by(self) -> dict[str, int]:
        """How many jobs were started to write each partition, whichever runs they were of."""
        counts: dict[str, int] = {}
        for name in self.jobs("expmon-experiment"):
            destination = name.removeprefix("expmon-").rsplit("-", 2)[0]
            counts[destination] = counts.get(destination, 0) + 1
        return counts

    def clear(self, *relations: Relation) -> None:
        """Leave no rows in these tables, no memory of any, and the lease free."""
        tables = [relation.table for relation in (PARTITIONS, LEASE, *relations)]
        script = [f"DELETE FROM {{derived}}.{table} WHERE TRUE" for table in tables]
        free = "INSERT INTO {derived}.expmon_lease_v1 (run_id, expires_at) VALUES (NULL, NULL)"
        self.sql("; ".join([*script, free]))
        self.earlier = frozenset(self.jobs(""))

    def put(self, *relations: Relation) -> None:
        """Make relations as deploy does, but only these and without looking first."""
        places = [place(relation) for relation in relations for place in (self.of, self.behind)]
        for name in dict.fromkeys(f"{place.project}.{place.dataset}" for place in places):
            self.google.create_dataset(name, exists_ok=True, timeout=SECONDS)
        for relation in sorted(relations, key=lambda r: r.kind is Kind.VIEW):
            table = wanted(relation, self.names)
            if relation.kind is Kind.SOURCE and relation.partitioning:
                table = bigquery.Table(str(self.behind(relation)), schema(relation.columns))
                partitioned = bigquery.TimePartitioning(field=relation.partitioning.column)
                table.time_partitioning = partitioned
            self.google.create_table(table, timeout=SECONDS)
            if self.behind(relation) != self.of(relation):
                view = bigquery.Table(str(self.of(relation)))
                view.view_query = f"SELECT * FROM `{self.behind(relation)}`"
                self.google.create_table(view, timeout=SECONDS)
        if LEASE in relations:
            statement = bookkeeping.lease_row(self.names)
            self.sql(render(statement.tree, name=statement.name))

    def of(self, relation: Relation) -> TableName:
        """Where a relation lies."""
        return self.names.of(relation)

    def behind(self, relation: Relation) -> TableName:
        """Where the rows of a source lie."""
        return self.names.behind(relation) if relation.kind is Kind.SOURCE else self.of(relation)

    def publish(self, pipeline: worlds.Embedded, *sources: Relation) -> None:
        """Let sources have the first day, as ingestion does."""
        world = worlds.Cloud(self.monitor(), pipeline, self.google, None)
        for source in sources:
            world.replace(source, [FIRST_DAY])


def _utc(cell: object) -> object:
    return cell.astimezone(UTC) if isinstance(cell, datetime) else cell


def played(place: Place, as_of: datetime, hours: Iterable[int]) -> reference.Played:
    """What has been played once these hours of the first day are written."""
    written = frozenset(at(f"{FIRST_DAY}T{hour:02}:00") for hour in hours)
    return reference.Played(place.pings, as_of, frozenset(), written, FIRST_DAY)


@contextlib.contextmanager
def client_of(server: launch.BigQuery, project: str) -> Iterator[bigquery.Client]:
    """Google's client of a project, without expmon and without a proxy."""
    google = bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": server.rest_url},
    )
    with contextlib.closing(google):
        yield google


@contextlib.contextmanager
def place_on(server: launch.BigQuery, names: Names) -> Iterator[Place]:
    """A place whose warehouses are closed in the end."""
    with client_of(server, names.data) as google:
        place = Place(server, names, google)
        try:
            yield place
        finally:
            for warehouse in place.opened:
                warehouse.close()


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    """What ingestion is on BigQuery: an embedded warehouse that has the pings."""
    directory = tmp_path_factory.mktemp("pipeline")
    file = directory / "pipeline.duckdb"
    with expmon.connect(f"duckdb://{file}") as made:
        made.deploy()
    pipeline = worlds.embedded(directory, file)
    pipeline.ingest(PINGS)
    with contextlib.closing(pipeline.monitor):
        yield pipeline


@pytest.fixture(scope="session")
def opened():
    """Makes a place of a server and names, to be used in a `with` statement."""
    return place_on


@pytest.fixture(scope="session")
def server():
    """A BigQuery for few tables."""
    with launch.required(launch.bigquery()) as running:
        yield running


@pytest.fixture(scope="session")
def sources(server, pipeline):
    """A project with the live sources alone, and the pings in them."""
    with place_on(server, Names(*[_name()] * 3)) as place:
        place.put(*LIVE_SOURCES)
        place.publish(pipeline, *LIVE_SOURCES)
        yield place


@pytest.fixture(scope="session")
def names_of_hours(server, sources):
    """A project with what an hourly run needs, over these sources."""
    with place_on(server, over(sources, _name())) as place:
        place.put(*OF_HOURS)
    return place.names


@pytest.fixture
def place(server, names_of_hours, hasty):
    """The project of hourly runs, and nothing written yet."""
    with place_on(server, names_of_hours) as found:
        found.clear(*HOURLY)
        yield found


@pytest.fixture(scope="session")
def deployed_names(bigquery_server, pipeline):
    """A project with everything: the sources with the pings, and what deploy makes."""
    with place_on(bigquery_server, Names(*[_name()] * 3)) as place:
        place.put(*worlds.SOURCES)
        place.publish(pipeline, *worlds.SOURCES)
        place.warehouse().deploy()
    return place.names


@pytest.fixture
def whole(bigquery_server, deployed_names):
    """The project with everything."""
    with place_on(bigquery_server, deployed_names) as place:
        yield place


@pytest.fixture
def emptied(whole, hasty):
    """The same, and nothing written yet."""
    whole.clear(*(r for r in RELATIONS.values() if r.cadence is not None))
    return whole


def over(sources: Place, project: str) -> Names:
    """The names of a project whose sources lie in another one."""
    places = {source.name: str(sources.of(source)) for source in LIVE_SOURCES}
    return Names(*[project] * 3, renamed=places, physical=places)


def _name() -> str:
    return f"expmon-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def proxy(server):
    """A proxy in front of the BigQuery for few tables."""
    with Proxy(server.rest_url) as running:
        yield running


@pytest.fixture
def proxy_of_whole(bigquery_server):
    """A proxy in front of the one with everything."""
    with Proxy(bigquery_server.rest_url) as running:
        yield running


@pytest.fixture
def hasty(monkeypatch):
    """Google's client tries again at once, instead of after a second or more."""
    again = DEFAULT_RETRY.with_delay(initial=0.02, maximum=0.2)
    monkeypatch.setattr("google.cloud.bigquery.retry.DEFAULT_RETRY", again)


@pytest.fixture
def hourly_played():
    """What has been played once some hours of the first day are written."""
    return played


@pytest.fixture
def new_place():
    """Makes places on a server that have everything of their own, and nothing in them yet."""
    with contextlib.ExitStack() as stack:
        yield lambda server: stack.enter_context(place_on(server, Names(*[_name()] * 3)))


@pytest.fixture(scope="session")
def relations_of_hours():
    """What an hourly run reads and writes."""
    return (*LIVE_SOURCES, *OF_HOURS)


@pytest.fixture
def skew_clock(monkeypatch):
    """Lets this machine's clock be so many hours ahead, as far as the engine looks at it."""
    clock = time.time

    def skew(hours):
        off = timedelta(hours=hours)

        class Skewed(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + off

        monkeypatch.setattr(time, "time", lambda: clock() + off.total_seconds())
        for module in ("bigquery", "bigquery_doctor"):
            name = f"expmon.warehouse.{module}.datetime"
            monkeypatch.setattr(name, Skewed, raising=False)

    return skew
