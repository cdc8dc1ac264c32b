"""What goes over the wire for each kind of job, field by field.

Source: the REST reference of BigQuery, jobs.insert and the Job resource.
"""

from __future__ import annotations

import copy
import json
import re
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from emulators.proxy import Proxy
from expmon.catalog import DATASETS, RELATIONS
from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.model import Names, Parameter, Series, Statement
from expmon.materialize.step import health_steps, recents_step, step
from expmon.statements import render
from expmon.statements.build import select
from expmon.warehouse.bigquery import BigQueryWarehouse
from expmon.warehouse.bigquery_jobs import Done
from expmon.warehouse.bigquery_settings import BigQuerySettings
from expmon.windows import Partition
from playing import at

pytestmark = pytest.mark.enable_socket

DAY = Partition.of_day(date(2021, 1, 26))
HOUR = Partition.of_hour(at("2021-01-26T05:00"))
WHOLE = Partition.whole()
AS_OF = at("2021-01-27T05:02:03").replace(microsecond=40)
COUNTED = DATASETS["experiment_enrollment_overall"].table
CUMULATIVE = DATASETS["experiment_cumulative_search_count"].table
VERSION = "0-1-0"


def steps(names):
    """One of each kind of write: a day, an hour, a whole table, and a series with its day."""
    return (
        step(ENROLLMENT.daily, DAY, AS_OF, names=names, reason="missing"),
        step(ENROLLMENT.hourly, HOUR, AS_OF, names=names, reason="missing"),
        recents_step(ENROLLMENT.recents, at("2021-01-27T04:00"), AS_OF, names=names),
        step(CUMULATIVE, DAY, AS_OF, names=names, reason="missing"),
    )


def asked(parameters):
    """A query of nothing but its parameters."""
    columns = [f"@{p.name} AS {p.name}" for p in parameters]
    return Statement("asked", select(*columns), tuple(parameters))


def inserted(proxy_of_whole):
    """The documents of all jobs.insert requests so far."""
    return [json.loads(request.body) for request in proxy_of_whole.of("POST", "/jobs$")]


@pytest.fixture(scope="module")
def sent(opened, bigquery_server, deployed_names):
    """By table, what was sent for one level of writes; that of the memo is `remember`."""
    with opened(bigquery_server, deployed_names) as place, Proxy(place.server.rest_url) as proxy:
        made = steps(deployed_names)
        written = list(place.warehouse(proxy.url).write(step.write for step in made))
        found = {}
        for body in inserted(proxy):
            destination = body["configuration"]["query"].get("destinationTable")
            found[destination["tableId"] if destination else "remember"] = body
    return SimpleNamespace(bodies=found, written=written)


def of_time(name, value):
    return {
        "name": name,
        "parameterType": {"type": "TIMESTAMP"},
        "parameterValue": {"value": value},
    }


def of_day(name, value):
    return {"name": name, "parameterType": {"type": "DATE"}, "parameterValue": {"value": value}}


@pytest.mark.parametrize(
    ("number", "destination", "disposition", "cadence", "parameters"),
    [
        (
            0,
            "experiment_enrollment_aggregates_v1$20210126",
            "WRITE_TRUNCATE",
            "daily",
            [of_day("day", "2021-01-26")],
        ),
        (
            1,
            "experiment_enrollment_aggregates_hourly_v1$2021012605",
            "WRITE_TRUNCATE",
            "hourly",
            [
                of_time("start", "2021-01-26 05:00:00+00:00"),
                of_time("end", "2021-01-26 06:00:00+00:00"),
            ],
        ),
        (
            2,
            "experiment_enrollment_aggregates_recents_v1",
            "WRITE_TRUNCATE_DATA",
            "live",
            [
                of_time("start", "2021-01-27 04:00:00+00:00"),
                of_time("end", "2021-01-27 05:02:03.000040+00:00"),
            ],
        ),
        (
            3,
            "experiment_cumulative_search_count_v1$20210126",
            "WRITE_TRUNCATE",
            "live",
            [
                of_day("day", "2021-01-26"),
                of_time("latest_window", "2021-01-26 23:55:00+00:00"),
            ],
        ),
    ],
    ids=["a day", "an hour", "a whole table", "a series"],
)
def test_a_write_is_one_job_that_replaces_its_destination_and_never_makes_it(
    sent, whole, number, destination, disposition, cadence, parameters
):
    body = copy.deepcopy(sent.bodies[destination])
    job_id = body["jobReference"].pop("jobId")
    table, _, partition = destination.partition("$")
    assert re.fullmatch(rf"expmon-{table}-{partition or 'whole'}-[0-9a-f]{{32}}-1", job_id)
    statement = steps(whole.names)[number].statement
    assert body == {
        "jobReference": {"projectId": whole.names.data, "location": "US"},
        "configuration": {
            "query": {
                "query": render(statement.tree, name=statement.name),
                "useLegacySql": False,
                "parameterMode": "NAMED",
                "queryParameters": parameters,
                "destinationTable": {
                    "projectId": whole.names.data,
                    "datasetId": "telemetry_derived",
                    "tableId": destination,
                },
                "writeDisposition": disposition,
                "createDisposition": "CREATE_NEVER",
                "priority": "INTERACTIVE",
            },
            "labels": {"expmon": VERSION, "dataset": table, "cadence": cadence},
            "jobTimeoutMs": "600000",
        },
    }


def test_what_was_written_is_told_by_its_job(sent, whole):
    """The memo gets each job's own id, times and rows, as an array of structs."""
    query = sent.bodies["remember"]["configuration"]["query"]
    entries, expiring, oldest = query["queryParameters"]
    types = {
        "place": "STRING",
        "relation": "STRING",
        "partition": "STRING",
        "job_id": "STRING",
        "as_of": "TIMESTAMP",
        "started_at": "TIMESTAMP",
        "ended_at": "TIMESTAMP",
        "rows": "INT64",
        "bytes": "INT64",
    }
    assert entries["name"] == "written"
    assert entries["parameterType"] == {
        "type": "ARRAY",
        "arrayType": {
            "type": "STRUCT",
            "structTypes": [{"name": name, "type": {"type": kind}} for name, kind in types.items()],
        },
    }
    values = [entry["structValues"] for entry in entries["parameterValue"]["arrayValues"]]
    found = [{name: cell["value"] for name, cell in value.items()} for value in values]
    place = f"{whole.names.data}.telemetry_derived.experiment_enrollment_aggregates_v1"
    first = sent.written[0]
    assert found[0] == {
        "place": place,
        "relation": "telemetry_derived.experiment_enrollment_aggregates_v1",
        "partition": "20210126",
        "job_id": first.job_id,
        "as_of": "2021-01-27 05:02:03.000040+00:00",
        "started_at": str(first.started_at),
        "ended_at": str(first.modified_at),
        "rows": str(first.rows),
        "bytes": "0",
    }
    assert [value["partition"] for value in found] == ["20210126", "2021012605", "", "20210126"]
    kept_a_while = [
        "telemetry_derived.experiment_enrollment_aggregates_hourly_v1",
        "telemetry_derived.experiment_search_aggregates_hourly_v1",
        "telemetry_derived.experiment_totals_v1",
    ]
    assert expiring == {
        "name": "expiring",
        "parameterType": {"type": "ARRAY", "arrayType": {"type": "STRING"}},
        "parameterValue": {"arrayValues": [{"value": name} for name in kept_a_while]},
    }
    assert oldest["parameterValue"] == {"value": "2021011305"}
    assert "destinationTable" not in query
    assert sent.bodies["remember"]["configuration"]["labels"] == {"expmon": VERSION}


def test_the_jobs_of_a_level_have_ids_of_their_own(sent):
    ids = [body["jobReference"]["jobId"] for body in sent.bodies.values()]
    assert len(set(ids)) == len(ids)
    assert len({entry.job_id for entry in sent.written}) == 4


def test_a_job_began_before_it_ended_and_both_by_the_servers_clock_in_utc(sent):
    for entry in sent.written:
        assert entry.started_at.tzinfo is UTC
        assert timedelta(0) <= entry.modified_at - entry.started_at < timedelta(minutes=5)


def test_a_read_has_no_destination_and_times_of_any_zone_are_sent_in_utc(whole, proxy_of_whole):
    local = datetime.fromisoformat("2021-01-26T01:05:00.000001+02:00")
    statement = asked([Parameter("slugs", "ARRAY<STRING>"), Parameter("start", "TIMESTAMP")])
    warehouse = whole.warehouse(proxy_of_whole.url)
    rows = warehouse.query(statement, {"slugs": ["a", "é"], "start": local}).to_pylist()
    assert rows == [{"slugs": ["a", "é"], "start": local}]
    (body,) = inserted(proxy_of_whole)
    assert re.fullmatch(r"expmon-asked-[0-9a-f]{32}-1", body["jobReference"].pop("jobId"))
    assert body == {
        "jobReference": {"projectId": whole.names.data, "location": "US"},
        "configuration": {
            "query": {
                "query": render(statement.tree, name="asked"),
                "useLegacySql": False,
                "parameterMode": "NAMED",
                "queryParameters": [
                    {
                        "name": "slugs",
                        "parameterType": {"type": "ARRAY", "arrayType": {"type": "STRING"}},
                        "parameterValue": {"arrayValues": [{"value": "a"}, {"value": "é"}]},
                    },
                    of_time("start", "2021-01-25 23:05:00.000001+00:00"),
                ],
                "priority": "INTERACTIVE",
            },
            "labels": {"expmon": VERSION},
            "jobTimeoutMs": "600000",
        },
    }
    (request,) = proxy_of_whole.of("POST", "/jobs$")
    assert request.path == f"/bigquery/v2/projects/{whole.names.data}/jobs"
    assert "expmon" in request.headers["user-agent"]


def test_the_configured_limits_are_those_of_each_job(whole, proxy_of_whole):
    warehouse = whole.warehouse(
        proxy_of_whole.url,
        priority="batch",
        maximum_bytes_billed=10**12,
        job_timeout=timedelta(seconds=90),
    )
    warehouse.query(asked([Parameter("n", "INT64")]), {"n": 1})
    configuration = inserted(proxy_of_whole)[0]["configuration"]
    assert configuration["query"]["priority"] == "BATCH"
    assert configuration["query"]["maximumBytesBilled"] == "1000000000000"
    assert configuration["jobTimeoutMs"] == "90000"


def test_jobs_run_in_their_own_project_and_at_the_place_of_the_data(whole, proxy_of_whole):
    warehouse = whole.warehouse(proxy_of_whole.url, project="expmon-jobs", location=None)
    write = steps(whole.names)[0].write
    next(warehouse.write([write]))
    body = next(
        b for b in inserted(proxy_of_whole) if "destinationTable" in b["configuration"]["query"]
    )
    # Where the data is, the dataset was asked for, and before the first job.
    assert proxy_of_whole.requests[0].path.endswith(
        f"{whole.names.data}/datasets/telemetry_derived"
    )
    assert body["jobReference"]["location"] == "US"
    assert body["jobReference"]["projectId"] == "expmon-jobs"
    place = body["configuration"]["query"]["destinationTable"]
    assert place["projectId"] == whole.names.data
    posted = proxy_of_whole.of("POST", "/jobs$")
    assert {request.path for request in posted} == {"/bigquery/v2/projects/expmon-jobs/jobs"}


def test_what_a_step_would_cost_is_asked_by_a_dry_run_past_the_cache(whole, proxy_of_whole):
    write = steps(whole.names)[1].write
    assert whole.warehouse(proxy_of_whole.url).cost(write) == 0  # the emulator reads nothing
    (body,) = inserted(proxy_of_whole)
    configuration = body["configuration"]
    assert configuration["dryRun"] is True
    assert configuration["query"]["useQueryCache"] is False
    assert configuration["query"]["queryParameters"] == [
        of_time("start", "2021-01-26 05:00:00+00:00"),
        of_time("end", "2021-01-26 06:00:00+00:00"),
    ]
    assert body["jobReference"]["location"] == "US"
    assert len(proxy_of_whole.requests) == 1


class Recorder:
    """Jobs that only remember what they were asked for."""

    def __init__(self):
        self.asked = []

    def run(self, statement, values, **more):
        self.asked.append((statement, values, more))
        now = datetime.now(UTC)
        job = SimpleNamespace(
            created=now,
            ended=now,
            slot_millis=1,
            job_id=more.get("job_id"),
            total_bytes_processed=2,
            num_dml_affected_rows=1,
        )
        return Done(job, SimpleNamespace(total_rows=3))


def test_every_tables_job_has_an_id_and_labels_that_bigquery_takes():
    names = Names()
    warehouse = BigQueryWarehouse(BigQuerySettings("jobs"), names, lambda: None)
    warehouse._jobs = recorder = Recorder()
    written = [relation for relation in RELATIONS.values() if relation.cadence]
    steps = health_steps(AS_OF, (AS_OF.date(), "it is missing"), names=names)
    of_health = {made.relation.name: made for made in steps}
    for relation in written:
        if relation.name in of_health:
            made = of_health[relation.name]
        elif relation.cadence == "live" and relation.partitioning is None:
            made = recents_step(relation, at("2021-01-26T00:00"), AS_OF, names=names)
        else:
            partition = HOUR if relation.cadence == "hourly" else DAY
            made = step(relation, partition, AS_OF, names=names, reason="missing")
        next(warehouse.write([made.write]))
    jobs = [more for _, _, more in recorder.asked if more]
    assert len(jobs) == len(written) == 8 + 1 + len(DATASETS) + len(of_health)
    assert sum(d.series is Series.CUMULATIVE for d in DATASETS.values()) == 4
    for job, relation in zip(jobs, written, strict=True):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,1000}", job["job_id"])
        assert job["labels"] == {"dataset": relation.table, "cadence": relation.cadence}
        for value in job["labels"].values():
            assert re.fullmatch(r"[a-z0-9_-]{1,63}", value)


def test_the_jobs_of_a_run_share_its_id_and_another_runs_jobs_have_another():
    warehouse = BigQueryWarehouse(BigQuerySettings("jobs"), Names(), lambda: None)
    warehouse._jobs = recorder = Recorder()
    warehouse.check_version = lambda: None
    runs = []
    for _ in range(2):
        recorder.asked.clear()
        with warehouse.lease(timedelta(0)):
            for made in steps(Names())[:2]:
                next(warehouse.write([made.write]))
        ids = [more["job_id"] for _, _, more in recorder.asked if more]
        owners = {values["run_id"] for _, values, _ in recorder.asked if "run_id" in values}
        assert len(owners) == 1
        (owner,) = owners
        assert ids == [
            f"expmon-experiment_enrollment_aggregates_v1-20210126-{owner}",
            f"expmon-experiment_enrollment_aggregates_hourly_v1-2021012605-{owner}",
        ]
        runs.append(owner)
    assert len(set(runs)) == 2


@pytest.mark.parametrize(
    ("version", "label"),
    [("1.2.3", "1-2-3"), ("1.2.3.dev4+gABC.d1", "1-2-3-dev4-gabc-d1"), ("9" * 80, "9" * 63)],
)
def test_any_version_makes_a_valid_label(monkeypatch, version, label):
    from expmon.warehouse import bigquery_jobs

    bigquery_jobs._version.cache_clear()
    monkeypatch.setattr(bigquery_jobs.metadata, "version", lambda _: version)
    try:
        assert bigquery_jobs._version() == label
    finally:
        bigquery_jobs._version.cache_clear()
