from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta, timezone

import pandas as pd
import pytest

import pings
import playing
import reference
from expmon import connect
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import InvalidInput, InvalidTime
from playing import at

NOW = at("2021-01-26T05:00")
OVERALL = "experiment_enrollment_overall"
POPULATION = "experiment_enrollment_cumulative_population_estimate"
ENROLLMENT_LIVE = "experiment_enrollment_aggregates_live"
SEARCH_LIVE = "experiment_search_aggregates_live"

TIME, TEXT, COUNT = "datetime64[us, UTC]", "str", "int64"
SERIES = {"time": TIME, "branch": TEXT, "experiment": TEXT, "value": COUNT}
WINDOW = {"window_start": TIME, "window_end": TIME}
DTYPES = {
    **dict.fromkeys(reference.EIGHT, SERIES),
    "experiment_enrollment_other_events": {
        "time": TIME,
        "branch": TEXT,
        "experiment": TEXT,
        "event": TEXT,
        "value": COUNT,
    },
    ENROLLMENT_LIVE: {
        "type": TEXT,
        "experiment": TEXT,
        "branch": TEXT,
        **WINDOW,
        "enroll_count": COUNT,
        "unenroll_count": COUNT,
        "graduate_count": COUNT,
        "update_count": COUNT,
        "enroll_failed_count": COUNT,
        "unenroll_failed_count": COUNT,
        "update_failed_count": COUNT,
        "disqualification_count": COUNT,
        "exposure_count": COUNT,
        "validation_failed_count": COUNT,
    },
    SEARCH_LIVE: {
        "experiment": TEXT,
        "branch": TEXT,
        **WINDOW,
        "search_count": COUNT,
        "search_with_ads_count": COUNT,
        "ad_clicks_count": COUNT,
        "cumulative_search_count": COUNT,
        "cumulative_search_with_ads_count": COUNT,
        "cumulative_ad_clicks_count": COUNT,
    },
}

PINGS = [
    *(
        pings.event_ping(f"2021-01-{day}T{time}Z", pings.event(method, slug, branch, kind=kind))
        for slug in ("exp", "other")
        for day in (25, 26)
        for time, method, branch, kind in (
            ("00:00:00", "enroll", "b", "nimbus_experiment"),
            ("00:04:00", "enroll", "a", "nimbus_experiment"),
            ("00:04:30", "enroll", "a", "rollout"),
            ("00:05:00", "enroll", None, "rollout"),
            ("00:05:00", "graduate", "b", "nimbus_experiment"),
            ("00:06:00", "expose", "b", "nimbus_experiment"),
            ("04:59:59.999999", "unenroll", "a", "nimbus_experiment"),
        )
    ),
    *(
        pings.main_ping(f"2021-01-{day}T01:00:00Z", {"exp": branch}, searches={"x": 2})
        for day in (25, 26)
        for branch in ("b", "a", None)
    ),
]
PLAYED = reference.Played(
    PINGS, NOW, frozenset({date(2021, 1, 25)}), frozenset(), date(2021, 1, 25)
)


@pytest.fixture(scope="session")
def fetched_file(deployed_file, tmp_path_factory):
    place = tmp_path_factory.mktemp("fetched")
    path = shutil.copy(deployed_file, place / "fetched.duckdb")
    with connect(f"duckdb://{path}") as monitor:
        playing.ingest(monitor, place / "pings.jsonl", PINGS)
        for cadence in ("daily", "live"):
            monitor.run(cadence, NOW)
    return path


@pytest.fixture
def played(fetched_file, tmp_path):
    path = shutil.copy(fetched_file, tmp_path / "fetched.duckdb")
    with connect(f"duckdb://{path}") as connected:
        yield connected


def dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def cells(frame):
    """The rows as plain tuples, NaN as None."""
    return [
        tuple(None if pd.isna(cell) else cell for cell in row)
        for row in frame.astype(object).itertuples(index=False, name=None)
    ]


def test_eleven_names_can_be_fetched():
    assert len(DTYPES) == 11


@pytest.mark.parametrize("slug", ["exp", "unknown"])
@pytest.mark.parametrize("name", DTYPES)
def test_columns_come_in_the_catalogues_order_and_types_with_rows_and_without(played, name, slug):
    frame = played.fetch_dataframe(name, slug)
    assert list(frame.columns) == list(DTYPES[name])
    assert dtypes(frame) == DTYPES[name]
    assert frame.empty == (slug == "unknown")
    assert list(frame.index) == list(range(len(frame)))


@pytest.mark.parametrize("name", DTYPES)
def test_a_view_may_be_named_with_its_dataset(played, name):
    short, full = (played.fetch_dataframe(n, "exp") for n in (name, f"telemetry.{name}"))
    assert cells(full) == cells(short) != []


@pytest.mark.parametrize("name", [*reference.EIGHT, "experiment_enrollment_other_events"])
def test_rows_are_those_of_the_experiment_by_time_and_branch(played, name):
    of_exp = [row for row in reference.derived(PLAYED)[name] if row[2] == "exp"]
    assert cells(played.fetch_dataframe(name, "exp")) == sorted(of_exp)


def test_rows_of_the_enrollment_view_come_by_window_branch_and_type(played):
    of_exp = [row for row in reference.enrollment_live(PLAYED) if row[1] == "exp"]
    by_window = sorted(of_exp, key=lambda r: (r[3], r[2] is not None, r[2] or "", r[0]))
    assert cells(played.fetch_dataframe(ENROLLMENT_LIVE, "exp")) == by_window


def test_rows_of_the_search_view_come_by_window_and_branch(played):
    of_exp = [row for row in reference.search_live(PLAYED) if row[0] == "exp"]
    by_window = sorted(of_exp, key=lambda r: (r[2], r[1] is not None, r[1] or ""))
    assert cells(played.fetch_dataframe(SEARCH_LIVE, "exp")) == by_window


T = [at(f"2021-01-26T00:{minutes:02}") for minutes in (0, 5, 10)]
TICK = timedelta(microseconds=1)
EAST = timezone(timedelta(hours=5, minutes=45))


@pytest.mark.parametrize(
    ("start", "end", "times"),
    [
        (T[0], T[1], [T[0]]),
        (T[0], T[1] + TICK, [T[0], T[1]]),
        (T[0] + TICK, T[2], [T[1]]),
        (T[1], T[1], []),
        (T[1] - TICK, T[1], []),
        (T[0].astimezone(EAST), T[2].astimezone(EAST), [T[0], T[1]]),
        (pd.Timestamp("2021-01-26 05:45", tz="Asia/Kathmandu"), T[1], [T[0]]),
        (pd.Timestamp("2021-01-25 19:00", tz="America/New_York"), T[1], [T[0]]),
    ],
    ids=[
        "the end is left out",
        "just past the end",
        "just past the start",
        "nothing between equal times",
        "nothing in an empty window",
        "another zone",
        "a zone of pandas",
        "a zone west of UTC",
    ],
)
def test_rows_are_at_or_after_the_start_and_before_the_end(played, start, end, times):
    frame = played.fetch_dataframe(POPULATION, "exp", "a", start, end)
    assert [time.to_pydatetime() for time in frame["time"]] == times


@pytest.mark.parametrize("name", [ENROLLMENT_LIVE, SEARCH_LIVE])
def test_the_live_views_are_cut_off_by_their_windows_starts(played, name):
    start = at("2021-01-26T00:00") if name == ENROLLMENT_LIVE else at("2021-01-26T01:00")
    minutes = timedelta(minutes=5)
    frame = played.fetch_dataframe(name, "exp", start=start, end=start + minutes)
    assert set(frame["window_start"]) == {pd.Timestamp(start)}
    assert not frame.empty


def test_a_date_means_its_midnight_in_utc(played):
    day = played.fetch_dataframe(OVERALL, "exp", start=date(2021, 1, 25), end=date(2021, 1, 26))
    expected = [
        row
        for row in reference.derived(PLAYED)[OVERALL]
        if row[2] == "exp" and row[0].date() == date(2021, 1, 25)
    ]
    assert cells(day) == expected


def test_an_end_that_is_the_start_gives_an_empty_frame_of_the_right_types(played):
    frame = played.fetch_dataframe(OVERALL, "exp", start=date(2021, 1, 26), end=T[0])
    assert frame.empty
    assert dtypes(frame) == SERIES


def test_an_end_just_before_the_start_is_refused(played):
    with pytest.raises(InvalidTime, match="before start"):
        played.fetch_dataframe(OVERALL, "exp", start=T[0], end=T[0] - TICK)


def test_a_start_and_an_end_are_compared_as_instants_whatever_their_zones(played):
    start, end = datetime(2021, 1, 26, 5, 45, tzinfo=EAST), datetime(2021, 1, 26, 0, 5, tzinfo=UTC)
    assert played.fetch_dataframe(OVERALL, "exp", start=start, end=end)["value"].tolist() == [2, 1]


@pytest.mark.parametrize("branch", ["a", "b", "null"])
@pytest.mark.parametrize("name", reference.EIGHT)
def test_a_branch_has_its_own_rows_alone(played, name, branch):
    rows = reference.derived(PLAYED)[name]
    expected = sorted(row for row in rows if row[1:3] == (branch, "exp"))
    assert cells(played.fetch_dataframe(name, "exp", branch)) == expected


def test_an_unknown_branch_has_no_rows(played):
    frame = played.fetch_dataframe(OVERALL, "exp", "' OR TRUE --")
    assert frame.empty
    assert dtypes(frame) == SERIES


@pytest.mark.parametrize("branch", [5, b"a", ["a"]])
def test_a_branch_that_is_no_text_is_refused(played, branch):
    with pytest.raises(InvalidInput, match="branch must be a text"):
        played.fetch_dataframe(OVERALL, "exp", branch)


def test_experiments_come_by_start_and_slug_with_dates_as_timestamps(played):
    rows = [
        {"normandy_slug": "b", "start_date": date(2021, 1, 1), "app_name": "firefox_ios"},
        {"normandy_slug": "a", "start_date": date(2021, 1, 1), "end_date": date(2021, 1, 20)},
        {"normandy_slug": "c", "start_date": date(2020, 1, 1), "type": "rollout"},
    ]
    played.warehouse.load(EXPERIMENTS, rows)
    frame = played.experiments(NOW)
    assert dtypes(frame) == {
        "slug": "str",
        "type": "str",
        "app_name": "str",
        "channel": "str",
        "start_date": "datetime64[us]",
        "enrollment_end_date": "datetime64[us]",
        "end_date": "datetime64[us]",
    }
    new_year = pd.Timestamp(2021, 1, 1)
    assert cells(frame) == [
        ("c", "rollout", None, None, pd.Timestamp(2020, 1, 1), None, None),
        ("a", None, None, None, new_year, None, pd.Timestamp(2021, 1, 20)),
        ("b", None, "firefox_ios", None, new_year, None, None),
    ]


def test_experiments_of_an_empty_table_have_the_same_columns(monitor):
    frame = monitor.experiments(NOW)
    assert frame.empty
    assert dtypes(frame) == {
        **dict.fromkeys(("slug", "type", "app_name", "channel"), "str"),
        **dict.fromkeys(("start_date", "enrollment_end_date", "end_date"), "datetime64[us]"),
    }


def test_the_live_views_give_rows_without_a_branch_as_the_branch_null(monitor, tmp_path):
    ping = pings.event_ping(
        "2021-01-26T00:01:00Z", pings.event("enroll", branch=None), pings.event("enroll")
    )
    monitor.ingest(pings.write(tmp_path / "p.json", [ping]))
    monitor.run("live", at("2021-01-26T00:05"))
    view = "experiment_enrollment_aggregates_live"
    frame = monitor.fetch_dataframe(view, "exp", "null")
    assert list(frame["enroll_count"]) == [1]
    assert frame["branch"].isna().all()
