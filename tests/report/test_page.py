"""What a page says, beside what plain Python makes of the same points."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from bs4 import BeautifulSoup

import expmon
import pings
import reporting
from expmon import Monitor
from expmon.catalog.sources import EXPERIMENTS
from expmon.errors import StoreError
from expmon.export.store import MemoryStore
from expmon.warehouse.fake import FakeWarehouse
from playing import at
from reporting import (
    ACTIVE,
    CLICKS,
    EIGHT,
    EMPTY,
    ENDED,
    ENROLLED,
    HOSTILE,
    HOSTILE_BRANCHES,
    MANY,
    NOON,
    OLD,
    OTHER,
    POPULATION,
    ROLLOUT,
    SEARCHES,
    STALE,
    TITLES,
    UNENROLLED,
    WITH_ADS,
    YOUNG,
    Made,
)

COUNTS = {ENROLLED, UNENROLLED, OTHER}
DAY = timedelta(days=1)


def html_of(*made, slug=None, as_of=None):
    store = MemoryStore()
    reporting.write(store, *made, as_of=as_of)
    return Monitor(FakeWarehouse(), store).report(slug or made[0].slug)


def page_of(*made, **options):
    return BeautifulSoup(html_of(*made, **options), "html.parser")


def told(node):
    """The text of a node, its spaces made one."""
    return " ".join(node.get_text().split())


def table(page, label):
    """A table's cells by row and column."""
    found = page.find("table", attrs={"aria-label": label})
    columns = [told(cell) for cell in found.thead.find_all("th")]
    rows = [
        [told(cell) for cell in row.find_all(["th", "td"])] for row in found.tbody.find_all("tr")
    ]
    if "stacked" in found["class"]:  # a narrow page shows these instead of the heads
        for row in found.tbody.find_all("tr"):
            assert [cell["data-label"] for cell in row.find_all("td")] == columns[1:]
    return {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in rows}


def series_of(page):
    """The points of the charts: by dataset and place of the branch, the ends and values."""
    found = {}
    for chart in json.loads(page.find("script", id="data").string):
        for line in chart["lines"]:
            ends = [
                datetime.fromtimestamp(minutes * 60, UTC)
                for minutes in itertools.accumulate(line["minutes"])
            ]
            values = itertools.accumulate(line["values"])
            found[chart["id"], line["branch"]] = dict(zip(ends, values, strict=True))
    return found


def heading(made, dataset):
    if dataset != ACTIVE or not made.points[ACTIVE]:
        return TITLES[dataset]
    return f"{TITLES[ACTIVE]}, {made.last_day - DAY:%d %b}"


@pytest.mark.parametrize("made", [YOUNG, MANY, ROLLOUT, STALE, OLD, ENDED], ids=lambda m: m.slug)
def test_totals_are_what_the_files_add_up_to(made):
    names = {b: "null (no branch)" if b == "null" else b for b in made.branches()}
    expected = {
        shown: {heading(made, d): f"{made.total(d, branch):,}" for d in TITLES}
        for branch, shown in names.items()
    }
    expected["All branches"] = {heading(made, d): f"{made.total(d, *names):,}" for d in TITLES}
    assert sum(made.total(d, *names) for d in TITLES) > 1000
    found = table(page_of(made), "Totals by branch")
    assert found == expected
    assert list(found) == ["All branches", *names.values()]


@pytest.mark.parametrize("made", [YOUNG, MANY, ROLLOUT, OLD], ids=lambda m: m.slug)
@pytest.mark.parametrize("dataset", EIGHT)
def test_days_are_what_the_files_add_up_to(made, dataset):
    # A half hour's label is its end, as that of a day; a window's is its start.
    shift = timedelta(0) if dataset != ACTIVE and made is not OLD else timedelta(minutes=1)
    expected = {}
    for (moment, branch), value in sorted(made.points[dataset].items()):
        day = expected.setdefault((moment - shift).date().isoformat(), {})
        day[branch] = value + (day.get(branch, 0) if dataset in COUNTS else 0)
    found = table(page_of(made), f"{TITLES[dataset]} by day")
    assert list(found) == sorted(expected, reverse=True)
    assert len(found) >= 1
    for day, values in expected.items():
        cells = [*(values[b] for b in made.branches()), sum(values.values())]
        assert list(found[day].values()) == [f"{cell:,}" for cell in cells]


@pytest.mark.parametrize("made", [YOUNG, ROLLOUT, OLD], ids=lambda m: m.slug)
def test_charts_get_every_point_at_its_end(made):
    found = series_of(page_of(made))
    for dataset in EIGHT:
        shift = timedelta(0) if dataset == ACTIVE or made is OLD else timedelta(minutes=5)
        for place, branch in enumerate(made.branches()):
            points = {t + shift: v for (t, b), v in made.points[dataset].items() if b == branch}
            assert found.pop((dataset, place)) == points
    assert found == {}


def test_counts_of_a_quiet_day_are_zero():
    made = Made("exp", date(2021, 1, 26), NOON, NOON - reporting.WINDOW)
    made.points[ENROLLED][at("2021-01-26T23:55"), "a"] = 7
    days = table(page_of(made), "Enrollments by day")
    assert {day: row["a"] for day, row in days.items()} == {
        "2021-01-28": "0",
        "2021-01-27": "0",
        "2021-01-26": "7",
    }


def test_a_branch_without_clients_on_the_last_day_has_none():
    made = Made("exp", date(2021, 1, 26), NOON, NOON - reporting.WINDOW)
    made.points[ACTIVE] = {
        (at("2021-01-27T00:00"), "a"): 5,
        (at("2021-01-27T00:00"), "b"): 6,
        (at("2021-01-28T00:00"), "b"): 7,
    }
    totals = table(page_of(made), "Totals by branch")
    assert {b: row["Daily active clients, 27 Jan"] for b, row in totals.items()} == {
        "All branches": "7",
        "a": "0",
        "b": "7",
    }


def test_pings_become_the_numbers_of_a_page(monitor, tmp_path):
    told_by = {
        "control": ["enroll"] * 5 + ["unenroll"] * 2 + ["enrollFailed"],
        "treatment": ["enroll"] * 3 + ["graduate"],
    }
    sent = [
        pings.event_ping(
            f"2021-01-26T00:0{place}:00Z", *(pings.event(m, branch=b) for m in methods)
        )
        for place, (b, methods) in enumerate(told_by.items())
    ]
    monitor.ingest(pings.write(tmp_path / "p.json", sent))
    monitor.run("live", at("2021-01-26T00:10"))
    monitor.export_experiment("exp", as_of=at("2021-01-26T00:10"))
    page = BeautifulSoup(monitor.report("exp"), "html.parser")
    found = table(page, "Totals by branch")
    for branch, methods in told_by.items():
        row = found[branch]
        assert row["Enrollments"] == str(methods.count("enroll"))
        assert row["Unenrollments"] == str(methods.count("unenroll"))
        gone = methods.count("unenroll") + methods.count("graduate")
        assert row["Population"] == str(methods.count("enroll") - gone)
        others = methods.count("enrollFailed") + methods.count("graduate")
        assert row["Failures and other events"] == str(others)
    assert found["All branches"]["Enrollments"] == "8"
    assert told(page.header).startswith(
        "expStarted 2021-01-26. Exported as of 2021-01-26 00:10 UTC. up to date"
    )


@pytest.mark.parametrize(
    ("made", "step", "until", "age", "state"),
    [
        (YOUNG, "5-minute windows", "2021-01-28 12:00 UTC", "0 minutes", "up to date"),
        (STALE, "5-minute windows", "2021-01-28 03:00 UTC", "9 hours", "late"),
        (OLD, "half hours", "2021-01-28 12:00 UTC", "0 minutes", "up to date"),
        (EMPTY, "5-minute windows", "2021-01-28 12:00 UTC", "0 minutes", "up to date"),
    ],
    ids=lambda value: getattr(value, "slug", None),
)
def test_freshness_says_how_far_each_series_goes_and_what_its_points_are(
    made, step, until, age, state
):
    page = page_of(made)
    found = table(page, "Freshness of each series")
    assert list(found) == list(TITLES.values())
    active = found.pop(TITLES[ACTIVE])
    assert active["Points"] == "days"
    # At three o'clock, the stale one's last window, the day before was not ready yet.
    day, old = ("27", "36 hours") if made is STALE else ("28", "12 hours")
    assert active["Data up to"] == f"2021-01-{day} 00:00 UTC"
    assert active["Age when exported"] == old
    assert active["State"] == state
    for row in found.values():
        assert row == {
            "Points": step,
            "Data up to": until,
            "Age when exported": age,
            "State": state,
        }
    verdict = {"late": "8 of 8 series late"}.get(state, state)
    assert told(page.header.find(class_="pill")) == verdict


@pytest.mark.parametrize(
    ("start", "as_of", "through", "step", "until"),
    [
        # Up to 14 days after the start, to the second.
        ("2021-01-14", "12:00:00", "11:55", "half hours", "12:00"),
        ("2021-01-15", "12:00:00", "11:55", "5-minute windows", "12:00"),
        ("2021-01-14", "00:00:00", "00:00", "5-minute windows", "00:00"),
        ("2021-01-14", "00:00:01", "00:00", "half hours", "00:00"),
        # No further than the export looked, nor than the half hours that are over.
        ("2021-01-26", "12:02:00", "12:00", "5-minute windows", "12:02"),
        ("2021-01-26", "12:17:00", "12:10", "5-minute windows", "12:15"),
        ("2020-12-26", "12:17:00", "12:10", "half hours", "12:00"),
        ("2020-12-26", "12:30:00", "12:25", "half hours", "12:30"),
    ],
)
def test_what_the_points_are_and_where_they_end_is_exact(start, as_of, through, step, until):
    made = Made(
        "exp",
        date.fromisoformat(start),
        at(f"2021-01-28T{as_of}"),
        at(f"2021-01-28T{through}"),
    )
    row = table(page_of(made), "Freshness of each series")["Population"]
    assert (row["Points"], row["Data up to"]) == (step, f"2021-01-28 {until} UTC")


def test_a_window_that_is_not_over_goes_as_far_as_the_export_looked():
    made = Made("exp", date(2021, 1, 26), NOON + timedelta(minutes=2), NOON)
    made.points[POPULATION][NOON, "a"] = 7
    page = page_of(made)
    row = table(page, "Freshness of each series")["Population"]
    assert row["Data up to"] == "2021-01-28 12:02 UTC"
    assert row["Age when exported"] == "0 minutes"
    assert "7 up to 2021-01-28 12:02 UTC" in told(page.find(id=f"{POPULATION}-summary"))


def test_series_that_were_exported_at_different_times_say_when():
    early = Made("exp", YOUNG.start, at("2021-01-28T11:30"), at("2021-01-28T11:25"))
    store = MemoryStore()
    reporting.write(store, early)
    before = json.loads(store.objects["index.json"])
    late = Made("exp", YOUNG.start, NOON, YOUNG.through, {ENROLLED: {}})
    reporting.write(store, late)
    after = json.loads(store.objects["index.json"])
    before["files"].update(after["files"])
    store.objects["index.json"] = json.dumps({**before, "as_of": after["as_of"]}).encode()
    page = BeautifulSoup(Monitor(FakeWarehouse(), store).report("exp"), "html.parser")
    rows = table(page, "Freshness of each series")
    for title, row in rows.items():
        is_new = title == "Enrollments"
        assert row["Exported as of"] == f"2021-01-28 {'12:00' if is_new else '11:30'} UTC"
        # What was left behind is judged by the latest export, too.
        assert row["State"] == ("up to date" if is_new or title == TITLES[ACTIVE] else "late")
    assert told(page.header.find(class_="pill")) == "6 of 8 series late"


@pytest.mark.parametrize(
    ("start", "behind", "is_late"),
    [
        (date(2021, 1, 26), timedelta(minutes=15), False),
        (date(2021, 1, 26), timedelta(minutes=20), True),
        (date(2020, 12, 1), timedelta(minutes=45), False),
        (date(2020, 12, 1), timedelta(minutes=50), True),
    ],
)
def test_windows_and_half_hours_are_late_15_minutes_after_they_could_be_there(
    start, behind, is_late
):
    # The last half hour ends when the data does: at 12:00.
    made = Made("exp", start, NOON + behind, NOON - reporting.WINDOW)
    states = {r["State"] for r in table(page_of(made), "Freshness of each series").values()}
    assert ("late" in states) is is_late


@pytest.mark.parametrize(("hour", "is_late"), [(4, False), (5, True)])
def test_a_day_is_late_four_hours_after_its_end(hour, is_late):
    made = Made("exp", date(2021, 1, 1), at(f"2021-01-27T0{hour}:00"), at("2021-01-27T02:55"))
    assert made.last_day == at("2021-01-26T00:00")
    rows = table(page_of(made), "Freshness of each series")
    assert (rows[TITLES[ACTIVE]]["State"] == "late") is is_late


def test_nothing_is_said_of_an_experiment_without_data_but_that():
    made = Made("exp", date(2021, 1, 28), at("2021-01-28T00:00"), at("2021-01-27T23:55"))
    page = page_of(made)
    assert set(table(page, "Totals by branch")["All branches"].values()) == {"\N{EN DASH}"}
    assert page.get_text().count("No data yet.") == 8
    assert json.loads(page.find("script", id="data").string) == []


def test_an_experiment_that_is_no_longer_exported_says_so():
    page = page_of(ENDED, YOUNG)
    assert told(page.header.find(class_="pill")) == "no longer exported"
    assert "Exported as of 2020-12-20 00:00 UTC" in told(page.header)
    alone = page_of(ENDED)
    assert told(alone.header.find(class_="pill")) == "up to date"


def test_series_that_were_not_exported_are_left_out():
    made = Made("exp", YOUNG.start, YOUNG.as_of, YOUNG.through)
    made.points = {name: YOUNG.points[name] for name in (POPULATION, CLICKS)}
    page = page_of(made)
    assert [told(title) for title in page.find_all("h3")] == ["Population", "Ad clicks"]
    assert list(table(page, "Totals by branch")["control"]) == ["Population", "Ad clicks"]


@pytest.mark.parametrize(("made", "is_told"), [(ROLLOUT, True), (YOUNG, False)])
def test_the_branch_of_a_rollout_is_explained(made, is_told):
    text = told(page_of(made))
    assert ("a rollout has no other" in text) is is_told
    assert ("null (no branch)" in text) is is_told


def shown(name):
    """A branch's name with what is not printable escaped, and not longer than 80 characters."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    text = text if len(text) <= 80 else f"{text[:68]}…{text[-11:]}"
    return text if text.strip() else f"'{text}'"


def test_names_of_branches_are_text_whatever_they_look_like():
    html = html_of(HOSTILE)
    page = BeautifulSoup(html, "html.parser")
    rows = page.find("table", attrs={"aria-label": "Totals by branch"}).tbody.find_all("tr")[1:]
    found = {row.find("bdi").get_text(): row.find("td").get_text() for row in rows}
    assert len(rows) == len(HOSTILE_BRANCHES)
    order = {name: 1000 + n for n, name in enumerate(HOSTILE_BRANCHES)}
    for row, name in zip(rows, sorted(HOSTILE_BRANCHES), strict=True):
        assert row.find("bdi").get_text() == shown(name)
        assert row.find("td").get_text() == f"{order[name]:,}"
    assert len(found) > 40
    assert html.count("</script") == html.count("<script") == 2
    assert page.find_all(["img", "b", "iframe", "object"]) == []
    names = {attribute for node in page.find_all(True) for attribute in node.attrs}
    assert {name for name in names if name.startswith("on")} == set()
    assert all(c.isprintable() or c == "\n" for c in html)


def test_a_page_asks_no_host_and_runs_its_own_scripts_alone():
    page = page_of(YOUNG)
    addresses = [
        node[a] for node in page.find_all(True) for a in ("src", "href") if a in node.attrs
    ]
    assert addresses == ["data:,"]
    assert not re.search(r"url\(|@import", page.style.string)
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]

    def digest(text):
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    script = page.find_all("script")[-1].string
    assert policy == (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'sha256-{digest(page.style.string)}'; script-src 'sha256-{digest(script)}'"
    )
    # Before anything that it is for.
    head = [node.name for node in page.head.find_all(True)]
    assert head.index("style") > 1 == head.index("meta", 1)


def test_the_librarys_licence_is_in_the_page():
    script = page_of(YOUNG).find_all("script")[-1].string
    assert script.index("The MIT License (MIT)") < script.index("var uPlot=")
    assert "Copyright (c) 2022 Leon Sorokin" in script


def test_the_same_files_give_the_same_page():
    assert html_of(YOUNG) == html_of(YOUNG)


def test_a_page_has_a_language_a_title_and_one_main_heading():
    page = page_of(YOUNG)
    assert page.html["lang"] == "en"
    assert page.title.string == "young-experiment"
    assert [told(title) for title in page.find_all("h1")] == ["young-experiment"]
    assert [told(title) for title in page.find_all("h2")] == [
        *("Totals", "Over time", "Freshness", "How to read this"),
    ]
    assert len(page.find_all("main")) == 1


def test_a_sentence_says_what_a_chart_ends_with():
    page = page_of(YOUNG)
    control, treatment = (YOUNG.total(WITH_ADS, branch) for branch in ("control", "treatment-a"))
    assert told(page.find(id=f"{WITH_ADS}-summary")).endswith(
        f" {control + treatment:,} up to 2021-01-28 12:00 UTC"
        f": control {control:,}, treatment-a {treatment:,}."
    )
    assert "on 2021-01-27" in told(page.find(id=f"{ACTIVE}-summary"))
    many = told(page_of(MANY).find(id=f"{SEARCHES}-summary"))
    assert many.endswith(", and 7 more.")


def test_what_is_wrong_stands_first_the_worst_before_the_rest_and_as_text():
    page, long = page_of(MANY), "experiments" * 20
    section = page.main.find("section")
    assert section.h2.text == "What is wrong"
    assert [told(item) for item in section.find_all("li")] == [
        "alarm split: Far too few are in branch-00. Look at it. Since 2021-01-28 11:35 UTC.",
        f"suspect freshness: All <b>{long}</b> are late. Wait & see. Since 2021-01-28 11:35 UTC.",
    ]
    assert section.find("b") is None


def test_a_page_says_that_nothing_is_wrong_and_nothing_where_nobody_has_looked():
    fine = Made("fine", YOUNG.start, YOUNG.as_of, YOUNG.through, YOUNG.points, MANY.health[2:])
    assert told(page_of(fine).main.find("section").p) == "Nothing, as far as can be told."
    assert "What is wrong" not in page_of(YOUNG).text


def test_findings_that_have_lost_their_shape_are_an_error():
    broken = Made("broken", YOUNG.start, YOUNG.as_of, YOUNG.through, YOUNG.points, [{"check": "x"}])
    with pytest.raises(StoreError, match=r"broken_health\.json .* can't be read"):
        page_of(broken)


def test_the_findings_of_a_live_run_come_to_the_page(tmp_path, deployed_file):
    file = tmp_path / "monitoring.duckdb"
    file.write_bytes(deployed_file.read_bytes())
    with expmon.connect(f"duckdb://{file}", store=tmp_path / "exports") as monitor:
        ratios = [{"slug": "a", "ratio": 1}, {"slug": "b", "ratio": 1}]
        described = {"normandy_slug": "exp", "start_date": date(2021, 1, 25), "branches": ratios}
        monitor.warehouse.load(EXPERIMENTS, [described], key="normandy_slug")
        enrolled = [
            pings.event_ping(f"2021-01-26T00:00:{n:02}Z", pings.event("enroll")) for n in range(59)
        ]
        monitor.ingest(pings.write(tmp_path / "pings.json", enrolled))
        monitor.run("live", at("2021-01-26T00:10"))
        monitor.export_active(at("2021-01-26T00:10"))
        page = BeautifulSoup(monitor.report("exp"), "html.parser")
    (item,) = page.main.find("section").find_all("li")
    # By chance once in a billion billions, and never mind how the evidence is weighed.
    assert "alarm split: 59 clients have enrolled; 100.0 % of them are in a" in told(item)
