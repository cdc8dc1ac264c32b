"""kill -9 at the border of any two steps, and in the middle of what each of them writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import expmon
import playing
from exporting import CLAIM, files_below
from playing import at

SOURCES = ("telemetry_live.event_v4", "telemetry_live.main_v4")
MEMO = "telemetry_derived.expmon_partitions_v1"
# From half past two, so many steps are due.
DUE = {
    "live": ("2021-01-26T02:40", 2 + 8 + 2),
    "daily": ("2021-01-26T03:00", 3),
    "hourly": ("2021-01-26T03:30", 2),
}
NOW = at("2021-01-26T03:32")
LAST = ("sql", "SELECT 'all is written, and the file not closed'")


def tables_of(path):
    with expmon.connect(f"duckdb://{path}") as monitor:
        return playing.tables(monitor)


def kills(points):
    """Before and after each transaction, at each step, and at another statement of each of them."""
    begins = [number for number, point in enumerate(points) if point == "BEGIN"]
    commits = [number for number, point in enumerate(points) if point == "COMMIT"]
    steps = [number for number, point in enumerate(points) if point == "CREATE OR REPLACE"]
    within = {number + 1 + step % 4 for step, number in enumerate(steps)}
    return sorted({*begins, *steps, *within, *(commit + 1 for commit in commits)})


@pytest.mark.parametrize("cadence", DUE)
def test_a_run_killed_at_any_step_or_within_it_is_repaired_by_the_next(copied, processes, cadence):
    as_of, steps = DUE[cadence]
    path = copied()
    before = tables_of(path)
    undisturbed = processes.run(path, ("run", cadence, at(as_of)), LAST)
    assert (undisturbed.status, undisturbed.errors) == (0, [None, None])
    after = tables_of(path)
    assert undisturbed.points.count("CREATE OR REPLACE") == steps
    assert undisturbed.points.count("COMMIT") == (1 if cadence == "live" else steps)
    for number in kills(undisturbed.points):
        path = copied()
        ended = processes.run(path, ("run", cadence, at(as_of)), LAST, kill_at=number)
        assert ended.was_killed
        assert ended.points == undisturbed.points[:number]
        # A table has one partition that is due: it is there as it was, or as it is to be.
        done = ended.points.count("COMMIT")
        found = tables_of(path)
        assert all(found[name] in (before[name], after[name]) for name in found)
        assert cadence != "live" or found in (before, after)
        with expmon.connect(f"duckdb://{path}") as monitor:
            repair = monitor.run(cadence, at(as_of))
            # What was written is remembered; a live run looks at everything again.
            assert len(repair.written) == (steps if cadence == "live" else steps - done)
            assert playing.tables(monitor) == after


def test_an_ingest_that_is_killed_loads_a_source_whole_or_not_at_all(
    deployed_file, processes, tmp_path, pings
):
    first_day = [ping for ping in pings if ping["submission_timestamp"] < "2021-01-26"]
    file = playing.client.write(tmp_path / "pings.json", first_day)
    path, ingest = tmp_path / "ingesting.duckdb", ("ingest", str(file))
    as_of = at("2021-01-26T03:00")

    def loaded(monitor):
        """How many rows each source has, if it is there and remembered with its day, or not."""
        rows = [len(playing.rows(monitor, name, "document_id")) for name in SOURCES]
        remembered = [name for name, *_ in playing.rows(monitor, MEMO, "relation")]
        assert remembered == [n for n, rows in zip(SOURCES, rows, strict=True) if rows]
        return rows

    def finish(monitor):
        monitor.run("daily", as_of)
        monitor.run("live", as_of)
        return playing.tables(monitor)

    shutil.copy(deployed_file, path)
    undisturbed = processes.run(path, ingest, LAST)
    with expmon.connect(f"duckdb://{path}") as monitor:
        assert loaded(monitor) == [39, 39]
        wanted = finish(monitor)
    seen = set()
    for number in range(len(undisturbed.points)):
        shutil.copy(deployed_file, path)
        assert processes.run(path, ingest, LAST, kill_at=number).was_killed
        with expmon.connect(f"duckdb://{path}") as monitor:
            seen.add(tuple(loaded(monitor)))
            playing.ingest(monitor, file, first_day)
            # What is there twice by now counts once as soon as its day is final.
            assert finish(monitor) == wanted
    assert seen == {(0, 0), (39, 0), (39, 39)}


def test_a_deploy_that_is_killed_leaves_nothing_and_the_next_one_makes_everything(
    processes, tmp_path
):
    path = tmp_path / "new.duckdb"
    undisturbed = processes.run(path, ("deploy",), LAST)
    assert undisturbed.status == 0
    *middle, commit, last = range(len(undisturbed.points))
    with expmon.connect(f"duckdb://{path}") as monitor:
        wanted = playing.tables(monitor)
    for number in [*middle[:: len(middle) // 2], commit, last]:
        for file in tmp_path.glob("new.duckdb*"):
            file.unlink()
        assert processes.run(path, ("deploy",), LAST, kill_at=number).was_killed
        with expmon.connect(f"duckdb://{path}") as monitor:
            changes = monitor.deploy()
            assert bool(changes) is (number != last)
            assert monitor.deploy() == []
            assert playing.tables(monitor) == wanted


def test_an_export_that_is_killed_leaves_whole_files_and_the_next_one_finishes_it(
    exported, processes, tmp_path
):
    directory, path = exported
    old, export = files_below(directory), ("export", NOW)
    place = Path(shutil.copytree(directory, tmp_path / "undisturbed"))
    undisturbed = processes.run(path, export, store=place)
    new = files_below(place)
    # The claim, eight datasets in two files each, the health, the index, and the claim again.
    writes = 1 + 16 + 1 + 1 + 1
    assert len(undisturbed.points) == 3 * writes
    assert {name for name in old if old[name] == new[name]} == set()
    for number in [*range(6), *range(6, 3 * writes - 9, 5), *range(3 * writes - 9, 3 * writes)]:
        shutil.rmtree(place)
        shutil.copytree(directory, place)
        assert processes.run(path, export, store=place, kill_at=number).was_killed
        found = files_below(place)
        for name in old.keys() - {CLAIM}:
            assert found[name] in (old[name], new[name])
        assert all(name.endswith(".tmp") for name in found.keys() - old.keys())
        # The next one also clears away what the other was writing.
        assert processes.run(path, export, store=place).errors == [None]
        assert files_below(place) == new
