"""What the pages have in common: tables, times, branches, and how fresh something is."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from expmon.catalog.model import Series
from expmon.report.html import h
from expmon.slugs import shown_branch
from expmon.windows import BUCKET, DAY, HOUR, WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from expmon.report.html import Child, Element
    from expmon.report.reading import Experiment, Exported

TITLES = {
    "experiment_enrollment_overall": "Enrollments",
    "experiment_unenrollment_overall": "Unenrollments",
    "experiment_enrollment_cumulative_population_estimate": "Population",
    "experiment_enrollment_daily_active_population": "Daily active clients",
    "experiment_enrollment_other_events_overall": "Failures and other events",
    "experiment_cumulative_search_count": "Searches",
    "experiment_cumulative_search_with_ads_count": "Searches with ads",
    "experiment_cumulative_ad_clicks": "Ad clicks",
}
"""What the datasets are called on a page, in its order."""
GRACE = {WINDOW: timedelta(minutes=15), BUCKET: timedelta(minutes=15), DAY: HOUR}
"""So much later than it could be there at the earliest, data is late: as `expmon status` has it."""

# Any two branches differ by line also where there is no colour: up to 30 of them, as 6 colours and
# 5 lines have no common divisor. The style has the colours.
_COLOURS = 6
_DASHES = ("", "8 4", "2 3", "12 3 2 3", "5 2")
NOTHING = "\N{EN DASH}"
"""In place of what is not known."""
_NAME = 80
"""So many characters of a branch's name are shown."""


def named(exported: Iterable[Exported]) -> dict[str, Exported]:
    """The exported datasets by their titles, in the order of these."""
    by_name = {e.dataset.name: e for e in exported}
    return {title: by_name[name] for name, title in TITLES.items() if name in by_name}


def branch(name: str, place: int) -> Element:
    """A branch's line and name.

    Args:
        name: of the branch.
        place: among the experiment's branches.
    """
    shape = h(
        "line", x1="1", x2="27", y1="5", y2="5", stroke_dasharray=_DASHES[place % len(_DASHES)]
    )
    svg = h("svg", shape, viewBox="0 0 28 10", width="28", height="10", aria_hidden="true")
    swatch = h("span", svg, class_=f"swatch c{place % _COLOURS}")
    # Isolated, since a name may be written from right to left.
    text = h("bdi", shown_branch(name, _NAME))
    return h("span", swatch, " ", text, class_="branch", data_branch=str(place))


def moment(time: datetime | None, *, is_aged: bool = False) -> Child:
    """A time in UTC; where it has an age, the page adds that by the reader's clock."""
    if time is None:
        return NOTHING
    iso = f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    text = f"{time:%Y-%m-%d %H:%M} UTC"
    return h("time", text, datetime=iso, class_="aged" if is_aged else None)


def number(value: int | None) -> str:
    """With commas; a dash for what is not known."""
    return NOTHING if value is None else f"{value:,}"


def span(time: timedelta) -> str:
    """How long that is, for people: ``7 minutes``, ``3 hours``, ``2 days``."""
    minutes = time // timedelta(minutes=1)
    for size, unit in ((48 * 60, "day"), (60, "hour")):
        if minutes >= size:
            count = minutes // (24 * 60 if unit == "day" else 60)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


def is_late(exported: Exported, as_of: datetime, day_lag: timedelta) -> bool:
    """Whether there should be newer data by now; not of what has none yet.

    Args:
        exported: the dataset.
        as_of: now: when the experiment was last exported.
        day_lag: how long after its end a day is ready.
    """
    if exported.until is None:
        return False
    step = exported.step
    wait = {WINDOW: timedelta(0), BUCKET: BUCKET, DAY: DAY + day_lag}[step] + GRACE[step]
    return as_of - exported.until > wait


def verdict(experiment: Experiment, exported_at: datetime, day_lag: timedelta) -> Element:
    """How fresh an experiment's data is, in a few words.

    Args:
        experiment: all of it.
        exported_at: when all that is active was last exported.
        day_lag: how long after its end a day is ready.
    """
    if exported_at - experiment.as_of > BUCKET:
        return h("span", "no longer exported", class_="pill over")
    late = sum(is_late(e, experiment.as_of, day_lag) for e in experiment.exported)
    if late:
        return h("span", f"{late} of {len(experiment.exported)} series late", class_="pill late")
    return h("span", "up to date", class_="pill fresh")


def day_of_total(exported: Exported) -> date | None:
    """The day that the total of a daily dataset is of; None for all others."""
    if exported.dataset.series is not Series.DAILY or not exported.has_begun:
        return None
    return None if exported.until is None else (exported.until - DAY).date()


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Child]], *, label: str, class_: str
) -> Element:
    """Rows under their columns, each beginning with what it is of.

    What is a text is a number, and stands to the right. The roles are said since a narrow page
    shows each row as a block, which a table is not.

    Args:
        columns: their headings.
        rows: as many cells each.
        label: what the table is of.
        class_: for the style; ``stacked`` for blocks on a narrow page.
    """
    given = list(rows)
    kinds: list[str | None] = [None] * (len(columns) - 1)
    if given:
        kinds = ["number" if isinstance(cell, str) else None for cell in given[0][1:]]
    labels = columns[1:] if "stacked" in class_ else [None] * len(kinds)
    head = [
        h("th", text, scope="col", role="columnheader", class_=kind)
        for text, kind in zip(columns, [None, *kinds], strict=True)
    ]
    body = []
    for first, *rest in given:
        cells = [
            h("td", h("span", cell), role="cell", data_label=name, class_=kind)
            for name, cell, kind in zip(labels, rest, kinds, strict=True)
        ]
        body.append(h("tr", h("th", first, scope="row", role="rowheader"), *cells, role="row"))
    found = h(
        "table",
        h("thead", h("tr", *head, role="row"), role="rowgroup"),
        h("tbody", *body, role="rowgroup"),
        class_=class_,
        role="table",
        aria_label=label,
    )
    return h("div", found, class_="scroll", tabindex="0", role="region", aria_label=label)
