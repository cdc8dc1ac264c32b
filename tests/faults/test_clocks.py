"""A clock that is an hour ahead, or an hour behind, for one run."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta

import pytest

import expmon
import playing
from expmon.errors import ExportSuperseded, InvalidTime
from exporting import files_below
from playing import HOUR, at

NOW = at("2021-01-26T03:32")
LATER = NOW + HOUR + timedelta(minutes=5)
EVERY = ("daily", "hourly", "live")


@pytest.fixture
def monitors(base_file, tmp_path):
    """Two monitors of the same morning, of which one is left undisturbed."""
    made = []
    for name in ("undisturbed", "skewed"):
        path = shutil.copy(base_file, tmp_path / f"{name}.duckdb")
        made.append(expmon.connect(f"duckdb://{path}", tmp_path / name))
        play(made[-1], NOW)
    yield made
    for monitor in made:
        monitor.close()


def play(monitor, as_of):
    for cadence in EVERY:
        monitor.run(cadence, as_of)
    monitor.export_active(as_of)


def test_an_as_of_of_an_hour_from_now_is_refused_and_says_that_it_is_in_the_future(monitor):
    ahead = datetime.now(UTC) + HOUR
    says = f"^as_of = {re.escape(ahead.isoformat())} is in the future, .* Leave it out for now"
    for cadence in EVERY:
        with pytest.raises(InvalidTime, match=says):
            monitor.run(cadence, ahead)
    with pytest.raises(InvalidTime, match=says):
        monitor.export_active(ahead)
    assert playing.rows(monitor, "telemetry_derived.expmon_partitions_v1") == []


def test_a_live_run_and_an_export_an_hour_ahead_keep_the_others_out_until_then(monitors, tmp_path):
    undisturbed, skewed = monitors
    ahead, soon = NOW + HOUR, NOW + timedelta(minutes=5)
    skewed.run("live", ahead)
    skewed.export_active(ahead)
    before, files = playing.tables(skewed), files_below(tmp_path / "skewed")
    late = skewed.run("live", soon)
    assert late.written == ()
    note = f"nothing to do: a live run as of {ahead.isoformat()} has been here already"
    assert late.plan.notes == (note,)
    with pytest.raises(ExportSuperseded) as caught:
        skewed.export_active(soon)
    assert str(caught.value) == (
        f"the export as of {soon.isoformat()} stopped: one as of {ahead.isoformat()} has claimed "
        "the same place. Nothing to do: its files are newer."
    )
    assert (playing.tables(skewed), files_below(tmp_path / "skewed")) == (before, files)
    for monitor in (undisturbed, skewed):
        play(monitor, LATER)
    assert playing.tables(skewed) == playing.tables(undisturbed)
    assert files_below(tmp_path / "skewed") == files_below(tmp_path / "undisturbed")


def test_runs_an_hour_behind_do_what_was_due_then_and_no_more(monitors, tmp_path):
    undisturbed, skewed = monitors
    behind = NOW - HOUR
    before = playing.tables(skewed)
    for cadence in EVERY:
        assert skewed.run(cadence, behind).written == ()
    with pytest.raises(ExportSuperseded, match=f"as of {re.escape(behind.isoformat())} stopped"):
        skewed.export_active(behind)
    assert playing.tables(skewed) == before
    for monitor in (undisturbed, skewed):
        play(monitor, LATER)
    assert playing.tables(skewed) == playing.tables(undisturbed)
    assert files_below(tmp_path / "skewed") == files_below(tmp_path / "undisturbed")


def test_an_hour_that_a_clock_an_hour_ahead_wrote_too_early_is_whole_once_its_day_is_final(
    monitors, tmp_path
):
    """The engine's clock is this machine's here, and so it can't tell."""
    undisturbed, skewed = monitors
    ping = playing.client.event_ping("2021-01-26T03:50:00Z", playing.client.event("enroll"))
    skewed.run("hourly", NOW + HOUR)
    for monitor in (undisturbed, skewed):
        playing.ingest(monitor, tmp_path / "ping.json", [ping])
        play(monitor, LATER)
    live = "telemetry_derived.experiment_enrollment_aggregates_live"
    found, wanted = (playing.rows(m, live) for m in (skewed, undisturbed))
    assert {row[3] for row in wanted} - {row[3] for row in found} == {at("2021-01-26T03:50")}
    for monitor in (undisturbed, skewed):
        play(monitor, at("2021-01-27T03:05"))
    found, wanted = playing.tables(skewed), playing.tables(undisturbed)
    for name in wanted:
        assert name.endswith("hourly_v1") or found[name] == wanted[name], name
    found, wanted = files_below(tmp_path / "skewed"), files_below(tmp_path / "undisturbed")
    assert found == wanted
