"""Every statement that expmon can run, in every form that options give it."""

from __future__ import annotations

from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

from expmon.catalog import EXPORTED, FETCHABLE, RELATIONS, TIERS
from expmon.catalog.model import Kind, Series, Statement
from expmon.catalog.sources import EXPERIMENTS
from expmon.statements import alerts, bookkeeping, grafana, health, materialization, reading, view
from expmon.statements.embedded import source_views

if TYPE_CHECKING:
    from collections.abc import Iterable

    from expmon.catalog.model import Names, Relation

KINDS = (Series.COUNT, Series.CUMULATIVE, Series.DAILY)
"""Of the datasets that are exported."""
FILTERS = (reading.BRANCH, reading.START, reading.END)


def subsets(items: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Every choice of the items, the empty one included."""
    each = tuple(items)
    return list(chain.from_iterable(combinations(each, size) for size in range(len(each) + 1)))


def computed(names: Names) -> dict[str, Statement]:
    """The query of every view and of every table that one computes, by its relation."""
    return {
        relation.name: _query(relation, names)
        for relation in RELATIONS.values()
        if relation.kind is Kind.VIEW or relation.cadence is not None
    }


def _query(relation: Relation, names: Names) -> Statement:
    is_view = relation.kind is Kind.VIEW
    return view(relation, names) if is_view else materialization(relation, names)


def embedded(names: Names) -> dict[str, Statement]:
    """The query of every source that an embedded warehouse has as a view, by its relation."""
    return {name: Statement(name, tree) for name, tree in source_views(names).items()}


def fetching(names: Names) -> dict[str, Statement]:
    """`reading.fetch` of every view with every combination of filters."""
    return {
        label("fetch", name, *(p.name for p in filters)): reading.fetch(relation, names, filters)
        for name, relation in FETCHABLE.items()
        for filters in subsets(FILTERS)
    }


def exporting(names: Names) -> dict[str, Statement]:
    """`reading.export_series` of every combination of kinds, of one dataset, and of all."""
    found = {
        label("export_series", *kinds): reading.export_series(
            names, [dataset for dataset in EXPORTED if dataset.series in kinds]
        )
        for kinds in subsets(KINDS)
        if kinds
    }
    found["export_series.one"] = reading.export_series(names, EXPORTED[:1])
    found["export_series"] = reading.export_series(names, EXPORTED)
    return found


def drifting(names: Names) -> dict[str, Statement]:
    """`reading.drift` of each of the aggregates."""
    return {label("drift", tiers.name): reading.drift(tiers, names) for tiers in TIERS}


def judging(names: Names) -> dict[str, Statement]:
    """Every statement that the health checks read by, by the function."""
    return {
        "health_metadata": health.metadata(names, is_named=False),
        "health_metadata.named": health.metadata(names, is_named=True),
        "health_ratios": health.ratios(names),
        "health_carried": health.carried(names),
        "health_totals": health.totals(names),
        "health_hours": health.hours(names),
        "health_windows": health.windows(names),
        "health_searches": health.searches(names),
        "health_previous": health.previous(names),
    }


def alerting(names: Names) -> dict[str, Statement]:
    """Every statement of `alerts`; what stands behind the dot is the function."""
    return {
        "alerts.looked": alerts.looked(names),
        "alerts.unsettled": alerts.unsettled(names),
        "alerts.standings": alerts.standings(names),
        "alerts.written": alerts.written(names),
    }


def read(names: Names) -> dict[str, Statement]:
    """Every statement of `reading`; what stands before the first dot is the function."""
    return {
        **fetching(names),
        **exporting(names),
        **drifting(names),
        "active_experiments": reading.active_experiments(names),
        "export_metadata": reading.export_metadata(names, is_named=False),
        "export_metadata.named": reading.export_metadata(names, is_named=True),
        "plot_metadata": reading.plot_metadata(names),
        "first_time": reading.first_time(names, EXPORTED),
        "first_time.one": reading.first_time(names, EXPORTED[:1]),
    }


def charted(names: Names) -> dict[str, Statement]:
    """Every statement of `grafana`; what stands behind the first dot is the function."""
    return {
        **{
            label("grafana", "chart", dataset.name): grafana.chart(dataset, names)
            for dataset in EXPORTED
        },
        "grafana.experiments": grafana.experiments(names),
        "grafana.branches": grafana.branches(names),
        "grafana.freshness": grafana.freshness(names),
    }


def kept(names: Names) -> dict[str, Statement]:
    """Every statement of `bookkeeping`, by its function."""
    written = [names.of(r) for r in RELATIONS.values() if r.cadence is not None]
    sources = [names.behind(r) for r in RELATIONS.values() if r.kind is Kind.SOURCE]
    return {
        "partitions": bookkeeping.partitions(names, [*written, *sources]),
        "partitions_of": bookkeeping.partitions_of(sources),
        "remember": bookkeeping.remember(names, written),
        "lease_row": bookkeeping.lease_row(names),
        "take_lease": bookkeeping.take_lease(names),
        "give_lease_back": bookkeeping.give_lease_back(names),
        "lease_holder": bookkeeping.lease_holder(names),
        "replace_rows": bookkeeping.replace_rows(EXPERIMENTS, names, key="normandy_slug"),
    }


def label(*parts: str) -> str:
    """A statement's name among those of its function."""
    return ".".join(parts)
