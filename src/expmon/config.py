"""Everything that is configured, in layers: the file, the environment, arguments.

This is a whole ``expmon.toml``, each setting with its environment variable. All can be left out.

```toml
warehouse = "bigquery://my-project"       # EXPMON_WAREHOUSE; or "duckdb://monitoring.duckdb"
store = "gs://my-bucket/monitoring"       # EXPMON_STORE; or a directory
project = "my-project"                    # EXPMON_PROJECT: of all the data, or one by one:

[projects]
data = "moz-fx-data-shared-prod"          # EXPMON_DATA_PROJECT
views = "mozdata"                         # EXPMON_VIEWS_PROJECT
experiments = "moz-fx-data-experiments"   # EXPMON_EXPERIMENTS_PROJECT

[datasets]                                # EXPMON_DATASETS="telemetry=my_views,monitoring=…"
telemetry_derived = "my_derived"          # by their names in the catalogue

[tables]                                  # EXPMON_TABLES="telemetry.clients_daily=…,…=…"
"telemetry.clients_daily" = "my_derived.clients_daily"

[physical_tables]                         # EXPMON_PHYSICAL_TABLES="telemetry.clients_daily=…"
"telemetry.clients_daily" = "my_derived.clients_daily_v6"

[schedule]
day_lag_minutes = 180                     # EXPMON_DAY_LAG_MINUTES
hour_lag_minutes = 30                     # EXPMON_HOUR_LAG_MINUTES
source_horizon_days = 7                   # EXPMON_SOURCE_HORIZON_DAYS
catch_up_days = 14                        # EXPMON_CATCH_UP_DAYS
empty_sources = ["telemetry_derived.main_events_v1"]   # EXPMON_EMPTY_SOURCES="…,…"

[health]
alpha = 0.001                             # EXPMON_HEALTH_ALPHA
concentration = 100                       # EXPMON_HEALTH_CONCENTRATION
settling_hours = 24                       # EXPMON_HEALTH_SETTLING_HOURS
holding_back_hours = 6                    # EXPMON_HEALTH_HOLDING_BACK_HOURS
muted = ["my-experiment:failures", "forecast"]   # EXPMON_HEALTH_MUTED="…,…"

[enrollment_targets]                      # EXPMON_ENROLLMENT_TARGETS="my-experiment=20000,…"
my-experiment = 20000

[alerts]
to = "https://example.com/hook"           # EXPMON_ALERTS_TO; or a file, or "stdout"

[bigquery]
location = "US"                           # EXPMON_LOCATION
priority = "interactive"                  # EXPMON_PRIORITY; or "batch"
job_timeout_minutes = 10                  # EXPMON_JOB_TIMEOUT_MINUTES
retry_deadline_seconds = 120              # EXPMON_RETRY_DEADLINE_SECONDS
maximum_bytes_billed = 1000000000000      # EXPMON_MAXIMUM_BYTES_BILLED
parallel_jobs = 8                         # EXPMON_PARALLEL_JOBS

[google]                                  # for BigQuery and Cloud Storage
quota_project = "my-project"              # EXPMON_QUOTA_PROJECT
# EXPMON_IMPERSONATE_SERVICE_ACCOUNT:
impersonate_service_account = "monitoring@my-project.iam.gserviceaccount.com"
```
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from expmon.catalog.model import Names
from expmon.errors import ConfigError
from expmon.health_settings import HealthSettings
from expmon.materialize.schedule import Schedule, Settings
from expmon.settings_forms import refuse_unknown
from expmon.settings_table import (
    DAY,
    HOUR,
    MAPS,
    MINUTE,
    MOZILLA_STORE,
    MOZILLA_WAREHOUSE,
    MOZILLAS,
    PROJECT,
    SECOND,
    SECTIONS,
    SETTINGS,
    MapSetting,
    Setting,
    Value,
    read,
)
from expmon.warehouse.bigquery_settings import BigQuerySettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FILE = "expmon.toml"
WAREHOUSE_VARIABLE = SETTINGS["warehouse"].variable
STORE_VARIABLE = SETTINGS["store"].variable
BIGQUERY = "bigquery://"

_URL = re.compile(rf"{BIGQUERY}({PROJECT})(?:\?(.*))?", re.DOTALL)
_IN_URL = {
    key.partition(".")[2]: key for key in SETTINGS if key.startswith(("bigquery.", "google."))
}

_Layer = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that is configured. Credentials are not part of it.

    Attributes:
        warehouse: ``duckdb://path`` or ``bigquery://project``, with what stands behind a ``?``.
        store: a directory or ``gs://bucket/prefix``; None: nothing is exported.
        settings: where the tables lie, the schedule, the health checks, and where alerts go.
        bigquery: None unless the warehouse is BigQuery.
        impersonate: the service account that BigQuery and Cloud Storage are used as.
        quota_project: whose API quota is used; None: the credentials' own.
        values: each setting and each entry of a map, as they may be printed, and where each came
            from.
    """

    warehouse: str = MOZILLA_WAREHOUSE
    store: str | None = MOZILLA_STORE
    settings: Settings = field(default_factory=Settings)
    bigquery: BigQuerySettings | None = field(
        default_factory=lambda: BigQuerySettings(MOZILLA_WAREHOUSE.removeprefix(BIGQUERY))
    )
    impersonate: str | None = None
    quota_project: str | None = None
    values: tuple[Value, ...] = ()


def load(
    warehouse: str | None = None,
    store: str | os.PathLike[str] | None = None,
    *,
    file: Path | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Config:
    """The configuration: arguments before the environment before the file before Mozilla's names.

    Args:
        warehouse: where the tables are; the settings in its URL win over those of the same layer.
        store: where exported files go. Mozilla's bucket is the default only where no warehouse is
            named either.
        file: instead of ``expmon.toml`` in the working directory, which may be missing.
        overrides: settings by their keys, like ``bigquery.location``, as values or as text; they
            win over everything else.

    Raises:
        ConfigError: the file can't be read, or a setting is unknown or makes no sense.
    """
    layers = [
        _file(file),
        _environment(),
        _arguments({"warehouse": warehouse, "store": store}),
        _arguments(overrides or {}),
    ]
    named = next((layer for layer in reversed(layers) if "warehouse" in layer), None)
    values = {key: Value(key, s.default, s.origin) for key, s in SETTINGS.items()}
    if named is None:
        values["store"] = Value("store", MOZILLA_STORE, MOZILLAS)
    else:
        named.update(_in_url(named["warehouse"]))
    for layer in layers:
        values.update(_each_project(layer) | layer)
    return _config(values)


def _file(file: Path | None) -> _Layer:
    path = file or Path(FILE)
    if file is None and not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from error
    except ValueError as error:  # of TOML, or of UTF-8
        raise ConfigError(f"{path} is not TOML: {error}") from error
    origin = str(path.absolute())
    return _layer(
        value for key, given in _flat(content) for value in read(key, given, origin, is_text=False)
    )


def _flat(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings by their dotted keys; maps stay whole."""
    for key, value in content.items():
        if key in SECTIONS and isinstance(value, dict):
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            yield key, value


def _environment() -> _Layer:
    """The variables that are set; an empty one is not."""
    settings: list[Setting | MapSetting] = [*SETTINGS.values(), *MAPS.values()]
    return _layer(
        value
        for setting in settings
        if (text := os.environ.get(setting.variable))
        for value in read(setting.key, text, setting.variable, is_text=True)
    )


def _arguments(given: Mapping[str, object]) -> _Layer:
    """The arguments that are given; None is none."""
    return _layer(
        value
        for key, argument in given.items()
        if argument is not None
        for value in read(str(key), argument, "argument", is_text=True)
    )


def _layer(values: Iterable[Value]) -> _Layer:
    return {value.key: value for value in values}


def _in_url(warehouse: Value) -> _Layer:
    """The settings behind the question mark of a BigQuery URL."""
    if not warehouse.value.startswith(BIGQUERY):
        return {}
    _, query = _parts(warehouse)
    where = f"{warehouse.origin}: {warehouse.value!r}"
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise ConfigError(f"{where}: write settings like ?location=US&priority=batch") from error
    for name, _ in pairs:
        refuse_unknown(where, name, _IN_URL)
    if len(dict(pairs)) < len(pairs):
        raise ConfigError(f"{where} has a setting twice")
    return _layer(
        value
        for name, text in pairs
        for value in read(_IN_URL[name], text, warehouse.origin, is_text=True)
    )


def _parts(warehouse: Value) -> tuple[str, str]:
    """The project of a BigQuery URL, and what is behind its question mark."""
    match = _URL.fullmatch(warehouse.value)
    if match is None:
        raise ConfigError(
            f"{warehouse.origin}: {warehouse.value!r} is no warehouse: write bigquery://project, "
            "with the id of the project where jobs run and are billed"
        )
    return match[1], match[2] or ""


def _each_project(layer: _Layer) -> _Layer:
    """One project of all the data is that of the tables, the views and the experiments."""
    if "project" not in layer:
        return {}
    given = layer["project"]
    keys = [key for key in SETTINGS if key.startswith("projects.")]
    return {key: Value(key, given.value, given.origin) for key in keys}


def _config(values: _Layer) -> Config:
    def entries(setting: str) -> _Layer:
        start = f"{setting}."
        found = {key: value for key, value in sorted(values.items()) if key.startswith(start)}
        return {key.removeprefix(start): value for key, value in found.items()}

    maps = {setting: entries(setting) for setting in MAPS}
    places = {s: {name: v.value for name, v in found.items()} for s, found in maps.items()}
    given = {key: values[key].value for key in SETTINGS}
    return Config(
        warehouse=given["warehouse"],
        store=given["store"],
        settings=Settings(
            _names(given, places),
            _schedule(given),
            _health(given, places["enrollment_targets"]),
            given["alerts.to"],
        ),
        bigquery=_bigquery(given, values["warehouse"]),
        impersonate=given["google.impersonate_service_account"],
        quota_project=given["google.quota_project"],
        values=(
            *(
                replace(values[key], value=setting.form.shown(values[key].value))
                for key, setting in SETTINGS.items()
            ),
            *(value for found in maps.values() for value in found.values()),
        ),
    )


def _names(given: Mapping[str, Any], places: Mapping[str, Mapping[str, Any]]) -> Names:
    return Names(
        data=given["projects.data"],
        views=given["projects.views"],
        experiments=given["projects.experiments"],
        datasets=places["datasets"],
        renamed=places["tables"],
        physical=places["physical_tables"],
    )


def _schedule(given: Mapping[str, Any]) -> Schedule:
    return Schedule(
        day_lag=given["schedule.day_lag_minutes"] * MINUTE,
        hour_lag=given["schedule.hour_lag_minutes"] * MINUTE,
        source_horizon=given["schedule.source_horizon_days"] * DAY,
        catch_up=given["schedule.catch_up_days"] * DAY,
        empty_sources=frozenset(given["schedule.empty_sources"]),
    )


def _health(given: Mapping[str, Any], targets: Mapping[str, int]) -> HealthSettings:
    return HealthSettings(
        alpha=given["health.alpha"],
        concentration=given["health.concentration"],
        settling=given["health.settling_hours"] * HOUR,
        holding_back=given["health.holding_back_hours"] * HOUR,
        muted=frozenset(given["health.muted"]),
        targets=targets,
    )


def _bigquery(given: Mapping[str, Any], warehouse: Value) -> BigQuerySettings | None:
    if not warehouse.value.startswith(BIGQUERY):
        return None
    return BigQuerySettings(
        project=_parts(warehouse)[0],
        location=given["bigquery.location"],
        quota_project=given["google.quota_project"],
        priority=given["bigquery.priority"],
        job_timeout=given["bigquery.job_timeout_minutes"] * MINUTE,
        retry_deadline=given["bigquery.retry_deadline_seconds"] * SECOND,
        maximum_bytes_billed=given["bigquery.maximum_bytes_billed"],
        parallel_jobs=given["bigquery.parallel_jobs"],
    )
