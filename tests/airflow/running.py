"""Running DAGs in this process, and what became of their tasks, in Airflow 3 and 2."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from importlib import metadata

from expmon.airflow import build_dags

try:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.definitions.mappedoperator import MappedOperator
except ImportError:  # Airflow 2
    from airflow.models.dagbag import DagBag
    from airflow.models.mappedoperator import MappedOperator  # noqa: F401

MAJOR = int(metadata.version("apache-airflow").split(".")[0])
DATE = "logical_date" if MAJOR > 2 else "execution_date"
if MAJOR == 2:  # its command line imports the tables of users, which runs refer to
    import airflow.providers.fab.auth_manager.models  # noqa: F401


@dataclass(frozen=True)
class Ran:
    """What became of a run.

    Attributes:
        state: of the run.
        tasks: by task and map index (-1: not mapped), the state and the number of the last try.
        names: what Airflow calls the instances of a mapped task.
    """

    state: str
    tasks: dict[tuple[str, int], tuple[str, int]]
    names: dict[tuple[str, int], str | None]

    def states(self, task):
        """The states of a task's instances, by map index."""
        found = {index: state for (name, index), (state, _) in self.tasks.items() if name == task}
        return [found[index] for index in sorted(found)]


def dag_bag(folder):
    """What Airflow finds in a folder."""
    return DagBag(str(folder))


def dags(*, connection_id=None, **default_args):
    """The DAGs by cadence, whose tasks are tried again at once."""
    arguments = {"retry_delay": timedelta(0), **default_args}
    built = build_dags(connection_id=connection_id, default_args=arguments)
    return dict(zip(("live", "hourly", "daily"), built, strict=True))


def run(dag, moment):
    """Run a DAG as of a moment, at which its schedule must have it."""
    done = dag.test(**{DATE: moment})
    instances = done.get_task_instances()
    return Ran(
        str(done.state),
        {(i.task_id, i.map_index): (str(i.state), i.try_number) for i in instances},
        {(i.task_id, i.map_index): i.rendered_map_index for i in instances},
    )
