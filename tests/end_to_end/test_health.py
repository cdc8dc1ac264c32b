"""An experiment whose split goes wrong and whose clients leave, looked at on each engine."""

from __future__ import annotations

import json
import math
from datetime import date

import pytest

import playing
from expmon.catalog.health import HEALTH, RATIOS
from expmon.health.checks import CHECKS
from pings import event, event_ping
from playing import at
from worlds import describe

RUN = at("2021-01-26T05:02")


def planned(**ratios):
    return [{"slug": branch, "ratio": ratio} for branch, ratio in ratios.items()]


def log_e(counts, planned_for, expected):
    """What a Dirichlet around the planned shares makes of counts, beside what is expected."""
    found = math.lgamma(100) - math.lgamma(100 + sum(counts))
    for count, share, null in zip(counts, planned_for, expected, strict=True):
        found += math.lgamma(100 * share + count) - math.lgamma(100 * share)
        found -= count * math.log(null)
    return found


@pytest.mark.slow
def test_what_is_wrong_is_told_kept_and_exported(world):
    monitor = world.monitor
    start = date(2021, 1, 25)
    describe(
        world,
        {"normandy_slug": "exp", "start_date": start, "branches": planned(a=3, b=1)},
        {"normandy_slug": "roll", "start_date": start, "type": "rollout", "branches": []},
    )
    moment = "2021-01-26T04:58:00Z"
    world.ingest(
        [
            event_ping("2021-01-26T04:50:00Z", *[event("enroll", "exp", "a")] * 60),
            event_ping("2021-01-26T04:50:00Z", *[event("enroll", "exp", "b")] * 60),
            event_ping(moment, *[event("enroll", "exp", None)] * 2),
            event_ping(moment, *[event("unenroll", "exp", "a")] * 30),
            event_ping(moment, *[event("unenroll", "exp", "b")] * 10),
            event_ping(moment, *[event("graduate", "exp", "b")] * 20),
        ]
    )
    monitor.run("live", RUN)
    report = monitor.health_active(RUN)
    found = {f.check: f for f in report.of("exp").findings}
    assert [f.check for f in report.of("roll").findings] == list(CHECKS)
    split, left, strangers = (found[name] for name in ("split", "unenrollment", "branches"))
    assert (split.verdict, split.onset) == ("alarm", at("2021-01-26T04:50"))
    assert split.log_e == pytest.approx(log_e((60, 60), (0.75, 0.25), (0.75, 0.25)))
    # In that window 60 of each were there, in whatever way they left.
    assert [(s.branch, s.value, s.expected) for s in left.shares] == [("a", 30, 20), ("b", 10, 20)]
    assert left.log_e == pytest.approx(log_e((30, 10), (0.75, 0.25), (0.5, 0.5)))
    assert (strangers.verdict, strangers.branch, strangers.value) == ("suspect", "null", 2)

    kept = playing.rows(monitor, HEALTH.name, "time", "experiment", "check_name", "log_e", "since")
    assert [row[:3] for row in kept] == sorted(
        (RUN, slug, check) for slug in ("exp", "roll") for check in CHECKS
    )
    (row,) = (row for row in kept if row[:3] == (RUN, "exp", "split"))
    assert row[3:] == (split.log_e, RUN)
    assert playing.rows(monitor, RATIOS.name) == [
        ("exp", RUN, RUN, "a", 3),
        ("exp", RUN, RUN, "b", 1),
    ]
    monitor.export_active(RUN)
    exported = json.loads(world.files()["exp_health.json"])
    assert {r["check"]: r["log_e"] for r in exported} == {
        check: finding.log_e for check, finding in found.items()
    }
