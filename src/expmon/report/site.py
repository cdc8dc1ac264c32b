"""The pages of all experiments, and the one that lists them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expmon.errors import NotExported
from expmon.report.html import asset, document, h
from expmon.report.page import experiment_page, footer
from expmon.report.parts import moment, named, number, table, verdict
from expmon.report.reading import Exports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, datetime, timedelta

    from expmon.export.store import Store
    from expmon.report.html import Child
    from expmon.report.reading import Experiment

log = logging.getLogger(__name__)

HOME = "index.html"
_COUNTS = ("Enrollments", "Unenrollments", "Population", "Daily active clients", "Searches")
"""What the list has of each experiment."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a site.

    Attributes:
        name: of its file; links between pages are by these.
        html: the whole of it.
    """

    name: str
    html: str


@dataclass(frozen=True, slots=True)
class _Row:
    """What the list has of an experiment."""

    start: date
    slug: str
    cells: list[Child]


def site(store: Store, day_lag: timedelta) -> Iterator[Page]:
    """A page for each exported experiment, and at last the one that lists them.

    Args:
        store: where the exported files are.
        day_lag: how long after its end a day is ready.

    Raises:
        NotExported: there is no index.
        StoreConflict: files change right now, or an export has broken off.
        StoreError: the store or a file can't be read.
    """
    exports = Exports.of(store)
    rows: list[_Row] = []
    for slug in exports.slugs:
        try:
            experiment = exports.experiment(slug)
        except NotExported as error:
            log.warning("experiment %s gets no page: %s", slug, error)
            continue
        page = experiment_page(experiment, exported_at=exports.as_of, day_lag=day_lag, home=HOME)
        name = f"{slug}_report.html"
        rows.append(_row(experiment, name, exports.as_of, day_lag))
        yield Page(name, page)
    rows.sort(key=lambda row: row.slug)
    rows.sort(key=lambda row: row.start, reverse=True)
    yield Page(HOME, _list(rows, exports.as_of))


def _row(experiment: Experiment, href: str, exported_at: datetime, day_lag: timedelta) -> _Row:
    datasets = named(experiment.exported)
    counts: list[Child] = []
    for title in _COUNTS:
        e = datasets.get(title)
        is_known = e is not None and e.has_begun
        total = sum(map(e.total, e.lines)) if e is not None and is_known else None
        counts.append(number(total))
    until = [e.until for e in experiment.exported if e.until is not None]
    cells = [
        h("a", experiment.slug, href=href),
        h("time", experiment.start.isoformat()),
        *counts,
        moment(max(until, default=None), is_aged=True),
        verdict(experiment, exported_at, day_lag),
    ]
    return _Row(experiment.start, experiment.slug, cells)


def _list(rows: Sequence[_Row], exported_at: datetime) -> str:
    columns = ("Experiment", "Started", *_COUNTS, "Data up to", "State")
    found = table(columns, [row.cells for row in rows], label="Experiments", class_="stacked list")
    body = (
        h(
            "header",
            h("h1", "Experiments"),
            h(
                "p",
                "The latest first. Exported as of ",
                *(moment(exported_at, is_aged=True), "."),
                class_="facts",
            ),
        ),
        h("main", found if rows else h("p", "No experiment has been exported yet.")),
        footer(),
    )
    return document("Experiments", body, scripts=[asset("ages.js")])
