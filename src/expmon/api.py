"""What needs no monitor of one's own: names, statements, and the configured default monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expmon.catalog import FETCHABLE
from expmon.connect import connect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    import pandas as pd

    from expmon.export.run import Export


def datasets() -> dict[str, str]:
    """What `fetch_dataframe` takes: the datasets' names with their descriptions."""
    return {name: relation.description for name, relation in FETCHABLE.items()}


def sql(name: str) -> str:
    """The statement that computes a dataset, table or view, formatted, in BigQuery's dialect.

    Its parameters stand above it with their types, in comments. Tables lie where the configuration
    says, with Mozilla's names where there is none.

    Args:
        name: a dataset's short name, a table's or view's name, or ``dataset.table``.

    Raises:
        UnknownDataset: there is none; the error lists the near ones.
        ConfigError: the configuration can't be read.
    """
    from expmon.config import load
    from expmon.sql import document, statement

    return document(statement(name, load().settings.names))


def fetch_dataframe(
    dataset: str,
    slug: str,
    branch: str | None = None,
    start: datetime | date | None = None,
    end: datetime | date | None = None,
) -> pd.DataFrame:
    """The rows of an experiment in a dataset, from the configured default monitor.

    See `expmon.Monitor.fetch_dataframe`, and `expmon.connect` for where the default comes from.
    """
    with connect() as monitor:
        return monitor.fetch_dataframe(dataset, slug, branch, start, end)


def export_experiment(
    slug: str, datasets: Sequence[str] | None = None, as_of: datetime | None = None
) -> Export:
    """Write the JSON files of one experiment, with the configured default monitor.

    See `expmon.Monitor.export_experiment`, and `expmon.connect` for where the default comes from.
    """
    with connect() as monitor:
        return monitor.export_experiment(slug, datasets, as_of)
