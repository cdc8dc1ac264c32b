"""What an examination finds, whatever the engine and the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import duckdb
import pytest

import expmon
from expmon import Monitor
from expmon.errors import (
    ConfigError,
    NotDeployed,
    SchemaMismatch,
    StoreError,
    WarehouseError,
    WarehouseLocked,
    WrongSchemaVersion,
)
from expmon.export.local import LocalStore
from expmon.export.store import MemoryStore
from expmon.findings import (
    CREDENTIALS,
    Check,
    Finding,
    account,
    examined,
    listed,
    member,
    remedy,
)
from expmon.warehouse.fake import FakeWarehouse

VIEW = "telemetry.experiment_enrollment_overall"


def fine(subject):
    return Check(subject, lambda: [Finding(subject, "ok", "there")])


def failing(subject, error):
    def run():
        yield Finding(f"{subject} 1", "ok", "there")
        raise error

    return Check(subject, run)


def verdicts(findings):
    return {finding.subject: finding.verdict for finding in findings}


# From check to check


def test_an_error_is_a_finding_after_what_was_found_and_the_others_go_on():
    checks = [failing("a", WarehouseError("it broke")), fine("b")]
    assert list(examined(checks)) == [
        Finding("a 1", "ok", "there"),
        Finding("a", "missing", "it broke"),
        Finding("b", "ok", "there"),
    ]


def test_only_errors_of_expmons_are_findings():
    with pytest.raises(ZeroDivisionError):
        list(examined([failing("a", ZeroDivisionError())]))


def test_what_rests_on_what_is_missing_is_left_out_and_named_in_one_line():
    checks = [
        failing("a", WarehouseError("it broke")),
        Check("b", fine("b").run, ("a",)),
        fine("c"),
        Check("d", fine("d").run, ("c", "b")),
        Check("e", fine("e").run, ("c",)),
    ]
    found = list(examined(checks, rest="others"))
    assert [finding.subject for finding in found] == ["a 1", "a", "c", "e", "others"]
    assert found[-1] == Finding("others", "unknown", "not checked without a: b, d")


def test_a_check_that_lacks_credentials_counts_as_left_out():
    def run():
        raise ConfigError("none")

    found = list(examined([Check("a", run), Check("b", fine("b").run, ("a",))]))
    assert found == [
        Finding(CREDENTIALS, "missing", "none", "gcloud auth application-default login"),
        Finding("the rest", "unknown", "not checked without Google credentials: a, b"),
    ]


def test_warnings_and_what_is_unknown_keep_nothing_from_being_checked():
    checks = [
        Check("a", lambda: [Finding("a", "warning", "slow"), Finding("a", "unknown", "dark")]),
        Check("b", fine("b").run, ("a",)),
    ]
    assert [finding.subject for finding in examined(checks)] == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (NotDeployed("x.y"), "expmon deploy"),
        (ConfigError("none"), "gcloud auth application-default login"),
        (
            SchemaMismatch("x.y", ["z is missing"]),
            "Move x.y away, or alter its columns; then: expmon deploy",
        ),
        (
            WarehouseLocked("busy"),
            "Close what else has the warehouse open, and look again: expmon doctor",
        ),
        (WrongSchemaVersion(3, 2), "pip install --upgrade expmon"),
        (WrongSchemaVersion(1, 2), "expmon deploy"),
        (StoreError("full"), ""),
    ],
)
def test_there_is_a_remedy_for_each_kind_of_error(error, todo, monkeypatch):
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    assert remedy(error) == todo


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("a@p.iam.gserviceaccount.com", "serviceAccount:a@p.iam.gserviceaccount.com"),
        ("1-compute@developer.gserviceaccount.com",) * 2,
        ("jane@example.com", "user:jane@example.com"),
        (None, "user:YOUR_EMAIL"),
        ("", "user:YOUR_EMAIL"),
    ],
)
def test_an_account_is_named_as_policies_do(name, policy):
    assert member(name).removeprefix("serviceAccount:") == policy.removeprefix("serviceAccount:")
    assert member(name).startswith("serviceAccount:") == bool(name and "gservice" in name)


def test_whose_credentials_they_are_is_known_only_if_they_say_an_address():
    class Known:
        service_account_email = "default"
        signer_email = "a@b.c"

    assert account(Known()) == "a@b.c"
    assert account(object()) is None


def test_of_many_names_the_first_are_said():
    assert listed("abcdef") == "a, b, c, d, e, f"
    assert listed("abcdefg") == "a, b, c, d, e and 2 more"
    assert listed([]) == ""


# A monitor


def test_a_monitor_examines_its_warehouse_and_then_its_store():
    there = [Finding("a", "ok", "there"), Finding("b", "missing", "gone", "find it")]
    monitor = Monitor(FakeWarehouse(findings=there), MemoryStore())
    assert monitor.examine() == [*there, Finding("store memory://", "ok", "0 objects in memory")]


def test_a_monitor_without_a_store_says_so_as_a_warning():
    (finding,) = Monitor(FakeWarehouse(), None).examine()
    assert (finding.subject, finding.verdict) == ("store", "warning")
    assert finding.remedy.startswith("To export, give store= to expmon.connect, --store to")


def test_the_same_thing_is_found_only_once():
    twice = Finding("store memory://", "ok", "0 objects in memory")
    assert Monitor(FakeWarehouse(findings=[twice]), MemoryStore()).examine() == [twice]


# DuckDB and a directory


def test_a_deployed_file_and_a_new_directory_are_fine(monitor, warehouse_file, tmp_path):
    before = warehouse_file.read_bytes()
    found = monitor.examine()
    assert verdicts(found) == {
        f"file {warehouse_file}": "ok",
        "tables and views": "ok",
        "what has been written": "ok",
        f"directory {tmp_path / 'exports'}": "ok",
    }
    assert [f.remedy for f in found if f.remedy] == []
    monitor.close()
    assert warehouse_file.read_bytes() == before
    assert not (tmp_path / "exports").exists()


def test_a_file_that_is_not_there_is_deployed_and_not_made(tmp_path):
    path = tmp_path / "new.duckdb"
    with expmon.connect(f"duckdb://{path}", tmp_path) as monitor:
        file, rest, directory = monitor.examine()
    assert file == Finding(f"file {path}", "missing", "it is not there", "expmon deploy")
    assert rest.detail.endswith(": tables and views, what has been written")
    assert directory.verdict == "ok"
    assert list(tmp_path.iterdir()) == []


def test_what_differs_in_a_file_is_a_matter_of_deploy(warehouse_file, tmp_path):
    with duckdb.connect(str(warehouse_file)) as connection:
        connection.execute(f"DROP VIEW {VIEW}")
    with expmon.connect(f"duckdb://{warehouse_file}", tmp_path) as monitor:
        tables = monitor.examine()[1]
        assert tables == Finding(
            "tables and views", "missing", f"create view {VIEW}", "expmon deploy"
        )
        monitor.deploy()
        assert monitor.examine()[1].verdict == "ok"


def test_a_table_with_other_columns_is_reported(warehouse_file, tmp_path):
    with duckdb.connect(str(warehouse_file)) as connection:
        table = "telemetry_derived.experiment_enrollment_overall_v1"
        connection.execute(f"ALTER TABLE {table} ADD COLUMN x INT")
    with expmon.connect(f"duckdb://{warehouse_file}", tmp_path) as monitor:
        tables = monitor.examine()[1]
    assert (tables.subject, tables.verdict) == ("tables and views", "missing")
    assert "x is not in the catalogue" in tables.detail


def test_a_file_that_is_no_database_or_locked_is_reported(warehouse_file, tmp_path):
    other = tmp_path / "other.duckdb"
    other.write_text("no database")
    with expmon.connect(f"duckdb://{other}", tmp_path) as monitor:
        assert "is no DuckDB database" in monitor.examine()[0].detail
    script = f"""
        import duckdb, sys
        connection = duckdb.connect({str(warehouse_file)!r})
        print("open", flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"open\n"
        with expmon.connect(f"duckdb://{warehouse_file}", tmp_path) as monitor:
            file = monitor.examine()[0]
        holder.stdin.close()
    assert file.verdict == "missing"
    assert "another process has it" in file.detail
    assert file.remedy.endswith("expmon doctor")


def test_a_directory_has_to_be_one_and_writable(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "exports").mkdir()
    for name, why in (("file", "it is no directory"), ("file/deep/er", "it is no directory")):
        (finding,) = LocalStore(tmp_path / name).examine()
        assert finding.verdict == "missing"
        assert finding.detail == f"{tmp_path / 'file'}: {why}"
        assert "--store DIR" in finding.remedy
    assert verdicts(LocalStore(tmp_path / "new" / "er").examine()) == {
        f"directory {tmp_path / 'new' / 'er'}": "ok"
    }
    # Root may write everywhere.
    monkeypatch.setattr(os, "access", lambda *_: False)
    for name in ("exports", "exports/new"):
        (finding,) = LocalStore(tmp_path / name).examine()
        assert finding.detail == f"{tmp_path / 'exports'}: you may not write to it"


def test_a_path_that_the_system_refuses_is_a_finding(tmp_path):
    (finding,) = LocalStore(tmp_path / ("x" * 5000)).examine()
    assert finding.verdict == "missing"
    assert "can't be used for exports" in finding.detail


def test_a_finding_is_a_plain_frozen_record():
    finding = Finding("a", "ok", "there")
    assert finding.remedy == ""
    with pytest.raises(AttributeError):
        finding.verdict = "missing"
    assert json.dumps([getattr(finding, name) for name in Finding.__slots__])
