"""The pages as people see them, in Chromium."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise

import pytest
from axe_playwright_python.sync_playwright import Axe

from playing import at
from reporting import (
    ACTIVE,
    EIGHT,
    ENROLLED,
    HOSTILE_BRANCHES,
    MANY,
    NOON,
    OLD,
    POPULATION,
    SEARCHES,
    TITLES,
    YOUNG,
)

EVERY = [
    *("young-experiment_report", "many-branches_report", "a-rollout_report", "nothing-yet_report"),
    *("stale-data_report", "an-older-experiment_report", "ended-experiment_report"),
    *("hostile-names_report", "index"),
]
HALF_HOUR, HOUR, DAY = timedelta(minutes=30), timedelta(hours=1), timedelta(days=1)
YOUNG_PAGE = "young-experiment_report"
pytestmark = pytest.mark.slow

# How many pixels of a canvas have been drawn on in a colour that is none of grey's.
COLOURED = """
canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [red, green, blue, alpha] = data.slice(i, i + 4);
    if (alpha > 200 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) count++;
  }
  return count;
}
"""


# The texts of those nodes that are wider than there is room for.
CUT = """
nodes => nodes
  .filter(node => getComputedStyle(node).display !== "inline" && node.clientWidth > 1)
  .filter(node => node.scrollWidth > node.clientWidth + 1)
  .map(node => node.textContent)
"""


def chart(page, dataset):
    return page.locator(".chart", has=page.locator(f'[data-chart="{dataset}"]'))


def values(page, dataset):
    """The numbers above a chart, by branch."""
    items = chart(page, dataset).locator(".values li:visible")
    names, numbers = (
        items.locator("bdi").all_inner_texts(),
        items.locator(".value").all_inner_texts(),
    )
    return dict(zip(names, numbers, strict=True))


def readout(page, dataset):
    return plain(chart(page, dataset).locator(".readout").inner_text())


def plain(text):
    return text.replace("\N{EN DASH}", "-")


def counted(made, dataset, start, end):
    """What was counted in that time by branch, of windows that are labelled with their start."""
    found = dict.fromkeys(made.branches(), 0)
    for (moment, branch), value in made.points[dataset].items():
        if start <= moment < end:
            found[branch] += value
    return {branch: f"{value:,}" for branch, value in found.items()}


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1400, "light")])
@pytest.mark.parametrize("name", EVERY)
def test_a_page_is_accessible(look, name, width, scheme):
    page = look(name, width=width, scheme=scheme, bypass_csp=True)  # for the examiner's script
    for details in page.locator("details").all()[:2]:
        details.evaluate("node => { node.open = true; }")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [320, 400, 800, 1400])
@pytest.mark.parametrize("name", EVERY)
def test_a_page_is_never_wider_than_its_window(look, name, width):
    page = look(name, width=width)
    page.locator("details").evaluate_all("nodes => nodes.forEach(node => { node.open = true; })")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    # Nor is any text cut off that can't be scrolled to.
    cut = page.locator("td, th, h1, h2, h3, p, button, .pill").evaluate_all(CUT)
    assert cut == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", [n for n in EVERY if n not in {"index", "nothing-yet_report"}])
def test_every_chart_is_drawn(look, name, width, scheme):
    page = look(name, width=width, scheme=scheme)
    canvases = page.locator("canvas").all()
    assert len(canvases) == (2 if name.startswith("hostile") else 8)
    for canvas in canvases:
        assert canvas.evaluate(COLOURED) > 100


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", EVERY)
def test_what_can_be_tapped_is_large_enough_to_be_hit(look, name, width):
    page = look(name, width=width)
    for target in page.locator("button, summary, nav a").all():
        box = target.bounding_box()
        assert box["height"] >= 24
        assert box["width"] >= 24


@pytest.mark.parametrize("width", [400, 1400])
def test_totals_are_shown(look, width):
    page = look(YOUNG_PAGE, width=width)
    for row, branch in zip(
        page.locator(".totals tbody tr").all()[1:], YOUNG.branches(), strict=True
    ):
        assert row.locator("th").inner_text().strip() == branch
        cells = row.locator("td").all_inner_texts()
        assert [cell.split("\n")[-1] for cell in cells] == [
            f"{YOUNG.total(d, branch):,}" for d in TITLES
        ]


def test_a_chart_says_its_latest_values(look):
    page = look(YOUNG_PAGE)
    assert readout(page, ENROLLED) == "Latest: 28 Jan 2021, 11:30-12:00 UTC"
    assert values(page, ENROLLED) == counted(YOUNG, ENROLLED, NOON - HALF_HOUR, NOON)
    assert chart(page, ENROLLED).locator("h3").inner_text() == "Enrollments per 30 minutes"
    for dataset in (POPULATION, SEARCHES):
        assert readout(page, dataset) == "Latest: 28 Jan 2021, 12:00 UTC"
        assert values(page, dataset) == {
            b: f"{YOUNG.total(dataset, b):,}" for b in YOUNG.branches()
        }
    assert readout(page, ACTIVE) == "Latest: 27 Jan 2021"
    assert values(page, ACTIVE) == {b: f"{YOUNG.total(ACTIVE, b):,}" for b in YOUNG.branches()}


def test_the_window_that_is_not_over_is_shown(look):
    page = look("in-a-window_report")
    assert readout(page, ENROLLED) == "Latest: 28 Jan 2021, 12:00-12:05 UTC"
    assert values(page, ENROLLED) == {"a": "20", "b": "21"}
    assert readout(page, POPULATION) == "Latest: 28 Jan 2021, 12:02 UTC"
    assert values(page, POPULATION) == {"a": "200", "b": "201"}
    slider = chart(page, POPULATION).get_by_role("slider")
    slider.press("ArrowLeft")
    assert readout(page, POPULATION) == "28 Jan 2021, 12:00 UTC"
    assert values(page, POPULATION) == {"a": "100", "b": "101"}
    assert readout(page, ENROLLED) == "28 Jan 2021, 12:00-12:05 UTC"


def test_a_narrow_chart_has_fewer_points(look):
    page = look(YOUNG_PAGE, width=400)
    assert readout(page, ENROLLED) == "Latest: 28 Jan 2021, 11:00-12:00 UTC"
    assert values(page, ENROLLED) == counted(YOUNG, ENROLLED, NOON - HOUR, NOON)


def test_the_time_can_be_chosen(look):
    page = look(YOUNG_PAGE)
    button(page, "Last 6 hours").click()
    assert page.get_by_role("status").inner_text() == "28 Jan 2021, 06:00 to 28 Jan 2021, 12:00 UTC"
    assert chart(page, ENROLLED).locator("h3").inner_text() == "Enrollments per 5 minutes"
    assert values(page, ENROLLED) == counted(YOUNG, ENROLLED, NOON - timedelta(minutes=5), NOON)
    assert button(page, "Last 6 hours").get_attribute("aria-pressed") == "true"
    assert button(page, "All").get_attribute("aria-pressed") == "false"
    # A day has no place in six hours, but those before it are shown.
    assert readout(page, ACTIVE) == "Latest: 27 Jan 2021"
    assert page.locator(f'[data-chart="{ACTIVE}"] canvas').evaluate(COLOURED) > 100
    button(page, "All").click()
    assert chart(page, ENROLLED).locator("h3").inner_text() == "Enrollments per 30 minutes"


def test_an_older_experiment_counts_by_half_hours_when_one_looks_closely(look):
    page = look("an-older-experiment_report")
    assert chart(page, ENROLLED).locator("h3").inner_text() == "Enrollments per day"
    assert readout(page, ENROLLED) == "Latest: 27 Jan 2021"
    # Half hours are labelled with their end.
    start = at("2021-01-27T00:30")
    assert values(page, ENROLLED) == counted(OLD, ENROLLED, start, start + DAY)
    button(page, "Last 6 hours").click()
    assert readout(page, ENROLLED) == "Latest: 28 Jan 2021, 11:30-12:00 UTC"
    assert values(page, ENROLLED) == {
        branch: f"{OLD.points[ENROLLED][NOON, branch]:,}" for branch in OLD.branches()
    }


def test_dragging_zooms_all_charts_and_a_double_click_shows_everything(look):
    page = look(YOUNG_PAGE)
    over = chart(page, POPULATION).locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=5)
    page.mouse.up()
    # From 0:00 on the 26th it is 60 hours.
    shown = page.get_by_role("status").inner_text()
    assert re.fullmatch(r"27 Jan 2021, (00|23):\d\d to 27 Jan 2021, 1[12]:\d\d UTC", shown)
    assert chart(page, ENROLLED).locator("h3").inner_text() == "Enrollments per 15 minutes"
    page.mouse.dblclick(box["x"] + box["width"] * 0.5, middle)
    assert page.get_by_role("status").inner_text() == "26 Jan 2021, 00:00 to 28 Jan 2021, 12:00 UTC"


def test_the_keyboard_moves_the_cursor_of_all_charts(look):
    page = look(YOUNG_PAGE)
    slider = chart(page, ENROLLED).get_by_role("slider")
    slider.focus()
    slider.press("ArrowLeft")
    before = NOON - HALF_HOUR
    expected = counted(YOUNG, ENROLLED, before - HALF_HOUR, before)
    assert readout(page, ENROLLED) == "28 Jan 2021, 11:00-11:30 UTC"
    assert values(page, ENROLLED) == expected
    told = ", ".join(f"{branch} {value}" for branch, value in expected.items())
    assert plain(slider.get_attribute("aria-valuetext")) == f"28 Jan 2021, 11:00-11:30 UTC: {told}"
    # In the middle of that half hour: 11:15.
    assert readout(page, POPULATION) == "28 Jan 2021, 11:15 UTC"
    ended = at("2021-01-28T11:10")
    assert values(page, POPULATION) == {
        branch: f"{YOUNG.points[POPULATION][ended, branch]:,}" for branch in YOUNG.branches()
    }
    slider.press("Home")
    assert readout(page, ENROLLED) == "26 Jan 2021, 09:00-09:30 UTC"
    slider.press("End")
    assert readout(page, ENROLLED) == "28 Jan 2021, 11:30-12:00 UTC"
    slider.press("Escape")
    assert readout(page, ENROLLED) == "Latest: 28 Jan 2021, 11:30-12:00 UTC"


def test_where_a_series_has_ended_its_latest_value_is_said(look):
    page = look(YOUNG_PAGE)
    over = chart(page, ACTIVE).locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    # Of the 60 hours since 0:00 on the 26th, 48 are of whole days.
    for part, told in ((0.2, "26 Jan 2021"), (0.7, "27 Jan 2021"), (0.9, "Latest: 27 Jan 2021")):
        page.mouse.move(box["x"] + box["width"] * part, box["y"] + box["height"] / 2)
        assert readout(page, ACTIVE) == told


def test_a_finger_moves_the_cursor(look):
    page = look(YOUNG_PAGE, width=400, has_touch=True, is_mobile=True)
    over = chart(page, ENROLLED).locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    # Half of the 60 hours since 0:00 on the 26th.
    assert re.match(r"27 Jan 2021, 0[567]:00", readout(page, ENROLLED))


def test_a_branch_can_be_hidden_from_all_charts(look):
    page = look(YOUNG_PAGE)
    toggle = button(page, "treatment-a")
    toggle.click()
    assert toggle.get_attribute("aria-pressed") == "false"
    for dataset in EIGHT:
        assert list(values(page, dataset)) == ["control"]
    slider = chart(page, ENROLLED).get_by_role("slider")
    assert "treatment-a" not in slider.get_attribute("aria-valuetext")
    toggle.press("Enter")
    assert list(values(page, ENROLLED)) == ["control", "treatment-a"]


def test_lines_of_branches_differ_without_colour(look):
    page = look("many-branches_report")
    lines = page.locator(".totals .branch").evaluate_all(
        "nodes => nodes.map(node => [node.querySelector('line').getAttribute('stroke-dasharray'), "
        "getComputedStyle(node.querySelector('.swatch')).color].join())"
    )
    assert len(set(lines)) == len(MANY.branches()) == 13
    dashes = [line.partition("rgb")[0] for line in lines]
    assert all(first != second for first, second in pairwise(dashes))


def test_charts_follow_the_colour_scheme(look):
    page = look(YOUNG_PAGE)
    canvas = page.locator("canvas").first
    light = canvas.evaluate("canvas => canvas.toDataURL()")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "light => document.querySelector('canvas').toDataURL() !== light", arg=light
    )
    page.emulate_media(color_scheme="light")
    page.wait_for_function(
        "light => document.querySelector('canvas').toDataURL() === light", arg=light
    )


def test_charts_grow_and_shrink_with_the_window(look):
    page = look(YOUNG_PAGE)
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_function("document.querySelector('.uplot').clientWidth < 380")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 400
    assert values(page, ENROLLED) == counted(YOUNG, ENROLLED, NOON - HOUR, NOON)


def test_without_javascript_there_are_numbers_and_no_empty_charts(look):
    page = look(YOUNG_PAGE, java_script_enabled=False)
    needed = "The charts need JavaScript; the tables by day don't."
    assert page.get_by_text(needed).is_visible()
    assert look(YOUNG_PAGE).get_by_text(needed).is_hidden()
    row = page.locator(".totals tbody tr").nth(1).locator("td").all_inner_texts()
    assert row == [f"{YOUNG.total(d, 'control'):,}" for d in TITLES]
    assert page.locator("#tools").is_hidden()
    summary = page.locator(f"#{ENROLLED}-summary").inner_text()
    assert f"control {YOUNG.total(ENROLLED, 'control'):,}, treatment-a" in summary
    for plot in page.locator(".plot").all():
        assert plot.bounding_box()["height"] == 0
    page.get_by_text("Enrollments by day", exact=True).click()
    assert page.get_by_role("table", name="Enrollments by day").locator("tbody tr").count() == 3


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ("2021-01-28T12:00:30Z", "(just now)"),
        ("2021-01-28T12:01:00Z", "(1 minute ago)"),
        ("2021-01-28T13:59:00Z", "(1 hour ago)"),
        ("2021-01-30T11:59:00Z", "(47 hours ago)"),
        ("2021-01-30T12:00:00Z", "(2 days ago)"),
        ("2021-01-28T11:58:00Z", "(just now)"),
    ],
)
def test_times_have_their_age_by_the_readers_clock(look, now, told):
    page = look(YOUNG_PAGE, now=now)
    assert page.locator("header .age").inner_text().strip() == told


def test_an_age_grows_while_a_page_is_open(look):
    page = look(YOUNG_PAGE, now="2021-01-28T12:02:00Z")
    page.clock.set_fixed_time("2021-01-28T12:20:00Z")
    page.clock.run_for(31_000)
    assert page.locator("header .age").inner_text().strip() == "(20 minutes ago)"


def test_names_that_look_like_html_are_shown_as_they_are(look):
    page = look("hostile-names_report")
    names = page.locator(".totals tbody bdi").all_inner_texts()
    assert len(names) == len(HOSTILE_BRANCHES)
    for name in ("</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;"):
        assert name in names
        assert values(page, ENROLLED)[name] == f"{1000 + HOSTILE_BRANCHES.index(name):,}"
    assert page.locator("img, iframe, b").count() == 0


def test_the_list_leads_to_the_pages_and_back(look):
    page = look("index")
    page.get_by_role("link", name="young-experiment", exact=True)
    links = page.locator("table a").all()
    assert len(links) == 9
    for link in links:
        assert re.fullmatch(r"[\w.-]+_report\.html", link.get_attribute("href"))
