from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import sqlglot
from click.testing import CliRunner
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from expmon import api
from expmon.catalog import DATASETS, EXPORTED
from expmon.catalog.model import Rollup, Series, Statement
from expmon.cli import main
from expmon.warehouse.duckdb import DuckDBWarehouse
from interpolating import ALL, interpolated
from playing import at
from statement_set import statements

TEXT = api.grafana_dashboard()
BOARD = json.loads(TEXT)
QUERIES = {panel["title"]: panel["targets"][0]["rawSql"] for panel in BOARD["panels"]}
VARIABLES = {variable["name"]: variable for variable in BOARD["templating"]["list"]}
TITLES = {
    "experiment_enrollment_overall": "Enrollment",
    "experiment_unenrollment_overall": "Unenrollment",
    "experiment_enrollment_other_events_overall": "Enrollment other events",
    "experiment_enrollment_cumulative_population_estimate": (
        "Enrollment cumulative population estimate"
    ),
    "experiment_enrollment_daily_active_population": "Enrollment daily active population",
    "experiment_cumulative_ad_clicks": "Cumulative ad clicks",
    "experiment_cumulative_search_count": "Cumulative search count",
    "experiment_cumulative_search_with_ads_count": "Cumulative search with ads count",
}
WINDOW = timedelta(minutes=5)
START, END = at("2021-01-26T00:00"), at("2021-01-28T00:00")


# The file


def test_each_of_the_eight_datasets_has_a_panel_over_its_user_facing_view():
    panels = {panel["title"]: panel for panel in BOARD["panels"]}
    assert list(panels) == ["Age of the latest window", *TITLES.values()]
    for name, title in TITLES.items():
        assert f"FROM `mozdata`.telemetry.{name}\n" in QUERIES[title]
        assert panels[title]["description"].startswith(f"{DATASETS[name].description}.")
    assert [panel["id"] for panel in BOARD["panels"]] == list(range(1, 10))


def test_panels_lie_beside_each_other_and_nothing_overlaps():
    cells = [
        (x, y)
        for panel in BOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)) == 24 * (4 + 4 * 8)
    assert {x for x, _ in cells} == set(range(24))


def test_every_query_is_in_the_set_of_statements():
    known = set(statements().values())
    asked = [
        *QUERIES.values(),
        *(VARIABLES[n]["query"]["rawSql"] for n in ("experiment", "branch")),
    ]
    assert len(set(asked)) == 11
    assert [text for text in asked if f"{text}\n" not in known] == []


def test_every_query_goes_to_the_chosen_data_source():
    source = {"type": "grafana-bigquery-datasource", "uid": "${datasource}"}
    targets = [target for panel in BOARD["panels"] for target in panel["targets"]]
    choices = [VARIABLES["experiment"], VARIABLES["branch"]]
    assert list(VARIABLES) == ["datasource", "experiment", "branch"]
    assert VARIABLES["datasource"]["type"] == "datasource"
    assert VARIABLES["datasource"]["query"] == source["type"]
    for asks in [*targets, *BOARD["panels"], *choices, *(c["query"] for c in choices)]:
        assert asks["datasource"] == source
    # Series of a time, or the rows of a table.
    assert [target["format"] for target in targets] == [1, *[0] * 8]
    assert [choice["query"]["format"] for choice in choices] == [1, 1]


def test_an_experiment_is_chosen_and_its_branches_are_all_or_some():
    experiment, branch = VARIABLES["experiment"], VARIABLES["branch"]
    assert not experiment["multi"]
    assert not experiment["includeAll"]
    assert branch["multi"]
    assert branch["includeAll"]
    assert branch["current"] == {"selected": True, "text": ["All"], "value": ["$__all"]}
    # What is typed in would not be quoted: the queries escape what they offer.
    assert not experiment["allowCustomValue"]
    assert not branch["allowCustomValue"]


def test_it_shows_a_week_in_utc_and_is_refreshed_every_five_minutes():
    assert BOARD["uid"] == "expmon-experiments"
    assert BOARD["timezone"] == "utc"
    assert BOARD["refresh"] == "5m"
    assert BOARD["time"] == {"from": "now-7d", "to": "now"}


def test_no_point_is_for_less_than_a_window():
    charts = [panel for panel in BOARD["panels"] if panel["type"] == "timeseries"]
    assert [panel["interval"] for panel in charts] == ["5m"] * 8


def test_grafanas_own_types_read_it_and_write_the_same():
    again = JSONEncoder(indent=2, sort_keys=True).encode(Dashboard.from_json(BOARD))
    assert again + "\n" == TEXT


def test_the_views_lie_where_the_configuration_says():
    text = api.grafana_dashboard(
        settings={"projects.views": "own-1", "datasets": {"telemetry": "mine"}}
    )
    assert "FROM `own-1`.mine.experiment_enrollment_overall\\n" in text
    assert "mozdata" not in text


# The command


def test_the_command_prints_the_same_bytes_in_every_process():
    script = Path(sys.executable).with_name("expmon")
    done = subprocess.run([script, "grafana"], capture_output=True, check=True)
    assert done.stdout == TEXT.encode()


def test_a_file_is_written_over_the_old_one(tmp_path):
    place = tmp_path / "dashboard.json"
    place.write_text("old")
    result = CliRunner().invoke(main, ["grafana", "-o", str(place)])
    assert (result.exit_code, result.output) == (0, f"the dashboard in {place}\n")
    assert place.read_bytes() == TEXT.encode()
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("failing", ["write_bytes", "replace"])
def test_a_file_that_cannot_be_written_is_left_as_it_was(tmp_path, monkeypatch, failing):
    place = tmp_path / "dashboard.json"
    place.write_text("old")

    def full(path, *arguments, **_):
        with path.open("wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, failing, full)
    result = CliRunner().invoke(main, ["grafana", "--out", str(place)])
    monkeypatch.undo()
    assert result.exit_code == 1
    assert result.output == f"Error: {place} can't be written: No space left on device\n"
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_without_the_extra_the_command_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "grafana_foundation_sdk", None)
    monkeypatch.delitem(sys.modules, "expmon.grafana", raising=False)
    result = CliRunner().invoke(main, ["grafana"])
    assert result.exit_code == 1
    assert "pip install 'expmon[grafana]'" in result.output


# What the queries answer


@pytest.fixture
def ask(warehouse_file):
    """Runs a text on rows of the datasets' tables, as Grafana would fill it in."""
    warehouse = DuckDBWarehouse(warehouse_file)

    def run(text, rows, **chosen):
        for dataset in EXPORTED:
            name = warehouse._name(dataset.table)
            warehouse._file.execute(f"DELETE FROM {name}")
            if found := [row for place, row in rows if place == dataset.name]:
                schema = warehouse._file.arrow(f"SELECT * FROM {name}").schema
                warehouse._file.insert(name, pa.Table.from_pylist(found, schema=schema))
        all_value = VARIABLES["branch"]["allValue"]
        filled = interpolated(text, custom_all=all_value, **chosen)
        statement = Statement("asked", sqlglot.parse_one(filled, dialect="bigquery"))
        return [tuple(row.values()) for row in warehouse.query(statement, {}).to_pylist()]

    yield run
    warehouse.close()


def series(dataset, chance):
    """Rows of two experiments with three branches, in a third of the windows of three days."""
    is_daily = dataset.series is Series.DAILY
    times = [START - timedelta(days=1) + n * WINDOW for n in range(3 * 288)]
    return [
        {"time": time, "branch": branch, "experiment": experiment, "value": chance.randrange(100)}
        for time in times
        for experiment in ("exp", "it's")
        for branch in ("a", "b", "null")
        if (
            (time - START) % timedelta(days=1) == timedelta(0)
            if is_daily
            else chance.random() < 0.3
        )
    ]


def points(dataset, rows, start, end, interval):
    """By time and branch, the points that lie within the time as a whole, in plain Python."""
    if dataset.series is Series.DAILY:
        return sorted(
            (r["time"], r["branch"], r["value"]) for r in rows if start <= r["time"] < end
        )
    found = {}
    for row in sorted(rows, key=lambda row: row["time"]):
        seconds = row["time"].timestamp() // interval.total_seconds() * interval.total_seconds()
        point = datetime.fromtimestamp(seconds, UTC)
        if start <= point and point + interval <= end:
            before = found.get((point, row["branch"]), 0) if dataset.rollup is Rollup.SUM else 0
            found[point, row["branch"]] = before + row["value"]
    return sorted((*key, value) for key, value in found.items())


@pytest.mark.parametrize("dataset", EXPORTED, ids=lambda dataset: dataset.name)
def test_a_chart_has_the_points_of_the_chosen_branches(ask, dataset):
    rows = series(dataset, random.Random(5))
    text = QUERIES[TITLES[dataset.name]]
    odd = timedelta(minutes=7, seconds=3)
    asked = [
        (START, END, WINDOW, "exp", ALL),
        (START, END, timedelta(minutes=20), "it's", ["b", "null"]),
        (START + odd, END - odd, timedelta(minutes=30), "exp", ["a"]),
        (START - odd, END - odd, timedelta(hours=6), "exp", ALL),
        (START, END, timedelta(days=1), "exp", ["b", "unknown"]),
    ]
    for start, end, interval, experiment, branches in asked:
        mine = [
            row
            for row in rows
            if row["experiment"] == experiment and (branches is ALL or row["branch"] in branches)
        ]
        expected = points(dataset, mine, start, end, interval)
        answer = ask(
            text,
            [(dataset.name, row) for row in rows],
            start=start,
            end=end,
            interval=interval,
            experiment=experiment,
            branches=branches,
        )
        assert expected
        assert answer == expected


def named(dataset, time, experiment, branch):
    return (
        dataset,
        {"time": at(time), "branch": branch, "experiment": experiment, "value": 1},
    )


def test_names_are_those_seen_since_two_days_before_each_once(ask):
    counts = "experiment_enrollment_overall"
    active = "experiment_enrollment_daily_active_population"
    rows = [
        named(counts, "2021-01-23T23:55", "before", "x"),
        named(counts, "2021-01-24T00:00", "exp", "b"),
        named(counts, "2021-01-24T00:05", "exp", "b"),
        named(counts, "2021-01-27T23:55", "new", "$a"),
        named(counts, "2021-01-28T00:00", "later", "x"),
        named(active, "2021-01-26T00:00", "exp", "it's"),
        named(active, "2021-01-26T00:00", "quiet\\", "a"),
    ]
    asked = {name: VARIABLES[name]["query"]["rawSql"] for name in ("experiment", "branch")}
    time = {"start": START, "end": END}
    assert ask(asked["experiment"], rows, **time) == [
        ("exp", "exp"),
        ("new", "new"),
        ("quiet\\", "quiet\\\\"),
    ]
    of = {name: ask(asked["branch"], rows, experiment=name, **time) for name in ("exp", "new")}
    assert of == {"exp": [("b", "b"), ("it's", "it's")], "new": [("$a", "\\x24a")]}


def test_freshness_is_how_long_each_datasets_latest_window_has_been_over(ask):
    population = "experiment_enrollment_cumulative_population_estimate"
    rows = [
        named(population, "2021-01-27T23:45", "exp", "a"),
        named(population, "2021-01-27T23:50", "other", "a"),
        named(population, "2021-01-28T00:00", "exp", "a"),  # not over when it is looked at
        named("experiment_cumulative_ad_clicks", "2021-01-26T00:05", "exp", "a"),
        named("experiment_cumulative_search_count", "2021-01-25T23:55", "exp", "a"),
    ]
    end = at("2021-01-28T00:02")
    assert ask(QUERIES["Age of the latest window"], rows, start=START, end=end) == [
        ("experiment_cumulative_ad_clicks", 47 * 3600 + 52 * 60),
        ("experiment_cumulative_search_count", None),
        ("experiment_cumulative_search_with_ads_count", None),
        (population, 7 * 60),
    ]
