"""The directive ``catalogue``: every relation and dataset, from the catalogue itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.util.docutils import SphinxDirective

import expmon.catalog
import expmon.statements
from _ext.lineage import picture
from expmon.catalog import DATASETS, RELATIONS, TIERS
from expmon.catalog.model import Cadence, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

    from expmon.catalog.model import Dataset, Partitioning, Relation

Cell: TypeAlias = "nodes.Node | str"

_FOLDED = "<details><summary>{summary}</summary>"
_WRITERS = {
    Cadence.LIVE: "every five minutes",
    Cadence.HOURLY: "hourly",
    Cadence.DAILY: "daily",
}


def _page(relation: Relation) -> str:
    """The name of the page below ``datasets`` that has a section for the relation."""
    if relation in {r for dataset in DATASETS.values() for r in (dataset.table, dataset.view)}:
        return "derived"
    if relation.kind is Kind.SOURCE:
        return "sources"
    if relation.kind is Kind.TABLE and relation.cadence is None:
        return "bookkeeping"
    return "aggregates"


def _anchor(relation: Relation) -> str:
    """The id of the relation's section."""
    return nodes.make_id(relation.name)


def _overview() -> Iterator[nodes.Node]:
    """One table: a row for each relation, inputs first."""
    header = ("Relation", "Kind", "Cadence", "Description")
    rows = (
        (
            _link(relation.name),
            relation.kind.value,
            relation.cadence.value if relation.cadence else "",
            relation.description,
        )
        for relation in RELATIONS.values()
    )
    yield _table(header, rows, widths=(39, 11, 12, 38))


def _sections(of: str) -> Iterator[nodes.section]:
    """A section for each relation of the page, or for each dataset with its table and view."""
    if of == "derived":
        yield from map(_dataset, DATASETS.values())
    else:
        yield from (_relation(r) for r in RELATIONS.values() if _page(r) == of)


def _dataset(dataset: Dataset) -> nodes.section:
    section = _section(dataset.name, dataset.description, (dataset.table, dataset.view))
    value = _code(dataset.value) if dataset.value else "each of the other counts, by event"
    section += _facts(
        {
            "Series": dataset.series.value,
            "Rolls up by": dataset.rollup.value.upper() if dataset.rollup else "nothing",
            "Value": value,
            "A row for each": _codes(n for n in dataset.table.column_names if n != "value"),
            "Table": _code(dataset.table.name),
            "View": _code(dataset.view.name),
            **_storage(dataset.table),
        }
    )
    section += _columns(dataset.table)
    section += _folded_sql(dataset.table, "SQL of the table")
    section += _folded_sql(dataset.view, "SQL of the view")
    return section


def _relation(relation: Relation) -> nodes.section:
    section = _section(relation.name, relation.description, (relation,))
    keys = {r: tier.keys for tier in TIERS for r in (tier.daily, tier.hourly, tier.recents)}
    grain = (
        {"A row for each": _codes(("window_start", *keys[relation]))} if relation in keys else {}
    )
    section += _facts({"Kind": relation.kind.value, **grain, **_storage(relation)})
    section += _columns(relation)
    if relation.kind is Kind.VIEW or relation.cadence is not None:
        section += _folded_sql(relation, "SQL")
    return section


def _section(title: str, description: str, of: Iterable[Relation]) -> nodes.section:
    section = nodes.section(ids=[_anchor(relation) for relation in of], names=[title])
    section += nodes.title("", "", _code(title))
    section += nodes.paragraph("", f"{description}.")
    return section


def _storage(relation: Relation) -> dict[str, Cell]:
    """Who writes it, from what, and how it lies; nothing about what doesn't apply."""
    made = "Created by" if relation.kind is Kind.VIEW else "Written by"
    facts: dict[str, Cell] = {made: _writer(relation)}
    if relation.inputs:
        facts["Inputs"] = _joined(map(_link, relation.inputs))
    if relation.partitioning:
        facts["Partitioning"] = _partitioning(relation.partitioning)
    if relation.clustering:
        facts["Clustering"] = _codes(relation.clustering)
    if relation.physical:
        facts["Table behind it"] = _code(relation.physical)
    return facts


def _writer(relation: Relation) -> Cell:
    if relation.kind is Kind.VIEW:
        return _code("expmon deploy")
    if relation.cadence:
        command = _code(f"expmon run {relation.cadence.value}")
        return nodes.inline("", "", command, nodes.Text(f", {_WRITERS[relation.cadence]}"))
    return "ingestion" if relation.kind is Kind.SOURCE else "expmon, as it runs"


def _facts(facts: Mapping[str, Cell]) -> nodes.field_list:
    found = nodes.field_list()
    for name, value in facts.items():
        body = nodes.field_body("", nodes.paragraph("", "", _inline(value)))
        found += nodes.field("", nodes.field_name("", name), body)
    return found


def _columns(relation: Relation) -> nodes.table:
    rows = ((_code(c.name), _code(c.type), c.description) for c in relation.columns)
    return _table(("Column", "Type", "Description"), rows, widths=(25, 30, 45))


def _folded_sql(relation: Relation, summary: str) -> list[nodes.Node]:
    """The statement, hidden until it is asked for; formats other than HTML show it."""
    sql = expmon.sql(relation.name)
    return [
        nodes.raw("", _FOLDED.format(summary=summary), format="html"),
        nodes.literal_block(sql, sql, language="sql"),
        nodes.raw("", "</details>", format="html"),
    ]


def _partitioning(partitioning: Partitioning) -> Cell:
    unit = nodes.Text(f"by {partitioning.unit.value.lower()} of ")
    days, needs = partitioning.expiration_days, partitioning.require_filter
    kept = f", kept for {days} days" if days else ""
    needed = "; queries must name partitions" if needs else ""
    return nodes.inline("", "", unit, _code(partitioning.column), nodes.Text(kept + needed))


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


def _codes(names: Iterable[str]) -> nodes.inline:
    return _joined(map(_code, names))


def _joined(parts: Iterable[nodes.Node]) -> nodes.inline:
    found = nodes.inline()
    for part in parts:
        found += [nodes.Text(", "), part] if found.children else [part]
    return found


def _link(name: str) -> nodes.Node:
    """A reference to the relation's section, on whatever page it is."""
    return pending_xref(
        "", _code(name), refdomain="std", reftype="ref", reftarget=name, refexplicit=True
    )


def _url(relation: Relation) -> str:
    """From the page beside the folder, in HTML."""
    return f"datasets/{_page(relation)}.html#{_anchor(relation)}"


class Catalogue(SphinxDirective):
    """The part of the catalogue that is named.

    ``lineage``: a picture. ``overview``: a table of all relations. A page's name: a section for
    each relation that is there.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The nodes of the part that is asked for."""
        for package in (expmon.catalog, expmon.statements):
            for path in Path(package.__file__).parent.glob("*.py"):
                self.env.note_dependency(path)
        part = self.arguments[0]
        if part == "lineage":
            return [nodes.raw("", f'<div class="wide">{picture(_url)}</div>', format="html")]
        found = [*(_overview() if part == "overview" else _sections(part))]
        if not found:
            raise self.error(f"the catalogue has no {part!r}")
        for relation in RELATIONS.values():
            if _page(relation) == part:
                self.env.domains.standard_domain.note_hyperlink_target(
                    relation.name, self.env.docname, _anchor(relation), relation.name
                )
        for reference in (r for node in found for r in node.findall(pending_xref)):
            reference["refdoc"] = self.env.docname
        return found


def setup(app: Sphinx) -> ExtensionMetadata:
    """Make the directive known to Sphinx."""
    app.add_directive("catalogue", Catalogue)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
