"""Whether the sources are there on BigQuery, with what the catalogue declares of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING

from expmon.errors import NotDeployed
from expmon.findings import DEPLOY, Check, Finding, attempted, counted, listed
from expmon.statements import bookkeeping, examining
from expmon.warehouse.bigquery_access import SETTINGS_FILE, dataset_of, said, sources
from expmon.warehouse.bigquery_types import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pyarrow as pa
    from google.cloud import bigquery
    from google.cloud.bigquery.standard_sql import StandardSqlDataType, StandardSqlField

    from expmon.catalog.model import Relation, Statement
    from expmon.warehouse.bigquery_access import Access

_OLD_DAYS = 2
"""The latest day of a source may be so many days ago: a day is loaded when it is over."""
_UNITS = ("DAY", "HOUR")
_OF_A_DAY = re.compile(r"\d{8}(\d{2})?")


@dataclass(slots=True)
class Sources:
    """The checks of the sources.

    Attributes:
        access: to BigQuery.
        query: runs a statement.
        sound: the names of those that are there with their columns.
        dated: the names of those whose partitions tell which days they have.
    """

    access: Access
    query: Callable[[Statement, Mapping[str, object]], pa.Table]
    sound: set[str] = field(default_factory=set)
    dated: set[str] = field(default_factory=set)

    def present(self) -> list[Finding]:
        """Whether each is there, has its columns, and partitions by day."""
        return self.access.each(sources(), lambda s: f"source {s.name}", self._present)

    def readable(self) -> Iterator[Finding]:
        """Whether each may be read."""
        values = {"day": datetime.now(UTC).date()}
        names = self.access.names

        def read(source: Relation) -> Iterator[Finding]:
            place = str(names.of(source))
            try:
                self.access.dry_run(examining.day_of(source, names), values, what=place)
            except NotDeployed as error:
                yield Finding(f"reading {source.name}", "missing", f"{place}: {said(error)}")

        sound = [source for source in sources() if source.name in self.sound]
        found = self.access.each(sound, lambda s: f"reading {s.name}", read)
        yield from found
        if number := len(self.sound) - len(found):
            yield Finding("reading the sources", "ok", f"{counted(number, 'source')} can be read")

    def recent(self) -> Iterator[Finding]:
        """Up to which day each has partitions."""
        by_dataset: dict[str, list[Relation]] = {}
        for source in sources():
            if source.name in self.dated:
                behind = dataset_of(self.access.names.behind(source))
                by_dataset.setdefault(behind, []).append(source)
        latest: dict[str, date | None] = {}

        def look(dataset: str) -> Iterator[Finding]:
            latest.update(self._latest_days(by_dataset[dataset]))
            return iter(())

        for dataset in by_dataset:  # one by one, since `query` is not for several threads
            check = Check(f"partitions of {dataset}", partial(look, dataset))
            yield from attempted(check, self.access.remedy)
        today = datetime.now(UTC).date()
        fresh = []
        for name, day in latest.items():
            if day is not None and (today - day).days <= _OLD_DAYS:
                fresh.append(day)
                continue
            yield Finding(
                f"days of {name}",
                "warning",
                f"the latest is {day}, {(today - day).days} days ago" if day else "it has none",
                "Find out why nothing more is loaded; a source that may rightly lack days "
                f"belongs under empty_sources in {SETTINGS_FILE}",
            )
        if fresh:
            days = " or ".join(str(day) for day in sorted({min(fresh), max(fresh)}))
            what = f"{counted(len(fresh), 'source')} go{'' if len(fresh) > 1 else 'es'} up to"
            yield Finding("days of the sources", "ok", f"{what} {days}")

    def _present(self, source: Relation) -> Iterator[Finding]:
        subject = f"source {source.name}"
        place, behind = self.access.names.of(source), self.access.names.behind(source)
        table = self.access.table(place)
        if table is None:
            todo = f"Say where it is: {_setting(source, 'tables')}"
            if self.access.makes(source):
                todo = DEPLOY
            yield Finding(subject, "missing", f"{place} is not there", todo)
            return
        if differences := lacking(table.schema, source):
            todo = f"Name a table or view that has these columns: {_setting(source, 'tables')}"
            yield Finding(subject, "missing", f"{place}: {listed(differences)}", todo)
            return
        self.sound.add(source.name)
        if source.partitioning is None:
            yield Finding(subject, "ok", str(place))
            return
        physical = table if behind == place else self.access.table(behind)
        why = "it is not there"
        if physical is not None and not (why := mispartitioned(physical, source)):
            self.dated.add(source.name)
            yield self._partitioned(source, physical)
            return
        todo = f"Name the table with its rows: {_setting(source, 'physical_tables')}"
        of = "" if behind == place else f", whose partitions tell which days {place} has"
        yield Finding(subject, "missing", f"{behind}{of}: {why}", todo)

    def _partitioned(self, source: Relation, table: bigquery.Table) -> Finding:
        """The finding of a source whose table has partitions by day or hour."""
        place, behind = self.access.names.of(source), self.access.names.behind(source)
        declared = source.partitioning.column if source.partitioning else ""
        by = table.time_partitioning
        unit, column = by.type_.lower(), by.field
        if behind == place and column != declared:
            return Finding(
                f"source {source.name}",
                "warning",
                f"{place} is partitioned by {unit} of {column}, but read by {declared}: "
                "every query reads all of it",
                f"Partition {place} by {unit} of {declared}",
            )
        over = "" if behind == place else f" over {behind}"
        return Finding(f"source {source.name}", "ok", f"{place}{over}, by {unit} of {column}")

    def _latest_days(self, of: Iterable[Relation]) -> dict[str, date | None]:
        """The latest day of each source of one dataset that isn't in the future."""
        behind = {source.name: self.access.names.behind(source) for source in of}
        rows = self.query(bookkeeping.partitions_of(behind.values()), {}).to_pylist()
        today = f"{datetime.now(UTC):%Y%m%d}"
        days: dict[str, list[str]] = {}
        for row in rows:
            text = str(row["partition"])
            if _OF_A_DAY.fullmatch(text) and text[:8] <= today:
                days.setdefault(row["place"], []).append(text[:8])
        return {
            name: date.fromisoformat(max(days[str(place)])) if str(place) in days else None
            for name, place in behind.items()
        }


def lacking(present: Iterable[bigquery.SchemaField], source: Relation) -> list[str]:
    """The declared columns and nested fields that aren't there with their types, a sentence each.

    Others than those declared may be there, in any order.
    """
    fields = [column.to_standard_sql() for column in present]
    wanted = [column.to_standard_sql() for column in schema(source.columns)]
    return list(_lacking("", fields, wanted))


def mispartitioned(table: bigquery.Table, source: Relation) -> str:
    """Why the partitions of a source's table don't tell which days it has; empty if they do."""
    if table.table_type != "TABLE":
        return f"it is a {str(table.table_type).lower().replace('_', ' ')} and has no partitions"
    by = table.time_partitioning
    wanted = f"it must be by day of {source.partitioning.column}" if source.partitioning else ""
    if by is None:
        return f"it is not partitioned, and {wanted}"
    if by.field is None:
        return f"it is partitioned by the time of loading, and {wanted}"
    if by.type_ not in _UNITS:
        return f"it is partitioned by {by.type_.lower()} of {by.field}, and {wanted}"
    return ""


def _setting(source: Relation, section: str) -> str:
    return f'"{source.name}" = "PROJECT.DATASET.TABLE" under [{section}] in {SETTINGS_FILE}'


def _lacking(
    path: str, there: Iterable[StandardSqlField], wanted: Iterable[StandardSqlField]
) -> Iterator[str]:
    present = {(field.name or "").casefold(): field for field in there}
    for column in wanted:
        name = f"{path}{column.name}"
        found = present.get((column.name or "").casefold())
        if found is None:
            yield f"{name} is missing"
        elif found.type is not None and column.type is not None:
            yield from _differing(name, found.type, column.type)


def _differing(name: str, there: StandardSqlDataType, wanted: StandardSqlDataType) -> Iterator[str]:
    if there.type_kind != wanted.type_kind:
        yield f"{name} is {_kind(there)} instead of {_kind(wanted)}"
    elif there.array_element_type is not None and wanted.array_element_type is not None:
        yield from _differing(name, there.array_element_type, wanted.array_element_type)
    elif there.struct_type is not None and wanted.struct_type is not None:
        yield from _lacking(f"{name}.", there.struct_type.fields, wanted.struct_type.fields)


def _kind(type_: StandardSqlDataType) -> str:
    kind = str(type_.type_kind.value) if type_.type_kind else "of an unknown type"
    if type_.array_element_type is not None:
        return f"{kind} of {_kind(type_.array_element_type)}"
    return kind
