"""Datasets, tables, views and who may read them, created and brought up to date."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expmon.catalog import RELATIONS, bookkeeping
from expmon.catalog.bookkeeping import PARTITIONS
from expmon.catalog.model import Kind
from expmon.catalog.sources import EVENTS_LIVE, EXPERIMENTS
from expmon.errors import NotDeployed, SchemaMismatch, WarehouseError
from expmon.statements import migrations
from expmon.warehouse.bigquery_errors import OWNER, WRITER, message, translated
from expmon.warehouse.bigquery_schema import amend, described, label, versions, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from google.api_core.retry import Retry
    from google.cloud import bigquery

    from expmon.catalog.model import Names, Relation, TableName
    from expmon.statements.migrations import Change
    from expmon.warehouse.bigquery_settings import BigQuerySettings

_SECONDS = 60
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a table or view; of a new one, ``properties`` is None."""

    relation: Relation
    table: bigquery.Table
    sentence: str
    properties: list[str] | None


@dataclass(frozen=True, slots=True)
class Deployment:
    """Brings what is there to what the catalogue declares."""

    client: bigquery.Client
    settings: BigQuerySettings
    names: Names

    def run(self, *, dry_run: bool, migrate: Callable[[Sequence[Change]], None]) -> list[str]:
        """Migrate, create and update; see `expmon.warehouse.protocol.Warehouse.deploy`.

        Args:
            dry_run: change nothing.
            migrate: makes the changes of one migration.

        Raises:
            SchemaMismatch: a table can't be changed in place; nothing was changed.
            WrongSchemaVersion: the tables are newer than the catalogue; nothing was changed.
            PermissionMissing: the credentials may not do it.
        """
        datasets = [place for place in self._datasets() if self._location_of(place) is None]
        present = self._all_present()
        version = self._version(present)
        steps = migrations.pending(version)
        due = {change.relation.name for step in steps for change in step.changes}
        # What a migration changes is as the catalogue has it only after that.
        compared = {r: t for r, t in present.items() if t is None or r.name not in due}
        changes = list(self._changes(compared))
        sentences = [f"create dataset {'.'.join(place)}" for place in datasets]
        sentences += migrations.sentences(version)
        sentences += [change.sentence for change in changes]
        if not dry_run:
            for place in datasets:
                self._create_dataset(*place)
            if due:
                for change in changes:
                    if change.properties is None and change.relation.kind is not Kind.VIEW:
                        self._apply(change)
                self._migrate(version, migrate)
                changes = list(self._changes(self._all_present()))
                sentences += [change.sentence for change in changes]
            for change in changes:
                self._apply(change)
            self._describe_views(changes)
        return [*dict.fromkeys(sentences), *self._grant(dry_run=dry_run)]

    def marked_version(self) -> int | None:
        """The schema version by the label of the memo, without a query; None: there is no memo."""
        memo = self._present(PARTITIONS)
        return None if memo is None else min(versions([memo]), default=1)

    def location(self) -> str | None:
        """Where the aggregates lie; None if that is unknown."""
        place = self.names.of(RELATIONS[EVENTS_LIVE.name])
        return self._location_of((place.project, place.dataset))

    # What the methods above are made of

    def _relations(self) -> list[Relation]:
        """What deploy makes: all but the sources; the experiments, too, where all is one's own."""
        return [relation for relation in RELATIONS.values() if self._makes(relation)]

    def _makes(self, relation: Relation) -> bool:
        is_own = relation == EXPERIMENTS and self.names.is_one_project
        return relation.kind is not Kind.SOURCE or is_own

    def _datasets(self) -> list[tuple[str, str]]:
        places = [self.names.of(relation) for relation in self._relations()]
        return list(dict.fromkeys((place.project, place.dataset) for place in places))

    def _location_of(self, place: tuple[str, str]) -> str | None:
        from google.api_core.exceptions import Forbidden, NotFound

        with translated(".".join(place)):
            try:
                dataset = self.client.get_dataset(
                    ".".join(place), retry=self._retry, timeout=_SECONDS
                )
            except NotFound:
                return None
            except Forbidden:
                return self.settings.location
        return str(dataset.location) if dataset.location else None

    def _create_dataset(self, project: str, name: str) -> None:
        from google.cloud import bigquery

        dataset = bigquery.Dataset(f"{project}.{name}")
        dataset.location = self.settings.location or "US"
        with translated(f"{project}.{name}", role="roles/bigquery.user"):
            self.client.create_dataset(dataset, exists_ok=True, retry=self._retry, timeout=_SECONDS)

    def _version(self, relations: Mapping[Relation, bigquery.Table | None]) -> int:
        """The schema version of the tables that are there; of none, the catalogue's.

        The memo's label is what counts. Should it be lost, the oldest version of the others does.
        """
        there = {r: table for r, table in relations.items() if table and r.kind is Kind.TABLE}
        if not there:
            return bookkeeping.SCHEMA_VERSION
        memo = [table for relation, table in there.items() if relation == PARTITIONS]
        return min(versions(memo) or versions(there.values()), default=1)

    def _migrate(self, version: int, migrate: Callable[[Sequence[Change]], None]) -> None:
        """Make each migration, and then mark the memo with the version that it leads to."""
        self._mark(version)
        for number, step in enumerate(migrations.pending(version), start=version + 1):
            own = [change for change in step.changes if self._makes(change.relation)]
            if there := [change for change in own if self._present(change.relation)]:
                migrate(there)
            self._mark(number)

    def _mark(self, version: int) -> None:
        memo = self._present(PARTITIONS)
        if memo is not None:
            label(memo, version)
            self._apply(_Change(PARTITIONS, memo, "", ["labels"]))

    def _changes(self, relations: Mapping[Relation, bigquery.Table | None]) -> Iterator[_Change]:
        """What is to be done with each table and view; all are looked at before one is changed."""
        for relation, present in relations.items():
            table = wanted(relation, self.names)
            kind = relation.kind.value if relation.kind is Kind.VIEW else "table"
            if present is None:
                yield _Change(relation, table, f"create {kind} {relation.name}", None)
                continue
            found = amend(present, table, relation)
            if found.refused:
                raise SchemaMismatch(relation.name, found.refused)
            if found.properties:
                sentence = f"update {kind} {relation.name}: {', '.join(found.changes)}"
                if "view_query" in found.properties:
                    sentence = f"replace view {relation.name}"
                yield _Change(relation, present, sentence, found.properties)

    def _all_present(self) -> dict[Relation, bigquery.Table | None]:
        return {relation: self._present(relation) for relation in self._relations()}

    def _present(self, relation: Relation) -> bigquery.Table | None:
        from google.api_core.exceptions import NotFound

        place = str(self.names.of(relation))
        with translated(place):
            try:
                return self.client.get_table(place, retry=self._retry, timeout=_SECONDS)
            except NotFound:
                return None

    def _apply(self, change: _Change) -> None:
        place = self.names.of(change.relation)
        try:
            with translated(f"{place.project}.{place.dataset}", role=WRITER):
                if change.properties is None:
                    self.client.create_table(
                        change.table, exists_ok=True, retry=self._retry, timeout=_SECONDS
                    )
                else:
                    self.client.update_table(
                        change.table, change.properties, retry=self._retry, timeout=_SECONDS
                    )
        except NotDeployed as error:
            raise WarehouseError(
                f"{change.relation.name} can't be made: a table that it reads, of "
                f"{', '.join(change.relation.inputs)}, is not there. Sources are ingestion's; "
                f"say under [tables] where yours lie. ({error.__cause__})"
            ) from error

    def _describe_views(self, changes: Sequence[_Change]) -> None:
        """Columns of a view can be described only once it is there."""
        for change in changes:
            if change.relation.kind is not Kind.VIEW:
                continue
            present = self._present(change.relation)
            if present is not None and described(present, change.relation):
                with translated(change.relation.name, role=WRITER):
                    self.client.update_table(
                        present, ["schema"], retry=self._retry, timeout=_SECONDS
                    )

    def _grant(self, *, dry_run: bool) -> Iterator[str]:
        """Let views read the datasets of what they are over, whoever asks them."""
        for (project, name), views in self._readers().items():
            yield from self._grant_on(f"{project}.{name}", views, dry_run=dry_run)

    def _readers(self) -> dict[tuple[str, str], list[TableName]]:
        """By dataset: the views that users ask, and the views below those."""
        readers: dict[tuple[str, str], list[TableName]] = {}
        for relation in RELATIONS.values():
            if relation.kind is not Kind.VIEW or relation == EVENTS_LIVE:
                continue
            for name in relation.inputs:
                place = self.names.of(RELATIONS[name])
                views = readers.setdefault((place.project, place.dataset), [])
                view = self.names.of(relation)
                if view not in views:
                    views.append(view)
        return readers

    def _grant_on(self, dataset: str, views: list[TableName], *, dry_run: bool) -> Iterator[str]:
        from google.api_core.exceptions import BadRequest, Forbidden, NotFound, PreconditionFailed

        for _ in range(_ATTEMPTS):
            missing = views
            try:
                with translated(dataset, role=OWNER):
                    try:
                        present = self.client.get_dataset(
                            dataset, retry=self._retry, timeout=_SECONDS
                        )
                        missing = [view for view in views if not _may_read(present, view)]
                        if missing and not dry_run:
                            present.access_entries = [
                                *present.access_entries,
                                *map(_entry, missing),
                            ]
                            # Under its etag: nobody else's change of the list is lost.
                            self.client.update_dataset(
                                present, ["access_entries"], retry=self._retry, timeout=_SECONDS
                            )
                    except (BadRequest, Forbidden) as error:
                        yield _command(dataset, missing, message(error))
                        return
            except WarehouseError as error:
                if isinstance(error.__cause__, PreconditionFailed):
                    continue
                if not (dry_run and isinstance(error.__cause__, NotFound)):
                    raise
            if missing:
                yield f"let {len(missing)} views read {dataset}"
            return
        raise WarehouseError(f"the access list of {dataset} keeps changing: deploy again")

    @property
    def _retry(self) -> Retry:
        from google.cloud.bigquery.retry import DEFAULT_RETRY

        return DEFAULT_RETRY.with_timeout(self.settings.retry_deadline.total_seconds())


def _entry(view: TableName) -> bigquery.AccessEntry:
    from google.cloud import bigquery

    return bigquery.AccessEntry(None, "view", _resource(view))


def _resource(view: TableName) -> dict[str, str]:
    return {"projectId": view.project, "datasetId": view.dataset, "tableId": view.table}


def _may_read(dataset: bigquery.Dataset, view: TableName) -> bool:
    """Whether the view, or the dataset that it lies in, is on the access list."""
    whole = {"projectId": view.project, "datasetId": view.dataset}
    for entry in dataset.access_entries:
        if entry.entity_type == "view" and entry.entity_id == _resource(view):
            return True
        given = entry.entity_id if entry.entity_type == "dataset" else None
        if isinstance(given, dict) and given.get("dataset") == whole:
            return True
    return False


def _command(dataset: str, views: Sequence[TableName], why: str) -> str:
    """What someone runs who may change the dataset's access list."""
    entries = json.dumps([{"view": _resource(view)} for view in views], separators=(",", ":"))
    name = dataset.replace(".", ":", 1)
    return (
        f"{len(views)} views may not read {dataset} yet ({why}). Someone with {OWNER} on it runs: "
        f"bq show --format=prettyjson {name} | jq '.access += {entries}' > dataset.json && "
        f"bq update --source dataset.json {name}"
    )
