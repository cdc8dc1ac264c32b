"""`expmon doctor`, as people and programs read it."""

from __future__ import annotations

import contextlib
import json

import pytest
from click.testing import CliRunner

import worlds
from emulators.proxy import Fault, Proxy
from expmon.catalog.sources import CLIENTS_DAILY
from expmon.cli import main
from expmon.warehouse.bigquery import STORAGE_EMULATOR

ROBOT = "robot@p.iam.gserviceaccount.com"


def doctor(*arguments, status=0):
    """The lines that it prints, without empty ones; it must end with a status."""
    result = CliRunner().invoke(main, [*map(str, arguments[:-1]), *arguments[-1].split()])
    assert result.exit_code == status, result.output
    assert result.stderr == ""
    return [line for line in result.stdout.splitlines() if line.strip()]


def cells(line):
    """The cells of a table's line: two spaces or more are between them."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_of_a_healthy_warehouse_nothing_is_missing(warehouse_file):
    header, _, *rows, last = doctor(
        *("--warehouse", f"duckdb://{warehouse_file}", "--store", "out"), "doctor"
    )
    assert cells(header) == ["check", "verdict", "detail"]
    assert [cells(row)[:2] for row in rows] == [
        [f"file {warehouse_file}", "ok"],
        ["tables and views", "ok"],
        ["what has been written", "ok"],
        ["directory out", "ok"],
    ]
    assert last == "nothing is missing"


def test_a_warning_alone_is_no_failure(warehouse_file):
    lines = doctor("--warehouse", f"duckdb://{warehouse_file}", "doctor")
    assert cells(lines[-4])[:2] == ["store", "warning"]
    assert lines[-3] == "What to do, and then look again:"
    assert lines[-2].startswith(" 1. To export, give store= to expmon.connect, --store")
    assert lines[-1] == "1 warning"


def test_what_is_missing_comes_with_what_to_do_about_it(tmp_path):
    (tmp_path / "file").touch()
    options = ("--warehouse", "duckdb://new.duckdb", "--store", "file")
    lines = doctor(*options, "doctor", status=1)
    assert [cells(line)[:2] for line in lines[2:5]] == [
        [f"file {tmp_path / 'new.duckdb'}", "missing"],
        ["the rest", "unknown"],
        ["directory file", "missing"],
    ]
    assert lines[5:] == [
        "What to do, and then look again:",
        " 1. expmon deploy",
        " 2. Name a directory that you may write to: expmon --store DIR doctor",
        "2 missing, 1 unknown",
    ]
    assert not (tmp_path / "new.duckdb").exists()


def test_programs_get_every_finding_as_json(tmp_path):
    options = ("--warehouse", "duckdb://new.duckdb", "--store", "out")
    content = json.loads("\n".join(doctor(*options, "doctor --format json", status=1)))
    assert content.keys() == {"findings"}
    assert content["findings"][0] == {
        "check": f"file {tmp_path / 'new.duckdb'}",
        "verdict": "missing",
        "detail": "it is not there",
        "remedy": "expmon deploy",
    }
    assert [one["verdict"] for one in content["findings"]] == ["missing", "unknown", "ok"]


def test_missing_credentials_are_one_finding_and_two_lines_say_what_was_left_out(monkeypatch):
    for name in ("BIGQUERY_EMULATOR_HOST", STORAGE_EMULATOR, "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "gone.json")
    lines = doctor("--warehouse", "bigquery://p", "--store", "gs://bucket/x", "doctor", status=1)
    assert [cells(line)[:2] for line in lines[2:5]] == [
        ["Google credentials", "missing"],
        ["BigQuery, the rest", "unknown"],
        ["Cloud Storage, the rest", "unknown"],
    ]
    assert lines[5:] == [
        "What to do, and then look again:",
        " 1. unset GOOGLE_APPLICATION_CREDENTIALS; gcloud auth application-default login",
        "1 missing, 2 unknown",
    ]


def test_a_configuration_that_makes_no_sense_is_refused_as_everywhere():
    result = CliRunner().invoke(main, ["--warehouse", "bigquery://", "doctor"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")


@pytest.mark.enable_socket
def test_bigquery_and_cloud_storage_are_looked_at_and_half_of_it_can_be_broken(
    tmp_path, warehouse_file, emulated, bigquery_server, monkeypatch
):
    world = worlds.cloud(tmp_path, warehouse_file, **emulated)
    with contextlib.closing(world.monitor), Proxy(bigquery_server.rest_url) as proxy:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", proxy.url)
        project = world.names.data
        options = (
            *("--warehouse", f"bigquery://{project}?location=US", "--set", f"project={project}"),
            *("--store", f"gs://{project}/x"),
        )
        content = json.loads("\n".join(doctor(*options, "doctor --format json")))
        assert [one for one in content["findings"] if one["verdict"] == "missing"] == []
        by_check = {one["check"]: one["verdict"] for one in content["findings"]}
        assert by_check["tables and views"] == by_check["reading the sources"] == "ok"
        assert by_check["days of telemetry.clients_daily"] == "warning"
        assert by_check[f"bucket {project}"] == "ok"

        reader = rf"/datasets/{CLIENTS_DAILY.dataset}/tables/{CLIENTS_DAILY.table}\?"
        proxy.add(
            Fault("GET", reader, status=403, document={"error": {"message": "no", "errors": []}}),
            Fault("GET", r"/tables/expmon_lease_v1\?", status=404),
        )
        lines = doctor(*options, "doctor", status=1)
    rows = {row[0]: row[1:] for row in map(cells, lines) if len(row) == 3}
    assert rows["source telemetry.clients_daily"][0] == "missing"
    assert rows["tables and views"] == [
        "missing",
        "not there: table telemetry_derived.expmon_lease_v1",
    ]
    assert rows["lease"] == ["unknown", "not checked before expmon deploy"]
    start = lines.index("What to do, and then look again:")
    todo = [line[:2] + line[2:4] for line in lines[start + 1 : -1]]
    assert todo == [f"{number:>2}. " for number in range(1, len(todo) + 1)]
    assert any(line.endswith(". expmon deploy") for line in lines)
    assert any("GRANT `roles/bigquery.dataViewer` ON SCHEMA" in line for line in lines)
    assert lines[-1].startswith("2 missing, ")
