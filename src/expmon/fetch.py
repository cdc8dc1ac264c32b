"""Rows of the user-facing views to a DataFrame."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from expmon.catalog import fetchable
from expmon.errors import InvalidInput, InvalidTime
from expmon.slugs import checked_slug
from expmon.statements.reading import BRANCH, END, START, fetch
from expmon.windows import instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import pyarrow as pa

    from expmon.catalog.model import Names
    from expmon.warehouse.protocol import Warehouse

_SURROGATE = re.compile("[\ud800-\udfff]")
DTYPES: dict[str, str] = {
    "TIMESTAMP": "datetime64[us, UTC]",
    # 00:00 of the day; NaT where there is none.
    "DATE": "datetime64[us]",
    # A missing text is NaN, as everywhere in pandas.
    "STRING": "str",
    # No count is ever NULL, so none needs a type that has a missing value.
    "INT64": "int64",
}
"""Which dtype a column of BigQuery's type becomes."""


def fetch_dataframe(
    warehouse: Warehouse, names: Names, dataset: str, slug: str, filters: Mapping[str, Any]
) -> pd.DataFrame:
    """An experiment's rows of a dataset; see `expmon.monitor.Monitor.fetch_dataframe`.

    Args:
        warehouse: what to ask.
        names: where the views lie.
        dataset: one of `expmon.catalog.FETCHABLE`.
        slug: of the experiment.
        filters: any of ``branch``, ``start`` and ``end``; None filters nothing.
    """
    relation = fetchable(dataset)
    values: dict[str, Any] = {"slug": checked_slug(slug)}
    for name, value in filters.items():
        if value is None:
            continue
        if name != BRANCH.name:
            values[name] = instant(value, name)
        elif isinstance(value, str) and not _SURROGATE.search(value):
            values[name] = value
        else:
            raise InvalidInput(f"branch must be a text, not {value!a}")
    if "start" in values and "end" in values and values["end"] < values["start"]:
        raise InvalidTime(f"end {values['end']} is before start {values['start']}: swap them")
    given = [parameter for parameter in (BRANCH, START, END) if parameter.name in values]
    rows = warehouse.query(fetch(relation, names, given), values, progress=_has_watcher())
    return dataframe(rows, {column.name: column.type for column in relation.columns})


def _has_watcher() -> bool:
    """Whether somebody sees a progress bar, and there is a library that draws one."""
    is_watched = "ipykernel" in sys.modules or sys.stderr.isatty()
    return is_watched and find_spec("tqdm") is not None


def dataframe(rows: pa.Table, types: Mapping[str, str]) -> pd.DataFrame:
    """The rows with a dtype for each column, also where there are none.

    Args:
        rows: what an engine gave.
        types: by column, in BigQuery's terms.
    """
    frame: pd.DataFrame = rows.select(list(types)).to_pandas(date_as_object=False)
    return frame.astype({name: DTYPES[type_] for name, type_ in types.items()})
