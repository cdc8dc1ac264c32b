"""From pings to messages: a split that goes wrong, and is mended."""

from __future__ import annotations

import contextlib
from datetime import date, timedelta

import pytest

import worlds
from expmon.errors import DeliveryError
from pings import event, event_ping
from playing import at
from worlds import describe

T = at("2021-01-25T12:02")
TICK = timedelta(minutes=5)
EVEN = [{"slug": "a", "ratio": 1}, {"slug": "b", "ratio": 1}]


@pytest.fixture
def world(tmp_path, warehouse_file):
    found = worlds.embedded(tmp_path, warehouse_file)
    with contextlib.closing(found.monitor):
        yield found


def enrollments(slug, branches, before):
    """A client after the other enrolls, in the window before a live run."""
    return [
        event_ping((before - TICK + n * timedelta(seconds=1)).isoformat(), event("enroll", slug, b))
        for n, b in enumerate(branches)
    ]


def test_a_split_that_goes_wrong_is_told_once_and_its_end_once(world):
    monitor, got = world.monitor, []
    start = date(2021, 1, 24)
    describe(
        world,
        *({"normandy_slug": s, "start_date": start, "branches": EVEN} for s in ("bad", "good")),
    )

    def play(run, bad, good):
        world.ingest([*enrollments("bad", bad, run), *enrollments("good", good, run)])
        monitor.run("live", run)
        for _ in range(2):
            monitor.alerts(run, deliver=got.append)

    play(T, "ab" * 10, "ab" * 10)
    assert got == []
    # Of a hundred clients, ninety are in one branch: an e-value of 10^14.
    play(T + TICK, "a" * 80, "ab" * 40)
    (started,) = got
    assert (started.kind, started.experiment, started.check) == ("started", "bad", "split")
    assert (started.branch, started.time, started.since) == ("a", T + TICK, T + TICK)
    assert "100 clients have enrolled; 90.0 % of them are in a, where" in started.sentence
    play(T + 2 * TICK, "ab", "ab")
    assert got == [started]

    # Who isn't there to hear that it is over hears it the next time.
    world.ingest(enrollments("bad", "b" * 80, T + 3 * TICK))
    monitor.run("live", T + 3 * TICK)

    def away(_):
        raise DeliveryError("here", "nobody is there", "Come back.")

    with pytest.raises(DeliveryError, match="nobody is there"):
        monitor.alerts(T + 3 * TICK, deliver=away)
    play(T + 4 * TICK, "ab", "ab")
    _, over = got
    assert (over.kind, over.key, over.time) == ("over", started.key, T + 3 * TICK)
    assert over.since == T + TICK
    assert over.id != started.id
    play(T + 5 * TICK, "ab", "ab")
    assert got == [started, over]
