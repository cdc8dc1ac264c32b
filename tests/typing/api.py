"""What the public names take and give: only mypy reads this, see tests/test_typing.py.

A line with ``type: ignore`` is one that mypy must refuse: an unused one is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, assert_type

import pandas as pd
from google.auth.credentials import AnonymousCredentials
from matplotlib.figure import Figure

import expmon
from expmon.errors import (
    ConfigError,
    ExportSuperseded,
    InvalidInput,
    InvalidSlug,
    InvalidTime,
    NotDeployed,
    PingError,
    SourceMissing,
    StoreError,
    UnknownDataset,
    WarehouseError,
    WarehouseLocked,
)
from expmon.export.run import Export
from expmon.export.store import Store
from expmon.findings import Finding
from expmon.ingest import Ingested, Unreadable
from expmon.materialize.drift import CountDrift, DayDrift
from expmon.materialize.run import Run
from expmon.materialize.schedule import Settings
from expmon.materialize.status import Status
from expmon.materialize.step import Plan, Step
from expmon.report.site import Page
from expmon.warehouse.fake import FakeWarehouse
from expmon.warehouse.protocol import Warehouse, Written
from expmon.windows import Partition

NOW = datetime(2021, 1, 26, tzinfo=UTC)
TODAY = date(2021, 1, 26)

# Connecting
assert_type(expmon.connect(), expmon.Monitor)
assert_type(expmon.connect("duckdb://a.duckdb", store="exports/"), expmon.Monitor)
assert_type(expmon.connect("duckdb://a.duckdb", Path("exports")), expmon.Monitor)
assert_type(expmon.connect(file=Path("expmon.toml")), expmon.Monitor)
assert_type(
    expmon.connect(
        "bigquery://p", "gs://b/p", credentials=AnonymousCredentials(), settings={"project": "p"}
    ),
    expmon.Monitor,
)
expmon.connect("bigquery://p", credentials="token")  # type: ignore[arg-type]
expmon.connect(settings={"bigquery.parallel_jobs": 3, "tables": {"a.b": "c.d"}})
expmon.connect(Path("a.duckdb"))  # type: ignore[arg-type]
expmon.connect("duckdb://a.duckdb", "exports", Path("expmon.toml"))  # type: ignore[call-arg]

with expmon.connect() as monitor:
    assert_type(monitor, expmon.Monitor)

# What needs no monitor
assert_type(expmon.datasets(), dict[str, str])
assert_type(expmon.sql("experiment_enrollment_overall"), str)
assert_type(expmon.fetch_dataframe("experiment_enrollment_overall", "exp"), pd.DataFrame)
assert_type(expmon.plot("experiment_enrollment_overall", "exp"), Figure)
assert_type(expmon.export_experiment("exp"), Export)
assert_type(expmon.export_experiment("exp", ["experiment_enrollment_overall"], NOW), Export)
assert_type(expmon.__version__, str)
assert_type(expmon.sql("experiment_enrollment_overall", settings={"project": "p"}), str)
expmon.sql()  # type: ignore[call-arg]
expmon.sql(3)  # type: ignore[arg-type]

# Writing tables
assert_type(monitor.deploy(), list[str])
assert_type(monitor.plan("hourly"), Plan)
assert_type(monitor.plan("hourly", NOW), Plan)
assert_type(monitor.run("live"), Run)
assert_type(monitor.run("live", NOW, wait=timedelta(minutes=1), progress=print), Run)
assert_type(monitor.backfill(TODAY, TODAY), Run)
assert_type(monitor.backfill(TODAY, TODAY, as_of=NOW, wait=timedelta(0)), Run)
assert_type(monitor.status(), list[Status])
assert_type(monitor.status(NOW), list[Status])
assert_type(monitor.drift(), list[DayDrift])
assert_type(monitor.drift(NOW, days=1), list[DayDrift])
monitor.drift(NOW, 1)  # type: ignore[call-arg]
assert_type(monitor.examine(), list[Finding])
assert_type(monitor.close(), None)
monitor.run("live", "2021-01-26T00:05Z")  # type: ignore[arg-type]
monitor.run("live", TODAY)  # type: ignore[arg-type]
monitor.run("live", wait=60)  # type: ignore[arg-type]
monitor.backfill("2021-01-26", TODAY)  # type: ignore[arg-type]
monitor.backfill(TODAY)  # type: ignore[call-arg]

# Loading and reading
assert_type(monitor.ingest("pings.json"), Ingested)
assert_type(monitor.ingest(Path("pings.json"), NOW), Ingested)
assert_type(monitor.ingest(["a.json", Path("b.json")], submission_timestamp=NOW), Ingested)
assert_type(monitor.ingest_recipes("recipes.json"), Ingested)
assert_type(monitor.experiments(), pd.DataFrame)
assert_type(monitor.experiments(NOW), pd.DataFrame)
assert_type(
    monitor.fetch_dataframe("experiment_enrollment_overall", "exp", branch="a", start=TODAY),
    pd.DataFrame,
)
assert_type(monitor.fetch_dataframe("x", "exp", None, NOW, NOW), pd.DataFrame)
monitor.ingest(3)  # type: ignore[arg-type]
monitor.fetch_dataframe("x")  # type: ignore[call-arg]
monitor.fetch_dataframe("x", "exp", start="2021-01-26")  # type: ignore[arg-type]

# Plotting
assert_type(monitor.plot("experiment_enrollment_overall", "exp", "a", TODAY, NOW), Figure)
assert_type(monitor.plot_experiment("exp", start=TODAY), Figure)
monitor.plot("exp")  # type: ignore[call-arg]
monitor.plot_experiment("exp", end="2021-01-26")  # type: ignore[arg-type]

# Exporting
assert_type(monitor.export_experiment("exp"), Export)
assert_type(monitor.export_experiment("exp", datasets=("x",), as_of=NOW), Export)
assert_type(monitor.export_active(), Export)
assert_type(monitor.export_active(NOW, progress=print), Export)
monitor.export_experiment()  # type: ignore[call-arg]
monitor.export_active("2021-01-26")  # type: ignore[arg-type]

# Pages
assert_type(monitor.report("exp"), str)
assert_type(monitor.report_all(), Iterator[Page])
assert_type(next(monitor.report_all()).html, str)
monitor.report()  # type: ignore[call-arg]

# What a monitor is made of
assert_type(monitor.warehouse, Warehouse)
assert_type(monitor.store, Store | None)
assert_type(monitor.settings, Settings)
fake: Warehouse = FakeWarehouse()
assert_type(expmon.Monitor(fake, None), expmon.Monitor)
expmon.Monitor("duckdb://a.duckdb", None)  # type: ignore[arg-type]


def results(
    plan: Plan, run: Run, status: Status, drift: DayDrift, ingested: Ingested, export: Export
) -> None:
    """The fields of what is given back."""
    assert_type(plan.steps, tuple[Step, ...])
    assert_type(plan.notes, tuple[str, ...])
    assert_type(plan.as_of, datetime)
    assert_type(plan.steps[0].destination, str)
    assert_type(plan.steps[0].partition, Partition)
    assert_type(plan.steps[0].write_disposition, str)
    assert_type(plan.steps[0].reason, str)
    assert_type(run.plan, Plan)
    assert_type(run.written, tuple[Written, ...])
    assert_type(run.written[0].rows, int)
    assert_type(status.relation, str)
    assert_type(status.latest, Partition | None)
    assert_type(status.as_of, datetime | None)
    assert_type(status.age, timedelta | None)
    assert_type(status.last_window, datetime | None)
    assert_type(status.missing, int)
    assert_type(status.stale, int)
    assert_type(status.verdict, Literal["fresh", "late", "stale", "broken"])
    assert_type(ingested.rows, dict[str, int])
    assert_type(ingested.days, tuple[date, ...])
    assert_type(ingested.skipped, tuple[Unreadable, ...])
    assert_type(ingested.skipped[0].error, PingError)
    assert_type(export.experiments, tuple[str, ...])
    assert_type(export.written, tuple[str, ...])
    assert_type(export.unchanged, tuple[str, ...])
    assert_type(export.skipped, tuple[str, ...])
    assert_type(export.resting, tuple[str, ...])
    assert_type(drift.counts, tuple[CountDrift, ...])
    assert_type(drift.day, date)
    assert_type(drift.counts[0].percent, float | None)
    assert_type(drift.counts[0].is_past(0.5, at_least=1), bool)
    export.as_of = NOW  # type: ignore[misc]
    plan.steps = ()  # type: ignore[misc]


def errors(
    slug: InvalidSlug, dataset: UnknownDataset, missing: NotDeployed, day: SourceMissing
) -> None:
    """The facts that errors carry, and what they may be caught as."""
    assert_type(slug.slug, str)
    assert_type(dataset.near, tuple[str, ...])
    assert_type(missing.relation, str)
    assert_type(missing.sql, str | None)
    assert_type(day.day, date)
    assert_type(day.sources, tuple[str, ...])
    as_expmon: list[expmon.ExpmonError] = [slug, dataset, missing, day]
    as_values: list[ValueError] = [slug, InvalidTime(), ConfigError(), InvalidInput()]
    as_lookups: list[LookupError] = [dataset, missing, day]
    as_timeout: TimeoutError = WarehouseLocked("")
    as_os: list[OSError] = [StoreError(), ExportSuperseded(NOW, NOW)]
    as_runtime: list[RuntimeError] = [WarehouseError(""), missing]
    _: list[Any] = [as_expmon, as_values, as_lookups, as_timeout, as_os, as_runtime]


assert expmon.nonsense  # type: ignore[attr-defined]
