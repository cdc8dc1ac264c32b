"""The lineage of all relations as a picture: what is computed from what, in SVG.

Four columns, from left to right; arrows between relations of one column run on its left. The last
row is the export's. Colours are the theme's, light or dark.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from statistics import fmean
from typing import TYPE_CHECKING

from expmon.catalog import EXPORTED, RELATIONS
from expmon.catalog.health import HEALTH, RATIOS, TOTALS
from expmon.catalog.model import Kind, Project
from expmon.catalog.sources import EVENTS_LIVE, EXPERIMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from expmon.catalog.model import Relation

HEADINGS = ("Sources", "Aggregates", "Series, live views, health", "For people and charts")
EXPORT = "JSON files"
LEFT, TOP, WIDTH, HEIGHT, COLUMN, ROW = 36, 28, 150, 40, 196, 48
_LINE = 24  # characters that a box has room for
_STYLE = """
.lineage text { font: 10px sans-serif; fill: var(--color-foreground-primary, #000) }
.lineage .heading { font-weight: bold }
.lineage .dataset { font-size: 8px; fill: var(--color-foreground-secondary, #555) }
.lineage rect { fill: var(--color-background-secondary, #f8f9fb) }
.lineage rect { stroke: var(--color-brand-primary, #00f) }
.lineage .view rect { stroke-dasharray: 4 2 }
.lineage a:hover rect, .lineage a:focus rect { stroke-width: 2.5 }
.lineage path { fill: none; stroke: var(--color-foreground-muted, #777); stroke-width: 0.8 }
.lineage marker path { fill: var(--color-foreground-muted, #777); stroke: none }
"""


def picture(link: Callable[[Relation], str]) -> str:
    """The picture; each relation leads to what `link` gives."""
    places = _places()
    size = f"0 0 {LEFT + 3 * COLUMN + WIDTH + 2} {max(y for _, y in places.values()) + HEIGHT + 2}"
    svg = ET.Element("svg", {"class": "lineage", "viewBox": size, "role": "group"})
    svg.set("aria-label", "Lineage; the section of each relation names its inputs as text")
    ET.SubElement(svg, "style").text = _STYLE
    marker = {"id": "arrow", "viewBox": "0 0 8 8", "refX": "8", "refY": "4", "orient": "auto"}
    head = ET.SubElement(svg, "marker", {**marker, "markerWidth": "7", "markerHeight": "7"})
    ET.SubElement(head, "path", d="M0,0 L8,4 L0,8 z")
    for column, heading in enumerate(HEADINGS):
        _text(svg, heading, LEFT + column * COLUMN, 14, "heading")
    for source, target in _edges():
        line = _curve(places[source], places[target])
        ET.SubElement(svg, "path", {"d": line, "marker-end": "url(#arrow)"})
    for relation in RELATIONS.values():
        if relation.name in places:
            _box(svg, relation, link(relation), places[relation.name])
    _frame(svg, places[EXPORT])
    _text(svg, EXPORT, places[EXPORT][0] + 6, places[EXPORT][1] + 24, "name")
    return ET.tostring(svg, encoding="unicode")


def _edges() -> Iterable[tuple[str, str]]:
    for relation in RELATIONS.values():
        yield from ((source, relation.name) for source in relation.inputs)
    yield EXPERIMENTS.name, RATIOS.name
    yield from (
        (relation.name, EXPORT) for relation in (EXPERIMENTS, HEALTH, *(d.table for d in EXPORTED))
    )


def _column(relation: Relation) -> int:
    """Where it stands, by what it is computed from."""
    if relation.kind is Kind.SOURCE or relation == EVENTS_LIVE:
        return 0
    if relation.project is Project.VIEWS:
        return 3
    if relation in {TOTALS, HEALTH}:
        return 2
    return 1 + max((_column(RELATIONS[name]) for name in relation.inputs), default=0)


def _places() -> dict[str, tuple[int, int]]:
    """The upper left corner of each box; in a column, each is as high as its inputs."""
    columns: list[list[str]] = [[] for _ in HEADINGS]
    for relation in RELATIONS.values():
        if relation.inputs or any(relation.name in r.inputs for r in RELATIONS.values()):
            columns[_column(relation)].append(relation.name)
    height = max(map(len, columns))
    inputs: dict[str, list[str]] = {}
    for source, target in _edges():
        inputs.setdefault(target, []).append(source)
    places: dict[str, tuple[int, int]] = {}
    bottom = TOP + height * ROW
    for number, names in enumerate(columns):
        if number:
            names.sort(key=lambda name: _height(places, inputs[name], bottom))
        for row, name in enumerate(names):
            y = TOP + int(((row + 0.5) * height / len(names) - 0.5) * ROW)
            places[name] = (LEFT + number * COLUMN, y)
    places[EXPERIMENTS.name], places[EXPORT] = (LEFT, bottom), (LEFT + 3 * COLUMN, bottom)
    return places


def _height(places: Mapping[str, tuple[int, int]], sources: Iterable[str], bottom: int) -> float:
    """How high a relation is to stand: as its inputs; the experiments stand at the bottom."""
    return fmean(places[source][1] if source in places else bottom for source in sources)


def _curve(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x, y), (to_x, to_y) = start, end
    y, to_y = y + HEIGHT // 2, to_y + HEIGHT // 2
    if x == to_x:
        bend = x - 12 - abs(to_y - y) // 16
        return f"M{x},{y} C{bend},{y} {bend},{to_y} {to_x},{to_y}"
    x += WIDTH
    middle = (x + to_x) // 2
    return f"M{x},{y} C{middle},{y} {middle},{to_y} {to_x},{to_y}"


def _box(svg: ET.Element, relation: Relation, link: str, place: tuple[int, int]) -> None:
    box = ET.SubElement(svg, "a", {"href": link, "class": relation.kind.value})
    ET.SubElement(box, "title").text = f"{relation.name}: {relation.description}"
    _frame(box, place)
    x, y = place[0] + 6, place[1]
    _text(box, relation.dataset, x, y + 10, "dataset")
    for number, line in enumerate(_lines(relation.table.removeprefix("experiment_"))):
        _text(box, line, x, y + 22 + 11 * number, "name")


def _lines(name: str) -> list[str]:
    """The name, broken after an underscore where it is too long."""
    if len(name) <= _LINE:
        return [name]
    end = name.rindex("_", 0, _LINE) + 1
    return [name[:end], *_lines(name[end:])]


def _frame(parent: ET.Element, place: tuple[int, int]) -> None:
    corner = {"x": str(place[0]), "y": str(place[1])}
    ET.SubElement(parent, "rect", {**corner, "width": str(WIDTH), "height": str(HEIGHT), "rx": "4"})


def _text(parent: ET.Element, text: str, x: int, y: int, kind: str) -> None:
    ET.SubElement(parent, "text", {"x": str(x), "y": str(y), "class": kind}).text = text
