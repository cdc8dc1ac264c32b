"""Projects, tables, places and lags: from ``expmon.toml``, the environment and arguments.

```toml
warehouse = "duckdb://monitoring.duckdb"   # or EXPMON_WAREHOUSE
store = "exports"                          # or EXPMON_STORE
project = "my-project"                     # all of the data in one project, or one by one:

[projects]
data = "moz-fx-data-shared-prod"
views = "mozdata"
experiments = "moz-fx-data-experiments"

[tables]                                   # by their names in the catalogue
"telemetry.clients_daily" = "telemetry_derived.clients_daily_v6"

[schedule]
day_lag_minutes = 180
hour_lag_minutes = 30
source_horizon_days = 7
catch_up_days = 14
empty_sources = ["telemetry_derived.main_events_v1"]
```
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expmon.catalog import RELATIONS, near
from expmon.catalog.model import Kind, Names
from expmon.errors import ConfigError
from expmon.materialize.schedule import Schedule, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "expmon.toml"
WAREHOUSE_VARIABLE = "EXPMON_WAREHOUSE"
STORE_VARIABLE = "EXPMON_STORE"
MOZILLA_WAREHOUSE = "bigquery://moz-fx-data-shared-prod"
MOZILLA_STORE = "gs://mozanalysis/monitoring"

_PLACE = re.compile(r"(?:[a-z0-9-]+\.)?\w+\.[\w-]+")
_SETTINGS = ("warehouse", "store", "project", "projects", "tables", "schedule")
_PROJECTS = ("data", "views", "experiments")
_MINUTES = ("day_lag_minutes", "hour_lag_minutes")
_MOST = 1_000_000
_DAYS = ("source_horizon_days", "catch_up_days")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that is configured.

    Attributes:
        warehouse: ``duckdb://path`` or ``bigquery://project``.
        store: a directory or ``gs://bucket/prefix``; None: nothing is exported.
        settings: where the tables lie, and the schedule.
    """

    warehouse: str = MOZILLA_WAREHOUSE
    store: str | None = MOZILLA_STORE
    settings: Settings = field(default_factory=Settings)


def load(
    warehouse: str | None = None,
    store: str | os.PathLike[str] | None = None,
    *,
    file: Path | None = None,
) -> Config:
    """The configuration: arguments before the environment before the file before Mozilla's names.

    Args:
        warehouse: where the tables are.
        store: where exported files go. Mozilla's bucket is the default only where no warehouse is
            named either.
        file: instead of ``expmon.toml`` in the working directory, which may be missing.

    Raises:
        ConfigError: the file can't be read, or a setting is unknown or makes no sense.
    """
    content = _read(file)
    configured = _first(
        "warehouse", warehouse, os.environ.get(WAREHOUSE_VARIABLE) or None, content.get("warehouse")
    )
    place = _first(
        "store",
        None if store is None else os.fspath(store),
        os.environ.get(STORE_VARIABLE) or None,
        content.get("store"),
    )
    if place is None and configured is None:
        place = MOZILLA_STORE
    return Config(
        warehouse=configured or MOZILLA_WAREHOUSE,
        store=place,
        settings=Settings(_names(content), _schedule(_table(content, "schedule"))),
    )


def _first(name: str, *values: object) -> str | None:
    """The first value that is given; an empty one is an error, and not left out."""
    given = next((value for value in values if value is not None), None)
    return None if given is None else _text(name, given)


def _read(file: Path | None) -> dict[str, Any]:
    path = file or Path(FILE)
    if file is None and not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from error
    except ValueError as error:  # of TOML, or of UTF-8
        raise ConfigError(f"{path} is not TOML: {error}") from error
    _refuse_unknown(str(path), content, _SETTINGS)
    return content


def _names(content: Mapping[str, Any]) -> Names:
    projects, tables = _table(content, "projects"), _table(content, "tables")
    _refuse_unknown("projects", projects, _PROJECTS)
    _refuse_unknown("tables", tables, RELATIONS)
    everywhere = content.get("project")
    values = {} if everywhere is None else dict.fromkeys(_PROJECTS, everywhere)
    values |= projects
    for name, place in tables.items():
        if not _PLACE.fullmatch(_text(f"tables.{name}", place)):
            raise ConfigError(f"tables.{name} must be dataset.table or project.dataset.table")
    checked = {name: _text(f"projects.{name}", value) for name, value in values.items()}
    return Names(**checked, renamed=tables)


def _schedule(content: Mapping[str, Any]) -> Schedule:
    _refuse_unknown("schedule", content, (*_MINUTES, *_DAYS, "empty_sources"))
    lags = {
        name.removesuffix("_minutes"): timedelta(minutes=_whole(name, content[name]))
        for name in _MINUTES
        if name in content
    }
    reaches = {
        name.removesuffix("_days"): timedelta(days=_whole(name, content[name]))
        for name in _DAYS
        if name in content
    }
    empty = content.get("empty_sources", [])
    if not isinstance(empty, list):
        raise ConfigError("schedule.empty_sources must be a list of names")
    sources = [name for name, relation in RELATIONS.items() if relation.kind is Kind.SOURCE]
    _refuse_unknown("schedule.empty_sources", dict.fromkeys(map(str, empty)), sources)
    return Schedule(**lags, **reaches, empty_sources=frozenset(empty))


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{name} must be a table: [{name}]")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a text, not {value!r}")
    return value


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ConfigError(
            f"schedule.{name} must be a whole number from 0 to {_MOST}, not {value!r}"
        )
    return value


def _refuse_unknown(where: str, given: Mapping[str, Any], known: Any) -> None:
    for name in given:
        if name not in known:
            hint = near(name, known)
            meant = f": did you mean {', '.join(hint)}?" if hint else ""
            raise ConfigError(f"{where}: {name!r} is unknown{meant}")
