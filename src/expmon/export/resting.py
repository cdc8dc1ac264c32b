"""Which experiments' files can't have changed since they were last computed.

An experiment past its 14 days has a point for every half hour that is over. Until the next one is,
its files stay as they are, unless days before today are written anew: it rests, and an export of
all neither reads nor writes it. What is corrected in today's half hours comes with the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from expmon.catalog import EXPORTED
from expmon.export.rendering import file_names
from expmon.windows import BUCKET, DAY, FINE_DAYS, WINDOW, day_start, floor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from expmon.export.index import Known


def resting(
    starts: Mapping[str, date],
    known: Known,
    *,
    through: Mapping[str, datetime],
    past: datetime | None,
    as_of: datetime,
) -> list[str]:
    """The experiments that rest.

    Args:
        starts: of the active experiments, by slug.
        known: of the files that are there.
        through: the start of the latest window that each dataset has now.
        past: the latest ``as_of`` of what has been written of days before today.
        as_of: of this export.
    """
    if known.exported is None or (past is not None and past > known.exported):
        return []
    then = {d.name: known.through[d.name] for d in EXPORTED if d.name in known.through}
    if _complete(through, as_of) != _complete(then, as_of):
        return []
    return [slug for slug, start in starts.items() if _rests(slug, start, known, as_of)]


def _complete(through: Mapping[str, datetime], as_of: datetime) -> dict[str, datetime]:
    """Up to when each dataset has all that such an experiment's files can have of it."""
    return {name: floor(min(time + WINDOW, as_of), BUCKET) for name, time in through.items()}


def _rests(slug: str, start: date, known: Known, as_of: datetime) -> bool:
    """Whether all of its files were computed past its 14 days, and since the last half hour."""
    fine_until, over = day_start(start) + FINE_DAYS * DAY, floor(as_of, BUCKET)
    times = [known.as_of.get(name) for d in EXPORTED for name in file_names(slug, d.name)]
    return all(time is not None and time > fine_until and time >= over for time in times)
