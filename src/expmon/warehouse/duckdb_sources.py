"""The final sources of an embedded warehouse: views that can be held to some days' pings.

A day's rows of such a view come of that day's pings. DuckDB can't know it: asked for a day, it
would look for first arrivals among the pings of all of history. So the views ask two variables of
the connection between which times to look. Where these are not set, as for everybody else who
reads the views, they look everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from expmon.catalog import RELATIONS
from expmon.catalog.model import Kind
from expmon.statements.embedded import source_views

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlglot import exp

    from expmon.catalog.model import Names
    from expmon.warehouse.protocol import Write

LOADED = tuple(
    relation
    for relation in RELATIONS.values()
    if relation.kind is Kind.SOURCE and relation.partitioning and not relation.inputs
)
"""The sources that rows are loaded into, by days; the others are views over them."""

_SINCE, _UNTIL = "expmon_since", "expmon_until"
_BOUNDS = (
    f"submission_timestamp >= COALESCE(GETVARIABLE('{_SINCE}'), TIMESTAMP '0001-01-01 00:00:00Z')",
    f"submission_timestamp < COALESCE(GETVARIABLE('{_UNTIL}'), TIMESTAMP '9999-12-31 00:00:00Z')",
)


def days_to_look_at(write: Write) -> Mapping[str, datetime]:
    """The variables for a step: one that reads final sources asks for its partition's days."""
    inputs = [RELATIONS[name] for name in write.relation.inputs]
    if all(source.kind is not Kind.SOURCE or source in LOADED for source in inputs):
        return {}
    return {_SINCE: write.partition.start, _UNTIL: write.partition.end}


def final_sources(names: Names) -> Mapping[str, exp.Query]:
    """The views' queries, by relation."""
    return source_views(names, within=_BOUNDS)
