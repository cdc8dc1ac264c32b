"""Client pings for tests, as small as they can be: only what monitoring reads."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_numbers = itertools.count(1)


def event(
    method: str,
    experiment: str | None = "exp",
    branch: str | None = "a",
    *,
    kind: str = "nimbus_experiment",
    category: str = "normandy",
    extras: Mapping[str, str] | None = None,
) -> list[Any]:
    """One event as a client sends it: ``[time, category, method, object, value, extras]``."""
    told = dict(extras or {})
    if branch is not None:
        told["branch"] = branch
    return [1, category, method, kind, experiment, told]


def event_ping(
    at: str, *events: Sequence[Any], process: str = "parent", id: str | None = None
) -> dict[str, Any]:
    """An event ping received at this time (ISO 8601 with a zone)."""
    return {
        "type": "event",
        "version": 4,
        "id": id or f"event-{next(_numbers)}",
        "clientId": f"client-{next(_numbers)}",
        "payload": {"events": {process: list(events)}},
        "submission_timestamp": at,
    }


def main_ping(
    at: str,
    experiments: Mapping[str, str | None],
    *,
    searches: Mapping[str, Any] | None = None,
    with_ads: Mapping[str, int] | None = None,
    ad_clicks: Mapping[str, int] | None = None,
    events: Sequence[Sequence[Any]] = (),
    id: str | None = None,
    client: str | None = None,
) -> dict[str, Any]:
    """A main ping received at this time, of a client in these experiments' branches."""
    scalars = {}
    if with_ads is not None:
        scalars["browser.search.with_ads"] = dict(with_ads)
    if ad_clicks is not None:
        scalars["browser.search.ad_clicks"] = dict(ad_clicks)
    return {
        "type": "main",
        "version": 4,
        "id": id or f"main-{next(_numbers)}",
        "clientId": client or f"client-{next(_numbers)}",
        "environment": {
            "experiments": {
                slug: {} if branch is None else {"branch": branch}
                for slug, branch in experiments.items()
            }
        },
        "payload": {
            "keyedHistograms": {} if searches is None else {"SEARCH_COUNTS": dict(searches)},
            "processes": {"parent": {"keyedScalars": scalars, "events": list(events)}},
        },
        "submission_timestamp": at,
    }


def write(path: Path, pings: Iterable[Mapping[str, Any]]) -> Path:
    """The pings as a file, one a line."""
    path.write_text("".join(json.dumps(ping) + "\n" for ping in pings), encoding="utf-8")
    return path
