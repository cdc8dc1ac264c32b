"""A warehouse without an engine, for tests: it remembers what was asked of it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from expmon.errors import WarehouseError, WarehouseLocked
from expmon.warehouse.protocol import SourceState, State, Write, Written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from expmon.catalog.model import Relation, Statement
    from expmon.findings import Finding
    from expmon.windows import Partition


@dataclass
class FakeWarehouse:
    """What `Warehouse` promises, over dictionaries; its clock ticks a second with each look at it.

    Attributes:
        written: by relation and partition, as in `State`.
        sources: what the sources have; sources not named here have nothing.
        answers: the rows of each query, by the name of its statement.
        writes: the writes, in their order.
        queries: the names and parameters of the queries, in their order.
        fails_at: raise instead of the write of this number, counted from 0.
        is_leased: whether a run has the lease.
        findings: what an examination finds.
    """

    written: dict[str, dict[Partition, Written]] = field(default_factory=dict)
    sources: dict[str, SourceState] = field(default_factory=dict)
    answers: dict[str, pa.Table] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    queries: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    fails_at: int | None = None
    is_leased: bool = False
    findings: list[Finding] = field(default_factory=list)
    clock: datetime = datetime(2021, 1, 1, tzinfo=UTC)

    def deploy(self, *, dry_run: bool = False) -> list[str]:
        """Nothing to do."""
        del dry_run
        return []

    def check_version(self) -> None:
        """All is well."""

    def state(self) -> State:
        """What has been written."""
        from expmon.catalog import RELATIONS

        inputs = {name for relation in RELATIONS.values() for name in relation.inputs}
        sources = {name: self.sources.get(name, SourceState(None)) for name in inputs}
        written = {name: dict(entries) for name, entries in self.written.items()}
        return State(written, sources)

    def query(
        self, statement: Statement, parameters: Mapping[str, Any], *, progress: bool = False
    ) -> pa.Table:
        """The rows prepared for the statement."""
        del progress
        self.queries.append((statement.name, parameters))
        if statement.name not in self.answers:
            raise WarehouseError(f"no answer to {statement.name} has been prepared")
        return self.answers[statement.name]

    def batches(
        self, statement: Statement, parameters: Mapping[str, Any]
    ) -> Iterator[pa.RecordBatch]:
        """The rows prepared for the statement."""
        yield from self.query(statement, parameters).to_batches()

    def write(self, writes: Iterable[Write]) -> Iterator[Written]:
        """Remember the writes; they have no rows."""
        return map(self._write, writes)

    def at_once(self) -> contextlib.AbstractContextManager[None]:
        """Nobody reads a fake."""
        return contextlib.nullcontext()

    def cost(self, write: Write) -> int | None:
        """As dear as the name is long."""
        return len(write.relation.name)

    def load(
        self, relation: Relation, rows: Sequence[Mapping[str, Any]], *, key: str | None = None
    ) -> None:
        """Not for fakes."""
        raise WarehouseError(f"a fake loads nothing: {len(rows)} rows of {relation.name} ({key})")

    @contextlib.contextmanager
    def lease(self, wait: timedelta) -> Iterator[None]:
        """Keep other runs out."""
        if self.is_leased:
            raise WarehouseLocked(f"another run has the lease, after {wait}")
        self.is_leased = True
        try:
            yield
        finally:
            self.is_leased = False

    def examine(self) -> list[Finding]:
        """The findings prepared."""
        return list(self.findings)

    def close(self) -> None:
        """Nothing to do."""

    def _write(self, write: Write) -> Written:
        if len(self.writes) == self.fails_at:
            raise WarehouseError(f"the write of {write.relation.name} was to fail")
        self.writes.append(write)
        entry = Written(self._tick(), self._tick(), write.as_of, 0)
        self.written.setdefault(write.relation.name, {})[write.partition] = entry
        return entry

    def _tick(self) -> datetime:
        self.clock += timedelta(seconds=1)
        return self.clock
