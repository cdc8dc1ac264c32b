"""Rows of a relation on their way into it: flat, as dictionaries, and as Arrow.

A flat row is the tuple of its cells in the order of the columns, with the fields of each record in
that record's place. An array is one cell: a tuple of such tuples, one for each of its elements. Of
flat rows Arrow's arrays are made column by column, several times as fast as of dictionaries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

if TYPE_CHECKING:
    import pyarrow as pa

    from expmon.catalog.model import Relation

Cells: TypeAlias = tuple[Any, ...]
"""A flat row, or a flat element of an array."""

_PACKED_AT_ONCE = 2_000
"""So many flat rows become Arrow together: many objects at a time cost the garbage collector."""

_Shape: TypeAlias = "str | list[_Shape] | dict[str, _Shape]"
"""A type: its name, or for an array a list of its one element, for a record a dict."""


class Rows(Sequence[Mapping[str, Any]]):
    """Rows of a relation, kept as Arrow; as a sequence they are dictionaries.

    Libraries that speak Arrow take them all at once, by the PyCapsule interface.
    """

    def __init__(self, relation: Relation) -> None:
        self._shape = _shape(relation)
        self._flat: list[Cells] = []
        self._packed: list[pa.RecordBatch] = []
        self._packed_rows = 0

    def append(self, cells: Cells) -> None:
        """Add a flat row."""
        self._flat.append(cells)
        if len(self._flat) == _PACKED_AT_ONCE:
            self._pack()

    def __len__(self) -> int:
        return self._packed_rows + len(self._flat)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        places = range(len(self))[index]
        if isinstance(places, range):
            return [self[place] for place in places]
        return cast("dict[str, Any]", self._table().slice(places, 1).to_pylist()[0])

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table().__arrow_c_stream__(requested_schema)

    def _table(self) -> pa.Table:
        import pyarrow as pa

        if self._flat or not self._packed:
            self._pack()
        return pa.Table.from_batches(self._packed)

    def _pack(self) -> None:
        import pyarrow as pa

        columns = _transposed(self._flat, self._shape)
        arrays = [_array(inner, columns) for inner in self._shape.values()]
        self._packed.append(pa.RecordBatch.from_arrays(arrays, names=list(self._shape)))
        self._packed_rows += len(self._flat)
        self._flat.clear()


def row(relation: Relation, cells: Cells) -> dict[str, Any]:
    """The flat row as a dictionary."""
    return cast("dict[str, Any]", _nested(_shape(relation), iter(cells)))


@cache
def _shape(relation: Relation) -> dict[str, _Shape]:
    return {
        column.name: _parsed(re.findall(r"[<>,]|\w+", column.type)) for column in relation.columns
    }


def _parsed(tokens: list[str]) -> _Shape:
    """The shape of a type, written as in BigQuery's DDL; takes its tokens from the front."""
    word = tokens.pop(0)
    if word == "ARRAY":
        tokens.pop(0)
        element = _parsed(tokens)
        tokens.pop(0)
        return [element]
    if word != "STRUCT":
        return word
    fields: dict[str, _Shape] = {}
    while tokens.pop(0) != ">":
        name = tokens.pop(0)
        fields[name] = _parsed(tokens)
    return fields


def _nested(shape: _Shape, cells: Iterator[Any]) -> object:
    """The value of this shape that the next cells are."""
    match shape:
        case dict():
            return {name: _nested(inner, cells) for name, inner in shape.items()}
        case [element]:
            return [_nested(element, iter(inner)) for inner in next(cells)]
        case _:
            return next(cells)


def _array(shape: _Shape, columns: Iterator[Sequence[Any]]) -> pa.Array:
    """The array of this shape that the next columns are.

    Offsets are of 64 bits, since a batch of long texts has more bytes than 32 bits count.
    """
    import pyarrow as pa

    match shape:
        case dict():
            fields = [_array(inner, columns) for inner in shape.values()]
            return pa.StructArray.from_arrays(fields, names=list(shape))
        case [element]:
            lists = next(columns)
            offsets = pa.array(accumulate(map(len, lists), initial=0), pa.int64())
            inner = _transposed(list(chain.from_iterable(lists)), element)
            return pa.LargeListArray.from_arrays(offsets, _array(element, inner))
        case "INT64":
            return pa.array(next(columns), pa.int64())
        case "TIMESTAMP":
            return pa.array(next(columns), pa.timestamp("us", "UTC"))
        case _:
            return pa.array(next(columns), pa.large_string())


def _transposed(rows: Sequence[Cells], shape: _Shape) -> Iterator[Sequence[Any]]:
    """The columns of flat rows."""
    return iter(zip(*rows, strict=True)) if rows else iter([()] * _width(shape))


def _width(shape: _Shape) -> int:
    return sum(map(_width, shape.values())) if isinstance(shape, dict) else 1
