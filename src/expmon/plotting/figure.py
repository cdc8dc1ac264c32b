"""The picture itself."""

from __future__ import annotations

from datetime import UTC
from io import BytesIO
from textwrap import fill
from typing import TYPE_CHECKING, Literal

from expmon.catalog.model import Series
from expmon.errors import ExtraMissing
from expmon.slugs import shown_branch

try:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter
except ModuleNotFoundError as error:
    raise ExtraMissing("plot", "matplotlib") from error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    from expmon.plotting.series import Drawing, Line, Marks, Panel

_Place = Literal["outside upper center", "outside lower center"]

# Any two branches differ by line or marker also where there is no colour: up to 36 of them, as 4
# and 9 have no common divisor. The colours are those of Okabe and Ito, for all kinds of eyes.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4D4D4D")
_LINES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "<", "X", ">")
_MARKED = 10
"""About so many points of a line have its marker."""
_INK = "0.15"
_LIVE = "0.9"
_NAME = 32
"""So many characters of a branch's name are shown."""


class Picture(Figure):
    """A figure that a notebook shows also where nothing has set up pyplot, which others rely on."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def picture(drawn: Drawing) -> Picture:
    """The panels below what is marked, over one axis of time, and what each line is."""
    figure = Picture(layout="constrained")
    title = fill(drawn.slug, 80)
    if not drawn.panels:
        figure.set_size_inches(9, 3)
        _plain(figure.suptitle(title))
        figure.text(0.5, 0.45, "no rows", ha="center", va="center", color=_INK)
        return figure
    branches = sorted({branch for panel in drawn.panels for branch in panel.lines})
    axes = _grid(figure, len(drawn.panels))
    view = _view(drawn.panels)
    lines: dict[str, Artist] = {}
    marked: dict[str, Artist] = {}
    for ax, panel in zip(axes, drawn.panels, strict=True):
        for branch, line in panel.lines.items():
            lines[branch] = _draw(ax, line, branches.index(branch), panel)
        _finish(ax, panel)
        marked |= _mark(ax, panel, drawn.marks, view)
        _limit(ax, view)
    rows = _legend(figure, "outside upper center", list(marked.items()), title)
    named = [(shown_branch(b, _NAME), lines[b]) for b in branches]
    rows += _legend(figure, "outside lower center", named)
    is_one = len(axes) == 1
    height = 3.4 if is_one else 2.3 * ((len(axes) + 1) // 2)
    figure.set_size_inches(9 if is_one else 13, height + 0.2 * rows + 0.4)
    return figure


def _grid(figure: Figure, count: int) -> list[Axes]:
    """Panels in two columns that share their times; one alone has the whole width."""
    columns = min(count, 2)
    rows = -(-count // columns)
    axes: list[Axes] = []
    for place in range(count):
        shared = axes[0] if axes else None
        ax = figure.add_subplot(rows, columns, place + 1, sharex=shared)
        is_lowest = place + columns >= count
        ax.tick_params(labelbottom=is_lowest)
        if is_lowest:
            ax.set_xlabel("time, UTC")
        axes.append(ax)
    return axes


def _view(panels: Sequence[Panel]) -> tuple[datetime, datetime]:
    """From when to when the panels go."""
    ends = (line.times[-1] for panel in panels for line in panel.lines.values())
    return min(panel.since for panel in panels), max(ends)


def _draw(ax: Axes, line: Line, number: int, panel: Panel) -> Line2D:
    every = max(1, len(line.times) // _MARKED)
    (drawn,) = ax.plot(
        date2num(line.times),
        line.heights,
        drawstyle="steps-post" if panel.dataset.series is Series.COUNT else "default",
        color=_COLOURS[number % len(_COLOURS)],
        linestyle=_LINES[number % len(_LINES)],
        linewidth=1.3,
        marker=_MARKERS[number % len(_MARKERS)],
        markersize=4.5,
        # Lines that lie over each other have their markers in different places.
        markevery=(3 * number % every, every),
    )
    return drawn


def _finish(ax: Axes, panel: Panel) -> None:
    """Axes with their units, whole numbers from zero on, times in UTC whatever is configured."""
    _plain(ax.set_title(panel.dataset.name, fontsize="medium"))
    ax.set_ylabel(panel.unit)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    values = [value for line in panel.lines.values() for value in line.heights]
    ax.set_ylim(min(0, 1.05 * min(values)), max(1, 1.05 * max(values)))
    locator = AutoDateLocator(tz=UTC)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
    ax.grid(color="0.85", linewidth=0.6)
    ax.set_axisbelow(True)


def _mark(
    ax: Axes, panel: Panel, marks: Marks | None, view: tuple[datetime, datetime]
) -> dict[str, Artist]:
    """What is marked, by what the legend says of it."""
    first, last = view
    if marks is None:
        return {"not marked, for want of permission: start, final and live counts": Line2D([], [])}
    found: dict[str, Artist] = {}
    for what, time, style in (
        ("start of the experiment", marks.start, "-"),
        ("end of enrollment", marks.enrollment_end, (0, (6, 3))),
    ):
        if time is not None:
            where = "" if first <= time <= last else ", not in view"
            line = ax.axvline(date2num(time), color=_INK, linestyle=style, linewidth=1.8)
            found[f"{what}: {time:%Y-%m-%d}{where}"] = line
    if panel.dataset.tiers is not None:
        final_until = marks.final_until.get(panel.dataset.tiers.daily.name)
        label = "live counts: no day is final yet"
        if final_until is not None:
            label = f"live counts, final before {final_until:%Y-%m-%d %H:%M} UTC"
            ax.axvline(date2num(final_until), color="0.5", linewidth=0.8)
        since = first if final_until is None else max(first, final_until)
        span = date2num([since, max(since, last)])
        found[label] = ax.axvspan(*span, color=_LIVE, linewidth=0, zorder=0)
    return found


def _limit(ax: Axes, view: tuple[datetime, datetime]) -> None:
    """Show these times, and a little more, since the first may be marked."""
    first, last = date2num(view)
    margin = 0.01 * (last - first)
    ax.set_xlim(first - margin, last + margin)


def _legend(
    figure: Figure, place: _Place, entries: Sequence[tuple[str, Artist]], title: str | None = None
) -> int:
    """A legend above or below the panels, and how many rows it has."""
    columns = 120 // (8 + max((len(text) for text, _ in entries), default=0))
    columns = min(max(1, columns), 6)
    legend = figure.legend(
        [handle for _, handle in entries],
        # Entries that begin with _ would be left out: the texts come afterwards.
        [str(number) for number in range(len(entries))],
        loc=place,
        ncols=columns,
        fontsize="small",
        handlelength=4,
        frameon=False,
        title=title,
        title_fontsize="large",
    )
    _plain(legend.get_title())
    for text, (label, _) in zip(legend.get_texts(), entries, strict=True):
        text.set_text(label)
        _plain(text)
    return -(-len(entries) // columns) + len((title or "").splitlines())


def _plain(text: Text) -> None:
    """Names may look like mathematics or TeX, and are neither."""
    text.set_parse_math(False)
    text.set_usetex(False)
