"""Alerts on BigQuery: the same statements, and a lease that outlives no delivery."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from alerting import live_run
from expmon.catalog.alerts import ALERTS
from expmon.catalog.bookkeeping import LEASE, PARTITIONS
from expmon.catalog.health import HEALTH
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import DeliveryError, WarehouseLocked
from playing import at

pytestmark = pytest.mark.enable_socket
T = at("2021-01-26T12:00")
TICK = timedelta(minutes=5)
ALARM, OK = ("exp", "split", "alarm"), ("exp", "split", "ok")


@pytest.fixture
def place(new_place, server, hasty, monkeypatch):
    """What live runs found, the metadata, the messages, and the bookkeeping."""
    # A warehouse is closed while messages are delivered, and opened anew.
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.rest_url)
    monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", server.grpc_target)
    made = new_place(server)
    made.put(EXPERIMENTS, HEALTH, ALERTS, PARTITIONS, LEASE)
    return made


def test_each_start_and_each_end_is_one_message_whatever_fails_on_the_way(place):
    monitor, other, got = place.monitor(), place.monitor(), []
    start = {"normandy_slug": "young", "start_date": date(2021, 1, 26)}
    monitor.warehouse.load(EXPERIMENTS, [start], key="normandy_slug")
    young = ("young", "split", "alarm")

    live_run(monitor, at("2021-01-26T05:00"), ALARM, young)
    assert [m.experiment for m in monitor.alerts(at("2021-01-26T05:00"), dry_run=True).waiting] == [
        "exp"
    ]

    def looking(message):
        # Meanwhile the lease is free, and another one leaves the message alone.
        assert other.alerts(at("2021-01-26T05:00"), deliver=got.append).waiting == (message,)
        got.append(message)

    monitor.alerts(at("2021-01-26T05:00"), deliver=looking)
    assert [(m.kind, m.experiment) for m in got] == [("started", "exp")]
    jobs = len(place.jobs("expmon-experiment_alerts"))
    assert monitor.alerts(at("2021-01-26T05:00"), deliver=got.append).delivered == ()
    assert len(place.jobs("expmon-experiment_alerts")) == jobs

    def away(message):
        raise DeliveryError("here", "nobody is there", "Come back.")

    live_run(monitor, T, OK, young)
    live_run(monitor, T + TICK, ALARM, young)
    with pytest.raises(DeliveryError):
        monitor.alerts(T + TICK, deliver=away)
    live_run(monitor, T + 2 * TICK, OK)
    monitor.alerts(T + 2 * TICK, deliver=got.append)
    assert [(m.kind, m.experiment, m.time) for m in got[1:]] == [
        ("over", "exp", T),
        ("started", "young", T),
        ("started", "exp", T + TICK),
        ("over", "exp", T + 2 * TICK),
        ("over", "young", T + 2 * TICK),
    ]
    assert len({m.id for m in got}) == 6
    assert monitor.alerts(T + 2 * TICK, deliver=got.append).delivered == ()
    with other.warehouse.lease(timedelta(0)), pytest.raises(WarehouseLocked):
        monitor.alerts(T + 2 * TICK, deliver=got.append)
