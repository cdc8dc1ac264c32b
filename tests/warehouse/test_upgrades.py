"""From each earlier version of the schema to the present one, and from none that is newer."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path

import duckdb
import pytest

import expmon
import playing
import stored
import upgrading
from expmon.catalog import TIERS, bookkeeping
from expmon.errors import WarehouseError, WrongSchemaVersion
from expmon.findings import DEPLOY
from expmon.statements import migrations

MEMO = "telemetry_derived.expmon_partitions_v1"
MARK = "telemetry_derived.expmon_schema_v1"
UPGRADE = "pip install --upgrade expmon"
SUMS_BY_THE_HOUR = 4
"""The version with which these tables came: the first live run fills them."""
VERSIONS = range(1, bookkeeping.SCHEMA_VERSION + 1)


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def stored_file(version, tmp_path):
    """A database as it was stored when this version was the present one."""
    return stored.file_of(version, tmp_path)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """What the tables and files are where the same was played on the present version alone."""
    directory = tmp_path_factory.mktemp("fresh")
    with connected(directory / "fresh.duckdb", directory / "exports") as monitor:
        monitor.deploy()
        stored.describe(monitor, directory)
        stored.play(monitor, directory, stored.STORED)
        stored.play(monitor, directory, stored.LATER)
        monitor.export_active(stored.LATER)
        return playing.tables(monitor), files(directory / "exports")


@pytest.fixture
def later(monkeypatch):
    """An expmon to come, by two versions."""
    upgrading.install(monkeypatch)


def connected(file, store=None):
    return expmon.connect(f"duckdb://{file}", store)


def files(directory):
    return {p.name: p.read_bytes() for p in directory.glob("exp_experiment_*.json")}


def everything(path):
    """The tables and views with their definitions, and every row of every table."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{path}' AS warehouse; USE warehouse; SET TimeZone = 'UTC'")
        found = connection.sql("SELECT view_name, sql FROM duckdb_views()").fetchall()
        tables = connection.sql(
            "SELECT schema_name || '.' || table_name, sql FROM duckdb_tables()"
        ).fetchall()
        rows = {n: connection.sql(f"FROM {n}").to_arrow_table().to_pylist() for n, _ in tables}
    return sorted(found), sorted(tables), rows


def by_hand(path, sql):
    with duckdb.connect(path) as connection:
        connection.execute(sql)


def steps_from(version, to):
    return [f"migrate from schema version {n} to {n + 1}: " for n in range(version, to)]


def begin(sentences):
    """The beginnings of those sentences that are about migrations."""
    migrating = [sentence for sentence in sentences if sentence.startswith("migrate ")]
    return [sentence.partition(": ")[0] + ": " for sentence in migrating]


def test_every_version_is_stored_and_a_step_leads_to_each_but_the_first():
    found = {int(path.name) for path in stored.DIRECTORY.iterdir() if path.is_dir()}
    assert found == set(VERSIONS)
    assert len(migrations.MIGRATIONS) == bookkeeping.SCHEMA_VERSION - 1


def test_deploy_brings_a_stored_database_here_with_all_its_rows(version, stored_file):
    before = everything(stored_file)
    with connected(stored_file) as monitor:
        said = monitor.deploy(dry_run=True)
    assert everything(stored_file) == before
    with connected(stored_file) as monitor:
        assert monitor.deploy() == said
        assert begin(said) == steps_from(version, bookkeeping.SCHEMA_VERSION)
        empty = [tiers.by_hour.name for tiers in TIERS if version < SUMS_BY_THE_HOUR]
        playing.assert_as_expected(monitor, stored.played(stored.STORED), empty)
        assert playing.rows(monitor, MARK) == [(bookkeeping.SCHEMA_VERSION,)]
        assert monitor.deploy() == []
    after = everything(stored_file)
    assert after[2][MEMO] == before[2][MEMO]


def test_runs_go_on_from_a_stored_database_as_from_one_of_the_present_version(
    stored_file, tmp_path, fresh
):
    with connected(stored_file, tmp_path / "exports") as monitor:
        monitor.deploy()
        stored.play(monitor, tmp_path, stored.LATER)
        playing.assert_as_expected(monitor, stored.played(stored.LATER))
        monitor.export_active(stored.LATER)
        tables, exported = fresh
        assert playing.tables(monitor) == tables
        assert files(tmp_path / "exports") == exported
        assert len(exported) == 16


def test_a_database_that_is_made_anew_has_the_present_version_and_nothing_to_migrate(tmp_path):
    with connected(tmp_path / "new.duckdb") as monitor:
        assert begin(monitor.deploy()) == []
        assert playing.rows(monitor, MARK) == [(bookkeeping.SCHEMA_VERSION,)]


def test_a_mark_that_is_missing_stops_nobody_where_the_tables_are_the_same(
    warehouse_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(bookkeeping, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:1])
    by_hand(warehouse_file, f"DROP TABLE {MARK}")
    with connected(warehouse_file, tmp_path / "exports") as monitor:
        stored.describe(monitor, tmp_path)
        stored.play(monitor, tmp_path, stored.STORED)
        playing.assert_as_expected(monitor, stored.played(stored.STORED))
        assert monitor.export_active(stored.STORED).written
        assert monitor.deploy() == [f"create table {MARK}", *migrations.sentences(1)]


# Migrations to come


def test_made_up_migrations_change_what_they_say_and_runs_go_on(
    version, stored_file, tmp_path, later
):
    with connected(stored_file) as monitor:
        assert begin(monitor.deploy()) == steps_from(version, upgrading.VERSION)
        upgrading.assert_migrated(monitor, stored.played(stored.STORED))
        assert monitor.deploy() == []
        stored.play(monitor, tmp_path, stored.LATER)
        upgrading.assert_migrated(monitor, stored.played(stored.LATER))


def test_a_migration_that_fails_anywhere_leaves_the_earlier_version_whole(
    stored_file, tmp_path, later
):
    before, points = everything(stored_file), 0
    for number in itertools.count():
        path = shutil.copy(stored_file, tmp_path / "interrupted.duckdb")
        with connected(path) as monitor:
            database = monitor.warehouse._file
            execute, count = database.execute, itertools.count()

            def fail(sql, *args, execute=execute, count=count, number=number, **options):
                if sql.startswith(("ALTER", "UPDATE", "INSERT", "COMMIT")) and (
                    next(count) == number
                ):
                    raise WarehouseError("the disk is full")
                execute(sql, *args, **options)

            database.execute = fail
            try:
                monitor.deploy()
                break
            except WarehouseError:
                points += 1
        # Another process finds the earlier version, and says what to do.
        assert everything(path) == before
        with connected(path) as monitor:
            with pytest.raises(WrongSchemaVersion, match="expmon deploy"):
                monitor.run("live", stored.LATER)
            monitor.deploy()
            upgrading.assert_migrated(monitor, stored.played(stored.STORED))
    # A column, its values, two tables rewritten, the mark, and the end.
    assert points == 6


def test_a_process_that_dies_while_it_migrates_leaves_the_earlier_version_whole(stored_file, later):
    before = everything(stored_file)
    program = f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        import pytest, expmon, upgrading
        upgrading.install(pytest.MonkeyPatch())
        monitor = expmon.connect("duckdb://{stored_file}")
        database = monitor.warehouse._file
        execute = database.execute
        database.execute = lambda sql, *a, **k: os._exit(7) if sql == "COMMIT" else execute(sql, *a)
        monitor.deploy()
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert ended.returncode == 7
    assert everything(stored_file) == before
    with connected(stored_file) as monitor:
        monitor.deploy()
        upgrading.assert_migrated(monitor, stored.played(stored.STORED))


# Other versions than this expmon's


def writers(monitor, directory):
    """Everything that writes, but for deploy."""
    ping = directory / "ping.jsonl"
    ping.write_text("{}\n", encoding="utf-8")
    recipes = directory / "recipes.json"
    recipes.write_text('[{"slug": "exp"}]', encoding="utf-8")
    day = stored.FIRST_DAY
    return {
        "live": lambda: monitor.run("live", stored.LATER),
        "hourly": lambda: monitor.run("hourly", stored.LATER),
        "daily": lambda: monitor.run("daily", stored.LATER),
        "task": lambda: monitor.shared_run("live", stored.LATER, run_id="r").plan(),
        "backfill": lambda: monitor.backfill(day, date(2021, 1, 26), as_of=stored.LATER),
        "ingest": lambda: playing.ingest(monitor, ping, stored.pings()[:1]),
        "recipes": lambda: monitor.ingest_recipes(recipes),
        "export": lambda: monitor.export_active(stored.LATER),
        "named": lambda: monitor.export_experiment("exp", as_of=stored.LATER),
    }


def assert_refused(path, directory, *, found, known, says):
    """Who writes is told what to do, and nothing is written."""
    before = everything(path)
    with connected(path, directory / "exports") as monitor:
        for what, write in writers(monitor, directory).items():
            with pytest.raises(WrongSchemaVersion) as caught:
                write()
            assert (caught.value.found, caught.value.known) == (found, known), what
            assert says in str(caught.value)
    assert everything(path) == before
    assert not list((directory / "exports").rglob("*.json"))


def test_tables_of_a_newer_expmon_are_read_and_never_written(tmp_path):
    present = bookkeeping.SCHEMA_VERSION
    path = stored.file_of(present, tmp_path)
    by_hand(path, f"UPDATE {MARK} SET version = {present + 3}")
    assert_refused(path, tmp_path, found=present + 3, known=present, says=UPGRADE)
    before = everything(path)
    with connected(path) as monitor:
        for dry_run in (True, False):
            with pytest.raises(WrongSchemaVersion, match=UPGRADE):
                monitor.deploy(dry_run=dry_run)
        found = {finding.subject: finding for finding in monitor.examine()}
        assert found["tables and views"].verdict == "missing"
        assert found["tables and views"].remedy == UPGRADE
        playing.assert_as_expected(monitor, stored.played(stored.STORED))
        assert monitor.status(stored.STORED)
        assert len(monitor.fetch_dataframe("experiment_enrollment_overall", "exp"))
    assert everything(path) == before


def test_tables_that_a_migration_changes_are_not_written_before_it(
    stored_file, version, tmp_path, later
):
    assert_refused(
        stored_file, tmp_path, found=version, known=upgrading.VERSION, says="`expmon deploy`"
    )
    with connected(stored_file) as monitor:
        found = {finding.subject: finding for finding in monitor.examine()}
        assert found["tables and views"].remedy == DEPLOY
        assert "migrate from schema version" in found["tables and views"].detail


def test_the_doctor_says_which_version_the_tables_have(warehouse_file):
    with connected(warehouse_file) as monitor:
        found = {finding.subject: finding for finding in monitor.examine()}
    said = found["tables and views"].detail
    assert said == f"all 47 are there, as declared, of schema version {bookkeeping.SCHEMA_VERSION}"
