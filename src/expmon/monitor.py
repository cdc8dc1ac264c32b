"""Monitor: one warehouse, one store, and everything that is done with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from expmon import config
from expmon.catalog import DATASETS, EXPORTED, near
from expmon.catalog.health import HEALTH, RATIOS, TOTALS
from expmon.catalog.model import Cadence
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import ConfigError, InvalidInput, InvalidTime, UnknownDataset
from expmon.slugs import checked_slug
from expmon.windows import WINDOW, utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from expmon.catalog.model import Dataset
    from expmon.export.run import Export, Exporter
    from expmon.export.store import Store
    from expmon.findings import Finding
    from expmon.health.alerts import Message
    from expmon.health.assess import Reading
    from expmon.health.delivery import Deliver
    from expmon.health.outbox import Alerts
    from expmon.health.report import HealthReport
    from expmon.ingest import Ingested, Paths
    from expmon.materialize.drift import DayDrift
    from expmon.materialize.run import Computed, Run, SharedRun
    from expmon.materialize.schedule import Settings
    from expmon.materialize.status import Status
    from expmon.materialize.step import Plan, Step
    from expmon.report.site import Page
    from expmon.warehouse.protocol import Warehouse

NO_WAIT = timedelta(0)
_EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
_CLOCK_SKEW = timedelta(minutes=5)
_PLACE = (
    "give store= to expmon.connect, --store to the command, "
    f'set {config.STORE_VARIABLE}, or write store = "…" into {config.FILE}'
)


@dataclass(slots=True)
class Monitor:
    """Experiments of one warehouse, exported to one store.

    `expmon.connect` makes one. Close it, or use it in a ``with`` statement: an embedded warehouse
    is locked for other processes from its first use on until then.

    Times are datetimes with a zone; an ``as_of`` is the moment that a run looks at the data from,
    now if not given. One without a zone or in the future is an `InvalidTime` everywhere, a
    warehouse without tables is `NotDeployed`, one that another process has is `WarehouseLocked`.
    What writes or exports refuses tables of a newer expmon, or ones that `deploy` has to change
    first, as `WrongSchemaVersion`.
    """

    warehouse: Warehouse
    store: Store | None
    settings: Settings = field(default_factory=lambda: config.Config().settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the warehouse and the store."""
        self.warehouse.close()
        if self.store is not None:
            self.store.close()

    def deploy(self, *, dry_run: bool = False) -> list[str]:
        """Create the tables and views that are missing, and bring up to date what differs.

        Tables that an earlier expmon has made are migrated, one schema version after the other. On
        BigQuery deploy also lets the user-facing views read the tables, whoever asks them.

        Args:
            dry_run: change nothing.

        Returns:
            The changes, each like ``create table x``; none if everything is as it should be.

        Raises:
            SchemaMismatch: a table can't be changed in place; nothing was changed.
            WrongSchemaVersion: a newer expmon has deployed; nothing was changed.
            PermissionMissing: the credentials may not do it.
            WarehouseLocked: another process has the warehouse, or a run while tables change.
        """
        return self.warehouse.deploy(dry_run=dry_run)

    def plan(self, cadence: str, as_of: datetime | None = None) -> Plan:
        """What a run would write, in which order and why; nothing is run.

        Args:
            cadence: ``live``, ``hourly`` or ``daily``.
            as_of: for which moment.

        Raises:
            InvalidInput: there is no such cadence.
            InvalidTime: ``as_of`` has no zone, or is in the future.
            NotDeployed: there are no tables yet.
        """
        from expmon.materialize.plan import plan

        kind, moment = _cadence(cadence), _moment(as_of)
        return plan(kind, moment, state=self.warehouse.state(), settings=self.settings)

    def costs(self, plan: Plan) -> tuple[int | None, ...]:
        """How many bytes each step of a plan would read at most, by dry runs.

        Clustering and caches may spare some of it. None where the engine can't tell beforehand, as
        the embedded one.

        Args:
            plan: of `plan`.

        Raises:
            NotDeployed: there are no tables yet.
        """
        return tuple(self.warehouse.cost(step.write) for step in plan.steps)

    def run(
        self,
        cadence: str,
        as_of: datetime | None = None,
        *,
        wait: timedelta = NO_WAIT,
        progress: Callable[[Step], None] | None = None,
    ) -> Run:
        """Write what is missing or stale; running it again changes nothing.

        Args:
            cadence: ``live``, ``hourly`` or ``daily``.
            as_of: for which moment.
            wait: how long to wait for another run to end.
            progress: called with each step before it is run.

        Raises:
            InvalidInput: there is no such cadence.
            InvalidTime: ``as_of`` has no zone, or is in the future.
            NotDeployed: there are no tables yet.
            WarehouseLocked: another run or process has the warehouse, for longer than ``wait``.
            WarehouseError: a step failed; the next run goes on from there. On DuckDB a live run
                over at most three days leaves nothing behind then.
        """
        from expmon.materialize.plan import plan
        from expmon.materialize.run import run

        kind, moment = _cadence(cadence), _moment(as_of)
        return run(
            self.warehouse,
            lambda state: plan(kind, moment, state=state, settings=self.settings),
            wait=_waiting(wait),
            computed=self._computed(),
            before=progress,
        )

    def shared_run(
        self, cadence: str, as_of: datetime, *, run_id: str, wait: timedelta = NO_WAIT
    ) -> SharedRun:
        """A run that is several tasks of an orchestrator, each in a process of its own.

        The first task asks it for the ``plan()``, others ``write(relation, through)`` a partition
        each, and the last one calls ``end()``. On BigQuery they share one lease, from the first
        task to the last; an embedded warehouse lets its processes in one after the other.

        Args:
            cadence: ``live``, ``hourly`` or ``daily``.
            as_of: for which moment, the same in all tasks.
            run_id: the run's name, the same in all tasks and no other run's.
            wait: how long a task waits for another run to end.

        Raises:
            InvalidInput: there is no such cadence, or no name.
            InvalidTime: ``as_of`` has no zone, or is in the future.
        """
        from expmon.materialize.plan import plan
        from expmon.materialize.run import SharedRun

        kind, moment = _cadence(cadence), _moment(as_of)
        if not run_id:
            raise InvalidInput("run_id is empty: give the run a name of its own")
        return SharedRun(
            self.warehouse,
            lambda state: plan(kind, moment, state=state, settings=self.settings),
            run_id=run_id,
            wait=_waiting(wait),
            computed=self._computed(),
        )

    def _computed(self) -> Computed:
        """How the rows come about that a live run doesn't leave to the engine."""

        @cache
        def reading(as_of: datetime) -> Reading:
            from expmon.health import assess

            return assess.Reading(self.warehouse, self.settings, as_of)

        return {
            RATIOS.name: lambda step: {"seen": reading(step.as_of).seen()},
            TOTALS.name: lambda step: {"counted": reading(step.as_of).counted(step.partition.day)},
            HEALTH.name: lambda step: {"found": reading(step.as_of).found()},
        }

    def backfill(
        self,
        start: date,
        end: date,
        *,
        as_of: datetime | None = None,
        wait: timedelta = NO_WAIT,
        progress: Callable[[Step], None] | None = None,
    ) -> Run:
        """Write the final days of ``[start, end)`` anew, and what is derived of them.

        Cumulative series of later days are computed anew by the next live run.

        Args:
            start: the first day.
            end: the day after the last one.
            as_of: for which moment; the days must be ready then.
            wait: how long to wait for another run to end.
            progress: called with each step before it is run.

        Raises:
            InvalidTime: the end is not after the start, or a day is not ready.
            SourceMissing: a source has no rows of a day any more; nothing was written.
            NotDeployed: there are no tables yet.
            WarehouseLocked: another run or process has the warehouse, for longer than ``wait``.
        """
        from expmon.materialize.plan import backfill
        from expmon.materialize.run import run

        first, last = _day(start, "start"), _day(end, "end")
        moment = _moment(as_of)
        return run(
            self.warehouse,
            lambda state: backfill(first, last, as_of=moment, state=state, settings=self.settings),
            wait=_waiting(wait),
            before=progress,
        )

    def status(self, as_of: datetime | None = None) -> list[Status]:
        """How fresh each table that a schedule writes is, inputs first.

        Args:
            as_of: for which moment.
        """
        from expmon.materialize.status import status

        return status(_moment(as_of), state=self.warehouse.state(), settings=self.settings)

    def health(self, slug: str, as_of: datetime | None = None) -> HealthReport:
        """What the health checks say of an experiment, active or not.

        Args:
            slug: of the experiment; without metadata no branches are compared.
            as_of: for which moment.

        Raises:
            InvalidSlug: the text can't be a slug.
            UnknownExperiment: there is neither metadata of it nor an event in two weeks.
            InvalidTime: ``as_of`` has no zone, or is in the future.
            NotDeployed: there are no tables yet.
        """
        from expmon.health.assess import report

        return report(self.warehouse, self.settings, _moment(as_of), [checked_slug(slug)])

    def health_active(self, as_of: datetime | None = None) -> HealthReport:
        """What the health checks say of every active experiment, in a fixed number of queries.

        Args:
            as_of: for which moment.

        Raises:
            InvalidTime: ``as_of`` has no zone, or is in the future.
            NotDeployed: there are no tables yet.
        """
        from expmon.health.assess import report

        return report(self.warehouse, self.settings, _moment(as_of))

    def replay(
        self,
        start: datetime,
        end: datetime,
        *,
        slugs: Sequence[str] | None = None,
        every: timedelta = WINDOW,
        progress: Callable[[datetime], None] | None = None,
    ) -> list[Message]:
        """What the health checks would have raised, had they looked at history as it is today.

        Nothing of it is late, and final days are mended: what was raised at the time is in
        ``experiment_health_v1``. Takes a fixed number of queries for each two weeks.

        Args:
            start: the first moment that is looked from.
            end: the last one.
            slugs: only these experiments; else those that were active at the time.
            every: how long from one moment to the next.
            progress: called with each moment.

        Returns:
            A message for each alarm that starts, and for each that is over.

        Raises:
            InvalidTime: a datetime without a zone or in the future, or an end before the start.
            InvalidInput: ``every`` is not above 0.
            InvalidSlug: a text can't be a slug.
            NotDeployed: there are no tables yet.
        """
        from expmon.health.replay import replay

        first, last = _moment(utc(start, "start")), _moment(utc(end, "end"))
        if last < first:
            raise InvalidTime(f"the end {last.isoformat()} is before the start {first.isoformat()}")
        if every <= NO_WAIT:
            raise InvalidInput(f"every must be above 0: {every}")
        chosen = None if slugs is None else [checked_slug(slug) for slug in dict.fromkeys(slugs)]
        return replay(
            self.warehouse,
            self.settings,
            first,
            last,
            slugs=chosen,
            every=every,
            progress=progress,
        )

    def alerts(
        self,
        as_of: datetime | None = None,
        *,
        deliver: Deliver | None = None,
        dry_run: bool = False,
        wait: timedelta = NO_WAIT,
    ) -> Alerts:
        """Tell whom it concerns which alarms have started since the last time, and which are over.

        Each start and each end is one message, which is kept until it is delivered. What is
        configured says where to, what is muted, and for how long new experiments are held back.

        Args:
            as_of: up to when live runs are looked at.
            deliver: called with each message instead of taking it to where ``alerts.to`` says; if
                it raises, that message and those after it wait for the next time.
            dry_run: deliver and write nothing, and wait for nobody.
            wait: how long to wait for another run to end.

        Returns:
            The messages that were delivered, and those that wait: all of them if nothing is to be
            delivered, and otherwise while another process delivers some, or after two minutes.

        Raises:
            DeliveryError: a message can't be delivered; it waits, and those after it.
            ConfigError: the webhook's token makes no sense.
            InvalidTime: ``as_of`` has no zone, or is in the future.
            NotDeployed: there are no tables yet.
            WarehouseLocked: another run or process has the warehouse, for longer than ``wait``.
        """
        from expmon.health.delivery import receiver
        from expmon.health.outbox import Outbox

        outbox = Outbox(self.warehouse, self.settings, _moment(as_of))
        if dry_run:
            return outbox.waiting()
        return outbox.send(deliver or receiver(self.settings.alerts_to), _waiting(wait))

    def drift(self, as_of: datetime | None = None, *, days: int = 7) -> list[DayDrift]:
        """How far the live counts of final days were from the final ones, per experiment.

        Live counts are those of the hourly table: a day is known if all of its hours were written,
        and what only recents had is not compared. More live than final ones are documents that
        arrived twice; fewer are documents that arrived after their hour was counted, or events of
        main pings, which only the final sources have.

        Args:
            as_of: for which moment.
            days: of so many days before the moment's own, those that are final.

        Returns:
            A line for each day and aggregates, in the order of days.

        Raises:
            InvalidInput: ``days`` is not 1 to 13: hours are kept no longer.
            InvalidTime: ``as_of`` has no zone, or is in the future.
            NotDeployed: there are no tables yet.
        """
        from expmon.materialize.drift import drift

        return drift(self.warehouse, _moment(as_of), last=days, names=self.settings.names)

    def examine(self) -> list[Finding]:
        """Whether all that is needed is there and may be used; nothing is changed.

        On BigQuery: credentials, jobs, datasets and their location, sources and their columns and
        days, tables and views, who may write and read them, the lease; then the store. What fails
        is a finding with what to do about it, and no error.

        Returns:
            The findings, each after those that it rests on.
        """
        from expmon.findings import Finding

        found = self.warehouse.examine()
        if self.store is not None:
            found += self.store.examine()
        else:
            none = "none is configured: nothing can be exported"
            found.append(Finding("store", "warning", none, f"To export, {_PLACE}"))
        return list(dict.fromkeys(found))

    def ingest(
        self,
        paths: Paths,
        submission_timestamp: datetime | None = None,
    ) -> Ingested:
        """Load client pings into the live sources.

        A file is one JSON document or one a line, plain or gzip: ``event`` and ``main`` pings of
        version 4, as clients send them. What can't be read is skipped and reported.

        Args:
            paths: one file or several.
            submission_timestamp: when the server received them; a ping's own field wins.

        Raises:
            InvalidTime: the timestamp has no zone.
            NotDeployed: there are no tables yet.
        """
        from expmon.ingest import ingest

        received = None
        if submission_timestamp is not None:
            received = utc(submission_timestamp, "submission_timestamp")
        return ingest(self.warehouse, paths, received)

    def ingest_recipes(self, paths: Paths) -> Ingested:
        """Load experiments from files of Nimbus recipes, in place of those with the same slugs.

        A file is a list of recipes, an object with such a list under ``data``, or one recipe. What
        can't be read is skipped and reported.

        Args:
            paths: one file or several.
        """
        from expmon.ingest import ingest_recipes

        return ingest_recipes(self.warehouse, paths)

    def experiments(self, as_of: datetime | None = None) -> pd.DataFrame:
        """The active experiments, which are live or ended at most 14 days ago.

        Args:
            as_of: for which moment.

        Returns:
            ``slug, type, app_name, channel`` (text), ``start_date, enrollment_end_date, end_date``
            (00:00 of the day, NaT where there is none), by start and slug.
        """
        from expmon.fetch import dataframe
        from expmon.statements.reading import active_experiments

        rows = self.warehouse.query(
            active_experiments(self.settings.names), {"today": _moment(as_of).date()}
        )
        types = {column.name: column.type for column in EXPERIMENTS.columns}
        types["slug"] = "STRING"
        return dataframe(rows, {name: types[name] for name in rows.column_names})

    def fetch_dataframe(
        self,
        dataset: str,
        slug: str,
        branch: str | None = None,
        start: datetime | date | None = None,
        end: datetime | date | None = None,
    ) -> pd.DataFrame:
        """The rows of an experiment in a dataset.

        Args:
            dataset: one of `expmon.datasets`.
            slug: of the experiment; an unknown one has no rows.
            branch: of this branch only; series without one have the branch ``null``.
            start: rows at or after this; a date means its 00:00 UTC.
            end: rows before this.

        Returns:
            The table's columns in its order, sorted by time and branch. They are ``time`` (UTC),
            ``branch`` and ``experiment`` (text), ``value`` (64-bit integer); the two live views
            have their windows and counts instead.

        Raises:
            UnknownDataset: there is no dataset of that name; the error lists the near ones.
            InvalidSlug: the text can't be a slug.
            InvalidInput: the branch is no text.
            InvalidTime: a datetime without a zone, or an end before the start.
        """
        from expmon.fetch import fetch_dataframe

        filters = {"branch": branch, "start": start, "end": end}
        return fetch_dataframe(self.warehouse, self.settings.names, dataset, slug, filters)

    def plot(
        self,
        dataset: str,
        slug: str,
        branch: str | None = None,
        start: datetime | date | None = None,
        end: datetime | date | None = None,
    ) -> Figure:
        """A picture of an experiment in a dataset: a line per branch.

        Marked are the experiment's start, the end of enrollment, and from when on counts are live;
        times are UTC. Counts of longer ranges are added up to at most some 120 points, as the axis
        says (``enrollments per hour``); of a slot that is not over, or cut off by ``start`` or
        ``end``, nothing is shown. Of cumulative values the last of each slot is drawn, at the end
        of its window. Daily ones are drawn as they are.

        Args:
            dataset: one of the eight time series.
            slug: of the experiment; of an unknown one the picture says that there are no rows.
            branch: of this branch only.
            start: from when on; a date means its 00:00 UTC.
            end: until when.

        Returns:
            A figure that a notebook shows; ``savefig`` writes it into a file.

        Raises:
            ExtraMissing: matplotlib is not installed.
            UnknownDataset: there is no dataset of that name; the error lists the near ones.
            InvalidSlug: the text can't be a slug.
            InvalidInput: it is not one of the eight, or the branch is no text.
            InvalidTime: a datetime without a zone, or an end before the start.
        """
        from expmon.plotting.series import plottable

        filters = {"branch": branch, "start": start, "end": end}
        return self._plotted([plottable(dataset)], slug, filters)

    def plot_experiment(
        self,
        slug: str,
        branch: str | None = None,
        start: datetime | date | None = None,
        end: datetime | date | None = None,
    ) -> Figure:
        """A picture of an experiment in each of the eight time series that has rows of it.

        Arguments, figure and errors as of `plot`; all panels share their times and branches.
        """
        filters = {"branch": branch, "start": start, "end": end}
        return self._plotted(EXPORTED, slug, filters)

    def _plotted(
        self, datasets: Sequence[Dataset], slug: str, filters: Mapping[str, Any]
    ) -> Figure:
        from expmon.plotting.figure import picture
        from expmon.plotting.series import drawing

        return picture(drawing(self.warehouse, self.settings.names, datasets, slug, filters))

    def export_experiment(
        self,
        slug: str,
        datasets: Sequence[str] | None = None,
        as_of: datetime | None = None,
    ) -> Export:
        """Write the JSON files of one experiment, active or not.

        Args:
            slug: of the experiment.
            datasets: which of the eight; all if not given.
            as_of: for which moment.

        Raises:
            InvalidSlug: the text can't be a slug.
            UnknownDataset: there is no dataset of one of the names.
            InvalidInput: a dataset is not exported, or none is named.
            UnknownExperiment: neither the metadata nor any dataset has it.
            ConfigError: there is no store.
            ExportSuperseded: a newer export has claimed the store; its files stay.
            StoreError: the store can't be read or written.
        """
        return self.export_experiments([slug], datasets, as_of)

    def export_experiments(
        self,
        slugs: Sequence[str],
        datasets: Sequence[str] | None = None,
        as_of: datetime | None = None,
    ) -> Export:
        """Write the JSON files of several experiments, active or not, in one go.

        Arguments and errors as of `export_experiment`; if one can't be exported, none is.
        """
        checked = [checked_slug(slug) for slug in dict.fromkeys(slugs)]
        chosen = list(EXPORTED)
        if datasets is not None:
            chosen = [_exported(name) for name in dict.fromkeys(datasets)]
        if not checked or not chosen:
            raise InvalidInput("nothing to export: name experiments; leave datasets out for all")
        return self._exporter(as_of).named(checked, chosen)

    def export_active(
        self, as_of: datetime | None = None, *, progress: Callable[[str], None] | None = None
    ) -> Export:
        """Write the JSON files of every active experiment, in two queries.

        Past its 14 days an experiment has a point for every half hour that is over. Until another
        one is, or days before today have been written anew, it is left out; see `Export.resting`.

        Args:
            as_of: for which moment.
            progress: called with the slug of each experiment that is about to be written.

        Raises:
            ConfigError: there is no store.
            ExportSuperseded: a newer export has claimed the store; its files stay.
            StoreError: the store can't be read or written.
        """
        return self._exporter(as_of, progress).active()

    def report(self, slug: str) -> str:
        """A page of an experiment, made of its exported files alone: no warehouse is asked.

        It is one HTML file that needs no other, and asks no host for any: totals by branch, a chart
        for each series, tables by day, and how fresh each is. The same files give the same page.

        Args:
            slug: of the experiment.

        Raises:
            InvalidSlug: the text can't be a slug.
            ConfigError: there is no store.
            NotExported: it has not been exported; the error lists near ones that have.
            StoreConflict: its files change right now, or an export has broken off.
            StoreError: the store or a file can't be read.
        """
        from expmon.report.page import experiment_page
        from expmon.report.reading import Exports

        checked_slug(slug)
        exports = Exports.of(self._exported_to())
        experiment = exports.experiment(slug)
        day_lag = self.settings.schedule.day_lag
        return experiment_page(experiment, exported_at=exports.as_of, day_lag=day_lag, home=None)

    def report_all(self) -> Iterator[Page]:
        """A page of each experiment in the store, as of `report`, and at last one that lists them.

        Pages are made one by one, as they are asked for; links between them are by their names. An
        experiment whose files are gone gets none, as the log says.

        Raises:
            ConfigError: there is no store.
            NotExported: nothing has been exported.
            StoreConflict: files change right now, or an export has broken off.
            StoreError: the store or a file can't be read.
        """
        from expmon.report.site import site

        return site(self._exported_to(), self.settings.schedule.day_lag)

    def _exported_to(self) -> Store:
        if self.store is None:
            raise ConfigError(f"there is no place to read exported files from: {_PLACE}")
        return self.store

    def _exporter(
        self, as_of: datetime | None, progress: Callable[[str], None] | None = None
    ) -> Exporter:
        from expmon.export.run import Exporter

        if self.store is None:
            raise ConfigError(f"there is no place to export to: {_PLACE}")
        names = self.settings.names
        return Exporter(self.warehouse, self.store, names, _moment(as_of), progress)


def _exported(name: str) -> Dataset:
    known = {dataset.name: dataset for dataset in EXPORTED}
    if name in known:
        return known[name]
    if name in DATASETS:
        raise InvalidInput(f"{name} is not exported; these are: {', '.join(known)}")
    raise UnknownDataset(str(name), near(str(name), known))


def _cadence(name: str) -> Cadence:
    try:
        return Cadence(name)
    except ValueError:
        known = ", ".join(Cadence)
        raise InvalidInput(f"there is no cadence {name!r}: choose one of {known}") from None


def _waiting(wait: timedelta) -> timedelta:
    if wait < NO_WAIT:
        raise InvalidInput(f"wait must not be negative: {wait}")
    return wait


def _moment(as_of: datetime | None) -> datetime:
    now = datetime.now(UTC)
    if as_of is None:
        return now
    moment = utc(as_of, "as_of")
    if moment < _EARLIEST:
        raise InvalidTime(f"as_of = {moment.isoformat()} is too long ago: no ping is as old")
    if moment > now + _CLOCK_SKEW:
        raise InvalidTime(
            f"as_of = {moment.isoformat()} is in the future, where there is nothing to see yet. "
            "Leave it out for now."
        )
    return moment


def _day(value: date, name: str) -> date:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise InvalidTime(f"{name} must be a date, for instance date(2021, 1, 26), not {value!r}")
    return value
