"""Searches: what is summed up of each main ping, and the tables the sums are in."""

from __future__ import annotations

from dataclasses import dataclass

from expmon.catalog.model import Column, Tiers
from expmon.catalog.sources import MAIN_V4, STABLE_MAIN_V4
from expmon.catalog.tiers import tiers


@dataclass(frozen=True, slots=True)
class PingSum:
    """What one ping adds to a column: the sum of ``value`` over the ``array``'s entries."""

    array: str
    value: str
    description: str


_PLAUSIBLE = "[0-9]{1,9}"
"""No client searches a billion times between two pings. Whatever says so is broken, and must not
make a sum overflow, which would fail the job for everybody."""

_HISTOGRAM_SUM = f"""
SAFE_CAST(
  COALESCE(
    REGEXP_EXTRACT(
      JSON_VALUE(SAFE.PARSE_JSON(entry.value, wide_number_mode => 'round'), '$.sum'),
      r'^{_PLAUSIBLE}$'
    ),
    REGEXP_EXTRACT(entry.value, r'^(?:[0-9]+,)?({_PLAUSIBLE})$'),
    REGEXP_EXTRACT(
      entry.value,
      r'^[0-9]+;[0-9]+;({_PLAUSIBLE});[0-9]+,[0-9]+;(?:[0-9]+:[0-9]+(?:,[0-9]+:[0-9]+)*)?$'
    )
  ) AS INT64
)
"""
"""A histogram's sum, whichever way it is written: as a JSON object with a ``sum`` like most, as
``7`` or ``4,7``, or as ``3;2;7;1,2;0:0,1:5,2:1``. Anything else is NULL."""

_SCALAR = "IF(entry.value BETWEEN 0 AND 999999999, entry.value, NULL)"

SUMS = {
    "search_count": PingSum(
        "payload.keyed_histograms.search_counts", _HISTOGRAM_SUM, "Searches, by histogram sums"
    ),
    "search_with_ads_count": PingSum(
        "payload.processes.parent.keyed_scalars.browser_search_with_ads",
        _SCALAR,
        "Search pages shown with ads",
    ),
    "ad_clicks_count": PingSum(
        "payload.processes.parent.keyed_scalars.browser_search_ad_clicks",
        _SCALAR,
        "Ads clicked on search pages",
    ),
}

SEARCH: Tiers = tiers(
    name="search",
    table="experiment_search_aggregates",
    live="experiment_search_aggregates_live_v1",
    about="Searches of the clients in experiments",
    keys=(
        Column("experiment", "STRING", "Slug of the experiment"),
        Column("branch", "STRING", "Slug of the branch"),
    ),
    measures=tuple(Column(name, "INT64", s.description) for name, s in SUMS.items()),
    final_inputs=(STABLE_MAIN_V4.name,),
    live_inputs=(MAIN_V4.name,),
    cumulative=True,
)
