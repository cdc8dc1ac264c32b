"""How every statement is built: trees in BigQuery's dialect, printed by `render` alone."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sqlglot import exp

from expmon.catalog import DATASETS, RELATIONS, TIERS, resolve
from expmon.catalog.health import HEALTH, RATIOS, TOTALS
from expmon.catalog.model import Kind, Parameter, Relation, Series, Statement
from expmon.catalog.population import ACTIVE_CLIENTS
from expmon.catalog.sources import EVENTS_LIVE
from expmon.errors import InvalidInput
from expmon.statements import counting, health, tiers
from expmon.statements.build import select, table, tables_of
from expmon.statements.derived import derived
from expmon.statements.render import document, render

if TYPE_CHECKING:
    from expmon.catalog.model import Names

__all__ = [
    "create_view",
    "document",
    "materialization",
    "render",
    "statements",
    "tables_of",
    "view",
]

DAY = Parameter("day", "DATE")
LATEST_WINDOW = Parameter("latest_window", "TIMESTAMP")
START = Parameter("start", "TIMESTAMP")
END = Parameter("end", "TIMESTAMP")

_COUNTING = {"enrollment": counting.enrollment, "search": counting.search}


@cache
def materialization(relation: Relation, names: Names) -> Statement:
    """The query whose rows replace one partition of the table, or all of it.

    Raises:
        ValueError: nothing of ours computes the relation.
    """
    for entry in DATASETS.values():
        if entry.table == relation:
            parameters = (DAY,) if entry.series is Series.DAILY else (DAY, LATEST_WINDOW)
            return Statement(relation.name, derived(entry, names), parameters)
    if relation == ACTIVE_CLIENTS:
        return Statement(relation.name, counting.active_clients(names), (DAY,))
    for tier in TIERS:
        if relation == tier.daily:
            return Statement(relation.name, _COUNTING[tier.name](names, final=True), (DAY,))
        if relation == tier.by_hour:
            return Statement(relation.name, tiers.by_hour(tier, names), (DAY,))
        if relation in {tier.hourly, tier.recents}:
            query = _COUNTING[tier.name](names, final=False)
            return Statement(relation.name, query, (START, END))
    if relation in {RATIOS, TOTALS, HEALTH}:
        return health.written(relation, names)
    raise ValueError(f"{relation.name} is not computed by a statement of its own")


@cache
def view(relation: Relation, names: Names) -> Statement:
    """The query of a view."""
    if relation == EVENTS_LIVE:
        return Statement(relation.name, counting.events_live(names))
    for tier in TIERS:
        if relation == tier.live:
            return Statement(relation.name, tiers.live_view(tier, names))
    (source,) = relation.inputs
    query = select(*relation.column_names).from_(table(RELATIONS[source], names))
    return Statement(relation.name, query)


def create_view(relation: Relation, names: Names) -> Statement:
    """CREATE OR REPLACE VIEW, with the view's description."""
    tree = exp.Create(
        this=table(relation, names),
        kind="VIEW",
        replace=True,
        properties=exp.Properties(
            expressions=[
                exp.Property(
                    this=exp.to_identifier("description"),
                    value=exp.Literal.string(relation.description),
                )
            ]
        ),
        expression=view(relation, names).tree.copy(),
    )
    return Statement(relation.name, tree)


def statement(name: str, names: Names) -> Statement:
    """The statement of a dataset, table or view: what computes it.

    Raises:
        UnknownDataset: there is none.
        InvalidInput: nothing of ours computes it.
    """
    relation = resolve(name)
    if relation.kind is Kind.VIEW:
        return create_view(relation, names)
    if relation.cadence is None:
        writer = "ingestion" if relation.kind is Kind.SOURCE else "expmon, as it runs,"
        raise InvalidInput(f"{relation.name} has no statement: {writer} writes it")
    return materialization(relation, names)


def statements(names: Names) -> dict[str, Statement]:
    """Every statement by the relation that it is of, inputs first."""
    return {
        relation.name: statement(relation.name, names)
        for relation in RELATIONS.values()
        if relation.kind is Kind.VIEW or relation.cadence is not None
    }
