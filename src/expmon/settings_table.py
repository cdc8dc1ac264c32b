"""Every setting: its key, its environment variable, and what it may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from expmon.catalog import RELATIONS
from expmon.catalog.model import Kind, Names
from expmon.errors import ConfigError
from expmon.health_settings import STDOUT, HealthSettings
from expmon.materialize.schedule import Schedule
from expmon.settings_forms import (
    PATH,
    RECEIVER,
    TEXT,
    Form,
    between,
    matching,
    names,
    refuse_unknown,
    whole,
)
from expmon.warehouse.bigquery_settings import BigQuerySettings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MOZILLA_WAREHOUSE = "bigquery://moz-fx-data-shared-prod"
MOZILLA_STORE = "gs://mozanalysis/monitoring"
DEFAULT = "default"
MOZILLAS = "Mozilla's default"
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DAY = timedelta(days=1)
PROJECT = r"[A-Za-z0-9][A-Za-z0-9.:-]*"
"""Of an id; before the colon, ids of old have a domain."""

_MOST_BYTES = 2**63 - 1
_PLACE = r"(?:[a-z0-9-]+\.)?\w+\.[\w-]+"
_EMAIL = r"[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]+"


@dataclass(frozen=True, slots=True)
class Value:
    """A setting, what it is, and where that came from.

    Attributes:
        key: as in the file; an entry of a map is ``tables.telemetry.clients_daily``.
        value: None where nothing is configured and there is no default.
        origin: the file's path, an environment variable, ``argument``, or whose default it is.
    """

    key: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting with one value; ``default`` is used where nothing is configured."""

    key: str
    variable: str
    form: Form
    description: str
    default: Any = None
    origin: str = DEFAULT


@dataclass(frozen=True, slots=True)
class MapSetting:
    """A setting with an entry for each name; ``known`` are the names that there may be, or any."""

    key: str
    variable: str
    known: Collection[str] | None
    form: Form
    description: str


_ID = matching("a project's id, of letters, digits, '-', '.' and ':'", PROJECT)
_TABLE = matching("dataset.table or project.dataset.table", _PLACE)
_SOURCES = tuple(name for name, relation in RELATIONS.items() if relation.kind is Kind.SOURCE)
_DATASETS = tuple(dict.fromkeys(relation.dataset for relation in RELATIONS.values()))
_N, _S, _B, _H = Names(), Schedule(), BigQuerySettings(MOZILLA_WAREHOUSE), HealthSettings()

SETTINGS: dict[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting(
            "warehouse",
            "EXPMON_WAREHOUSE",
            TEXT,
            "where the tables are: `duckdb://path` or `bigquery://project`",
            MOZILLA_WAREHOUSE,
            MOZILLAS,
        ),
        Setting(
            "store",
            "EXPMON_STORE",
            PATH,
            "where exported files go: a directory or `gs://bucket/prefix`",
        ),
        Setting("project", "EXPMON_PROJECT", _ID, "all of the data lies in this project"),
        Setting(
            "projects.data", "EXPMON_DATA_PROJECT", _ID, "where the tables lie", _N.data, MOZILLAS
        ),
        Setting(
            "projects.views",
            "EXPMON_VIEWS_PROJECT",
            _ID,
            "where the views lie that people read",
            _N.views,
            MOZILLAS,
        ),
        Setting(
            "projects.experiments",
            "EXPMON_EXPERIMENTS_PROJECT",
            _ID,
            "where the experiments' metadata lie",
            _N.experiments,
            MOZILLAS,
        ),
        Setting(
            "schedule.day_lag_minutes",
            "EXPMON_DAY_LAG_MINUTES",
            whole(0),
            "a day is ready so long after its end",
            _S.day_lag // MINUTE,
        ),
        Setting(
            "schedule.hour_lag_minutes",
            "EXPMON_HOUR_LAG_MINUTES",
            whole(0),
            "an hour is ready so long after its end",
            _S.hour_lag // MINUTE,
        ),
        Setting(
            "schedule.source_horizon_days",
            "EXPMON_SOURCE_HORIZON_DAYS",
            whole(0),
            "a source's change is taken over up to this age",
            _S.source_horizon // DAY,
        ),
        Setting(
            "schedule.catch_up_days",
            "EXPMON_CATCH_UP_DAYS",
            whole(0),
            "an empty table begins at most this long ago",
            _S.catch_up // DAY,
        ),
        Setting(
            "schedule.empty_sources",
            "EXPMON_EMPTY_SOURCES",
            names(_SOURCES),
            "sources that may rightly lack a day",
            (),
        ),
        Setting(
            "health.alpha",
            "EXPMON_HEALTH_ALPHA",
            between(0, 1),
            "of so large a share of healthy experiments a comparison of branches may ever raise a "
            "false alarm",
            _H.alpha,
        ),
        Setting(
            "health.concentration",
            "EXPMON_HEALTH_CONCENTRATION",
            between(0, 1_000_000),
            "the higher, the closer to the planned shares are the splits that are looked for",
            _H.concentration,
        ),
        Setting(
            "health.settling_hours",
            "EXPMON_HEALTH_SETTLING_HOURS",
            whole(0),
            "after a change of the ratios the split is not judged for so long",
            _H.settling // HOUR,
        ),
        Setting(
            "health.holding_back_hours",
            "EXPMON_HEALTH_HOLDING_BACK_HOURS",
            whole(0),
            "no alert starts before so long after 00:00 UTC of an experiment's start",
            _H.holding_back // HOUR,
        ),
        Setting(
            "health.muted",
            "EXPMON_HEALTH_MUTED",
            names(),
            "experiments, checks, or `experiment:check`, of which no alert starts",
            (),
        ),
        Setting(
            "alerts.to",
            "EXPMON_ALERTS_TO",
            RECEIVER,
            "where alerts go: `stdout`, a file, or an address like `https://example.com/path`",
            STDOUT,
        ),
        Setting(
            "bigquery.location",
            "EXPMON_LOCATION",
            matching("a location like US or europe-west1", r"[A-Za-z][A-Za-z0-9-]*"),
            "of the datasets; BigQuery finds out if not given",
        ),
        Setting(
            "bigquery.priority",
            "EXPMON_PRIORITY",
            matching("interactive or batch", r"interactive|batch"),
            "of the jobs: `interactive` or `batch`",
            _B.priority,
        ),
        Setting(
            "bigquery.job_timeout_minutes",
            "EXPMON_JOB_TIMEOUT_MINUTES",
            whole(1),
            "BigQuery ends a job after this",
            _B.job_timeout // MINUTE,
        ),
        Setting(
            "bigquery.retry_deadline_seconds",
            "EXPMON_RETRY_DEADLINE_SECONDS",
            whole(0),
            "errors that pass by themselves are tried again for so long",
            _B.retry_deadline // SECOND,
        ),
        Setting(
            "bigquery.maximum_bytes_billed",
            "EXPMON_MAXIMUM_BYTES_BILLED",
            whole(1, _MOST_BYTES),
            "a job that would read more fails before it starts",
        ),
        Setting(
            "bigquery.parallel_jobs",
            "EXPMON_PARALLEL_JOBS",
            whole(1, 100),
            "so many of a run's jobs are under way at once",
            _B.parallel_jobs,
        ),
        Setting(
            "google.quota_project",
            "EXPMON_QUOTA_PROJECT",
            _ID,
            "whose API quota is used; the credentials' own if not given",
        ),
        Setting(
            "google.impersonate_service_account",
            "EXPMON_IMPERSONATE_SERVICE_ACCOUNT",
            matching("a service account's e-mail address", _EMAIL),
            "BigQuery and Cloud Storage are used as this service account",
        ),
    )
}

MAPS: dict[str, MapSetting] = {
    setting.key: setting
    for setting in (
        MapSetting(
            "datasets",
            "EXPMON_DATASETS",
            _DATASETS,
            matching("a dataset's name, of letters, digits and '_'", r"[A-Za-z0-9_]+"),
            "a dataset of the catalogue lies in this one",
        ),
        MapSetting(
            "tables",
            "EXPMON_TABLES",
            tuple(RELATIONS),
            _TABLE,
            "a table or view of the catalogue is this one; it wins over `datasets`",
        ),
        MapSetting(
            "physical_tables",
            "EXPMON_PHYSICAL_TABLES",
            _SOURCES,
            _TABLE,
            "a source is a view, and this is the table behind it",
        ),
        MapSetting(
            "enrollment_targets",
            "EXPMON_ENROLLMENT_TARGETS",
            None,
            whole(1, 10**9),
            "an experiment, by its slug, is to enroll so many clients",
        ),
    )
}

SECTIONS = tuple(dict.fromkeys(key.split(".")[0] for key in SETTINGS if "." in key))
"""The tables of the file that are no maps."""


def read(key: str, given: object, origin: str, *, is_text: bool) -> Iterator[Value]:
    """What is given for a key: a value, or one for each entry of a map.

    Args:
        key: of a setting, of a map, or of one entry of a map.
        given: the value; of a map also ``name=value,name=value``.
        origin: where it came from.
        is_text: whether numbers, lists and maps may be written as text.

    Raises:
        ConfigError: there is no such setting, or the value makes no sense.
    """
    section, _, name = key.partition(".")
    if key in SETTINGS:
        yield Value(key, SETTINGS[key].form.value(key, given, origin, is_text=is_text), origin)
    elif key in MAPS:
        for entry, place in _entries(key, given, origin, is_text=is_text):
            yield _entry(MAPS[key], entry, place, origin, is_text=is_text)
    elif section in MAPS:
        yield _entry(MAPS[section], name, given, origin, is_text=is_text)
    elif key in SECTIONS:
        raise ConfigError(f"{origin}: {key} must be a table: [{key}]")
    elif section in SECTIONS:
        known = [k.partition(".")[2] for k in SETTINGS if k.startswith(f"{section}.")]
        refuse_unknown(f"{origin}: {section}", name, known)
    else:
        refuse_unknown(origin, key, [*SETTINGS, *SECTIONS, *MAPS])


def _entry(setting: MapSetting, name: str, given: object, origin: str, *, is_text: bool) -> Value:
    if setting.known is not None:
        refuse_unknown(f"{origin}: {setting.key}", name, setting.known)
    elif not name:
        raise ConfigError(f"{origin}: {setting.key}: a name is empty")
    key = f"{setting.key}.{name}"
    return Value(key, setting.form.value(key, given, origin, is_text=is_text), origin)


def _entries(
    key: str, given: object, origin: str, *, is_text: bool
) -> Iterator[tuple[str, object]]:
    if isinstance(given, Mapping):
        yield from _joined(given)
    elif is_text and isinstance(given, str):
        for item in given.split(","):
            name, separator, value = item.partition("=")
            if not separator:
                raise ConfigError(
                    f"{origin}: {key} must be name=value,name=value and so on, not {given!r}"
                )
            yield name.strip(), value.strip()
    else:
        raise ConfigError(f"{origin}: {key} must be a table: [{key}]")


def _joined(entries: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """``telemetry.clients_daily`` is one name, though unquoted it is a table in a table in TOML."""
    for name, value in entries.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{rest}", inner) for rest, inner in _joined(value))
        else:
            yield str(name), value
