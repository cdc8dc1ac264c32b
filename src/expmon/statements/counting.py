"""From raw rows to counts: enrollment events, searches, active clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from expmon.catalog.enrollment import EVENT_SOURCES, METHODS
from expmon.catalog.search import SUMS
from expmon.catalog.sources import CLIENTS_DAILY, EVENT_V4, MAIN_V4, PROCESSES, STABLE_MAIN_V4
from expmon.statements.build import (
    DAY_START,
    NEXT_DAY_START,
    WINDOW_END,
    noted,
    select,
    table,
    union_all,
    unnest,
    where,
    with_steps,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expmon.catalog.enrollment import EventSource
    from expmon.catalog.model import Names, Relation


def events_live(names: Names) -> exp.Query:
    """One row per live event of every process that counts."""
    arrays = ", ".join(f"STRUCT(payload.events.{name} AS events)" for name in PROCESSES)
    return events(select().from_(table(EVENT_V4, names)), f"[{arrays}]")


def events(pings: exp.Select, arrays: str) -> exp.Query:
    """One row per event of the pings.

    ``arrays`` has a struct with an array ``events`` for each process: a process without events adds
    nothing, where a concatenation with its NULL would lose the others.
    """
    query = unnest(unnest(pings, arrays, "process"), "process.events", "event")
    query = noted(query, "a struct per process: one without events must not lose the others")
    return query.select(
        "DATE(submission_timestamp) AS submission_date",
        "submission_timestamp AS timestamp",
        "event.f1_ AS event_category",
        "event.f2_ AS event_method",
        "event.f3_ AS event_object",
        "event.f4_ AS event_string_value",
        "event.f5_ AS event_map_values",
        dialect="bigquery",
    )


def enrollment(names: Names, *, final: bool) -> exp.Query:
    """Events per type, experiment, branch and window: of ``@day``, or from ``@start`` to ``@end``.

    Each event is one row of `events` with at most one branch, so that its extras multiply nothing.
    """
    sources = [
        _events_of(source, relation, names, final=final)
        for source in EVENT_SOURCES
        for relation in (source.final if final else source.live)
    ]
    known = [method for methods in METHODS.values() for method in methods]
    query = select(
        "type",
        "experiment",
        "branch",
        "window_start",
        WINDOW_END,
        *(
            f"COUNTIF({_is_one_of('method', methods)}) AS {column}"
            for column, methods in METHODS.items()
        ),
    ).from_("events")
    query = where(query, "experiment IS NOT NULL", _is_one_of("method", known))
    grouped = query.group_by("type", "experiment", "branch", "window_start")
    return with_steps(grouped, {"events": union_all(sources)})


def _events_of(source: EventSource, relation: Relation, names: Names, *, final: bool) -> exp.Select:
    query = select(
        f"TIMESTAMP_BUCKET({source.timestamp}, INTERVAL 5 MINUTE) AS window_start",
        f"{source.type} AS type",
        f"{source.experiment} AS experiment",
        f"{source.branch} AS branch",
        f"{source.method} AS method",
    ).from_(table(relation, names))
    query = noted(query, "an event is one row, however many extras it has")
    if final:
        return where(query, f"{source.day} = @day", source.where)
    return where(query, f"{source.timestamp} >= @start", f"{source.timestamp} < @end", source.where)


def search(names: Names, *, final: bool) -> exp.Query:
    """Sums per experiment, branch and window: of ``@day``, or from ``@start`` to ``@end``.

    The sums of a ping are taken one by one before its experiments are unnested: joining its arrays
    with each other would multiply the sums, and lose the ping where one of them is empty.
    """
    start, end = (DAY_START, NEXT_DAY_START) if final else ("@start", "@end")
    pings = select(
        "environment.experiments AS experiments",
        "TIMESTAMP_BUCKET(submission_timestamp, INTERVAL 5 MINUTE) AS window_start",
        *(
            f"COALESCE((SELECT SUM({sum_.value}) FROM UNNEST({sum_.array}) AS entry), 0) "  # noqa: S608 - the catalogue's
            f"AS {column}"
            for column, sum_ in SUMS.items()
        ),
    ).from_(table(STABLE_MAIN_V4 if final else MAIN_V4, names))
    pings = where(pings, f"submission_timestamp >= {start}", f"submission_timestamp < {end}")
    pings = noted(pings, "each sum by itself: arrays joined with each other multiply their sums")
    query = select(
        "member.key AS experiment",
        "member.value.branch AS branch",
        "window_start",
        WINDOW_END,
        *(f"SUM({column}) AS {column}" for column in SUMS),
    ).from_("pings")
    query = where(unnest(query, "experiments", "member"), "member.key IS NOT NULL")
    return with_steps(query.group_by("experiment", "branch", "window_start"), {"pings": pings})


def active_clients(names: Names) -> exp.Query:
    """Clients of ``@day`` per experiment and branch; one in two branches counts in both."""
    query = select(
        "submission_date",
        "member.key AS experiment_id",
        "member.value AS branch",
        "COUNT(DISTINCT client_id) AS active_clients",
    ).from_(table(CLIENTS_DAILY, names))
    query = where(
        unnest(query, "experiments", "member"), "submission_date = @day", "member.key IS NOT NULL"
    )
    return query.group_by("submission_date", "experiment_id", "branch")


def _is_one_of(column: str, values: Sequence[str]) -> str:
    texts = [exp.Literal.string(value).sql("bigquery") for value in values]
    return f"{column} IN ({', '.join(texts)})" if len(texts) > 1 else f"{column} = {texts[0]}"
