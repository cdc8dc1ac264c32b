"""What `expmon doctor` finds on BigQuery: all is there, or what is missing, and what to do."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime, timedelta

import google.auth.exceptions
import pyarrow as pa
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.oauth2.credentials import Credentials

from emulators.proxy import Fault
from expmon.catalog import RELATIONS
from expmon.catalog.bookkeeping import LEASE, PARTITIONS
from expmon.catalog.model import Names
from expmon.catalog.sources import (
    CLIENTS_DAILY,
    EVENT_EVENTS,
    EVENT_V4,
    EXPERIMENTS,
    MAIN_EVENTS,
    MAIN_V4,
    STABLE_MAIN_V4,
)
from expmon.errors import ConfigError
from expmon.findings import CREDENTIALS, Finding, examined
from expmon.statements import examining, render
from expmon.warehouse.bigquery_access import Access, dataset_of
from expmon.warehouse.bigquery_doctor import SERVER, STORAGE, TABLES, Examination
from expmon.warehouse.bigquery_settings import BigQuerySettings
from expmon.warehouse.bigquery_sources import Sources, lacking
from expmon.warehouse.bigquery_types import schema

pytestmark = pytest.mark.enable_socket

ROBOT = "robot@p.iam.gserviceaccount.com"
OFTEN = 10_000
SOURCES = (EVENT_V4, MAIN_V4, STABLE_MAIN_V4, EVENT_EVENTS, MAIN_EVENTS, CLIENTS_DAILY)
OVERALL = RELATIONS["telemetry_derived.experiment_enrollment_overall_v1"]
OVERALL_VIEW = RELATIONS["telemetry.experiment_enrollment_overall"]


def refused(message="Access Denied", *, status=403, reason="accessDenied", **fault):
    """The server answers with an error."""
    said = [{"reason": reason, "message": message}]
    document = {"error": {"code": status, "message": message, "errors": said}}
    return Fault(status=status, document=document, count=OFTEN, **fault)


def seen_otherwise(place, **changes):
    """A table or dataset looks as if it had other properties."""
    path = rf"/datasets/{place}\?"
    return Fault("GET", path, action="rewrite", count=OFTEN, rewrite=lambda d: {**d, **changes})


def place_of(place, relation):
    """The dataset of a relation, by its full name."""
    return dataset_of(place.names.of(relation))


def table_of(relation):
    return f"{relation.dataset}/tables/{relation.table}"


@pytest.fixture
def proxy(proxy_of_whole):
    return proxy_of_whole


@pytest.fixture
def examination(whole, proxy, hasty):
    """Makes an examination of the project with everything, by way of the proxy."""

    def make(*, credentials=AnonymousCredentials, storage=None, **settings):
        warehouse = whole.warehouse(proxy.url, **settings)
        return Examination(
            warehouse,
            credentials,
            client=lambda: warehouse._client,
            storage=storage or (lambda: warehouse._storage),
        )

    return make


@pytest.fixture
def found(examination):
    """What the checks of these subjects find, as by subject; all that fail are said in full."""

    def look(*subjects, **made):
        subject = examination(**made)
        checks = [check for check in subject.checks() if check.subject in subjects]
        assert len(checks) == len(subjects)
        return list(examined(checks, subject.access.remedy))

    return look


def verdicts(findings):
    return {finding.subject: finding.verdict for finding in findings}


def test_of_a_healthy_project_everything_is_ok_and_nothing_is_changed(whole, proxy, hasty):
    findings = whole.warehouse(proxy.url).examine()
    subjects = [finding.subject for finding in findings if finding.verdict == "ok"]
    ours = {place_of(whole, relation) for relation in (PARTITIONS, OVERALL_VIEW, EXPERIMENTS)}
    lie = {place_of(whole, source) for source in SOURCES}
    lie.add(dataset_of(whole.names.behind(CLIENTS_DAILY)))
    datasets = [name for name in subjects if name.startswith("dataset ")]
    assert sorted(datasets) == sorted(f"dataset {name}" for name in ours | lie)
    assert [name for name in subjects if name not in datasets] == [
        CREDENTIALS,
        "jobs",
        "location",
        *(f"source {source.name}" for source in (*SOURCES, EXPERIMENTS)),
        "reading the sources",
        TABLES,
        "writing",
        "fetching",
        STORAGE,
        "what has been written",
        "lease",
    ]
    # The pings of these tests are of 2021.
    others = [f for f in findings if f.verdict != "ok"]
    assert {f.verdict for f in others} == {"warning"}
    assert {f.subject.partition(" ")[0] for f in others} == {"days"}
    assert {request.method for request in proxy.requests} == {"GET", "POST"}
    asked = proxy.of("POST")
    assert {r.path.rpartition("/")[2].rpartition(":")[2] for r in asked} == {
        "jobs",
        "testIamPermissions",
    }
    jobs = [json.loads(r.body)["configuration"] for r in asked if r.path.endswith("/jobs")]
    assert all(re.match(r"(/\*.*\*/\s*)?(SELECT|WITH)\b", job["query"]["query"]) for job in jobs)
    assert not any("destinationTable" in job["query"] for job in jobs)
    assert sum(not job.get("dryRun", False) for job in jobs) == 5


# Credentials and jobs


def test_without_credentials_nothing_else_is_tried_and_one_line_says_so(whole, proxy, hasty):
    def none():
        raise ConfigError("there are no credentials")

    warehouse = whole.warehouse(proxy.url, credentials=AnonymousCredentials)
    warehouse._credentials = none
    credentials, rest = warehouse.examine()
    assert credentials == Finding(
        CREDENTIALS,
        "missing",
        "there are no credentials",
        "gcloud auth application-default login",
    )
    assert (rest.subject, rest.verdict) == ("BigQuery, the rest", "unknown")
    assert rest.detail.startswith("not checked without Google credentials: BigQuery, datasets,")
    assert rest.detail.endswith(", lease")
    assert proxy.requests == []


def test_a_key_file_that_is_no_longer_good_has_to_be_unset_first(found, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "gone.json")

    def none():
        raise ConfigError("the file is gone")

    (finding,) = found(CREDENTIALS, credentials=none)
    assert finding.remedy == (
        "unset GOOGLE_APPLICATION_CREDENTIALS; gcloud auth application-default login"
    )


class Login(Credentials):
    """Credentials that fetch a token, or fail to."""

    def __init__(self, error=None, email=None):
        super().__init__(token=None)
        self.error, self.email, self.refreshed = error, email, 0

    @property
    def service_account_email(self):
        return self.email

    def refresh(self, request):
        self.refreshed += 1
        if self.error:
            raise self.error
        self.token = "token"


def test_a_token_is_fetched_and_whose_it_is_said(found):
    login = Login(email=ROBOT)
    assert found(CREDENTIALS, credentials=lambda: login) == [
        Finding(CREDENTIALS, "ok", f"of {ROBOT}")
    ]
    assert login.refreshed == 1


def test_a_login_that_google_refuses_is_no_credentials(found):
    login = Login(google.auth.exceptions.RefreshError("Token has been expired or revoked."))
    finding, rest = found(CREDENTIALS, SERVER, credentials=lambda: login)
    assert (finding.subject, finding.verdict) == (CREDENTIALS, "missing")
    assert finding.remedy == "gcloud auth application-default login"
    assert rest.detail == "not checked without Google credentials: BigQuery"


def test_who_may_run_no_jobs_is_told_the_command_and_all_else_is_checked(found, proxy, whole):
    proxy.add(refused("no bigquery.jobs.create", method="POST", path="/jobs"))
    login = Login(email=ROBOT)
    findings = found(
        *(CREDENTIALS, SERVER, "datasets", "reading the sources", "fetching", "lease"),
        credentials=lambda: login,
    )
    jobs = findings[1]
    assert (jobs.subject, jobs.verdict) == ("jobs", "missing")
    assert "no bigquery.jobs.create" in jobs.detail
    project = whole.names.data
    assert jobs.remedy == (
        f"Someone who manages {project} runs: gcloud projects add-iam-policy-binding {project} "
        f"--member=serviceAccount:{ROBOT} --role=roles/bigquery.jobUser"
    )
    assert verdicts(findings)[f"dataset {place_of(whole, EVENT_V4)}"] == "ok"
    assert findings[-1].detail == "not checked without jobs: reading the sources, fetching, lease"
    assert len(proxy.of("POST", "/jobs")) == 1


def test_a_project_that_is_not_there_has_to_be_named(found, proxy):
    proxy.add(refused("Not found: Project x", status=404, reason="notFound", method="POST"))
    finding, _ = found(SERVER, "lease")
    assert (finding.subject, finding.verdict) == ("jobs", "missing")
    assert "there is no project" in finding.detail
    assert "expmon --warehouse bigquery://PROJECT doctor" in finding.remedy
    assert "deploy" not in finding.detail + finding.remedy


def test_an_api_that_is_switched_off_has_to_be_switched_on(found, proxy, whole):
    proxy.add(refused("has not been used", reason="accessNotConfigured", method="POST"))
    finding = found(SERVER)[0]
    enable = "gcloud services enable bigquery.googleapis.com --project="
    assert finding.remedy == f"{enable}{whole.names.data}"


def test_a_server_that_does_not_answer_is_asked_nothing_more(found, proxy):
    proxy.add(Fault(action="cut", count=OFTEN))
    others = ("datasets", "sources", TABLES, "writing", STORAGE, "lease")
    findings = found(SERVER, *others, retry_deadline=timedelta(seconds=0.2))
    assert verdicts(findings) == {SERVER: "missing", "the rest": "unknown"}
    assert "can't be reached" in findings[0].detail
    assert findings[1].detail == f"not checked without BigQuery: {', '.join(others)}"
    assert proxy.of("GET") == []


# Datasets


def test_a_dataset_of_ours_is_made_by_deploy_and_another_has_to_be_named(found, proxy, whole):
    absent = {"status": 404, "reason": "notFound", "method": "GET"}
    proxy.add(
        refused(path=r"/datasets/telemetry_derived\?", **absent),
        refused(path=r"/datasets/telemetry_stable\?", **absent),
        refused("not yours", method="GET", path=r"/datasets/telemetry_live\?"),
    )
    by_subject = {finding.subject: finding for finding in found("datasets")}
    assert by_subject[f"dataset {place_of(whole, PARTITIONS)}"].remedy == "expmon deploy"
    other = by_subject[f"dataset {place_of(whole, STABLE_MAIN_V4)}"]
    assert other.verdict == "missing"
    assert "[datasets] or [tables] in expmon.toml" in other.remedy
    live = place_of(whole, EVENT_V4)
    project, _, name = live.partition(".")
    assert by_subject[f"dataset {live}"].verdict == "missing"
    assert by_subject[f"dataset {live}"].remedy == (
        f"Someone who owns {live} runs: bq query --use_legacy_sql=false "
        f"'GRANT `roles/bigquery.dataViewer` ON SCHEMA `{project}`.{name} "
        'TO "user:YOUR_EMAIL"\''
    )


@pytest.mark.parametrize(
    ("configured", "there", "verdict", "said"),
    [
        ("US", {"a.live": "US", "p.telemetry_derived": "US"}, "ok", "lies in US"),
        ("eu", {"a.live": "EU", "p.telemetry_derived": "EU"}, "ok", "lies in EU"),
        (None, {"a.live": "EU", "p.telemetry_derived": "EU"}, "ok", "lies in EU"),
        (None, {"a.live": "US"}, "ok", "lies in US"),
        (None, {"a.live": "EU"}, "missing", "lies in EU, but none is configured"),
        ("US", {"a.live": "EU"}, "missing", "lies in EU, but US is configured"),
        ("US", {"a.live": "EU", "p.derived": "US"}, "missing", "EU (a.live); US (p.derived)"),
    ],
)
def test_all_datasets_have_to_lie_where_jobs_run(configured, there, verdict, said):
    settings, names = BigQuerySettings("p", configured), Names("p", "p", "p")
    warehouse = type("Warehouse", (), {"settings": settings, "names": names, "query": None})()
    examination = Examination(warehouse, AnonymousCredentials, client=None, storage=None)
    examination.access.locations.update(there)
    (finding,) = examination._check_location()
    assert finding.verdict == verdict
    assert said in finding.detail
    if verdict == "missing" and len(set(there.values())) == 1:
        assert 'Write location = "EU" under [bigquery] in expmon.toml' in finding.remedy
    assert bool(finding.remedy) == (verdict == "missing")


# Sources


def test_a_source_that_is_not_there_has_to_be_named_but_not_one_that_deploy_makes(found, proxy):
    for source in (EVENT_V4, EXPERIMENTS):
        path = rf"/{table_of(source)}\?"
        proxy.add(refused(status=404, reason="notFound", method="GET", path=path))
    by_subject = {finding.subject: finding for finding in found("sources")}
    event = by_subject["source telemetry_live.event_v4"]
    assert event.verdict == "missing"
    assert event.remedy == (
        'Say where it is: "telemetry_live.event_v4" = "PROJECT.DATASET.TABLE" under [tables] in '
        "expmon.toml"
    )
    assert by_subject[f"source {EXPERIMENTS.name}"].remedy == "expmon deploy"


def test_every_declared_path_of_a_source_has_to_be_there_with_its_type(found, proxy):
    fields = [field.to_api_repr() for field in schema(MAIN_V4.columns)]
    by_name = {field["name"]: field for field in fields}
    processes = by_name["payload"]["fields"][1]
    (gpu,) = (field for field in processes["fields"] if field["name"] == "gpu")
    gpu["fields"][0]["fields"].pop(2)
    by_name["sample_id"]["type"] = "STRING"
    by_name["client_id"]["mode"] = "REPEATED"
    fields.remove(by_name["document_id"])
    fields.append({"name": "additional_properties", "type": "STRING", "mode": "NULLABLE"})
    proxy.add(seen_otherwise(table_of(MAIN_V4), schema={"fields": fields}))
    by_subject = {finding.subject: finding for finding in found("sources")}
    finding = by_subject["source telemetry_live.main_v4"]
    assert finding.verdict == "missing"
    assert finding.detail.partition(": ")[2].split(", ") == [
        "client_id is ARRAY of STRING instead of STRING",
        "document_id is missing",
        "payload.processes.gpu.events.f2_ is missing",
        "sample_id is STRING instead of INT64",
    ]
    assert "that has these columns" in finding.remedy


@pytest.mark.parametrize(("ping", "source"), [("main", MAIN_V4), ("event", EVENT_V4)])
def test_the_real_schemas_have_all_that_is_declared(data, ping, source):
    real = json.loads(gzip.decompress((data / f"{ping}.4.bq.gz").read_bytes()))
    assert lacking([bigquery.SchemaField.from_api_repr(field) for field in real], source) == []


def test_columns_may_be_required_have_old_type_names_and_be_written_otherwise():
    there = [
        bigquery.SchemaField("SUBMISSION_DATE", "DATE", mode="REQUIRED"),
        bigquery.SchemaField("client_id", "STRING"),
        bigquery.SchemaField(
            "experiments",
            "STRUCT",
            mode="REPEATED",
            fields=[bigquery.SchemaField(name, "STRING") for name in ("Value", "more", "Key")],
        ),
    ]
    assert lacking(there, CLIENTS_DAILY) == []
    integers = [bigquery.SchemaField(c.name, "INTEGER") for c in CLIENTS_DAILY.columns]
    assert lacking(integers, CLIENTS_DAILY) == [
        "submission_date is INT64 instead of DATE",
        "client_id is INT64 instead of STRING",
        "experiments is INT64 instead of ARRAY of STRUCT",
    ]


@pytest.mark.parametrize(
    ("changes", "verdict", "said"),
    [
        ({"type": "VIEW", "timePartitioning": None}, "missing", "it is a view and has no part"),
        ({"timePartitioning": None}, "missing", "it is not partitioned, and it must be by day"),
        ({"timePartitioning": {"type": "DAY"}}, "missing", "by the time of loading, and it must"),
        (
            {"timePartitioning": {"type": "MONTH", "field": "submission_timestamp"}},
            "missing",
            "it is partitioned by month of submission_timestamp, and it must be by day of",
        ),
        (
            {"timePartitioning": {"type": "HOUR", "field": "submission_timestamp"}},
            "ok",
            "by hour of submission_timestamp",
        ),
        (
            {"timePartitioning": {"type": "DAY", "field": "created"}},
            "warning",
            "by day of created, but read by submission_timestamp: every query reads all of it",
        ),
    ],
)
def test_a_sources_table_has_to_be_partitioned_by_day(found, proxy, changes, verdict, said):
    proxy.add(seen_otherwise(table_of(STABLE_MAIN_V4), **changes))
    by_subject = {finding.subject: finding for finding in found("sources")}
    finding = by_subject["source telemetry_stable.main_v4"]
    assert finding.verdict == verdict
    assert said in finding.detail
    if verdict == "missing":
        assert "under [physical_tables] in expmon.toml" in finding.remedy


def test_the_table_behind_a_view_has_to_be_there(found, proxy, whole):
    behind = whole.names.behind(CLIENTS_DAILY)
    path = rf"/{behind.dataset}/tables/{behind.table}\?"
    proxy.add(refused(status=404, reason="notFound", method="GET", path=path))
    findings = found("sources", "days of the sources")
    finding = {finding.subject: finding for finding in findings}["source telemetry.clients_daily"]
    assert finding.verdict == "missing"
    assert finding.detail.endswith("telemetry.clients_daily has: it is not there")
    assert "days of telemetry.clients_daily" not in verdicts(findings)


def test_each_source_that_may_not_be_read_is_named(found, proxy, whole):
    clients = refused("User does not have bigquery.tables.getData", content=b"clients_daily")
    events = refused("Not found in location US", status=404, content=b"telemetry_live.event_v4")
    proxy.add(clients, events)
    findings = found("sources", "reading the sources")
    by_subject = {finding.subject: finding for finding in findings}
    denied = by_subject["reading telemetry.clients_daily"]
    assert denied.verdict == "missing"
    project = whole.names.of(CLIENTS_DAILY).project
    grant = f"'GRANT `roles/bigquery.dataViewer` ON SCHEMA `{project}`.telemetry TO "
    assert grant in denied.remedy
    lost = by_subject["reading telemetry_live.event_v4"]
    assert (lost.verdict, lost.remedy) == ("missing", "")
    assert lost.detail.endswith("telemetry_live.event_v4: Not found in location US")
    assert by_subject["reading the sources"].detail == "5 sources can be read"


def test_a_source_is_read_by_its_declared_fields_and_by_one_day():
    text = render(examining.day_of(MAIN_V4, Names()).tree, name="x")
    assert "  payload.processes.parent.keyed_scalars.browser_search_ad_clicks AS c" in text
    assert "  environment.experiments AS c" in text
    assert "submission_timestamp >= TIMESTAMP(@day)" in text
    events = render(examining.day_of(MAIN_EVENTS, Names()).tree, name="x")
    assert events.endswith("WHERE\n  submission_date = @day")
    assert "WHERE" not in render(examining.day_of(EXPERIMENTS, Names()).tree, name="x")


@pytest.mark.parametrize(
    ("partitions", "verdict", "said"),
    [
        ([0], "ok", "1 source goes up to {0}"),
        ([5, 2, 9], "ok", "1 source goes up to {2}"),
        ([5, 3, 9], "warning", "the latest is {3}, 3 days ago"),
        ([-2, 4], "warning", "the latest is {4}, 4 days ago"),
        ([], "warning", "it has none"),
        (["{1}23", "{0}00"], "ok", "1 source goes up to {0}"),
        (["202101", "2021", ""], "warning", "it has none"),
    ],
)
def test_a_source_whose_latest_day_is_old_is_a_warning(partitions, verdict, said):
    today = datetime.now(UTC).date()

    def ago(days):
        return today - timedelta(days=days)

    def text(partition):
        if isinstance(partition, int):
            return f"{ago(partition):%Y%m%d}"
        return re.sub(r"{(\d)}", lambda m: f"{ago(int(m[1])):%Y%m%d}", partition)

    names = Names()
    rows = [{"place": str(names.of(MAIN_V4)), "partition": text(p)} for p in partitions]
    empty = pa.schema([("place", pa.string()), ("partition", pa.string())])
    sources = Sources(
        Access(None, BigQuerySettings("p"), names),
        lambda *_: pa.Table.from_pylist(rows, schema=empty),
        dated={MAIN_V4.name},
    )
    (finding,) = sources.recent()
    assert finding.verdict == verdict
    assert finding.detail == re.sub(r"{(\d)}", lambda m: str(ago(int(m[1]))), said)
    assert ("empty_sources" in finding.remedy) == (verdict == "warning")


def test_sources_of_different_days_are_said_from_to():
    today = datetime.now(UTC).date()
    names, days = Names(), {MAIN_V4: today, STABLE_MAIN_V4: today - timedelta(days=1)}
    rows = [{"place": str(names.of(s)), "partition": f"{day:%Y%m%d}"} for s, day in days.items()]
    sources = Sources(
        Access(None, BigQuerySettings("p"), names),
        lambda *_: pa.Table.from_pylist(rows),
        dated={source.name for source in days},
    )
    (finding,) = sources.recent()
    assert finding.detail == f"2 sources go up to {today - timedelta(days=1)} or {today}"


def test_partitions_that_may_not_be_looked_at_are_said_for_each_dataset(found, proxy, whole):
    proxy.add(refused("denied", method="POST", content=rb"telemetry_live.*PARTITIONS"))
    findings = found("sources", "days of the sources")
    by_subject = verdicts(findings)
    assert by_subject[f"partitions of {place_of(whole, EVENT_V4)}"] == "missing"
    assert by_subject["days of telemetry_stable.main_v4"] == "warning"
    assert "days of telemetry_live.main_v4" not in by_subject


# Tables and views


def test_what_is_to_be_made_or_updated_is_a_matter_of_deploy(found, proxy):
    absent = refused(status=404, reason="notFound", path=rf"/{table_of(OVERALL)}\?")
    proxy.add(absent, seen_otherwise(table_of(PARTITIONS), description="mine"))
    assert found(TABLES) == [
        Finding(TABLES, "missing", f"not there: table {OVERALL.name}", "expmon deploy"),
        Finding(
            "definitions",
            "missing",
            f"update table {PARTITIONS.name}: describe it anew",
            "expmon deploy",
        ),
    ]


def test_a_table_with_other_columns_is_reported(found, proxy):
    fields = [{"name": "time", "type": "DATE"}]
    proxy.add(seen_otherwise(table_of(OVERALL), schema={"fields": fields}))
    (finding,) = found(TABLES)
    assert (finding.subject, finding.verdict) == (TABLES, "missing")
    assert "time is DATE instead of TIMESTAMP" in finding.detail
    assert finding.remedy.endswith("then: expmon deploy")


def test_views_that_others_have_to_authorize_come_with_the_command(found, proxy, whole):
    proxy.add(refused("not yours", method="GET", path=r"/datasets/telemetry_derived\?"))
    findings = [f for f in found(TABLES) if f.subject == "authorized views"]
    (finding,) = findings
    assert finding.verdict == "missing"
    assert finding.detail.endswith("telemetry_derived yet (not yours).")
    start = "Someone with roles/bigquery.dataOwner on it runs: bq show --format=prettyjson "
    assert finding.remedy.startswith(start)


def test_permissions_that_are_missing_are_named_with_the_tables_and_the_role(found, proxy, whole):
    held = {"permissions": ["bigquery.tables.getData"]}
    path = rf"{OVERALL.table}:testIamPermissions"
    proxy.add(Fault("POST", path, status=200, document=held, count=OFTEN))
    (finding,) = found("writing")
    project = whole.names.data
    assert finding.subject == f"writing to {project}.telemetry_derived"
    assert finding.verdict == "missing"
    assert finding.detail == f"no bigquery.tables.updateData on {OVERALL.table}"
    grant = f"'GRANT `roles/bigquery.dataEditor` ON SCHEMA `{project}`.telemetry_derived TO "
    assert grant in finding.remedy


def test_a_server_that_knows_no_permissions_leaves_it_open(found, proxy):
    proxy.add(refused(status=501, reason="notImplemented", path=":testIamPermissions"))
    assert verdicts(found("writing")) == {"writing": "unknown"}


def test_what_is_not_there_yet_is_not_looked_at(found, proxy):
    proxy.add(refused(status=404, reason="notFound", method="GET", path=r"/tables/[^?]+\?"))
    checks = (TABLES, "writing", "fetching", STORAGE, "what has been written", "lease")
    findings = found(*checks)
    assert findings[0].detail.endswith(" more")
    assert findings[0].remedy == "expmon deploy"
    assert [(f.subject, f.verdict) for f in findings[1:]] == [(c, "unknown") for c in checks[1:]]
    assert {f.detail for f in findings[1:]} == {"not checked before expmon deploy"}


def test_a_view_that_may_not_be_read_is_named(found, proxy):
    proxy.add(
        refused("denied", method="POST", content=rb"telemetry\.experiment_enrollment_overall")
    )
    by_subject = {finding.subject: finding for finding in found("fetching")}
    assert by_subject[f"fetching {OVERALL_VIEW.name}"].verdict == "missing"
    assert by_subject["fetching"].detail == "10 views can be read"


# The Storage Read API, the memo and the lease


class Refusing:
    """A Storage Read API that refuses."""

    def __init__(self, error):
        self.error = error

    def create_read_session(self, **_):
        raise self.error


def test_without_the_storage_api_fetching_is_slow(found, whole):
    storage = Refusing(exceptions.PermissionDenied("readsessions.create denied"))
    (finding,) = found(STORAGE, storage=lambda: storage)
    assert finding.verdict == "warning"
    assert "slow (readsessions.create denied)" in finding.detail
    assert finding.remedy.endswith("--role=roles/bigquery.readSessionUser")


def test_a_storage_api_that_is_out_of_reach_is_a_warning(found):
    storage = Refusing(exceptions.ServiceUnavailable("no route"))
    (finding,) = found(STORAGE, storage=lambda: storage)
    assert (finding.verdict, finding.detail[-8:]) == ("warning", "no route")


def test_a_memo_that_may_not_be_read_is_reported_and_the_lease_looked_at(found, proxy):
    proxy.add(refused("denied", method="POST", content=b"WITH there AS"))
    findings = found("what has been written", "lease")
    assert verdicts(findings)["what has been written"] == "missing"
    assert len(findings) == 2


@pytest.mark.parametrize(
    ("change", "verdict", "said"),
    [
        ("run_id = NULL, expires_at = NULL", "ok", "no run has it"),
        ("run_id = 'abc', expires_at = '2021-01-01'", "ok", "no run has it"),
        (
            "run_id = 'abc', expires_at = '2121-01-01'",
            "ok",
            "the run abc has it, until 2121-01-01 00:00:00 UTC at the latest",
        ),
    ],
)
def test_who_has_the_lease_is_said(found, whole, change, verdict, said):
    lease = "{derived}.expmon_lease_v1"
    whole.sql(f"UPDATE {lease} SET {change} WHERE TRUE")
    try:
        assert found("lease") == [Finding("lease", verdict, said)]
    finally:
        whole.sql(f"UPDATE {lease} SET run_id = NULL, expires_at = NULL WHERE TRUE")


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("minutes", [-10, 10])
def test_whether_a_lease_has_ended_is_for_the_servers_clock_to_say(
    found, whole, skew_clock, hours, minutes
):
    skew_clock(hours)
    lease = "{derived}.expmon_lease_v1"
    ends = f"TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {minutes} MINUTE)"
    whole.sql(f"UPDATE {lease} SET run_id = 'abc', expires_at = {ends} WHERE TRUE")
    try:
        (finding,) = found("lease")
    finally:
        whole.sql(f"UPDATE {lease} SET run_id = NULL, expires_at = NULL WHERE TRUE")
    assert finding.detail.startswith("the run abc has it" if minutes > 0 else "no run has it")


def test_a_lease_that_has_lost_its_row_is_for_deploy_to_mend(found, whole):
    whole.sql("DELETE FROM {derived}.expmon_lease_v1 WHERE TRUE")
    try:
        (finding,) = found("lease")
    finally:
        whole.sql("INSERT INTO {derived}.expmon_lease_v1 VALUES (NULL, NULL)")
    assert (finding.verdict, finding.remedy) == ("missing", "expmon deploy")
    assert LEASE.name in finding.detail


def test_an_error_of_one_dataset_leaves_the_others(found, proxy, whole):
    proxy.add(refused("odd", status=400, reason="invalid", path=r"/datasets/telemetry_live\?"))
    by_subject = verdicts(found("datasets", "location"))
    assert by_subject.pop(f"dataset {place_of(whole, EVENT_V4)}") == "missing"
    assert set(by_subject.values()) == {"ok"}


def test_a_limit_of_bytes_is_none_for_what_reads_nothing(found, proxy):
    assert found(SERVER, maximum_bytes_billed=1)[0].verdict == "ok"
    (request,) = proxy.of("POST", "/jobs")
    assert "maximumBytesBilled" not in json.loads(request.body)["configuration"]["query"]
