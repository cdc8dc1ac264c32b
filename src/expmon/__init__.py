"""Watch browser experiments while they run, on BigQuery or on an embedded DuckDB.

The names below are loaded on their first use: importing expmon loads neither pandas nor an engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from expmon.api import datasets, export_experiment, fetch_dataframe, plot, sql
    from expmon.connection import connect
    from expmon.errors import ExpmonError
    from expmon.monitor import Monitor

__version__ = "0.1.0"

_HOMES = {
    "ExpmonError": "expmon.errors",
    "Monitor": "expmon.monitor",
    "connect": "expmon.connection",
    "datasets": "expmon.api",
    "export_experiment": "expmon.api",
    "fetch_dataframe": "expmon.api",
    "plot": "expmon.api",
    "sql": "expmon.api",
}

__all__ = [
    "ExpmonError",
    "Monitor",
    "connect",
    "datasets",
    "export_experiment",
    "fetch_dataframe",
    "plot",
    "sql",
]


if not TYPE_CHECKING:  # a type checker would take every name for granted

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'expmon' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
