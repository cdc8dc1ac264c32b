from __future__ import annotations

import contextlib
import json
import random
import threading
from datetime import UTC, date, datetime, timedelta

import pytest

import expmon
import playing
import receiving
from alerting import live_run
from expmon.catalog.alerts import ALERTS
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import DeliveryError, InvalidTime, NotDeployed, WarehouseLocked
from expmon.health.alerts import Standing, messages
from expmon.health.finding import Verdict
from expmon.health.outbox import Outbox
from playing import at

T = at("2021-01-26T12:00")
TICK = timedelta(minutes=5)
NO_WAIT = timedelta(0)
ALARM, OK, UNKNOWN = (("exp", "split", v) for v in ("alarm", "ok", "not enough data"))


class Receiver:
    """Keeps what it is given; refuses all but the first so many of it."""

    def __init__(self, most=1000):
        self.most, self.got = most, []

    def __call__(self, message):
        if len(self.got) == self.most:
            raise DeliveryError("here", "enough", "Go away.")
        self.got.append(message)

    @property
    def said(self):
        return [(m.kind, m.experiment, m.check, m.time) for m in self.got]


@pytest.fixture
def receiver():
    return Receiver()


def outbox(monitor, as_of, clock=None):
    return Outbox(monitor.warehouse, monitor.settings, as_of, **({"clock": clock} if clock else {}))


def kept(monitor):
    """Of each message of the table: its kind, its time, whether it is claimed, and delivered."""
    columns = "time", "kind", "claimed_until", "delivered_at"
    rows = playing.rows(monitor, ALERTS.name, *columns)
    return [(kind, time, bool(claim), bool(done)) for time, kind, claim, done in rows]


def test_over_many_runs_each_start_and_end_is_one_message(monitor, receiver):
    for n in range(10):
        verdict = ALARM if 2 <= n < 5 or n >= 7 else OK
        live_run(monitor, T + n * TICK, verdict, ("other", "failures", "ok"))
        for _ in range(2):
            monitor.alerts(T + n * TICK, deliver=receiver)
    assert receiver.said == [
        ("started", "exp", "split", T + 2 * TICK),
        ("over", "exp", "split", T + 5 * TICK),
        ("started", "exp", "split", T + 7 * TICK),
    ]


def test_live_runs_that_were_not_looked_at_one_by_one_are_told_all_the_same(monitor, receiver):
    live_run(monitor, T, OK)
    monitor.alerts(T, deliver=receiver)
    for n, verdict in enumerate([OK, ALARM, UNKNOWN, ALARM, OK, ALARM], start=1):
        live_run(monitor, T + n * TICK, verdict)
    done = monitor.alerts(T + timedelta(days=6), deliver=receiver)
    assert receiver.said == [
        ("started", "exp", "split", T + 2 * TICK),
        ("over", "exp", "split", T + 5 * TICK),
        ("started", "exp", "split", T + 6 * TICK),
    ]
    assert (done.delivered, done.waiting) == (tuple(receiver.got), ())


def test_the_first_time_only_what_is_so_now_is_told(monitor, receiver):
    live_run(monitor, T - timedelta(hours=2), ALARM)
    live_run(monitor, T - timedelta(hours=1), OK, ("other", "split", "alarm"))
    live_run(monitor, T, OK, ("other", "split", "alarm"), since=T - timedelta(hours=1))
    monitor.alerts(T + TICK, deliver=receiver)
    assert receiver.said == [("started", "other", "split", T)]
    assert receiver.got[0].since == T - timedelta(hours=1)


def test_after_a_long_pause_what_is_open_is_over_and_old_alarms_are_not_told(monitor, receiver):
    live_run(monitor, T, ALARM)
    monitor.alerts(T, deliver=receiver)
    live_run(monitor, T + TICK, OK)
    live_run(monitor, T + 2 * TICK, ALARM, ("other", "split", "alarm"))
    later = T + timedelta(days=8)
    live_run(monitor, later, OK, ("other", "split", "ok"))
    monitor.alerts(later, deliver=receiver)
    assert receiver.said == [("started", "exp", "split", T), ("over", "exp", "split", later)]


def test_an_experiment_that_is_no_longer_reported_ends_its_alarm(monitor, receiver):
    live_run(monitor, T, ALARM, ("", "freshness", "alarm"), ("other", "split", "ok"))
    monitor.alerts(T, deliver=receiver)
    live_run(monitor, T + TICK, ("other", "split", "ok"))
    live_run(monitor, T + 2 * TICK, ("other", "split", "ok"))
    monitor.alerts(T + 2 * TICK, deliver=receiver)
    assert receiver.said[2:] == [
        ("over", "", "freshness", T + TICK),
        ("over", "exp", "split", T + TICK),
    ]


def test_so_does_one_after_which_nothing_is_reported_at_all(monitor, receiver):
    live_run(monitor, T, ALARM)
    monitor.alerts(T, deliver=receiver)
    live_run(monitor, T + TICK)
    monitor.alerts(T + 2 * TICK, deliver=receiver)
    assert receiver.said[1:] == [("over", "exp", "split", T + TICK)]


def test_new_experiments_are_held_back_by_their_start(monitor, receiver):
    start = date(2021, 1, 26)
    monitor.warehouse.load(EXPERIMENTS, [{"normandy_slug": "exp", "start_date": start}])
    for hour in range(3, 8):
        live_run(monitor, at(f"2021-01-26T0{hour}:00"), ALARM, ("old", "split", "alarm"))
        monitor.alerts(at(f"2021-01-26T0{hour}:01"), deliver=receiver)
    assert receiver.said == [
        ("started", "old", "split", at("2021-01-26T03:00")),
        ("started", "exp", "split", at("2021-01-26T06:00")),
    ]


def test_what_is_muted_by_the_configuration_is_not_told(warehouse_file, receiver):
    muted = {"health.muted": "exp:split"}
    with expmon.connect(f"duckdb://{warehouse_file}", settings=muted) as monitor:
        live_run(monitor, T, ALARM, ("exp", "failures", "alarm"), ("other", "split", "alarm"))
        monitor.alerts(T, deliver=receiver)
    assert [said[1:3] for said in receiver.said] == [("exp", "failures"), ("other", "split")]


def test_a_dry_run_tells_what_would_be_delivered_and_changes_nothing(monitor, receiver):
    live_run(monitor, T, ALARM)
    first, second = (monitor.alerts(T, dry_run=True) for _ in range(2))
    assert first == second
    assert [m.kind for m in first.waiting] == ["started"]
    assert kept(monitor) == []
    assert monitor.alerts(T, deliver=receiver).delivered == first.waiting


def test_what_cannot_be_delivered_waits_and_those_after_it_in_order(monitor):
    live_run(monitor, T, ALARM, ("other", "split", "alarm"))
    picky = Receiver(most=1)
    with pytest.raises(DeliveryError, match="enough"):
        monitor.alerts(T, deliver=picky)
    assert kept(monitor) == [("started", T, False, False), ("started", T, False, True)]
    live_run(monitor, T + TICK, OK, ("other", "split", "ok"))
    with pytest.raises(DeliveryError):
        monitor.alerts(T + TICK, deliver=picky)
    patient = Receiver()
    done = monitor.alerts(T + TICK, deliver=patient)
    assert picky.said + patient.said == [
        ("started", "exp", "split", T),
        ("started", "other", "split", T),
        ("over", "exp", "split", T + TICK),
        ("over", "other", "split", T + TICK),
    ]
    assert done.delivered == tuple(patient.got)
    assert [row[2:] for row in kept(monitor)] == [(False, True)] * 4
    assert monitor.alerts(T + TICK, deliver=patient).delivered == ()


def test_any_error_of_the_receiver_keeps_what_it_took_and_what_it_did_not(monitor):
    live_run(monitor, T, ALARM, ("other", "split", "alarm"))
    got = []

    def fails(message):
        if got:
            raise KeyboardInterrupt
        got.append(message)

    with pytest.raises(KeyboardInterrupt):
        monitor.alerts(T, deliver=fails)
    patient = Receiver()
    monitor.alerts(T, deliver=patient)
    assert [m.experiment for m in (*got, *patient.got)] == ["exp", "other"]


def test_while_one_delivers_another_leaves_the_messages_alone_and_keeps_new_ones(warehouse_file):
    url = f"duckdb://{warehouse_file}"
    outer, inner = Receiver(), Receiver()
    with expmon.connect(url) as monitor, expmon.connect(url) as other:
        live_run(monitor, T, ALARM)

        def slow(message):
            # The file is free meanwhile, for live runs, too.
            live_run(other, T + TICK, OK)
            done = other.alerts(T + TICK, deliver=inner)
            assert [m.kind for m in done.waiting] == ["started", "over"]
            outer(message)

        done = monitor.alerts(T, deliver=slow)
        assert [m.kind for m in done.delivered] == ["started"]
        assert (len(outer.got), inner.got) == (1, [])
        monitor.alerts(T + TICK, deliver=inner)
        assert [m.kind for m in inner.got] == ["over"]


def test_of_many_at_once_one_delivers(warehouse_file):
    url, got = f"duckdb://{warehouse_file}", Receiver()
    with expmon.connect(url) as monitor:
        live_run(monitor, T, ALARM, ("other", "split", "alarm"))

    def alerts():
        with expmon.connect(url) as monitor:
            monitor.alerts(T, deliver=got, wait=timedelta(seconds=60))

    threads = [threading.Thread(target=alerts) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got.said == [("started", "exp", "split", T), ("started", "other", "split", T)]


def test_a_claim_ends_if_its_process_is_gone(monitor, receiver, monkeypatch):
    live_run(monitor, T, ALARM)
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def gone(message):
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "_mark", lambda *_: None)  # as if it were killed
        with pytest.raises(SystemExit):
            outbox(monitor, T, lambda: now).send(gone, NO_WAIT)
    assert kept(monitor) == [("started", T, True, False)]
    for minutes, expected in ((9, 0), (11, 1)):
        later = outbox(monitor, T, lambda m=minutes: now + timedelta(minutes=m))
        assert len(later.send(receiver, NO_WAIT).delivered) == expected


def test_what_was_delivered_and_could_not_be_marked_comes_again_with_its_id(
    warehouse_file, receiver, monkeypatch, caplog
):
    url = f"duckdb://{warehouse_file}"
    monkeypatch.setattr("expmon.health.outbox.MARKING", NO_WAIT)
    with expmon.connect(url) as monitor, expmon.connect(url) as other:
        live_run(monitor, T, ALARM)
        with contextlib.ExitStack() as stack:

            def blocking(message):
                receiver(message)
                stack.enter_context(other.warehouse.lease(NO_WAIT))

            with pytest.raises(WarehouseLocked):
                monitor.alerts(T, deliver=blocking)
        assert "1 alerts that were delivered could not be marked: they come again" in caplog.text
        later = outbox(monitor, T, lambda: datetime.now(UTC) + timedelta(minutes=11))
        later.send(receiver, NO_WAIT)
    first, again = receiver.got
    assert first == again


def test_of_many_messages_those_delivered_are_marked_on_the_way(monitor, monkeypatch):
    monkeypatch.setattr("expmon.health.outbox._MARKED_EVERY", -1.0)
    live_run(monitor, T, ALARM, ("other", "split", "alarm"))
    seen = []
    monitor.alerts(T, deliver=lambda _: seen.append([done for *_, done in kept(monitor)]))
    assert seen == [[False, False], [True, False]]


def test_what_there_is_no_time_for_is_left_for_the_next(monitor, receiver, monkeypatch):
    live_run(monitor, T, ALARM)
    with monkeypatch.context() as patched:
        patched.setattr("expmon.health.outbox.DELIVERING", NO_WAIT)
        done = monitor.alerts(T, deliver=receiver)
    assert ([m.kind for m in done.waiting], done.delivered) == (["started"], ())
    assert monitor.alerts(T, deliver=receiver).delivered == done.waiting


@pytest.mark.parametrize("seed", [1, 2])
def test_whenever_one_looks_and_whatever_fails_the_same_is_told_in_order(monitor, seed):
    rng, got, all_standings = random.Random(seed), [], []
    keys = [("exp", "split"), ("exp", "failures"), ("", "freshness")]

    def shaky(message):
        if rng.random() < 0.4:
            raise DeliveryError("here", "bad luck", "Try again.")
        got.append(message)

    for n in range(11):
        time, found = T + n * TICK, []
        for key in keys:
            verdict = rng.choice([*["alarm", "ok"] * 3, "suspect", "not enough data", None])
            known = None if verdict is None else Verdict(verdict)
            told = {} if known is None else found_by_live_run(time, key, verdict)
            all_standings.append(Standing(time, *key, known, **told))
            found += [] if verdict is None else [(*key, verdict)]
        live_run(monitor, time, *found)
        for _ in range(rng.choice([0, 0, 1, 2])):
            with contextlib.suppress(DeliveryError):
                monitor.alerts(time, deliver=shaky)
    monitor.alerts(time, deliver=got.append)
    assert got == messages(all_standings, {}, monitor.settings.health)
    assert len(got) > 5


def found_by_live_run(time, key, verdict):
    """What `live_run` lets be found."""
    is_alarm = verdict == "alarm"
    return {
        "branch": "treatment" if is_alarm else "",
        "since": time,
        "sentence": f"{key[1]} is {verdict}.",
        "action": "Look." if is_alarm else "",
    }


def test_old_messages_go_but_not_what_is_open_or_waits(monitor, receiver):
    live_run(monitor, T, ALARM, ("other", "split", "alarm"))
    monitor.alerts(T, deliver=receiver)
    live_run(monitor, T + TICK, OK, ("other", "split", "alarm"))
    with pytest.raises(DeliveryError):
        monitor.alerts(T + TICK, deliver=Receiver(most=0))
    later = T + timedelta(days=91)
    live_run(monitor, later, ALARM, ("other", "split", "alarm"), ("third", "split", "alarm"))
    monitor.alerts(later, deliver=receiver)
    assert kept(monitor) == [
        ("started", T, False, True),
        ("started", later, False, True),
        ("started", later, False, True),
    ]
    live_run(monitor, later + TICK, OK, ("other", "split", "ok"), ("third", "split", "alarm"))
    monitor.alerts(later + TICK, deliver=receiver)
    assert [(row[0], row[1]) for row in kept(monitor)] == [
        ("started", later),
        ("started", later),
        ("over", later + TICK),
        ("over", later + TICK),
    ]


def test_where_nothing_changes_nothing_is_written_but_once_an_hour(monitor, receiver):
    for n in range(15):
        live_run(monitor, T + n * TICK, OK)
        monitor.alerts(T + n * TICK, deliver=receiver)
    memo = "telemetry_derived.expmon_partitions_v1"
    (looked,) = [
        as_of
        for name, as_of in playing.rows(monitor, memo, "relation", "as_of")
        if name == ALERTS.name
    ]
    assert looked == T + 13 * TICK
    assert receiver.got == []


def test_looking_from_an_earlier_moment_again_tells_nothing(monitor, receiver):
    live_run(monitor, T, ALARM)
    live_run(monitor, T + TICK, OK)
    monitor.alerts(T + TICK, deliver=receiver)
    assert monitor.alerts(T, deliver=receiver).delivered == ()
    assert len(receiver.got) == 2


def test_names_are_data_whatever_they_look_like(monitor, receiver):
    names = ["a'b", 'a"b', "a:b", "a\nb", "", "ünï", "a;--"]
    live_run(monitor, T, *((name, "split", "alarm") for name in names))
    monitor.alerts(T, deliver=receiver)
    assert sorted(m.experiment for m in receiver.got) == sorted(names)
    live_run(monitor, T + TICK, *((name, "split", "ok") for name in names))
    monitor.alerts(T + TICK, deliver=receiver)
    assert [m.kind for m in receiver.got[len(names) :]] == ["over"] * len(names)


def test_a_run_that_is_on_is_not_disturbed(monitor, warehouse_file, receiver):
    with (
        expmon.connect(f"duckdb://{warehouse_file}") as other,
        other.warehouse.lease(NO_WAIT),
        pytest.raises(WarehouseLocked),
    ):
        monitor.alerts(T, deliver=receiver)


def test_what_makes_no_sense_is_refused(monitor, tmp_path):
    with pytest.raises(InvalidTime):
        monitor.alerts(datetime(2021, 1, 26))  # noqa: DTZ001 - that's the point
    with expmon.connect(f"duckdb://{tmp_path}/gone.duckdb") as gone, pytest.raises(NotDeployed):
        gone.alerts(T)


@pytest.mark.enable_socket
def test_a_webhook_that_fails_and_recovers_gets_each_message_in_order(warehouse_file):
    with receiving.webhook() as hook:
        to = {"alerts.to": hook.url}
        with expmon.connect(f"duckdb://{warehouse_file}", settings=to) as monitor:
            live_run(monitor, T, ALARM, ("other", "split", "alarm"))
            hook.answers = [receiving.status(500), receiving.status(200), receiving.status(403)]
            with pytest.raises(DeliveryError, match="answered 403"):
                monitor.alerts(T)
            hook.answers = [receiving.close]
            assert len(monitor.alerts(T).delivered) == 1
            assert monitor.alerts(T).delivered == ()
    experiments = [request.body["experiment"] for request in hook.requests]
    assert experiments == ["exp", "exp", "other", "other", "other"]
    assert len(set(hook.ids)) == 2


def test_a_file_gets_them_as_the_configuration_says(warehouse_file, tmp_path):
    file = tmp_path / "alerts.jsonl"
    to = {"alerts.to": str(file)}
    with expmon.connect(f"duckdb://{warehouse_file}", settings=to) as monitor:
        live_run(monitor, T, ALARM)
        (message,) = monitor.alerts(T).delivered
    assert json.loads(file.read_text()) == message.to_dict()
