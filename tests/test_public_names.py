from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import expmon
import pings

PUBLIC = {
    "ExpmonError": "expmon.errors",
    "Monitor": "expmon.monitor",
    "connect": "expmon.connection",
    "datasets": "expmon.api",
    "export_experiment": "expmon.api",
    "fetch_dataframe": "expmon.api",
    "plot": "expmon.api",
    "sql": "expmon.api",
}
FUNCTIONS = {
    "connect": ["warehouse", "store", "file", "credentials", "settings"],
    "datasets": [],
    "export_experiment": ["slug", "datasets", "as_of"],
    "fetch_dataframe": ["dataset", "slug", "branch", "start", "end"],
    "plot": ["dataset", "slug", "branch", "start", "end"],
    "sql": ["name", "file", "settings"],
}
METHODS = {
    "deploy": ["dry_run"],
    "plan": ["cadence", "as_of"],
    "costs": ["plan"],
    "run": ["cadence", "as_of"],
    "shared_run": ["cadence", "as_of", "run_id"],
    "backfill": ["start", "end", "as_of"],
    "status": ["as_of"],
    "health": ["slug", "as_of"],
    "health_active": ["as_of"],
    "replay": ["start", "end", "slugs", "every"],
    "alerts": ["as_of", "deliver", "dry_run"],
    "drift": ["as_of", "days"],
    "examine": [],
    "ingest": ["paths", "submission_timestamp"],
    "ingest_recipes": ["paths"],
    "experiments": ["as_of"],
    "fetch_dataframe": ["dataset", "slug", "branch", "start", "end"],
    "plot": ["dataset", "slug", "branch", "start", "end"],
    "plot_experiment": ["slug", "branch", "start", "end"],
    "export_experiment": ["slug", "datasets", "as_of"],
    "export_experiments": ["slugs", "datasets", "as_of"],
    "export_active": ["as_of"],
    "report": ["slug"],
    "report_all": [],
    "close": [],
}
EIGHT = (
    "experiment_enrollment_overall",
    "experiment_unenrollment_overall",
    "experiment_enrollment_other_events_overall",
    "experiment_enrollment_cumulative_population_estimate",
    "experiment_enrollment_daily_active_population",
    "experiment_cumulative_ad_clicks",
    "experiment_cumulative_search_count",
    "experiment_cumulative_search_with_ads_count",
)
MODULES = sorted(m.name for m in pkgutil.walk_packages(expmon.__path__, "expmon."))
HEAVY = ("pandas", "pyarrow", "numpy", "sqlglot", "duckdb", "google", "click", "rich", "matplotlib")
SCRIPT = Path(sys.executable).with_name("expmon")


def imported_by(*command):
    """The top-level packages that a command has imported when it ends, and its output."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True
    )
    names = re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)
    return {name.split(".")[0] for name in names}, done.stdout


def test_the_public_names_are_these_and_no_others():
    assert expmon.__all__ == sorted(PUBLIC)
    everything: dict[str, object] = {}
    exec("from expmon import *", everything)
    assert everything.keys() - {"__builtins__"} == PUBLIC.keys()


@pytest.mark.parametrize(("name", "home"), PUBLIC.items())
def test_a_public_name_is_found_at_its_home_and_listed(name, home):
    found = getattr(expmon, name)
    assert found is getattr(importlib.import_module(home), name)
    assert found.__module__ == home
    assert name in dir(expmon)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_described(name):
    assert len(inspect.getdoc(getattr(expmon, name)).splitlines()[0]) > 20


@pytest.mark.parametrize(("name", "arguments"), FUNCTIONS.items())
def test_a_public_function_takes_what_the_design_says(name, arguments):
    assert list(inspect.signature(getattr(expmon, name)).parameters) == arguments


@pytest.mark.parametrize(("name", "arguments"), METHODS.items())
def test_a_monitors_method_takes_what_the_design_says_and_is_described(name, arguments):
    method = getattr(expmon.Monitor, name)
    parameters = [p for p in inspect.signature(method).parameters if p != "self"]
    assert [p for p in parameters if p not in {"wait", "progress"}] == arguments
    assert inspect.getdoc(method)


def test_a_monitor_has_no_other_public_methods():
    found = {name for name, _ in inspect.getmembers(expmon.Monitor, inspect.isfunction)}
    assert {name for name in found if not name.startswith("_")} == METHODS.keys()


def test_an_unknown_name_is_an_attribute_error_that_says_it():
    with pytest.raises(AttributeError, match="module 'expmon' has no attribute 'nonsense'"):
        _ = expmon.nonsense


def test_no_module_takes_the_place_of_a_public_name():
    for module in MODULES:
        if module != "expmon.airflow":  # imported only inside Airflow
            importlib.import_module(module)
    for name, home in PUBLIC.items():
        assert getattr(expmon, name).__module__ == home
    assert not {module.removeprefix("expmon.") for module in MODULES} & PUBLIC.keys()


def test_the_version_is_that_of_the_distribution():
    assert expmon.__version__ == importlib.metadata.version("expmon")


def test_the_package_says_that_it_has_types():
    assert Path(expmon.__file__).with_name("py.typed").is_file()


def test_importing_expmon_loads_no_library_at_all():
    loaded, _ = imported_by("-c", "import expmon")
    assert "expmon" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_commands_help_loads_neither_pandas_nor_an_engine():
    loaded, printed = imported_by(str(SCRIPT), "--help")
    assert printed.startswith("Usage: expmon")
    assert {"expmon", "click"} <= loaded
    assert loaded.isdisjoint(set(HEAVY) - {"click"})


def test_the_errors_and_the_names_of_datasets_load_no_engine():
    code = "import expmon; expmon.ExpmonError; print(len(expmon.datasets()))"
    loaded, printed = imported_by("-c", code)
    assert printed == "11\n"
    assert loaded.isdisjoint({"pandas", "pyarrow", "duckdb", "google", "matplotlib"})


def test_datasets_names_the_eight_the_other_events_and_the_two_live_views():
    found = expmon.datasets()
    assert set(found) == {
        *EIGHT,
        "experiment_enrollment_other_events",
        "experiment_enrollment_aggregates_live",
        "experiment_search_aggregates_live",
    }
    assert found["experiment_enrollment_overall"] == "Enrollments per window"


def test_sql_gives_the_statement_with_its_parameters():
    text = expmon.sql("experiment_enrollment_daily_active_population")
    lines = text.splitlines()
    assert lines[:2] == [
        "-- telemetry_derived.experiment_enrollment_daily_active_population_v1",
        "-- @day DATE",
    ]
    assert "`moz-fx-data-shared-prod`.telemetry_derived." in text
    assert text.endswith("\n")


def test_the_functions_without_a_monitor_use_the_configured_one(
    warehouse_file, tmp_path, monkeypatch
):
    with expmon.connect(f"duckdb://{warehouse_file}") as monitor:
        ping = pings.event_ping("2021-01-26T00:04:00Z", pings.event("enroll"))
        monitor.ingest(pings.write(tmp_path / "pings.json", [ping]))
        monitor.run("live", datetime(2021, 1, 26, 0, 5, tzinfo=UTC))
    monkeypatch.setenv("EXPMON_WAREHOUSE", f"duckdb://{warehouse_file}")
    monkeypatch.setenv("EXPMON_STORE", str(tmp_path / "out"))
    frame = expmon.fetch_dataframe("experiment_enrollment_overall", "exp", branch="a")
    assert frame.to_dict("records") == [
        {
            "time": datetime(2021, 1, 26, tzinfo=UTC),
            "branch": "a",
            "experiment": "exp",
            "value": 1,
        }
    ]
    figure = expmon.plot("experiment_enrollment_overall", "exp", branch="a")
    assert figure.axes[0].lines[0].get_ydata().tolist() == [1, 1]
    done = expmon.export_experiment(
        "exp", ["experiment_enrollment_overall"], datetime(2021, 1, 26, 0, 5, tzinfo=UTC)
    )
    assert done.experiments == ("exp",)
    total = tmp_path / "out" / "exp_experiment_enrollment_overall.json"
    assert json.loads(total.read_text()) == [{"time": "2021-01-26 00:00:00 UTC", "value": "1"}]
