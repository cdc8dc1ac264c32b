"""The derived datasets: section 5, case by case."""

from __future__ import annotations

from datetime import timedelta

import pytest

import playing
from expmon.catalog import DATASETS
from pings import event, event_ping, main_ping
from playing import at

WINDOW = timedelta(minutes=5)
POPULATION = "experiment_enrollment_cumulative_population_estimate"
SEARCHES = "experiment_cumulative_search_count"


@pytest.fixture
def derived(monitor, tmp_path):
    """The rows of datasets after a live run over some pings."""

    def rows(dataset, *pings, as_of):
        playing.ingest(monitor, tmp_path / "pings.json", pings)
        monitor.run("live", at(as_of))
        return playing.rows(monitor, DATASETS[dataset].table.name)

    return rows


def dense(start, end, *values):
    """One value for each window of ``[start, end)``."""
    count = (at(end) - at(start)) // WINDOW
    assert len(values) == count
    return [(at(start) + n * WINDOW, value) for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("dataset", "value"),
    [
        ("experiment_enrollment_overall", 1),
        ("experiment_unenrollment_overall", 2),
        # One graduation, three updates, four, five and six failures of the three kinds.
        ("experiment_enrollment_other_events_overall", 1 + 3 + 4 + 5 + 6),
    ],
)
def test_count_datasets_add_up_their_columns(derived, dataset, value):
    times = {
        "enroll": 1,
        "unenroll": 2,
        "graduate": 1,
        "update": 3,
        "enrollFailed": 4,
        "unenrollFailed": 5,
        "updateFailed": 6,
        "exposure": 7,
        "disqualification": 8,
        "validationFailed": 9,
    }
    events = [event(method) for method, count in times.items() for _ in range(count)]
    found = derived(dataset, event_ping("2021-01-26T12:01:00Z", *events), as_of="2021-01-26T12:10")
    assert found == [(at("2021-01-26T12:00"), "a", "exp", value)]


def test_count_datasets_have_a_row_wherever_the_aggregates_have_one(derived):
    ping = event_ping("2021-01-26T12:01:00Z", event("exposure"))
    found = derived("experiment_enrollment_overall", ping, as_of="2021-01-26T12:10")
    assert found == [(at("2021-01-26T12:00"), "a", "exp", 0)]


def test_types_and_null_branches_are_one_row(derived):
    ping = event_ping(
        "2021-01-26T12:01:00Z",
        event("enroll", branch=None),
        event("enroll", branch="null"),
        event("enroll", branch=None, kind="nimbus_rollout"),
        event("enroll", branch="on", kind="nimbus_rollout"),
    )
    found = derived("experiment_enrollment_overall", ping, as_of="2021-01-26T12:10")
    assert found == [
        (at("2021-01-26T12:00"), "null", "exp", 3),
        (at("2021-01-26T12:00"), "on", "exp", 1),
    ]


def test_other_events_have_a_row_for_each_count_above_zero(derived):
    events = [event("enroll"), event("unenroll"), event("update"), event("expose")]
    events += [event("exposure"), event("validationFailed", branch=None)]
    found = derived(
        "experiment_enrollment_other_events",
        event_ping("2021-01-26T12:01:00Z", *events),
        as_of="2021-01-26T12:10",
    )
    noon = at("2021-01-26T12:00")
    assert found == [
        (noon, "a", "exp", "exposure", 2),
        (noon, "a", "exp", "update", 1),
        (noon, "null", "exp", "validation_failed", 1),
    ]


def test_a_population_is_carried_forward_up_to_the_latest_window(derived):
    found = derived(
        POPULATION,
        event_ping("2021-01-26T11:59:00Z", event("update"), event("exposure")),  # starts nothing
        event_ping("2021-01-26T12:01:00Z", event("enroll"), event("enroll"), event("enroll")),
        event_ping("2021-01-26T12:11:00Z", event("unenroll")),
        event_ping("2021-01-26T12:16:00Z", event("graduate"), event("enrollFailed")),
        as_of="2021-01-26T12:25",
    )
    assert [(time, value) for time, *_, value in found] == dense(
        "2021-01-26T12:00", "2021-01-26T12:25", 3, 3, 2, 1, 1
    )


@pytest.mark.parametrize(
    ("as_of", "latest"),
    [
        ("2021-01-26T12:20:00", "2021-01-26T12:15"),
        ("2021-01-26T12:20:00.000001", "2021-01-26T12:20"),
        ("2021-01-26T12:24:59.999999", "2021-01-26T12:20"),
    ],
)
def test_the_latest_window_is_the_last_one_that_starts_before_the_run(derived, as_of, latest):
    found = derived(POPULATION, event_ping("2021-01-26T12:01:00Z", event("enroll")), as_of=as_of)
    assert found[-1][0] == at(latest)


def test_a_series_that_starts_with_an_unenrollment_is_there_and_below_zero(derived):
    ping = event_ping("2021-01-26T12:01:00Z", event("unenroll"))
    found = derived(POPULATION, ping, as_of="2021-01-26T12:05")
    assert found == [(at("2021-01-26T12:00"), "a", "exp", -1)]


def test_branches_start_on_their_own(derived):
    found = derived(
        POPULATION,
        event_ping("2021-01-26T12:01:00Z", event("enroll", branch="a")),
        event_ping("2021-01-26T12:06:00Z", event("enroll", branch="b")),
        as_of="2021-01-26T12:10",
    )
    assert found == [
        (at("2021-01-26T12:00"), "a", "exp", 1),
        (at("2021-01-26T12:05"), "a", "exp", 1),
        (at("2021-01-26T12:05"), "b", "exp", 1),
    ]


def test_a_search_series_starts_with_its_first_row_though_it_be_zero(derived):
    found = derived(
        SEARCHES,
        main_ping("2021-01-26T12:01:00Z", {"exp": "a"}),
        main_ping("2021-01-26T12:06:00Z", {"exp": "a"}, searches={"a": "2"}),
        as_of="2021-01-26T12:15",
    )
    assert [value for *_, value in found] == [0, 2, 2]


def test_a_population_goes_on_over_midnight_and_month(derived):
    found = derived(
        POPULATION,
        event_ping("2021-01-31T23:51:00Z", event("enroll")),
        event_ping("2021-02-01T00:01:00Z", event("enroll")),
        as_of="2021-02-01T00:10",
    )
    assert [(time, value) for time, *_, value in found] == dense(
        "2021-01-31T23:50", "2021-02-01T00:10", 1, 1, 2, 2
    )


def test_an_experiment_ends_and_another_starts(derived):
    found = derived(
        POPULATION,
        event_ping("2021-01-26T23:46:00Z", event("enroll", "old"), event("enroll", "old")),
        event_ping("2021-01-26T23:51:00Z", event("graduate", "old"), event("graduate", "old")),
        event_ping("2021-01-27T00:01:00Z", event("enroll", "new")),
        as_of="2021-01-27T00:05",
    )
    assert found == [
        (at("2021-01-26T23:45"), "a", "old", 2),
        (at("2021-01-26T23:50"), "a", "old", 0),
        (at("2021-01-26T23:55"), "a", "old", 0),
        (at("2021-01-27T00:00"), "a", "new", 1),
        (at("2021-01-27T00:00"), "a", "old", 0),
    ]


def test_after_14_days_without_a_row_a_series_has_one_row_a_day(monitor, tmp_path):
    pings = [
        event_ping("2021-01-01T12:00:00Z", event("enroll", branch="a")),
        event_ping("2021-01-01T12:00:00Z", event("enroll", branch="b")),
        # No start of a series, but a row of the experiment: it wakes both.
        event_ping("2021-01-16T06:00:00Z", event("update", branch="a")),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    for day in range(2, 19):
        monitor.run("daily", at(f"2021-01-{day:02}T03:00"))
        monitor.run("live", at(f"2021-01-{day:02}T03:00"))
    rows = playing.rows(monitor, DATASETS[POPULATION].table.name, "branch", "time", "value")
    for branch in "ab":
        by_day = {}
        for name, time, value in rows:
            if name == branch:
                assert value == 1
                by_day.setdefault(time.day, []).append(time)
        assert by_day.keys() == set(range(1, 19))
        assert len(by_day[1]) == 12 * 12
        assert [len(by_day[day]) for day in range(2, 15)] == [288] * 13
        assert by_day[15] == [at("2021-01-15T23:55")]  # the first day without a row in 14
        assert len(by_day[16]) == len(by_day[17]) == 288
        assert by_day[18][-1] == at("2021-01-18T02:55")


def test_asleep_today_a_series_has_the_latest_window_alone(monitor, tmp_path):
    pings = [event_ping("2021-01-01T12:00:00Z", event("enroll"))]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("daily", at("2021-01-15T03:00"))
    for minute in ("07", "12"):
        monitor.run("live", at(f"2021-01-15T10:{minute}"))
    rows = playing.rows(monitor, DATASETS[POPULATION].table.name, "time")
    assert [time for (time,) in rows if time >= at("2021-01-15T00:00")] == [at("2021-01-15T10:10")]


def test_a_row_that_comes_late_wakes_the_days_after_it(monitor, tmp_path):
    playing.ingest(
        monitor, tmp_path / "early", [event_ping("2021-01-01T12:00:00Z", event("enroll"))]
    )
    for day in (2, 10, 16):
        monitor.run("daily", at(f"2021-01-{day:02}T03:00"))
        monitor.run("live", at(f"2021-01-{day:02}T03:00"))
    rows = playing.rows(monitor, DATASETS[POPULATION].table.name, "time")
    assert [time for (time,) in rows if time.day >= 15] == [
        at("2021-01-15T23:55"),
        at("2021-01-16T02:55"),
    ]
    playing.ingest(
        monitor, tmp_path / "late", [event_ping("2021-01-10T12:00:00Z", event("update"))]
    )
    monitor.run("daily", at("2021-01-16T03:02"))
    monitor.run("live", at("2021-01-16T03:02"))
    rows = playing.rows(monitor, DATASETS[POPULATION].table.name, "time")
    assert sum(time.day == 15 for (time,) in rows) == 288
    assert sum(time.day == 16 for (time,) in rows) == 37


def test_active_clients_of_a_day_are_at_midnight_after_it(monitor, tmp_path):
    dataset = "experiment_enrollment_daily_active_population"
    pings = [
        main_ping("2021-01-26T12:00:00Z", {"exp": "a", "roll": None}, client="one"),
        main_ping("2021-01-26T13:00:00Z", {"exp": "b", "roll": "null"}, client="one"),
        main_ping("2021-01-26T14:00:00Z", {"exp": "a"}, client="two"),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("live", at("2021-01-27T02:59"))
    assert playing.rows(monitor, DATASETS[dataset].table.name) == []
    monitor.run("daily", at("2021-01-27T03:00"))
    monitor.run("live", at("2021-01-27T03:00"))
    midnight = at("2021-01-27T00:00")
    assert playing.rows(monitor, DATASETS[dataset].table.name) == [
        (midnight, "a", "exp", 2),
        (midnight, "b", "exp", 1),
        (midnight, "null", "roll", 2),
    ]


def test_a_day_that_shrinks_when_it_is_final_takes_later_days_along(monitor, tmp_path):
    pings = [
        event_ping("2021-01-26T12:00:00Z", event("enroll"), id="twice"),
        event_ping("2021-01-26T12:00:01Z", event("enroll"), id="twice"),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    table = DATASETS[POPULATION].table.name
    monitor.run("live", at("2021-01-27T02:55"))
    assert {value for *_, value in playing.rows(monitor, table)} == {2}
    monitor.run("daily", at("2021-01-27T03:00"))
    monitor.run("live", at("2021-01-27T03:00"))
    assert {value for *_, value in playing.rows(monitor, table)} == {1}
