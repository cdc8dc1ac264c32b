from __future__ import annotations

import logging
import os
import pickle
import re
import sys
import tomllib
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import duckdb
import pytest
from google.oauth2.credentials import Credentials

import expmon
import pings
import playing
from expmon import config
from expmon.catalog.model import Names
from expmon.errors import ConfigError
from expmon.health_settings import HealthSettings
from expmon.materialize.schedule import Schedule
from expmon.settings_table import MAPS, SETTINGS, Value
from expmon.warehouse.bigquery_settings import BigQuerySettings
from playing import at

MOZILLA = Names("moz-fx-data-shared-prod", "mozdata", "moz-fx-data-experiments")
ACCOUNT = "monitoring@my-project.iam.gserviceaccount.com"

# Of each setting: two values as the file has them, and the second as text.
SAMPLES = {
    "warehouse": ("duckdb://a", "duckdb://b", "duckdb://b"),
    "store": ("a", "gs://bucket/b", "gs://bucket/b"),
    "project": ("a", "example.com:b-1", "example.com:b-1"),
    "projects.data": ("a", "b", "b"),
    "projects.views": ("a", "b", "b"),
    "projects.experiments": ("a", "b", "b"),
    "schedule.day_lag_minutes": (1, 0, "0"),
    "schedule.hour_lag_minutes": (1, 2, "2"),
    "schedule.source_horizon_days": (1, 2, "2"),
    "schedule.catch_up_days": (1, 2, "2"),
    "schedule.empty_sources": (
        ["telemetry_live.main_v4"],
        ["telemetry.clients_daily", "telemetry_live.event_v4"],
        "telemetry_live.event_v4, telemetry.clients_daily",
    ),
    "health.alpha": (0.01, 0.0005, "5e-4"),
    "health.concentration": (50, 200.5, "200.5"),
    "health.settling_hours": (1, 0, "0"),
    "health.holding_back_hours": (1, 2, "2"),
    "health.muted": (["a"], ["b:split", "ümlaut"], "ümlaut, b:split"),
    "alerts.to": ("a.jsonl", "stdout", "stdout"),
    "bigquery.location": ("EU", "europe-west1", "europe-west1"),
    "bigquery.priority": ("batch", "interactive", "interactive"),
    "bigquery.job_timeout_minutes": (1, 2, "2"),
    "bigquery.retry_deadline_seconds": (1, 2, "2"),
    "bigquery.maximum_bytes_billed": (1, 2, "2"),
    "bigquery.parallel_jobs": (1, 100, "100"),
    "google.quota_project": ("a", "b", "b"),
    "google.impersonate_service_account": ("a@b.iam.gserviceaccount.com", ACCOUNT, ACCOUNT),
    "datasets": ({"telemetry": "a"}, {"telemetry": "b"}, "telemetry=b"),
    "tables": (
        {"telemetry.clients_daily": "a.a"},
        {"telemetry.clients_daily": "p-1.b.b"},
        "telemetry.clients_daily=p-1.b.b",
    ),
    "physical_tables": (
        {"telemetry.clients_daily": "a.a"},
        {"telemetry.clients_daily": "b.b_v6"},
        "telemetry.clients_daily=b.b_v6",
    ),
    "enrollment_targets": ({"a.b": 1}, {"a.b": 20000}, "a.b=20000"),
}
VARIABLES = {setting.key: setting.variable for setting in (*SETTINGS.values(), *MAPS.values())}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for variable in [name for name in os.environ if name.startswith("EXPMON_")]:
        monkeypatch.delenv(variable)


def load(tmp_path, text):
    file = tmp_path / "some.toml"
    file.write_text(text, encoding="utf-8")
    return config.load(file=file)


def toml(key, value):
    """The lines of a file with this setting."""
    section, _, name = key.rpartition(".")
    if isinstance(value, dict):
        return "\n".join([f"[{key}]", *(f'"{name}" = {entry!r}' for name, entry in value.items())])
    return f"[{section}]\n{name} = {value!r}" if section else f"{name} = {value!r}"


def value_of(loaded, key):
    """What is configured, as the file would have it, and where it came from."""
    found = {value.key: value for value in loaded.values}
    if key in found:
        value = found[key].value
        return (list(value) if isinstance(value, tuple) else value), found[key].origin
    entries = [value for value in loaded.values if value.key.startswith(f"{key}.")]
    (origin,) = {value.origin for value in entries}
    return {value.key.removeprefix(f"{key}."): value.value for value in entries}, origin


def test_without_any_setting_everything_is_mozillas():
    loaded = config.load()
    assert loaded.warehouse == "bigquery://moz-fx-data-shared-prod"
    assert loaded.store == "gs://mozanalysis/monitoring"
    assert loaded.settings.names == MOZILLA
    assert loaded.settings.schedule == Schedule(
        day_lag=timedelta(hours=3),
        hour_lag=timedelta(minutes=30),
        source_horizon=timedelta(days=7),
        catch_up=timedelta(days=14),
        empty_sources=frozenset(),
    )
    assert loaded.settings.health == HealthSettings(
        alpha=0.001,
        concentration=100.0,
        settling=timedelta(hours=24),
        holding_back=timedelta(hours=6),
        muted=frozenset(),
        targets={},
    )
    assert loaded.settings.alerts_to == "stdout"
    assert loaded.bigquery == BigQuerySettings(
        project="moz-fx-data-shared-prod",
        location=None,
        quota_project=None,
        priority="interactive",
        job_timeout=timedelta(minutes=10),
        retry_deadline=timedelta(minutes=2),
        maximum_bytes_billed=None,
        parallel_jobs=8,
    )
    assert (loaded.impersonate, loaded.quota_project) == (None, None)
    assert config.Config(values=loaded.values) == loaded


def test_every_default_says_whose_it_is():
    mozillas = "Mozilla's default"
    assert config.load().values == (
        Value("warehouse", "bigquery://moz-fx-data-shared-prod", mozillas),
        Value("store", "gs://mozanalysis/monitoring", mozillas),
        Value("project", None, "default"),
        Value("projects.data", "moz-fx-data-shared-prod", mozillas),
        Value("projects.views", "mozdata", mozillas),
        Value("projects.experiments", "moz-fx-data-experiments", mozillas),
        Value("schedule.day_lag_minutes", 180, "default"),
        Value("schedule.hour_lag_minutes", 30, "default"),
        Value("schedule.source_horizon_days", 7, "default"),
        Value("schedule.catch_up_days", 14, "default"),
        Value("schedule.empty_sources", (), "default"),
        Value("health.alpha", 0.001, "default"),
        Value("health.concentration", 100.0, "default"),
        Value("health.settling_hours", 24, "default"),
        Value("health.holding_back_hours", 6, "default"),
        Value("health.muted", (), "default"),
        Value("alerts.to", "stdout", "default"),
        Value("bigquery.location", None, "default"),
        Value("bigquery.priority", "interactive", "default"),
        Value("bigquery.job_timeout_minutes", 10, "default"),
        Value("bigquery.retry_deadline_seconds", 120, "default"),
        Value("bigquery.maximum_bytes_billed", None, "default"),
        Value("bigquery.parallel_jobs", 8, "default"),
        Value("google.quota_project", None, "default"),
        Value("google.impersonate_service_account", None, "default"),
    )


def test_every_setting_is_tried_here():
    assert SAMPLES.keys() == VARIABLES.keys()


@pytest.mark.parametrize(("key", "samples"), SAMPLES.items())
def test_the_file_gives_every_setting(tmp_path, key, samples):
    loaded = load(tmp_path, toml(key, samples[0]))
    assert value_of(loaded, key) == (samples[0], str(tmp_path / "some.toml"))


@pytest.mark.parametrize(("key", "samples"), SAMPLES.items())
def test_the_environment_gives_every_setting_and_beats_the_file(
    tmp_path, monkeypatch, key, samples
):
    weak, strong, text = samples
    monkeypatch.setenv(VARIABLES[key], text)
    assert value_of(load(tmp_path, toml(key, weak)), key) == (strong, VARIABLES[key])


@pytest.mark.parametrize("is_text", [True, False], ids=["text", "value"])
@pytest.mark.parametrize(("key", "samples"), SAMPLES.items())
def test_an_argument_gives_every_setting_and_beats_the_environment(
    tmp_path, monkeypatch, key, samples, is_text
):
    weak, strong, text = samples
    Path("expmon.toml").write_text(toml(key, weak))
    monkeypatch.setenv(VARIABLES[key], weak if isinstance(weak, str) else text)
    loaded = config.load(overrides={key: text if is_text else strong})
    assert value_of(loaded, key) == (strong, "argument")


@pytest.mark.parametrize(("key", "samples"), SAMPLES.items())
def test_an_empty_variable_is_not_set_and_an_empty_argument_is_refused(
    tmp_path, monkeypatch, key, samples
):
    monkeypatch.setenv(VARIABLES[key], "")
    loaded = load(tmp_path, toml(key, samples[0]))
    assert value_of(loaded, key) == (samples[0], str(tmp_path / "some.toml"))
    with pytest.raises(ConfigError, match=f"^argument: {key} must be "):
        config.load(overrides={key: ""})


def test_an_argument_of_none_is_not_given(monkeypatch):
    monkeypatch.setenv("EXPMON_LOCATION", "EU")
    loaded = config.load(overrides={"bigquery.location": None})
    assert value_of(loaded, "bigquery.location") == ("EU", "EXPMON_LOCATION")


def test_the_settings_are_what_the_parts_of_expmon_get(tmp_path):
    loaded = load(
        tmp_path,
        f"""
        warehouse = "bigquery://mine"
        [bigquery]
        location = "EU"
        priority = "batch"
        job_timeout_minutes = 30
        retry_deadline_seconds = 5
        maximum_bytes_billed = 9223372036854775807
        parallel_jobs = 3
        [google]
        quota_project = "payer"
        impersonate_service_account = "{ACCOUNT}"
        """,
    )
    assert loaded.bigquery == BigQuerySettings(
        project="mine",
        location="EU",
        quota_project="payer",
        priority="batch",
        job_timeout=timedelta(minutes=30),
        retry_deadline=timedelta(seconds=5),
        maximum_bytes_billed=9223372036854775807,
        parallel_jobs=3,
    )
    assert (loaded.impersonate, loaded.quota_project) == (ACCOUNT, "payer")
    assert loaded.settings.names == MOZILLA


def test_google_settings_are_there_for_a_bucket_beside_an_embedded_warehouse(tmp_path):
    loaded = load(tmp_path, 'warehouse = "duckdb://x"\n[google]\nquota_project = "payer"')
    assert (loaded.bigquery, loaded.quota_project) == (None, "payer")


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (("argument", "variable", "file"), "argument"),
        (("argument", None, "file"), "argument"),
        (("argument", "variable", None), "argument"),
        ((None, "variable", "file"), "variable"),
        ((None, "variable", None), "variable"),
        ((None, None, "file"), "file"),
        ((None, "", "file"), "file"),
    ],
)
@pytest.mark.parametrize("setting", ["warehouse", "store"])
def test_an_argument_comes_before_the_environment_before_the_file(
    monkeypatch, setting, given, chosen
):
    argument, variable, line = given
    if variable is not None:
        monkeypatch.setenv(f"EXPMON_{setting.upper()}", variable)
    if line is not None:
        Path("expmon.toml").write_text(f'{setting} = "{line}"')
    assert getattr(config.load(**{setting: argument}), setting) == chosen


@pytest.mark.parametrize("how", ["argument", "variable", "file"])
def test_mozillas_bucket_is_the_default_of_mozillas_warehouse_alone(monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("EXPMON_WAREHOUSE", "duckdb://x")
    if how == "file":
        Path("expmon.toml").write_text('warehouse = "duckdb://x"')
    assert config.load("duckdb://x" if how == "argument" else None).store is None


def test_a_named_file_is_read_instead_of_the_one_in_the_directory(tmp_path):
    Path("expmon.toml").write_text('warehouse = "duckdb://here"')
    assert load(tmp_path, 'warehouse = "duckdb://named"').warehouse == "duckdb://named"


def test_a_store_may_be_a_path(tmp_path):
    assert config.load("duckdb://x", tmp_path / "exports").store == str(tmp_path / "exports")


def test_one_project_puts_everything_into_one(tmp_path):
    names = load(tmp_path, 'project = "mine"').settings.names
    assert (names.data, names.views, names.experiments) == ("mine", "mine", "mine")


@pytest.mark.parametrize(
    ("text", "projects"),
    [
        ('[projects]\ndata = "d"', ("d", "mozdata", "moz-fx-data-experiments")),
        ('[projects]\ndata = "d"\nviews = "v"\nexperiments = "e"', ("d", "v", "e")),
        ('project = "p"\n[projects]\nviews = "v"', ("p", "v", "p")),
    ],
    ids=["one of them", "all of them", "one beside the rest"],
)
def test_projects_may_be_named_one_by_one(tmp_path, text, projects):
    names = load(tmp_path, text).settings.names
    assert (names.data, names.views, names.experiments) == projects


@pytest.mark.parametrize(
    ("variables", "projects"),
    [
        ({"EXPMON_PROJECT": "p"}, ("p", "p", "p")),
        ({"EXPMON_PROJECT": "p", "EXPMON_VIEWS_PROJECT": "v"}, ("p", "v", "p")),
        ({"EXPMON_DATA_PROJECT": "d"}, ("d", "file-views", "file")),
    ],
)
def test_a_stronger_layer_wins_over_all_projects_of_a_weaker_one(
    tmp_path, monkeypatch, variables, projects
):
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    loaded = load(tmp_path, 'project = "file"\n[projects]\nviews = "file-views"')
    names = loaded.settings.names
    assert (names.data, names.views, names.experiments) == projects


def test_a_project_that_comes_of_the_one_for_all_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPMON_PROJECT", "p")
    loaded = load(tmp_path, '[projects]\ndata = "d"')
    assert value_of(loaded, "projects.data") == ("p", "EXPMON_PROJECT")


def test_maps_of_several_layers_are_merged_entry_by_entry(tmp_path, monkeypatch):
    file = tmp_path / "some.toml"
    file.write_text(
        """
        [tables]
        "telemetry_live.main_v4" = "file.main"
        "telemetry_live.event_v4" = "file.event"
        "telemetry.clients_daily" = "file.clients"
        [datasets]
        telemetry = "file_views"
        """
    )
    monkeypatch.setenv(
        "EXPMON_TABLES", "telemetry_live.event_v4=env.event, telemetry.clients_daily=env.clients"
    )
    monkeypatch.setenv("EXPMON_DATASETS", "telemetry_derived=env_derived")
    overrides = {"tables.telemetry.clients_daily": "argument.clients"}
    loaded = config.load(file=file, overrides=overrides)
    assert loaded.settings.names == Names(
        datasets={"telemetry": "file_views", "telemetry_derived": "env_derived"},
        renamed={
            "telemetry_live.main_v4": "file.main",
            "telemetry_live.event_v4": "env.event",
            "telemetry.clients_daily": "argument.clients",
        },
    )
    assert loaded.values[len(SETTINGS) :] == (
        Value("datasets.telemetry", "file_views", str(file)),
        Value("datasets.telemetry_derived", "env_derived", "EXPMON_DATASETS"),
        Value("tables.telemetry.clients_daily", "argument.clients", "argument"),
        Value("tables.telemetry_live.event_v4", "env.event", "EXPMON_TABLES"),
        Value("tables.telemetry_live.main_v4", "file.main", str(file)),
    )


def test_a_tables_name_needs_no_quotes(tmp_path):
    names = load(tmp_path, "[tables]\ntelemetry.clients_daily = 'a.b'").settings.names
    assert names.renamed == {"telemetry.clients_daily": "a.b"}


def test_an_argument_may_be_a_whole_map_of_values():
    physical = {"telemetry.clients_daily": "a.b"}
    loaded = config.load(overrides={"physical_tables": physical})
    assert loaded.settings.names.physical == physical


@pytest.mark.parametrize(
    ("url", "project", "location"),
    [
        ("bigquery://p", "p", None),
        ("bigquery://my-project-1?location=US", "my-project-1", "US"),
        ("bigquery://example.com:my-project?location=europe-west1", "example.com:my-project", ...),
        ("bigquery://p?", "p", None),
    ],
)
def test_a_bigquery_url_names_the_project_of_jobs_alone(url, project, location):
    loaded = config.load(url)
    assert loaded.bigquery.project == project
    assert loaded.bigquery.location == ("europe-west1" if location is ... else location)
    assert loaded.warehouse == url
    assert loaded.settings.names == MOZILLA
    assert loaded.store is None


def test_a_bigquery_url_may_have_each_setting_of_google():
    query = (
        "location=EU&priority=batch&job_timeout_minutes=3&retry_deadline_seconds=4"
        "&maximum_bytes_billed=5&parallel_jobs=6&quota_project=q"
        f"&impersonate_service_account={ACCOUNT.replace('@', '%40')}"
    )
    loaded = config.load(f"bigquery://p?{query}")
    assert loaded.bigquery == BigQuerySettings(
        project="p",
        location="EU",
        quota_project="q",
        priority="batch",
        job_timeout=timedelta(minutes=3),
        retry_deadline=timedelta(seconds=4),
        maximum_bytes_billed=5,
        parallel_jobs=6,
    )
    assert loaded.impersonate == ACCOUNT


URL = "bigquery://p?location=url"
LAYERS = {
    "the file": {"file": f'warehouse = "{URL}"'},
    "the environment": {"EXPMON_WAREHOUSE": URL},
    "an argument": {"warehouse": URL},
    "a setting": {"overrides": {"warehouse": URL}},
}


@pytest.mark.parametrize(
    ("url_in", "beside", "location", "origin"),
    [
        ("the file", {"file": "location"}, "url", "/expmon.toml"),
        ("the file", {"EXPMON_LOCATION": "env"}, "env", "EXPMON_LOCATION"),
        ("the environment", {"file": "location"}, "url", "EXPMON_WAREHOUSE"),
        ("the environment", {"EXPMON_LOCATION": "env"}, "url", "EXPMON_WAREHOUSE"),
        ("the environment", {"overrides": "set"}, "set", "argument"),
        ("an argument", {"EXPMON_LOCATION": "env"}, "url", "argument"),
        ("an argument", {"overrides": "set"}, "set", "argument"),
        ("a setting", {"overrides": "set"}, "url", "argument"),
    ],
)
def test_a_urls_setting_is_as_strong_as_its_layer_and_beats_that_layers_own(
    monkeypatch, url_in, beside, location, origin
):
    given = LAYERS[url_in]
    lines = [given.get("file", "")]
    if "file" in beside:
        lines.append('[bigquery]\nlocation = "file"')
    Path("expmon.toml").write_text("\n".join(lines))
    for variable in ("EXPMON_WAREHOUSE", "EXPMON_LOCATION"):
        monkeypatch.setenv(variable, given.get(variable, beside.get(variable, "")))
    overrides = dict(given.get("overrides", {}))
    if "overrides" in beside:
        overrides["bigquery.location"] = "set"
    loaded = config.load(given.get("warehouse"), overrides=overrides)
    assert loaded.bigquery.location == location
    assert value_of(loaded, "bigquery.location")[1].endswith(origin)


def test_a_url_that_is_not_in_force_sets_nothing(monkeypatch):
    monkeypatch.setenv("EXPMON_WAREHOUSE", "bigquery://weak?location=EU&quota_project=q")
    loaded = config.load("bigquery://strong")
    assert loaded.bigquery == BigQuerySettings("strong")
    assert loaded.quota_project is None


@pytest.mark.parametrize(
    "url",
    [
        "bigquery://",
        "bigquery://?location=US",
        "bigquery://a/b",
        "bigquery://a/",
        "bigquery://a b",
        "bigquery://a_b",
        "bigquery://a`b",
        "bigquery://-a",
        "bigquery://a#b",
        "bigquery://a\n",
        "bigquery://user:pass@a",
    ],
)
def test_a_bigquery_url_without_a_proper_project_is_refused(url):
    with pytest.raises(ConfigError, match=r"^argument: .* is no warehouse: write bigquery://proj"):
        config.load(url)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("locatoin=US", "'locatoin' is unknown: did you mean location?"),
        ("project=b", "'project' is unknown"),
        ("location", "write settings like ?location=US&priority=batch"),
        ("location=US&", "write settings like ?location=US&priority=batch"),
        ("location=US&location=EU", "has a setting twice"),
        ("location=", "bigquery.location must be a location like US or europe-west1, not ''"),
        ("location=US#x", "bigquery.location must be a location"),
        ("priority=slow", "bigquery.priority must be interactive or batch, not 'slow'"),
        ("parallel_jobs=x", "bigquery.parallel_jobs must be a whole number from 1 to 100, not 'x'"),
    ],
)
def test_a_bigquery_url_with_other_settings_is_refused(monkeypatch, query, message):
    monkeypatch.setenv("EXPMON_WAREHOUSE", f"bigquery://p?{query}")
    with pytest.raises(ConfigError, match=f"^EXPMON_WAREHOUSE: .*{re.escape(message)}"):
        config.load()


def test_a_question_mark_is_part_of_an_embedded_warehouses_path(tmp_path):
    with expmon.connect("duckdb://a?location=US") as monitor:
        monitor.deploy()
    assert (tmp_path / "a?location=US").is_file()


def test_the_schedule_is_read_in_its_units(tmp_path):
    text = """
    [schedule]
    day_lag_minutes = 90
    hour_lag_minutes = 0
    source_horizon_days = 3
    catch_up_days = 30
    empty_sources = ["telemetry_derived.main_events_v1"]
    """
    assert load(tmp_path, text).settings.schedule == Schedule(
        day_lag=timedelta(minutes=90),
        hour_lag=timedelta(0),
        source_horizon=timedelta(days=3),
        catch_up=timedelta(days=30),
        empty_sources=frozenset({"telemetry_derived.main_events_v1"}),
    )


def test_the_health_checks_and_alerts_get_their_settings(tmp_path):
    settings = load(
        tmp_path,
        """
        [health]
        alpha = 0.0001
        concentration = 50
        settling_hours = 12
        holding_back_hours = 0
        muted = ["exp:split", "failures", "exp"]
        [enrollment_targets]
        exp = 20000
        "a.b" = 1
        [alerts]
        to = "/var/lib/alerts.jsonl"
        """,
    ).settings
    assert settings.health == HealthSettings(
        alpha=0.0001,
        concentration=50.0,
        settling=timedelta(hours=12),
        holding_back=timedelta(0),
        muted=frozenset({"exp:split", "failures", "exp"}),
        targets={"exp": 20000, "a.b": 1},
    )
    assert settings.alerts_to == "/var/lib/alerts.jsonl"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://example.com/secret", "https://example.com/…"),
        ("http://user:secret@localhost:8080?secret#secret", "http://localhost:8080/…"),
        ("https://[::1]/secret", "https://[::1]/…"),
        ("https://a:secret@b:secret@example.com/secret", "https://example.com/…"),
    ],
)
def test_what_may_be_secret_of_an_address_is_used_and_not_shown(monkeypatch, address, shown):
    monkeypatch.setenv("EXPMON_ALERTS_TO", address)
    loaded = config.load()
    assert loaded.settings.alerts_to == address
    assert value_of(loaded, "alerts.to") == (shown, "EXPMON_ALERTS_TO")
    assert "secret" not in repr(loaded)


@pytest.mark.parametrize("address", ["https://example.com:secret/secret", "ftp://x/secret"])
def test_nor_is_it_where_the_address_makes_no_sense(address):
    with pytest.raises(
        ConfigError, match=r"^argument: alerts\.to must be stdout, a file's "
    ) as met:
        config.load(overrides={"alerts.to": address})
    assert "/secret" not in str(met.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("warehouse = 5", "warehouse must be a text, not 5"),
        ("[warehouse]", "warehouse must be a text, not {}"),
        ('store = ""', "store must be a text, not ''"),
        ('wharehouse = "x"', "'wharehouse' is unknown: did you mean warehouse?"),
        ("[shedule]", "'shedule' is unknown: did you mean schedule?"),
        ('zzz = "x"', "'zzz' is unknown"),
        ("project = 5", "project must be a project's id, of letters, digits, '-', '.' and ':', n"),
        ("projects = 5", "projects must be a table: [projects]"),
        ('[projects]\nview = "v"', "projects: 'view' is unknown: did you mean views?"),
        ("[projects]\nviews = 5", "projects.views must be a project's id"),
        ('[projects]\nviews = "a`b"', "projects.views must be a project's id"),
        ("tables = []", "tables must be a table: [tables]"),
        ('tables = "telemetry.clients_daily=a.b"', "tables must be a table: [tables]"),
        (
            '[tables]\n"telemetry.client_daily" = "a.b"',
            "tables: 'telemetry.client_daily' is unknown: did you mean telemetry.clients_daily",
        ),
        (
            '[tables]\n"telemetry.clients_daily" = "b"',
            "tables.telemetry.clients_daily must be dataset.table or project.dataset.table",
        ),
        ('[tables]\n"telemetry.clients_daily" = "a.b.c.d"', "must be dataset.table or project"),
        ('[tables]\n"telemetry.clients_daily" = 5', "must be dataset.table or project"),
        (
            '[physical_tables]\n"telemetry.clients_dail" = "a.b"',
            "physical_tables: 'telemetry.clients_dail' is unknown: did you mean telemetry.clients",
        ),
        (
            '[physical_tables]\n"telemetry.experiment_enrollment_overall" = "a.b"',
            "physical_tables: 'telemetry.experiment_enrollment_overall' is unknown",
        ),
        ('[physical_tables]\n"telemetry.clients_daily" = "b"', "must be dataset.table or project"),
        ('[datasets]\ntelemetri = "a"', "datasets: 'telemetri' is unknown: did you mean telemetry"),
        (
            '[datasets]\ntelemetry = "a-b"',
            "datasets.telemetry must be a dataset's name, of letters, digits and '_', not 'a-b'",
        ),
        ("[[schedule]]", "schedule must be a table: [schedule]"),
        ("[schedule]\nday_lag = 5", "schedule: 'day_lag' is unknown: did you mean day_lag_minutes"),
        (
            "[schedule]\nday_lag_minutes = -1",
            "schedule.day_lag_minutes must be a whole number from 0 to 1000000, not -1",
        ),
        ("[schedule]\nday_lag_minutes = 1.5", "day_lag_minutes must be a whole number from 0 to"),
        ("[schedule]\nhour_lag_minutes = true", "hour_lag_minutes must be a whole number"),
        ("[schedule]\nsource_horizon_days = -1", "source_horizon_days must be a whole number"),
        ('[schedule]\ncatch_up_days = "14"', "catch_up_days must be a whole number from 0 to"),
        (
            '[schedule]\nempty_sources = "telemetry_live.main_v4"',
            "schedule.empty_sources must be a list of names, not 'telemetry_live.main_v4'",
        ),
        ("[schedule]\nempty_sources = [5]", "schedule.empty_sources must be a list of names"),
        (
            '[schedule]\nempty_sources = ["telemetry_derived.main_event_v1"]',
            "is unknown: did you mean telemetry_derived.main_events_v1",
        ),
        ("[health]\nalpha = 0", "health.alpha must be a number above 0 and below 1, not 0"),
        ("[health]\nalpha = 1", "health.alpha must be a number above 0 and below 1, not 1"),
        ("[health]\nalpha = nan", "health.alpha must be a number above 0 and below 1, not nan"),
        ("[health]\nalpha = true", "health.alpha must be a number"),
        ('[health]\nalpha = "0.1"', "health.alpha must be a number"),
        ("[health]\nconcentration = inf", "must be a number above 0 and below 1000000, not inf"),
        ("[health]\nsettling_hours = 1.5", "settling_hours must be a whole number"),
        ('[health]\nmuted = "exp"', "health.muted must be a list of names, not 'exp'"),
        ('[health]\nmuted = [""]', "health.muted must be a list of names"),
        ("[enrollment_targets]\nexp = 0", "enrollment_targets.exp must be a whole number from 1"),
        ('[enrollment_targets]\nexp = "5"', "enrollment_targets.exp must be a whole number from"),
        ('[enrollment_targets]\n"" = 5', "enrollment_targets: a name is empty"),
        ("[alerts]\nto = 5", "alerts.to must be stdout, a file's path, or an address like https:"),
        ('[alerts]\nto = ""', "alerts.to must be stdout, a file's path, or an address"),
        ('[alerts]\nto = "ftp://x/y"', "alerts.to must be stdout, a file's path, or an address"),
        ('[alerts]\nto = "https:///x"', "alerts.to must be stdout, a file's path, or an addres"),
        ('[alerts]\nto = "http://x:0/"', "alerts.to must be stdout, a file's path, or an addres"),
        ('[alerts]\nto = "http://[x/"', "alerts.to must be stdout, a file's path, or an address"),
        ('[alerts]\nto = "a\\u0000b"', "alerts.to must be stdout, a file's path, or an address"),
        ('[bigquery]\nlocaton = "US"', "bigquery: 'locaton' is unknown: did you mean location?"),
        ('[bigquery]\nlocation = "U S"', "bigquery.location must be a location like US or europe"),
        ('[bigquery]\npriority = "BATCH"', "bigquery.priority must be interactive or batch"),
        ("[bigquery]\njob_timeout_minutes = 0", "must be a whole number from 1 to 1000000, not 0"),
        ("[bigquery]\nretry_deadline_seconds = -1", "retry_deadline_seconds must be a whole num"),
        ("[bigquery]\nmaximum_bytes_billed = 0", "maximum_bytes_billed must be a whole number"),
        (
            "[bigquery]\nmaximum_bytes_billed = 9223372036854775808",
            "must be a whole number from 1 to 9223372036854775807",
        ),
        ("[bigquery]\nparallel_jobs = 0", "parallel_jobs must be a whole number from 1 to 100"),
        ("[bigquery]\nparallel_jobs = 101", "parallel_jobs must be a whole number from 1 to 100"),
        ('[google]\nquota_project = "a/b"', "google.quota_project must be a project's id"),
        (
            '[google]\nimpersonate_service_account = "monitoring"',
            "google.impersonate_service_account must be a service account's e-mail address",
        ),
        ('[google]\nimpersonate_service_account = "a@b/c.com"', "must be a service account's"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name_and_file(tmp_path, text, message):
    where = re.escape(f"{tmp_path / 'some.toml'}: ")
    with pytest.raises(ConfigError, match=f"^{where}.*{re.escape(message)}"):
        load(tmp_path, text)


def test_a_file_that_is_not_toml_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"some\.toml is not TOML"):
        load(tmp_path, "warehouse = ")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("EXPMON_PROJECT", "a b", "project must be a project's id"),
        ("EXPMON_DAY_LAG_MINUTES", "1.5", "schedule.day_lag_minutes must be a whole number from 0"),
        ("EXPMON_DAY_LAG_MINUTES", "1_0", "schedule.day_lag_minutes must be a whole number from 0"),
        ("EXPMON_CATCH_UP_DAYS", "-1", "schedule.catch_up_days must be a whole number from 0"),
        ("EXPMON_CATCH_UP_DAYS", "9" * 5000, "schedule.catch_up_days must be a whole number from"),
        (
            "EXPMON_EMPTY_SOURCES",
            "telemetry_live.main_v4,",
            "schedule.empty_sources: '' is unknown",
        ),
        (
            "EXPMON_EMPTY_SOURCES",
            "main_v4",
            "schedule.empty_sources: 'main_v4' is unknown",
        ),
        ("EXPMON_HEALTH_ALPHA", "1_0", "health.alpha must be a number above 0 and below 1"),
        ("EXPMON_HEALTH_MUTED", "exp,", "health.muted must be a list of names"),
        (
            "EXPMON_ENROLLMENT_TARGETS",
            "exp=many",
            "enrollment_targets.exp must be a whole number from 1 to 1000000000, not 'many'",
        ),
        ("EXPMON_PARALLEL_JOBS", "101", "bigquery.parallel_jobs must be a whole number from 1 to"),
        (
            "EXPMON_DATASETS",
            "telemetry",
            "datasets must be name=value,name=value and so on, not 't",
        ),
        ("EXPMON_DATASETS", "telemetry=a,", "datasets must be name=value,name=value and so on"),
        ("EXPMON_DATASETS", "telemetry=", "datasets.telemetry must be a dataset's name"),
        ("EXPMON_TABLES", "clients_daily=a.b", "tables: 'clients_daily' is unknown: did you mean"),
        (
            "EXPMON_PHYSICAL_TABLES",
            "telemetry_live.main_v4=b",
            "physical_tables.telemetry_live.mai",
        ),
    ],
)
def test_a_variable_that_makes_no_sense_is_refused_by_both_names(
    monkeypatch, variable, text, message
):
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError, match=f"^{variable}: {re.escape(message)}"):
        config.load()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("localtion", "US", "'localtion' is unknown: did you mean bigquery.location?"),
        (
            "biquery.location",
            "US",
            "'biquery.location' is unknown: did you mean bigquery.location, ",
        ),
        ("bigquery.locaton", "US", "bigquery: 'locaton' is unknown: did you mean location?"),
        ("bigquery", "US", "bigquery must be a table: [bigquery]"),
        ("tables.clients_daily", "a.b", "tables: 'clients_daily' is unknown: did you mean"),
        ("tables.", "a.b", "tables: '' is unknown"),
        ("tables", ["a"], "tables must be a table: [tables]"),
        ("", "x", "'' is unknown"),
        (5, "x", "'5' is unknown"),
        ("bigquery.parallel_jobs", True, "bigquery.parallel_jobs must be a whole number"),
        ("bigquery.parallel_jobs", 1.0, "bigquery.parallel_jobs must be a whole number"),
        ("store", b"x", "store must be a text, not b'x'"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_by_name(key, value, message):
    with pytest.raises(ConfigError, match=f"^argument: {re.escape(message)}"):
        config.load(overrides={key: value})


def test_a_setting_that_is_not_in_force_must_make_sense_too(monkeypatch):
    monkeypatch.setenv("EXPMON_PRIORITY", "slow")
    with pytest.raises(ConfigError, match=r"^EXPMON_PRIORITY: bigquery\.priority"):
        config.load(overrides={"bigquery.priority": "batch"})


def test_an_unknown_setting_is_refused_with_the_name_of_its_file(tmp_path):
    with pytest.raises(ConfigError, match=r"some\.toml: 'bucket' is unknown"):
        load(tmp_path, 'bucket = "x"')


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\0b = 'x'"], ids=["no UTF-8", "NUL"])
def test_a_file_that_is_no_text_is_refused_by_name(tmp_path, content):
    file = tmp_path / "some.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"some\.toml is not TOML"):
        config.load(file=file)


def test_a_named_file_that_is_missing_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.toml can't be read: No such file"):
        config.load(file=tmp_path / "gone.toml")


def test_a_directory_in_the_files_place_is_refused():
    Path("expmon.toml").mkdir()
    with pytest.raises(ConfigError, match=r"expmon\.toml can't be read"):
        config.load()


@pytest.mark.parametrize(
    ("warehouse", "message"),
    [
        ("bigquery:my-project", "is no warehouse: write duckdb://.* or bigquery://project"),
        ("bigquery://", "is no warehouse: write bigquery://project"),
        ("duckdb://", "is no warehouse: write duckdb://"),
        ("duckdb:x", "is no warehouse: write duckdb://"),
        ("monitoring.duckdb", "'monitoring.duckdb' is no warehouse"),
        ("postgres://x", "'postgres://x' is no warehouse"),
    ],
)
def test_a_warehouse_that_cannot_be_used_is_refused_and_told_what_can(warehouse, message):
    with pytest.raises(ConfigError, match=message):
        expmon.connect(warehouse)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("store", ["s3://bucket", "file:///tmp/x", "GS://bucket/x", "://"])
def test_a_store_of_another_kind_is_refused_and_told_what_can(store):
    with pytest.raises(ConfigError, match=f"{store} can't be used: .* directory, or to gs://buck"):
        expmon.connect("duckdb://x.duckdb", store)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    "store",
    [
        "gs://",
        "gs:/bucket/x",
        "gs:bucket",
        "gs:///x",
        "gs://ab",
        "gs://Bucket/x",
        "gs://bucket-/x",
        "gs://buck et/x",
        "gs://a" + "b" * 222,
        "gs://bucket//x",
        "gs://bucket/x//y",
        "gs://bucket/x//",
        "gs://bucket/../x",
        "gs://bucket/x/..",
        "gs://bucket/./x",
        "gs://bucket/x\n",
    ],
)
def test_a_bucket_or_prefix_that_there_cannot_be_is_refused(store):
    with pytest.raises(ConfigError, match="can't be used: write gs://bucket/prefix"):
        expmon.connect("duckdb://x.duckdb", store)
    assert list(Path.cwd().iterdir()) == []


@pytest.fixture
def google(monkeypatch):
    """What the warehouse and the store of Google were made of."""
    made = {}

    def kept(name):
        def make(*arguments, **named):
            made[name] = (*arguments, named)
            return name

        return make

    warehouse, store = ModuleType("bigquery"), ModuleType("gcs")
    warehouse.BigQueryWarehouse, store.GCSStore = kept("warehouse"), kept("store")
    monkeypatch.setitem(sys.modules, "expmon.warehouse.bigquery", warehouse)
    monkeypatch.setitem(sys.modules, "expmon.export.gcs", store)
    for variable in ("BIGQUERY_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(variable, raising=False)
    return made


def test_connecting_without_any_setting_gives_mozillas_without_asking_for_credentials(
    google, monkeypatch
):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "gone.json")
    monitor = expmon.connect()
    assert (monitor.warehouse, monitor.store) == ("warehouse", "store")
    settings, names, credentials, _ = google["warehouse"]
    assert settings == BigQuerySettings("moz-fx-data-shared-prod")
    assert names == MOZILLA
    bucket, prefix, named = google["store"]
    assert (bucket, prefix) == ("mozanalysis", "monitoring")
    assert named.keys() == {"credentials", "quota_project"}
    for make in (credentials, named["credentials"]):
        with pytest.raises(ConfigError, match="gcloud auth application-default login"):
            make()


@pytest.mark.parametrize(
    ("store", "prefix"),
    [
        ("gs://bucket", ""),
        ("gs://bucket/", ""),
        ("gs://bucket/a", "a"),
        ("gs://bucket/a/b c/", "a/b c"),
    ],
)
def test_a_bucket_has_a_prefix_without_slashes_around_it(google, store, prefix):
    expmon.connect("duckdb://x", store)
    assert google["store"][:2] == ("bucket", prefix)


def test_connecting_hands_on_the_settings_and_the_credentials(google):
    given = Credentials("token-of-mine")
    expmon.connect(
        "bigquery://p?location=EU",
        "gs://bucket",
        credentials=given,
        settings={"bigquery.parallel_jobs": 3, "google.quota_project": "q", "project": "mine"},
    )
    settings, names, credentials, _ = google["warehouse"]
    expected = BigQuerySettings("p", location="EU", quota_project="q", parallel_jobs=3)
    assert settings == expected
    assert names == Names("mine", "mine", "mine")
    _, _, named = google["store"]
    assert named["quota_project"] == "q"
    assert credentials() is named["credentials"]()
    assert credentials().token == "token-of-mine"
    assert credentials().quota_project_id == "q"


@pytest.mark.parametrize("emulated", ["BIGQUERY_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"])
def test_an_emulator_gets_no_credentials_and_the_other_server_does(google, monkeypatch, emulated):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "gone.json")
    monkeypatch.setenv(emulated, "localhost:9050")
    expmon.connect()
    makers = [google["warehouse"][2], google["store"][2]["credentials"]]
    anonymous, missing = makers if emulated.startswith("BIGQUERY") else reversed(makers)
    assert type(anonymous()).__name__ == "AnonymousCredentials"
    with pytest.raises(ConfigError):
        missing()


def test_no_credential_is_logged_or_shown(google, caplog, capfd):
    given = Credentials("token-of-mine", refresh_token="refresh-of-mine", client_secret="secret")
    with caplog.at_level(logging.DEBUG):
        monitor = expmon.connect("bigquery://p", "gs://bucket", credentials=given)
        google["warehouse"][2]()
        google["store"][2]["credentials"]()
    loaded = config.load("bigquery://p", "gs://bucket")
    shown = [caplog.text, *capfd.readouterr(), repr(monitor), repr(loaded), repr(google)]
    shown.append(pickle.dumps(loaded).decode("latin-1"))
    with pytest.raises(ConfigError) as refused:
        config.load(overrides={"credentials": "token-of-mine"})
    shown.append(str(refused.value))
    for text in shown:
        for secret in ("token-of-mine", "refresh-of-mine", "secret"):
            assert secret not in text


def test_connecting_opens_and_makes_nothing():
    with expmon.connect("duckdb://some.duckdb", "exports"):
        assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("slashes", ["", "/"], ids=["relative", "absolute"])
def test_the_warehouses_file_is_where_the_url_says(tmp_path, slashes):
    url = "duckdb://some.duckdb" if not slashes else f"duckdb://{tmp_path}/some.duckdb"
    with expmon.connect(url) as monitor:
        monitor.deploy()
    assert (tmp_path / "some.duckdb").is_file()


def test_the_default_monitor_is_the_configured_one(monkeypatch, monitor, warehouse_file, tmp_path):
    ping = pings.event_ping("2021-01-26T00:01:00Z", pings.event("enroll"))
    playing.ingest(monitor, tmp_path / "p.jsonl", [ping])
    monitor.run("live", at("2021-01-26T00:10"))
    monkeypatch.setenv("EXPMON_WAREHOUSE", f"duckdb://{warehouse_file}")
    monkeypatch.setenv("EXPMON_STORE", "elsewhere")
    frame = expmon.fetch_dataframe("experiment_enrollment_overall", "exp")
    assert frame["value"].tolist() == [1]
    expmon.export_experiment("exp", as_of=at("2021-01-26T00:10"))
    assert len(list((tmp_path / "elsewhere").glob("exp_*.json"))) == 16


RENAMED = {
    "telemetry_live.event_v4": "raw.events",
    "telemetry.clients_daily": "raw.clients",
    "telemetry_derived.experiment_enrollment_overall_v1": "derived.enrolled",
    "telemetry_derived.expmon_partitions_v1": "derived.memo",
    "telemetry.experiment_enrollment_overall": "someone.public.enrolled",
    "telemetry_derived.experiment_enrollment_aggregates_recents_v1": "monitoring.recents",
}


def test_renamed_tables_are_the_ones_that_are_made_written_and_read(tmp_path):
    lines = [f'"{name}" = "{place}"' for name, place in RENAMED.items()]
    Path("expmon.toml").write_text(
        "\n".join(['warehouse = "duckdb://some.duckdb"', 'store = "out"', "[tables]", *lines])
    )
    path = pings.write(
        tmp_path / "p.jsonl",
        [
            pings.event_ping("2021-01-25T00:01:00Z", pings.event("enroll")),
            pings.event_ping("2021-01-26T00:01:00Z", pings.event("enroll")),
        ],
    )
    with expmon.connect() as monitor:
        monitor.deploy()
        assert monitor.deploy() == []
        monitor.ingest(path)
        for cadence in ("daily", "hourly", "live"):
            monitor.run(cadence, at("2021-01-26T03:00"))
        frame = monitor.fetch_dataframe("experiment_enrollment_overall", "exp")
        monitor.export_experiment("exp", as_of=at("2021-01-26T03:00"))
    assert frame["value"].tolist() == [1, 1]
    assert len(list((tmp_path / "out").glob("exp_*.json"))) == 16

    with duckdb.connect(":memory:") as connection:
        connection.execute("ATTACH 'some.duckdb' AS db (READ_ONLY)")
        found = connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
        found += connection.execute(
            "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
        counts = [
            connection.execute(f"SELECT COUNT(*) FROM db.{place}").fetchone()[0]
            for place in ("raw.events", "derived.enrolled", "public.enrolled")
        ]
    names = {".".join(name) for name in found}
    assert {".".join(place.split(".")[-2:]) for place in RENAMED.values()} <= names
    assert not RENAMED.keys() & names
    assert counts == [2, 2, 2]


@pytest.mark.parametrize(
    "text",
    [
        "store = 5",
        "store = false",
        'store = ""',
        'warehouse = ""',
        "warehouse = 0",
        'project = ""',
        "[schedule]\nday_lag_minutes = 1000000000000000",
        "[schedule]\ncatch_up_days = 1000000000",
        '[schedule]\nempty_sources = ["telemetry_derived.experiment_enrollment_aggregates_v1"]',
        '[tables]\n"telemetry.clients_daily" = "a..b"',
        '[tables]\n"telemetry.clients_daily" = ".b"',
        '[tables]\n"telemetry.clients_daily" = "a.b\\"c"',
    ],
)
def test_more_settings_that_make_no_sense_are_refused(tmp_path, text):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError):
        config.load(file=tmp_path / "c.toml")


@pytest.mark.parametrize("place", ["duckdb://a\0b", "duckdb://:memory:"])
def test_a_warehouse_that_is_no_file_is_refused(place):
    with pytest.raises(ConfigError, match="name a file"):
        expmon.connect(place)


def test_the_example_has_every_setting_with_its_variable(tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", config.__doc__, re.DOTALL)
    loaded = load(tmp_path, example)
    origin = str(tmp_path / "some.toml")
    assert {value.origin for value in loaded.values} == {origin}
    assert re.findall(r"EXPMON_\w+", example) == sorted(VARIABLES.values(), key=example.index)
    assert tomllib.loads(example).keys() >= MAPS.keys()


def test_the_documentation_has_every_setting():
    page = Path(__file__).parents[1] / "docs" / "reference" / "configuration.md"
    rows = re.findall(r"^\| `.*\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    expected = []
    for setting in SETTINGS.values():
        default = "" if setting.default in (None, ()) else f"`{setting.default}`"
        expected.append(
            f"| `{setting.key}` | `{setting.variable}` | {setting.description} | {default} |"
        )
    for entries in MAPS.values():
        key = f"{entries.key}.…"
        expected.append(f"| `{key}` | `{entries.variable}` | {entries.description} |  |")
    assert rows == expected
