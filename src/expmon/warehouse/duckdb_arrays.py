"""Arrays of a query's groups, made here: DuckDB has all of them in memory until the last is done.

Sorted rows can wait on disk, which an ordered ARRAY_AGG can't. So DuckDB is asked for the rows that
the arrays are made of; see `expmon.statements.embedded.ordered_rows`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa


def gathered(batches: Iterable[pa.RecordBatch], keys: int, array: str) -> Iterator[pa.RecordBatch]:
    """A row for each group: its keys, and its rows as an array of structs.

    Args:
        batches: the rows, those of a group one after the other.
        keys: how many columns, the first ones, are the group's keys.
        array: what the column with the array is called.
    """
    group: list[pa.RecordBatch] = []
    for batch in batches:
        for part in _by_group(batch, keys):
            if group and _key(part, keys) != _key(group[0], keys):
                yield _row(group, keys, array)
                group = []
            group.append(part)
    if group:
        yield _row(group, keys, array)


def _by_group(batch: pa.RecordBatch, keys: int) -> Iterator[pa.RecordBatch]:
    """The batch cut where a key changes."""
    import pyarrow.compute as pc

    last = batch.num_rows - 1
    changes = {0}
    for column in batch.columns[:keys]:
        differ = pc.not_equal(column.slice(1), column.slice(0, last))
        changes.update(place + 1 for place in pc.indices_nonzero(differ).to_pylist())
    starts = sorted(changes)
    for start, end in zip(starts, [*starts[1:], batch.num_rows], strict=True):
        yield batch.slice(start, end - start)


def _key(batch: pa.RecordBatch, keys: int) -> list[pa.Scalar]:
    return [column[0] for column in batch.columns[:keys]]


def _row(group: list[pa.RecordBatch], keys: int, array: str) -> pa.RecordBatch:
    import pyarrow as pa

    rows = pa.Table.from_batches(group).combine_chunks().to_batches()[0]
    structs = pa.StructArray.from_arrays(rows.columns[keys:], rows.schema.names[keys:])
    arrays = pa.ListArray.from_arrays([0, len(structs)], structs)
    columns = [*(column.slice(0, 1) for column in rows.columns[:keys]), arrays]
    return pa.RecordBatch.from_arrays(columns, [*rows.schema.names[:keys], array])
