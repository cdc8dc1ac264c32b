from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from math import sqrt

import pytest

from expmon.errors import InvalidInput, InvalidTime
from expmon.sandbox import Experiment, Traffic, ping_row, simulate

WINDOW = timedelta(minutes=5)
TICK = timedelta(microseconds=1)


def at(*parts):
    return datetime(2021, 1, *parts, tzinfo=UTC)


HALVES = (("a", 1), ("b", 1))
UNEVEN = Experiment(
    "uneven", at(25), None, (("control", 3), ("treatment", 1), ("unused", 0)), False, share=1.0
)
ENDED = Experiment("ended", at(25, 6), at(26, 12), HALVES, is_rollout=False, share=0.5)
ROLLOUT = Experiment("rollout", at(25, 3), at(26, 18), (("on", 1),), is_rollout=True, share=0.6)
EXPERIMENTS = (UNEVEN, ENDED, ROLLOUT)
TRAFFIC = Traffic(start=date(2021, 1, 25), days=3, clients=1500, seed=7)

METHODS = (
    *("enroll", "unenroll", "graduate", "update", "exposure", "disqualification"),
    *("enrollFailed", "unenrollFailed", "updateFailed", "validationFailed"),
)


@pytest.fixture(scope="module")
def pings():
    return list(simulate(EXPERIMENTS, TRAFFIC))


def arrival(ping):
    return datetime.fromisoformat(ping["submission_timestamp"])


def without_repeats(pings):
    seen = {}
    for ping in pings:
        seen.setdefault(ping["id"], ping)
    return list(seen.values())


def events_of(ping):
    """The events of a ping in their order, of all processes."""
    payload = ping["payload"]
    if ping["type"] == "event":
        return [event for events in payload["events"].values() for event in events]
    return payload["processes"]["parent"].get("events", [])


def happenings(pings):
    """What happened in experiments: per client and slug the arrivals, methods and branches."""
    found = defaultdict(list)
    for ping in without_repeats(pings):
        for event in events_of(ping):
            if event[1] == "normandy":
                _, _, method, _, slug, extras = event
                found[ping["clientId"], slug].append((arrival(ping), method, extras.get("branch")))
    return found


def assert_near(successes, trials, probability):
    """Five standard deviations of a binomial: an honest draw is outside once in 1.7 million."""
    spread = 5 * sqrt(trials * probability * (1 - probability))
    assert spread < trials * probability / 2  # or the bound would hold whatever is drawn
    assert abs(successes - trials * probability) <= spread


SCRIPT = """
import hashlib, json, sys
from datetime import UTC, date, datetime
from expmon.sandbox import Experiment, Traffic, simulate

start, end = datetime(2021, 1, 25, tzinfo=UTC), datetime(2021, 1, 25, 15, tzinfo=UTC)
experiments = [
    Experiment("a", start, end, (("x", 1), ("y", 2)), is_rollout=False, share=0.9),
    Experiment("b", start, None, (("x", 1),), is_rollout=True, share=0.5),
]
pings = list(simulate(experiments, Traffic(date(2021, 1, 25), days=2, clients=60, seed=3)))
print(len(pings), hashlib.sha256(json.dumps(pings).encode()).hexdigest())
"""


def test_one_seed_gives_the_same_pings_in_every_process():
    printed = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hash_seed in ("0", "1", "4294967295")
    }
    (only,) = printed
    assert int(only.split()[0]) > 100


def test_one_seed_gives_the_same_pings_whatever_else_draws_random_numbers():
    traffic = Traffic(date(2021, 1, 25), days=1, clients=30, seed=3)
    before = random.getstate()
    first = list(simulate(EXPERIMENTS, traffic))
    assert random.getstate() == before
    second = []
    for ping in simulate(EXPERIMENTS, traffic):
        random.random()
        second.append(ping)
    assert first == second


def test_different_seeds_give_different_clients_and_documents():
    clients, documents = Counter(), Counter()
    for seed in range(5):
        traffic = Traffic(date(2021, 1, 25), days=1, clients=30, seed=seed)
        pings = list(simulate([UNEVEN], traffic))
        assert len(pings) > 10
        clients.update({ping["clientId"] for ping in pings})
        documents.update({ping["id"] for ping in pings})
    assert max(clients.values()) == max(documents.values()) == 1


def test_pings_are_made_as_they_are_asked_for():
    # All of these would be 20 million.
    endless = simulate([UNEVEN], Traffic(date(2021, 1, 1), days=1_000_000, clients=10, seed=1))
    assert len(list(islice(endless, 100))) == 100


def test_pings_come_in_the_order_of_their_arrival(pings):
    arrivals = [arrival(ping) for ping in pings]
    assert arrivals == sorted(arrivals)
    assert len(pings) > 3 * TRAFFIC.clients


def test_an_arrival_is_written_to_the_microsecond_in_utc(pings):
    shape = re.compile(r"2021-01-2[567]T\d\d:\d\d:\d\d\.\d{6}Z")
    assert [ping for ping in pings if not shape.fullmatch(ping["submission_timestamp"])] == []


@pytest.mark.parametrize(("start", "days"), [(date(2021, 1, 25), 1), (date(2020, 12, 31), 3)])
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_arrives_outside_the_days_and_each_day_has_some(start, days, seed):
    traffic = Traffic(start, days=days, clients=200, seed=seed)
    found = Counter(arrival(ping).date() for ping in simulate(EXPERIMENTS, traffic))
    assert sorted(found) == [start + timedelta(days=day) for day in range(days)]
    assert traffic.opens == datetime(start.year, start.month, start.day, tzinfo=UTC)
    assert traffic.closes == traffic.opens + timedelta(days=days)


@pytest.mark.parametrize(("days", "night"), [(1, 25), (2, 26), (3, 26)])
def test_nothing_arrives_in_the_quiet_night(days, night):
    traffic = Traffic(date(2021, 1, 25), days=days, clients=2000, seed=1)
    arrivals = [arrival(ping) for ping in simulate(EXPERIMENTS, traffic)]
    quiet = [moment for moment in arrivals if at(night, 2) <= moment < at(night, 4)]
    assert traffic.quiet_night == (at(night, 2), at(night, 4))
    assert quiet == []
    # It is not that nobody is ever awake then.
    assert [moment for moment in arrivals if at(night, 1) <= moment < at(night, 2)] != []
    assert [moment for moment in arrivals if at(night, 4) <= moment < at(night, 5)] != []
    others = [moment for moment in arrivals if moment.hour in {2, 3}]
    assert (others != []) == (days > 1)


def test_some_pings_arrive_at_the_edges_of_windows_to_the_microsecond(pings):
    # By chance a ping is on an edge once in 300 million.
    offsets = Counter((arrival(ping) - at(25)) % WINDOW for ping in without_repeats(pings))
    assert offsets[timedelta(0)] > 3
    assert offsets[WINDOW - TICK] > 3


def test_about_two_in_a_hundred_pings_arrive_a_second_time(pings):
    arrivals = defaultdict(list)
    for ping in pings:
        arrivals[ping["id"]].append(ping)
    again = [pair for pair in arrivals.values() if len(pair) > 1]
    assert {len(pair) for pair in again} == {2}
    assert_near(len(again), len(arrivals), 0.02)
    for first, second in again:
        assert {**first, "submission_timestamp": None} == {**second, "submission_timestamp": None}
    delays = sorted(arrival(second) - arrival(first) for first, second in again)
    assert timedelta(0) <= delays[0] < timedelta(minutes=1)
    assert timedelta(hours=1) < delays[-1] < timedelta(hours=12)


def test_two_in_three_clients_send_one_to_three_pings_on_a_day(pings):
    # The last day: some clients show up only in the course of the first ones.
    last = Counter(ping["clientId"] for ping in without_repeats(pings) if arrival(ping) >= at(27))
    assert 0.6 < len(last) / TRAFFIC.clients < 0.75
    assert 1 < last.total() / len(last) < 3
    assert len({ping["clientId"] for ping in pings}) <= TRAFFIC.clients


@pytest.mark.parametrize(
    ("slug", "first", "other", "ratio"),
    [("uneven", "control", "treatment", 3 / 4), ("ended", "a", "b", 1 / 2)],
)
def test_clients_are_spread_over_the_branches_by_their_ratios(pings, slug, first, other, ratio):
    chosen = Counter(
        branch
        for (_, name), steps in happenings(pings).items()
        for _, method, branch in steps
        if name == slug and method == "enroll"
    )
    assert set(chosen) == {first, other}
    assert_near(chosen[first], chosen.total(), ratio)


def test_the_share_of_an_experiment_is_the_fraction_of_clients_that_take_part(pings):
    # Who came by while it ran had a chance to: eligible clients at least try to enroll.
    present = {ping["clientId"] for ping in pings if at(25, 6) <= arrival(ping) < at(26, 12)}
    tried = {client for client, slug in happenings(pings) if slug == "ended"}
    assert_near(len(tried & present), len(present), ENDED.share)


@pytest.mark.parametrize(("share", "takes_part"), [(0, False), (1, True)])
def test_a_share_of_nothing_or_everything_is_just_that(share, takes_part):
    experiment = Experiment("x", at(25), None, (("a", 1),), is_rollout=False, share=share)
    found = happenings(simulate([experiment], Traffic(date(2021, 1, 25), 1, 100, seed=1)))
    assert (found != {}) == (len(found) > 30) == takes_part


def test_every_method_appears_in_an_experiment_and_a_rollout(pings):
    methods = defaultdict(set)
    for (_, slug), steps in happenings(pings).items():
        methods[slug] |= {method for _, method, _ in steps}
    assert methods["uneven"] | methods["ended"] == {*METHODS} - {"graduate"}
    assert methods["rollout"] | methods["ended"] == {*METHODS}
    assert "graduate" in methods["rollout"]


def test_only_a_rollout_enrolls_without_a_branch_and_not_always(pings):
    branches = defaultdict(set)
    for (_, slug), steps in happenings(pings).items():
        for _, method, branch in steps:
            branches[slug, method].add(branch)
    assert branches["rollout", "enroll"] == {None, "on"}
    assert None not in branches["uneven", "enroll"] | branches["ended", "enroll"]
    assert branches["uneven", "enrollFailed"] == {None, "control", "treatment"}


def test_an_event_says_what_kind_of_experiment_it_is_of(pings):
    events = [event for ping in pings for event in events_of(ping) if event[1] == "normandy"]
    experiments = {(slug, "nimbus_experiment") for slug in ("uneven", "ended")}
    assert {(event[4], event[3]) for event in events} == experiments | {
        ("rollout", "nimbus_rollout")
    }


def test_a_client_enrolls_once_in_one_branch_while_the_experiment_runs(pings):
    spans = {"uneven": (at(25), at(28)), "ended": (at(25, 6), at(26, 12))}
    spans["rollout"] = (at(25, 3), at(26, 18))
    steps_of = happenings(pings)
    assert len(steps_of) > TRAFFIC.clients
    for (_, slug), steps in steps_of.items():
        opens, closes = spans[slug]
        # A main ping may tell of it within the hour, and over the quiet night two hours later.
        enrolled = [moment for moment, method, _ in steps if method == "enroll"]
        assert len(enrolled) <= 1
        assert all(opens <= moment < closes + timedelta(hours=3) for moment in enrolled)
        assert len({branch for _, _, branch in steps if branch is not None}) <= 1


def test_a_client_leaves_only_what_it_is_in_and_only_once(pings):
    members = {"update", "updateFailed", "exposure", "disqualification"}
    left = 0
    for steps in happenings(pings).values():
        # Not in their order: main pings tell later than event pings.
        counts = Counter(method for _, method, _ in steps)
        ends = counts["unenroll"] + counts["graduate"]
        assert ends <= counts["enroll"] <= 1
        assert counts["disqualification"] <= counts["unenroll"]
        assert counts["enroll"] or not members & set(counts)
        left += ends
    assert left > 100


def test_the_environment_lists_the_experiments_that_a_client_is_in(pings):
    listed = defaultdict(set)
    for ping in pings:
        for slug, entry in ping["environment"]["experiments"].items():
            listed[ping["clientId"], slug].add((entry["branch"], entry["type"]))
    kinds = {(slug, *entry) for (_, slug), entries in listed.items() for entry in entries}
    assert kinds == {
        *(("uneven", branch, "nimbus-nimbus") for branch in ("control", "treatment")),
        *(("ended", branch, "nimbus-nimbus") for branch in ("a", "b")),
        ("rollout", "on", "nimbus-rollout"),
    }
    told = {
        key: branch
        for key, steps in happenings(pings).items()
        for _, method, branch in steps
        if method == "enroll" and branch is not None
    }
    disagreeing = {
        key for key in told if {branch for branch, _ in listed.get(key, ())} - {told[key]}
    }
    assert disagreeing == set()
    assert len(told.keys() & listed.keys()) > TRAFFIC.clients


def test_searches_come_in_every_encoding_and_may_be_missing(pings):
    shapes = set()
    for ping in pings:
        if ping["type"] == "main":
            counts = ping["payload"]["keyedHistograms"].get("SEARCH_COUNTS")
            shapes.add("no map" if counts is None else "some" if counts else "empty map")
            for value in (counts or {}).values():
                text = value if isinstance(value, str) else json.dumps(value)
                shapes.add(re.sub(r"[0-9]+", "N", text))
    whole = '{"bucket_count": N, "histogram_type": N, "sum": N, "range": [N, N], "values": '
    encodings = {whole + '{"N": N, "N": N}}', "N;N;N;N,N;N:N,N:N,N:N", "N,N", "N"}
    broken = {"foo", "", '{"sum": N, "values": {'}
    assert shapes == encodings | broken | {"no map", "empty map", "some"}


def test_ads_may_be_there_empty_or_missing_and_are_counted_from_one(pings):
    shapes, counts = set(), set()
    for ping in pings:
        if ping["type"] == "main":
            scalars = ping["payload"]["processes"]["parent"].get("keyedScalars", {"none": ()})
            shapes.add(frozenset((name, bool(values)) for name, values in scalars.items()))
            counts |= {count for values in scalars.values() if values for count in values.values()}
    shown, clicked = ("browser.search.with_ads", True), ("browser.search.ad_clicks", True)
    empty = ("browser.search.with_ads", False)
    assert min(counts) == 1
    assert shapes == {frozenset(s) for s in ([("none", False)], [empty], [shown], [shown, clicked])}


def test_events_of_other_business_and_of_other_processes_are_among_them(pings):
    processes = Counter()
    for ping in pings:
        if ping["type"] == "event":
            for process, events in ping["payload"]["events"].items():
                processes.update((process, event[1] == "normandy") for event in events)
    assert {process for process, _ in processes} == {"parent", "dynamic", "content", "socket"}
    assert {process for process, ours in processes if ours} == {"parent", "dynamic"}
    # And main pings tell of experiments too.
    assert any(events_of(ping) for ping in pings if ping["type"] == "main")


def test_every_ping_becomes_a_row_of_its_table(pings):
    tables = {"event": "telemetry_live.event_v4", "main": "telemetry_live.main_v4"}
    for ping in pings:
        relation, row = ping_row(ping, None)
        identity = (row["document_id"], row["client_id"], row["submission_timestamp"])
        assert identity == (ping["id"], ping["clientId"], arrival(ping))
        assert relation == tables[ping["type"]]
    assert {ping["type"] for ping in pings} == set(tables)


@pytest.mark.parametrize(
    ("start", "end", "runs"),
    [
        (datetime(2001, 1, 1, tzinfo=UTC), None, True),
        (datetime(2001, 1, 1, tzinfo=UTC), at(25), False),
        (at(26), None, False),
    ],
)
def test_clients_enroll_while_an_experiment_runs_however_long_ago_it_began(start, end, runs):
    experiment = Experiment("x", start, end, (("a", 1),), is_rollout=False, share=1.0)
    pings = list(simulate([experiment], Traffic(date(2021, 1, 25), days=1, clients=100, seed=1)))
    found = happenings(pings)
    assert (found != {}) == (len(found) > 30) == runs
    assert len(pings) > 50


def test_traffic_needs_no_experiments():
    pings = list(simulate([], Traffic(date(2021, 1, 25), days=1, clients=100, seed=1)))
    assert len(pings) > 50
    assert [ping for ping in pings if ping["environment"]["experiments"]] == []


def test_one_client_on_one_day_may_be_all_the_traffic_of_an_experiment_that_ends_at_once():
    experiment = Experiment("x", at(25), at(25), (("a", 1),), is_rollout=False, share=1.0)
    pings = list(simulate([experiment], Traffic(date(2021, 1, 25), days=1, clients=1, seed=7)))
    assert len({ping["clientId"] for ping in pings}) == 1
    assert happenings(pings) == {}


def test_experiments_of_one_slug_are_refused_before_any_ping():
    with pytest.raises(InvalidInput, match="the slugs of simulated experiments must differ"):
        simulate([UNEVEN, ENDED, UNEVEN], TRAFFIC)


def experiment(**changed):
    fields = {"slug": "x", "start": at(25), "end": None, "branches": (("a", 1),)}
    return Experiment(**fields | {"is_rollout": False, "share": 0.5} | changed)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"slug": ""}, "an experiment needs a slug"),
        ({"end": at(24)}, "x ends before it starts"),
        ({"end": at(25) - TICK}, "x ends before it starts"),
        ({"branches": ()}, "x needs branches with ratios"),
        ({"branches": (("a", 0), ("b", 0))}, "x needs branches with ratios"),
        ({"branches": (("a", 2), ("b", -1))}, "x needs branches with ratios"),
        ({"share": -0.1}, "the share of x must be from 0 to 1, not -0.1"),
        ({"share": 1.1}, "the share of x must be from 0 to 1, not 1.1"),
        ({"share": float("nan")}, "the share of x must be from 0 to 1"),
    ],
)
def test_an_experiment_that_makes_no_sense_is_refused(changed, reason):
    with pytest.raises(InvalidInput, match=reason):
        experiment(**changed)


@pytest.mark.parametrize("edge", ["start", "end"])
def test_an_experiment_with_a_naive_time_is_refused(edge):
    with pytest.raises(InvalidTime, match=f"{edge} of x = 2021-01-25T00:00:00 has no time zone"):
        experiment(**{edge: datetime(2021, 1, 25)})  # noqa: DTZ001 - it is about those


@pytest.mark.parametrize(("days", "clients"), [(0, 1), (1, 0), (-1, 5)])
def test_traffic_without_days_or_clients_is_refused(days, clients):
    reason = f"at least one day and one client, not {days} and {clients}"
    with pytest.raises(InvalidInput, match=reason):
        Traffic(date(2021, 1, 25), days=days, clients=clients, seed=1)
