"""Files of client pings and recipes into the sources, for people without a pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expmon.catalog import RELATIONS
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import PingError
from expmon.sandbox import ping_row, read_documents, read_recipes

if TYPE_CHECKING:
    from datetime import date, datetime

    from expmon.warehouse.protocol import Warehouse

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

_BATCH = 20_000
"""So many pings are loaded in one transaction."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A ping or recipe that was skipped.

    Attributes:
        line: where it starts; 0 if the whole file can't be read, or has no lines of its own.
    """

    path: Path
    line: int
    error: PingError

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{where}: {self.error}"


@dataclass(frozen=True, slots=True)
class Ingested:
    """What was loaded, and what was not.

    Attributes:
        rows: by source, how many rows were added.
        days: which days they are of, sorted.
        skipped: what can't be read; the rest was loaded all the same.
    """

    rows: dict[str, int]
    days: tuple[date, ...] = ()
    skipped: tuple[Unreadable, ...] = ()


def ingest(warehouse: Warehouse, paths: Paths, received: datetime | None) -> Ingested:
    """Load client pings; see `expmon.monitor.Monitor.ingest`."""
    loader = _Loader(warehouse)
    skipped: list[Unreadable] = []
    for path in _paths(paths):
        for document in read_documents(path):
            error = document.error
            if document.ping is not None:
                try:
                    loader.add(*ping_row(document.ping, received))
                except PingError as refused:
                    error = refused
            if error is not None:
                skipped.append(Unreadable(path, document.line, error))
    loader.flush()
    return Ingested(loader.rows, tuple(sorted(loader.days)), tuple(skipped))


def ingest_recipes(warehouse: Warehouse, paths: Paths) -> Ingested:
    """Load experiments; see `expmon.monitor.Monitor.ingest_recipes`."""
    rows: dict[str, dict[str, Any]] = {}
    skipped: list[Unreadable] = []
    for path in _paths(paths):
        try:
            found, errors = read_recipes(path)
        except PingError as error:
            found, errors = [], [error]
        rows.update({row["normandy_slug"]: row for row in found})
        skipped += [Unreadable(path, 0, error) for error in errors]
    warehouse.load(EXPERIMENTS, list(rows.values()), key="normandy_slug")
    return Ingested({EXPERIMENTS.name: len(rows)}, (), tuple(skipped))


class _Loader:
    """Rows on their way to the sources, in batches."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.rows: dict[str, int] = {}
        self.days: set[date] = set()
        self._warehouse = warehouse
        self._waiting: dict[str, list[dict[str, Any]]] = {}

    def add(self, source: str, row: dict[str, Any]) -> None:
        waiting = self._waiting.setdefault(source, [])
        waiting.append(row)
        self.days.add(row["submission_timestamp"].date())
        if len(waiting) >= _BATCH:
            self._load(source)

    def flush(self) -> None:
        for source in list(self._waiting):
            self._load(source)

    def _load(self, source: str) -> None:
        rows = self._waiting.pop(source)
        self._warehouse.load(RELATIONS[source], rows)
        self.rows[source] = self.rows.get(source, 0) + len(rows)


def _paths(paths: Paths) -> list[Path]:
    if isinstance(paths, (str, os.PathLike)):
        return [Path(paths)]
    return [Path(path) for path in paths]
