"""A disk that is full: no file of a process may grow any further."""

from __future__ import annotations

import re
import shutil

import pytest

import expmon
import playing
from exporting import CLAIM, INDEX, files_below
from playing import at

AS_OF = at("2021-01-26T03:32")
RUNS = [("run", cadence, AS_OF) for cadence in ("daily", "hourly", "live")]
FULL = (
    r"copy\.duckdb can't be used: .*File too large\. "
    r"Make room if the disk is full, and try again: what was written before is kept\.$"
)


def tables_of(path):
    with expmon.connect(f"duckdb://{path}") as monitor:
        return playing.tables(monitor)


@pytest.fixture
def wanted(copied, processes):
    """What the tables hold where the disk has room."""
    path = copied()
    assert processes.run(path, *RUNS).errors == [None] * 3
    return tables_of(path)


def says_full(error):
    return error is not None and error[0] == "WarehouseError" and re.search(FULL, error[1])


@pytest.mark.parametrize("most_bytes", [0, 2_000, 20_000, 60_000])
def test_a_run_on_a_full_disk_says_so_and_goes_on_once_there_is_room(
    copied, processes, wanted, most_bytes
):
    path = copied()
    before = tables_of(path)
    full = ("most_bytes", most_bytes)
    ended = processes.run(path, full, *RUNS)
    assert any(map(says_full, ended.errors))
    assert all(error is None or says_full(error) for error in ended.errors)
    found = tables_of(path)
    assert all(found[name] in (before[name], wanted[name]) for name in found)
    # The process may also live on.
    path = copied()
    ended = processes.run(path, full, *RUNS, ("most_bytes", None), *RUNS)
    assert any(map(says_full, ended.errors))
    assert ended.errors[-4:] == [None] * 4
    assert tables_of(path) == wanted


@pytest.mark.parametrize("others", [[], [("another",)]], ids=["alone", "with another monitor"])
def test_a_file_that_can_not_grow_is_opened_anew_once_there_is_room(
    copied, processes, wanted, others
):
    """What is committed lies in a file of its own first; moving it over may fail, too."""
    path = copied()
    full = ("most_bytes", 100_000)  # less than the first block of a database
    soon = ("sql", "SET wal_autocheckpoint = '10KB'")
    ended = processes.run(path, *others, soon, full, *RUNS, ("most_bytes", None), *RUNS)
    assert any(map(says_full, ended.errors))
    assert ended.errors[-4:] == [None] * 4
    assert tables_of(path) == wanted


def test_an_ingest_on_a_full_disk_loads_nothing_and_succeeds_once_there_is_room(
    warehouse_file, processes, tmp_path, pings
):
    path = shutil.move(warehouse_file, tmp_path / "copy.duckdb")
    ingest = ("ingest", str(playing.client.write(tmp_path / "pings.json", pings)))
    ended = processes.run(path, ("most_bytes", 0), ingest)
    assert says_full(ended.errors[-1])
    with expmon.connect(f"duckdb://{path}") as monitor:
        sources = "telemetry_live.event_v4", "telemetry_live.main_v4"
        assert [playing.rows(monitor, name, "document_id") for name in sources] == [[], []]
        monitor.ingest(ingest[1])
        assert [len(playing.rows(monitor, name, "document_id")) for name in sources] == [48, 48]


@pytest.mark.parametrize("most_bytes", [0, 200, 5_000])
def test_an_export_to_a_full_disk_leaves_whole_files_and_the_next_one_finishes_it(
    exported, processes, tmp_path, most_bytes
):
    directory, path = exported
    export = ("export", AS_OF)
    old = files_below(directory)
    place = shutil.copytree(directory, tmp_path / "undisturbed")
    assert processes.run(path, export, store=place).errors == [None]
    new = files_below(place)
    ended = processes.run(path, ("most_bytes", most_bytes), export, store=directory)
    (error,) = ended.errors[1:]
    assert error[0] == "StoreError"
    says = r"exports can't be used for exports \(\S+\.json\): File too large\. Make room there\.$"
    assert re.search(says, error[1])
    found = files_below(directory)
    # The claim is short, and so are the files of counts.
    assert (found[CLAIM] == old[CLAIM]) is (most_bytes == 0)
    assert found[INDEX] == old[INDEX]
    del old[CLAIM], found[CLAIM]
    assert found.keys() == old.keys()
    assert all(found[name] in (old[name], new[name]) for name in found)
    assert processes.run(path, export, store=directory).errors == [None]
    assert files_below(directory) == new
