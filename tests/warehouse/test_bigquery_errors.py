"""What people are told who may not do something, or whom BigQuery doesn't answer."""

from __future__ import annotations

import datetime as dt
import socket
import time
import warnings
from datetime import timedelta
from operator import itemgetter

import pytest
import sqlglot
from google.api_core import exceptions
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError, TransportError

from emulators.proxy import Fault
from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.model import Parameter, Statement
from expmon.catalog.sources import EVENT_V4
from expmon.errors import ConfigError, PermissionMissing, WarehouseError
from expmon.materialize.step import step
from expmon.statements import materialization
from expmon.statements.build import select
from expmon.warehouse.bigquery_errors import translated
from expmon.windows import Partition
from playing import at

pytestmark = pytest.mark.enable_socket

AS_OF = at("2021-01-26T02:30")
HOUR = Partition.of_hour(at("2021-01-26T00:00"))
SPAN = {"start": at("2021-01-26T00:00"), "end": at("2021-01-26T01:00")}
VIEWER = "roles/bigquery.dataViewer"
EDITOR = "roles/bigquery.dataEditor"
JOB_USER = "roles/bigquery.jobUser"


def denied(what="all of it"):
    entry = {"reason": "accessDenied", "message": f"Access Denied: {what}", "domain": "global"}
    return {"error": {"code": 403, "message": entry["message"], "errors": [entry]}}


def denied_jobs():
    return Fault(method="POST", path="/jobs", status=403, document=denied("job"))


def failed_jobs():
    """The job is begun, and then fails for lack of a permission."""
    error = {"reason": "accessDenied", "message": "Access Denied: table"}
    status = {"state": "DONE", "errorResult": error, "errors": [error]}

    def rewrite(document):
        return {**document, "status": status}

    return Fault(method="POST", path="/jobs", action="rewrite", rewrite=rewrite)


def denied_table(name):
    return Fault(path=rf"/tables/{name}(\?|$)", status=403, document=denied("table"))


def hourly(place):
    """The query of an hour: of the view over the live events."""
    return materialization(ENROLLMENT.hourly, place.names)


def write_of(place):
    return step(ENROLLMENT.hourly, HOUR, AS_OF, names=place.names, reason="missing").write


@pytest.mark.parametrize("fault", [denied_jobs, failed_jobs], ids=["refused", "begun and failed"])
def test_who_may_not_read_a_table_is_told_which_one_and_the_role(place, proxy, fault):
    proxy.add(fault(), denied_table("events_live"))
    with pytest.raises(PermissionMissing, match="Access Denied") as caught:
        place.warehouse(proxy.url).query(hourly(place), SPAN)
    table = f"{place.names.data}.telemetry_derived.events_live"
    assert (caught.value.relation, caught.value.role) == (table, VIEWER)
    assert f"ask for the role {VIEWER} on it" in str(caught.value)
    assert "events_live" in caught.value.sql
    assert isinstance(caught.value.__cause__, exceptions.Forbidden)


def test_a_hidden_table_is_the_one_even_where_bigquery_calls_it_missing(place, proxy):
    """BigQuery tells some people that a table is not found where they may not see it."""
    proxy.add(denied_jobs())
    found = {"error": {"code": 404, "message": "Not found", "errors": [{"reason": "notFound"}]}}
    proxy.add(Fault(path=r"/tables/events_live", status=404, document=found))
    with pytest.raises(PermissionMissing) as caught:
        place.warehouse(proxy.url).query(hourly(place), SPAN)
    assert caught.value.relation == f"{place.names.data}.telemetry_derived.events_live"


@pytest.mark.parametrize("is_seen", [False, True], ids=["hidden", "seen, not writable"])
def test_who_may_not_write_a_table_is_told_which_one_and_the_role(place, proxy, is_seen):
    proxy.add(failed_jobs())
    if not is_seen:
        proxy.add(denied_table(ENROLLMENT.hourly.table))
    with pytest.raises(PermissionMissing) as caught:
        list(place.warehouse(proxy.url).write([write_of(place)]))
    table = f"{place.names.data}.{ENROLLMENT.hourly.name}"
    assert (caught.value.relation, caught.value.role) == (table, EDITOR)


def test_who_may_not_run_jobs_is_told_the_project_and_the_role(place, proxy):
    proxy.add(denied_jobs())
    with pytest.raises(PermissionMissing) as caught:
        place.warehouse(proxy.url, project="expmon-jobs").query(hourly(place), SPAN)
    assert (caught.value.relation, caught.value.role) == ("project expmon-jobs", JOB_USER)


def test_a_source_that_may_not_be_read_is_named_too(place, proxy):
    """As for the daily tables, which read their sources without a view of ours in between."""
    proxy.add(denied_jobs(), denied_table(EVENT_V4.table))
    query = select("document_id").from_(
        sqlglot.to_table(f"`{place.names.of(EVENT_V4)}`", dialect="bigquery")
    )
    with pytest.raises(PermissionMissing) as caught:
        place.warehouse(proxy.url).query(Statement("pings", query), {})
    assert caught.value.relation == str(place.names.of(EVENT_V4))


class RefusingStorage:
    """A Storage Read API that lets nobody in."""

    def __init__(self, client):
        self.client = client
        self.asked = 0

    def __getattr__(self, name):
        return getattr(self.client, name)

    def create_read_session(self, *_, **__):
        self.asked += 1
        raise exceptions.PermissionDenied("the caller does not have bigquery.readsessions.create")


NUMBERS = Statement(
    "numbers",
    select("number", "TIMESTAMP_SECONDS(number) AS moment", "@texts AS texts").from_(
        "UNNEST(GENERATE_ARRAY(1, 5)) AS number", dialect="bigquery"
    ),
    (Parameter("texts", "ARRAY<STRING>"),),
)


def test_rows_come_over_rest_where_the_storage_api_is_refused_and_one_warning_says_so(place):
    warehouse = place.warehouse()
    values = {"texts": ["a", "b"]}
    expected = warehouse.query(NUMBERS, values)
    refusing = place.warehouse()
    refusing._storage = storage = RefusingStorage(refusing._storage)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [refusing.query(NUMBERS, values) for _ in range(3)]
    (warning,) = [w for w in caught if "REST" in str(w.message)]
    assert "roles/bigquery.readSessionUser" in str(warning.message)
    assert place.names.data in str(warning.message)
    assert storage.asked == 1
    key = itemgetter("number")
    rows = [
        {
            "number": n,
            "moment": dt.datetime.fromtimestamp(n, dt.UTC),
            "texts": ["a", "b"],
        }
        for n in range(1, 6)
    ]
    for table in (expected, *found):
        assert sorted(table.to_pylist(), key=key) == rows
        assert table.schema.types == expected.schema.types


def test_a_query_without_rows_keeps_its_columns_either_way(place):
    query = Statement("none", NUMBERS.tree.where("number > 9"), NUMBERS.parameters)
    refusing = place.warehouse()
    refusing._storage = RefusingStorage(refusing._storage)
    refusing._may_read_storage = False
    for warehouse in (place.warehouse(), refusing):
        found = warehouse.query(query, {"texts": []})
        assert found.num_rows == 0
        assert found.column_names == ["number", "moment", "texts"]


class Unusable(Credentials):
    """Credentials that can't be refreshed."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def refresh(self, request):
        raise self.error


def test_expired_credentials_say_to_log_in(place):
    expired = RefreshError("Reauthentication is needed.", {"error": "invalid_grant"})
    warehouse = place.warehouse(credentials=lambda: Unusable(expired))
    with pytest.raises(ConfigError, match="gcloud auth application-default login") as caught:
        warehouse.query(hourly(place), SPAN)
    assert caught.value.__cause__ is expired
    with pytest.raises(ConfigError, match="gcloud auth application-default login"):
        warehouse.deploy()


def test_credentials_that_bigquery_does_not_accept_say_to_log_in(place, proxy):
    refused = {"error": {"code": 401, "message": "Invalid Credentials", "errors": []}}
    proxy.add(Fault(status=401, document=refused, count=10))
    with pytest.raises(ConfigError, match="gcloud auth application-default login"):
        place.warehouse(proxy.url).query(hourly(place), SPAN)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


USES = {
    "a query": lambda warehouse: warehouse.query(NUMBERS, {"texts": []}),
    "the state": lambda warehouse: warehouse.state(),
    "a deploy": lambda warehouse: warehouse.deploy(),
    "a lease": lambda warehouse: warehouse.lease(timedelta(0)).__enter__(),
}


@pytest.mark.parametrize("use", USES)
def test_a_bigquery_that_is_not_there_is_an_error_within_the_deadline(place, use):
    url = f"http://127.0.0.1:{free_port()}"
    warehouse = place.warehouse(url, retry_deadline=timedelta(seconds=1))
    began = time.monotonic()
    with pytest.raises(WarehouseError, match="can't be reached") as caught:
        USES[use](warehouse)
    assert time.monotonic() - began < 15
    assert "ConnectionError" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (exceptions.NotFound("gone"), "NotDeployed", "expmon deploy"),
        (exceptions.Forbidden("no"), "PermissionMissing", VIEWER),
        (exceptions.Unauthorized("who?"), "PermissionMissing", VIEWER),
        (exceptions.PermissionDenied("no"), "PermissionMissing", VIEWER),
        (exceptions.BadRequest("what?"), "WarehouseError", "what?"),
        (exceptions.ServiceUnavailable("busy"), "WarehouseError", "busy"),
        (exceptions.DeadlineExceeded("late"), "WarehouseError", "late"),
        (exceptions.RetryError("late", TimeoutError()), "WarehouseError", "TimeoutError"),
        (TransportError("cut"), "WarehouseError", "can't be reached"),
        (TimeoutError(), "WarehouseError", "can't be reached"),
        (RefreshError("old"), "ConfigError", "log in anew"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_of_googles_is_one_of_expmons(error, kind, says):
    with pytest.raises(Exception, match=says) as caught, translated("table x", sql="SELECT 1"):
        raise error
    assert type(caught.value).__name__ == kind
    assert caught.value.__cause__ is error


def test_errors_of_expmons_own_and_of_others_pass_as_they_are():
    for error in (WarehouseError("ours"), ValueError("a bug")):
        with pytest.raises(type(error)) as caught, translated("table x"):
            raise error
        assert caught.value is error
