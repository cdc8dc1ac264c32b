"""Mistakes of the monitoring that expmon follows (Mozilla's, as of 2021), each on a small input.

What went wrong there is written out as a query of its own, to show that the input tells right from
wrong; then the tables must have what is right, by plain arithmetic.
"""

from __future__ import annotations

import json
from datetime import timedelta

import playing
from expmon.catalog import DATASETS
from pings import event, event_ping, main_ping
from playing import at

ENROLLMENT = "telemetry_derived.experiment_enrollment_aggregates"
SEARCH = "telemetry_derived.experiment_search_aggregates_recents_v1"
POPULATION = "experiment_enrollment_cumulative_population_estimate"


def ask(monitor, sql, **parameters):
    """The rows of a query in DuckDB's dialect."""
    rows = monitor.warehouse._file.arrow(sql, parameters).to_pylist()
    return [tuple(row.values()) for row in rows]


def test_a_day_is_lost_after_the_daily_job(monitor, tmp_path):
    """The live view took hours only of days after the last `window_end` of the daily table.

    The last window of a final day ends on the next day, which so seemed to be final as well.
    """
    pings = [
        event_ping("2021-01-25T23:57:00Z", event("enroll")),
        event_ping("2021-01-26T00:10:00Z", event("enroll")),
        event_ping("2021-01-26T01:10:00Z", event("enroll")),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("daily", at("2021-01-26T03:00"))
    monitor.run("hourly", at("2021-01-26T03:00"))
    monitor.run("live", at("2021-01-26T03:00"))
    mistaken = f"""
        SELECT window_start FROM {ENROLLMENT}_v1
        UNION ALL
        SELECT window_start FROM {ENROLLMENT}_hourly_v1
        WHERE CAST(window_start AS DATE) >
          (SELECT MAX(CAST(window_end AS DATE)) FROM {ENROLLMENT}_v1)
    """
    assert len(ask(monitor, mistaken)) == 1
    starts = [start for (start,) in playing.rows(monitor, f"{ENROLLMENT}_live", "window_start")]
    assert starts == [at("2021-01-25T23:55"), at("2021-01-26T00:10"), at("2021-01-26T01:10")]


def test_counts_are_multiplied_by_joining_three_arrays(monitor, tmp_path):
    """The arrays of a ping were unnested beside each other, and then summed up."""
    pings = [
        main_ping(
            "2021-01-26T00:01:00Z",
            {"exp": "a"},
            searches={"google.urlbar": 1, "bing.urlbar": 2},
            with_ads={"google:sap": 10, "bing:sap": 20, "ddg:sap": 40},
            ad_clicks={"google:sap": 100, "bing:sap": 200},
        ),
        main_ping("2021-01-26T00:02:00Z", {"exp": "a"}, searches={"google.urlbar": 4}),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("live", at("2021-01-26T00:05"))
    mistaken = """
        SELECT SUM(CAST(searches.value AS INT)), SUM(ads.value), SUM(clicks.value)
        FROM telemetry_live.main_v4,
          UNNEST(payload.keyed_histograms.search_counts) AS s(searches),
          UNNEST(payload.processes.parent.keyed_scalars.browser_search_with_ads) AS w(ads),
          UNNEST(payload.processes.parent.keyed_scalars.browser_search_ad_clicks) AS c(clicks)
    """
    # Each search six times, each ad four times, each click six times; the second ping not at all.
    assert [tuple(map(int, row)) for row in ask(monitor, mistaken)] == [(18, 280, 1800)]
    sums = ("search_count", "search_with_ads_count", "ad_clicks_count")
    assert playing.rows(monitor, SEARCH, *sums) == [(1 + 2 + 4, 10 + 20 + 40, 100 + 200)]


def test_an_event_is_counted_once_for_each_of_its_extras(monitor, tmp_path):
    """The extras of an event were unnested beside it."""
    extras = {"enrollmentId": "x", "reason": "y"}
    ping = event_ping("2021-01-26T00:01:00Z", event("enroll", extras=extras))
    playing.ingest(monitor, tmp_path / "pings.json", [ping])
    monitor.run("live", at("2021-01-26T00:05"))
    mistaken = """
        SELECT COUNT(*) FROM telemetry_derived.events_live, UNNEST(event_map_values) AS e(extra)
    """
    assert ask(monitor, mistaken) == [(3,)]
    assert playing.rows(monitor, f"{ENROLLMENT}_recents_v1", "branch", "enroll_count") == [("a", 1)]


def test_branches_are_lost_in_the_30_minute_export(monitor, tmp_path):
    """Of each half hour the export of older experiments kept one row, whatever its branch was."""
    pings = [
        event_ping(f"2021-01-26T00:{minute:02}:00Z", event("enroll", branch=branch))
        for minute in (1, 11, 21)
        for branch in "abc"
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    recipe = {"slug": "exp", "startDate": "2021-01-26"}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    monitor.ingest_recipes(tmp_path / "recipe.json")
    monitor.run("live", at("2021-01-26T00:35"))
    later = at("2021-02-09T00:00") + timedelta(minutes=5)  # 14 days after the start, and a bit
    mistaken = """
        SELECT value FROM telemetry_derived.experiment_enrollment_overall_v1
        QUALIFY ROW_NUMBER() OVER (PARTITION BY time_bucket(INTERVAL 30 MINUTE, time)
                                   ORDER BY time DESC) = 1
    """
    assert sum(value for (value,) in ask(monitor, mistaken)) == 1  # of nine
    dataset = "experiment_enrollment_overall"
    monitor.export_experiment("exp", [dataset], as_of=later)
    end = "2021-01-26 00:30:00 UTC"
    total = json.loads((tmp_path / "exports" / f"exp_{dataset}.json").read_text())
    assert total == [{"time": end, "value": "9"}]
    by_branch = json.loads((tmp_path / "exports" / f"exp_{dataset}_by_branch.json").read_text())
    assert by_branch == [{"branch": branch, "time": end, "value": "3"} for branch in "abc"]


def test_a_population_takes_the_minimum_over_several_rows(monitor, tmp_path):
    """Where a window had several rows of a branch (types), the least running sum was taken."""
    ping = event_ping(
        "2021-01-26T00:01:00Z",
        *[event("enroll", kind="nimbus_experiment")] * 3,
        *[event("enroll", kind="preference_study")] * 2,
    )
    playing.ingest(monitor, tmp_path / "pings.json", [ping])
    monitor.run("live", at("2021-01-26T00:05"))
    mistaken = f"""
        WITH running AS (
          SELECT window_start,
            SUM(enroll_count) OVER (ORDER BY window_start ROWS UNBOUNDED PRECEDING) AS value
          FROM {ENROLLMENT}_recents_v1
        )
        SELECT MIN(value) FROM running GROUP BY window_start
    """
    assert int(ask(monitor, mistaken)[0][0]) < 5
    table = DATASETS[POPULATION].table.name
    assert playing.rows(monitor, table) == [(at("2021-01-26T00:00"), "a", "exp", 5)]


def test_a_series_has_holes_where_nothing_happened(monitor, tmp_path):
    """Running sums had a row only where something happened: branches could not be added up."""
    pings = [
        event_ping("2021-01-26T00:01:00Z", *[event("enroll", branch="a")] * 3),
        event_ping("2021-01-26T00:06:00Z", *[event("enroll", branch="b")] * 4),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("live", at("2021-01-26T00:10"))
    mistaken = f"""
        WITH running AS (
          SELECT window_start, SUM(enroll_count) OVER (PARTITION BY branch ORDER BY window_start)
            AS value
          FROM {ENROLLMENT}_recents_v1
        )
        SELECT CAST(SUM(value) AS INT) FROM running GROUP BY window_start ORDER BY window_start
    """
    assert ask(monitor, mistaken) == [(3,), (4,)]
    totals = {}
    for time, _, _, value in playing.rows(monitor, DATASETS[POPULATION].table.name):
        totals[time] = totals.get(time, 0) + value
    assert totals == {at("2021-01-26T00:00"): 3, at("2021-01-26T00:05"): 7}


def test_counts_that_were_right_are_the_same(monitor, tmp_path):
    """Enrollments per window, branch and experiment: a plain count of events."""
    pings = [
        event_ping(
            "2021-01-26T00:01:00Z", event("enroll", branch="a"), event("enroll", branch="b")
        ),
        event_ping("2021-01-26T00:04:00Z", event("enroll", branch="a"), event("unenroll")),
        event_ping("2021-01-26T00:09:00Z", event("enroll", "other", branch="a")),
    ]
    playing.ingest(monitor, tmp_path / "pings.json", pings)
    monitor.run("live", at("2021-01-26T00:10"))
    known = """
        SELECT time_bucket(INTERVAL 5 MINUTE, timestamp) AS time,
          list_filter(event_map_values, lambda x: x.key = 'branch')[1].value AS branch,
          event_string_value AS experiment, COUNT_IF(event_method = 'enroll') AS value
        FROM telemetry_derived.events_live GROUP BY ALL
    """
    found = playing.rows(monitor, DATASETS["experiment_enrollment_overall"].table.name)
    assert sorted((t, b, e, int(n)) for t, b, e, n in ask(monitor, known)) == found
    assert [value for *_, value in found] == [2, 1, 1]
