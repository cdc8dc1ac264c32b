"""The three schedules as DAGs, for Airflow 3 and 2.

With this module only Airflow is imported: engines are loaded by the tasks, when they run.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

try:
    from airflow.sdk import DAG, get_current_context, task
except ImportError:  # Airflow 2
    from airflow.decorators import task
    from airflow.models.dag import DAG
    from airflow.operators.python import get_current_context

from expmon import api, connect
from expmon.errors import ConfigError, ExportSuperseded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.auth.credentials import Credentials

    from expmon.materialize.run import SharedRun
    from expmon.materialize.schedule import Schedule
    from expmon.monitor import Monitor

log = logging.getLogger(__name__)

WAIT = timedelta(minutes=4)
"""How long a task waits for another run: a live task less than until the next one is due."""
MOST_MAPPED = 500
"""So many partitions of a table are written by one run; the next one goes on."""
_START = datetime(2020, 1, 1, tzinfo=UTC)
_DAY_MINUTES = 24 * 60


def build_dags(
    warehouse: str | None = None,
    store: str | None = None,
    *,
    connection_id: str | None = None,
    settings: Mapping[str, object] | None = None,
    default_args: Mapping[str, Any] | None = None,
) -> tuple[DAG, DAG, DAG]:
    """The DAGs ``expmon_live``, ``expmon_hourly`` and ``expmon_daily``, to be kept by a DAG file.

    What is not given comes, as everywhere, from the environment and ``expmon.toml``: the lags of
    the schedule when the file is parsed, everything else when a task runs.

    Args:
        warehouse: as of `expmon.connect`.
        store: as of `expmon.connect`; without one the live DAG exports nothing.
        connection_id: of the Airflow connection, of the type Google Cloud, whose credentials the
            tasks use, by means of Airflow's provider for Google; the Application Default
            Credentials if not given.
        settings: as of `expmon.connect`.
        default_args: Airflow's, for all tasks; they win over those of this module.

    Raises:
        ConfigError: a setting is unknown or makes no sense.
    """
    place = _Place(warehouse, store, connection_id, dict(settings or {}))
    schedule = api.configuration(warehouse, store, settings=settings).settings.schedule
    crons = _crons(schedule)
    return (
        _live_dag(crons["live"], place, default_args or {}),
        _dag_of_steps("hourly", crons["hourly"], place, default_args or {}),
        _dag_of_steps("daily", crons["daily"], place, default_args or {}),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """What the tasks connect to; nothing is opened before they do."""

    warehouse: str | None
    store: str | None
    connection_id: str | None
    settings: Mapping[str, object] = field(default_factory=dict)

    def monitor(self) -> Monitor:
        credentials = None if self.connection_id is None else _credentials(self.connection_id)
        return connect(self.warehouse, self.store, credentials=credentials, settings=self.settings)


def _credentials(connection_id: str) -> Credentials:
    try:
        from airflow.providers.google.common.hooks.base_google import GoogleBaseHook
    except ImportError as error:
        raise ConfigError(
            f"the connection {connection_id!r} can't be used: install "
            "apache-airflow-providers-google, or leave connection_id out for the Application "
            "Default Credentials"
        ) from error
    found: Credentials = GoogleBaseHook(gcp_conn_id=connection_id).get_credentials()
    return found


def _crons(schedule: Schedule) -> dict[str, str]:
    """When each schedule runs: as soon as an hour or a day is ready, :30 and 03:00 by default."""
    day_minute = schedule.day_lag // timedelta(minutes=1) % _DAY_MINUTES
    return {
        "live": "*/5 * * * *",
        "hourly": f"{schedule.hour_lag // timedelta(minutes=1) % 60} * * * *",
        "daily": f"{day_minute % 60} {day_minute // 60} * * *",
    }


def _dag(
    cadence: str, cron: str, *, stuck_after: timedelta, default_args: Mapping[str, Any]
) -> DAG:
    """A DAG of one run at a time. Runs that were missed are not made up for: the next one plans."""
    return DAG(
        dag_id=f"expmon_{cadence}",
        description=f"The {cadence} schedule of expmon",
        schedule=cron,
        start_date=_START,
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=stuck_after,
        default_args=dict(default_args),
        tags=["expmon"],
    )


def _live_dag(cron: str, place: _Place, default_args: Mapping[str, Any]) -> DAG:
    """One task: 288 runs a day have no time for scheduling."""

    def run() -> None:
        moment = _moment()
        with place.monitor() as monitor:
            monitor.run("live", moment, wait=WAIT)
            if monitor.store is None:
                return
            try:
                monitor.export_active(moment)
            except ExportSuperseded as newer:
                log.info("nothing to export as of %s: %s", moment.isoformat(), newer)

    arguments = {
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(minutes=20),
        **default_args,
    }
    with _dag("live", cron, stuck_after=timedelta(hours=1), default_args=arguments) as dag:
        task(task_id="run")(run)()
    return dag


def _dag_of_steps(cadence: str, cron: str, place: _Place, default_args: Mapping[str, Any]) -> DAG:
    """A plan, then a task for each table with one instance for each partition that is due."""

    def plan() -> dict[str, list[str]]:
        with place.monitor() as monitor:
            return _due(_shared_run(monitor, cadence), list(tables))

    def due(planned: dict[str, list[str]], table: str) -> list[str]:
        return planned[table]

    def write(table: str, partition: str) -> int:
        get_current_context()["partition"] = partition  # Airflow calls the instance so
        with place.monitor() as monitor:
            done = _shared_run(monitor, cadence).write(table, partition)
        return sum(written.rows for written in done.written)

    def end() -> None:
        with place.monitor() as monitor:
            _shared_run(monitor, cadence).end()

    arguments = {
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(minutes=30),
        **default_args,
    }
    tables = _tables(cadence)
    with _dag(cadence, cron, stuck_after=timedelta(hours=6), default_args=arguments) as dag:
        planned = task(task_id="plan")(plan)()
        ended = task(task_id="end")(end)().as_teardown()
        writes = {}
        for table, inputs in tables.items():
            name = table.partition(".")[2]
            partitions = task(task_id=f"due_{name}")(due)(planned, table)
            decorated = task(
                task_id=name,
                max_active_tis_per_dagrun=1,  # catching up goes in order
                map_index_template="{{ partition }}",
                trigger_rule="none_failed",  # a table of which nothing is due is skipped
            )(write)
            writes[table] = decorated.partial(table=table).expand(partition=partitions)
            for other in inputs:
                writes[other] >> writes[table]
            writes[table] >> ended
    return dag


def _due(run: SharedRun, tables: list[str]) -> dict[str, list[str]]:
    """The partitions that are due, by table."""
    found: dict[str, list[str]] = {table: [] for table in tables}
    for step in run.plan().steps:
        found[step.relation.name].append(step.partition.id)
    for table, partitions in found.items():
        if len(partitions) > MOST_MAPPED:
            log.warning(
                "%s: %d partitions are due, the next run goes on after the first %d",
                *(table, len(partitions), MOST_MAPPED),
            )
    return {table: partitions[:MOST_MAPPED] for table, partitions in found.items()}


def _tables(cadence: str) -> dict[str, list[str]]:
    """The tables that the schedule writes, and those of them that each builds on."""
    relations = api.relations()

    def written(name: str) -> list[str]:
        """The tables of the schedule that a relation stands for: itself, or those below it."""
        relation = relations[name]
        if relation.cadence is not None:
            return [name] if relation.cadence == cadence else []
        return [table for source in relation.inputs for table in written(source)]

    return {
        name: [table for source in relation.inputs for table in written(source)]
        for name, relation in relations.items()
        if relation.cadence == cadence
    }


def _shared_run(monitor: Monitor, cadence: str) -> SharedRun:
    """The run of which the current task is one."""
    run = get_current_context()["dag_run"]
    name = f"{run.dag_id}/{run.run_id}"
    return monitor.shared_run(cadence, _moment(), run_id=name, wait=WAIT)


def _moment() -> datetime:
    """The moment of the run, whenever the task runs: the end of its interval.

    A run that was triggered without a date has none, and looks from when it was to start.
    """
    context = get_current_context()
    run = context["dag_run"]
    moment = getattr(run, "data_interval_end", None) or getattr(run, "run_after", None)
    return datetime.fromisoformat((moment or run.logical_date).isoformat())
