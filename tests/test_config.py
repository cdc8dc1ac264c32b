from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

import expmon
import pings
import playing
from expmon import config
from expmon.catalog.model import Names
from expmon.errors import ConfigError
from expmon.materialize.schedule import Schedule
from playing import at

MOZILLA = Names("moz-fx-data-shared-prod", "mozdata", "moz-fx-data-experiments")


def load(tmp_path, text):
    file = tmp_path / "some.toml"
    file.write_text(text, encoding="utf-8")
    return config.load(file=file)


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("warehouse = ", "is not TOML"),
        ("warehouse = 5", "warehouse must be a text, not 5"),
        ('store = ""', "store must be a text, not ''"),
        ('wharehouse = "x"', "'wharehouse' is unknown: did you mean warehouse?"),
        ('zzz = "x"', "'zzz' is unknown$"),
        ("project = 5", "must be a text, not 5"),
        ("projects = 5", r"projects must be a table: \[projects\]"),
        ('[projects]\nview = "v"', "projects: 'view' is unknown: did you mean views?"),
        ("[projects]\nviews = 5", "projects.views must be a text, not 5"),
        ("tables = []", r"tables must be a table: \[tables\]"),
        (
            '[tables]\n"telemetry.client_daily" = "a.b"',
            "'telemetry.client_daily' is unknown: did you mean telemetry.clients_daily",
        ),
        ('[tables]\n"telemetry.clients_daily" = "b"', "must be dataset.table or project"),
        ('[tables]\n"telemetry.clients_daily" = "a.b.c.d"', "must be dataset.table or project"),
        ('[tables]\n"telemetry.clients_daily" = 5', "clients_daily must be a text, not 5"),
        ("[[schedule]]", r"schedule must be a table: \[schedule\]"),
        ("[schedule]\nday_lag = 5", "'day_lag' is unknown: did you mean day_lag_minutes"),
        ("[schedule]\nday_lag_minutes = -1", "day_lag_minutes must be a whole number from 0 to"),
        ("[schedule]\nday_lag_minutes = 1.5", "day_lag_minutes must be a whole number from 0 to"),
        ("[schedule]\nhour_lag_minutes = true", "hour_lag_minutes must be a whole number"),
        ('[schedule]\ncatch_up_days = "14"', "catch_up_days must be a whole number from 0 to"),
        ('[schedule]\nempty_sources = "a"', "empty_sources must be a list of names"),
        ("[schedule]\nempty_sources = [5]", "empty_sources: '5' is unknown"),
        (
            '[schedule]\nempty_sources = ["telemetry_derived.main_event_v1"]',
            "did you mean telemetry_derived.main_events_v1",
        ),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


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
        ("bigquery://my-project", "no BigQuery client yet.*duckdb://"),
        ("bigquery:my-project", "is no warehouse: write duckdb://"),
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


@pytest.mark.parametrize("store", ["gs://bucket/monitoring", "s3://bucket", "file:///tmp/x"])
def test_a_store_that_cannot_be_used_is_refused(store):
    with pytest.raises(ConfigError, match=f"{store} can't be used.*directories only"):
        expmon.connect("duckdb://x.duckdb", store)
    assert list(Path.cwd().iterdir()) == []


def test_connecting_without_any_setting_says_that_bigquery_is_not_there_yet():
    with pytest.raises(ConfigError, match="EXPMON_WAREHOUSE=duckdb://"):
        expmon.connect()


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
