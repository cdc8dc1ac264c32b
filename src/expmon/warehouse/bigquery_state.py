"""What BigQuery holds, from the memo and from what is really there."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from expmon.catalog import RELATIONS
from expmon.catalog.model import Kind, Names, Relation
from expmon.warehouse.protocol import SourceState, State, Written
from expmon.windows import Partition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from expmon.catalog.model import TableName

There = dict[Partition, tuple[int, datetime]]
"""The partitions of a table that are there, with their rows and when they were written."""


def tables() -> list[Relation]:
    """The tables whose partitions are remembered."""
    return [relation for relation in RELATIONS.values() if relation.cadence is not None]


def sources(names: Names) -> dict[str, TableName]:
    """The inputs that are not ours, and the tables with their rows."""
    computed = tables()
    inputs = dict.fromkeys(name for relation in computed for name in relation.inputs)
    found = {}
    for name in inputs:
        source = RELATIONS[name]
        if source.kind is Kind.VIEW:  # of ours, over one source
            (behind,) = source.inputs
            source = RELATIONS[behind]
        if source.kind is Kind.SOURCE:
            found[name] = names.behind(source)
    return found


def state(rows: Iterable[Mapping[str, object]], names: Names) -> State:
    """The state, from the rows of `expmon.statements.bookkeeping.partitions`.

    An entry of the memo counts only while it agrees with what is there: with its rows, the time at
    which the partition was written; without rows, that nothing is there.
    """
    memo: list[Mapping[str, object]] = []
    there: dict[str, There] = defaultdict(dict)
    for row in rows:
        if row["relation"] is not None:
            memo.append(row)
        elif (partition := _partition(row["partition"])) is not None:
            there[str(row["place"])][partition] = (int(str(row["rows"])), _time(row["modified_at"]))
    written: dict[str, dict[Partition, Written]] = {}
    for row in memo:
        relation = RELATIONS.get(str(row["relation"]))
        partition = _partition(row["partition"])
        if relation is None or partition is None:
            continue
        present = there[str(names.of(relation))].get(partition)
        entry = _entry(row, present)
        if entry is not None:
            written.setdefault(relation.name, {})[partition] = entry
    return State(
        written,
        {name: _source(there[str(place)]) for name, place in sources(names).items()},
        {r.name: first for r in tables() if (first := _first_day(there[str(names.of(r))]))},
    )


def _entry(row: Mapping[str, object], present: tuple[int, datetime] | None) -> Written | None:
    rows, modified_at = int(str(row["rows"])), row["modified_at"]
    if modified_at is None:
        return None
    present_rows, present_since = present or (0, None)
    is_valid = present_since == _time(modified_at) if rows else not present_rows
    if not is_valid:
        return None
    return Written(_time(row["started_at"]), _time(modified_at), _time(row["as_of"]), rows)


def _source(there: There) -> SourceState:
    modified: dict[date, datetime] = {}
    for partition, (_, modified_at) in there.items():
        if partition.id:
            modified[partition.day] = max(modified_at, modified.get(partition.day, modified_at))
    return SourceState(min(modified, default=None), modified, frozenset(modified))


def _first_day(there: There) -> date | None:
    return min((p.day for p, (rows, _) in there.items() if p.id and rows), default=None)


def _partition(text: object) -> Partition | None:
    try:
        return Partition(str(text))
    except ValueError:  # by month or year
        return None


def _time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"{value!r} is no time")
    return value.astimezone(UTC)
