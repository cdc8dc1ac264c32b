"""Runs on a BigQuery that fails: nothing is lost, started twice or half there."""

from __future__ import annotations

import itertools
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
import sqlglot
from google.api_core import exceptions

import playing
import reference
from emulators.proxy import Fault
from expmon.catalog import DATASETS, TIERS
from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.health import HEALTH, RATIOS, TOTALS
from expmon.catalog.model import Statement
from expmon.catalog.search import SEARCH
from expmon.errors import NotDeployed, WarehouseError
from expmon.statements.build import select
from expmon.warehouse.bigquery_jobs import Jobs
from expmon.warehouse.bigquery_settings import BigQuerySettings
from playing import at

pytestmark = pytest.mark.enable_socket

AS_OF = at("2021-01-26T02:30")
STEP = f"{SEARCH.hourly.table}-2021012601"
FIRST_HOUR = "2021012600"
STEPS = {f"{tiers.hourly.table}-202101260{hour}" for tiers in TIERS for hour in (0, 1)}
ENTRIES = sorted(step.replace("-", "$") for step in STEPS)
MANY = 10_000
BRIEFLY = timedelta(seconds=2)


def refusal(status, reason, message=None):
    """An error as BigQuery answers it."""
    said = message or f"said: {reason}"
    entry = {"reason": reason, "message": said, "domain": "global"}
    return {"error": {"code": status, "message": said, "errors": [entry]}}


KINDS = {
    "503": {"status": 503, "document": refusal(503, "backendError")},
    "429": {"status": 429, "document": refusal(429, "rateLimitExceeded")},
    "403 of a limit": {"status": 403, "document": refusal(403, "rateLimitExceeded")},
    "cut": {"action": "cut"},
    "lost": {"action": "lose"},
    "halved": {"action": "halve"},
}


def insert_of(job, **more):
    """A fault of jobs.insert, by what the job's id begins with."""
    found = f'"jobId": ?"expmon-{job}'.encode()
    return Fault(method="POST", path="/jobs", content=found, **more)


def get_of(job, **more):
    """One of jobs.get."""
    return Fault(method="GET", path=f"/jobs/expmon-{job}", **more)


def results_of(job, **more):
    """One of jobs.getQueryResults."""
    return Fault(method="GET", path=f"/queries/expmon-{job}", **more)


def running(job):
    """The job isn't done as soon as it has begun, so that clients have to ask for it."""
    return insert_of(job, action="rewrite", count=MANY, rewrite=with_status(state="RUNNING"))


def with_status(**status):
    return lambda document: {**document, "status": status}


def failed(reason, message=None):
    """The job is over, and for this reason it has failed."""
    error = {"reason": reason, "message": message or f"said: {reason}"}
    return with_status(state="DONE", errorResult=error, errors=[error])


CONFLICT = "Could not serialize access to table jobs:d.t due to concurrent update"
"""What BigQuery says to one of two statements that change a table at once, as an `invalidQuery`."""


def assert_hours_are_right(place, played):
    assert place.rows(ENROLLMENT.hourly) == reference.enrollment_hourly(played)
    assert place.rows(SEARCH.hourly) == reference.search_hourly(played)
    assert place.memo() == ENTRIES


@pytest.fixture
def hours(place, hourly_played):
    """What an hourly run has to count."""
    return hourly_played(place, AS_OF, [0, 1])


EVERY = ("take_lease", "partitions", STEP, "remember", "give_lease_back")


def of_first_hour(rows):
    """The rows whose window is of 00:00: the first hour of a table is written before the others."""
    starts = [next(cell for cell in row if isinstance(cell, datetime)) for row in rows]
    return [row for row, start in zip(rows, starts, strict=True) if start.hour == 0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_fails_is_sent_again_and_each_job_is_started_once(place, proxy, hours, kind):
    fault = KINDS[kind]
    for job in EVERY:
        proxy.add(insert_of(job, count=2, **fault), running(job))
        proxy.add(get_of(job, **fault), results_of(job, **fault))
    place.monitor(proxy.url).run("hourly", AS_OF)
    assert [f for f in proxy.left if f.action != "rewrite"] == []
    assert_hours_are_right(place, hours)
    jobs = place.jobs()
    # The state, the lease taken and given back, and the memo of two levels, a first hour alone.
    assert len(jobs) == len(STEPS) + 5
    assert {name[-2:] for name in jobs} == {"-1"}
    assert place.written_by() == dict.fromkeys(STEPS, 1)


def test_a_live_run_through_failures_of_every_kind_leaves_what_the_reference_says(
    emptied, proxy_of_whole, hourly_played
):
    now = at("2021-01-26T02:32")
    tables = [tiers.recents.table for tiers in TIERS] + [d.table.table for d in DATASETS.values()]
    kinds = itertools.cycle(KINDS.values())
    for table, fault in zip(tables, kinds, strict=False):
        proxy_of_whole.add(insert_of(f"{table}-", **fault), running(f"{table}-"))
        proxy_of_whole.add(
            get_of(f"{table}-", **next(kinds)), results_of(f"{table}-", **next(kinds))
        )
    done = emptied.monitor(proxy_of_whole.url).run("live", now)
    daily_active = DATASETS["experiment_enrollment_daily_active_population"].table
    kept = {HEALTH.table, RATIOS.table, TOTALS.table}
    assert {step.relation.table for step in done.plan.steps} - kept == set(tables) - {
        daily_active.table
    }
    playing.assert_as_expected(emptied.monitor(), hourly_played(emptied, now, []))
    assert emptied.memo() == sorted(
        f"{step.relation.table}${step.partition.id}" for step in done.plan.steps
    )
    assert emptied.jobs("expmon-experiment") == sorted(entry.job_id for entry in done.written)


def test_a_job_that_failed_for_a_reason_that_passes_is_started_anew(place, proxy, hours):
    proxy.add(running(STEP), get_of(STEP, action="rewrite", rewrite=failed("backendError")))
    other = f"{ENROLLMENT.hourly.table}-2021012600"
    proxy.add(insert_of(other, action="rewrite", rewrite=failed("jobRateLimitExceeded")))
    monitor, pauses = place.monitor(proxy.url), []
    monitor.warehouse._jobs.pause = pauses.append
    monitor.run("hourly", AS_OF)
    assert_hours_are_right(place, hours)
    assert place.written_by() == {**dict.fromkeys(STEPS, 1), STEP: 2, other: 2}
    for step in (STEP, other):
        first, second = place.jobs(f"expmon-{step}")
        assert (first[-2:], second[-2:]) == ("-1", "-2")
        assert first[:-2] == second[:-2]
    assert len(pauses) == 2
    assert all(0.5 <= pause <= 1 for pause in pauses)


def test_the_error_of_a_job_that_comes_as_the_answer_to_a_question_starts_it_anew(
    place, proxy, hours
):
    """Of a job that has failed, BigQuery answers getQueryResults with the job's own error."""
    first = f"{STEP}-[0-9a-f]*-1"
    proxy.add(
        running(STEP),
        get_of(first, action="rewrite", rewrite=with_status(state="RUNNING")),
        get_of(first, action="rewrite", count=MANY, rewrite=failed("backendError")),
        results_of(first, count=MANY, **KINDS["503"]),
    )
    monitor = place.monitor(proxy.url, retry_deadline=BRIEFLY)
    monitor.warehouse._jobs.pause = lambda _: None
    monitor.run("hourly", AS_OF)
    assert_hours_are_right(place, hours)
    assert place.written_by() == {**dict.fromkeys(STEPS, 1), STEP: 2}


BOOKKEEPING = ("take_lease", "remember", "give_lease_back")


def conflicts(job):
    """Two attempts lose against another statement: one says so when asked, the other at once."""
    told = {"action": "rewrite", "rewrite": failed("invalidQuery", CONFLICT)}
    asked = {"status": 400, "document": refusal(400, "invalidQuery", CONFLICT)}
    first, second = (f"{job}-[0-9a-f]*-{attempt}" for attempt in (1, 2))
    is_running = {"action": "rewrite", "rewrite": with_status(state="RUNNING")}
    return (
        insert_of(first, **is_running),
        get_of(first, **is_running),
        results_of(first, **asked),
        get_of(first, **told),
        insert_of(second, **told),
    )


@pytest.mark.parametrize("job", BOOKKEEPING)
def test_bookkeeping_that_met_another_statement_is_run_again(place, proxy, hours, job, caplog):
    proxy.add(*conflicts(job))
    monitor, pauses = place.monitor(proxy.url), []
    monitor.warehouse._jobs.pause = pauses.append
    monitor.run("hourly", AS_OF)
    assert proxy.left == []
    assert_hours_are_right(place, hours)
    assert place.written_by() == dict.fromkeys(STEPS, 1)
    assert place.sql("SELECT run_id FROM {derived}.expmon_lease_v1") == [(None,)]
    tried = [name for name in place.jobs(f"expmon-{job}") if not name.endswith("-1")]
    assert [name[-2:] for name in tried] == ["-2", "-3"]
    assert [top / 2 <= pause <= top for pause, top in zip(pauses, (1, 2), strict=True)] == [
        True
    ] * 2
    told = [r.getMessage() for r in caplog.records if "run again" in r.message]
    assert [text.partition(" (")[0] for text in told] == [
        f"{job}: a concurrent update, so it is run again"
    ] * 2


def test_tasks_of_a_run_that_meet_at_the_bookkeeping_all_get_through(place, proxy, hours):
    for job in ("take_lease", "remember"):
        proxy.add(
            insert_of(job, action="rewrite", count=3, rewrite=failed("invalidQuery", CONFLICT))
        )

    def task():
        monitor = place.monitor(proxy.url)
        monitor.warehouse._jobs.pause = lambda _: None
        return monitor.shared_run("hourly", AS_OF, run_id="one")

    plan, enrollment, search, end = (task() for _ in range(4))
    with ThreadPoolExecutor(3) as pool:
        planned = pool.submit(plan.plan)
        writes = [
            pool.submit(run.write, tiers.hourly.name, "2021012601")
            for run, tiers in zip((enrollment, search), (ENROLLMENT, SEARCH), strict=True)
        ]
        assert planned.result().as_of == AS_OF
        assert [len(write.result().written) for write in writes] == [2, 2]
    end.end()
    assert proxy.left == []
    assert_hours_are_right(place, hours)
    assert place.sql("SELECT run_id FROM {derived}.expmon_lease_v1") == [(None,)]


@pytest.mark.parametrize("kind", ["the query is invalid", "the rows are of another hour"])
def test_a_step_that_fails_keeps_none_of_the_others_from_being_remembered(
    place, proxy, hours, kind
):
    if kind == "the query is invalid":
        answer = {"status": 400, "document": refusal(400, "invalidQuery")}
        proxy.add(insert_of(STEP, **answer))
    else:
        proxy.add(running(STEP), get_of(STEP, action="rewrite", rewrite=failed("invalid")))
    with pytest.raises(WarehouseError, match=r"said: invalid") as caught:
        place.monitor(proxy.url).run("hourly", AS_OF)
    assert "browser_search_ad_clicks" in caught.value.sql
    assert isinstance(caught.value.__cause__, exceptions.GoogleAPICallError)
    failed_entry = STEP.replace("-", "$")
    assert place.memo() == [entry for entry in ENTRIES if entry != failed_entry]
    assert place.sql("SELECT run_id FROM {derived}.expmon_lease_v1") == [(None,)]
    again = place.monitor().run("hourly", AS_OF)
    assert [s.destination.split(".")[1] for s in again.plan.steps] == [failed_entry]
    assert_hours_are_right(place, hours)


RETRIED = {
    "backendError": True,
    "badGateway": True,
    "internalError": True,
    "jobBackendError": True,
    "jobInternalError": True,
    "jobRateLimitExceeded": True,
    "rateLimitExceeded": True,
    "tableUnavailable": True,
    "accessDenied": False,
    "billingNotEnabled": False,
    "blocked": False,
    "duplicate": False,
    "invalid": False,
    "invalidQuery": False,
    "notFound": False,
    "quotaExceeded": False,
    "resourcesExceeded": False,
    "responseTooLarge": False,
    "stopped": False,
    "timeout": False,
}
"""Whether BigQuery's documentation of errors says that one should try again."""


class FailingClient:
    """A client whose jobs are over at once, failed for a reason, or that and a message, or not."""

    project = "jobs"

    def __init__(self, *reasons):
        self.reasons = list(reasons)
        self.ids = []

    def query(self, sql, config, *, job_id, **_):
        self.ids.append(job_id)
        why = self.reasons.pop(0) if self.reasons else None
        why, text = why if isinstance(why, tuple) else (why, "said so")

        def result(*_, **__):
            if why:
                raise exceptions.BadRequest("no", errors=[{"reason": why, "message": text}])
            return "rows"

        error = {"reason": why} if why else None
        return SimpleNamespace(
            job_id=job_id,
            result=result,
            done=lambda **_: True,
            error_result=error,
            write_disposition=None,
        )


def waiting(*reasons, **settings):
    """Jobs with such failures one after the other, and how long is waited in between."""
    pauses = []
    jobs = Jobs(FailingClient(*reasons), BigQuerySettings("jobs", **settings), "US", pauses.append)
    return jobs, pauses


ONE = Statement("one", select("1 AS one"))


@pytest.mark.parametrize("why", RETRIED)
def test_only_for_reasons_that_pass_a_job_is_started_anew(why):
    jobs, pauses = waiting(why)
    if RETRIED[why]:
        assert jobs.run(ONE, {}, job_id="j").rows == "rows"
        assert jobs.client.ids == ["j-1", "j-2"]
        assert len(pauses) == 1
    else:
        with pytest.raises(WarehouseError, match="said so"):
            jobs.run(ONE, {}, job_id="j")
        assert jobs.client.ids == ["j-1"]
        assert pauses == []


@pytest.mark.parametrize(
    "why",
    [
        ("invalidQuery", "Unrecognized name: concurrent; Did you mean update?"),
        ("invalidQuery", "Transaction is aborted due to concurrent update against table jobs:d.t"),
        ("invalid", CONFLICT),
    ],
    ids=["another query", "another conflict", "another reason"],
)
def test_only_what_bigquery_says_of_a_conflict_makes_an_invalid_query_pass(why):
    jobs, pauses = waiting(("invalidQuery", CONFLICT), why)
    with pytest.raises(WarehouseError, match=re.escape(why[1])):
        jobs.run(ONE, {}, job_id="j")
    assert jobs.client.ids == ["j-1", "j-2"]
    assert len(pauses) == 1


def test_a_conflict_that_goes_on_ends_at_the_deadline():
    jobs, _ = waiting(*[("invalidQuery", CONFLICT)] * 9, job_timeout=timedelta(seconds=3))
    with pytest.raises(WarehouseError, match="due to concurrent update"):
        jobs.run(ONE, {}, job_id="j")
    assert jobs.client.ids == ["j-1", "j-2", "j-3"]


def test_no_attempt_begins_later_than_a_job_may_take():
    """So the last of them ends before the lease does, which lasts twice as long."""
    jobs, pauses = waiting(*["backendError"] * 9, job_timeout=timedelta(seconds=3))
    with pytest.raises(WarehouseError, match="said so"):
        jobs.run(ONE, {}, job_id="j")
    # After a pause of up to 1 s and one of up to 2 s, the next would be of up to 4 s.
    assert jobs.client.ids == ["j-1", "j-2", "j-3"]
    assert 0.5 <= pauses[0] <= 1 <= pauses[1] <= 2


def test_pauses_double_up_to_half_a_minute():
    jobs, pauses = waiting(*["backendError"] * 7)
    jobs.run(ONE, {}, job_id="j")
    longest = (1, 2, 4, 8, 16, 30, 30)
    assert [top / 2 <= pause <= top for pause, top in zip(pauses, longest, strict=True)] == [
        True
    ] * 7


def broken(place):
    return Statement("broken", sqlglot.exp.select())


def without_table(place):
    names = f"`{place.names.data}`.telemetry_derived.gone"
    return Statement("gone", select("1 AS one").from_(sqlglot.to_table(names, dialect="bigquery")))


def without_column(place):
    names = f"`{place.names.data}`.telemetry_derived.expmon_lease_v1"
    table = sqlglot.to_table(names, dialect="bigquery")
    return Statement("wrong", select("no_such_column").from_(table))


@pytest.mark.parametrize(
    ("statement", "kind", "says", "most"),
    [
        (without_table, NotDeployed, r"telemetry_derived\.gone", 4),
        (without_column, WarehouseError, "no_such_column", 3),
        (broken, WarehouseError, "broken", 3),
    ],
    ids=["a missing table", "a missing column", "no SQL at all"],
)
def test_what_will_not_pass_fails_at_once(place, proxy, statement, kind, says, most):
    warehouse = place.warehouse(proxy.url)
    warehouse._jobs.pause = lambda seconds: pytest.fail(f"waited for {seconds} s")
    began = time.monotonic()
    with pytest.raises(WarehouseError, match=says) as caught:
        warehouse.query(statement(place), {})
    assert type(caught.value) is kind
    assert time.monotonic() - began < 10
    assert len(proxy.requests) <= most
    assert len(proxy.of("POST", "/jobs$")) == 1
    assert caught.value.sql.startswith("SELECT")


def test_a_run_gives_up_at_the_deadline_and_the_next_one_repairs(place, proxy, hours):
    proxy.add(insert_of(STEP, count=MANY, **KINDS["503"]))
    proxy.add(insert_of("experiment_search", count=MANY, **KINDS["cut"]))
    began = time.monotonic()
    with pytest.raises(WarehouseError, match="BigQuery can't be reached") as caught:
        place.monitor(proxy.url, retry_deadline=BRIEFLY).run("hourly", AS_OF)
    assert time.monotonic() - began < 60
    assert "Nothing is half-written" in str(caught.value)
    assert "ConnectionError" in str(caught.value)  # the first step's
    assert place.memo() == [e for e in ENTRIES if "enrollment" in e and e.endswith(FIRST_HOUR)]
    assert place.rows(SEARCH.hourly) == []
    assert place.rows(ENROLLMENT.hourly) == of_first_hour(reference.enrollment_hourly(hours))
    again = place.monitor().run("hourly", AS_OF)
    assert len(again.plan.steps) == len(STEPS) - 1
    assert_hours_are_right(place, hours)


def test_a_run_that_bigquery_leaves_in_the_middle_says_so_and_its_lease_ends_by_itself(
    place, proxy, hours, caplog
):
    # From the first step on nothing answers, not even for giving the lease back.
    everything = Fault(path="/jobs|/queries", count=MANY, **KINDS["503"])
    steps = insert_of("experiment_", action="call", act=lambda: proxy.add(everything))
    proxy.add(steps)
    monitor = place.monitor(proxy.url, retry_deadline=BRIEFLY)
    with pytest.raises(WarehouseError, match="BigQuery can't be reached"):
        monitor.run("hourly", AS_OF)
    assert any("lease is not given back" in record.message for record in caplog.records)
    ((holder,),) = place.sql("SELECT run_id FROM {derived}.expmon_lease_v1")
    assert holder is not None
    assert place.memo() == []
    # Half an hour later:
    place.sql("UPDATE {derived}.expmon_lease_v1 SET expires_at = CURRENT_TIMESTAMP() WHERE TRUE")
    place.monitor().run("hourly", AS_OF)
    assert_hours_are_right(place, hours)


def test_a_crash_before_the_memo_costs_a_rewrite_and_nothing_else(place, hours):
    monitor = place.monitor()

    def crash(_):
        raise RuntimeError("the machine is gone")

    monitor.warehouse._remember = crash
    with pytest.raises(RuntimeError, match="the machine is gone"):
        monitor.run("hourly", AS_OF)
    assert place.memo() == []
    assert place.rows(SEARCH.hourly) == of_first_hour(reference.search_hourly(hours))
    again = place.monitor().run("hourly", AS_OF)
    assert len(again.written) == len(STEPS)
    assert_hours_are_right(place, hours)
    assert place.written_by() == {step: 2 if step.endswith(FIRST_HOUR) else 1 for step in STEPS}


def test_a_deploy_through_failures_of_every_kind_finds_all_in_place(whole, hasty, proxy_of_whole):
    for table, fault in zip(DATASETS, itertools.cycle(KINDS.values()), strict=False):
        proxy_of_whole.add(Fault(method="GET", path=f"/tables/{table}", **fault))
    proxy_of_whole.add(Fault(method="GET", path="/datasets/telemetry", **KINDS["503"]))
    proxy_of_whole.add(replace(insert_of("lease_row"), action="lose"))
    assert whole.warehouse(proxy_of_whole.url).deploy() == []
    assert proxy_of_whole.left == []
