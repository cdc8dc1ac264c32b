"""Exports of an embedded warehouse, judged by the reference in plain Python."""

from __future__ import annotations

import json
import logging
import shutil
from datetime import date, datetime, timedelta

import pytest

import pings
import playing
import reference
from expmon import Monitor, connect
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import ConfigError, InvalidInput, UnknownDataset, UnknownExperiment
from expmon.export.store import MemoryStore
from playing import at

NOW = at("2021-01-26T05:30")
SLUG = "exp"
DATASETS = reference.EIGHT
OVERALL = "experiment_enrollment_overall"


def traffic(slug):
    """Two days and a half of an experiment with a NULL branch, a quiet night and late changes."""
    return [
        *(
            pings.event_ping(f"{day}T{time}Z", pings.event(method, slug, branch))
            for day in ("2021-01-24", "2021-01-25", "2021-01-26")
            for time, method, branch in (
                ("00:00:00", "enroll", "control"),
                ("00:04:59.999999", "enroll", "treatment"),
                ("00:05:00", "enroll", None),
                ("00:29:59", "unenroll", "control"),
                ("00:30:00", "updateFailed", "treatment"),
                ("05:01:00", "graduate", "treatment"),
                ("05:08:00", "enroll", "control"),
                ("23:59:59", "enroll", "late"),
            )
        ),
        *(
            pings.main_ping(
                f"{day}T{time}Z",
                {slug: branch},
                searches={"google.urlbar": "3"},
                with_ads={"google": 2},
                ad_clicks={"google": 1},
            )
            for day in ("2021-01-24", "2021-01-25", "2021-01-26")
            for time, branch in (("01:00:00", "control"), ("05:06:00", "treatment"))
        ),
    ]


PINGS = [ping for slug in (SLUG, "other") for ping in traffic(slug)]
PLAYED = reference.Played(
    PINGS,
    NOW,
    frozenset({date(2021, 1, 24), date(2021, 1, 25)}),
    frozenset(at(f"2021-01-26T0{hour}:00") for hour in range(5)),
    date(2021, 1, 24),
)
TABLES = reference.derived(PLAYED)


@pytest.fixture(scope="session")
def played_file(deployed_file, tmp_path_factory):
    """A warehouse in which the schedules have run."""
    place = tmp_path_factory.mktemp("played")
    path = shutil.copy(deployed_file, place / "played.duckdb")
    with connect(f"duckdb://{path}") as monitor:
        playing.ingest(monitor, place / "pings.jsonl", PINGS)
        for cadence in ("daily", "hourly", "live"):
            monitor.run(cadence, NOW)
    return path


@pytest.fixture
def played(played_file, tmp_path):
    """A monitor of it, with a store in memory."""
    path = shutil.copy(played_file, tmp_path / "played.duckdb")
    with connect(f"duckdb://{path}") as connected:
        yield Monitor(connected.warehouse, MemoryStore())


def experiment(monitor, *rows, slug=SLUG):
    """Enter the experiment with a row of each start and end."""
    rows = [{"normandy_slug": slug, "start_date": s, "end_date": e} for s, e in rows]
    monitor.warehouse.load(EXPERIMENTS, rows)


def exported(store):
    return {
        name: json.loads(data)
        for name, data in store.objects.items()
        if name not in {"index.json", "_expmon/claim.json"}
    }


def expected(*, start, as_of, slug=SLUG):
    return reference.export_tables(TABLES, slug=slug, start=start, as_of=as_of)


@pytest.mark.parametrize("as_of", ["05:30:00", "05:29:59.999999", "05:07:00", "00:00:00"])
@pytest.mark.parametrize(
    "start",
    [date(2021, 1, 24), date(2021, 1, 25), date(2021, 1, 26), date(2021, 1, 13)],
    ids=["with the data", "a day of data cut off", "today", "before the data"],
)
def test_a_young_experiment_has_every_window_since_its_start(played, start, as_of):
    as_of = at(f"2021-01-26T{as_of}")
    experiment(played, (start, None))
    played.export_active(as_of)
    assert exported(played.store) == expected(start=start, as_of=as_of)


@pytest.mark.parametrize("as_of", ["05:30:00", "05:29:59.999999", "05:07:00", "00:00:00"])
@pytest.mark.parametrize("start", [date(2021, 1, 11), date(2020, 3, 1)])
def test_an_older_experiment_has_half_hours_that_are_over(played, start, as_of):
    as_of = at(f"2021-01-26T{as_of}")
    experiment(played, (start, None))
    played.export_active(as_of)
    assert exported(played.store) == expected(start=start, as_of=as_of)


def test_young_and_older_experiments_of_one_export_keep_their_own_grain(played):
    experiment(played, (date(2021, 1, 25), None))
    experiment(played, (date(2020, 12, 1), None), slug="other")
    result = played.export_active(NOW)
    assert sorted(result.experiments) == [SLUG, "other"]
    assert exported(played.store) == {
        **expected(start=date(2021, 1, 25), as_of=NOW),
        **expected(start=date(2020, 12, 1), as_of=NOW, slug="other"),
    }


def test_progress_is_told_once_of_each_experiment(played):
    for slug in (SLUG, "other"):
        experiment(played, (date(2021, 1, 24), None), slug=slug)
    told = []
    played.export_active(NOW, progress=told.append)
    assert sorted(told) == [SLUG, "other"]


def test_an_experiment_has_every_window_until_exactly_14_days_after_its_start(played):
    experiment(played, (date(2021, 1, 12), None))
    as_of = at("2021-01-26T00:00")
    played.export_active(as_of)
    name = f"{SLUG}_{OVERALL}.json"
    assert json.loads(played.store.objects[name])[0]["time"] == "2021-01-25 23:55:00 UTC"
    played.export_active(as_of + timedelta(microseconds=1))
    assert json.loads(played.store.objects[name])[0]["time"] == "2021-01-26 00:00:00 UTC"


def test_half_hours_add_counts_up_and_take_the_last_of_running_sums(monitor, tmp_path):
    enrolled = (("00:01", "a"), ("00:16", "a"), ("00:21", "b"), ("00:30", "b"))
    events = [
        pings.event_ping(f"2021-01-26T{t}Z", pings.event("enroll", SLUG, b)) for t, b in enrolled
    ]
    playing.ingest(monitor, tmp_path / "pings.jsonl", events)
    as_of = at("2021-01-26T00:59")
    monitor.run("live", as_of)
    experiment(monitor, (date(2021, 1, 1), None))
    monitor.export_active(as_of)
    for dataset in (OVERALL, "experiment_enrollment_cumulative_population_estimate"):
        found = {p.name: json.loads(p.read_text()) for p in (tmp_path / "exports").glob("exp*")}
        assert found[f"{SLUG}_{dataset}.json"] == [
            {"time": "2021-01-26 00:30:00 UTC", "value": "3"}
        ]
        assert found[f"{SLUG}_{dataset}_by_branch.json"] == [
            {"branch": "a", "time": "2021-01-26 00:30:00 UTC", "value": "2"},
            {"branch": "b", "time": "2021-01-26 00:30:00 UTC", "value": "1"},
        ]


@pytest.mark.parametrize("start", [date(2021, 1, 20), date(2020, 1, 1)], ids=["young", "older"])
def test_daily_active_population_keeps_its_days(played, start):
    experiment(played, (start, None))
    played.export_active(NOW)
    name = f"{SLUG}_experiment_enrollment_daily_active_population.json"
    assert json.loads(played.store.objects[name]) == [
        {"time": "2021-01-26 00:00:00 UTC", "value": "2"},
        {"time": "2021-01-25 00:00:00 UTC", "value": "2"},
    ]


def test_an_experiment_without_rows_has_16_files_with_empty_lists(played):
    experiment(played, (date(2021, 1, 20), None), slug="quiet")
    played.export_active(NOW)
    assert exported(played.store) == {
        f"quiet_{dataset}{suffix}.json": [] for dataset in DATASETS for suffix in ("", "_by_branch")
    }


JAN = [date(2021, 1, day) for day in range(1, 32)]


@pytest.mark.parametrize(
    ("rows", "as_of", "is_exported"),
    [
        ([(JAN[0], None)], "2021-01-26T05:00", True),
        ([(JAN[0], JAN[9])], "2021-01-24T23:59:59.999999", True),
        ([(JAN[0], JAN[9])], "2021-01-25T00:00", False),
        ([(JAN[0], JAN[1]), (JAN[5], JAN[9])], "2021-01-24T12:00", True),
        ([(JAN[0], JAN[1]), (JAN[5], JAN[9])], "2021-01-25T12:00", False),
        ([(JAN[0], date(2020, 2, 1)), (JAN[0], None)], "2021-01-26T05:00", True),
        ([(None, None), (JAN[0], JAN[1])], "2021-01-26T05:00", True),
        ([(JAN[25], None)], "2021-01-26T00:00", True),
        ([(JAN[26], None)], "2021-01-26T23:59", False),
        ([(JAN[26], None), (JAN[25], JAN[25])], "2021-01-26T23:59", True),
        ([(None, None)], "2021-01-26T05:00", False),
        ([], "2021-01-26T05:00", False),
    ],
    ids=[
        "live",
        "last moment of the 14th day after its end",
        "the 15th day after its end",
        "the latest end counts",
        "until 14 days after the latest end",
        "no end beats any other",
        "no end beats any other, also of a row without a start",
        "starts today",
        "starts tomorrow",
        "the earliest start counts",
        "without a start",
        "unknown",
    ],
)
def test_active_is_what_is_live_or_ended_at_most_14_days_ago(monitor, rows, as_of, is_exported):
    experiment(monitor, *rows)
    as_of = at(as_of)
    assert monitor.export_active(as_of).experiments == ((SLUG,) if is_exported else ())
    assert monitor.experiments(as_of)["slug"].tolist() == ([SLUG] if is_exported else [])


def test_of_several_metadata_rows_the_earliest_start_cuts_off(played):
    experiment(played, (date(2021, 1, 26), None), (date(2021, 1, 25), date(2021, 1, 25)))
    played.export_active(NOW)
    assert exported(played.store) == expected(start=date(2021, 1, 25), as_of=NOW)


@pytest.mark.parametrize(
    "rows", [[], [(None, None)], [(None, date(2021, 1, 1))]], ids=["unknown", "no start", "ended"]
)
def test_an_experiment_without_a_start_is_exported_from_its_first_row_when_named(played, rows):
    experiment(played, *rows)
    assert played.export_experiment(SLUG, as_of=NOW).experiments == (SLUG,)
    assert exported(played.store) == expected(start=date(2021, 1, 24), as_of=NOW)


def test_an_experiment_that_ended_long_ago_is_exported_when_named(played):
    experiment(played, (date(2020, 1, 1), date(2020, 2, 1)))
    played.export_experiment(SLUG, as_of=NOW)
    assert exported(played.store) == expected(start=date(2020, 1, 1), as_of=NOW)


def test_an_experiment_known_by_its_metadata_alone_has_empty_files_when_named(played):
    experiment(played, (None, None), slug="draft")
    played.export_experiment("draft", as_of=NOW)
    assert list(exported(played.store).values()) == [[]] * 16


def test_an_unknown_experiment_is_said_to_be_so_and_leaves_no_file(played):
    with pytest.raises(UnknownExperiment, match="'exq'") as caught:
        played.export_experiment("exq", as_of=NOW)
    assert caught.value.slug == "exq"
    assert played.store.objects == {}


def test_of_several_named_experiments_all_or_none_are_exported(played):
    with pytest.raises(UnknownExperiment, match="'exq'"):
        played.export_experiments([SLUG, "exq"], as_of=NOW)
    assert played.store.objects == {}
    assert played.export_experiments([SLUG, "other", SLUG], as_of=NOW).experiments == (
        SLUG,
        "other",
    )
    assert exported(played.store) == {
        **expected(start=date(2021, 1, 24), as_of=NOW),
        **expected(start=date(2021, 1, 24), as_of=NOW, slug="other"),
    }


HOSTILE = ["../up", "a'b", "", ".hidden", "a/b", "a\0b", "a\n", "a" * 151, "..", "ünicode", "a..b"]


def test_slugs_that_cannot_name_a_file_are_skipped_and_reported(played, caplog):
    for slug in (SLUG, *HOSTILE):
        experiment(played, (date(2021, 1, 25), None), slug=slug)
    with caplog.at_level(logging.WARNING, logger="expmon"):
        result = played.export_active(NOW)
    assert sorted(result.skipped) == sorted(HOSTILE)
    assert result.experiments == (SLUG,)
    assert exported(played.store) == expected(start=date(2021, 1, 25), as_of=NOW)
    assert sorted(record.args[0] for record in caplog.records) == sorted(HOSTILE)


def test_the_longest_slug_names_files(played, tmp_path):
    slug = "a" * 150
    experiment(played, (date(2021, 1, 25), None), slug=slug)
    with connect(f"duckdb://{tmp_path}/played.duckdb", tmp_path / "exports") as monitor:
        monitor.export_active(NOW)
    assert len(list((tmp_path / "exports").glob(f"{slug}_*.json"))) == 16


class Counting:
    """A warehouse that counts its queries."""

    def __init__(self, inner):
        self.inner, self.queries = inner, []
        self.check_version = inner.check_version

    def query(self, statement, parameters):
        self.queries.append(statement.name)
        return self.inner.query(statement, parameters)

    def batches(self, statement, parameters):
        self.queries.append(statement.name)
        return self.inner.batches(statement, parameters)


@pytest.mark.parametrize("slugs", [[SLUG], [SLUG, "other"], ["a", "b", "c", "d", SLUG, "other"]])
def test_an_export_asks_two_queries_however_many_experiments_there_are(played, slugs):
    for slug in slugs:
        experiment(played, (date(2021, 1, 25), None), slug=slug)
    counting = Counting(played.warehouse)
    result = Monitor(counting, played.store).export_active(NOW)
    assert sorted(result.experiments) == sorted(slugs)
    assert counting.queries == ["export_metadata", "export_series"]


def test_files_that_did_not_change_are_left_alone_on_disk(played, tmp_path):
    experiment(played, (date(2021, 1, 25), None))
    place = tmp_path / "exports"
    with connect(f"duckdb://{tmp_path}/played.duckdb", place) as monitor:
        monitor.export_active(NOW)
        before = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in place.glob("exp_*")}
        result = monitor.export_active(NOW)
    after = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in place.glob("exp_*")}
    assert after == before
    assert (result.written, sorted(result.unchanged)) == ((), sorted(before))


def test_an_experiment_that_is_no_longer_active_keeps_its_files_and_entries(played):
    experiment(played, (date(2021, 1, 25), None))
    experiment(played, (date(2021, 1, 1), date(2021, 1, 12)), slug="other")
    played.export_active(at("2021-01-26T05:00"))
    files = exported(played.store)
    played.export_active(at("2021-01-27T00:00"))
    entries = json.loads(played.store.objects["index.json"])["files"]
    assert entries.keys() == files.keys()
    assert entries[f"other_{OVERALL}.json"]["as_of"] == "2021-01-26 05:00:00 UTC"
    assert entries[f"{SLUG}_{OVERALL}.json"]["as_of"] == "2021-01-27 00:00:00 UTC"


def test_a_dataset_that_is_named_twice_is_exported_once(played):
    played.export_experiment(SLUG, [OVERALL, OVERALL], NOW)
    wanted = expected(start=date(2021, 1, 24), as_of=NOW)
    names = (f"{SLUG}_{OVERALL}.json", f"{SLUG}_{OVERALL}_by_branch.json")
    assert exported(played.store) == {name: wanted[name] for name in names}


def test_an_export_of_some_datasets_writes_no_other_files(played):
    chosen = [OVERALL, "experiment_cumulative_ad_clicks"]
    played.export_experiment(SLUG, chosen, NOW)
    wanted = expected(start=date(2021, 1, 24), as_of=NOW)
    names = [f"{SLUG}_{d}{suffix}.json" for d in chosen for suffix in ("", "_by_branch")]
    assert exported(played.store) == {name: wanted[name] for name in names}


@pytest.mark.parametrize(
    ("datasets", "error"),
    [
        (["experiment_enrollment_overal"], UnknownDataset),
        ([OVERALL, "experiment_enrollment_other_events"], InvalidInput),
        (["experiment_search_aggregates_live"], UnknownDataset),
        ([], InvalidInput),
    ],
    ids=["misspelled", "of another schema", "a live view", "none"],
)
def test_datasets_that_are_not_exported_are_refused_before_anything_is_written(
    played, datasets, error
):
    with pytest.raises(error):
        played.export_experiment(SLUG, datasets, NOW)
    assert played.store.objects == {}


def test_a_monitor_without_a_store_says_where_to_name_one(warehouse_file):
    with connect(f"duckdb://{warehouse_file}") as monitor:
        assert monitor.store is None
        with pytest.raises(ConfigError, match="EXPMON_STORE"):
            monitor.export_active(datetime.now().astimezone())
