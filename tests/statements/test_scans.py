"""How much a statement reads: the day's own partitions, never the whole history."""

from __future__ import annotations

from datetime import date

import pytest

from expmon.catalog import DATASETS, EXPORTED, RELATIONS, TIERS
from expmon.catalog.model import Names, Series
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.statements import grafana, materialization, reading
from playing import at
from scans import scanned

NAMES = Names()
DAY = date(2021, 3, 1)
FIRST = date(2021, 2, 1)
LATEST = at("2021-03-01T10:20")
DERIVED = {"day": DAY, "latest_window": LATEST}


def seen(relation, parameters):
    return scanned(materialization(RELATIONS[relation], NAMES), parameters, FIRST, 60)


def windows(start, end):
    """First and last window of ``[start, end)`` and their number, as `scanned` gives them."""
    count = int((at(end) - at(start)).total_seconds()) // 300
    last = at(end).timestamp() - 300
    moments = (at(start), at("1970-01-01T00:00").fromtimestamp(last, at(start).tzinfo))
    return (*(f"{m:%Y-%m-%d %H:%M:%S}+00" for m in moments), count)


@pytest.mark.parametrize(
    "dataset", [d for d in DATASETS.values() if d.tiers], ids=lambda dataset: dataset.name
)
def test_a_derived_day_reads_its_own_day_yesterdays_last_window_and_13_days_by_the_hour(dataset):
    rows = windows("2021-03-01T00:00", "2021-03-01T10:25")
    whole = windows("2021-03-01T00:00", "2021-03-02T00:00")
    daily, hourly = dataset.tiers.daily.name, dataset.tiers.hourly.name
    expected = [(daily, *whole), (hourly, *whole), (daily, *rows), (hourly, *rows)]
    if dataset.series is Series.CUMULATIVE:
        last = windows("2021-02-28T23:55", "2021-03-01T00:00")
        before = windows("2021-02-16T00:00", "2021-03-01T00:00")
        expected += [(dataset.table.name, *last), (dataset.tiers.by_hour.name, *before)]
    assert sorted(seen(dataset.table.name, DERIVED)) == sorted(expected)


def test_active_clients_and_their_dataset_read_one_day():
    table = DATASETS["experiment_enrollment_daily_active_population"].table.name
    assert seen(table, {"day": DAY}) == [(ACTIVE_CLIENTS.name, "2021-02-28", "2021-02-28", 288)]
    (clients,) = seen(ACTIVE_CLIENTS.name, {"day": DAY})
    assert clients[1:] == ("2021-03-01", "2021-03-01", 288)


@pytest.mark.parametrize("tiers", TIERS, ids=lambda tiers: tiers.name)
def test_a_tier_reads_its_own_span_of_its_sources(tiers):
    for _, *found in seen(tiers.daily.name, {"day": DAY}):
        assert found[2] == 288
        assert all(moment.startswith("2021-03-01") for moment in found[:2])
    span = {"start": at("2021-03-01T05:00"), "end": at("2021-03-01T06:00")}
    for _, *found in seen(tiers.hourly.name, span):
        assert tuple(found) == windows("2021-03-01T05:00", "2021-03-01T06:00")


@pytest.mark.parametrize("tiers", TIERS, ids=lambda tiers: tiers.name)
def test_sums_by_the_hour_read_one_day(tiers):
    day = windows("2021-03-01T00:00", "2021-03-02T00:00")
    expected = sorted((table.name, *day) for table in (tiers.daily, tiers.hourly) * 2)
    assert sorted(seen(tiers.by_hour.name, {"day": DAY})) == expected


@pytest.mark.parametrize("tiers", TIERS, ids=lambda tiers: tiers.name)
def test_a_drift_report_reads_its_days_of_hours_and_of_final_days_alone(tiers):
    parameters = {"start": at("2021-02-23T00:00"), "end": at("2021-03-01T00:00"), "days": [FIRST]}
    span = windows("2021-02-23T00:00", "2021-03-01T00:00")
    found = scanned(reading.drift(tiers, NAMES), parameters, FIRST, 60)
    assert found == [(tiers.hourly.name, *span), (tiers.daily.name, *span)]


BEHIND = Names(renamed={dataset.view.name: dataset.table.name for dataset in EXPORTED})
"""The tables in their views' places: a view's own conditions are none."""


@pytest.mark.parametrize("dataset", EXPORTED, ids=lambda dataset: dataset.name)
def test_a_chart_reads_the_time_that_is_shown(dataset):
    shown = {"start": at("2021-02-23T10:20"), "end": at("2021-03-01T10:20")}
    found = scanned(grafana.chart(dataset, BEHIND), {**shown, "minutes": 30}, FIRST, 60)
    assert found == [(dataset.table.name, *windows("2021-02-23T10:20", "2021-03-01T10:20"))]


def test_names_are_read_of_the_time_that_is_shown_and_two_days_more():
    shown = {"start": at("2021-02-23T10:20"), "end": at("2021-03-01T10:20")}
    span = windows("2021-02-21T10:20", "2021-03-01T10:20")
    for statement in (grafana.experiments(BEHIND), grafana.branches(BEHIND)):
        found = scanned(statement, shown, FIRST, 60)
        assert [scan[1:] for scan in found] == [span, span]


def test_freshness_reads_two_days():
    found = scanned(grafana.freshness(BEHIND), {"end": LATEST}, FIRST, 60)
    assert len(found) == 4
    assert {scan[1:] for scan in found} == {windows("2021-02-27T10:20", "2021-03-01T10:20")}
