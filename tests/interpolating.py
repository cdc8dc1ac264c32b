"""What Grafana makes of a query's text before it asks BigQuery.

Sources: the variable syntax of Grafana's documentation, and `formatRegistry` of grafana/scenes.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

ALL = None
"""The choice of all branches, for which a custom value is written as it is."""


def interpolated(
    text: str,
    *,
    start: datetime,
    end: datetime,
    interval: timedelta = timedelta(minutes=5),
    experiment: str = "",
    branches: Sequence[str] | None = ALL,
    custom_all: str = "",
) -> str:
    """The text with each variable replaced once; one that is not known fails.

    Args:
        text: of the query.
        start: of the time that is shown.
        end: of it.
        interval: between points, as Grafana chooses it from the panel's width.
        experiment: the value chosen.
        branches: the values chosen.
        custom_all: what the variable has for all of them.
    """
    values = {
        "${__from}": str(round(start.timestamp() * 1000)),
        "${__to}": str(round(end.timestamp() * 1000)),
        "$__interval_ms": str(interval // timedelta(milliseconds=1)),
        "${experiment:singlequote}": single_quoted(experiment),
        "${branch:singlequote}": custom_all
        if branches is ALL
        else ",".join(map(single_quoted, branches)),
    }
    return re.sub(r"\$\{[^}]*\}|\$\w+|\[\[\w+\]\]", lambda found: values[found[0]], text)


def single_quoted(value: str) -> str:
    """Grafana's format ``singlequote``: nothing but the quote is escaped."""
    return "'" + value.replace("'", "\\'") + "'"
