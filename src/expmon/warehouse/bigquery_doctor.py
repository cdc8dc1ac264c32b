"""Whether all of BigQuery is there that expmon needs, and may be used. Nothing is changed."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from expmon.catalog import FETCHABLE, RELATIONS
from expmon.catalog.bookkeeping import LEASE, PARTITIONS, SCHEMA_VERSION
from expmon.catalog.model import Kind
from expmon.errors import NotDeployed, PermissionMissing
from expmon.findings import (
    CREDENTIALS,
    DEPLOY,
    Check,
    Finding,
    account,
    counted,
    examined,
    listed,
)
from expmon.statements import bookkeeping, examining, reading
from expmon.warehouse.bigquery_access import (
    SECONDS,
    SETTINGS_FILE,
    Access,
    dataset_of,
    said,
    sources,
)
from expmon.warehouse.bigquery_errors import JOB_USER, WRITER, translated
from expmon.warehouse.bigquery_sources import Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from google.auth.credentials import Credentials
    from google.cloud import bigquery, bigquery_storage

    from expmon.catalog.model import Relation
    from expmon.warehouse.bigquery import BigQueryWarehouse

SERVER, JOBS, TABLES = "BigQuery", "jobs", "tables and views"
STORAGE = "Storage Read API"

_API = "https://bigquery.googleapis.com/"
_STORAGE_ROLE = "roles/bigquery.readSessionUser"
_PERMISSIONS = ("bigquery.tables.getData", "bigquery.tables.updateData")
_BY_OTHERS = " Someone with "
"""With these words `Deployment` goes on to what only others may do."""


class Examination:
    """The checks, and what one of them lets the next know.

    Args:
        warehouse: which one.
        credentials: gives the credentials.
        client: gives a client that has them.
        storage: gives a client of the Storage Read API; None where there is none.
    """

    def __init__(
        self,
        warehouse: BigQueryWarehouse,
        credentials: Callable[[], Credentials],
        *,
        client: Callable[[], bigquery.Client],
        storage: Callable[[], bigquery_storage.BigQueryReadClient | None],
    ) -> None:
        self.warehouse = warehouse
        self.access = Access(client, warehouse.settings, warehouse.names)
        self._credentials = credentials
        self._storage = storage
        self._absent: set[str] = set()

    def run(self) -> Iterator[Finding]:
        """What all of the checks find."""
        yield from examined(self.checks(), self.access.remedy, rest="BigQuery, the rest")

    def checks(self) -> tuple[Check, ...]:
        """The checks, each after those that it rests on."""
        there, jobs = (CREDENTIALS, SERVER), (CREDENTIALS, SERVER, JOBS)
        of_sources = Sources(self.access, self.warehouse.query)
        return (
            Check(CREDENTIALS, self._check_credentials),
            Check(SERVER, self._check_jobs, (CREDENTIALS,)),
            Check("datasets", self._check_datasets, there),
            Check("location", self._check_location, there),
            Check("sources", of_sources.present, there),
            Check("reading the sources", of_sources.readable, jobs),
            Check("days of the sources", of_sources.recent, jobs),
            Check(TABLES, self._check_tables, there),
            Check("writing", self._check_writing, there),
            Check("fetching", self._check_views, jobs),
            Check(STORAGE, self._check_storage, there),
            Check("what has been written", self._check_memo, jobs),
            Check("lease", self._check_lease, jobs),
        )

    def _check_credentials(self) -> Iterator[Finding]:
        from google.auth.credentials import AnonymousCredentials
        from google.auth.transport.requests import Request

        found = self._credentials()
        if isinstance(found, AnonymousCredentials):
            yield Finding(CREDENTIALS, "ok", "none, as an emulator wants it")
            return
        with translated("a token"):
            found.before_request(Request(), "GET", _API, {})
        self.access.account = account(found)
        yield Finding(CREDENTIALS, "ok", f"of {self.access.account or 'an account'}")

    def _check_jobs(self) -> Iterator[Finding]:
        """Whether jobs may be run; other errors than a refusal mean that nothing else works."""
        access, project = self.access, self.access.settings.project
        try:
            job = access.dry_run(examining.one(), {}, what=f"project {project}", role=JOB_USER)
        except PermissionMissing as error:
            yield Finding(JOBS, "missing", str(error), access.remedy(error))
        except NotDeployed as error:
            yield Finding(
                JOBS,
                "missing",
                f"there is no project {project} to run them in ({said(error)})",
                "Name the one where they run and are billed: "
                "expmon --warehouse bigquery://PROJECT doctor",
            )
        else:
            access.account = job.user_email or access.account
            by = f", by {access.account}" if access.account else ""
            yield Finding(JOBS, "ok", f"can be run in {project}{by}")

    def _check_datasets(self) -> list[Finding]:
        made = self._datasets()
        return self.access.each(
            made,
            "dataset {}".format,
            lambda dataset: self._dataset(dataset, DEPLOY if made[dataset] else ""),
        )

    def _dataset(self, dataset: str, todo: str) -> Iterator[Finding]:
        from google.api_core.exceptions import NotFound

        subject, retry = f"dataset {dataset}", self.access.retry
        with translated(dataset):
            try:
                found = self.access.client.get_dataset(dataset, retry=retry, timeout=SECONDS)
            except NotFound:
                where = f"Say where its tables are, under [datasets] or [tables] in {SETTINGS_FILE}"
                yield Finding(subject, "missing", "it is not there", todo or where)
                return
        self.access.locations[dataset] = str(found.location)
        yield Finding(subject, "ok", f"in {found.location}")

    def _check_location(self) -> Iterator[Finding]:
        """Jobs run in one location, and the tables of others aren't found there."""
        by_location: dict[str, list[str]] = {}
        for dataset, location in sorted(self.access.locations.items()):
            by_location.setdefault(location.upper(), []).append(dataset)
        if len(by_location) > 1:
            lie = "; ".join(f"{place} ({listed(of)})" for place, of in by_location.items())
            yield Finding(
                "location",
                "missing",
                f"a query reads tables of one location, and these lie in several: {lie}",
                "Name datasets of one location, or copy those that lie elsewhere: "
                f"[projects], [datasets] and [tables] in {SETTINGS_FILE}",
            )
            return
        for location in by_location:
            configured = self.access.settings.location
            # Else jobs run where the tables are; deploy makes their dataset in the US.
            is_known = configured is None and self.access.derived in self.access.locations
            if is_known or (configured or "US").upper() == location:
                yield Finding("location", "ok", f"all that is there lies in {location}")
                return
            said_ = f"{configured} is configured" if configured else "none is configured"
            yield Finding(
                "location",
                "missing",
                f"all that is there lies in {location}, but {said_}",
                f'Write location = "{location}" under [bigquery] in {SETTINGS_FILE}, or: '
                f"export EXPMON_LOCATION={location}",
            )

    def _check_tables(self) -> Iterator[Finding]:
        changes = self.warehouse.deploy(dry_run=True)
        created = [c for c in changes if c.startswith("create ")]
        by_others = [c for c in changes if _BY_OTHERS in c]
        updated = [c for c in changes if c not in created and c not in by_others]
        self._absent = {change.split()[-1] for change in created}
        if created:
            names = [change.removeprefix("create ") for change in created]
            yield Finding(TABLES, "missing", f"not there: {listed(names)}", DEPLOY)
        if updated:
            yield Finding("definitions", "missing", "; ".join(updated), DEPLOY)
        for sentence in by_others:
            what, _, command = sentence.partition(_BY_OTHERS)
            yield Finding("authorized views", "missing", what, f"Someone with {command}")
        if not changes:
            number = sum(map(self.access.makes, RELATIONS.values()))
            declared = f"all {number} are there, as they are declared"
            version = f"of schema version {SCHEMA_VERSION}"
            yield Finding(TABLES, "ok", f"{declared}, {version}")

    def _check_writing(self) -> Iterator[Finding]:
        tables = [r for r in RELATIONS.values() if r.kind is Kind.TABLE]
        there = [table for table in tables if table.name not in self._absent]
        held = dict(zip(there, self.access.at_once(self._permissions, there), strict=True))
        lacking: dict[tuple[str, str], list[str]] = {}
        for table, permissions in held.items():
            if permissions is None:
                yield Finding("writing", "unknown", "BigQuery doesn't tell whether it is allowed")
                return
            if missing := [p for p in _PERMISSIONS if p not in permissions]:
                key = dataset_of(self.access.names.of(table)), " and ".join(missing)
                lacking.setdefault(key, []).append(table.table)
        for (dataset, missing_), names in lacking.items():
            grant = self.access.grant(WRITER, dataset)
            yield Finding(
                f"writing to {dataset}", "missing", f"no {missing_} on {listed(names)}", grant
            )
        if not there:
            yield Finding("writing", "unknown", f"not checked before {DEPLOY}")
        elif not lacking:
            yield Finding("writing", "ok", f"{counted(len(there), 'table')} can be written")

    def _permissions(self, table: Relation) -> list[str] | None:
        """Which of those that are needed the account has; None where BigQuery doesn't tell."""
        from google.api_core.exceptions import Forbidden, GoogleAPICallError

        place = str(self.access.names.of(table))
        with translated(place):
            try:
                found: Mapping[str, Any] = self.access.client.test_iam_permissions(
                    place, _PERMISSIONS, retry=self.access.retry, timeout=SECONDS
                )
            except Forbidden:
                return []
            except GoogleAPICallError:
                return None
        return list(found.get("permissions", ()))

    def _check_views(self) -> Iterator[Finding]:
        names = self.access.names
        there = [view for view in FETCHABLE.values() if view.name not in self._absent]

        def read(view: Relation) -> Iterator[Finding]:
            statement = reading.fetch(view, names, ())
            self.access.dry_run(statement, {"slug": "any"}, what=str(names.of(view)))
            return iter(())

        found = self.access.each(there, lambda view: f"fetching {view.name}", read)
        yield from found
        if not there:
            yield Finding("fetching", "unknown", f"not checked before {DEPLOY}")
        elif number := len(there) - len(found):
            yield Finding("fetching", "ok", f"{counted(number, 'view')} can be read")

    def _check_storage(self) -> Iterator[Finding]:
        from google.api_core.exceptions import GoogleAPICallError, PermissionDenied
        from google.cloud.bigquery_storage_v1.types import DataFormat, ReadSession

        storage, project = self._storage(), self.access.settings.project
        if storage is None:
            yield Finding(STORAGE, "unknown", "the emulator's is not named")
            return
        if LEASE.name in self._absent:
            yield Finding(STORAGE, "unknown", f"not checked before {DEPLOY}")
            return
        place = self.access.names.of(LEASE)
        path = f"projects/{place.project}/datasets/{place.dataset}/tables/{place.table}"
        session = ReadSession(table=path, data_format=DataFormat.ARROW)
        parent = f"projects/{project}"
        try:
            storage.create_read_session(
                parent=parent,
                read_session=session,
                max_stream_count=1,
                retry=None,
                timeout=SECONDS,
            )
        except PermissionDenied as error:
            slow = f"rows come over the REST API, which is slow ({said(error)})"
            grant = self.access.grant(_STORAGE_ROLE, f"project {project}")
            yield Finding(STORAGE, "warning", slow, grant)
        except GoogleAPICallError as error:
            yield Finding(STORAGE, "warning", f"it doesn't answer as it should: {said(error)}")
        else:
            yield Finding(STORAGE, "ok", "rows come over it")

    def _check_memo(self) -> Iterator[Finding]:
        subject = "what has been written"
        if PARTITIONS.name in self._absent:
            yield Finding(subject, "unknown", f"not checked before {DEPLOY}")
            return
        written = self.warehouse.state().written
        number = sum(map(len, written.values()))
        yield Finding(subject, "ok", f"{counted(number, 'partition')} or tables are remembered")

    def _check_lease(self) -> Iterator[Finding]:
        if LEASE.name in self._absent:
            yield Finding("lease", "unknown", f"not checked before {DEPLOY}")
            return
        rows = self.warehouse.query(bookkeeping.lease_holder(self.access.names), {}).to_pylist()
        if not rows:
            yield Finding("lease", "missing", f"the one row of {LEASE.name} is lost", DEPLOY)
            return
        if rows[0]["run_id"] is None or not rows[0]["is_held"]:
            yield Finding("lease", "ok", "no run has it")
            return
        holder, until = rows[0]["run_id"], rows[0]["expires_at"].astimezone(UTC)
        ends = f"{until:%Y-%m-%d %H:%M:%S} UTC"
        yield Finding("lease", "ok", f"the run {holder} has it, until {ends} at the latest")

    def _datasets(self) -> dict[str, bool]:
        """Every dataset that is used, and whether `expmon deploy` makes it."""
        names, made = self.access.names, dict[str, bool]()
        ours = [relation for relation in RELATIONS.values() if relation.kind is not Kind.SOURCE]
        for source in sources():
            made.setdefault(dataset_of(names.of(source)), self.access.makes(source))
            made.setdefault(dataset_of(names.behind(source)), False)
        for relation in ours:
            made[dataset_of(names.of(relation))] = True
        return made
