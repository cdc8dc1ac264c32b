"""History judged in Python, beside what the queries of a live report give at the same moment."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from datetime import date, timedelta

import pytest

import worlds
from expmon.catalog.health import EVENTS
from expmon.errors import InvalidInput, InvalidSlug, InvalidTime
from expmon.health import assess
from expmon.health.assess import Reading
from expmon.health.observed import Experiment
from expmon.health.replay import History, _histories, _looked_at
from pings import event, event_ping
from playing import at
from worlds import describe

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START, END = at("2021-01-24T00:00"), at("2021-01-26T05:00")
METHODS = (
    *["enroll"] * 8,
    *["unenroll"] * 4,
    *("graduate", "update", "enrollFailed", "unenrollFailed", "updateFailed", "validationFailed"),
)
EVEN = [{"slug": "a", "ratio": 1}, {"slug": "b", "ratio": 1}, {"slug": "gone", "ratio": 0}]
UNEVEN = [{"slug": "a", "ratio": 1}, {"slug": "b", "ratio": 3}]


def experiments(ramped):
    began = {"start_date": date(2021, 1, 24)}
    return [
        {"normandy_slug": "ramped", "branches": ramped, **began},
        {"normandy_slug": "over", "branches": EVEN, **began, "end_date": date(2021, 1, 24)},
        {"normandy_slug": "late", "branches": UNEVEN, "start_date": date(2021, 1, 26)},
        {"normandy_slug": "roll", "branches": EVEN[:1], "type": "rollout", **began},
        {"normandy_slug": "quiet", "branches": EVEN, **began},
    ]


@pytest.fixture(scope="module")
def monitor(tmp_path_factory, deployed_file):
    folder = tmp_path_factory.mktemp("history")
    file = folder / "monitoring.duckdb"
    file.write_bytes(deployed_file.read_bytes())
    world = worlds.embedded(folder, file)
    chance = random.Random(7)
    with contextlib.closing(world.monitor) as monitor:
        describe(world, *experiments(EVEN))
        now = START
        while now < END:
            world.ingest(
                event_ping(
                    (now + chance.random() * HOUR).isoformat(),
                    *(
                        event(
                            chance.choice(METHODS),
                            chance.choice(["ramped", "ramped", "over", "late", "roll"]),
                            chance.choice(["a", "a", "b", "gone", None]),
                        )
                        for _ in range(chance.randint(1, 4))
                    ),
                )
                for _ in range(12)
            )
            now += HOUR
            if now == at("2021-01-25T03:00"):
                describe(world, *experiments(UNEVEN))
            if now.hour % 6 == 3:
                for cadence in ("daily", "hourly", "live"):
                    monitor.run(cadence, now)
        monitor.run("live", END)
        yield monitor


def as_plain(observed):
    """What was observed, but for the feed and searches, floats to a tolerance."""
    return {
        "experiment": observed.experiment,
        "as_of": observed.as_of,
        "between": observed.between,
        "hours": observed.hours,
        "last_window": observed.last_window,
        "phases": [
            (
                phase.start,
                phase.finish,
                phase.ratios,
                {
                    branch: (
                        replace(counts, expected=0.0, log_null=0.0),
                        pytest.approx(counts.expected, rel=1e-9, abs=1e-9),
                        pytest.approx(counts.log_null, rel=1e-9, abs=1e-9),
                    )
                    for branch, counts in phase.counts.items()
                },
            )
            for phase in observed.phases
        ],
    }


@pytest.mark.parametrize("hours", [1, 7, 26.25, 28, 51, 51.5, 53])
def test_a_moment_of_history_is_what_a_live_report_would_have_seen(monitor, hours):
    settings = replace(
        monitor.settings, health=replace(monitor.settings.health, settling=timedelta(hours=9))
    )
    moment = START + hours * HOUR
    live = Reading(monitor.warehouse, settings, moment).observed(None)
    whole = Reading(monitor.warehouse, settings, END)
    histories = _histories(whole, _looked_at(whole, START, None))
    then = [h.observed(moment, settings, None) for h in histories if h.is_active(moment)]
    plain = [as_plain(one) for one in live]
    for one, other in zip(then, plain, strict=True):
        assert as_plain(one) == other
    assert any(counts.compared for one in live for p in one.phases for counts in p.counts.values())


def test_the_history_has_what_makes_the_comparison_hard(monitor):
    """Several phases, something between them, and unenrollments that are compared in each."""
    settings = replace(
        monitor.settings, health=replace(monitor.settings.health, settling=timedelta(hours=9))
    )
    seen = {o.experiment.slug: o for o in Reading(monitor.warehouse, settings, END).observed(None)}
    ramped = seen["ramped"]
    assert [dict(phase.ratios) for phase in ramped.phases] == [{"a": 1, "b": 1}, {"a": 1, "b": 3}]
    # The live run of 21:00 was the last to see the old ratios; that of 03:00 first saw the new.
    assert [phase.finish for phase in ramped.phases] == [at("2021-01-24T21:00"), END]
    assert ramped.phases[1].start == at("2021-01-25T12:00")
    assert all(getattr(ramped.between, name) for name in EVENTS)
    assert all(p.counts[b].compared > 3 for p in ramped.phases for b in p.ratios)
    assert {"gone", "null"} <= ramped.phases[0].counts.keys()
    assert not seen["roll"].phases
    assert not seen["quiet"].hours


def test_the_same_alarms_come_out_as_the_reports_had_at_each_moment(monitor):
    settings = monitor.settings
    every = 6 * HOUR
    found = monitor.replay(START, END, every=every)
    raised = {(m.experiment, m.check, m.time) for m in found if m.kind == "started"}
    expected, open_ = set(), set()
    moment = START
    while moment <= END:
        report = assess.report(monitor.warehouse, settings, moment)
        now = {(f.experiment, f.check): f.verdict.value for f in report.findings}
        for key, verdict in now.items():
            is_held = key[0] and moment < START + 6 * HOUR
            if verdict == "alarm" and key not in open_ and not is_held:
                expected.add((*key, moment))
                open_.add(key)
            elif verdict in {"ok", "not applicable"}:
                open_.discard(key)
        moment += every
    assert raised == expected
    assert any(slug == "quiet" for slug, _, _ in raised)


def test_bad_arguments_are_refused(monitor):
    with pytest.raises(InvalidTime, match="before the start"):
        monitor.replay(END, START)
    with pytest.raises(InvalidTime, match="no time zone"):
        monitor.replay(START.replace(tzinfo=None), END)
    with pytest.raises(InvalidInput, match="every must be above 0"):
        monitor.replay(START, END, every=timedelta(0))
    with pytest.raises(InvalidSlug):
        monitor.replay(START, END, slugs=["a/b"])


@pytest.mark.parametrize(
    ("end", "is_active"),
    [(None, True), (date(2021, 1, 12), True), (date(2021, 1, 11), False), (date.max, True)],
)
def test_an_experiment_is_looked_at_until_14_days_after_its_end(end, is_active):
    planned = Experiment("exp", start_date=date(2021, 1, 1), end_date=end)
    assert History.of(planned, [], []).is_active(at("2021-01-26T00:05")) is is_active
