"""The pages of all experiments, and what is refused."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from bs4 import BeautifulSoup

import reporting
from expmon import Monitor
from expmon.errors import ConfigError, InvalidSlug, NotExported, StoreConflict, StoreError
from expmon.export.store import MemoryStore
from expmon.warehouse.fake import FakeWarehouse
from reporting import ACTIVE, EMPTY, ENDED, ENROLLED, NOON, POPULATION, ROLLOUT, SEARCHES, YOUNG

OVERALL = f"young-experiment_{ENROLLED}_by_branch.json"


@pytest.fixture
def store():
    found = MemoryStore()
    reporting.write(found, YOUNG, ENDED, ROLLOUT, EMPTY)
    return found


def monitor(store):
    return Monitor(FakeWarehouse(), store)


def changed_index(store, change):
    index = json.loads(store.objects["index.json"])
    change(index)
    store.objects["index.json"] = json.dumps(index).encode()


def test_each_experiment_has_a_page_and_the_list_comes_last(store):
    pages = list(monitor(store).report_all())
    assert [page.name for page in pages] == [
        "a-rollout_report.html",
        "ended-experiment_report.html",
        "nothing-yet_report.html",
        "young-experiment_report.html",
        "index.html",
    ]
    listed = BeautifulSoup(pages[-1].html, "html.parser")
    links = [(link["href"], link.get_text()) for link in listed.find_all("a")]
    # By their start, the latest first.
    assert links == [
        ("nothing-yet_report.html", "nothing-yet"),
        ("a-rollout_report.html", "a-rollout"),
        ("young-experiment_report.html", "young-experiment"),
        ("ended-experiment_report.html", "ended-experiment"),
    ]
    for page in pages[:-1]:
        found = BeautifulSoup(page.html, "html.parser")
        assert [link["href"] for link in found.find_all("a")] == ["index.html"]
        assert f"{found.h1.get_text()}_report.html" == page.name


def test_the_list_has_totals_and_how_fresh_they_are(store):
    *_, page = monitor(store).report_all()
    listed = BeautifulSoup(page.html, "html.parser")
    rows = {
        row.a.get_text(): [cell.get_text() for cell in row.find_all("td")]
        for row in listed.tbody.find_all("tr")
    }
    for made, state in ((YOUNG, "up to date"), (ENDED, "no longer exported")):
        names = made.branches()
        assert rows[made.slug] == [
            made.start.isoformat(),
            *(
                f"{made.total(name, *names):,}"
                for name in (
                    ENROLLED,
                    "experiment_unenrollment_overall",
                    POPULATION,
                    ACTIVE,
                    SEARCHES,
                )
            ),
            f"{made.as_of:%Y-%m-%d %H:%M} UTC",
            state,
        ]
    assert rows["nothing-yet"][1:6] == ["0", "0", "0", "\N{EN DASH}", "0"]


def test_a_list_of_no_experiments_says_so():
    store = MemoryStore()
    reporting.write(store, as_of=NOON)
    (page,) = monitor(store).report_all()
    assert page.name == "index.html"
    assert "No experiment has been exported yet." in page.html


def test_experiments_whose_files_are_gone_get_no_page(store, caplog):
    del store.objects[OVERALL]
    *pages, home = monitor(store).report_all()
    assert "young-experiment_report.html" not in [page.name for page in pages]
    assert "young-experiment" not in home.html
    assert "young-experiment gets no page" in caplog.text
    with pytest.raises(NotExported, match="Export first: `expmon export young-experiment`"):
        monitor(store).report("young-experiment")


def test_other_files_and_names_that_are_no_slugs_are_left_out(store):
    strange = f"../x_{ENROLLED}_by_branch.json"

    def change(index):
        entry = index["files"][OVERALL]
        index["files"][strange] = {**entry, "experiment": "../x"}
        health = {"dataset": "health", "through": None}
        index["files"]["young-experiment_health.json"] = {**entry, **health}
        index["files"]["<b>"] = {**entry, "experiment": "young-experiment"}

    before = [page.html for page in monitor(store).report_all()]
    changed_index(store, change)
    store.objects[strange] = store.objects[OVERALL]
    assert [page.html for page in monitor(store).report_all()] == before


def test_without_an_index_it_says_to_export_first():
    for ask in (lambda m: m.report("exp"), lambda m: list(m.report_all())):
        with pytest.raises(
            NotExported, match=r"nothing has been exported to memory://.*`expmon export`"
        ):
            ask(monitor(MemoryStore()))


def test_an_unknown_experiment_is_told_the_near_ones(store):
    with pytest.raises(NotExported, match="Did you mean young-experiment, ") as caught:
        monitor(store).report("young-experimnet")
    assert caught.value.slug == "young-experimnet"
    assert caught.value.near[0] == "young-experiment"


def test_without_a_store_it_says_how_to_name_one():
    for ask in (lambda m: m.report("exp"), lambda m: list(m.report_all())):
        with pytest.raises(ConfigError, match="EXPMON_STORE"):
            ask(monitor(None))


def test_what_is_no_slug_is_refused(store):
    with pytest.raises(InvalidSlug):
        monitor(store).report("../x")


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b'{"schema_version": 1}', b"\xff", b'{"schema_version":1,"files":[]}'],
)
def test_a_broken_index_is_said(store, data):
    store.objects["index.json"] = data
    with pytest.raises(
        StoreError, match=r"index\.json in memory:// can't be read .*`expmon export`"
    ):
        monitor(store).report("young-experiment")


def test_an_index_of_another_version_is_said(store):
    changed_index(store, lambda index: index.update(schema_version=2))
    with pytest.raises(StoreError, match="has schema version 2, and this expmon reads 1"):
        monitor(store).report("young-experiment")


@pytest.mark.parametrize(
    "data", [b"{}", b"[1]", b'[{"branch":"a"}]', b"", b'[{"branch":"a","time":"x","value":"1"}]']
)
def test_a_broken_file_is_said(store, data):
    store.objects[OVERALL] = data
    checksum = {OVERALL: store.checksums()[OVERALL]}
    changed_index(store, lambda index: index["files"][OVERALL].update(crc32c=checksum[OVERALL]))
    with pytest.raises(StoreError, match=f"{OVERALL} in memory:// can't be read"):
        monitor(store).report("young-experiment")


def test_a_file_that_the_index_does_not_know_yet_is_a_conflict(store):
    store.objects[OVERALL] = b"[]"
    for ask in (lambda m: m.report("young-experiment"), lambda m: list(m.report_all())):
        with pytest.raises(StoreConflict, match=OVERALL):
            ask(monitor(store))


class Exporting(MemoryStore):
    """A store in which an export ends between the first and the second look at the index."""

    later: MemoryStore

    def read(self, name):
        found = super().read(name)
        if name == "index.json":
            self.objects = self.later.objects
        return found


def test_an_export_that_ends_meanwhile_is_taken_whole(store):
    newer = reporting.simulated(
        "young-experiment",
        {"control": 3, "treatment-a": 2},
        start=YOUNG.start,
        until=NOON + timedelta(minutes=5),
    )
    later = MemoryStore()
    reporting.write(later, newer)
    exporting = Exporting(objects=dict(store.objects))
    exporting.later = later
    assert monitor(exporting).report("young-experiment") == monitor(later).report(
        "young-experiment"
    )
