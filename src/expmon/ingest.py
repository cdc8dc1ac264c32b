"""Files of client pings and recipes into the sources, for people without a pipeline."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expmon.catalog import RELATIONS
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import PingError
from expmon.sandbox import Rows, ping_cells, read_documents, read_recipes

if TYPE_CHECKING:
    from datetime import date, datetime

    from expmon.sandbox.rows import Cells
    from expmon.warehouse.protocol import Warehouse

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""One file or several."""

_BATCH = 60_000
"""So many pings are loaded in one transaction: with each, DuckDB writes what is new twice."""


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
    with _no_garbage_collection():
        for path in _paths(paths):
            skipped += _loaded(path, loader, received)
        loader.flush()
    return Ingested(loader.rows, tuple(sorted(loader.days)), tuple(skipped))


def _loaded(path: Path, loader: _Loader, received: datetime | None) -> Iterator[Unreadable]:
    """Load a file; what can't be read."""
    for document in read_documents(path):
        error = document.error
        if document.ping is not None:
            try:
                loader.add(*ping_cells(document.ping, received))
            except PingError as refused:
                # Its traceback would keep the ping, and there may be many.
                error = refused.with_traceback(None)
        if error is not None:
            yield Unreadable(path, document.line, error)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """None while pings are read: many objects, no circles; looking for some took a fifth of it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


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
        self._waiting: dict[str, Rows] = {}

    def add(self, source: str, cells: Cells) -> None:
        if (waiting := self._waiting.get(source)) is None:
            waiting = self._waiting[source] = Rows(RELATIONS[source])
        waiting.append(cells)
        self.days.add(cells[-1].date())
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
