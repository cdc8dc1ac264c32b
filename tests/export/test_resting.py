"""Experiments past their 14 days are exported when a half hour is over, and rest in between."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta

import pytest

import pings
import playing
from expmon import Monitor, connect
from expmon.catalog.sources import EXPERIMENTS
from expmon.export.index import CLAIM, INDEX
from expmon.export.store import MemoryStore
from exporting import exported, index_of
from playing import at

OLD, YOUNG = "old", "young"
OVERALL = f"{OLD}_experiment_enrollment_overall.json"
MINUTE = timedelta(minutes=1)


def enrolled(*times):
    return [
        pings.event_ping(f"2021-01-26T{t}Z", pings.event("enroll", slug, "a"))
        for slug in (OLD, YOUNG)
        for t in times
    ]


@pytest.fixture
def monitor(deployed_file, tmp_path):
    """An old experiment and a young one, for which the live run of 05:30 has run."""
    path = shutil.copy(deployed_file, tmp_path / "m.duckdb")
    with connect(f"duckdb://{path}") as connected:
        opened = Monitor(connected.warehouse, MemoryStore())
        starts = {OLD: date(2021, 1, 1), YOUNG: date(2021, 1, 26)}
        rows = [{"normandy_slug": slug, "start_date": start} for slug, start in starts.items()]
        opened.warehouse.load(EXPERIMENTS, rows)
        playing.ingest(opened, tmp_path / "pings.jsonl", enrolled("05:01:00", "05:26:00"))
        opened.run("live", at("2021-01-26T05:30"))
        yield opened


def export(monitor, time, *, day="26"):
    """Export all; which experiments were exported, and which rest."""
    done = monitor.export_active(at(f"2021-01-{day}T{time}"))
    return set(done.experiments), set(done.resting)


def test_an_old_experiment_rests_until_the_next_half_hour_is_over(monitor):
    assert export(monitor, "05:30") == ({OLD, YOUNG}, set())
    assert export(monitor, "05:30:00.000001") == ({YOUNG}, {OLD})
    assert export(monitor, "05:59:59.999999") == ({YOUNG}, {OLD})
    assert export(monitor, "06:00") == ({OLD, YOUNG}, set())
    assert export(monitor, "06:05") == ({YOUNG}, {OLD})


def test_what_rests_is_neither_read_nor_written_and_the_index_says_since_when(monitor):
    asked = []

    class Recording:
        check_version = monitor.warehouse.check_version

        def query(self, statement, parameters):
            return monitor.warehouse.query(statement, parameters)

        def batches(self, statement, parameters):
            asked.append(parameters["slugs"])
            return monitor.warehouse.batches(statement, parameters)

    watched = Monitor(Recording(), monitor.store)
    export(watched, "05:30")
    monitor.store.written.clear()
    export(watched, "05:35")
    assert asked == [[OLD, YOUNG], [YOUNG]]
    assert not [name for name in monitor.store.written if name.startswith(OLD)]
    index = index_of(monitor.store)
    assert index["as_of"] == "2021-01-26 05:35:00 UTC"
    assert index["files"][OVERALL]["as_of"] == "2021-01-26 05:30:00 UTC"
    assert index["files"][OVERALL.replace(OLD, YOUNG)]["as_of"] == "2021-01-26 05:35:00 UTC"


def test_where_all_rest_no_series_are_asked_for(monitor):
    monitor.warehouse._file.execute(f"DELETE FROM {EXPERIMENTS.name} WHERE normandy_slug = 'young'")
    export(monitor, "05:30")
    files = dict(exported(monitor.store))
    assert export(monitor, "05:35") == (set(), {OLD})
    assert exported(monitor.store) == files


def test_an_export_by_name_takes_no_rest(monitor):
    export(monitor, "05:30")
    done = monitor.export_experiment(OLD, as_of=at("2021-01-26T05:35"))
    assert (done.experiments, done.resting) == ((OLD,), ())
    assert index_of(monitor.store)["files"][OVERALL]["as_of"] == "2021-01-26 05:35:00 UTC"


def test_files_are_at_all_times_as_in_a_store_of_their_own(monitor, tmp_path):
    """While data arrives, at the first export of each half hour; while none does, at each."""
    later = enrolled("05:33:00", "05:59:59", "06:00:00", "06:29:00")
    playing.ingest(monitor, tmp_path / "later.jsonl", later)
    for minutes in range(0, 95, 5):
        now = at("2021-01-26T05:30") + minutes * MINUTE
        monitor.run("live", now)
        monitor.export_active(now)
        fresh = Monitor(monitor.warehouse, MemoryStore())
        fresh.export_active(now)
        assert exported(monitor.store) == exported(fresh.store), now
    points = json.loads(monitor.store.objects[OVERALL])
    assert [(point["time"][11:16], point["value"]) for point in points] == [
        ("06:30", "2"),
        ("06:00", "2"),
        ("05:30", "2"),
    ]


def test_a_half_hour_whose_data_is_late_is_exported_when_it_comes(monitor, tmp_path):
    export(monitor, "05:30")
    playing.ingest(monitor, tmp_path / "late.jsonl", enrolled("05:31:00"))
    # The live run of 06:00 has failed.
    assert export(monitor, "06:00") == ({OLD, YOUNG}, set())
    assert export(monitor, "06:01") == ({YOUNG}, {OLD})
    monitor.run("live", at("2021-01-26T06:02"))
    assert export(monitor, "06:02") == ({OLD, YOUNG}, set())
    assert json.loads(monitor.store.objects[OVERALL])[0]["time"] == "2021-01-26 06:00:00 UTC"


def test_a_new_day_of_a_daily_dataset_is_exported_at_once(monitor, tmp_path):
    visits = [pings.main_ping(f"2021-01-{day}T07:00:00Z", {OLD: "a"}) for day in (25, 26)]
    playing.ingest(monitor, tmp_path / "visits.jsonl", visits)
    monitor.run("daily", at("2021-01-26T05:31"))
    for time in ("00:05", "03:00"):
        monitor.run("live", at(f"2021-01-27T{time}"))
        export(monitor, time, day="27")
    assert export(monitor, "03:01", day="27") == ({YOUNG}, {OLD})
    monitor.run("daily", at("2021-01-27T03:02"))
    monitor.run("live", at("2021-01-27T03:05"))
    assert export(monitor, "03:05", day="27") == ({OLD, YOUNG}, set())
    population = f"{OLD}_experiment_enrollment_daily_active_population.json"
    assert exported(monitor.store)[population] == [
        {"time": "2021-01-27 00:00:00 UTC", "value": "1"},
        {"time": "2021-01-26 00:00:00 UTC", "value": "1"},
    ]


def test_a_day_that_is_written_anew_is_exported_at_once(monitor, tmp_path):
    monitor.run("live", at("2021-01-27T03:00"))
    export(monitor, "03:00", day="27")
    assert export(monitor, "03:05", day="27") == ({YOUNG}, {OLD})
    playing.ingest(monitor, tmp_path / "late.jsonl", enrolled("06:01:00"))
    monitor.run("daily", at("2021-01-27T03:06"))
    monitor.run("live", at("2021-01-27T03:10"))
    assert export(monitor, "03:10", day="27") == ({OLD, YOUNG}, set())
    points = exported(monitor.store)[OVERALL]
    assert {"time": "2021-01-26 06:30:00 UTC", "value": "1"} in points
    assert export(monitor, "03:15", day="27") == ({YOUNG}, {OLD})


def test_an_experiment_that_grows_old_between_two_exports_does_not_rest_yet(monitor):
    becomes_old = at("2021-02-09T00:00")
    assert monitor.export_active(becomes_old).resting == ()
    assert monitor.export_active(becomes_old + MINUTE).resting == (OLD,)
    assert set(monitor.export_active(becomes_old + 2 * MINUTE).resting) == {OLD, YOUNG}


@pytest.mark.parametrize("lost", ["the index", "an entry", "an entry's time", "the claim's end"])
def test_what_is_not_known_for_certain_is_exported(monitor, lost):
    export(monitor, "05:30")
    index = index_of(monitor.store)
    if lost == "the index":
        del monitor.store.objects[INDEX]
    elif lost == "the claim's end":
        claim = json.loads(monitor.store.objects[CLAIM])
        monitor.store.write(CLAIM, json.dumps({**claim, "is_finished": False}).encode())
    elif lost == "an entry":
        del index["files"][OVERALL]
    else:
        index["files"][OVERALL]["as_of"] = "lately"
    if lost.startswith("an entry"):
        monitor.store.write(INDEX, json.dumps(index).encode())
    assert export(monitor, "05:35") == ({OLD, YOUNG}, set())
