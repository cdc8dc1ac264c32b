"""What is summed up of main pings, and which clients are active: section 3, case by case."""

from __future__ import annotations

import json

import pytest

import playing
from pings import main_ping
from playing import at

DAILY = "telemetry_derived.experiment_search_aggregates_v1"
RECENTS = "telemetry_derived.experiment_search_aggregates_recents_v1"
LIVE = "telemetry_derived.experiment_search_aggregates_live_v1"
CLIENTS = "telemetry_derived.experiments_daily_active_clients_v1"
NOON = "2021-01-26T12:00:00Z"
SUMS = ("search_count", "search_with_ads_count", "ad_clicks_count")


@pytest.fixture
def summed(monitor, tmp_path):
    """What recents hold of some pings, by the columns named."""

    def sums(*pings, columns=SUMS):
        playing.ingest(monitor, tmp_path / "pings.json", pings)
        monitor.run("live", at("2021-01-27T00:00"))
        return playing.rows(monitor, RECENTS, *columns)

    return sums


@pytest.mark.parametrize(
    ("histogram", "searches"),
    [
        # The five encodings of data/README.md.
        ({"bucket_count": 3, "histogram_type": 4, "sum": 5, "range": [1, 2], "values": {}}, 5),
        ('{"bucket_count":3,"histogram_type":4,"sum":5,"range":[1,2],"values":{"0":5,"1":0}}', 5),
        ("3;2;7;1,2;0:0,1:5,2:1", 7),
        ("4,7", 7),
        ("7", 7),
        ("foo", 0),
        # Other ways to write the same, or nothing.
        (7, 7),
        ("0", 0),
        ("007", 7),
        ("3;2;7;1,2;", 7),
        ('{"sum": "7"}', 7),
        ('{"values": {"0": 5}}', 0),
        ('{"sum": null}', 0),
        ("", 0),
        (" 7", 0),
        ("7\n", 0),
        ("-7", 0),
        ("4,-7", 0),
        ("7.0", 0),
        ("4,7,8", 0),
        ("3;2;7", 0),
        ("3;2;7;;", 0),
        ("3;2;7;a b;c", 0),
        ("٧", 0),  # noqa: RUF001 - a digit, but not one of JSON's
        (None, 0),
        (True, 0),
        ([7], 0),
        # Documents that are no JSON, or no whole number of searches.
        ('{"sum":5', 0),
        ('{"sum":5}garbage', 0),
        ('{"sum":5,}', 0),
        ('{"sum":5,"x":NaN}', 0),
        ('{"sum":5,"x":nan}', 0),
        ('{"sum":5,"x":"\\ud800"}', 0),
        ('{"sum":5,"x":-inf}', 0),
        ('{"sum":5,"x":Infinity}', 0),
        ('{"sum":5,"x":"inf"}', 5),
        ("{'sum':5}", 0),
        ('{"sum":5}//c', 0),
        ('{"sum":5,"x":",}"}', 5),
        ('{"sum":5.5}', 0),
        ('{"sum":5.0}', 0),
        ('{"sum":-5}', 0),
        ('{"sum":true}', 0),
        ('{"sum":[5]}', 0),
        ('[{"sum":5}]', 0),
        # What no client can have searched.
        ("999999999", 999_999_999),
        ("1000000000", 0),
        ('{"sum":9223372036854775807}', 0),
        ('{"sum":99999999999999999999999}', 0),
        (json.dumps({"sum": 5, "x": 10**40}), 5),
    ],
)
def test_a_histograms_sum_counts_in_each_encoding_and_anything_else_as_zero(
    summed, histogram, searches
):
    ping = main_ping(NOON, {"exp": "a"}, searches={"google.urlbar": histogram})
    assert summed(ping) == [(searches, 0, 0)]


def test_the_three_sums_of_a_ping_are_taken_separately(summed):
    ping = main_ping(
        NOON,
        {"exp": "a"},
        searches={"google.urlbar": "1", "bing.urlbar": "2", "ddg.urlbar": "foo"},
        with_ads={"google:sap": 10, "bing:sap": 20},
        ad_clicks={"google:sap": 100, "google:organic": 200, "bing:sap": 300},
    )
    assert summed(ping) == [(3, 30, 600)]


@pytest.mark.parametrize(
    ("given", "sums"),
    [
        ({"searches": {"a": "5"}}, (5, 0, 0)),
        ({"with_ads": {"a": 5}}, (0, 5, 0)),
        ({"ad_clicks": {"a": 5}}, (0, 0, 5)),
        ({"searches": {"a": "5"}, "with_ads": {}, "ad_clicks": {}}, (5, 0, 0)),
        ({"searches": {}, "with_ads": {"a": 5}}, (0, 5, 0)),
        ({"searches": {}}, (0, 0, 0)),
        ({}, (0, 0, 0)),
    ],
)
def test_an_empty_or_missing_array_loses_neither_the_ping_nor_the_others(summed, given, sums):
    assert summed(main_ping(NOON, {"exp": "a"}, **given)) == [sums]


def test_a_scalar_that_is_no_plausible_number_counts_as_zero(summed):
    values = {"a": 3, "b": -1, "c": 2**63 - 1, "d": 10**9, "e": "4", "f": 1.5, "g": True}
    assert summed(main_ping(NOON, {"exp": "a"}, with_ads=values)) == [(0, 3, 0)]


def test_one_absurd_ping_does_not_stop_the_others_from_being_counted(summed):
    absurd = main_ping(
        NOON, {"exp": "a"}, searches={"a": str(2**63 - 1), "b": "1"}, ad_clicks={"a": 2**63 - 1}
    )
    nested = main_ping(NOON, {"exp": "a"}, searches={"a": f'{{"x":{"[" * 1001}{"]" * 1001}}}'})
    assert summed(absurd, nested, main_ping(NOON, {"exp": "a"}, searches={"a": "2"})) == [(3, 0, 0)]


def test_a_ping_counts_in_each_of_its_experiments(summed):
    ping = main_ping(NOON, {"one": "a", "two": "b", "three": None}, searches={"a": "5"})
    found = summed(ping, columns=("experiment", "branch", "search_count"))
    assert found == [("one", "a", 5), ("three", None, 5), ("two", "b", 5)]


def test_a_ping_in_no_experiment_makes_no_row(summed):
    assert summed(main_ping(NOON, {}, searches={"a": "5"})) == []


def test_pings_of_one_window_are_added_up(summed):
    found = summed(
        main_ping("2021-01-26T12:00:00Z", {"exp": "a"}, searches={"a": "1"}),
        main_ping("2021-01-26T12:04:59.999999Z", {"exp": "a"}, searches={"a": "2"}),
        main_ping("2021-01-26T12:05:00Z", {"exp": "a"}, searches={"a": "4"}),
        columns=("window_start", "search_count"),
    )
    assert found == [(at("2021-01-26T12:00"), 3), (at("2021-01-26T12:05"), 4)]


def test_the_final_sums_have_each_document_once_a_day(monitor, tmp_path):
    pings = [
        main_ping("2021-01-26T12:00:00Z", {"exp": "a"}, searches={"a": "1"}, id="twice"),
        main_ping("2021-01-26T12:10:00Z", {"exp": "a"}, searches={"a": "1"}, id="twice"),
        main_ping("2021-01-27T00:00:00Z", {"exp": "a"}, searches={"a": "1"}, id="twice"),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("daily", at("2021-01-28T03:00"))
    assert playing.rows(monitor, DAILY, "window_start", "search_count") == [
        (at("2021-01-26T12:00"), 1),
        (at("2021-01-27T00:00"), 1),
    ]


def test_the_live_view_has_running_sums_per_experiment_and_branch(monitor, tmp_path):
    pings = [
        main_ping("2021-01-26T01:00:00Z", {"exp": "a"}, searches={"a": "1"}, with_ads={"a": 10}),
        main_ping("2021-01-27T01:00:00Z", {"exp": "a"}, searches={"a": "2"}, ad_clicks={"a": 5}),
        main_ping("2021-01-27T01:00:00Z", {"exp": "b"}, searches={"a": "4"}),
        main_ping("2021-01-27T02:00:00Z", {"exp": "a"}, searches={"a": "8"}),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("daily", at("2021-01-27T03:00"))  # the first day is final
    monitor.run("hourly", at("2021-01-27T03:00"))  # an hour of the second one is written
    monitor.run("live", at("2021-01-27T03:00"))  # the other is in recents
    running = tuple(f"cumulative_{name}" for name in SUMS)
    assert playing.rows(monitor, LIVE, "branch", "window_start", "search_count", *running) == [
        ("a", at("2021-01-26T01:00"), 1, 1, 10, 0),
        ("a", at("2021-01-27T01:00"), 2, 3, 10, 5),
        ("a", at("2021-01-27T02:00"), 8, 11, 10, 5),
        ("b", at("2021-01-27T01:00"), 4, 4, 0, 0),
    ]


def test_a_client_is_active_once_in_each_branch_of_its_day(monitor, tmp_path):
    pings = [
        main_ping("2021-01-26T01:00:00Z", {"exp": "a"}, client="one"),
        main_ping("2021-01-26T02:00:00Z", {"exp": "a"}, client="one"),
        main_ping("2021-01-26T03:00:00Z", {"exp": "b", "other": None}, client="one"),
        main_ping("2021-01-26T04:00:00Z", {"exp": "a"}, client="two"),
        main_ping("2021-01-26T04:00:00Z", {}, client="three"),
        main_ping("2021-01-27T00:00:00Z", {"exp": "a"}, client="two"),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("daily", at("2021-01-27T03:00"))
    day = at("2021-01-26T00:00").date()
    assert playing.rows(monitor, CLIENTS) == [
        (day, "exp", "a", 2),
        (day, "exp", "b", 1),
        (day, "other", None, 1),
    ]
    clients = playing.rows(monitor, "telemetry.clients_daily", "submission_date", "client_id")
    assert [client for d, client in clients if d == day] == ["one", "three", "two"]
