"""What exists, as data: the SQL, the planner, the command line, the docs and the tests read it.

Source of the names, grains and rules: Mozilla's experiment monitoring (bigquery-etl,
`telemetry_derived.experiment_*`) and expmon's design.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from expmon.catalog import bookkeeping, sources
from expmon.catalog.alerts import ALERTS
from expmon.catalog.derived import DERIVED, LIVE_VIEWS
from expmon.catalog.enrollment import ENROLLMENT
from expmon.catalog.health import HEALTH, HEALTH_VIEW, RATIOS, TOTALS
from expmon.catalog.model import Kind, Relation, Series
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.catalog.search import SEARCH
from expmon.errors import UnknownDataset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from expmon.catalog.model import Dataset

TIERS = (ENROLLMENT, SEARCH)

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in DERIVED}
"""The derived datasets by name."""

EXPORTED: tuple[Dataset, ...] = tuple(d for d in DERIVED if d.series is not Series.EVENTS)
"""The eight datasets of the schema ``time, branch, experiment, value``."""


def _in_order(relations: Iterable[Relation]) -> dict[str, Relation]:
    """As declared, but each after its inputs."""
    declared = {relation.name: relation for relation in relations}
    ordered: dict[str, Relation] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"the catalogue goes round in a circle: {' -> '.join((*path, name))}")
        if name not in ordered:
            for source in declared[name].inputs:
                add(source, (*path, name))
            ordered[name] = declared[name]

    for name in declared:
        add(name, ())
    return ordered


RELATIONS: dict[str, Relation] = _in_order(
    [
        *sources.RELATIONS,
        *(r for t in TIERS for r in (t.daily, t.hourly, t.recents, t.live, t.by_hour)),
        ACTIVE_CLIENTS,
        bookkeeping.PARTITIONS,
        bookkeeping.LEASE,
        bookkeeping.SCHEMA,
        *(r for d in DERIVED for r in (d.table, d.view)),
        *LIVE_VIEWS,
        RATIOS,
        TOTALS,
        HEALTH,
        HEALTH_VIEW,
        ALERTS,
    ]
)
"""Every source, table and view by name, each after its inputs."""

FETCHABLE: dict[str, Relation] = {
    **{dataset.name: dataset.view for dataset in DERIVED},
    **{view.table: view for view in LIVE_VIEWS},
}
"""What `expmon.fetch_dataframe` takes: a dataset's short name and the view that it reads."""


def resolve(name: str) -> Relation:
    """The relation of a full name, a table's name, or a dataset's short name.

    A short name that is both a table and a view means the one that is computed.

    Args:
        name: like ``telemetry.clients_daily``, ``clients_daily`` or
            ``experiment_enrollment_overall``.

    Raises:
        UnknownDataset: there is none; the error lists the near ones.
    """
    if name in RELATIONS:
        return RELATIONS[name]
    if name in DATASETS:
        return DATASETS[name].table
    found = [relation for relation in RELATIONS.values() if relation.table == name]
    if not found:
        known = [*RELATIONS, *FETCHABLE, *(r.table for r in RELATIONS.values())]
        raise UnknownDataset(name, near(name, known))
    return next((r for r in found if r.kind is not Kind.SOURCE), found[0])


def dataset(name: str) -> Dataset:
    """The derived dataset of that name.

    Args:
        name: its short name.

    Raises:
        UnknownDataset: there is none; the error lists the near ones.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise UnknownDataset(name, near(name, DATASETS)) from None


def fetchable(name: str) -> Relation:
    """The view of that name, with or without its dataset's.

    Raises:
        UnknownDataset: there is none; the error lists the near ones.
    """
    views = {**FETCHABLE, **{view.name: view for view in FETCHABLE.values()}}
    try:
        return views[name]
    except (KeyError, TypeError):
        raise UnknownDataset(str(name), near(str(name), views)) from None


def near(name: str, known: Iterable[str]) -> list[str]:
    """The known names that come closest, for an error's hint."""
    return difflib.get_close_matches(name[:200], list(dict.fromkeys(known)), n=3, cutoff=0.5)
