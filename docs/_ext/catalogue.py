"""The directive ``catalogue``: the tables of relations and datasets, from the catalogue itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import expmon.catalog
from expmon.catalog import DATASETS, RELATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

    from expmon.catalog.model import Dataset, Relation

Cell: TypeAlias = "nodes.Node | str"


def relations() -> list[nodes.Node]:
    """One table: a row for each relation, inputs first."""
    header = ("Relation", "Kind", "Cadence", "Partitioning", "Description")
    rows = (
        (
            _code(relation.name),
            relation.kind.value,
            relation.cadence.value if relation.cadence else "",
            _partitioning(relation),
            relation.description,
        )
        for relation in RELATIONS.values()
    )
    return [_table(header, rows, widths=(36, 8, 8, 18, 30))]


def datasets() -> list[nodes.Node]:
    """A section for each derived dataset: what it is, and its columns."""
    return [_dataset(dataset) for dataset in DATASETS.values()]


def _dataset(dataset: Dataset) -> nodes.section:
    section = nodes.section(ids=[nodes.make_id(dataset.name)], names=[dataset.name])
    section += nodes.title("", "", _code(dataset.name))
    section += nodes.paragraph("", f"{dataset.description}.")
    section += _facts(dataset)
    header = ("Column", "Type", "Description")
    rows = ((_code(c.name), _code(c.type), c.description) for c in dataset.table.columns)
    section += _table(header, rows, widths=(20, 20, 60))
    return section


def _facts(dataset: Dataset) -> nodes.field_list:
    facts: dict[str, Cell] = {
        "Series": dataset.series.value,
        "Rolls up by": dataset.rollup.value.upper() if dataset.rollup else "nothing",
        "Value": _code(dataset.value) if dataset.value else "each of the other counts, by event",
        "Table": _code(dataset.table.name),
        "View": _code(dataset.view.name),
    }
    found = nodes.field_list()
    for name, value in facts.items():
        body = nodes.field_body("", nodes.paragraph("", "", _inline(value)))
        found += nodes.field("", nodes.field_name("", name), body)
    return found


def _partitioning(relation: Relation) -> str:
    partitioning = relation.partitioning
    if partitioning is None:
        return ""
    kept = f", kept for {partitioning.expiration_days} days" if partitioning.expiration_days else ""
    return f"{partitioning.unit.value.lower()} of {partitioning.column}{kept}"


def _table(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], *, widths: Sequence[int]
) -> nodes.table:
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in widths), cols=len(widths))
    group += nodes.thead("", _row(header))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", group, classes=["colwidths-given"])


def _row(cells: Iterable[Cell]) -> nodes.row:
    return nodes.row("", *_entries(cells))


def _entries(cells: Iterable[Cell]) -> Iterator[nodes.entry]:
    for cell in cells:
        yield nodes.entry("", nodes.paragraph("", "", _inline(cell)))


def _inline(cell: Cell) -> nodes.Node:
    return nodes.Text(cell) if isinstance(cell, str) else cell


def _code(text: str) -> nodes.literal:
    return nodes.literal("", text)


class Catalogue(SphinxDirective):
    """``relations``: a table of all of them. ``datasets``: a section for each derived dataset."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The nodes of the part that is asked for."""
        for path in Path(expmon.catalog.__file__).parent.glob("*.py"):
            self.env.note_dependency(path)
        parts = {"relations": relations, "datasets": datasets}
        part = self.arguments[0]
        if part not in parts:
            raise self.error(f"the catalogue has no {part!r}: write {' or '.join(parts)}")
        return parts[part]()


def setup(app: Sphinx) -> ExtensionMetadata:
    """Make the directive known to Sphinx."""
    app.add_directive("catalogue", Catalogue)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
