"""The page of errors, docs/reference/errors.md: each one's message is what is really raised."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import expmon
from alerting import live_run
from expmon import errors
from expmon.export.store import MemoryStore
from playing import at
from snippets import PAGES, blocks

PAGE = "reference/errors.md"
DATASET = "experiment_enrollment_overall"
SHOWN = [" ".join(block.text.split()) for block in blocks(PAGE) if block.language == "text"]
RAISED = {
    name
    for name, cls in inspect.getmembers(errors, inspect.isclass)
    if cls.__module__ == errors.__name__ and cls is not errors.ExpmonError
}


def skipped(monitor):
    Path("pings.json").write_text('{"type": "event", "version": 4}\n')
    (found,) = monitor.ingest("pings.json").skipped
    raise found.error


def not_a_database(_):
    Path("thesis.tex").write_text("years of work")
    expmon.connect("duckdb://thesis.tex").status()


def another_table(monitor):
    table = f"telemetry_derived.{DATASET}_v1"
    monitor.warehouse._file.execute(f"ALTER TABLE {table} DROP COLUMN value")
    monitor.deploy()


def newer_tables(monitor):
    monitor.warehouse._file.execute("UPDATE telemetry_derived.expmon_schema_v1 SET version = 99")
    monitor.run("live")


def two_runs(_):
    mine, other = (expmon.connect("duckdb://monitoring.duckdb") for _ in range(2))
    with mine, other, mine.warehouse.lease(expmon.monitor.NO_WAIT):
        other.run("live")


def file_for_exports(_):
    Path("exports").write_text("years of work")
    with expmon.connect("duckdb://monitoring.duckdb", "exports") as monitor:
        monitor.export_active()


def older_export(monitor):
    monitor.export_active(at("2021-01-26T00:05"))
    monitor.export_active(at("2021-01-26T00:00"))


def undelivered(monitor):
    live_run(monitor, at("2021-01-26T00:05"), ("my-experiment", "split", "alarm"))
    with expmon.connect(
        "duckdb://monitoring.duckdb", settings={"alerts.to": "gone/alerts.jsonl"}
    ) as alerting:
        alerting.alerts(at("2021-01-26T00:05"))


def raising(error):
    raise error


PROVOKED = [
    ("ConfigError", lambda _: expmon.connect("duck://monitoring.duckdb")),
    ("ConfigError", lambda _: expmon.connect(settings={"bigquery.locaton": "US"})),
    ("ExtraMissing", lambda _: raising(errors.ExtraMissing("plot", "matplotlib"))),
    ("InvalidInput", lambda monitor: monitor.run("weekly")),
    ("InvalidSlug", lambda monitor: monitor.fetch_dataframe(DATASET, "my experiment")),
    ("InvalidTime", lambda monitor: monitor.run("live", datetime(2021, 1, 26, 0, 5))),  # noqa: DTZ001
    (
        "InvalidTime",
        lambda monitor: monitor.fetch_dataframe(
            DATASET, "exp", start=date(2021, 1, 27), end=datetime(2021, 1, 26, tzinfo=UTC)
        ),
    ),
    ("UnknownExperiment", lambda monitor: monitor.export_experiment("my-experiment")),
    ("UnknownDataset", lambda monitor: monitor.fetch_dataframe("experiment_enrolment_overall", "")),
    ("PingError", skipped),
    ("WarehouseError", not_a_database),
    ("NotDeployed", lambda _: expmon.connect("duckdb://elsewhere.duckdb").status()),
    (
        "PermissionMissing",
        lambda _: raising(
            errors.PermissionMissing(
                "my-project.telemetry_derived", "roles/bigquery.dataEditor", "Access Denied"
            )
        ),
    ),
    ("SchemaMismatch", another_table),
    ("WrongSchemaVersion", newer_tables),
    (
        "PartitionViolation",
        lambda _: raising(
            errors.PartitionViolation("telemetry_derived.x_v1", "20210126", 3, sql="")
        ),
    ),
    ("SourceMissing", lambda monitor: monitor.backfill(date(2021, 1, 25), date(2021, 1, 26))),
    ("WarehouseLocked", two_runs),
    (
        "UnsupportedSQL",
        lambda _: raising(
            errors.UnsupportedSQL("telemetry_derived.x_v1", "duckdb", "no TIMESTAMP_BUCKET")
        ),
    ),
    ("StoreError", file_for_exports),
    ("ExportSuperseded", older_export),
    ("NotExported", lambda monitor: monitor.report("my-experiment")),
    ("StoreConflict", lambda _: MemoryStore().write("index.json", b"{}", generation=7)),
    ("DeliveryError", undelivered),
]


def test_every_error_is_on_the_page_with_a_message_and_what_to_do():
    text = PAGES[PAGE].read_text(encoding="utf-8")
    told = re.split(r"^\.\. autoexception:: (\w+)$", text, flags=re.MULTILINE)
    sections = dict(zip(told[1::2], told[2::2], strict=True))
    assert sections.keys() == RAISED | {"ExpmonError"}
    for name in RAISED:
        assert f"```text\n{name}: " in sections[name], name
        assert "\nWhat to do: " in sections[name], name


@pytest.mark.parametrize("number", range(len(PROVOKED)))
def test_an_error_says_what_the_page_shows(number, monitor, tmp_path):
    name, provoke = PROVOKED[number]
    with pytest.raises(errors.ExpmonError) as raised:
        provoke(monitor)
    told = f"{type(raised.value).__name__}: {raised.value}".replace(f"{tmp_path}/", "")
    assert type(raised.value).__name__ == name
    assert SHOWN[number] == " ".join(told.split())


def test_every_message_of_the_page_is_provoked():
    assert [shown.partition(":")[0] for shown in SHOWN] == [name for name, _ in PROVOKED]
