from __future__ import annotations

import os
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from PIL import Image

import pings
from expmon import connect
from expmon.cli import main
from playing import at

OVERALL = "experiment_enrollment_overall"


@pytest.fixture
def expmon(warehouse_file, tmp_path, monkeypatch):
    """The command, on a warehouse with one enrollment in each of two branches."""
    monkeypatch.setenv("EXPMON_WAREHOUSE", f"duckdb://{warehouse_file}")
    events = [pings.event("enroll", branch=branch) for branch in ("a", "b")]
    with connect(f"duckdb://{warehouse_file}") as monitor:
        ping = pings.event_ping("2021-01-26T00:01:00Z", *events)
        monitor.ingest(pings.write(tmp_path / "p.json", [ping]))
        monitor.run("live", at("2021-01-26T00:10"))
    return lambda *arguments: CliRunner().invoke(main, ["plot", *arguments])


@pytest.mark.parametrize("name", ["x.png", "x.PNG", "a.b.png", "-.png"])
def test_a_picture_is_written_as_a_png(expmon, tmp_path, name):
    done = expmon("exp", "--dataset", OVERALL, "-o", name)
    assert (done.exit_code, done.output) == (0, f"written: {name}\n")
    with Image.open(tmp_path / name) as image:
        image.load()
        assert (image.format, image.width) == ("PNG", 900)


def test_a_picture_is_written_as_an_svg(expmon, tmp_path):
    assert expmon("exp", "--output", "x.svg").exit_code == 0
    assert ET.parse(tmp_path / "x.svg").getroot().tag.endswith("}svg")


def test_without_a_dataset_all_that_have_rows_are_drawn(expmon, tmp_path):
    expmon("exp", "-o", "all.png")
    expmon("exp", "--dataset", OVERALL, "-o", "one.png")
    with Image.open("all.png") as every, Image.open("one.png") as one:
        assert every.width > one.width


def test_a_branch_and_times_can_be_chosen(expmon, tmp_path):
    with connect() as monitor:
        figure = monitor.plot(OVERALL, "exp", "b", at("2021-01-26T00:00"), at("2021-01-26T00:05"))
    figure.savefig("wanted.png")
    chosen = ["--branch", "b", "--start", "2021-01-26", "--end", "2021-01-26T00:05Z"]
    for extra, is_same in ((chosen, True), (chosen[2:], False)):
        assert expmon("exp", "--dataset", OVERALL, *extra, "-o", "x.png").exit_code == 0
        with Image.open("x.png") as drawn, Image.open("wanted.png") as wanted:
            assert (drawn.tobytes() == wanted.tobytes()) is is_same


@pytest.mark.parametrize("name", ["x.pdf", "x", "png", ".png", "x.png.gz", "x.jpg"])
def test_other_files_are_refused(expmon, tmp_path, name):
    before = sorted(tmp_path.iterdir())
    done = expmon("exp", "-o", name)
    assert done.exit_code == 2
    assert "must end in .png or .svg" in done.output
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["no/such/place.png", "folder.png"])
def test_a_place_that_cannot_be_written_is_said(expmon, tmp_path, name):
    (tmp_path / "folder.png").mkdir()
    done = expmon("exp", "-o", name)
    assert done.exit_code != 0
    assert name in done.output
    assert isinstance(done.exception, SystemExit)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_is_replaced_whole_or_not_at_all(expmon, tmp_path, monkeypatch):
    place = tmp_path / "x.png"
    place.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        done = expmon("exp", "-o", "x.png")
    assert done.exit_code == 1
    assert "x.png can't be written: No space left on device" in done.output
    assert place.read_bytes() == b"old"
    assert not list(tmp_path.glob(".*.tmp"))
    expmon("exp", "-o", "x.png")
    assert place.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_dataset_is_refused_with_the_near_ones(expmon, tmp_path):
    done = expmon("exp", "--dataset", "experiment_enrolment_overall", "-o", "x.png")
    assert done.exit_code == 2
    assert OVERALL in done.output
    assert not (tmp_path / "x.png").exists()


def test_the_help_says_what_it_needs():
    printed = CliRunner().invoke(main, ["plot", "--help"]).output
    assert "pip install 'expmon[plot]'" in " ".join(printed.split())
