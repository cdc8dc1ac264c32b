"""Datasets, tables, views and access lists, made and brought up to date."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from google.cloud import bigquery

from emulators import launch
from emulators.proxy import Fault, Proxy
from expmon.catalog import RELATIONS
from expmon.catalog.bookkeeping import LEASE
from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.model import Kind, Names
from expmon.catalog.sources import EVENT_V4, EVENTS_LIVE, EXPERIMENTS
from expmon.errors import PermissionMissing, SchemaMismatch, WarehouseError
from expmon.statements import render, view
from expmon.warehouse.bigquery_schema import wanted

pytestmark = pytest.mark.enable_socket

TABLE = RELATIONS["telemetry_derived.experiment_enrollment_overall_v1"]
VIEW = RELATIONS["telemetry.experiment_enrollment_overall"]
HOURLY = ENROLLMENT.hourly
PAIR = (TABLE, VIEW)
FOURTEEN_DAYS = 14 * 24 * 3600 * 1000
SECONDS = 60


@pytest.fixture
def only(monkeypatch):
    """Leaves some relations of the catalogue, so that a deploy is soon done."""

    def only(*relations):
        few = {relation.name: relation for relation in relations}
        monkeypatch.setattr("expmon.warehouse.bigquery_deploy.RELATIONS", few)

    return only


@pytest.fixture(scope="module")
def server():
    """A BigQuery of this module's own: the emulator slows down with each table it ever had."""
    with launch.required(launch.bigquery()) as running:
        yield running


@pytest.fixture
def own(new_place, server, hasty):
    """A project with nothing in it, and gone afterwards."""
    place = new_place(server)
    yield place
    for found in place.google.list_datasets(timeout=SECONDS):
        place.google.delete_dataset(found.reference, delete_contents=True, timeout=SECONDS)


@pytest.fixture
def proxy(server):
    with Proxy(server.rest_url) as running:
        yield running


def deployed(place, url=None, *, dry_run=False):
    """The changes that a deploy of the catalogue makes, without the row of the lease."""
    warehouse = place.warehouse(url)
    return warehouse._deployment.run(dry_run=dry_run, migrate=warehouse._migrate)


def documents(place):
    """All that BigQuery says of each dataset, table and view."""
    found = {}
    for item in place.google.list_datasets(timeout=SECONDS):
        dataset = place.google.get_dataset(item.reference, timeout=SECONDS)
        found[dataset.dataset_id] = dataset.to_api_repr()
        for table in place.google.list_tables(dataset, timeout=SECONDS):
            document = place.google.get_table(table.reference, timeout=SECONDS).to_api_repr()
            found[f"{dataset.dataset_id}.{table.table_id}"] = document
    return found


def declared(place, relations):
    """The same without what changes by itself, of these relations."""
    passing = {"etag", "lastModifiedTime", "creationTime", "numBytes", "numRows"}
    found = documents(place)
    return {
        relation.name: {k: v for k, v in found[relation.name].items() if k not in passing}
        for relation in relations
    }


def table_of(place, relation):
    return place.google.get_table(str(place.names.of(relation)), timeout=SECONDS)


def update(place, relation, *properties, **values):
    """Change a table past expmon."""
    table = table_of(place, relation)
    for name, value in values.items():
        setattr(table, name, value)
    place.google.update_table(table, list(values), timeout=SECONDS)


def writes(proxy):
    """The requests that may have changed something, but for jobs."""
    return [r for r in proxy.requests if r.method != "GET" and not r.path.endswith("/jobs")]


# The whole catalogue


def test_every_relation_is_made_as_the_catalogue_declares_it(whole):
    made = [r for r in RELATIONS.values() if r.kind is not Kind.SOURCE or r == EXPERIMENTS]
    for relation in made:
        table = table_of(whole, relation)
        assert table.description == relation.description
        assert table.labels["expmon_schema"] == "4"
        columns = [(f.name, f.description or "") for f in table.schema]
        assert columns == [(c.name, c.description) for c in relation.columns]
        if relation.kind is Kind.VIEW:
            assert table.table_type == "VIEW"
            assert table.view_query == render(view(relation, whole.names).tree, name="view")
            continue
        assert table.table_type == "TABLE"
        assert {field.mode for field in table.schema} <= {"NULLABLE", "REPEATED"}
        assert table.clustering_fields == (list(relation.clustering) or None)
        declared = relation.partitioning
        if declared is None:
            assert table.time_partitioning is None
        else:
            found = table.time_partitioning
            assert (found.type_, found.field) == (declared.unit, declared.column)
            expires = relation.name.endswith(("_hourly_v1", "_totals_v1"))
            assert found.expiration_ms == (FOURTEEN_DAYS if expires else None)
    assert whole.sql("SELECT run_id, expires_at FROM {derived}.expmon_lease_v1") == [(None, None)]


def test_a_second_deploy_does_nothing(whole, proxy_of_whole):
    assert whole.warehouse(proxy_of_whole.url).deploy() == []
    assert writes(proxy_of_whole) == []
    (merge,) = proxy_of_whole.of("POST", "/jobs$")
    assert b"MERGE" in merge.body
    assert whole.sql("SELECT COUNT(*) FROM {derived}.expmon_lease_v1") == [(1,)]


# A few relations of it


def test_a_dry_run_lists_what_a_deploy_then_does_and_changes_nothing(own, only, proxy):
    only(*PAIR, LEASE)
    listed = own.warehouse(proxy.url).deploy(dry_run=True)
    assert {request.method for request in proxy.requests} == {"GET"}
    assert documents(own) == {}
    project = own.names.data
    assert listed == [
        f"create dataset {project}.telemetry_derived",
        f"create dataset {project}.telemetry",
        f"create table {TABLE.name}",
        f"create view {VIEW.name}",
        f"create table {LEASE.name}",
        f"let 1 views read {project}.telemetry_derived",
    ]
    assert own.warehouse().deploy() == listed
    assert own.warehouse().deploy(dry_run=True) == own.warehouse().deploy() == []


def test_where_the_data_lies_is_as_configured(own, only, proxy):
    only(*PAIR)
    warehouse = own.warehouse(proxy.url, location="EU")
    warehouse._deployment.run(dry_run=False, migrate=warehouse._migrate)
    made = [json.loads(request.body) for request in proxy.of("POST", "/datasets$")]
    assert [document["location"] for document in made] == ["EU", "EU"]


def fields(**types):
    """The columns of a derived table, or others; of a type None: without that one."""
    kept = {"time": "TIMESTAMP", "branch": "STRING", "experiment": "STRING", "value": "INT64"}
    columns = {**kept, **types}.items()
    return [bigquery.SchemaField(name, kind) for name, kind in columns if kind]


def required(name):
    """The same, one of them REQUIRED."""
    return [
        bigquery.SchemaField(f.name, f.field_type, mode="REQUIRED") if f.name == name else f
        for f in fields()
    ]


def make(place, relation, columns, *, partitioned="DAY"):
    """A table that somebody else has made."""
    table = bigquery.Table(str(place.names.of(relation)), columns)
    if partitioned:
        table.time_partitioning = bigquery.TimePartitioning(partitioned, field="time")
    table.clustering_fields = ["experiment", "branch"]
    place.google.create_dataset(f"{place.names.data}.{relation.dataset}", exists_ok=True)
    place.google.create_table(table, timeout=SECONDS)


def test_a_column_that_a_table_lacks_is_added_and_its_rows_stay(own, only):
    only(TABLE)
    make(own, TABLE, fields(value=None))
    own.sql(f"INSERT INTO `{own.names.of(TABLE)}` (branch) VALUES ('a')")
    *_, change = deployed(own)
    assert change.startswith(f"update table {TABLE.name}: ")
    for words in ("describe it anew", "label it", "describe its columns anew", "add value"):
        assert words in change
    assert own.rows(TABLE) == [(None, "a", None, None)]
    found = table_of(own, TABLE)
    columns = [(field.name, field.field_type, field.description) for field in found.schema]
    assert columns[-1] == ("value", "INTEGER", TABLE.columns[-1].description)
    assert [name for name, _, _ in columns] == list(TABLE.column_names)
    assert deployed(own) == []


@pytest.mark.parametrize(
    ("relation", "change", "says"),
    [
        (
            TABLE,
            {
                "description": "mine",
                "clustering_fields": ["branch"],
                "require_partition_filter": True,
            },
            (
                "update table {}: describe it anew, no longer require a filter on its "
                "partitions, cluster it by experiment, branch"
            ),
        ),
        (VIEW, {"description": "mine"}, "update view {}: describe it anew"),
        (VIEW, {"view_query": "SELECT 1 AS x"}, "replace view {}"),
    ],
    ids=["table", "view", "view's query"],
)
def test_what_differs_is_brought_up_to_date_and_said(own, only, relation, change, says):
    only(*PAIR)
    deployed(own)
    before = declared(own, PAIR)
    update(own, relation, **change)
    said = says.format(relation.name)
    assert deployed(own, dry_run=True) == deployed(own) == [said]
    assert declared(own, PAIR) == before


@pytest.mark.parametrize(
    ("relation", "days", "says"),
    [
        (HOURLY, None, "keep its partitions for 14 days"),
        (HOURLY, 3, "keep its partitions for 14 days"),
        (TABLE, 3, "keep its partitions for ever"),
    ],
)
def test_how_long_partitions_are_kept_is_brought_up_to_date(own, only, relation, days, says):
    only(relation)
    table = wanted(relation, own.names)
    table.time_partitioning = bigquery.TimePartitioning(
        relation.partitioning.unit,
        field=relation.partitioning.column,
        expiration_ms=days and days * 24 * 3600 * 1000,
    )
    own.google.create_dataset(f"{own.names.data}.telemetry_derived", timeout=SECONDS)
    own.google.create_table(table, timeout=SECONDS)
    assert deployed(own) == [f"update table {relation.name}: {says}"]
    found = table_of(own, relation).time_partitioning
    assert found.expiration_ms == (FOURTEEN_DAYS if relation == HOURLY else None)
    assert found.field == relation.partitioning.column
    assert deployed(own) == []


def test_other_labels_stay(own, only):
    only(TABLE)
    deployed(own)
    update(own, TABLE, labels={"owner": "data-org", "expmon_schema": None})
    assert deployed(own)[-1] == f"update table {TABLE.name}: label it"
    assert table_of(own, TABLE).labels == {"owner": "data-org", "expmon_schema": "4"}


def view_in_its_place(place):
    place.google.create_dataset(f"{place.names.data}.telemetry_derived", exists_ok=True)
    made = bigquery.Table(str(place.names.of(TABLE)))
    made.view_query = "SELECT 1 AS x"
    place.google.create_table(made, timeout=SECONDS)


@pytest.mark.parametrize(
    ("prepare", "differences"),
    [
        (lambda p: make(p, TABLE, fields(value="STRING")), ["value is STRING instead of INT64"]),
        (
            lambda p: make(p, TABLE, required("branch")),
            ["branch is STRING REQUIRED instead of STRING"],
        ),
        (lambda p: make(p, TABLE, fields(extra="INT64")), ["extra is not in the catalogue"]),
        (
            lambda p: make(p, TABLE, fields(), partitioned=None),
            ["it is partitioned by nothing instead of DAY of time"],
        ),
        (
            lambda p: make(p, TABLE, fields(), partitioned="HOUR"),
            ["it is partitioned by HOUR of time instead of DAY of time"],
        ),
        (
            lambda p: make(p, TABLE, fields(value="FLOAT64", more="DATE"), partitioned="MONTH"),
            [
                "more is not in the catalogue",
                "value is FLOAT64 instead of INT64",
                "it is partitioned by MONTH of time instead of DAY of time",
            ],
        ),
        (view_in_its_place, ["it is a view"]),
    ],
    ids=[
        "another type",
        "a required column",
        "a column more",
        "no partitions",
        "hours for days",
        "several at once",
        "a view",
    ],
)
def test_what_can_not_be_changed_in_place_is_refused_and_nothing_is_changed(
    own, only, proxy, prepare, differences
):
    # One that would be created comes before it, one that would be changed after it.
    only(HOURLY, *PAIR)
    prepare(own)
    with pytest.raises(SchemaMismatch) as caught:
        deployed(own, proxy.url)
    assert caught.value.relation == TABLE.name
    assert list(caught.value.differences) == differences
    assert writes(proxy) == []


def test_a_table_in_the_place_of_a_view_is_refused(own, only, proxy):
    only(*PAIR)
    make(own, VIEW, fields())
    with pytest.raises(SchemaMismatch) as caught:
        deployed(own, proxy.url)
    assert (caught.value.relation, caught.value.differences) == (VIEW.name, ("it is a table",))
    assert writes(proxy) == []


def test_a_view_over_a_source_that_is_not_there_names_the_source(own, only):
    only(EVENTS_LIVE)
    with pytest.raises(WarehouseError, match="can't be made") as caught:
        deployed(own)
    assert type(caught.value) is WarehouseError
    told = str(caught.value)
    assert EVENTS_LIVE.name in told
    assert EVENT_V4.name in told
    assert "[tables]" in told


@pytest.mark.parametrize("is_one", [True, False])
def test_the_experiments_are_made_only_where_everything_is_ones_own(own, only, is_one):
    only(TABLE, EXPERIMENTS)
    project = own.names.data
    if not is_one:
        own.names = replace(own.names, experiments=f"{project}-other")
    created = [name for name in deployed(own) if "create" in name]
    assert (f"create table {EXPERIMENTS.name}" in created) is is_one
    assert any("monitoring" in name for name in created) is is_one
    assert documents(own).keys() >= {"telemetry_derived", TABLE.name}
    assert (EXPERIMENTS.name in documents(own)) is is_one


def test_who_may_not_look_at_or_make_a_table_is_told_which_one(own, only, proxy):
    only(TABLE)
    denied = {"error": {"code": 403, "message": "no", "errors": [{"reason": "accessDenied"}]}}
    proxy.add(Fault(method="GET", path="/tables/", status=403, document=denied))
    with pytest.raises(PermissionMissing) as caught:
        deployed(own, proxy.url)
    assert caught.value.relation == str(own.names.of(TABLE))
    proxy.add(Fault(method="POST", path="/tables", status=403, document=denied))
    with pytest.raises(PermissionMissing) as caught:
        deployed(own, proxy.url)
    assert caught.value.role == "roles/bigquery.dataEditor"
    assert caught.value.relation == f"{own.names.data}.telemetry_derived"


# Access lists

LIVE = ENROLLMENT.live
USERS_LIVE = RELATIONS["telemetry.experiment_enrollment_aggregates_live"]
WITH_LIVE = (ENROLLMENT.daily, HOURLY, ENROLLMENT.recents, LIVE, USERS_LIVE, *PAIR)
SOMEBODY = bigquery.AccessEntry("READER", "userByEmail", "somebody@example.com")


@pytest.fixture
def split(own):
    """Data and views in projects of their own, as Mozilla has them."""
    project = own.names.data
    own.names = Names(project, f"{project}-views", project)
    return own


def derived(place):
    return place.google.get_dataset(f"{place.names.data}.telemetry_derived", timeout=SECONDS)


def readers(place):
    """The views on the access list of what is derived."""
    entries = (e for e in derived(place).access_entries if e.entity_type == "view")
    return sorted(f"{e.entity_id['projectId']}.{e.entity_id['tableId']}" for e in entries)


def let(place, entry):
    """Somebody changes the access list at the same time."""
    dataset = derived(place)
    dataset.access_entries = [*dataset.access_entries, entry]
    place.google.update_dataset(dataset, ["access_entries"], timeout=SECONDS)


def entries_of(place):
    views, data = place.names.views, place.names.data
    return sorted(
        [
            f"{views}.experiment_enrollment_overall",
            f"{views}.experiment_enrollment_aggregates_live",
            # The users' live view reads one of ours, which reads the tables.
            f"{data}.experiment_enrollment_aggregates_live",
        ]
    )


def test_the_views_may_read_what_they_are_over_whoever_asks_and_others_stay(split, only):
    only(*WITH_LIVE)
    split.google.create_dataset(f"{split.names.data}.telemetry_derived", timeout=SECONDS)
    let(split, SOMEBODY)
    kept = derived(split).access_entries
    done = deployed(split)
    assert done[-1] == f"let 3 views read {split.names.data}.telemetry_derived"
    assert readers(split) == entries_of(split)
    assert [entry for entry in derived(split).access_entries if entry.entity_type != "view"] == kept
    assert SOMEBODY in kept
    assert deployed(split) == []


def test_a_view_that_was_taken_off_the_list_gets_onto_it_again(split, only):
    only(*PAIR)
    deployed(split)
    dataset, mine = derived(split), readers(split)
    dataset.access_entries = [e for e in dataset.access_entries if e.entity_type != "view"]
    split.google.update_dataset(dataset, ["access_entries"], timeout=SECONDS)
    said = [f"let 1 views read {split.names.data}.telemetry_derived"]
    assert deployed(split, dry_run=True) == said
    assert readers(split) == []
    assert deployed(split) == said
    assert readers(split) == mine == [f"{split.names.views}.experiment_enrollment_overall"]


def test_a_dataset_of_views_that_may_read_already_is_enough(split, only):
    only(*PAIR)
    split.google.create_dataset(f"{split.names.data}.telemetry_derived", timeout=SECONDS)
    whole = {"projectId": split.names.views, "datasetId": "telemetry"}
    given = {"dataset": whole, "targetTypes": ["VIEWS"]}
    let(split, bigquery.AccessEntry(None, "dataset", given))
    assert not any("read" in change for change in deployed(split))
    assert readers(split) == []


@pytest.mark.parametrize("times", [1, 5])
def test_a_list_that_somebody_else_changes_meanwhile_is_read_again(split, only, proxy, times):
    only(*PAIR)
    conflict = {
        "error": {
            "code": 412,
            "message": "Precondition check failed.",
            "errors": [{"reason": "conditionNotMet"}],
        }
    }
    path = "/datasets/telemetry_derived"
    proxy.add(Fault(method="PATCH", path=path, status=412, document=conflict, count=times))
    split.google.create_dataset(f"{split.names.data}.telemetry_derived", timeout=SECONDS)
    if times == 1:
        deployed(split, proxy.url)
        assert readers(split) == [f"{split.names.views}.experiment_enrollment_overall"]
        first, second = proxy.of("PATCH", path)
        assert first.headers["if-match"]
        assert second.headers["if-match"]
        order = [r.method for r in proxy.of("GET|PATCH", f"{path}$")]
        assert order[-4:] == ["GET", "PATCH", "GET", "PATCH"]
    else:
        with pytest.raises(WarehouseError, match="keeps changing: deploy again"):
            deployed(split, proxy.url)
        assert readers(split) == []


def test_what_somebody_else_adds_between_reading_and_writing_is_not_lost(split, only, proxy):
    only(*PAIR)
    split.google.create_dataset(f"{split.names.data}.telemetry_derived", timeout=SECONDS)
    path = "/datasets/telemetry_derived"
    proxy.add(Fault(method="PATCH", path=path, action="call", act=lambda: let(split, SOMEBODY)))
    deployed(split, proxy.url)
    assert len(proxy.of("PATCH", path)) == 2
    assert SOMEBODY in derived(split).access_entries
    assert readers(split) == [f"{split.names.views}.experiment_enrollment_overall"]


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_who_may_not_change_the_list_gets_the_command_for_someone_who_may(
    split, only, proxy, method
):
    another = RELATIONS["telemetry.experiment_unenrollment_overall"]
    only(*PAIR, RELATIONS[another.inputs[0]], another)
    message = "Access Denied: Dataset x"
    errors = [{"reason": "accessDenied", "message": message}]
    denied = {"error": {"code": 403, "message": message, "errors": errors}}
    path = r"/datasets/telemetry_derived(\?|$)"
    proxy.add(Fault(method=method, path=path, status=403, document=denied, count=9))
    split.google.create_dataset(f"{split.names.data}.telemetry_derived", timeout=SECONDS)
    sentence = deployed(split, proxy.url)[-1]
    name = f"{split.names.data}:telemetry_derived"
    assert sentence.startswith(f"2 views may not read {split.names.data}.telemetry_derived yet")
    assert message in sentence
    assert "roles/bigquery.dataOwner" in sentence
    assert f"bq show --format=prettyjson {name} | jq" in sentence
    assert sentence.endswith(f"> dataset.json && bq update --source dataset.json {name}")
    (entries,) = re.findall(r"jq '\.access \+= (\[.*\])'", sentence)
    assert json.loads(entries) == [
        {
            "view": {
                "projectId": split.names.views,
                "datasetId": "telemetry",
                "tableId": relation.table,
            }
        }
        for relation in (VIEW, another)
    ]
    assert readers(split) == []
