"""One run at a time: the lease is one row of a table, by BigQuery's own clock."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from emulators.proxy import Fault
from expmon.catalog import TIERS
from expmon.catalog.bookkeeping import LEASE, PARTITIONS
from expmon.errors import NotDeployed, WarehouseLocked
from expmon.materialize.run import SharedRun, run
from expmon.materialize.step import Plan, step
from expmon.statements import bookkeeping
from expmon.windows import Partition
from playing import at

pytestmark = pytest.mark.enable_socket

NO_WAIT = timedelta(0)
AS_OF = at("2021-01-26T02:30")


@pytest.fixture
def own(new_place, server, hasty):
    """A project with the tables of the bookkeeping alone."""
    made = new_place(server)
    made.put(PARTITIONS, LEASE)
    return made


def holder(place):
    """Who has the lease, and for how many seconds more by BigQuery's clock."""
    (row,) = place.sql(
        "SELECT run_id, TIMESTAMP_DIFF(expires_at, CURRENT_TIMESTAMP(), SECOND) "
        "FROM {derived}.expmon_lease_v1"
    )
    return row


def steal(place, name="somebody-else", minutes=10):
    place.sql(
        f"UPDATE {{derived}}.expmon_lease_v1 SET run_id = '{name}', expires_at = "
        f"TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {minutes} MINUTE) WHERE TRUE"
    )


def test_a_second_run_is_told_who_has_the_lease_and_until_when(place):
    first, second = place.warehouse(), place.warehouse()
    with first.lease(NO_WAIT):
        run_id, seconds = holder(place)
        # For two jobs, one after the other, and five minutes more.
        assert 24 * 60 < seconds <= 25 * 60
        with (
            pytest.raises(WarehouseLocked, match=f"another run \\({run_id}\\)") as caught,
            second.lease(NO_WAIT),
        ):
            pass
        assert "telemetry_derived" in str(caught.value)
        (told,) = re.findall(r"until (\S+ \S+) UTC at the latest", str(caught.value))
        until = datetime.fromisoformat(told).replace(tzinfo=UTC)
        assert abs(until - datetime.now(UTC) - timedelta(minutes=25)) < timedelta(minutes=1)
        assert holder(place)[0] == run_id
    assert holder(place) == (None, None)
    with second.lease(NO_WAIT):
        assert holder(place)[0] not in {None, run_id}


def test_a_second_run_waits_for_the_first_as_long_as_asked(place, monkeypatch):
    monkeypatch.setattr("expmon.warehouse.bigquery._LEASE_PAUSE", 0.05)
    taken, end, ended = threading.Event(), threading.Event(), []

    def first():
        with place.warehouse().lease(NO_WAIT):
            taken.set()
            assert end.wait(60)
            ended.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert taken.wait(60)
        second = place.warehouse()
        began = time.monotonic()
        with pytest.raises(WarehouseLocked), second.lease(timedelta(seconds=1)):
            pass
        assert time.monotonic() - began >= 1
        end.set()
        with second.lease(timedelta(seconds=60)):
            ended.append("second")
    finally:
        end.set()
        thread.join()
    assert ended == ["first", "second"]


def test_a_run_that_fails_gives_the_lease_back(place):
    with pytest.raises(ZeroDivisionError), place.warehouse().lease(NO_WAIT):
        _ = 1 / 0
    assert holder(place) == (None, None)


def test_a_lease_that_has_expired_is_taken_and_its_former_owner_frees_nothing(place):
    steal(place, "a-run-that-died", minutes=-1)
    warehouse = place.warehouse()
    with warehouse.lease(NO_WAIT):
        mine, _ = holder(place)
        assert mine != "a-run-that-died"
        steal(place, "a-younger-run")
    # That run's hold is its own: the one that lost it doesn't take it away.
    assert holder(place)[0] == "a-younger-run"


@pytest.mark.parametrize("minutes", [0, 1])
def test_a_lease_counts_until_its_very_end(place, minutes):
    steal(place, minutes=minutes)
    warehouse = place.warehouse()
    if minutes:
        with pytest.raises(WarehouseLocked, match="somebody-else"), warehouse.lease(NO_WAIT):
            pass
    else:
        with warehouse.lease(NO_WAIT):
            assert holder(place)[0] != "somebody-else"


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_clock_of_this_machine_has_no_say_in_who_has_the_lease(place, skew_clock, hours):
    skew_clock(hours)
    steal(place, minutes=10)
    warehouse = place.warehouse()
    with pytest.raises(WarehouseLocked, match="somebody-else"), warehouse.lease(NO_WAIT):
        pass
    steal(place, minutes=-1)
    with warehouse.lease(NO_WAIT):
        assert holder(place)[0] != "somebody-else"


def test_of_many_that_want_the_lease_at_once_one_gets_it(place):
    barrier, done = threading.Barrier(4), threading.Barrier(4)
    warehouses = [place.warehouse() for _ in range(4)]

    def take(warehouse):
        barrier.wait(60)
        try:
            with warehouse.lease(NO_WAIT):
                done.wait(120)
                return True
        except WarehouseLocked:
            done.wait(120)
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(take, warehouses)) == [False, False, False, True]
    assert holder(place) == (None, None)


def test_without_its_row_there_is_nothing_to_take(own):
    own.sql("DELETE FROM {derived}.expmon_lease_v1 WHERE TRUE")
    warehouse = own.warehouse()
    with (
        pytest.raises(NotDeployed, match="its one row is missing") as caught,
        warehouse.lease(NO_WAIT),
    ):
        pass
    assert caught.value.relation == LEASE.name
    warehouse._jobs.run(bookkeeping.lease_row(own.names), {})
    with warehouse.lease(NO_WAIT):
        assert holder(own)[0]


def test_without_its_table_deploy_is_what_to_do(own):
    own.google.delete_table(str(own.names.of(LEASE)))
    with (
        pytest.raises(NotDeployed, match="expmon deploy"),
        own.warehouse().lease(NO_WAIT),
    ):
        pass


def test_the_answer_that_says_it_was_taken_may_be_lost(place, proxy):
    """The lease is one's own then: asking again finds the job that has taken it."""
    lost = Fault(method="POST", path="/jobs", content=b"take_lease", action="lose", count=2)
    proxy.add(lost)
    with place.warehouse(proxy.url).lease(NO_WAIT):
        assert holder(place)[0] is not None
    assert proxy.left == []
    assert len(place.jobs("expmon-take_lease")) == 1


def plan_of(place, hours):
    """A plan that writes some hours of one table."""
    steps = [
        step(
            TIERS[0].hourly,
            Partition.of_hour(at(f"2021-01-26T{hour:02}:00")),
            AS_OF,
            names=place.names,
            reason="missing",
        )
        for hour in hours
    ]
    return Plan("hourly", AS_OF, tuple(steps))


def test_the_tasks_of_a_run_share_its_lease_from_the_first_to_the_last(place):
    def task(run_id="expmon_hourly/1"):
        return SharedRun(place.warehouse(), lambda _: plan_of(place, [0, 1]), run_id, NO_WAIT)

    table = TIERS[0].hourly
    task().plan()
    assert holder(place)[0] == "expmon_hourly/1"
    with pytest.raises(WarehouseLocked, match="expmon_hourly/1"):
        task("expmon_daily/1").plan()
    with pytest.raises(WarehouseLocked, match="expmon_hourly/1"), place.warehouse().lease(NO_WAIT):
        pass
    for hour in ("00", "01"):
        task().write(table.name, f"20210126{hour}")
        assert holder(place)[0] == "expmon_hourly/1"
    task("expmon_daily/1").end()  # nobody ends another's run
    assert holder(place)[0] == "expmon_hourly/1"
    task().end()
    assert holder(place) == (None, None)
    assert place.memo() == [f"{table.table}$2021012600", f"{table.table}$2021012601"]


def test_a_task_that_comes_again_starts_jobs_of_its_own(place):
    table = TIERS[0].hourly
    for _ in range(2):
        plan = plan_of(place, [0])
        shared = SharedRun(place.warehouse(), lambda _, plan=plan: plan, "one", NO_WAIT)
        assert len(shared.write(table.name, "2021012600").written) == 1
    assert place.written_by() == {f"{table.table}-2021012600": 2}


def test_the_lease_is_made_longer_before_it_could_end_within_a_level(place, monkeypatch):
    warehouse = place.warehouse()
    with warehouse.lease(NO_WAIT):
        run_id, _ = holder(place)
        place.sql(
            "UPDATE {derived}.expmon_lease_v1 SET expires_at = "
            "TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 19 MINUTE) WHERE TRUE"
        )
        # Nineteen minutes are left by this machine's clock, too; two jobs may take twenty.
        warehouse._lease = replace(warehouse._lease, until=time.monotonic() + 19 * 60)
        plan = plan_of(place, [0])
        assert len(list(warehouse.write(s.write for s in plan.steps))) == 1
        again, seconds = holder(place)
    assert again == run_id
    assert seconds > 24 * 60


def test_a_run_whose_lease_was_taken_over_stops_before_its_next_level(place, monkeypatch):
    # A lease so short that each level has to make it longer first.
    monkeypatch.setattr("expmon.warehouse.bigquery._MARGIN", timedelta(0))
    monkeypatch.setattr("expmon.materialize.run.levels", lambda steps: [[s] for s in steps])
    begun = []

    def before(next_step):
        begun.append(next_step.partition.id)
        if len(begun) == 2:
            steal(place)

    with pytest.raises(WarehouseLocked, match="somebody-else"):
        run(
            place.warehouse(),
            lambda _: plan_of(place, [0, 1, 2]),
            wait=NO_WAIT,
            before=before,
        )
    assert begun == ["2021012600", "2021012601"]
    table = TIERS[0].hourly.table
    assert place.memo() == [f"{table}$2021012600"]
    assert place.written_by() == {f"{table}-2021012600": 1}
    assert holder(place)[0] == "somebody-else"


def test_a_run_whose_lease_was_taken_over_starts_no_further_job_of_a_long_level(
    place, proxy, monkeypatch
):
    monkeypatch.setattr("expmon.warehouse.bigquery._MARGIN", timedelta(0))
    table = TIERS[0].hourly.table
    proxy.add(
        Fault(
            method="POST",
            path="/jobs",
            content=f"{table}-2021012601".encode(),
            action="call",
            act=lambda: steal(place),
        )
    )
    plan = plan_of(place, [0, 1, 2])
    with pytest.raises(WarehouseLocked, match="somebody-else"):
        run(place.warehouse(proxy.url, parallel_jobs=1), lambda _: plan, wait=NO_WAIT)
    assert place.written_by() == {f"{table}-202101260{hour}": 1 for hour in (0, 1)}
    # What was written is remembered all the same.
    assert place.memo() == [f"{table}$202101260{hour}" for hour in (0, 1)]
