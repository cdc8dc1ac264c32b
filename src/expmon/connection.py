"""From a configuration to a monitor."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from expmon import config
from expmon.errors import ConfigError
from expmon.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.auth.credentials import Credentials

    from expmon.export.store import Store
    from expmon.warehouse.protocol import Warehouse

BIGQUERY_EMULATOR = "BIGQUERY_EMULATOR_HOST"
STORAGE_EMULATOR = "STORAGE_EMULATOR_HOST"

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_SEGMENT = re.compile(r"[^\x00-\x1f\x7f]+")


def connect(
    warehouse: str | None = None,
    store: str | os.PathLike[str] | None = None,
    *,
    file: Path | None = None,
    credentials: Credentials | None = None,
    settings: Mapping[str, object] | None = None,
) -> Monitor:
    """A monitor of a warehouse. Nothing is opened, and no credentials are needed, before its use.

    What is not given comes from the environment, ``EXPMON_WAREHOUSE`` and ``EXPMON_STORE`` for
    instance, then from ``expmon.toml``; without any of these it is Mozilla's BigQuery and bucket.

    Args:
        warehouse: ``duckdb://path/to/file`` (``duckdb:///path`` is absolute), or
            ``bigquery://project`` with the project where jobs run and are billed; settings may
            follow it: ``bigquery://project?location=US``.
        store: a directory, or ``gs://bucket/prefix``.
        file: a configuration file instead of ``expmon.toml`` in the working directory.
        credentials: for BigQuery and Cloud Storage, used as they are; the Application Default
            Credentials if not given, or those of the service account that is configured.
        settings: by their keys in the file, for instance ``{"bigquery.location": "US"}``; they win
            over everything else.

    Raises:
        ConfigError: a setting is missing or makes no sense; or, with the first use of BigQuery or
            Cloud Storage, there are no credentials.
    """
    loaded = config.load(warehouse, store, file=file, overrides=settings)
    of_server = _credentials(loaded, credentials)
    return Monitor(
        _warehouse(loaded, of_server(BIGQUERY_EMULATOR)),
        None if loaded.store is None else _store(loaded, of_server(STORAGE_EMULATOR)),
        loaded.settings,
    )


def _credentials(
    loaded: config.Config, given: Credentials | None
) -> Callable[[str], Callable[[], Credentials]]:
    """What makes credentials when they are first needed, by the variable of a server's emulator."""

    @cache
    def make(*, is_emulated: bool) -> Credentials:
        from expmon.google_credentials import google_credentials

        return google_credentials(
            given,
            impersonate=loaded.impersonate,
            quota_project=loaded.quota_project,
            is_emulated=is_emulated,
        )

    return lambda emulator: lambda: make(is_emulated=bool(os.environ.get(emulator)))


def _warehouse(loaded: config.Config, credentials: Callable[[], Credentials]) -> Warehouse:
    names = loaded.settings.names
    if loaded.bigquery is not None:
        from expmon.warehouse.bigquery import BigQueryWarehouse

        return BigQueryWarehouse(loaded.bigquery, names, credentials)
    scheme, separator, rest = loaded.warehouse.partition("://")
    if scheme == "duckdb" and separator and rest:
        from expmon.warehouse.duckdb import DuckDBWarehouse

        if "\0" in rest or rest == ":memory:":
            raise ConfigError(f"{loaded.warehouse!r} can't be used: name a file")
        return DuckDBWarehouse(Path(rest), names)
    raise ConfigError(
        f"{loaded.warehouse!r} is no warehouse: write duckdb://path/to/file, for instance "
        "duckdb://monitoring.duckdb, or bigquery://project"
    )


def _store(loaded: config.Config, credentials: Callable[[], Credentials]) -> Store:
    place = loaded.store or ""
    if place.startswith("gs:"):
        from expmon.export.gcs import GCSStore

        bucket, prefix = _bucket(place)
        quota_project = loaded.quota_project
        return GCSStore(bucket, prefix, credentials=credentials, quota_project=quota_project)
    if "://" in place:
        raise ConfigError(
            f"{place} can't be used: exports go to a directory, or to gs://bucket/prefix"
        )
    from expmon.export.local import LocalStore

    return LocalStore(Path(place))


def _bucket(place: str) -> tuple[str, str]:
    """The bucket and the prefix of a ``gs://`` URL, which may end with a slash."""
    bucket, _, prefix = place.removeprefix("gs://").partition("/")
    segments = prefix.removesuffix("/").split("/") if prefix else []
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(
            f"{place!r} can't be used: write gs://bucket/prefix, with a bucket's name of 3 to 222 "
            "small letters, digits, '.', '_' and '-'"
        )
    if not all(_SEGMENT.fullmatch(s) and s not in {".", ".."} for s in segments):
        raise ConfigError(
            f"{place!r} can't be used: write gs://bucket/prefix, with no empty part, '.' or '..' "
            "between the prefix's slashes"
        )
    return bucket, "/".join(segments)
