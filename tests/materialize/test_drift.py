"""Live counts of final days beside the final ones, with counts made by hand."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

import expmon
import playing
from expmon.catalog import TIERS
from expmon.errors import InvalidInput
from expmon.materialize.drift import CountDrift, DayDrift
from expmon.warehouse.fake import FakeWarehouse
from expmon.warehouse.protocol import Written
from expmon.windows import Partition
from pings import event, event_ping, main_ping
from playing import at

DAY = date(2021, 1, 25)
MIDNIGHT, FINAL = at("2021-01-26T00:30"), at("2021-01-26T03:00")
"""When the day's last hour is ready, and when the day is."""
ENROLLMENT, SEARCH = TIERS
DUPLICATES = [
    event_ping("2021-01-25T00:00:00Z", event("enroll"), event("exposure"), id="twice"),
    event_ping("2021-01-25T23:59:59.999999Z", event("enroll"), event("exposure"), id="twice"),
    event_ping("2021-01-25T11:00:00Z", event("enroll", branch=None), event("enroll", "other")),
    main_ping("2021-01-25T10:10:00Z", {"exp": "a", "idle": "a"}, id="first"),
    *[main_ping("2021-01-25T10:10:00Z", {"exp": "a"}, searches={"x": "5"}, id="again")] * 3,
    main_ping("2021-01-25T10:10:00Z", {"exp": "b"}, searches={"x": "2"}, with_ads={"x": 4}),
    # Not of this day.
    event_ping("2021-01-24T23:59:59.999999Z", event("enroll")),
    event_ping("2021-01-26T00:00:00Z", event("enroll")),
]


def load(monitor, tmp_path, pings):
    playing.ingest(monitor, tmp_path / "pings.json", pings)


def test_documents_that_came_twice_are_more_live_than_final(monitor, tmp_path):
    load(monitor, tmp_path, DUPLICATES)
    monitor.run("hourly", MIDNIGHT)
    monitor.run("daily", FINAL)
    assert monitor.drift(FINAL, days=1) == [
        DayDrift(
            "enrollment",
            DAY,
            24,
            (
                CountDrift("exp", "enroll_count", 3, 2),
                CountDrift("exp", "exposure_count", 2, 1),
                CountDrift("other", "enroll_count", 1, 1),
            ),
        ),
        DayDrift(
            "search",
            DAY,
            24,
            (
                CountDrift("exp", "search_count", 17, 7),
                CountDrift("exp", "search_with_ads_count", 4, 4),
            ),
        ),
    ]


def test_documents_that_came_after_their_hour_was_counted_are_only_final(monitor, tmp_path):
    load(monitor, tmp_path, [event_ping("2021-01-25T10:00:00Z", event("enroll"))])
    load(monitor, tmp_path, [main_ping("2021-01-25T10:00:00Z", {"exp": "a"}, searches={"x": "1"})])
    monitor.run("hourly", at("2021-01-25T11:30"))
    late = [
        event_ping("2021-01-25T10:59:59.999999Z", event("enroll"), event("unenroll", "late")),
        main_ping("2021-01-25T10:30:00Z", {"late": None}, searches={"x": "9"}),
        # Of an hour that isn't counted yet.
        event_ping("2021-01-25T11:00:00Z", event("enroll")),
    ]
    load(monitor, tmp_path, late)
    monitor.run("hourly", MIDNIGHT)
    monitor.run("daily", FINAL)
    enrollment, search = monitor.drift(FINAL)
    assert enrollment.counts == (
        CountDrift("exp", "enroll_count", 2, 3),
        CountDrift("late", "unenroll_count", 0, 1),
    )
    assert search.counts == (
        CountDrift("exp", "search_count", 1, 1),
        CountDrift("late", "search_count", 0, 9),
    )


def test_an_experiment_that_the_final_source_has_lost_is_only_live(monitor, tmp_path):
    both = [event("enroll", "lost"), event("enroll", "kept")]
    load(monitor, tmp_path, [event_ping("2021-01-25T10:00:00Z", *both)])
    monitor.run("hourly", MIDNIGHT)
    monitor.run("daily", FINAL)
    monitor.warehouse._file.execute(
        f"DELETE FROM {ENROLLMENT.daily.name} WHERE experiment = 'lost'"
    )
    assert monitor.drift(FINAL)[0].counts == (
        CountDrift("kept", "enroll_count", 1, 1),
        CountDrift("lost", "enroll_count", 1, 0),
    )


@pytest.mark.parametrize(("last", "hours"), [("2021-01-25T22:30", 22), ("2021-01-26T00:29", 23)])
def test_a_day_of_which_an_hour_was_never_written_is_not_known(monitor, tmp_path, last, hours):
    load(monitor, tmp_path, DUPLICATES)
    monitor.run("hourly", at(last))
    monitor.run("live", MIDNIGHT)  # recents have the rest
    monitor.run("daily", FINAL)
    monitor.run("hourly", FINAL)
    found = monitor.drift(FINAL, days=1)
    assert found == [DayDrift("enrollment", DAY, hours), DayDrift("search", DAY, hours)]
    assert [day.is_known for day in found] == [False, False]


def test_a_day_that_was_final_before_any_of_its_hours_is_not_known(monitor, tmp_path):
    load(monitor, tmp_path, DUPLICATES)
    monitor.run("daily", FINAL)
    monitor.run("hourly", FINAL)
    assert monitor.drift(FINAL, days=1) == [
        DayDrift("enrollment", DAY, 0),
        DayDrift("search", DAY, 0),
    ]


def test_a_day_on_which_nothing_happened_is_known(monitor, tmp_path):
    load(monitor, tmp_path, [event_ping("2021-01-24T10:00:00Z", event("enroll"))])
    monitor.run("hourly", MIDNIGHT)
    monitor.run("daily", FINAL)
    found = monitor.drift(FINAL, days=1)
    assert found[0] == DayDrift("enrollment", DAY, 24)
    assert found[0].is_known


def test_an_empty_warehouse_has_no_final_day(monitor):
    assert monitor.drift(FINAL) == []
    assert monitor.drift() == []


# Which days


def written(days, hours_of):
    """A warehouse with these final days, and all hours of those, in both aggregates."""
    entry = Written(FINAL, FINAL, FINAL, 1)
    empty = {name: [] for name in ("day", "experiment", "measure", "live", "final")}
    fake = FakeWarehouse()
    for tiers in TIERS:
        daily = {Partition(f"202101{day}"): entry for day in days}
        hourly = {Partition(f"202101{d}{h:02}"): entry for d in hours_of for h in range(24)}
        fake.written |= {tiers.daily.name: daily, tiers.hourly.name: hourly}
        fake.answers[f"{tiers.name}_drift"] = pa.table(empty)
    return fake


@pytest.mark.parametrize(
    ("as_of", "days", "found"),
    [
        ("2021-01-27T00:00", 1, [26]),
        ("2021-01-26T23:59:59.999999", 1, [25]),
        ("2021-01-27T00:00", 2, [25, 26]),
        ("2021-01-27T12:00", 13, [20, 22, 25, 26]),
        ("2021-01-25T00:00", 3, [22]),
        ("2021-01-28T00:00", 1, []),
    ],
)
def test_the_days_are_the_final_ones_of_so_many_before_the_moments_own(as_of, days, found):
    fake = written([20, 22, 25, 26], [])
    lines = expmon.Monitor(fake, None).drift(at(as_of), days=days)
    expected = [(day, name) for day in found for name in ("enrollment", "search")]
    assert [(line.day.day, line.aggregates) for line in lines] == expected
    assert fake.queries == []


def test_what_is_asked_for_is_bounded_by_the_days_that_are_known():
    fake = written([20, 21, 22, 23, 24], [19, 20, 22, 23, 25])
    del fake.written[SEARCH.hourly.name][Partition("2021012323")]
    lines = expmon.Monitor(fake, None).drift(at("2021-01-26T00:00"))
    days = [date(2021, 1, 20), date(2021, 1, 22), date(2021, 1, 23)]
    start = at("2021-01-20T00:00")
    assert fake.queries == [
        ("enrollment_drift", {"start": start, "end": at("2021-01-24T00:00"), "days": days}),
        ("search_drift", {"start": start, "end": at("2021-01-23T00:00"), "days": days[:2]}),
    ]
    hours = {(line.day.day, line.aggregates): line.hours for line in lines}
    assert hours[23, "search"] == 23
    assert hours[24, "enrollment"] == 0


@pytest.mark.parametrize("days", [0, -1, 14])
def test_days_whose_hours_are_not_kept_are_refused(days):
    with pytest.raises(InvalidInput, match=f"days must be 1 to 13, not {days}"):
        expmon.Monitor(FakeWarehouse(), None).drift(FINAL, days=days)


# How far


@pytest.mark.parametrize(
    ("live", "final", "difference", "percent"),
    [(110, 100, 10, 10.0), (90, 100, -10, -10.0), (0, 8, -8, -100.0), (3, 0, 3, None)],
)
def test_the_difference_is_in_percent_of_what_is_final(live, final, difference, percent):
    count = CountDrift("exp", "enroll_count", live, final)
    assert (count.difference, count.percent) == (difference, percent)


@pytest.mark.parametrize(
    ("live", "final", "answer"),
    [
        (105, 100, False),
        (106, 100, True),
        (95, 100, False),
        (94, 100, True),
        (10_501, 10_000, True),
        (100, 0, True),
        (99, 0, False),
        (0, 100, True),
        (0, 99, False),
        (1, 2, False),
        (100, 95, True),
        (99, 90, False),
        (0, 0, False),
    ],
)
def test_a_count_is_past_the_threshold_by_more_than_that_and_if_it_is_large(live, final, answer):
    count = CountDrift("exp", "enroll_count", live, final)
    assert count.is_past(5, at_least=100) is answer


def test_a_threshold_of_nothing_lets_no_difference_pass():
    assert CountDrift("exp", "enroll_count", 1001, 1000).is_past(0, at_least=1)
    assert not CountDrift("exp", "enroll_count", 1000, 1000).is_past(0, at_least=1)
