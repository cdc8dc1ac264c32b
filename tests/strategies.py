"""Random pings, aggregates and series, each in as few parts as a counterexample needs."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

import reference
import tricky
from tricky import DAY, HOUR, MIDNIGHT, TICK, WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from expmon.catalog.model import Dataset, Tiers

Row = dict[str, Any]
FIRST = MIDNIGHT - DAY
"""The day before the leap day."""
INTO_A_WINDOW = [
    timedelta(0),
    TICK,
    -TICK,
    timedelta(minutes=4, seconds=59, milliseconds=700),
]
COUNTED = list(reference.COLUMN_OF_METHOD)
HISTOGRAMS = list(tricky.HISTOGRAMS)
"""Every way to write a histogram, and not to."""

names = st.sampled_from(tricky.NAMES) | st.text(st.characters(codec="utf-8"), max_size=4)
optional_names = st.none() | names
pools = st.lists(names, min_size=1, max_size=3, unique=True)
numbers = st.sampled_from([0, 0, 1, 2, 7, 10**9 - 1])


@st.composite
def windows(draw: st.DrawFn, days: Sequence[int]) -> datetime:
    """A window of the days (counted from `FIRST`), mostly at the edge of an hour or a day."""
    hour = draw(st.sampled_from([0, 1, 12, 22, 23]))
    window = draw(st.sampled_from([0, 1, 5, 6, 11]) | st.integers(0, 11))
    return FIRST + draw(st.sampled_from(days)) * DAY + hour * HOUR + window * WINDOW


@st.composite
def moments(draw: st.DrawFn, days: Sequence[int]) -> datetime:
    """A moment of the days, to the microsecond, mostly at the edge of a window."""
    within = st.timedeltas(timedelta(0), WINDOW - TICK)
    offset = draw(st.sampled_from(INTO_A_WINDOW) | within)
    return max(FIRST, draw(windows(days)) + offset)


# Pings


class Ping(NamedTuple):
    """A ping as a client sent it, for the reference, and as a row, for the engines."""

    moment: datetime
    document: Row
    row: Row

    def again(self, moment: datetime) -> Ping:
        """The same document, received at another time."""
        return _received(moment, self.document, self.row)


def _received(moment: datetime, document: Row, row: Row) -> Ping:
    document = {**document, "submission_timestamp": moment.isoformat()}
    return Ping(moment, document, {**row, "submission_timestamp": moment})


class History(NamedTuple):
    """Pings in the order in which they are stored, and what the schedules have done since."""

    pings: list[Ping]
    as_of: datetime
    final_days: frozenset[Any]
    written_hours: frozenset[datetime]

    @property
    def played(self) -> reference.Played:
        """The same for the reference."""
        documents = [ping.document for ping in self.pings]
        hours, days = self.written_hours, self.final_days
        return reference.Played(documents, self.as_of, days, hours, FIRST.date())

    def rows(self, kind: str) -> list[Row]:
        """The rows of the event or main pings."""
        return [ping.row for ping in self.pings if ping.document["type"] == kind]


@st.composite
def _events(draw: st.DrawFn, slugs: list[str], branches: list[str]) -> tuple[Any, ...]:
    """An event: category, method, object, value, extras."""
    method = draw(st.sampled_from(COUNTED) | st.sampled_from(tricky.METHODS))
    keys = st.sampled_from(["branch", "branch", "Branch", "", None]) | names
    extras = st.lists(st.tuples(keys, st.none() | st.sampled_from(branches) | names), max_size=3)
    return (
        draw(st.sampled_from(["normandy"] * 6 + ["Normandy", "", None])),
        method,
        draw(st.sampled_from(["nimbus_experiment", "x", "", None])),
        draw(st.sampled_from(slugs * 3) | st.none()),
        draw(st.none() | extras),
    )


def _as_rows(events: list[tuple[Any, ...]] | None) -> list[Row] | None:
    if events is None:
        return None
    return [
        tricky.event(method, value, extras, f1_=category, f3_=object_)
        for category, method, object_, value, extras in events
    ]


def _as_sent(events: list[tuple[Any, ...]] | None) -> list[list[Any]] | None:
    return None if events is None else [[1, *event] for event in events]


@st.composite
def _event_pings(
    draw: st.DrawFn, head: Row, at: datetime, slugs: list[str], branches: list[str]
) -> Ping:
    processes = st.sampled_from([*reference.PROCESSES, "parent", "socket"])
    lists = st.none() | st.lists(_events(slugs, branches), max_size=3)
    found = draw(st.dictionaries(processes, lists, min_size=1, max_size=3))
    sent = {process: _as_sent(events) for process, events in found.items()}
    document = {"type": "event", "version": 4, **head, "payload": {"events": sent}}
    stored = {process: _as_rows(events) for process, events in found.items()}
    return _received(at, document, {**_columns(head), "payload": {"events": stored}})


@st.composite
def _main_pings(
    draw: st.DrawFn,
    head: Row,
    at: datetime,
    slugs: list[str],
    branches: list[str],
    *,
    with_events: bool,
) -> Ping:
    known = st.sampled_from(slugs)
    experiments = draw(
        st.none() | st.dictionaries(known, st.none() | st.sampled_from(branches), max_size=3)
    )
    searches = draw(st.none() | st.lists(st.sampled_from(HISTOGRAMS), max_size=3))
    scalars = st.none() | st.lists(st.none() | numbers | st.integers(-1, 2**63 - 1), max_size=2)
    with_ads, ad_clicks = draw(scalars), draw(scalars)
    lists = st.none() | st.lists(_events(slugs, branches), max_size=2)
    events = draw(lists) if with_events else None
    document = {
        "type": "main",
        "version": 4,
        **head,
        "environment": {"experiments": {s: {"branch": b} for s, b in (experiments or {}).items()}},
        "payload": {
            "keyedHistograms": {"SEARCH_COUNTS": _keyed(searches)},
            "processes": {
                "parent": {
                    "events": _as_sent(events),
                    "keyedScalars": {
                        "browser.search.with_ads": _keyed(with_ads),
                        "browser.search.ad_clicks": _keyed(ad_clicks),
                    },
                }
            },
        },
    }
    scalar_rows = {
        "browser_search_with_ads": _entries(with_ads),
        "browser_search_ad_clicks": _entries(ad_clicks),
    }
    parent = {"events": _as_rows(events), "keyed_scalars": scalar_rows}
    members = None if experiments is None else tricky.members(*experiments.items())
    row = {
        **_columns(head),
        "environment": {"experiments": members},
        "payload": {
            "keyed_histograms": {"search_counts": _entries(searches)},
            "processes": {"parent": parent},
        },
    }
    return _received(at, document, row)


def _columns(head: Row) -> Row:
    return {"document_id": head["id"], "client_id": head["clientId"]}


def _keyed(values: list[Any] | None) -> Row:
    return {f"k{number}": value for number, value in enumerate(values or ())}


def _entries(values: list[Any] | None) -> list[Row] | None:
    return None if values is None else [{"key": k, "value": v} for k, v in _keyed(values).items()]


@st.composite
def histories(draw: st.DrawFn, *, days: int = 3, once: bool = False) -> History:
    """Pings around the leap day, and any of the tiers written.

    Args:
        draw: Hypothesis's.
        days: from the day before the leap day on.
        once: no document arrives twice, and only event pings have events: then a tier that is
            final counts what a live one does.
    """
    slugs, branches = draw(pools), draw(pools)
    spread = moments(range(days))
    pings = []
    for number in range(draw(st.integers(1, 7))):
        client = draw(st.sampled_from(["c1", "c2", None]))
        id_ = draw(st.sampled_from([f"d{number}"] * 5 + [None]))
        head = {"id": id_, "clientId": client}
        at = draw(spread)
        if draw(st.integers(0, 2)):
            ping = draw(_event_pings(head, at, slugs, branches))
        else:
            ping = draw(_main_pings(head, at, slugs, branches, with_events=not once))
        pings.append(ping)
        if not once and draw(st.integers(0, 3)) == 3:
            pings.append(ping.again(draw(st.just(at) | spread)))
    end = FIRST + days * DAY
    as_of = draw(
        st.just(end) | spread.filter(lambda moment: moment > FIRST) | st.just(end - WINDOW)
    )
    as_of = min(as_of, end)
    # A run sees nothing of what arrives at its own time.
    later = [ping.moment for ping in pings if FIRST < ping.moment <= end]
    if later and draw(st.booleans()):
        as_of = draw(st.sampled_from(later))
    ended = [day for day in (FIRST + n * DAY for n in range(days)) if day + DAY <= as_of]
    hours = {reference.hour_of(ping.moment) for ping in pings}
    over = sorted(hour for hour in hours if hour + HOUR <= as_of)
    order = draw(st.permutations(pings))
    return History(
        list(order), as_of, frozenset(d.date() for d in draw(_some(ended))), draw(_some(over))
    )


def _some(items: Sequence[Any]) -> st.SearchStrategy[frozenset[Any]]:
    return st.frozensets(st.sampled_from(items)) if items else st.just(frozenset())


# Aggregates


def _aggregate(tiers: Tiers, key: tuple[Any, ...], window: datetime, counts: list[int]) -> Row:
    keys = dict(zip(tiers.keys, key, strict=True))
    measures = dict(zip(tiers.measures, counts, strict=True))
    return {**keys, "window_start": window, "window_end": window + WINDOW, **measures}


@st.composite
def aggregates(
    draw: st.DrawFn, tiers: Tiers, days: Sequence[int], *, max_size: int = 6
) -> dict[str, list[Row]]:
    """Rows of the three tables, each of which may be empty; most windows are in several.

    No two tables have the same numbers, so that a row tells where it comes from.
    """
    slugs, branches = draw(pools), [None, "null", *draw(pools)]
    known = {"type": ["x", None, ""], "experiment": slugs, "branch": branches}
    key = st.tuples(*(st.sampled_from(known[column]) for column in tiers.keys))
    places = st.lists(st.tuples(key, windows(days)), min_size=1, max_size=max_size, unique=True)
    shared = draw(places)
    tables = {}
    for number, relation in enumerate((tiers.daily, tiers.hourly, tiers.recents)):
        chosen = draw(_some(range(len(shared))))
        own = draw(st.lists(st.tuples(key, windows(days)), max_size=2))
        rows = []
        for place in dict.fromkeys([*(shared[n] for n in sorted(chosen)), *own]):
            counts = draw(st.lists(numbers, min_size=len(tiers.measures), max_size=len(COUNTED)))
            counts = [3 * count + number for count in counts[: len(tiers.measures)]]
            counts = counts if draw(st.integers(0, 4)) else [0] * len(counts)
            rows.append(_aggregate(tiers, *place, counts))
        tables[relation.name] = rows
    return tables


# Series


@st.composite
def series(
    draw: st.DrawFn, datasets: Sequence[Dataset], days: Sequence[int]
) -> dict[str, list[Row]]:
    """Rows of the tables of derived datasets: one for each of some places."""
    keys = list(itertools.product(draw(pools), draw(pools)))
    places = st.tuples(windows(days), st.sampled_from(keys))
    tables = {}
    for dataset in datasets:
        found: Callable[..., Any] = draw(
            st.dictionaries(places, st.integers(-(2**40), 2**40), max_size=8)
        )
        tables[dataset.table.name] = [
            {"time": time, "branch": branch, "experiment": experiment, "value": value}
            for (time, (experiment, branch)), value in found.items()
        ]
    return tables
