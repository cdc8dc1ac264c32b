"""The same on BigQuery: from the tables that each version's deploy made."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from google.cloud import bigquery

import playing
import reference
import stored
import upgrading
import worlds
from emulators.proxy import Fault
from expmon import Monitor
from expmon.catalog import RELATIONS, bookkeeping
from expmon.catalog.bookkeeping import LEASE, PARTITIONS, SCHEMA
from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.model import Names
from expmon.catalog.sources import EVENT_V4, EVENTS_LIVE, MAIN_V4
from expmon.errors import WarehouseError, WarehouseLocked, WrongSchemaVersion
from expmon.export.store import MemoryStore
from expmon.statements import render
from expmon.warehouse.bigquery_jobs import Jobs
from playing import at

pytestmark = pytest.mark.enable_socket

HOURLY = ENROLLMENT.hourly
FEW = (EVENTS_LIVE, HOURLY, RELATIONS[HOURLY.name.replace("enrollment", "search")])
FEW += (PARTITIONS, LEASE, SCHEMA)
NOW = at("2021-01-26T02:37")
HOURS = (0, 1)
SECONDS = 60
PRESENT = bookkeeping.SCHEMA_VERSION
DENIED = {"error": {"code": 403, "message": "no", "errors": [{"reason": "accessDenied"}]}}


# From the stored resources


def restore(place, version):
    """Make the tables and views as that version's deploy did."""
    text = (stored.DIRECTORY / str(version) / stored.RESOURCES).read_text(encoding="utf-8")
    documents = json.loads(text.replace(stored.PROJECT, place.names.data))
    for document in documents:
        described = document["schema"]
        if document["type"] == "VIEW":
            del document["schema"]
        table = bigquery.Table.from_api_repr(document)
        place.google.create_dataset(f"{table.project}.{table.dataset_id}", exists_ok=True)
        made = place.google.create_table(table, timeout=SECONDS)
        if document["type"] == "VIEW":
            made.schema = [bigquery.SchemaField.from_api_repr(f) for f in described["fields"]]
            place.google.update_table(made, ["schema"], timeout=SECONDS)


@pytest.mark.parametrize("version", range(1, PRESENT))
def test_deploy_brings_stored_tables_here_with_their_rows_and_runs_go_on(
    new_place, bigquery_server, pipeline, hourly_played, hasty, version
):
    place = new_place(bigquery_server)
    place.put(*worlds.SOURCES)
    place.publish(pipeline, *worlds.SOURCES)
    restore(place, version)
    clients, overall = "experiments_daily_active_clients_v1", "experiment_enrollment_overall_v1"
    place.sql(f"INSERT INTO {{derived}}.{clients} VALUES ('2021-01-20', 'exp', 'a', 7)")
    place.sql(f"INSERT INTO {{derived}}.{overall} VALUES ('2021-01-26 05:00:00', 'a', 'x', 8)")
    monitor = place.monitor()
    said = [s.partition(":")[0] for s in monitor.deploy() if s.startswith("migrate ")]
    assert said == [f"migrate from schema version {n} to {n + 1}" for n in range(version, PRESENT)]
    assert label_of(place, PARTITIONS) == str(PRESENT)
    assert monitor.deploy(dry_run=True) == []
    assert [row[3] for row in place.rows(RELATIONS[f"telemetry_derived.{clients}"])] == [7]
    assert [row[3] for row in place.rows(RELATIONS[f"telemetry_derived.{overall}"])] == [8]
    place.sql(f"DELETE FROM {{derived}}.{clients} WHERE TRUE")
    # What nobody remembers is written anew.
    monitor.run("hourly", NOW)
    monitor.run("live", NOW)
    playing.assert_as_expected(monitor, hourly_played(place, NOW, HOURS))


# Migrations to come


def with_hours(place, pipeline):
    """A project of the present version with a few of the tables, and two hours written."""
    place.put(EVENT_V4, MAIN_V4, *FEW)
    place.publish(pipeline, EVENT_V4, MAIN_V4)
    place.monitor().run("hourly", NOW)


@pytest.fixture(scope="module")
def kept_names(opened, server, pipeline):
    """Such a project, which is the same after each test."""
    names = Names(*[f"expmon-{uuid.uuid4().hex[:12]}"] * 3)
    with opened(server, names) as place:
        with_hours(place, pipeline)
    return names


@pytest.fixture
def kept(opened, server, kept_names, hasty):
    with opened(server, kept_names) as place:
        yield place


@pytest.fixture
def only_few(monkeypatch):
    """Deploy knows these few alone; call it once the catalogue is as it is to be."""

    def patch():
        few = {relation.name: RELATIONS[relation.name] for relation in FEW}
        monkeypatch.setattr("expmon.warehouse.bigquery_deploy.RELATIONS", few)

    return patch


@pytest.fixture
def later(new_place, server, pipeline, only_few, hasty, monkeypatch):
    """Such a project of a test's own, and an expmon to come."""
    place = new_place(server)
    with_hours(place, pipeline)
    upgrading.install(monkeypatch)
    only_few()
    return place


def label_of(place, relation):
    table = place.google.get_table(str(place.names.of(relation)), timeout=SECONDS)
    return table.labels["expmon_schema"]


def relabel(place, relation, label):
    table = place.google.get_table(str(place.names.of(relation)), timeout=SECONDS)
    table.labels = {"expmon_schema": label}
    place.google.update_table(table, ["labels"], timeout=SECONDS)


def named(rows):
    """Rows of hours, as the made-up migration names what has no branch."""
    found = [(*row[:2], row[2] or "null", *row[3:]) for row in rows]
    return sorted(found, key=reference.sort_key)


def assert_migrated(place, hourly_played):
    """Every table has the version, the memo its notes, and no row is another one."""
    assert {label_of(place, relation) for relation in FEW} == {str(upgrading.VERSION)}
    notes = place.sql("SELECT note, COUNT(*) FROM {derived}.expmon_partitions_v1 GROUP BY note")
    assert notes == [("early", 4)]
    expected = reference.enrollment_hourly(hourly_played(place, NOW, HOURS))
    assert named(place.rows(HOURLY)) == named(expected)


def test_made_up_migrations_change_what_they_say_and_leave_nothing_to_be_written_anew(
    later, hourly_played
):
    monitor = later.monitor()
    before = later.rows(HOURLY)
    assert None in {row[2] for row in before}
    says = "migrate from schema version"
    steps = [
        f"{says} {PRESENT} to {PRESENT + 1}: add a note",
        f"{says} {PRESENT + 1} to {PRESENT + 2}: name what has no branch",
    ]
    dry = monitor.deploy(dry_run=True)
    assert dry[:2] == steps
    assert {label_of(later, relation) for relation in FEW} == {str(PRESENT)}
    assert later.rows(HOURLY) == before
    done = monitor.deploy()
    assert done[: len(dry)] == dry
    assert_migrated(later, hourly_played)
    assert later.rows(HOURLY) == named(before)
    assert monitor.deploy() == []
    # The memo still agrees with what is there, as it would not have by itself.
    assert monitor.run("hourly", NOW).plan.steps == ()


def test_a_migration_that_is_broken_off_anywhere_is_begun_again_by_the_next_deploy(
    later, hourly_played, proxy, monkeypatch
):
    run, places = Jobs.run, ["ADD COLUMN", "SET note", "SET branch", "MERGE INTO"]

    def die(jobs, statement, values, **more):
        # `remember` is what MERGEs into the memo.
        is_here = places and places[0] in render(statement.tree, name=statement.name)
        if is_here and statement.name != "lease_row":
            del places[0]
            raise WarehouseError("the connection is gone")
        return run(jobs, statement, values, **more)

    monkeypatch.setattr(Jobs, "run", die)
    monitor = later.monitor(proxy.url)
    marks = []
    # The fourth mark: each of the two deploys before sets that of the version that it begins at.
    proxy.add(Fault(method="PATCH", path=PARTITIONS.table, status=403, document=DENIED, skip=3))
    for _ in range(5):
        with pytest.raises(WarehouseError):
            monitor.deploy()
        marks.append(label_of(later, PARTITIONS))
        with pytest.raises(WrongSchemaVersion, match="expmon deploy"):
            monitor.run("hourly", NOW)
    assert (places, proxy.left) == ([], [])
    first, second = str(PRESENT), str(PRESENT + 1)
    assert marks == [first, first, first, second, second]
    monitor.deploy()
    assert_migrated(later, hourly_played)
    monitor.run("hourly", NOW)
    expected = reference.enrollment_hourly(hourly_played(later, NOW, HOURS))
    assert named(later.rows(HOURLY)) == named(expected)


def test_nothing_is_migrated_while_a_run_has_the_lease(kept, only_few, monkeypatch):
    upgrading.install(monkeypatch)
    only_few()

    def found():
        labels = [label_of(kept, relation) for relation in FEW]
        return labels, kept.rows(HOURLY), kept.rows(PARTITIONS)

    before = found()
    take = (
        "UPDATE {derived}.expmon_lease_v1 SET run_id = 'a-run', "
        "expires_at = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 10 MINUTE) WHERE TRUE"
    )
    kept.sql(take)
    with pytest.raises(WarehouseLocked, match="a-run"):
        kept.monitor().deploy()
    kept.sql("UPDATE {derived}.expmon_lease_v1 SET run_id = NULL, expires_at = NULL WHERE TRUE")
    assert found() == before


def test_where_the_memo_is_lost_the_other_tables_tell_the_version(
    new_place, server, only_few, hasty, monkeypatch
):
    place = new_place(server)
    place.put(EVENT_V4, MAIN_V4, *(relation for relation in FEW if relation != PARTITIONS))
    upgrading.install(monkeypatch)
    only_few()
    assert place.monitor().deploy()[0].startswith(f"migrate from schema version {PRESENT} to ")
    assert {label_of(place, relation) for relation in FEW} == {str(upgrading.VERSION)}


# Newer tables, and what a look at the version costs


def test_tables_of_a_newer_expmon_are_never_written(kept, only_few, proxy, tmp_path):
    only_few()
    relabel(kept, PARTITIONS, str(PRESENT + 3))
    monitor = kept.monitor(proxy.url)
    recipes = tmp_path / "recipes.json"
    recipes.write_text('[{"slug": "exp"}]', encoding="utf-8")
    exporting = Monitor(monitor.warehouse, MemoryStore(), monitor.settings)
    day = stored.FIRST_DAY
    for write in (
        monitor.deploy,
        lambda: monitor.deploy(dry_run=True),
        lambda: monitor.run("live", NOW),
        lambda: monitor.shared_run("hourly", NOW, run_id="r").plan(),
        lambda: monitor.backfill(day, day + timedelta(days=1), as_of=stored.LATER),
        lambda: monitor.ingest_recipes(recipes),
        lambda: exporting.export_active(NOW),
        lambda: exporting.export_experiment("exp", as_of=NOW),
    ):
        with pytest.raises(WrongSchemaVersion, match="pip install --upgrade expmon") as caught:
            write()
        assert (caught.value.found, caught.value.known) == (PRESENT + 3, PRESENT)
    assert {request.method for request in proxy.requests} == {"GET"}
    assert exporting.store.objects == {}
    relabel(kept, PARTITIONS, str(PRESENT))


def test_a_run_looks_at_the_version_by_one_request_and_no_job(kept, proxy):
    monitor = kept.monitor(proxy.url)
    assert monitor.run("hourly", NOW).plan.steps == ()
    looks = [r for r in proxy.of("GET", "/tables/") if PARTITIONS.table in r.path]
    assert len(looks) == 1
    jobs = [json.loads(r.body) for r in proxy.of("POST", "/jobs$")]
    names = [job["jobReference"]["jobId"].split("-")[1] for job in jobs]
    assert names == ["take_lease", "partitions", "give_lease_back"]


def test_a_mark_that_is_missing_stops_nobody_where_the_tables_are_the_same(kept, monkeypatch):
    monkeypatch.setattr(bookkeeping, "SCHEMA_VERSION", 2)
    monkeypatch.setattr("expmon.statements.migrations.MIGRATIONS", ())
    relabel(kept, PARTITIONS, None)
    assert kept.monitor().run("hourly", NOW).plan.steps == ()
    relabel(kept, PARTITIONS, str(PRESENT))
