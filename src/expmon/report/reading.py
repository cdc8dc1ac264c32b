"""What has been exported: the index, and an experiment's files as numbers."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, TypeVar

from expmon.catalog import EXPORTED, near
from expmon.catalog.model import Rollup, Series
from expmon.errors import NotExported, StoreConflict, StoreError
from expmon.export.index import INDEX, SCHEMA_VERSION
from expmon.export.rendering import HEALTH_FILE, file_names, health_file_name
from expmon.export.store import crc32c
from expmon.slugs import is_slug
from expmon.windows import BUCKET, DAY, FINE_DAYS, WINDOW, day_start, days, floor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from expmon.catalog.model import Dataset
    from expmon.export.store import Store

_Content = TypeVar("_Content")
_TICK = timedelta(microseconds=1)
_BROKEN = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)
"""What reading raises that has lost its shape."""


@dataclass(frozen=True, slots=True)
class Line:
    """The points of a branch, oldest first.

    Attributes:
        ends: up to when each goes, UTC: the end of its window, half hour or day.
        values: as many.
    """

    ends: tuple[datetime, ...]
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """A dataset of an experiment, as it was exported.

    Attributes:
        start: the day that was taken as the experiment's first one.
        as_of: when it was exported, UTC.
        step: how much time a point stands for: a window, a half hour or a day.
        until: up to when there is data, UTC; None if nothing of the dataset was there yet.
        lines: by branch; those that have points.
    """

    dataset: Dataset
    start: date
    as_of: datetime
    step: timedelta
    until: datetime | None
    lines: Mapping[str, Line]

    @property
    def has_begun(self) -> bool:
        """Whether there is data of the experiment's first day, or later."""
        return self.until is not None and self.until > day_start(self.start)

    def total(self, branch: str) -> int:
        """Counts added up, of cumulative values the last, of daily ones that of the latest day."""
        line = self.lines.get(branch)
        if line is None:
            return 0
        if self.dataset.series is Series.COUNT:
            return sum(line.values)
        is_known = self.dataset.series is Series.CUMULATIVE or line.ends[-1] == self.until
        return line.values[-1] if is_known else 0

    def by_day(self) -> dict[date, dict[str, int]]:
        """By day, UTC, what `total` would be of that day alone; of branches that have a value."""
        found: dict[date, dict[str, int]] = {}
        if self.dataset.series is Series.COUNT and self.lines and self.until is not None:
            first = min(line.ends[0] for line in self.lines.values())
            every = days((first - _TICK).date(), (self.until - _TICK).date() + DAY)
            found = {day: dict.fromkeys(self.lines, 0) for day in every}
        for branch, line in self.lines.items():
            for end, value in zip(line.ends, line.values, strict=True):
                of_day = found.setdefault((end - _TICK).date(), {})
                before = of_day.get(branch, 0) if self.dataset.rollup is Rollup.SUM else 0
                of_day[branch] = before + value
        return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Finding:
    """What a health check said at the last live run before the export.

    Attributes:
        since: the first live run in a row that said so, UTC.
    """

    verdict: str
    check: str
    sentence: str
    action: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment, with those of its datasets that were exported, in the catalogue's order.

    Attributes:
        health: what the checks found of it, and of all experiments; None where that was not
            exported.
    """

    slug: str
    exported: tuple[Exported, ...]
    health: tuple[Finding, ...] | None = None

    @property
    def start(self) -> date:
        """The first day of it, as the latest export has it."""
        return max(self.exported, key=lambda e: e.as_of).start

    @property
    def as_of(self) -> datetime:
        """When it was last exported, UTC."""
        return max(e.as_of for e in self.exported)

    @property
    def branches(self) -> list[str]:
        """Those that have points, in order; at last `null`, which stands for none."""
        found = {branch for e in self.exported for branch in e.lines}
        return sorted(found, key=lambda branch: (branch == "null", branch))


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the index says of a dataset's file by branch."""

    dataset: Dataset
    start: date
    crc32c: str
    as_of: datetime
    through: datetime | None

    @classmethod
    def of(cls, dataset: Dataset, entry: Mapping[str, Any]) -> Self:
        return cls(
            dataset,
            date.fromisoformat(entry["start"]),
            entry["crc32c"],
            _time(entry["as_of"]),
            None if entry["through"] is None else _time(entry["through"]),
        )

    def exported(self, data: bytes) -> Exported:
        """The entry with what is in its file."""
        is_coarse = self.as_of > day_start(self.start) + FINE_DAYS * DAY
        step = BUCKET if is_coarse else WINDOW
        if self.dataset.series is Series.DAILY:
            step = DAY
        # Windows are labelled with their start, half hours with their end, days with theirs.
        label = WINDOW if step == WINDOW else timedelta(0)
        points: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
        records = json.loads(data)
        if not isinstance(records, list):
            raise TypeError("it is no list")
        for point in records:
            points[point["branch"]].append((_time(point["time"]) + label, int(point["value"])))
        lines = {
            branch: Line(*zip(*sorted(found), strict=True)) for branch, found in points.items()
        }
        ends = [line.ends[-1] for line in lines.values()]
        if self.through is not None:
            end = self.through if step == DAY else self.through + WINDOW
            ends.append(floor(min(end, self.as_of), BUCKET) if step == BUCKET else end)
        # The last window may not be over yet.
        until = min(max(ends), self.as_of) if ends else None
        return Exported(self.dataset, self.start, self.as_of, step, until, lines)


@dataclass(slots=True)
class Exports:
    """The exported files of a store, by its index.

    Attributes:
        as_of: when all that is active was last exported, UTC.
    """

    store: Store
    as_of: datetime
    _entries: Mapping[str, list[_Entry]]
    _health: Mapping[str, str]
    """By slug the checksum of the file of its health."""

    @classmethod
    def of(cls, store: Store) -> Self:
        """Read the index.

        Raises:
            NotExported: there is none.
            StoreError: it can't be read, or another version of expmon wrote it.
        """
        blob = store.read(INDEX)
        if blob is None:
            raise NotExported(store.url)
        by_name = {dataset.name: dataset for dataset in EXPORTED}
        entries: dict[str, list[_Entry]] = defaultdict(list)
        health: dict[str, str] = {}
        try:
            index = json.loads(blob.data)
            if index["schema_version"] != SCHEMA_VERSION:
                raise StoreError(
                    f"{INDEX} in {store.url} has schema version {index['schema_version']!r:.20}, "
                    f"and this expmon reads {SCHEMA_VERSION}: use the expmon that exports there"
                )
            for name, entry in index["files"].items():
                slug, dataset = entry["experiment"], by_name.get(entry["dataset"])
                # Of the two files of a dataset the one by branch has everything.
                if dataset and is_slug(slug) and name == file_names(slug, dataset.name)[1]:
                    entries[slug].append(_Entry.of(dataset, entry))
                elif entry["dataset"] == HEALTH_FILE and name == health_file_name(slug):
                    health[slug] = entry["crc32c"]
            return cls(store, _time(index["as_of"]), entries, health)
        except _BROKEN as error:
            raise StoreError(
                f"{INDEX} in {store.url} can't be read ({error!r:.80}). "
                "Make it anew: `expmon export`"
            ) from error

    @property
    def slugs(self) -> list[str]:
        """The experiments that have been exported, in order."""
        return sorted(self._entries)

    def experiment(self, slug: str) -> Experiment:
        """The numbers of an experiment.

        Raises:
            NotExported: it is not in the index, or a file is gone.
            StoreConflict: its files change right now, or an export has broken off.
            StoreError: the store or a file can't be read.
        """
        try:
            return self._read(slug)
        except StoreConflict:  # an export has gone on since the index was read
            fresh = self.of(self.store)
            self.as_of = fresh.as_of
            self._entries, self._health = fresh._entries, fresh._health  # noqa: SLF001 - own
            return self._read(slug)

    def _read(self, slug: str) -> Experiment:
        if slug not in self._entries:
            raise NotExported(self.store.url, slug, near(slug, self._entries))
        with ThreadPoolExecutor(len(EXPORTED), "expmon-report") as pool:
            exported = tuple(pool.map(lambda entry: self._file(slug, entry), self._entries[slug]))
        order = [dataset.name for dataset in EXPORTED]
        in_order = sorted(exported, key=lambda e: order.index(e.dataset.name))
        return Experiment(slug, tuple(in_order), self._findings(slug))

    def _file(self, slug: str, entry: _Entry) -> Exported:
        _, name = file_names(slug, entry.dataset.name)
        return self._parsed(slug, name, entry.crc32c, entry.exported)

    def _findings(self, slug: str) -> tuple[Finding, ...] | None:
        """What was found; None if that was not exported, or its file is gone."""
        name = health_file_name(slug)
        if slug not in self._health or self.store.read(name) is None:
            return None
        return self._parsed(slug, name, self._health[slug], _found)

    def _parsed(
        self, slug: str, name: str, checksum: str, parse: Callable[[bytes], _Content]
    ) -> _Content:
        """What is in a file of the index."""
        blob = self.store.read(name)
        if blob is None:
            raise NotExported(self.store.url, slug)
        if crc32c(blob.data) != checksum:
            raise StoreConflict(name, self.store.url)
        try:
            return parse(blob.data)
        except _BROKEN as error:
            raise StoreError(
                f"{name} in {self.store.url} can't be read ({error!r:.80}). "
                f"Make it anew: `expmon export {slug}`"
            ) from error


def _found(data: bytes) -> tuple[Finding, ...]:
    """The findings of a file, those about all experiments first."""
    return tuple(
        Finding(
            verdict=str(record["verdict"]),
            check=str(record["check"]),
            sentence=str(record["sentence"]),
            action=str(record["action"]),
            since=_time(record["since"]),
        )
        for record in json.loads(data)
    )


@lru_cache(maxsize=100_000)
def _time(text: str) -> datetime:
    """A time as `time_text` writes it."""
    return datetime.fromisoformat(text.replace(" UTC", "+00:00")).astimezone(UTC)
