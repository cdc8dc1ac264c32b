"""What needs no monitor of one's own: names, statements, and the configured default monitor."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from expmon.catalog import DATASETS, EXPORTED, FETCHABLE, RELATIONS, resolve
from expmon.catalog.model import Kind
from expmon.connection import connect
from expmon.errors import ExtraMissing

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

    from expmon.catalog.model import Dataset, Relation, TableName
    from expmon.config import Config
    from expmon.export.run import Export


def datasets() -> dict[str, str]:
    """What `fetch_dataframe` takes: the datasets' names with their descriptions."""
    return {name: relation.description for name, relation in FETCHABLE.items()}


def relations() -> dict[str, Relation]:
    """The catalogue: every source, view and table by name, each after its inputs."""
    return dict(RELATIONS)


def relation(name: str) -> tuple[Relation, Dataset | None]:
    """One of the catalogue's relations, and the derived dataset that it is the table or view of.

    Args:
        name: a dataset's short name, a table's or view's name, or ``dataset.table``.

    Raises:
        UnknownDataset: there is none; the error lists the near ones.
    """
    found = resolve(name)
    return found, next((d for d in DATASETS.values() if found in (d.table, d.view)), None)


def sql(
    name: str, *, file: Path | None = None, settings: Mapping[str, object] | None = None
) -> str:
    """The statement that computes a dataset, table or view, formatted, in BigQuery's dialect.

    Its parameters stand above it with their types, in comments. Tables lie where the configuration
    says, with Mozilla's names where there is none.

    Args:
        name: a dataset's short name, a table's or view's name, or ``dataset.table``.
        file: a configuration file instead of ``expmon.toml`` in the working directory.
        settings: as of `expmon.connect`.

    Raises:
        UnknownDataset: there is none; the error lists the near ones.
        ConfigError: the configuration can't be read.
    """
    from expmon.config import load
    from expmon.statements import document, statement

    return document(statement(name, load(file=file, overrides=settings).settings.names))


def statements(
    *, file: Path | None = None, settings: Mapping[str, object] | None = None
) -> dict[str, str]:
    """Every statement as `sql` gives it: of each view and table, inputs first, and of the export.

    Args:
        file: a configuration file instead of ``expmon.toml`` in the working directory.
        settings: as of `expmon.connect`.

    Raises:
        ConfigError: the configuration can't be read.
    """
    from expmon.config import load
    from expmon.statements import document, health, reading
    from expmon.statements import statements as computed

    names = load(file=file, overrides=settings).settings.names
    found = [
        *computed(names).values(),
        reading.active_experiments(names),
        reading.export_metadata(names, is_named=False),
        reading.export_series(names, EXPORTED),
        *health.queries(names),
    ]
    return {statement.name: document(statement) for statement in found}


def grafana_dashboard(
    *, file: Path | None = None, settings: Mapping[str, object] | None = None
) -> str:
    """A dashboard over the user-facing views for Grafana's BigQuery data source, as JSON.

    Args:
        file: a configuration file instead of ``expmon.toml`` in the working directory.
        settings: as of `expmon.connect`.

    Raises:
        ConfigError: the configuration can't be read.
        ExtraMissing: the extra ``expmon[grafana]`` is not installed.
    """
    from expmon.config import load

    names = load(file=file, overrides=settings).settings.names
    if find_spec("grafana_foundation_sdk") is None:
        raise ExtraMissing("grafana", "grafana-foundation-sdk")
    from expmon.grafana import dashboard_json

    return dashboard_json(names)


def configuration(
    warehouse: str | None = None,
    store: str | os.PathLike[str] | None = None,
    *,
    file: Path | None = None,
    settings: Mapping[str, object] | None = None,
) -> Config:
    """Everything that is configured, and where each value came from; nothing is connected to.

    Arguments as of `expmon.connect`.

    Raises:
        ConfigError: a setting is unknown or makes no sense.
    """
    from expmon.config import load

    return load(warehouse, store, file=file, overrides=settings)


def places(configured: Config) -> dict[str, tuple[TableName, TableName]]:
    """Where each relation of the catalogue lies, and the table with its rows.

    The two differ for sources that are views.

    Args:
        configured: the configuration, of `configuration`.
    """
    names = configured.settings.names
    return {
        name: (
            names.of(relation),
            names.behind(relation) if relation.kind is Kind.SOURCE else names.of(relation),
        )
        for name, relation in RELATIONS.items()
    }


def fetch_dataframe(
    dataset: str,
    slug: str,
    branch: str | None = None,
    start: datetime | date | None = None,
    end: datetime | date | None = None,
) -> pd.DataFrame:
    """The rows of an experiment in a dataset, from the configured default monitor.

    See `expmon.connect` for where that comes from.

    Args:
        dataset: one of `datasets`.
        slug: of the experiment; an unknown one has no rows.
        branch: of this branch only; series without one have the branch ``null``.
        start: rows at or after this; a date means its 00:00 UTC.
        end: rows before this.

    Returns:
        As `expmon.Monitor.fetch_dataframe`, whose errors are raised here, too.

    Raises:
        ConfigError: there is no default monitor, or its configuration makes no sense.
    """
    with connect() as monitor:
        return monitor.fetch_dataframe(dataset, slug, branch, start, end)


def plot(
    dataset: str,
    slug: str,
    branch: str | None = None,
    start: datetime | date | None = None,
    end: datetime | date | None = None,
) -> Figure:
    """A picture of an experiment in a dataset, from the configured default monitor.

    See `expmon.connect` for where that comes from.

    Args:
        dataset: one of the eight time series.
        slug: of the experiment; of an unknown one the picture says that there are no rows.
        branch: of this branch only; series without one have the branch ``null``.
        start: from when on; a date means its 00:00 UTC.
        end: until when.

    Returns:
        As `expmon.Monitor.plot`, whose errors are raised here, too.

    Raises:
        ConfigError: there is no default monitor, or its configuration makes no sense.
    """
    with connect() as monitor:
        return monitor.plot(dataset, slug, branch, start, end)


def export_experiment(
    slug: str, datasets: Sequence[str] | None = None, as_of: datetime | None = None
) -> Export:
    """Write the JSON files of one experiment, with the configured default monitor.

    See `expmon.connect` for where that comes from.

    Args:
        slug: of the experiment.
        datasets: which of the eight; all if not given.
        as_of: for which moment; now if not given.

    Returns:
        What was written. Errors are those of `expmon.Monitor.export_experiment`.

    Raises:
        ConfigError: there is no default monitor, or its configuration makes no sense.
    """
    with connect() as monitor:
        return monitor.export_experiment(slug, datasets, as_of)
