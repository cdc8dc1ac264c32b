"""Times with the same planned ratios: from versions that live runs saw, and what lies between."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expmon.catalog.health import RATIOS
from expmon.catalog.sources import EXPERIMENTS
from expmon.health import assess
from expmon.health.assess import Seen, phases
from expmon.health.observed import Experiment
from playing import DAY, at, rows

A = {"a": 1, "b": 1}
B = {"a": 3, "b": 1}
START, NOW = at("2021-01-20T00:00"), at("2021-01-26T05:32")


def found(ratios, *versions, start=START, finish=NOW, settling=DAY):
    """The phases of an experiment with these ratios today, as start, finish and ratios."""
    seen = [Seen(at(first), at(last), planned) for first, last, planned in versions]
    experiment = Experiment("exp", ratios)
    return [
        (f"{p.start:%dT%H:%M}", f"{p.finish:%dT%H:%M}", dict(p.ratios))
        for p in phases(experiment, seen, start, finish, settling)
    ]


def test_without_a_change_there_is_one_phase_from_the_start_whenever_it_was_first_seen():
    phase = ("20T00:00", "26T05:32", A)
    assert found(A) == [phase]
    assert found(A, ("2021-01-25T11:03", "2021-01-26T05:27", A)) == [phase]


def test_what_happens_between_two_runs_and_while_clients_hear_of_it_is_in_no_phase():
    versions = [
        ("2021-01-20T00:05", "2021-01-22T10:04", A),
        ("2021-01-22T10:09", "2021-01-26T05:32", B),
    ]
    # The window of 10:00 was not over when the old ratios were last seen; that of 10:05 had begun.
    assert found(B, *versions) == [("20T00:00", "22T10:00", A), ("23T10:10", "26T05:32", B)]
    assert found(B, *versions, settling=timedelta(0)) == [
        ("20T00:00", "22T10:00", A),
        ("22T10:10", "26T05:32", B),
    ]


def test_runs_at_the_edge_of_a_window_lose_none():
    versions = [
        ("2021-01-20T00:05", "2021-01-22T10:05", A),
        ("2021-01-22T10:10", "2021-01-26T05:30", B),
    ]
    assert found(B, *versions) == [("20T00:00", "22T10:05", A), ("23T10:10", "26T05:32", B)]


def test_a_change_that_was_seen_late_leaves_the_outage_out():
    versions = [
        ("2021-01-20T00:05", "2021-01-22T10:00", A),
        ("2021-01-23T18:00", "2021-01-26T05:32", B),
    ]
    assert found(B, *versions) == [("20T00:00", "22T10:00", A), ("24T18:00", "26T05:32", B)]


def test_ratios_that_come_back_are_a_phase_of_their_own():
    versions = [
        ("2021-01-20T00:05", "2021-01-21T12:00", A),
        ("2021-01-21T12:05", "2021-01-23T12:00", B),
        ("2021-01-23T12:05", "2021-01-26T05:32", A),
    ]
    assert found(A, *versions) == [
        ("20T00:00", "21T12:00", A),
        ("22T12:05", "23T12:00", B),
        ("24T12:05", "26T05:32", A),
    ]


def test_a_version_that_clients_never_heard_of_is_no_phase():
    versions = [
        ("2021-01-20T00:05", "2021-01-21T12:00", A),
        ("2021-01-21T12:05", "2021-01-22T12:00", B),
        ("2021-01-22T12:05", "2021-01-26T05:32", A),
    ]
    assert found(A, *versions) == [("20T00:00", "21T12:00", A), ("23T12:05", "26T05:32", A)]


def test_a_change_that_no_run_has_seen_yet_begins_now():
    versions = [("2021-01-20T00:05", "2021-01-26T05:27", A)]
    assert found(B, *versions) == [("20T00:00", "26T05:25", A)]


def test_a_phase_ends_with_the_experiment():
    end = at("2021-01-22T00:00")
    versions = [
        ("2021-01-20T00:05", "2021-01-23T12:00", A),
        ("2021-01-23T12:05", "2021-01-26T05:32", B),
    ]
    assert found(B, *versions, finish=end) == [("20T00:00", "22T00:00", A)]
    assert found(A, *versions[:1], finish=end) == [("20T00:00", "22T00:00", A)]


@pytest.mark.parametrize("finish", [START, START - DAY])
def test_an_end_before_the_start_leaves_no_phase(finish):
    assert found(A, finish=finish) == []


def test_nothing_before_the_start_is_in_a_phase_even_if_the_ratios_were_seen_then():
    versions = [
        ("2021-01-18T00:05", "2021-01-18T12:00", A),
        ("2021-01-18T12:05", "2021-01-26T05:32", B),
    ]
    assert found(B, *versions) == [("20T00:00", "26T05:32", B)]


def test_branches_that_nobody_is_planned_for_are_left_out():
    assert found({"a": 2, "b": 0, "c": None, "d": -1}) == [("20T00:00", "26T05:32", {"a": 2})]
    assert found({"a": 0, "b": None}) == []
    assert found({}) == []


MINUTES = st.integers(0, 3000)


@st.composite
def histories(draw):
    """Versions in order, one after the other, by the minute of runs."""
    edges = sorted(draw(st.lists(MINUTES, max_size=10)))
    moments = [START + timedelta(minutes=minute) for minute in edges]
    pairs = zip(moments[::2], moments[1::2], strict=False)
    ratios = st.sampled_from([A, B, {"a": 1}, {"a": 0}])
    return [Seen(first, last, draw(ratios)) for first, last in pairs]


@given(
    versions=histories(),
    ratios=st.sampled_from([A, B]),
    span=st.tuples(MINUTES, MINUTES),
    settling=st.integers(0, 600),
)
@settings(deadline=None, derandomize=True, database=None)
def test_each_window_is_in_one_phase_or_in_none(versions, ratios, span, settling):
    start, finish = (START + timedelta(minutes=minute) for minute in span)
    settled = timedelta(minutes=settling)
    made = phases(Experiment("exp", ratios), versions, start, finish, settled)
    edges = [edge for phase in made for edge in (phase.start, phase.finish)]
    assert edges == sorted(edges)
    assert all(phase.start < phase.finish for phase in made)
    assert all(start <= phase.start and phase.finish <= finish for phase in made)
    for phase in made[1:]:
        # Every run from settling before the phase's end on to its end saw these ratios.
        seen = [v for v in versions if v.first + settled <= phase.start]
        assert seen
        assert dict(seen[-1].ratios) == phase.ratios


# What live runs remember


def plan(monitor, slug="exp", **described):
    given = {"normandy_slug": slug, "start_date": date(2021, 1, 20), **described}
    monitor.warehouse.load(EXPERIMENTS, [given], key="normandy_slug")


def branches(ratios):
    return [{"slug": branch, "ratio": ratio} for branch, ratio in ratios.items()]


def remembered(monitor):
    return rows(monitor, RATIOS.name)


def test_live_runs_remember_each_version_of_the_ratios(monitor):
    first, second, third = (at(f"2021-01-26T0{hour}:00") for hour in (1, 2, 3))
    plan(monitor, branches=branches(A))
    for moment in (first, second):
        monitor.run("live", moment)
    assert remembered(monitor) == [("exp", first, second, b, 1) for b in "ab"]
    plan(monitor, branches=branches(B))
    monitor.run("live", third)
    kept = [("exp", first, second, "a", 1), ("exp", first, second, "b", 1)]
    assert remembered(monitor) == [
        *kept,
        ("exp", third, third, "a", 3),
        ("exp", third, third, "b", 1),
    ]
    # The same run again changes nothing.
    before = remembered(monitor)
    monitor.run("live", third)
    assert remembered(monitor) == before
    # Ratios that come back are a version of their own; a branch may have none.
    fourth = at("2021-01-26T04:00")
    plan(monitor, branches=branches({"a": 1, "b": None}))
    monitor.run("live", fourth)
    assert len(remembered(monitor)) == 6
    assert ("exp", fourth, fourth, "b", None) in remembered(monitor)


def test_ratios_of_what_has_no_branches_are_not_remembered_but_known_ones_stay(monitor):
    plan(monitor, branches=branches(A))
    plan(monitor, "none", branches=[])
    monitor.run("live", at("2021-01-26T01:00"))
    plan(monitor, branches=[])
    monitor.run("live", at("2021-01-26T02:00"))
    moment = at("2021-01-26T01:00")
    assert remembered(monitor) == [("exp", moment, moment, b, 1) for b in "ab"]


def test_a_report_of_an_earlier_moment_knows_nothing_of_later_ratios(monitor):
    plan(monitor, branches=branches(A))
    monitor.run("live", at("2021-01-26T01:00"))
    plan(monitor, branches=branches(B))
    monitor.run("live", at("2021-01-26T03:00"))
    reading = assess.Reading(monitor.warehouse, monitor.settings, at("2021-01-26T02:00"))
    assert [dict(seen.ratios) for seen in reading.versions["exp"]] == [A]
    later = assess.Reading(monitor.warehouse, monitor.settings, at("2021-01-26T04:00"))
    assert [dict(seen.ratios) for seen in later.versions["exp"]] == [A, B]
