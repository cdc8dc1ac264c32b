from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import pytest

from expmon.errors import InvalidTime
from expmon.windows import (
    BUCKET,
    DAY,
    HOUR,
    WINDOW,
    Partition,
    day_start,
    days,
    floor,
    hours,
    instant,
    latest_window,
    utc,
)

TICK = timedelta(microseconds=1)
MIDNIGHT = datetime(2021, 1, 26, tzinfo=UTC)
EAST = timezone(timedelta(hours=5, minutes=30))


def at(*parts):
    return datetime(2021, 1, *parts, tzinfo=UTC)


def test_the_sizes_are_those_of_the_design():
    minutes = [size.total_seconds() / 60 for size in (WINDOW, BUCKET, HOUR, DAY)]
    assert minutes == [5, 30, 60, 1440]


@pytest.mark.parametrize(
    ("ts", "size", "start"),
    [
        (at(26, 0, 4, 59, 999999), WINDOW, at(26, 0, 0)),
        (at(26, 0, 5), WINDOW, at(26, 0, 5)),
        (at(26, 0, 5, 0, 1), WINDOW, at(26, 0, 5)),
        (at(26, 23, 59, 59, 999999), WINDOW, at(26, 23, 55)),
        (at(27), WINDOW, at(27)),
        (at(26, 0, 29, 59, 999999), BUCKET, at(26, 0, 0)),
        (at(26, 0, 30), BUCKET, at(26, 0, 30)),
        (at(26, 5, 59, 59, 999999), HOUR, at(26, 5)),
        (at(26, 6), HOUR, at(26, 6)),
        (at(26, 23, 59, 59, 999999), DAY, at(26)),
        (at(27), DAY, at(27)),
        # Before 1970, where counting from the epoch would round up.
        (datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), DAY, datetime(1969, 12, 31, tzinfo=UTC)),
        (
            datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC),
            WINDOW,
            datetime(1969, 7, 20, 20, 15, tzinfo=UTC),
        ),
    ],
)
def test_a_slot_is_half_open_to_the_microsecond(ts, size, start):
    assert floor(ts, size) == start


def test_all_windows_of_a_day_begin_and_end_where_the_clock_says():
    starts = [at(26, hour, minute) for hour in range(24) for minute in range(0, 60, 5)]
    assert [floor(start, WINDOW) for start in starts] == starts
    assert [floor(start + timedelta(minutes=5) - TICK, WINDOW) for start in starts] == starts


@pytest.mark.parametrize(
    ("as_of", "start"),
    [
        (at(26, 0, 5), at(26, 0, 0)),
        (at(26, 0, 5, 0, 1), at(26, 0, 5)),
        (at(26, 0, 4, 59, 999999), at(26, 0, 0)),
        (at(26, 0, 0), at(25, 23, 55)),
        (at(26, 0, 0, 0, 1), at(26, 0, 0)),
        (at(26, 12, 33, 20), at(26, 12, 30)),
    ],
)
def test_the_latest_window_is_the_last_one_that_starts_before_as_of(as_of, start):
    assert latest_window(as_of) == start


def test_a_day_starts_at_midnight_in_utc():
    start = day_start(date(2021, 1, 26))
    assert start == MIDNIGHT
    assert start.tzinfo is UTC


@pytest.mark.parametrize("convert", [utc, instant])
@pytest.mark.parametrize(
    ("moment", "same"),
    [
        (MIDNIGHT, MIDNIGHT),
        (datetime(2021, 1, 26, 5, 30, tzinfo=EAST), MIDNIGHT),
        (datetime(2021, 1, 26, tzinfo=EAST), at(25, 18, 30)),
    ],
)
def test_a_datetime_with_a_zone_becomes_the_same_instant_in_utc(convert, moment, same):
    converted = convert(moment, "start")
    assert converted == same
    assert converted.tzinfo is UTC


class Nowhere(tzinfo):
    """A zone that doesn't know its offset: to Python a datetime in it is naive."""

    def utcoffset(self, _):
        return None


@pytest.mark.parametrize("convert", [utc, instant])
@pytest.mark.parametrize("zone", [None, Nowhere()])
def test_a_naive_datetime_is_refused_by_name_and_told_what_to_give(convert, zone):
    naive = datetime(2021, 1, 26, 0, 5, tzinfo=zone)
    with pytest.raises(
        InvalidTime, match="start = 2021-01-26T00:05:00 has no time zone"
    ) as refusal:
        convert(naive, "start")
    assert "datetime(2021, 1, 26, tzinfo=timezone.utc)" in str(refusal.value)


def test_a_date_is_an_instant_but_no_datetime():
    assert instant(date(2021, 1, 26), "start") == MIDNIGHT
    with pytest.raises(InvalidTime, match="start must be a datetime, not"):
        utc(date(2021, 1, 26), "start")


@pytest.mark.parametrize("convert", [utc, instant])
@pytest.mark.parametrize("value", ["2021-01-26", 1611619500, None])
def test_what_is_no_time_is_refused_by_name(convert, value):
    with pytest.raises(InvalidTime, match="end must be a datetime, not"):
        convert(value, "end")


def test_days_are_half_open_and_cross_months():
    found = list(days(date(2021, 2, 27), date(2021, 3, 2)))
    assert found == [date(2021, 2, 27), date(2021, 2, 28), date(2021, 3, 1)]


@pytest.mark.parametrize("end", [date(2021, 1, 26), date(2021, 1, 25)])
def test_there_are_no_days_between_a_day_and_an_end_that_is_not_later(end):
    assert list(days(date(2021, 1, 26), end)) == []


def test_hours_are_half_open_and_cross_midnight():
    assert list(hours(at(25, 22), at(26, 1))) == [at(25, 22), at(25, 23), at(26)]
    assert list(hours(at(25, 22), at(26, 0, 0, 0, 1))) == [at(25, 22), at(25, 23), at(26)]


@pytest.mark.parametrize("end", [at(26, 5), at(26, 4)])
def test_there_are_no_hours_between_an_hour_and_an_end_that_is_not_later(end):
    assert list(hours(at(26, 5), end)) == []


def test_a_day_has_24_hours():
    assert list(hours(at(26), at(27))) == [at(26, hour) for hour in range(24)]


@pytest.mark.parametrize(
    ("partition", "name", "text"),
    [
        (Partition.of_day(date(2021, 1, 6)), "20210106", "day 2021-01-06"),
        (Partition.of_hour(at(6, 5)), "2021010605", "hour 2021-01-06T05"),
        (Partition.of_hour(at(6)), "2021010600", "hour 2021-01-06T00"),
        (Partition.whole(), "", "whole table"),
    ],
)
def test_a_partition_has_bigquerys_name_and_one_for_people(partition, name, text):
    assert partition.id == name
    assert str(partition) == text
    assert partition == Partition(name)


@pytest.mark.parametrize(
    ("name", "start", "end", "day"),
    [
        ("20210131", at(31), datetime(2021, 2, 1, tzinfo=UTC), date(2021, 1, 31)),
        ("2021013122", at(31, 22), at(31, 23), date(2021, 1, 31)),
        ("2021013123", at(31, 23), datetime(2021, 2, 1, tzinfo=UTC), date(2021, 1, 31)),
        ("2021010100", at(1), at(1, 1), date(2021, 1, 1)),
    ],
)
def test_a_partition_ends_where_the_next_one_starts(name, start, end, day):
    partition = Partition(name)
    assert (partition.start, partition.end, partition.day) == (start, end, day)
    assert partition.start.tzinfo is UTC


def test_a_whole_table_has_neither_start_nor_end_nor_day():
    for edge in ("start", "end", "day"):
        with pytest.raises(ValueError, match="a whole table has no start"):
            getattr(Partition.whole(), edge)


@pytest.mark.parametrize(
    "name",
    [
        *("2021", "202101", "2021012", "202101260", "202101260500", "2021-01-26", "2021012a"),
        *("__NULL__", " 20210126", "20210126\n", "-2021012", "\N{FULLWIDTH DIGIT TWO}0210126"),
    ],
)
def test_what_is_no_name_of_a_partition_is_refused(name):
    with pytest.raises(ValueError, match="is no partition: YYYYMMDD, YYYYMMDDHH or empty"):
        Partition(name)


def test_partitions_sort_by_time_and_can_be_members_of_a_set():
    day, hour, later = Partition("20210126"), Partition("2021012605"), Partition("20210127")
    assert sorted([later, hour, day]) == [day, hour, later]
    assert {Partition("20210126"), day} == {day}


def test_a_partition_cannot_be_changed():
    partition = Partition("20210126")
    with pytest.raises(AttributeError):
        partition.id = "20210127"


@pytest.mark.parametrize(
    "id", ["20211345", "2021010124", "202101", "2021010", "20210101050", "2021-1-1"]
)
def test_a_partition_is_a_day_or_an_hour_that_exists(id):
    with pytest.raises(ValueError, match="is no partition"):
        Partition(id)


def test_a_time_out_of_range_is_refused_by_name():
    early = datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))
    with pytest.raises(InvalidTime, match=r"start = .* is out of range"):
        utc(early, "start")
