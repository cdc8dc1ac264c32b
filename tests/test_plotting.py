from __future__ import annotations

import io
import shutil
import subprocess
import sys
from datetime import UTC, date, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pyarrow as pa
import pytest
from matplotlib.dates import num2date
from PIL import Image

import pings
import playing
import reference
from expmon import Monitor, connect
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import (
    ExtraMissing,
    InvalidInput,
    InvalidSlug,
    InvalidTime,
    PermissionMissing,
    UnknownDataset,
)
from expmon.warehouse.fake import FakeWarehouse
from playing import at

OVERALL = "experiment_enrollment_overall"
POPULATION = "experiment_enrollment_cumulative_population_estimate"
ACTIVE = "experiment_enrollment_daily_active_population"
MINUTE = timedelta(minutes=1)
WINDOW, HALF_HOUR = 5 * MINUTE, 30 * MINUTE
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UNITS = {
    OVERALL: "enrollments per 30 minutes",
    "experiment_unenrollment_overall": "unenrollments per 30 minutes",
    "experiment_enrollment_other_events_overall": "other events per 30 minutes",
    POPULATION: "clients enrolled",
    ACTIVE: "clients of the day before",
    "experiment_cumulative_ad_clicks": "ad clicks so far",
    "experiment_cumulative_search_count": "searches so far",
    "experiment_cumulative_search_with_ads_count": "searches with ads so far",
}
NOW = at("2021-01-26T04:10")
T = at("2021-01-24T00:00")

POINTS = pa.schema(
    [
        ("time", pa.timestamp("us", "UTC")),
        ("branch", pa.string()),
        ("experiment", pa.string()),
        ("value", pa.int64()),
    ]
)
METADATA = pa.schema(
    [
        ("slug", pa.string()),
        ("start_date", pa.date32()),
        ("relation", pa.string()),
        ("latest_partition", pa.string()),
        ("as_of", pa.timestamp("us", "UTC")),
        ("enrollment_end_date", pa.date32()),
    ]
)


def monitor_of(series, metadata=()):
    """A monitor of these points, ``(time, branch, value)`` by dataset, and no others."""
    tables = {
        name: pa.Table.from_pylist(
            [
                {"time": time, "branch": branch, "experiment": "exp", "value": value}
                for time, branch, value in series.get(name, ())
            ],
            schema=POINTS,
        )
        for name in UNITS
    }
    answers = {f"telemetry.{name}": table for name, table in tables.items()}
    answers["plot_metadata"] = pa.Table.from_pylist(list(metadata), schema=METADATA)
    return Monitor(FakeWarehouse(answers=answers), None)


def written(name, *, partition="20210126", as_of=NOW):
    return {
        "relation": f"telemetry_derived.{name}",
        "latest_partition": partition,
        "as_of": as_of,
    }


def style(line):
    return line.get_color(), line.get_linestyle(), line.get_marker()


def drawn(figure):
    """By panel and branch as the legend says it: the points that are drawn, in UTC."""
    legend = figure.legends[1]
    texts = [text.get_text() for text in legend.get_texts()]
    styles = [style(line) for line in legend.get_lines()]
    branches = dict(zip(styles, texts, strict=True))
    assert len(branches) == len(texts), "two branches look the same"
    return {
        ax.get_title(): {
            branches[style(line)]: [
                (num2date(x, UTC), int(y)) for x, y in zip(*line.get_data(), strict=True)
            ]
            for line in ax.lines
            if line.get_marker() != "None"
        }
        for ax in figure.axes
    }


def marks(figure):
    """What the legend above says, and at which times each panel has a line."""
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    times = [
        {num2date(line.get_xdata()[0], UTC) for line in ax.lines if line.get_marker() == "None"}
        for ax in figure.axes
    ]
    return texts, times


def live(figure):
    """From when to when the first panel is grey."""
    (patch,) = figure.axes[0].patches
    return tuple(num2date(x, UTC) for x in (patch.get_x(), patch.get_x() + patch.get_width()))


def form_of(figure, form):
    """The bytes of the figure's file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form)
    return buffer.getvalue()


# Every dataset, from pings


PINGS = [
    *(
        pings.event_ping(
            (T + hours * HOUR + timedelta(minutes=7 * number)).isoformat(),
            *(
                pings.event(method, branch=branch)
                for method in ("enroll", "enroll", "unenroll", "update")
                if (hours + number + len(method)) % 3
            ),
        )
        for hours in range(52)
        for number, branch in enumerate(("a", "b", None))
        if (hours * 7 + number) % 5
    ),
    *(
        pings.main_ping(
            (T + hours * HOUR).isoformat(),
            {"exp": branch},
            searches={"x": hours},
            with_ads={"x": 2},
            ad_clicks={"x": 1},
        )
        for hours in range(0, 52, 5)
        for branch in ("a", "b")
    ),
]
PLAYED = reference.Played(
    PINGS, NOW, frozenset({date(2021, 1, 24), date(2021, 1, 25)}), frozenset(), date(2021, 1, 24)
)


@pytest.fixture(scope="module")
def played(deployed_file, tmp_path_factory):
    place = tmp_path_factory.mktemp("plotted")
    path = shutil.copy(deployed_file, place / "plotted.duckdb")
    with connect(f"duckdb://{path}") as monitor:
        playing.ingest(monitor, place / "pings.jsonl", PINGS)
        row = {"normandy_slug": "exp", "start_date": date(2021, 1, 24)}
        rows = [row, {**row, "enrollment_end_date": date(2021, 1, 25)}]
        monitor.warehouse.load(EXPERIMENTS, rows)
        for cadence in ("daily", "live"):
            monitor.run(cadence, NOW)
        yield monitor


def slot(time, width=HALF_HOUR):
    return time - (time - T) % width


def rolled_up(name):
    """By branch, what must be drawn of a dataset's rows, by plain Python."""
    rows = [row for row in reference.derived(PLAYED)[name] if row[2] == "exp"]
    branches = {row[1] for row in rows}
    if name == ACTIVE:
        return {b: [(t, v) for t, branch, _, v in rows if branch == b] for b in branches}
    if not UNITS[name].endswith("per 30 minutes"):
        last = {(b, slot(t)): (t + WINDOW, v) for t, b, _, v in sorted(rows)}
        return {b: [point for (c, _), point in sorted(last.items()) if c == b] for b in branches}
    slots = [slot(min(row[0] for row in rows))]
    while slots[-1] + 2 * HALF_HOUR <= NOW and slots[-1] < slot(max(row[0] for row in rows)):
        slots.append(slots[-1] + HALF_HOUR)
    lines = {}
    for b in branches:
        counts = [sum(v for t, c, _, v in rows if c == b and slot(t) == s) for s in slots]
        lines[b] = list(zip([*slots, slots[-1] + HALF_HOUR], [*counts, counts[-1]], strict=True))
    return lines


def named(lines):
    return {"null (no branch)" if b == "null" else b: points for b, points in lines.items()}


@pytest.mark.parametrize("name", UNITS)
def test_each_branch_has_a_line_of_its_points_rolled_up(played, name):
    figure = played.plot(name, "exp")
    assert drawn(figure) == {name: named(rolled_up(name))}
    assert figure.axes[0].get_ylabel() == UNITS[name]


def test_an_experiment_has_a_panel_for_each_dataset_over_the_same_times(played):
    figure = played.plot_experiment("exp")
    assert drawn(figure) == {name: named(rolled_up(name)) for name in UNITS}
    assert {ax.get_title(): ax.get_ylabel() for ax in figure.axes} == UNITS
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    left, right = (num2date(x, UTC) for x in figure.axes[0].get_xlim())
    assert T - HOUR < left < T
    assert NOW < right < NOW + HOUR
    assert [ax.get_xlabel() for ax in figure.axes] == [""] * 6 + ["time, UTC"] * 2


def test_the_start_the_end_of_enrollment_and_what_is_live_are_marked(played):
    texts, times = marks(played.plot_experiment("exp"))
    assert texts == [
        "start of the experiment: 2021-01-24",
        "end of enrollment: 2021-01-25",
        "live counts, final before 2021-01-26 00:00 UTC",
    ]
    known = {at("2021-01-24T00:00"), at("2021-01-25T00:00")}
    assert times == [
        known if name == ACTIVE else {*known, at("2021-01-26T00:00")} for name in UNITS
    ]


def test_one_branch_can_be_drawn_between_two_times(played):
    figure = played.plot(POPULATION, "exp", "b", T, date(2021, 1, 25))
    (lines,) = drawn(figure).values()
    rows = [row for row in reference.derived(PLAYED)[POPULATION] if row[1:3] == ("b", "exp")]
    day = [row for row in sorted(rows) if row[0] < T + DAY]
    quarters = {slot(t, 15 * MINUTE): (t + WINDOW, v) for t, _, _, v in day}
    assert lines == {"b": list(quarters.values())}
    assert len(quarters) > 90


# What is drawn of a few points


def test_counts_of_slots_are_added_up_and_what_lies_between_is_zero():
    points = [
        (T + HOUR, "a", 1),
        (T + HOUR + 10 * MINUTE, "a", 2),
        (T + HOUR + 14 * MINUTE, "b", 4),
        (T + HOUR + 15 * MINUTE, "a", 8),
        (T + 12 * HOUR, "a", 16),
    ]
    figure = monitor_of({OVERALL: points}).plot(OVERALL, "exp")
    lines = drawn(figure)[OVERALL]
    assert figure.axes[0].get_ylabel() == "enrollments per 15 minutes"
    slots = [T + HOUR + n * 15 * MINUTE for n in range(46)]
    assert [time for time, _ in lines["a"]] == slots
    assert [value for _, value in lines["a"]] == [3, 8, *[0] * 42, 16, 16]
    assert [value for _, value in lines["b"]] == [4, *[0] * 45]
    assert {line.get_drawstyle() for line in figure.axes[0].lines} == {"steps-post"}


@pytest.mark.parametrize(
    ("span", "unit"),
    [
        (10 * HOUR - WINDOW, "5 minutes"),
        (10 * HOUR, "15 minutes"),
        (30 * HOUR, "30 minutes"),
        (60 * HOUR, "hour"),
        (5 * DAY, "3 hours"),
        (15 * DAY, "6 hours"),
        (30 * DAY, "12 hours"),
        (60 * DAY, "day"),
        (700 * DAY, "day"),
    ],
)
def test_a_line_has_at_most_120_points_or_one_for_each_day(span, unit):
    points = [(T, "a", 1), (T + span, "a", 1)]
    figure = monitor_of({OVERALL: points}).plot(OVERALL, "exp")
    (line,) = drawn(figure)[OVERALL].values()
    assert figure.axes[0].get_ylabel() == f"enrollments per {unit}"
    assert sum(value for _, value in line[:-1]) == 2
    assert len(line) <= (122 if unit != "day" else 702)


LONG = [(T, "a", 1), (T + 11 * HOUR, "a", 2), (T + 11 * HOUR + 15 * MINUTE, "a", 4)]


@pytest.mark.parametrize(
    ("start", "end", "as_of", "ends"),
    [
        (None, None, T + 11 * HOUR + 30 * MINUTE, (1, 4)),
        (None, None, T + 11 * HOUR + 29 * MINUTE, (1, 2)),
        (None, T + 11 * HOUR + 20 * MINUTE, NOW, (1, 2)),
        (None, T + 11 * HOUR + 30 * MINUTE, NOW, (1, 4)),
        (T, None, NOW, (1, 4)),
        (T - MINUTE, None, NOW, (1, 4)),
        (T + MINUTE, None, NOW, (0, 4)),
    ],
)
def test_a_slot_that_is_not_over_or_cut_off_is_not_shown(start, end, as_of, ends):
    metadata = [written(f"{OVERALL}_v1", as_of=as_of)]
    figure = monitor_of({OVERALL: LONG}, metadata).plot(OVERALL, "exp", None, start, end)
    line = drawn(figure)[OVERALL]["a"]
    assert (line[0][1], line[-1][1]) == ends
    assert line[-1][1] == line[-2][1]


def test_windows_are_shown_as_they_are_also_the_last_one():
    points = [(T, "a", 1), (T + WINDOW, "a", 2)]
    metadata = [written(f"{OVERALL}_v1", as_of=T + WINDOW + MINUTE)]
    figure = monitor_of({OVERALL: points}, metadata).plot(OVERALL, "exp")
    assert drawn(figure)[OVERALL] == {"a": [(T, 1), (T + WINDOW, 2), (T + 2 * WINDOW, 2)]}


def test_a_cumulative_value_stands_at_the_end_of_its_window_and_the_latest_is_shown():
    points = [(T + n * WINDOW, "a", n) for n in range(200)]
    metadata = [written(f"{POPULATION}_v1", as_of=T + 200 * WINDOW)]
    line = drawn(monitor_of({POPULATION: points}, metadata).plot(POPULATION, "exp"))[POPULATION]
    wanted = [(T + (n + 1) * WINDOW, n) for n in range(2, 200, 3)] + [(T + 200 * WINDOW, 199)]
    assert line == {"a": wanted}


def test_a_series_below_zero_is_all_in_view():
    figure = monitor_of({POPULATION: [(T, "a", -5)]}).plot(POPULATION, "exp")
    low, high = figure.axes[0].get_ylim()
    assert low < -5 < 0 < high


# Marks


EXPERIMENT = {
    "slug": "exp",
    "start_date": date(2021, 1, 20),
    "enrollment_end_date": date(2021, 2, 20),
}


def test_what_lies_outside_of_the_times_shown_is_said_and_does_not_widen_them():
    monitor = monitor_of({OVERALL: [(T, "a", 1), (T + HOUR, "a", 1)]}, [EXPERIMENT])
    figure = monitor.plot(OVERALL, "exp")
    texts, _ = marks(figure)
    assert texts == [
        "start of the experiment: 2021-01-20, not in view",
        "end of enrollment: 2021-02-20, not in view",
        "live counts: no day is final yet",
    ]
    left, right = (num2date(x, UTC) for x in figure.axes[0].get_xlim())
    assert T - HOUR < left < right < T + 2 * HOUR
    assert live(figure) == (T, T + HOUR + WINDOW)


@pytest.mark.parametrize(
    ("partition", "since"), [("20210124", T + DAY), ("20210123", T), ("20200101", T)]
)
def test_counts_are_live_from_the_end_of_the_last_final_day_on(partition, since):
    metadata = [
        written("experiment_enrollment_aggregates_v1", partition=partition),
        written("experiment_search_aggregates_v1", partition="20210125"),
    ]
    monitor = monitor_of({POPULATION: [(T, "a", 1), (T + 2 * DAY, "a", 1)]}, metadata)
    assert live(monitor.plot(POPULATION, "exp")) == (since, T + 2 * DAY + WINDOW)


def test_searches_have_their_own_end_of_final_days():
    metadata = [
        written("experiment_enrollment_aggregates_v1", partition="20210123"),
        written("experiment_search_aggregates_v1", partition="20210124"),
    ]
    name = "experiment_cumulative_search_count"
    monitor = monitor_of({name: [(T, "a", 1), (T + 2 * DAY, "a", 1)]}, metadata)
    assert live(monitor.plot(name, "exp")) == (T + DAY, T + 2 * DAY + WINDOW)


def test_nothing_is_grey_where_all_is_final():
    metadata = [written("experiment_enrollment_aggregates_v1", partition="20210126")]
    first, last = live(monitor_of({OVERALL: [(T, "a", 1)]}, metadata).plot(OVERALL, "exp"))
    assert first == last


def test_without_metadata_start_and_end_of_enrollment_are_not_marked():
    figure = monitor_of({ACTIVE: [(T, "a", 1)]}).plot(ACTIVE, "exp")
    assert marks(figure) == ([], [set()])
    assert drawn(figure) == {ACTIVE: {"a": [(T, 1)]}}


def test_who_may_read_the_views_alone_gets_a_picture_that_says_what_it_lacks():
    class Views(FakeWarehouse):
        def query(self, statement, parameters, *, progress=False):
            if statement.name == "plot_metadata":
                raise PermissionMissing("x", "y", "z")
            return FakeWarehouse.query(self, statement, parameters)

    answers = monitor_of({OVERALL: [(T, "a", 1)]}).warehouse.answers
    figure = Monitor(Views(answers=answers), None).plot(OVERALL, "exp")
    assert drawn(figure)[OVERALL] == {"a": [(T, 1), (T + WINDOW, 1)]}
    assert marks(figure) == (
        ["not marked, for want of permission: start, final and live counts"],
        [set()],
    )


def test_a_query_is_made_for_each_dataset_and_one_for_the_marks():
    monitor = monitor_of({})
    monitor.plot(OVERALL, "exp")
    assert [name for name, _ in monitor.warehouse.queries] == [
        f"telemetry.{OVERALL}",
        "plot_metadata",
    ]
    monitor.plot_experiment("exp")
    assert len(monitor.warehouse.queries) == 2 + 9


def test_times_are_utc_whatever_matplotlib_is_set_to():
    with mpl.rc_context({"timezone": "Asia/Kathmandu"}):
        points = [(T, "a", 1), (T + 9 * HOUR, "a", 1)]
        figure = monitor_of({OVERALL: points}).plot(OVERALL, "exp")
        form_of(figure, "png")
        axis = figure.axes[0].xaxis
        labels = {
            num2date(place, UTC): label.get_text()
            for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
        }
    assert labels[T + 3 * HOUR] == "03:00"
    assert figure.axes[0].get_xlabel() == "time, UTC"


# Branches, panels, and pictures without any


def test_thirty_branches_differ_without_colour_and_are_all_in_the_legend():
    names = [f"branch-{number:02}" for number in range(30)]
    points = [(T + n * WINDOW, name, n) for n in range(3) for name in names]
    figure = monitor_of({POPULATION: points}).plot(POPULATION, "exp")
    assert list(drawn(figure)[POPULATION]) == names
    lines = figure.legends[1].get_lines()
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 30


HOSTILE = {
    "": "''",
    "$x$": "$x$",
    "$\\nonsense{$": "$\\nonsense{$",
    "<b>&amp;": "<b>&amp;",
    "_hidden": "_hidden",
    "a\nb": "a\\nb",
    "n\u202eame": "n\\u202eame",
    "null": "null (no branch)",
    "null (no branch)": "null (no branch)",
    "x" * 1000: "x" * 20 + "…" + "x" * 11,
    "é": "é",
}


def test_names_are_shown_as_they_are_and_never_interpreted():
    points = [(T, name, 1) for name in HOSTILE]
    figure = monitor_of({POPULATION: points}).plot(POPULATION, "exp")
    texts = [text.get_text() for text in figure.legends[1].get_texts()]
    assert texts == [HOSTILE[name] for name in sorted(HOSTILE)]
    assert form_of(figure, "svg").startswith(b"<?xml")


def test_a_branch_looks_the_same_in_every_panel():
    points = {OVERALL: [(T, "b", 1)], POPULATION: [(T, "a", 1), (T, "b", 1)]}
    figure = monitor_of(points).plot_experiment("exp")
    assert drawn(figure) == {
        OVERALL: {"b": [(T, 1), (T + WINDOW, 1)]},
        POPULATION: {"a": [(T + WINDOW, 1)], "b": [(T + WINDOW, 1)]},
    }


@pytest.mark.parametrize("slug", ["exp", "x" * 150])
def test_a_picture_without_rows_says_so(slug):
    monitor = monitor_of({}, [EXPERIMENT])
    for figure in (monitor.plot(OVERALL, slug), monitor.plot_experiment(slug)):
        assert [text.get_text() for text in figure.texts if text.get_text()][-1] == "no rows"
        assert figure.get_suptitle().replace("\n", "") == slug
        assert figure.axes == []
        assert form_of(figure, "png").startswith(b"\x89PNG")


def test_a_long_slug_is_all_in_the_title():
    figure = monitor_of({OVERALL: [(T, "a", 1)]}).plot(OVERALL, "x" * 150)
    assert figure.legends[0].get_title().get_text() == "x" * 80 + "\n" + "x" * 70


# Files, notebooks, and what is refused


def test_a_figure_becomes_a_png_and_an_svg():
    figure = monitor_of({OVERALL: [(T, "a", 1)]}, [EXPERIMENT]).plot_experiment("exp")
    with Image.open(io.BytesIO(form_of(figure, "png"))) as image:
        image.load()
        assert image.width == 900
        assert len(image.convert("L").getcolors()) > 10
    assert ET.fromstring(form_of(figure, "svg")).tag.endswith("}svg")


def test_a_notebook_shows_a_figure_as_a_png():
    figure = monitor_of({OVERALL: [(T, "a", 1)]}).plot(OVERALL, "exp")
    with Image.open(io.BytesIO(figure._repr_png_())) as image:
        assert (image.format, image.width) == ("PNG", 900)


def test_pyplot_with_its_global_state_is_not_imported():
    code = (
        "import sys, io; sys.path[:0] = sys.argv[1:]; import test_plotting as t\n"
        "points = {t.OVERALL: [(t.T, 'a', 1)]}\n"
        "figure = t.monitor_of(points).plot(t.OVERALL, 'exp')\n"
        "figure._repr_png_(); figure.savefig(io.BytesIO(), format='svg')\n"
        "assert 'matplotlib' in sys.modules; print('matplotlib.pyplot' in sys.modules)"
    )
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", code, here]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "expmon.plotting.figure", raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraMissing, match=r"pip install 'expmon\[plot\]'") as caught:
        monitor_of({}).plot(OVERALL, "exp")
    assert caught.value.extra == "plot"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("experiment_enrolment_overall", "exp"), UnknownDataset, OVERALL),
        (("experiment_enrollment_other_events", "exp"), InvalidInput, "can't be plotted; these"),
        (("experiment_enrollment_aggregates_live", "exp"), InvalidInput, "can't be plotted"),
        (("telemetry.experiment_search_aggregates_live", "exp"), InvalidInput, "can't be plotted"),
        ((OVERALL, "../exp"), InvalidSlug, "not an experiment slug"),
        ((OVERALL, "exp", 5), InvalidInput, "branch must be a text"),
        ((OVERALL, "exp", None, T.replace(tzinfo=None)), InvalidTime, "no time zone"),
        ((OVERALL, "exp", None, T, T - HOUR), InvalidTime, "before start"),
    ],
)
def test_what_fetch_refuses_is_refused_before_any_query(arguments, error, message):
    monitor = monitor_of({})
    with pytest.raises(error, match=message):
        monitor.plot(*arguments)
    assert monitor.warehouse.queries == []


def test_a_view_may_be_named_with_its_dataset():
    monitor = monitor_of({OVERALL: [(T, "a", 1)]})
    assert drawn(monitor.plot(f"telemetry.{OVERALL}", "exp")) == {
        OVERALL: {"a": [(T, 1), (T + WINDOW, 1)]}
    }
