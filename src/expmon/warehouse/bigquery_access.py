"""How the checks of BigQuery look at it, and who has to do what where they may not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from expmon.catalog import RELATIONS
from expmon.catalog.bookkeeping import PARTITIONS
from expmon.catalog.model import Kind
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import NotDeployed, PermissionMissing
from expmon.findings import Check, Finding, attempted, member, remedy
from expmon.statements import render
from expmon.warehouse.bigquery_errors import READER, message, reason, translated
from expmon.warehouse.bigquery_jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from google.api_core.retry import Retry
    from google.cloud import bigquery

    from expmon.catalog.model import Names, Relation, Statement, TableName
    from expmon.errors import ExpmonError
    from expmon.warehouse.bigquery_settings import BigQuerySettings

SECONDS = 60
SETTINGS_FILE = "expmon.toml"
_PATIENCE = timedelta(seconds=30)
"""Somebody waits: what doesn't answer for so long is reported."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class Access:
    """BigQuery, as the account at hand sees it.

    Attributes:
        connect: gives the client.
        account: whose credentials these are, as soon as that is known.
        locations: of the datasets that were found, by their full names.
    """

    connect: Callable[[], bigquery.Client]
    settings: BigQuerySettings
    names: Names
    account: str | None = None
    locations: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> bigquery.Client:
        """A client that has its credentials."""
        return self.connect()

    @property
    def retry(self) -> Retry:
        """Repeats requests that fail for reasons that pass, for a while."""
        from google.cloud.bigquery.retry import DEFAULT_RETRY

        patience = min(self.settings.retry_deadline, _PATIENCE)
        return DEFAULT_RETRY.with_timeout(patience.total_seconds())

    @property
    def derived(self) -> str:
        """The dataset with the tables that expmon writes."""
        return dataset_of(self.names.of(PARTITIONS))

    def makes(self, relation: Relation) -> bool:
        """Whether `expmon deploy` makes it."""
        is_own = relation == EXPERIMENTS and self.names.is_one_project
        return relation.kind is not Kind.SOURCE or is_own

    def table(self, place: TableName) -> bigquery.Table | None:
        """What is said of a table or view; None if there is none."""
        from google.api_core.exceptions import NotFound

        with translated(str(place)):
            try:
                return self.client.get_table(str(place), retry=self.retry, timeout=SECONDS)
            except NotFound:
                return None

    def dry_run(
        self, statement: Statement, values: Mapping[str, Any], *, what: str, role: str = READER
    ) -> bigquery.QueryJob:
        """Find out whether a statement could be run.

        Args:
            statement: which one.
            values: of its parameters.
            what: it is about, for errors.
            role: what someone needs who may not run it.
        """
        location = self.settings.location or self.locations.get(self.derived)
        sql = render(statement.tree, name=statement.name)
        # Nothing is read, so that nothing is too dear.
        settings = replace(self.settings, maximum_bytes_billed=None)
        config = Jobs(self.client, settings).config(statement, values)
        config.dry_run, config.use_query_cache = True, False
        with translated(what, sql=sql, role=role):
            return self.client.query(
                sql,
                config,
                location=location,
                retry=self.retry,
                job_retry=None,
                timeout=SECONDS,
            )

    def each(
        self,
        items: Iterable[Item],
        subject: Callable[[Item], str],
        look: Callable[[Item], Iterable[Finding]],
    ) -> list[Finding]:
        """What is found of each item, in their order; an error of one leaves the others."""
        checks = [Check(subject(item), partial(look, item)) for item in items]
        found = self.at_once(lambda check: attempted(check, self.remedy), checks)
        return [finding for findings in found for finding in findings]

    def at_once(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """The function's results, several computed at the same time."""
        with ThreadPoolExecutor(self.settings.parallel_jobs, "expmon-doctor") as pool:
            return list(pool.map(function, items))

    def remedy(self, error: ExpmonError) -> str:
        """What to do about an error."""
        from google.api_core.exceptions import GoogleAPICallError

        if isinstance(error, NotDeployed):
            ours = {str(self.names.of(r)) for r in RELATIONS.values() if self.makes(r)}
            return remedy(error) if error.relation in ours else ""
        if not isinstance(error, PermissionMissing):
            return remedy(error)
        cause = error.__cause__
        if isinstance(cause, GoogleAPICallError) and reason(cause) == "accessNotConfigured":
            project = self.settings.project
            return f"gcloud services enable bigquery.googleapis.com --project={project}"
        return self.grant(error.role, error.relation)

    def grant(self, role: str, place: str) -> str:
        """The command that lets the account do it, for someone who may run that.

        Args:
            role: which one.
            place: ``project x``, or a dataset, or a table of one.
        """
        who = member(self.account)
        project = place.removeprefix("project ")
        if project != place:
            return (
                f"Someone who manages {project} runs: gcloud projects add-iam-policy-binding "
                f"{project} --member={who} --role={role}"
            )
        project, _, rest = place.partition(".")
        dataset = rest.partition(".")[0]
        return (
            f"Someone who owns {project}.{dataset} runs: bq query --use_legacy_sql=false "
            f"'GRANT `{role}` ON SCHEMA `{project}`.{dataset} TO \"{who}\"'"
        )


def sources() -> list[Relation]:
    """The sources that statements read, and what is known of the experiments."""
    ours = [relation for relation in RELATIONS.values() if relation.kind is not Kind.SOURCE]
    read = {EXPERIMENTS.name, *(name for relation in ours for name in relation.inputs)}
    return [r for r in RELATIONS.values() if r.kind is Kind.SOURCE and r.name in read]


def dataset_of(place: TableName) -> str:
    """The full name of the dataset that a table lies in."""
    return f"{place.project}.{place.dataset}"


def said(error: BaseException) -> str:
    """What BigQuery has said."""
    from google.api_core.exceptions import GoogleAPICallError

    cause = error if isinstance(error, GoogleAPICallError) else error.__cause__
    return message(cause) if isinstance(cause, GoogleAPICallError) else str(error)
