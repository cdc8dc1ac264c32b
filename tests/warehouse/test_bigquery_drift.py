"""Live counts beside final ones on BigQuery, by hand from the pings that either have."""

from __future__ import annotations

import contextlib
import shutil
from datetime import date

import pytest
from google.cloud import bigquery

import worlds
from expmon.catalog import TIERS
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.catalog.sources import (
    CLIENTS_DAILY,
    EVENT_EVENTS,
    EVENT_V4,
    MAIN_EVENTS,
    MAIN_V4,
    STABLE_MAIN_V4,
)
from expmon.materialize.drift import CountDrift, DayDrift
from pings import event, event_ping, main_ping
from playing import at

pytestmark = [pytest.mark.enable_socket, pytest.mark.slow]
DAY = date(2021, 1, 26)
FINAL = at("2021-01-27T03:00")
LIVE_PINGS = (
    *[event_ping("2021-01-26T00:01:00+00:00", event("enroll"), id="twice")] * 2,
    event_ping("2021-01-26T12:00:00+00:00", event("unenroll", "lost")),
    main_ping("2021-01-26T00:02:00+00:00", {"exp": "a"}, searches={"x": "5"}),
)
FINAL_PINGS = (
    event_ping("2021-01-26T00:01:00+00:00", event("enroll")),
    event_ping("2021-01-26T23:59:59.999999+00:00", event("enroll", "late")),
    main_ping("2021-01-26T00:02:00+00:00", {"exp": "a"}, searches={"x": "5"}, with_ads={"y": 4}),
)


@pytest.fixture
def place(new_place, server, relations_of_hours, deployed_file, tmp_path, hasty):
    """What hourly and daily runs need; live and final sources don't have the same."""
    made = new_place(server)
    final_sources = (STABLE_MAIN_V4, EVENT_EVENTS, MAIN_EVENTS, CLIENTS_DAILY)
    daily = [tiers.daily for tiers in TIERS]
    made.put(*relations_of_hours, *final_sources, *daily, ACTIVE_CLIENTS)
    sources = {"live": (LIVE_PINGS, EVENT_V4, MAIN_V4), "final": (FINAL_PINGS, *final_sources)}
    for name, (pings, *having) in sources.items():
        directory = tmp_path / name
        directory.mkdir()
        pipeline = worlds.embedded(directory, shutil.copy(deployed_file, directory / "file.duckdb"))
        with contextlib.closing(pipeline.monitor):
            pipeline.ingest(pings)
            made.publish(pipeline, *having)
    return made


def test_days_are_compared_that_are_final_and_have_all_of_their_hours(place):
    monitor = place.monitor()
    monitor.run("hourly", at("2021-01-27T00:30"))
    assert monitor.drift(FINAL) == []
    monitor.run("daily", FINAL)
    enrollment = (
        CountDrift("exp", "enroll_count", 2, 1),
        CountDrift("late", "enroll_count", 0, 1),
        CountDrift("lost", "unenroll_count", 1, 0),
    )
    search = DayDrift(
        "search",
        DAY,
        24,
        (
            CountDrift("exp", "search_count", 5, 5),
            CountDrift("exp", "search_with_ads_count", 0, 4),
        ),
    )
    assert monitor.drift(FINAL) == [DayDrift("enrollment", DAY, 24, enrollment), search]
    # An hour that isn't what the run wrote is no live count.
    hourly = TIERS[0].hourly
    query = f"SELECT {', '.join(hourly.column_names)} FROM `{place.of(hourly)}` WHERE FALSE"
    config = bigquery.QueryJobConfig(
        destination=f"{place.of(hourly)}$2021012612", write_disposition="WRITE_TRUNCATE"
    )
    place.google.query(query, config, timeout=60).result(timeout=60)
    assert monitor.drift(FINAL) == [DayDrift("enrollment", DAY, 23), search]
