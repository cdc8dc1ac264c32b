from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

import reporting
from expmon import connect
from expmon.cli import main
from expmon.export.local import LocalStore
from reporting import ENDED, YOUNG

ALL = {"young-experiment_report.html", "ended-experiment_report.html", "index.html"}


@pytest.fixture
def expmon(tmp_path, monkeypatch):
    """The command, on exported files, and no warehouse that could be asked."""
    reporting.write(LocalStore(tmp_path / "exports"), YOUNG, ENDED)
    monkeypatch.setenv("EXPMON_WAREHOUSE", "duckdb://not/there.duckdb")
    monkeypatch.setenv("EXPMON_STORE", str(tmp_path / "exports"))
    return lambda *arguments: CliRunner().invoke(main, ["report", *arguments])


def page_of(slug):
    with connect() as monitor:
        return monitor.report(slug)


def test_a_page_is_written(expmon, tmp_path):
    done = expmon("young-experiment", "-o", "page.html")
    assert (done.exit_code, done.output) == (0, "written: page.html\n")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page_of("young-experiment")
    assert not (tmp_path / "not").exists()


def test_a_site_is_written_into_a_directory_that_it_makes(expmon, tmp_path):
    done = expmon("--all", "--output", "new/site")
    assert (done.exit_code, done.output) == (
        0,
        "written: 3 pages in new/site, of which index.html lists the others\n",
    )
    assert {path.name for path in (tmp_path / "new" / "site").iterdir()} == ALL


def test_pages_can_lie_beside_the_files(expmon, tmp_path):
    before = {path.name for path in (tmp_path / "exports").iterdir()}
    assert expmon("--all", "-o", "exports").exit_code == 0
    assert {path.name for path in (tmp_path / "exports").iterdir()} - before == ALL
    assert expmon("--all", "-o", "exports").exit_code == 0
    with connect() as monitor:
        assert monitor.store.generations().keys() == before - {"_expmon"}


@pytest.mark.parametrize(
    "arguments", [["-o", "x"], ["exp", "--all", "-o", "x"], ["exp"], ["--all"]]
)
def test_either_an_experiment_or_all_and_a_place_are_to_be_named(expmon, tmp_path, arguments):
    done = expmon(*arguments)
    assert done.exit_code == 2
    assert "Error" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["exports"]


@pytest.mark.parametrize("place", [".", "exports", "no/such/page.html"])
def test_a_place_that_cannot_be_written_is_said(expmon, tmp_path, place):
    done = expmon("young-experiment", "-o", place)
    assert done.exit_code in {1, 2}
    assert isinstance(done.exception, SystemExit)
    assert place in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["exports"]


@pytest.mark.parametrize("place", ["file", "file/site"])
def test_a_directory_that_cannot_be_made_is_said(expmon, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    done = expmon("--all", "-o", place)
    assert done.exit_code == 1
    assert f"Error: {place} can't be made" in done.output
    assert (tmp_path / "file").read_text() == "mine"


def test_a_page_is_replaced_whole_or_not_at_all(expmon, tmp_path, monkeypatch):
    place = tmp_path / "site"
    place.mkdir()
    (place / "index.html").write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        done = expmon("--all", "-o", "site")
    assert done.exit_code == 1
    assert "can't be written: No space left on device" in done.output
    assert [path.name for path in place.iterdir()] == ["index.html"]
    assert (place / "index.html").read_bytes() == b"old"


def test_the_list_is_left_as_it_is_where_a_page_fails(expmon, tmp_path):
    assert expmon("--all", "-o", "site").exit_code == 0
    (tmp_path / "site" / "index.html").write_bytes(b"old")
    index = json.loads((tmp_path / "exports" / "index.json").read_text())
    (name, *_) = [
        n for n in index["files"] if n.startswith("young") and n.endswith("by_branch.json")
    ]
    (tmp_path / "exports" / name).write_text("[]")
    done = expmon("--all", "-o", "site")
    assert done.exit_code == 1
    assert name in done.output
    assert (tmp_path / "site" / "index.html").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("slug", "said"),
    [
        ("young-experimnet", "Did you mean young-experiment, "),
        ("../x", "is not an experiment slug"),
    ],
)
def test_an_experiment_that_has_no_files_is_said(expmon, tmp_path, slug, said):
    done = expmon(slug, "-o", "page.html")
    assert done.exit_code in {1, 2}
    assert said in done.output
    assert not (tmp_path / "page.html").exists()


def test_where_nothing_has_been_exported_it_says_to_do_that(expmon, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPMON_STORE", str(tmp_path / "empty"))
    done = expmon("--all", "-o", "site")
    assert done.exit_code == 1
    assert "Export first: `expmon export`" in done.output
    assert not (tmp_path / "site").exists()
