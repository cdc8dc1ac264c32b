"""What materialization, fetching and exporting need of an engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import date, datetime, timedelta

    import pyarrow as pa

    from expmon.catalog.model import Relation, Statement
    from expmon.findings import Finding
    from expmon.windows import Partition


@dataclass(frozen=True, slots=True)
class Written:
    """What is remembered of a partition, or whole table, that has been written.

    Attributes:
        started_at: when the job began, before it read anything.
        modified_at: when the partition was replaced.
        as_of: up to when the job looked at the data.
        rows: how many rows were written; none is an answer, too.
        job_id: the engine's name of the job; empty where it has none, or of what is remembered.
        bytes_read: how many bytes the job read; None where the engine doesn't tell.
        slot_time: the computing time that was billed; None as above.
    """

    started_at: datetime
    modified_at: datetime
    as_of: datetime
    rows: int
    job_id: str = ""
    bytes_read: int | None = None
    slot_time: timedelta | None = None


@dataclass(frozen=True, slots=True)
class SourceState:
    """What a source has.

    Attributes:
        first_day: the first day of its rows; None while it has none.
        modified: when each day was last written, as far as the engine knows.
        days: the days that it has; None where it always has every day.
    """

    first_day: date | None
    modified: Mapping[date, datetime] = field(default_factory=dict)
    days: frozenset[date] | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What the engine holds: the planner reads nothing else.

    Attributes:
        written: by relation and partition; entries that the data contradicts are left out.
        sources: by relation.
        first_days: by relation: the first day that the table has rows of, remembered or not; it
            may be left out where nothing is there before what is remembered.
    """

    written: Mapping[str, Mapping[Partition, Written]] = field(default_factory=dict)
    sources: Mapping[str, SourceState] = field(default_factory=dict)
    first_days: Mapping[str, date] = field(default_factory=dict)

    def partitions(self, relation: Relation) -> Mapping[Partition, Written]:
        """What is remembered of the table's partitions.

        Args:
            relation: the table; of one that was never written it is nothing.
        """
        return self.written.get(relation.name, {})

    def first_day(self, relation: Relation) -> date | None:
        """The table's first day, by what is remembered and what is there; None of an empty one.

        Args:
            relation: the table.
        """
        known = [partition.day for partition in self.partitions(relation)]
        if (there := self.first_days.get(relation.name)) is not None:
            known.append(there)
        return min(known, default=None)


@dataclass(frozen=True, slots=True)
class Write:
    """One atomic job: the rows of a statement replace one partition, or the whole table."""

    relation: Relation
    partition: Partition
    statement: Statement
    parameters: Mapping[str, Any]
    as_of: datetime


class Warehouse(Protocol):
    """An engine that holds the tables and runs the statements.

    Errors are those of `expmon.errors`: `NotDeployed` where a table is missing, `WarehouseLocked`
    where another process or run has it, `WarehouseError` for anything else. Before they write,
    `deploy`, `lease` and `load` check the schema version.
    """

    def deploy(self, *, dry_run: bool = False) -> list[str]:
        """Migrate tables of earlier versions, create what is missing and replace what differs.

        Args:
            dry_run: change nothing.

        Returns:
            The changes, each like ``create table x``; none if everything is as it should be.

        Raises:
            SchemaMismatch: a table has other columns than the catalogue; nothing was changed.
            WrongSchemaVersion: the tables are newer than the catalogue; nothing was changed.
        """
        ...

    def check_version(self) -> None:
        """Refuse tables that are newer than the catalogue, or have a form that deploy changes.

        Raises:
            WrongSchemaVersion: so they are.
        """
        ...

    def state(self) -> State:
        """What has been written, and what the sources have."""
        ...

    def query(
        self, statement: Statement, parameters: Mapping[str, Any], *, progress: bool = False
    ) -> pa.Table:
        """The rows of a query.

        Args:
            statement: what to ask.
            parameters: its values.
            progress: show how far it is, where the engine and the surroundings can.
        """
        ...

    def batches(
        self, statement: Statement, parameters: Mapping[str, Any]
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a query as they arrive, in no order, so that few are kept at a time.

        Args:
            statement: what to ask.
            parameters: its values.
        """
        ...

    def write(self, writes: Iterable[Write]) -> Iterator[Written]:
        """Replace partitions, each whole or not at all, and remember them.

        None of them reads what another one writes, so they may go on at the same time. If one
        fails, those that were written are remembered all the same.

        Args:
            writes: taken one by one, as they are made.

        Returns:
            What was written, in the order of the writes, which go on as this is read.

        Raises:
            PartitionViolation: a statement gave rows of another partition, which wasn't written.
        """
        ...

    def at_once(self) -> AbstractContextManager[None]:
        """Show readers all of what is written meanwhile or none of it, where the engine can."""
        ...

    def cost(self, write: Write) -> int | None:
        """How many bytes a write would read at most; None where the engine can't tell.

        Args:
            write: which one; it is not made.
        """
        ...

    def load(
        self, relation: Relation, rows: Sequence[Mapping[str, Any]], *, key: str | None = None
    ) -> None:
        """Add rows to a source, all or none.

        Args:
            relation: the source.
            rows: each with all columns, by their names.
            key: a column: rows that have one of its new values are replaced.
        """
        ...

    def lease(self, wait: timedelta) -> AbstractContextManager[None]:
        """Keep other runs out.

        Args:
            wait: how long to wait for another run to end.

        Raises:
            WarehouseLocked: another run has it, for longer than ``wait``.
        """
        ...

    def examine(self) -> list[Finding]:
        """What is there, and what is missing; nothing is changed, and what fails is a finding."""
        ...

    def close(self) -> None:
        """Let go of the engine."""
        ...
