"""An export: two queries, and the files that changed."""

from __future__ import annotations

import logging
import uuid
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cache
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from expmon.catalog import EXPORTED
from expmon.catalog.model import Series
from expmon.errors import UnknownExperiment
from expmon.export.index import Claim, Known, known_files, write_index
from expmon.export.rendering import HEALTH_FILE, Points, files, health_file
from expmon.export.resting import resting
from expmon.export.uploads import listed_generations, upload_pool, write_files
from expmon.slugs import is_slug
from expmon.statements.reading import export_metadata, export_series, first_time
from expmon.windows import DAY, Partition, day_start, latest_window

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Generator,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from expmon.catalog.model import Dataset, Names
    from expmon.export.rendering import ExportFile
    from expmon.export.store import Store
    from expmon.warehouse.protocol import Warehouse

    Row = dict[str, Any]

log = logging.getLogger(__name__)

_AT_ONCE = 8
"""So many series are written at the same time, and no more are kept: two files each."""
_HEALTH_DAYS = 2
"""What a live run found longer ago is not exported."""


@dataclass(frozen=True, slots=True)
class Export:
    """What an export did.

    Attributes:
        as_of: up to when it looked at the data.
        experiments: the slugs that were exported.
        written: the names of the files that changed.
        unchanged: the names of those that were as they should be.
        skipped: experiments whose slugs can't be file names.
        resting: experiments that were left out of an export of all, since their files can't have
            changed: past its 14 days an experiment has a point for every half hour that is over.
    """

    as_of: datetime
    experiments: tuple[str, ...]
    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    resting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exporter:
    """Everything that an export needs beside what it exports.

    Attributes:
        progress: called with each experiment that is about to be written.
    """

    warehouse: Warehouse
    store: Store
    names: Names
    as_of: datetime
    progress: Callable[[str], None] | None = None

    def active(self) -> Export:
        """Export every active experiment that doesn't rest, all datasets, and the health of all.

        Raises:
            ExportSuperseded: a newer export has claimed the store.
        """
        self.warehouse.check_version()
        claim = Claim.take(self.store, self.as_of, uuid.uuid4().hex)
        metadata = self._metadata()
        starts = {slug: start for slug, start in _starts(metadata) if start is not None}
        skipped = tuple(slug for slug in starts if not is_slug(slug))
        for slug in skipped:
            log.warning("experiment %.200r is not exported: its slug can't name a file", slug)
        everyone = {slug: start for slug, start in starts.items() if is_slug(slug)}
        known, through = known_files(claim), self._through(metadata)
        past = _past(metadata)
        idle = resting(everyone, known, through=through, past=past, as_of=self.as_of)
        chosen = {slug: start for slug, start in everyone.items() if slug not in set(idle)}
        health, looked = _health(metadata, everyone)
        series = self._series(chosen, EXPORTED)
        exported, changed = self._write(claim, series, health, known=known, prefixes=[""])
        write_index(claim, exported, starts=everyone, through=through | looked, is_named=False)
        claim.finish()
        return self._result(tuple(chosen), exported, changed, skipped, tuple(idle))

    def named(self, slugs: Sequence[str], datasets: Sequence[Dataset]) -> Export:
        """Export these experiments, active or not.

        Raises:
            UnknownExperiment: there is neither metadata nor any row of one; nothing was written.
            ExportSuperseded: a newer export has claimed the store.
        """
        self.warehouse.check_version()
        metadata = self._metadata(slugs)
        starts = dict(_starts(metadata))
        chosen: dict[str, date] = {}
        for slug in slugs:
            start = starts.get(slug) or self._first_day(slug)
            if start is None and slug not in starts:
                raise UnknownExperiment(slug)
            chosen[slug] = start or self.as_of.date()
        claim = Claim.take(self.store, self.as_of, uuid.uuid4().hex)
        prefixes = [f"{slug}_" for slug in chosen]
        known = known_files(claim)
        health, looked = _health(metadata, chosen if len(datasets) == len(EXPORTED) else ())
        series = self._series(chosen, datasets)
        exported, changed = self._write(claim, series, health, known=known, prefixes=prefixes)
        through = self._through(metadata) | looked
        write_index(claim, exported, starts=chosen, through=through, is_named=True)
        # What a broken-off export left of other experiments is still to be written anew.
        if claim.is_clean:
            claim.finish()
        return self._result(tuple(chosen), exported, changed)

    def _metadata(self, slugs: Sequence[str] | None = None) -> list[Row]:
        """Of these experiments, or of the active ones; health of a run within two days."""
        today, start = self.as_of.date(), self.as_of - _HEALTH_DAYS * DAY
        parameters: dict[str, Any] = {"today": today, "start": start, "end": self.as_of}
        if slugs is not None:
            parameters["slugs"] = list(slugs)
        statement = export_metadata(self.names, is_named=slugs is not None)
        rows: list[Row] = self.warehouse.query(statement, parameters).to_pylist()
        return rows

    def _first_day(self, slug: str) -> date | None:
        rows = self.warehouse.query(first_time(self.names, EXPORTED), {"slug": slug})
        first = rows.column("time")[0].as_py()
        return first.astimezone(UTC).date() if isinstance(first, datetime) else None

    def _write(
        self,
        claim: Claim,
        series: Generator[tuple[str, str, Points]],
        health: Sequence[ExportFile],
        *,
        known: Known,
        prefixes: Iterable[str],
    ) -> tuple[list[ExportFile], list[str]]:
        """Write what changed; all files that belong to the export, and the names of the changed.

        The generations come before every check of the claim: see `Claim.write`.
        """
        exported: list[ExportFile] = []
        changed: list[str] = []
        seen: set[str] = set()
        generations = cache(lambda: listed_generations(claim.store, prefixes))

        def written(own: Sequence[ExportFile]) -> None:
            stale = [f for f in own if known.checksums.get(f.name) != f.crc32c]
            there = generations() if stale else {}
            claim.check()
            write_files(pool, claim, stale, generations=there)
            exported.extend(replace(file, data=b"") for file in own)
            changed.extend(file.name for file in stale)

        with upload_pool() as pool, closing(series):
            while some := list(islice(series, _AT_ONCE)):
                for slug, _, _ in some:
                    if slug not in seen and self.progress is not None:
                        self.progress(slug)
                    seen.add(slug)
                written([file for one in some for file in files(*one)])
            if health:
                written(health)
        return exported, changed

    def _series(
        self, starts: Mapping[str, date], datasets: Sequence[Dataset]
    ) -> Generator[tuple[str, str, Points]]:
        """The series as they arrive; at last those that have no point."""
        if not starts:
            return
        waiting = dict.fromkeys((slug, d.name) for slug in starts for d in datasets)
        begin = {slug: day_start(start) for slug, start in starts.items()}
        parameters: dict[str, Any] = {
            "experiments": [{"slug": slug, "start": start} for slug, start in begin.items()],
            "slugs": list(begin),
            "earliest_start": min(begin.values()),
            "as_of": self.as_of,
        }
        statement = export_series(self.names, datasets)
        for batch in self.warehouse.batches(statement, parameters):
            columns = [batch.column(name) for name in ("experiment", "dataset", "points")]
            for slug, dataset, points in zip(*columns, strict=True):
                del waiting[slug.as_py(), dataset.as_py()]
                yield slug.as_py(), dataset.as_py(), Points.of(points.values)
        yield from ((slug, dataset, Points()) for slug, dataset in waiting)

    def _through(self, metadata: Sequence[Row]) -> dict[str, datetime]:
        """The latest window that each dataset has been derived for."""
        latest = latest_window(self.as_of)
        written = {row["relation"]: row for row in metadata if row["relation"]}
        found = {}
        for dataset in EXPORTED:
            row = written.get(dataset.table.name)
            if row is None:
                continue
            if dataset.series is Series.DAILY:
                moment = Partition(row["latest_partition"]).start
            else:
                moment = latest_window(row["as_of"].astimezone(UTC))
            found[dataset.name] = min(moment, latest)
        return found

    def _result(
        self,
        experiments: tuple[str, ...],
        exported: Sequence[ExportFile],
        changed: Sequence[str],
        skipped: tuple[str, ...] = (),
        idle: tuple[str, ...] = (),
    ) -> Export:
        unchanged = tuple(f.name for f in exported if f.name not in set(changed))
        return Export(self.as_of, experiments, tuple(changed), unchanged, skipped, idle)


def _starts(metadata: Sequence[Row]) -> Iterator[tuple[str, date | None]]:
    for row in metadata:
        if row["slug"] is not None:
            yield row["slug"], row["start_date"]


def _health(
    metadata: Sequence[Row], slugs: Collection[str]
) -> tuple[list[ExportFile], dict[str, datetime]]:
    """The files of what the last live run found of the experiments' health, and when it did."""
    rows = [row for row in metadata if row["experiment"] is not None]
    rows.sort(key=itemgetter("experiment", "check_name", "branch"))
    found = {slug: list(own) for slug, own in groupby(rows, key=itemgetter("experiment"))}
    of_all = found.pop("", [])
    looked = {HEALTH_FILE: rows[0]["time"].astimezone(UTC)} if rows and slugs else {}
    told = [health_file(slug, [*of_all, *own]) for slug, own in found.items() if slug in slugs]
    return told, looked


def _past(metadata: Sequence[Row]) -> datetime | None:
    """The latest ``as_of`` of what has been written of days before today."""
    tables = {dataset.table.name for dataset in EXPORTED}
    found = [row["past_as_of"] for row in metadata if row["relation"] in tables]
    return max((time.astimezone(UTC) for time in found if time is not None), default=None)
