"""From pings to findings, on the embedded engine, beside counts made in plain Python."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import pytest

import expmon
import pings
import playing
import reference
from expmon import Monitor
from expmon.catalog.health import EVENTS, HEALTH
from expmon.catalog.sources import EVENT_V4, EXPERIMENTS
from expmon.errors import UnknownExperiment, WarehouseError
from expmon.export.store import MemoryStore
from expmon.health import assess
from expmon.health.checks import CHECKS
from expmon.health.observed import Counts
from expmon.health_settings import HealthSettings
from playing import DAY, HOUR, at, rows

NOW = at("2021-01-26T05:32")
TICK = timedelta(minutes=5)
FIRST = date(2021, 1, 24)
EVEN = {"a": 1, "b": 1}


def plan(monitor, slug, ratios=EVEN, **described):
    """Enter an experiment, or change it."""
    known = {"normandy_slug": slug, "start_date": FIRST, "type": "experiment", **described}
    known["branches"] = [{"slug": branch, "ratio": ratio} for branch, ratio in ratios.items()]
    monitor.warehouse.load(EXPERIMENTS, [known], key="normandy_slug")


def events(moment, slug, branch, method="enroll", number=1):
    """So many clients' events at a moment, in one ping."""
    stamp = moment if isinstance(moment, str) else moment.isoformat()
    return pings.event_ping(stamp, *[pings.event(method, slug, branch)] * number)


class Counting:
    """A warehouse that counts its queries."""

    def __init__(self, inner):
        self.inner, self.queries = inner, []

    def query(self, statement, parameters):
        self.queries.append(statement.name)
        return self.inner.query(statement, parameters)

    def __getattr__(self, name):
        return getattr(self.inner, name)


# What is read, beside plain Python

METHODS = ("enroll", "enroll", "enroll", "unenroll", "unenroll", "graduate", "update")
METHODS += ("enrollFailed", "unenrollFailed", "updateFailed", "validationFailed", "exposure")


def traffic():
    """Two days and a half of four experiments, with a NULL branch and an unplanned one."""
    dice = random.Random(10)
    span = (NOW - at("2021-01-23T20:00")) // timedelta(microseconds=1)
    branches = ("a", "a", "b", "b", None, "stranger")
    found = [
        events(
            NOW - timedelta(microseconds=dice.randrange(span)),
            dice.choice(("exp", "ramp", "roll", "bare")),
            dice.choice(branches),
            dice.choice(METHODS),
            dice.randint(1, 3),
        )
        for _ in range(800)
    ]
    # What is at the edges of windows and phases, and what has not happened yet.
    for moment in ("2021-01-23T23:59:59.999999", "2021-01-24T00:00:00", "2021-01-25T12:00:00"):
        found.append(events(f"{moment}+00:00", "ramp", "a", "enroll", 2))
        found.append(events(f"{moment}+00:00", "ramp", "b", "unenroll", 1))
    found += [
        pings.main_ping("2021-01-26T05:29:59Z", {"exp": "a"}),
        pings.main_ping("2021-01-25T04:00:00Z", {"ramp": "a"}),
        pings.main_ping("2021-01-23T04:00:00Z", {"roll": None}),
        events(NOW, "exp", "a", "enroll", 50),
    ]
    return found


PINGS = traffic()
RAMP = {"a": 1, "b": 3}


@pytest.fixture(scope="module")
def played_file(deployed_file, tmp_path_factory):
    """A warehouse in which the schedules have run, and the ratios of one were changed."""
    place = tmp_path_factory.mktemp("health")
    path = shutil.copy(deployed_file, place / "played.duckdb")
    with expmon.connect(f"duckdb://{path}") as monitor:
        playing.ingest(monitor, place / "pings.jsonl", PINGS)
        plan(monitor, "exp")
        plan(monitor, "ramp", end_date=date(2021, 1, 30))
        plan(monitor, "roll", {"all": 1}, is_rollout=True)
        monitor.run("live", at("2021-01-24T12:02"))
        monitor.run("daily", at("2021-01-25T03:00"))
        monitor.run("live", at("2021-01-25T11:57"))
        plan(monitor, "ramp", RAMP, end_date=date(2021, 1, 30))
        monitor.run("live", at("2021-01-25T12:02"))
        monitor.run("hourly", at("2021-01-26T03:35"))
        monitor.run("live", NOW)
    return path


@pytest.fixture
def played(played_file, tmp_path):
    path = shutil.copy(played_file, tmp_path / "played.duckdb")
    settling = HealthSettings(settling=timedelta(hours=2))
    with expmon.connect(f"duckdb://{path}") as connected:
        settings = replace(connected.settings, health=settling)
        yield Monitor(connected.warehouse, MemoryStore(), settings)


def reference_played():
    hours = frozenset(at("2021-01-25T00:00") + n * HOUR for n in range(27))
    return reference.Played(PINGS, NOW, frozenset({FIRST - DAY, FIRST}), hours, FIRST - DAY)


def added(many):
    total = Counter()
    for counts in many:
        total.update({name: counts[f"{name}_count"] for name in EVENTS})
    return Counts(**total)


def compared(points, population, slug, branches, start, finish):
    """The unenrollments of planned branches, beside how those present divide, window by window."""
    left, expected, log_null = Counter(), Counter(), Counter()
    windows = {w for (s, _, w), c in points.items() if s == slug and c["unenroll_count"]}
    for window in (w for w in windows if start <= w < finish):
        gone, clients = {}, {}
        for branch in branches:
            counts = points.get((slug, branch, window), {})
            if (present := population.get((slug, branch, window))) is not None:
                gone[branch] = counts.get("unenroll_count", 0)
                clients[branch] = max(
                    present + gone[branch] + counts.get("graduate_count", 0), gone[branch]
                )
        together = sum(clients.values())
        for branch, number in gone.items():
            left[branch] += number
            if together:
                share = clients[branch] / together
                expected[branch] += sum(gone.values()) * share
                log_null[branch] += number * math.log(share) if number else 0
    return left, expected, log_null


def test_what_is_read_equals_counts_made_in_plain_python(played):
    state = reference_played()
    points = reference.enrollment_points(state)
    population = {
        (slug, branch, time): value
        for time, branch, slug, value in reference.derived(state)[reference.POPULATION]
    }
    reading = assess.Reading(played.warehouse, played.settings, NOW)
    found = {seen.experiment.slug: seen for seen in reading.observed(None)}
    assert list(found) == ["exp", "ramp", "roll"]
    midnight = at("2021-01-24T00:00")
    planned = {
        "exp": [(midnight, NOW, EVEN)],
        # The new ratios were seen at 12:02, those before at 11:57; and clients have two hours.
        "ramp": [
            (midnight, at("2021-01-25T11:55"), EVEN),
            (at("2021-01-25T14:05"), NOW, RAMP),
        ],
        "roll": [],
    }
    for slug, seen in found.items():
        own = {key: counts for key, counts in points.items() if key[0] == slug}
        assert [(p.start, p.finish, p.ratios) for p in seen.phases] == planned[slug]
        outside = []
        for phase in seen.phases:
            within = {k: c for k, c in own.items() if phase.start <= k[2] < phase.finish}
            branches = {branch for _, branch, _ in within}
            assert set(phase.counts) == branches
            assert {"null", "stranger"} < branches
            left, expected, log_null = compared(
                own, population, slug, phase.ratios, phase.start, phase.finish
            )
            for branch in branches:
                counts = phase.of(branch)
                total = added(c for (_, b, _), c in within.items() if b == branch)
                assert {n: getattr(counts, n) for n in EVENTS} == {
                    n: getattr(total, n) for n in EVENTS
                }
                assert counts.compared == left[branch]
                assert counts.expected == pytest.approx(expected[branch])
                assert counts.log_null == pytest.approx(log_null[branch])
            assert sum(left.values()) >= 5
        if seen.phases:
            outside = [
                c
                for (_, _, w), c in own.items()
                if midnight <= w and not any(p.start <= w < p.finish for p in seen.phases)
            ]
            assert seen.between == added(outside)
            assert bool(outside) is (slug == "ramp")
        hours = {}
        for (_, _, window), counts in own.items():
            hours.setdefault(window.replace(minute=0), []).append(counts)
        assert seen.hours == {hour: added(many) for hour, many in hours.items()}
        assert seen.last_window == max(window for _, _, window in own)
    assert [found[s].last_search for s in found] == [
        at("2021-01-26T05:25"),
        at("2021-01-25T04:00"),
        # That of the 23rd is longer ago than two days.
        None,
    ]
    assert {seen.feed.until for seen in found.values()} == {NOW}


def test_one_experiment_and_all_are_told_the_same(played):
    report = played.health_active(NOW)
    assert {f.experiment for f in report.findings} == {"exp", "ramp", "roll"}
    for slug in ("exp", "ramp", "roll"):
        assert played.health(slug, NOW).findings == report.of(slug).findings
        assert [f.check for f in report.of(slug).findings] == list(CHECKS)


def test_an_experiment_that_began_later_has_nothing_of_before_whoever_else_is_there(played):
    # Its events of the first day are not its own, though the others' queries reach them.
    plan(played, "ramp", RAMP, start_date=date(2021, 1, 25))
    reading = assess.Reading(played.warehouse, played.settings, NOW)
    (alone,) = reading.observed(["ramp"])
    (among,) = (seen for seen in reading.observed(None) if seen.experiment.slug == "ramp")
    assert replace(alone, feed=among.feed) == among
    points = reference.enrollment_points(reference_played())
    enrolled = sum(
        counts["enroll_count"]
        for (slug, _, window), counts in points.items()
        if slug == "ramp" and window >= at("2021-01-25T00:00")
    )
    assert alone.counted("enroll") == enrolled


@pytest.mark.parametrize("number", [1, 30])
def test_a_report_takes_the_same_queries_however_many_experiments_there_are(played, number):
    for n in range(number):
        plan(played, f"more-{n}", {"a": 1, "b": n + 1})
    counting = Counting(played.warehouse)
    report = Monitor(counting, MemoryStore(), played.settings).health_active(NOW)
    assert len({f.experiment for f in report.findings}) == number + 3
    expected = ["metadata", "hours", "searches", "ratios", "carried", "totals", "previous"]
    queries = [name.removeprefix("health_") for name in counting.queries if "health_" in name]
    assert sorted(queries) == sorted(expected)


def test_a_live_run_asks_for_the_metadata_and_the_ratios_once_and_knows_new_ratios(played):
    plan(played, "exp", {"a": 1, "b": 3})
    counting = Counting(played.warehouse)
    later = NOW + TICK
    Monitor(counting, MemoryStore(), played.settings).run("live", later)
    queries = [name.removeprefix("health_") for name in counting.queries if "health_" in name]
    expected = ["metadata", "hours", "searches", "ratios", "carried", "totals", "previous"]
    assert sorted(queries) == sorted(expected)
    # The new ratios were seen by this very run, whose clients have yet to hear of them.
    seen = assess.Reading(played.warehouse, played.settings, later).versions["exp"]
    assert [(v.first, v.ratios) for v in seen][1:] == [(later, {"a": 1, "b": 3})]
    said = {f.check: f.sentence for f in played.health_active(later).of("exp").findings}
    kept_now = rows(played, HEALTH.name, "time", "experiment", "check_name", "sentence")
    assert {r[2]: r[3] for r in kept_now if r[:2] == (later, "exp")} == said


def test_an_experiment_without_metadata_is_looked_at_when_named(played):
    report = played.health("bare", NOW)
    verdicts = {f.check: str(f.verdict) for f in report.findings}
    assert {verdicts[check] for check in ("split", "unenrollment", "branches")} == {
        "not applicable"
    }
    assert all("no metadata" in f.sentence for f in report.findings if f.check == "split")
    with pytest.raises(UnknownExperiment, match="'nobody'"):
        played.health("nobody", NOW)


# Playing on

T = at("2021-01-25T12:02")


@pytest.fixture
def play(monitor, tmp_path):
    """Lets events come before a moment, and runs the live schedule then."""

    def run(moment, *found):
        playing.ingest(monitor, tmp_path / "pings.jsonl", found)
        monitor.run("live", moment)

    return run


def verdicts(monitor, moment, slug="exp"):
    return {f.check: str(f.verdict) for f in monitor.health(slug, moment).findings}


def test_a_planned_ramp_changes_nothing_and_the_same_change_unplanned_is_an_alarm(monitor, play):
    for slug in ("planned", "unplanned"):
        plan(monitor, slug)
    before = [
        events(T - TICK, slug, branch, number=300)
        for slug in ("planned", "unplanned")
        for branch in "ab"
    ]
    play(T, *before)
    ratios = {"a": 4, "b": 1}
    plan(monitor, "planned", ratios)
    changed = T + TICK
    # While clients hear of it nothing is judged.
    hearing = [
        events(changed + HOUR, slug, branch, number=number)
        for slug in ("planned", "unplanned")
        for branch, number in (("a", 140), ("b", 100))
    ]
    play(changed)
    later = changed + 30 * HOUR
    after = [
        events(later - TICK, slug, branch, number=number)
        for slug in ("planned", "unplanned")
        for branch, number in (("a", 400), ("b", 100))
    ]
    play(later, *hearing, *after)
    assert verdicts(monitor, later, "planned")["split"] == "ok"
    assert verdicts(monitor, later, "unplanned")["split"] == "alarm"
    (finding,) = (f for f in monitor.health("unplanned", later).findings if f.check == "split")
    # 400 of 500 say more than 540 of 740: 500 KL(0.8, 0.5) = 96 beside 740 KL(0.73, 0.5) = 81.
    assert finding.onset == at("2021-01-26T18:00")
    assert f"if it began about {finding.onset:%Y-%m-%d %H:%M} UTC." in finding.sentence
    assert (finding.branch, finding.value) == ("a", 840)


def test_the_onset_of_a_split_that_goes_wrong_is_the_window_in_which_it_does(monitor, play):
    plan(monitor, "exp")
    began = T + 10 * TICK
    well = [events(T + n * TICK, "exp", b, number=10) for n in range(10) for b in "ab"]
    wrong = [events(began + n * TICK, "exp", "a", number=10) for n in range(10)]
    play(began + 10 * TICK, *well, *wrong)
    (finding,) = (
        f for f in monitor.health("exp", began + 10 * TICK).findings if f.check == "split"
    )
    assert finding.verdict == "alarm"
    assert finding.onset == at("2021-01-25T12:50")


def kept(monitor):
    """What the health table has: per run, experiment and check, once each."""
    found = rows(monitor, HEALTH.name, "time", "experiment", "check_name", "verdict", "since")
    assert len({row[:3] for row in found}) == len(found)
    return {row[:3]: row[3:] for row in found}


def test_each_live_run_leaves_a_row_for_each_experiment_and_check(monitor, play):
    plan(monitor, "exp")
    plan(monitor, "other")
    moments = [T, T + TICK, at("2021-01-26T00:02")]
    for moment in moments:
        play(moment, events(moment - TICK, "exp", "a"))
    expected = {(m, s, c) for m in moments for s in ("exp", "other") for c in CHECKS}
    assert set(kept(monitor)) == expected
    # What the table has is what the report says.
    report = monitor.health_active(moments[-1])
    columns = HEALTH.column_names
    found = {
        (row[1], row[2]): dict(zip(columns, row, strict=True))
        for row in rows(monitor, HEALTH.name)
        if row[0] == moments[-1]
    }
    for finding in report.findings:
        row = found[finding.experiment, finding.check]
        for name in ("branch", "sentence", "action", "log_e", "value", "expected", "since"):
            assert row[name] == getattr(finding, name)
        assert row["verdict"] == finding.verdict.value
    # The same run again changes nothing.
    before = rows(monitor, HEALTH.name)
    monitor.run("live", moments[-1])
    assert rows(monitor, HEALTH.name) == before


def test_a_run_that_fails_leaves_nothing(monitor, play, monkeypatch):
    plan(monitor, "exp")
    play(T, events(T - TICK, "exp", "a"))
    before = playing.tables(monitor), rows(monitor, HEALTH.name)

    def fail(*_):
        raise WarehouseError("the checks failed")

    with monkeypatch.context() as patched:
        patched.setattr(assess.Reading, "found", fail)
        with pytest.raises(WarehouseError, match="the checks failed"):
            play(T + TICK, events(T, "exp", "b"))
    assert (playing.tables(monitor), rows(monitor, HEALTH.name)) == before
    play(T + TICK)
    assert {time for time, _, _ in kept(monitor)} == {T, T + TICK}


def test_since_goes_on_with_the_verdict_and_starts_anew_with_another(monitor, play):
    plan(monitor, "exp")
    play(T, events(T - TICK, "exp", "a", number=4))
    play(T + TICK, events(T, "exp", "b", number=4))
    play(T + 2 * TICK, events(T + TICK, "exp", "a", number=100))
    play(T + 3 * TICK, events(T + 2 * TICK, "exp", "a", number=2))
    found = {key[0]: value for key, value in kept(monitor).items() if key[1:] == ("exp", "split")}
    assert found == {
        T: ("not enough data", T),
        T + TICK: ("not enough data", T),
        T + 2 * TICK: ("alarm", T + 2 * TICK),
        T + 3 * TICK: ("alarm", T + 2 * TICK),
    }
    # A report between two runs goes on with the last one's.
    (split,) = (f for f in monitor.health("exp", T + 4 * TICK).findings if f.check == "split")
    assert split.since == T + 2 * TICK


def test_a_verdict_of_longer_than_two_days_ago_is_not_gone_on_with(monitor, play):
    plan(monitor, "exp")
    for moment in (T, T + 2 * DAY, T + 4 * DAY + TICK):
        play(moment)
    since = [kept(monitor)[m, "exp", "split"][1] for m in (T, T + 2 * DAY, T + 4 * DAY + TICK)]
    assert since == [T, T, T + 4 * DAY + TICK]


def test_late_data_is_told_once_and_nothing_is_said_of_a_quiet_experiment(monitor, play):
    for slug in ("exp", "other"):
        plan(monitor, slug, start_date=date(2021, 1, 20))
    # The data begins a day and a half ago.
    play(T, *(events(moment, "someone", "a") for moment in (T - TICK, T - 1.5 * DAY)))
    assert verdicts(monitor, T)["enrollment"] == "alarm"
    report = monitor.health_active(T + 2 * HOUR)
    (late,) = (f for f in report.findings if not f.experiment)
    assert (late.check, late.verdict, report.worst) == ("freshness", "alarm", "alarm")
    assert late.sentence == (
        "The data of all experiments is late: the last live run is 2 h 0 min old: expmon run live."
    )
    assert {f.verdict for f in report.findings if f.check == "enrollment"} == {"not enough data"}
    assert [f for f in monitor.health("exp", T + 2 * HOUR).findings if not f.experiment] == [late]
    # Runs come, but pings don't: the last one came an hour after the start.
    silent = T + 5 * HOUR
    monitor.run("live", silent)
    monitor.warehouse._file.execute(
        "UPDATE telemetry_derived.expmon_partitions_v1 SET modified_at = $at "
        "WHERE relation = $name",
        {"at": T, "name": EVENT_V4.name},
    )
    (late,) = (f for f in monitor.health_active(silent).findings if not f.experiment)
    assert f"{EVENT_V4.name} got no pings for 5 h 0 min" in late.sentence
    # Pings come, and none is of this experiment: that is truly zero.
    play(silent + TICK, events(silent, "someone", "a"))
    report = monitor.health_active(silent + TICK)
    assert not [f for f in report.findings if not f.experiment]
    assert {f.verdict for f in report.findings if f.check == "enrollment"} == {"alarm"}


def test_before_any_live_run_all_is_late(monitor):
    plan(monitor, "exp")
    report = monitor.health_active(T)
    assert "no live run has been here yet" in report.findings[0].sentence
    assert report.worst == "alarm"


def drop(monitor, tmp_path, apps):
    """Experiments that enroll by day as usual, until nobody of some applications does."""
    moment = at("2021-01-26T12:02")
    found = []
    for slug, (app, drops) in apps.items():
        plan(monitor, slug, app_name=app, start_date=date(2021, 1, 22))
        for back in range(5):
            if back or not drops:
                found += [
                    events(moment - back * DAY - n * HOUR, slug, b, number=20)
                    for n in (1, 2, 3)
                    for b in "ab"
                ]
            found.append(events(at("2021-01-26T00:10") - back * DAY, slug, "a"))
    playing.ingest(monitor, tmp_path / "pings.jsonl", found)
    for cadence in ("daily", "live"):
        monitor.run(cadence, moment)
    return monitor.health_active(moment)


def test_what_befalls_all_experiments_is_said_once(monitor, tmp_path):
    report = drop(monitor, tmp_path, {f"exp-{n}": ("fenix", True) for n in range(4)})
    (told,) = (f for f in report.findings if not f.experiment)
    assert (told.check, told.verdict, told.value, told.expected) == ("enrollment", "alarm", 0, 480)
    assert told.sentence == (
        "Fewer clients enroll in all experiments that can be judged, or nearly all: in 4 of them "
        "nobody enrolled in the last hours, where some 480 would be usual. That comes from the "
        "pipeline or the application, not from one experiment."
    )
    own = [f for f in report.findings if f.experiment and f.check == "enrollment"]
    assert {(f.verdict, f.action) for f in own} == {("not enough data", "")}
    assert own[0].sentence == (
        "Nobody enrolled in the last 6 hours, where in the same hours of the days before it was "
        "120. So it is with all experiments at the same time."
    )
    # In the table, too.
    assert [row[2] for row in kept(monitor) if not row[1]] == ["enrollment"]


def test_what_befalls_those_of_an_application_is_said_once_of_it(monitor, tmp_path):
    apps = {f"old-{n}": ("fenix", True) for n in range(3)}
    apps |= {f"new-{n}": ("firefox_desktop", False) for n in range(3)}
    report = drop(monitor, tmp_path, apps)
    (told,) = (f for f in report.findings if not f.experiment)
    assert "all experiments of fenix that can be judged" in told.sentence
    enrollment = {f.experiment: f for f in report.findings if f.check == "enrollment"}
    assert {enrollment[f"new-{n}"].verdict for n in range(3)} == {"ok"}
    assert {enrollment[f"old-{n}"].verdict for n in range(3)} == {"not enough data"}


def test_two_that_drop_are_each_told(monitor, tmp_path):
    apps = {"one": ("fenix", True), "two": ("fenix", True)}
    apps |= {f"new-{n}": ("firefox_desktop", False) for n in range(3)}
    report = drop(monitor, tmp_path, apps)
    assert not [f for f in report.findings if not f.experiment]
    alarms = {f.experiment for f in report.findings if f.verdict == "alarm"}
    assert alarms == {"one", "two"}


def test_null_branches_are_named_and_hostile_names_stay_what_they_are(monitor, play):
    names = ["a'b", "ü\u202e", "日本", "x\ny", '"; DROP TABLE x; --', ""]
    slug = "it's \u202e"
    plan(monitor, slug, dict.fromkeys(names, 1))
    play(
        T,
        *(events(T - TICK, slug, name, number=100) for name in names[:-1]),
        events(T - TICK, slug, None, number=7),
    )
    report = monitor.health_active(T)
    assert {f.experiment for f in report.findings} == {slug}
    found = {f.check: f for f in report.findings}
    assert {s.branch: s.value for s in found["split"].shares} == {
        **dict.fromkeys(names, 100),
        "": 0,
    }
    assert (found["split"].verdict, found["split"].branch) == ("alarm", "")
    assert (found["branches"].branch, found["branches"].value) == ("null", 7)
    assert {row[3] for row in rows(monitor, HEALTH.name) if row[2] == "branches"} == {"null"}


# The export

FILE = "exp_health.json"


def test_the_export_has_what_the_table_has_also_of_what_rests(monitor, play, tmp_path):
    plan(monitor, "exp")
    plan(monitor, "old", start_date=date(2021, 1, 1))
    play(T, events(T - TICK, "exp", "a", number=100), events(T - TICK, "old", "a", number=3))
    place = tmp_path / "exports"
    first = monitor.export_active(T)
    assert {FILE, "old_health.json"} <= set(first.written)
    columns = HEALTH.column_names
    for slug in ("exp", "old"):
        expected = [
            {
                "experiment": row["experiment"],
                "check": row["check_name"],
                "branch": row["branch"],
                "verdict": row["verdict"],
                "since": reference.time_text(row["since"]),
                "log_e": row["log_e"],
                "value": row["value"],
                "expected": row["expected"],
                "sentence": row["sentence"],
                "action": row["action"],
            }
            for row in (dict(zip(columns, r, strict=True)) for r in rows(monitor, HEALTH.name))
            if row["experiment"] == slug
        ]
        found = json.loads((place / f"{slug}_health.json").read_text())
        assert sorted(found, key=lambda r: r["check"]) == sorted(expected, key=lambda r: r["check"])
        assert {r["check"] for r in found} == set(CHECKS)
    index = json.loads((place / "index.json").read_text())["files"]
    assert index[FILE]["rows"] == len(CHECKS)
    assert (index[FILE]["experiment"], index[FILE]["dataset"]) == ("exp", "health")
    # The older one rests at the next export; what is said of it is still looked at.
    second = monitor.export_active(T)
    assert second.resting == ("old",)
    assert second.written == ()
    assert {FILE, "old_health.json"} <= set(second.unchanged)
    play(T + TICK, events(T, "old", "a", number=300))
    third = monitor.export_active(T + TICK)
    assert "old_health.json" in third.written
    found = json.loads((place / "old_health.json").read_text())
    assert {r["verdict"] for r in found if r["check"] == "split"} == {"alarm"}


def test_what_is_said_of_all_experiments_is_in_each_file(monitor, tmp_path):
    drop(monitor, tmp_path, {f"exp-{n}": ("fenix", True) for n in range(3)})
    monitor.export_active(at("2021-01-26T12:02"))
    for n in range(3):
        found = json.loads((tmp_path / "exports" / f"exp-{n}_health.json").read_text())
        assert [r["check"] for r in found if not r["experiment"]] == ["enrollment"]
        assert len(found) == len(CHECKS) + 1
