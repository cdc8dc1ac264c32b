"""From a configuration to a monitor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from expmon import config
from expmon.errors import ConfigError
from expmon.monitor import Monitor

if TYPE_CHECKING:
    import os

    from expmon.export.store import Store
    from expmon.warehouse.protocol import Warehouse


def connect(
    warehouse: str | None = None,
    store: str | os.PathLike[str] | None = None,
    *,
    file: Path | None = None,
) -> Monitor:
    """A monitor of a warehouse.

    What is not given comes from ``EXPMON_WAREHOUSE`` and ``EXPMON_STORE``, then from
    ``expmon.toml``; without either it is Mozilla's BigQuery and bucket, which this version has no
    clients for yet.

    Args:
        warehouse: ``duckdb://path/to/file`` (``duckdb:///path`` is absolute).
        store: a directory.
        file: a configuration file instead of ``expmon.toml`` in the working directory.

    Raises:
        ConfigError: a setting is missing or makes no sense.
    """
    loaded = config.load(warehouse, store, file=file)
    return Monitor(
        _warehouse(loaded),
        None if loaded.store is None else _store(loaded.store),
        loaded.settings,
    )


def _warehouse(loaded: config.Config) -> Warehouse:
    scheme, separator, rest = loaded.warehouse.partition("://")
    if scheme == "duckdb" and separator and rest:
        from expmon.warehouse.duckdb import DuckDBWarehouse

        if "\0" in rest or rest == ":memory:":
            raise ConfigError(f"{loaded.warehouse!r} can't be used: name a file")
        return DuckDBWarehouse(Path(rest), loaded.settings.names)
    if scheme == "bigquery":
        raise ConfigError(
            f"{loaded.warehouse} can't be used: this version of expmon has no BigQuery client yet. "
            f"Name an embedded warehouse, for instance {config.WAREHOUSE_VARIABLE}="
            "duckdb://monitoring.duckdb"
        )
    raise ConfigError(
        f"{loaded.warehouse!r} is no warehouse: write duckdb://path/to/file, for instance "
        "duckdb://monitoring.duckdb"
    )


def _store(place: str) -> Store:
    from expmon.export.local import LocalStore

    scheme, separator, _ = place.partition("://")
    if separator:
        raise ConfigError(
            f"{place} can't be used: this version of expmon exports to directories only, not to "
            f"{scheme}"
        )
    return LocalStore(Path(place))
