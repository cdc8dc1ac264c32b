from __future__ import annotations

import gc
import gzip
import json
import threading
from datetime import UTC, date, datetime, timedelta, timezone

import pandas as pd
import pytest

import pings
import playing
from expmon import connect
from expmon import ingest as ingestion
from expmon.errors import InvalidTime, WarehouseError
from playing import at

EVENT_V4, MAIN_V4 = "telemetry_live.event_v4", "telemetry_live.main_v4"
EXPERIMENTS = "monitoring.experimenter_experiments_v1"
RECEIVED = at("2021-01-26T00:07")


def times(monitor, source=EVENT_V4):
    return [moment for (moment,) in playing.rows(monitor, source, "submission_timestamp")]


def test_the_real_pings_are_counted_and_fetched(monitor, data):
    samples = [data / "event.4.sample.json", data / "main.4.sample.json.gz"]
    ingested = monitor.ingest(samples, RECEIVED)
    assert ingested.rows == {EVENT_V4: 1, MAIN_V4: 1}
    assert (ingested.days, ingested.skipped) == ((date(2021, 1, 26),), ())

    monitor.run("live", at("2021-01-26T00:20"))

    searches = monitor.fetch_dataframe("experiment_search_aggregates_live", "test_id123")
    assert searches.to_dict("records") == [
        {
            "experiment": "test_id123",
            "branch": "brunch",
            "window_start": pd.Timestamp("2021-01-26 00:05", tz="UTC"),
            "window_end": pd.Timestamp("2021-01-26 00:10", tz="UTC"),
            "search_count": 5,
            "search_with_ads_count": 0,
            "ad_clicks_count": 0,
            "cumulative_search_count": 5,
            "cumulative_search_with_ads_count": 0,
            "cumulative_ad_clicks_count": 0,
        }
    ]
    running = monitor.fetch_dataframe("experiment_cumulative_search_count", "test_id123")
    assert running.to_dict("records") == [
        {
            "time": pd.Timestamp("2021-01-26", tz="UTC") + pd.Timedelta(minutes=minutes),
            "branch": "brunch",
            "experiment": "test_id123",
            "value": 5,
        }
        for minutes in (5, 10, 15)
    ]
    # Neither ping has an enrollment event, in whatever experiment.
    for slug in ("test_id123", "searchCohort"):
        assert monitor.fetch_dataframe("experiment_enrollment_aggregates_live", slug).empty


def test_a_real_event_ping_with_an_enrollment_is_counted_in_the_enrollment_view(
    monitor, data, tmp_path
):
    ping = json.loads((data / "event.4.sample.json").read_text())
    ping["payload"]["events"]["parent"].append(pings.event("enroll", "searchCohort", "nov17-2"))
    monitor.ingest(pings.write(tmp_path / "event.jsonl", [ping]), RECEIVED)
    monitor.run("live", at("2021-01-26T00:20"))
    frame = monitor.fetch_dataframe("experiment_enrollment_aggregates_live", "searchCohort")
    assert frame["branch"].tolist() == ["nov17-2"]
    assert frame["window_start"].tolist() == [pd.Timestamp("2021-01-26 00:05", tz="UTC")]
    assert (frame["enroll_count"].tolist(), frame["unenroll_count"].tolist()) == ([1], [0])


def test_what_cannot_be_read_is_reported_with_file_and_line_and_the_rest_is_loaded(
    monitor, tmp_path
):
    good = json.dumps(pings.event_ping("2021-01-26T00:01:00Z", pings.event("enroll")))
    other = json.dumps({"type": "crash", "version": 4, "id": "x"})
    torn = good[:-20]
    path = tmp_path / "mixed.jsonl"
    lines = [good, "no JSON", "", torn, good, other, "[1]", good]
    path.write_text("".join(f"{line}\n" for line in lines))
    ingested = monitor.ingest(path)
    assert ingested.rows == {EVENT_V4: 3}
    assert [(u.path, u.line) for u in ingested.skipped] == [(path, n) for n in (2, 4, 6, 7)]
    assert str(ingested.skipped[2]).startswith(f"{path}:6: ")
    assert "'crash'" in str(ingested.skipped[2])
    assert len(times(monitor)) == 3


def test_a_missing_file_is_reported_and_the_others_are_loaded(monitor, tmp_path):
    there = pings.write(tmp_path / "there.jsonl", [pings.event_ping("2021-01-26T00:01:00Z")])
    gone = tmp_path / "gone.jsonl"
    ingested = monitor.ingest([gone, there])
    assert ingested.rows == {EVENT_V4: 1}
    assert [(u.path, u.line) for u in ingested.skipped] == [(gone, 0)]
    assert str(ingested.skipped[0]) == f"{gone}: the file can't be read: No such file or directory"


@pytest.mark.parametrize(
    ("field", "argument", "received"),
    [
        (None, RECEIVED, RECEIVED),
        ("2021-01-25T10:00:00Z", RECEIVED, at("2021-01-25T10:00")),
        ("2021-01-25T10:00:00Z", None, at("2021-01-25T10:00")),
        ("2021-01-25 10:00:00.000001 UTC", None, at("2021-01-25T10:00:00.000001")),
        ("2021-01-25T23:30:00-01:00", None, at("2021-01-26T00:30")),
        (
            None,
            datetime(2021, 1, 26, 1, tzinfo=timezone(timedelta(hours=2))),
            at("2021-01-25T23:00"),
        ),
    ],
    ids=["argument", "field wins", "field", "as BigQuery prints it", "zone", "argument's zone"],
)
def test_a_pings_own_time_wins_over_the_argument(monitor, tmp_path, field, argument, received):
    ping = pings.event_ping(field)
    if field is None:
        del ping["submission_timestamp"]
    ingested = monitor.ingest(pings.write(tmp_path / "p.jsonl", [ping]), argument)
    assert times(monitor) == [received]
    assert ingested.days == (received.date(),)


def test_pings_without_any_time_are_reported_and_not_loaded(monitor, tmp_path):
    ping = pings.event_ping("")
    del ping["submission_timestamp"]
    ingested = monitor.ingest(pings.write(tmp_path / "p.jsonl", [ping]))
    assert ingested.rows == {}
    assert "submission_timestamp" in str(ingested.skipped[0])
    assert times(monitor) == []


def test_a_naive_argument_is_refused_before_anything_is_read(monitor, tmp_path):
    path = pings.write(tmp_path / "p.jsonl", [pings.event_ping("2021-01-26T00:01:00Z")])
    with pytest.raises(InvalidTime, match="submission_timestamp"):
        monitor.ingest(path, datetime(2021, 1, 26))  # noqa: DTZ001
    assert times(monitor) == []


def _plain(path):
    return path


def _text(path):
    return str(path)


def _generator(path):
    return (each for each in [path])


@pytest.mark.parametrize(
    "given",
    [_plain, _text, lambda p: [p], lambda p: (str(p),), _generator, lambda p: {p}],
    ids=["Path", "str", "list", "tuple of str", "generator", "set"],
)
def test_paths_are_one_or_several_in_whatever_shape(monitor, tmp_path, given):
    path = pings.write(tmp_path / "p.jsonl", [pings.event_ping("2021-01-26T00:01:00Z")] * 2)
    assert monitor.ingest(given(path)).rows == {EVENT_V4: 2}
    assert len(times(monitor)) == 2


def test_gzip_is_read_whatever_the_file_is_called(monitor, tmp_path):
    path = tmp_path / "pings.txt"
    path.write_bytes(gzip.compress(json.dumps(pings.event_ping("2021-01-26T00:01:00Z")).encode()))
    assert monitor.ingest(path).rows == {EVENT_V4: 1}


def test_a_file_loaded_twice_is_there_twice_and_its_final_day_counts_each_document_once(
    monitor, tmp_path
):
    ping = pings.event_ping("2021-01-25T00:01:00Z", pings.event("enroll"), id="same")
    path = pings.write(tmp_path / "p.jsonl", [ping])
    monitor.ingest(path)
    monitor.ingest(path)
    assert len(times(monitor)) == 2
    monitor.run("daily", at("2021-01-26T03:00"))
    monitor.run("live", at("2021-01-26T03:00"))
    frame = monitor.fetch_dataframe("experiment_enrollment_overall", "exp")
    assert frame["value"].tolist() == [1]


def recipe(slug, **fields):
    return {"slug": slug, "startDate": "2021-01-01", "branches": [], **fields}


def write_recipes(path, *recipes):
    path.write_text(json.dumps(recipes))
    return path


def test_the_real_recipes_become_experiments(monitor, data):
    ingested = monitor.ingest_recipes(data / "recipes.json")
    assert (ingested.rows, ingested.skipped) == ({EXPERIMENTS: 5}, ())
    frame = monitor.experiments(at("2024-12-20T00:00"))
    told = frame[["slug", "type", "app_name", "channel"]].itertuples(index=False, name=None)
    assert list(told) == [
        ("ios-dma-onboarding", "rollout", "firefox_ios", "release"),
        ("long-term-holdback-2025-h1-growth-ios", "experiment", "firefox_ios", "release"),
    ]


def test_a_recipe_replaces_the_one_of_its_slug_and_no_other(monitor, tmp_path):
    first = write_recipes(tmp_path / "1.json", recipe("a", channel="beta"), recipe("b"))
    monitor.ingest_recipes(first)
    monitor.ingest_recipes(write_recipes(tmp_path / "2.json", recipe("a", channel="release")))
    assert playing.rows(monitor, EXPERIMENTS, "normandy_slug", "channel") == [
        ("a", "release"),
        ("b", None),
    ]


def test_of_two_recipes_of_a_slug_the_last_counts_also_over_files(monitor, tmp_path):
    paths = [
        write_recipes(tmp_path / "1.json", recipe("a", channel="x"), recipe("a", channel="y")),
        write_recipes(tmp_path / "2.json", recipe("a", channel="z")),
    ]
    assert monitor.ingest_recipes(path for path in paths).rows == {EXPERIMENTS: 1}
    assert playing.rows(monitor, EXPERIMENTS, "channel") == [("z",)]


def test_a_recipe_that_cannot_be_read_is_reported_and_the_others_are_loaded(monitor, tmp_path):
    path = write_recipes(
        tmp_path / "r.json", recipe("good"), recipe("late", startDate="soon"), {"channel": "x"}
    )
    missing, broken = tmp_path / "gone.json", tmp_path / "broken.json"
    broken.write_text("[{")
    ingested = monitor.ingest_recipes([missing, path, broken])
    assert [(u.path, u.line) for u in ingested.skipped] == [
        (missing, 0),
        (path, 0),
        (path, 0),
        (broken, 0),
    ]
    assert "late" in str(ingested.skipped[1])
    assert "startDate" in str(ingested.skipped[1])
    assert playing.rows(monitor, EXPERIMENTS, "normandy_slug") == [("good",)]


def test_a_recipe_that_cannot_be_read_leaves_the_experiment_as_it_was(monitor, tmp_path):
    monitor.ingest_recipes(write_recipes(tmp_path / "1.json", recipe("a", channel="beta")))
    monitor.ingest_recipes(write_recipes(tmp_path / "2.json", recipe("a", endDate="2020-01-01")))
    assert playing.rows(monitor, EXPERIMENTS, "normandy_slug", "channel") == [("a", "beta")]


def test_a_file_without_recipes_changes_nothing(monitor, tmp_path):
    monitor.ingest_recipes(write_recipes(tmp_path / "1.json", recipe("a")))
    assert monitor.ingest_recipes(write_recipes(tmp_path / "2.json")).rows == {EXPERIMENTS: 0}
    assert playing.rows(monitor, EXPERIMENTS, "normandy_slug") == [("a",)]


def test_days_are_those_in_utc_of_all_that_was_loaded(monitor, tmp_path):
    moments = ["2021-01-26T00:00:00Z", "2021-01-25T23:59:59.999999Z", "2021-01-28T01:00:00+02:00"]
    path = pings.write(tmp_path / "p.jsonl", [pings.event_ping(moment) for moment in moments])
    assert monitor.ingest(path).days == tuple(date(2021, 1, day) for day in (25, 26, 27))
    assert all(moment.tzinfo is UTC for moment in times(monitor))


@pytest.mark.parametrize("moment", ["0999-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_ping_of_an_impossible_year_costs_nothing_else(tmp_path, monitor, moment):
    both = [pings.event_ping("2021-01-26T00:01:00Z"), pings.event_ping(moment)]
    assert sum(monitor.ingest(pings.write(tmp_path / "p.json", both)).rows.values()) == 2


def test_two_ingests_of_one_process_at_once_both_succeed(tmp_path, warehouse_file):
    path = pings.write(tmp_path / "p.json", [pings.event_ping("2021-01-26T00:01:00Z")] * 200)
    failures = []

    def load(monitor):
        for _ in range(5):
            try:
                monitor.ingest(path)
            except WarehouseError as error:
                failures.append(error)

    url = f"duckdb://{warehouse_file}"
    with connect(url) as one, connect(url) as two:
        threads = [threading.Thread(target=load, args=(monitor,)) for monitor in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert one.ingest(path).rows == {"telemetry_live.event_v4": 200}


def test_more_pings_than_go_into_a_batch_are_all_loaded_once(monitor, tmp_path, monkeypatch):
    monkeypatch.setattr(ingestion, "_BATCH", 3)
    events = [pings.event_ping("2021-01-26T00:01:00Z", id=f"e{n}") for n in range(10)]
    mains = [pings.main_ping("2021-01-27T00:01:00Z", {}, id=f"m{n}") for n in range(6)]
    path = pings.write(tmp_path / "p.jsonl", [*events, *mains])
    ingested = monitor.ingest(path)
    assert ingested.rows == {EVENT_V4: 10, MAIN_V4: 6}
    assert ingested.days == (date(2021, 1, 26), date(2021, 1, 27))
    for source, sent in ((EVENT_V4, events), (MAIN_V4, mains)):
        assert playing.rows(monitor, source, "document_id") == sorted((p["id"],) for p in sent)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_afterwards_as_it_was(monitor, tmp_path, enabled):
    path = pings.write(tmp_path / "p.jsonl", [pings.event_ping("2021-01-26T00:01:00Z")])
    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        monitor.ingest(path)
        assert gc.isenabled() is enabled
        (tmp_path / "monitoring.duckdb").unlink()
        monitor.close()
        with pytest.raises(WarehouseError):
            monitor.ingest(path)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_what_is_reported_keeps_no_pings_in_memory(monitor, tmp_path):
    path = pings.write(tmp_path / "p.jsonl", [pings.event_ping("soon")])
    (unreadable,) = monitor.ingest(path).skipped
    assert unreadable.error.__traceback__ is None
