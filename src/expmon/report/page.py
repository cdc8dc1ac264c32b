"""The page of an experiment."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from expmon.catalog.model import Series
from expmon.report.html import asset, document, h
from expmon.report.parts import (
    NOTHING,
    branch,
    day_of_total,
    is_late,
    moment,
    named,
    number,
    span,
    table,
    verdict,
)
from expmon.slugs import shown_branch
from expmon.windows import BUCKET, DAY, WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime, timedelta

    from expmon.report.html import Child, Element
    from expmon.report.reading import Experiment, Exported

_STEPS = {
    WINDOW: "5-minute windows",
    BUCKET: "half hours",
    DAY: "days",
}
_ABOUT = {
    "Enrollments": "Clients that were enrolled.",
    "Unenrollments": "Clients that were unenrolled.",
    "Population": "Clients enrolled, less unenrolled and graduated.",
    "Daily active clients": "Clients that used the browser on that day.",
    "Failures and other events": "Failed enrollments and the like, graduations, updates.",
    "Searches": "Searches since the start.",
    "Searches with ads": "Search pages with ads since the start.",
    "Ad clicks": "Clicks on ads of search pages since the start.",
}
_BAD = ("alarm", "suspect")
"""Verdicts of the health checks that people should see."""
_NAMED = 6
"""So many branches are named in a sentence."""


def experiment_page(
    experiment: Experiment, *, exported_at: datetime, day_lag: timedelta, home: str | None
) -> str:
    """The page, whole.

    Args:
        experiment: whose it is.
        exported_at: when all that is active was last exported.
        day_lag: how long after its end a day is ready.
        home: where the page of all experiments is, if there is one.
    """
    places = {name: place for place, name in enumerate(experiment.branches)}
    datasets = named(experiment.exported)
    body = (
        h(
            "header",
            h("nav", h("a", "All experiments", href=home)) if home else None,
            h("h1", experiment.slug),
            h(
                "p",
                *("Started ", h("time", experiment.start.isoformat()), ". Exported as of "),
                *(moment(experiment.as_of, is_aged=True), ". "),
                verdict(experiment, exported_at, day_lag),
                class_="facts",
            ),
        ),
        h(
            "main",
            _health(experiment),
            h(
                "section",
                h("h2", "Totals", id="totals"),
                *_totals(experiment, places),
                aria_labelledby="totals",
            ),
            h(
                "section",
                h("h2", "Over time", id="charts"),
                h("p", "The charts need JavaScript; the tables by day don't.", class_="plain"),
                h("div", id="tools", class_="tools", hidden=""),
                h("div", *(_chart(t, e, places) for t, e in datasets.items()), class_="charts"),
                aria_labelledby="charts",
            ),
            h(
                "section",
                h("h2", "Freshness", id="freshness"),
                _freshness(datasets, experiment.as_of, day_lag),
                aria_labelledby="freshness",
            ),
            h(
                "section",
                h("h2", "How to read this", id="notes"),
                _notes(experiment),
                aria_labelledby="notes",
            ),
        ),
        footer("Charts by uPlot, whose licence is in this page's source."),
    )
    data = [_series(t, e, places) for t, e in datasets.items() if e.lines]
    library = f"/*\n{asset('uPlot.LICENSE')}*/\n{asset('uPlot.iife.min.js')}"
    scripts = (library, asset("ages.js"), asset("charts.js"))
    return document(experiment.slug, body, scripts=scripts, data=data)


def _health(experiment: Experiment) -> Element | None:
    """What is wrong with it, the worst first; nothing where that was not exported."""
    if experiment.health is None:
        return None
    bad = sorted(
        (f for f in experiment.health if f.verdict in _BAD), key=lambda f: _BAD.index(f.verdict)
    )
    items = (
        h(
            "li",
            *(h("span", f.verdict, class_="pill late"), " ", h("strong", f.check), ": "),
            *(h("bdi", f.sentence), " ", h("bdi", f.action), " Since ", moment(f.since), "."),
        )
        for f in bad
    )
    told = h("ul", *items, class_="health") if bad else h("p", "Nothing, as far as can be told.")
    return h("section", h("h2", "What is wrong", id="health"), told, aria_labelledby="health")


def footer(*children: Child) -> Element:
    """What is at the end of every page."""
    return h(
        "footer",
        h("p", "Made by expmon from exported files. All times are UTC. ", *children),
    )


def _totals(experiment: Experiment, places: dict[str, int]) -> Iterator[Element]:
    """A row for all branches, and one for each."""
    columns = ["Branch"]
    for title, e in named(experiment.exported).items():
        day = day_of_total(e)
        columns.append(title if day is None else f"{title}, {day:%d %b}")
    exported = list(named(experiment.exported).values())

    def values(branches: Iterable[str]) -> list[str]:
        return [
            number(sum(e.total(b) for b in branches) if e.has_begun else None) for e in exported
        ]

    rows: list[list[Child]] = [["All branches", *values(places)]]
    rows += [[branch(name, place), *values([name])] for name, place in places.items()]
    yield h("p", "Counts since the start; population and daily active clients as they were last.")
    yield table(columns, rows, label="Totals by branch", class_="stacked totals")


def _chart(title: str, exported: Exported, places: dict[str, int]) -> Element:
    """What stands around a chart, and in place of it where it can't be seen."""
    name = exported.dataset.name
    lines = sorted(exported.lines, key=places.__getitem__)
    by_day = exported.by_day()
    rows: list[list[Child]] = [
        [
            h("time", day.isoformat()),
            *(number(values.get(b)) for b in lines),
            number(sum(values.values())),
        ]
        for day, values in reversed(by_day.items())
    ]
    columns = ["Day", *(shown_branch(b, 32) for b in lines), "All branches"]
    return h(
        "section",
        h("h3", title, h("span", class_="per"), id=f"{name}-title"),
        h("p", _ABOUT[title], " ", *_summary(exported, lines), id=f"{name}-summary"),
        h("div", class_="plot", data_chart=name) if lines else None,
        h(
            "details",
            h("summary", f"{title} by day"),
            table(columns, rows, label=f"{title} by day", class_="days"),
        )
        if lines
        else None,
        class_="chart",
        aria_labelledby=f"{name}-title",
    )


def _summary(exported: Exported, lines: Sequence[str]) -> Iterator[Child]:
    """What the chart shows at its end, as a sentence."""
    if not exported.has_begun:
        yield "No data yet."
        return
    totals = {b: exported.total(b) for b in lines}
    day = day_of_total(exported)
    if day is not None:
        yield f"{sum(totals.values()):,} on {day.isoformat()}"
    else:
        yield f"{sum(totals.values()):,} up to "
        yield moment(exported.until)
    shown = [f"{shown_branch(b, 32)} {totals[b]:,}" for b in lines[:_NAMED]]
    if len(lines) > _NAMED:
        shown.append(f"and {len(lines) - _NAMED} more")
    # Where there is a chart, its legend says that.
    yield h("bdi", f": {', '.join(shown)}", class_="spoken") if len(lines) > 1 else None
    yield "."


def _freshness(datasets: dict[str, Exported], as_of: datetime, day_lag: timedelta) -> Element:
    # The page's head says when, if that is the same for all.
    is_one = len({e.as_of for e in datasets.values()}) == 1
    exported = () if is_one else ("Exported as of",)
    columns = ("Series", "Points", *exported, "Data up to", "Age when exported", "State")
    rows: list[list[Child]] = []
    for title, e in datasets.items():
        state = h("span", "up to date", class_="pill fresh")
        if e.until is None:
            state = h("span", "no data yet", class_="pill over")
        elif is_late(e, as_of, day_lag):
            state = h("span", "late", class_="pill late")
        age = NOTHING if e.until is None else span(e.as_of - e.until)
        until = moment(e.until, is_aged=True)
        exported_at = () if is_one else (moment(e.as_of),)
        rows.append([title, h("span", _STEPS[e.step]), *exported_at, until, age, state])
    return table(columns, rows, label="Freshness of each series", class_="stacked")


def _notes(experiment: Experiment) -> Element:
    steps = {e.step for e in experiment.exported}
    notes = [
        (
            "Values are counted in windows of five minutes, by when they arrived, and charts add "
            "counts up over longer times, as their titles say. What is not over is left out."
        ),
    ]
    if WINDOW in steps:
        notes.append(
            "The exported files of this experiment have a point for every five-minute window, "
            "labelled with its start, until 14 days after the start; half hours after that."
        )
    if BUCKET in steps:
        notes.append(
            "The exported files of this experiment, which is older than 14 days, have a point for "
            "every half hour that is over, labelled with its end."
        )
    notes.append(
        "Counts of days that are not final yet may still change. Population is an estimate, and "
        "a client that was in two branches on a day is active in both."
    )
    if "null" in experiment.branches:
        notes.append(
            "null (no branch) are clients without a branch: a rollout has no other, and in an "
            "experiment they sent events that named none."
        )
    return h("ul", *(h("li", note) for note in notes))


def _series(title: str, exported: Exported, places: dict[str, int]) -> dict[str, Any]:
    """The points for the chart; times and values as their differences, which are short."""
    return {
        "id": exported.dataset.name,
        "title": title,
        "unit": exported.dataset.unit,
        "isCumulative": exported.dataset.series is Series.CUMULATIVE,
        "step": int(exported.step.total_seconds()),
        "until": int(exported.until.timestamp()) if exported.until else None,
        "lines": [
            {
                "branch": places[name],
                "minutes": _differences([int(end.timestamp()) // 60 for end in line.ends]),
                "values": _differences(line.values),
            }
            for name, line in sorted(exported.lines.items(), key=lambda item: places[item[0]])
        ],
    }


def _differences(values: Sequence[int]) -> list[int]:
    return [b - a for a, b in pairwise((0, *values))]
