from __future__ import annotations

import errno
import os
import stat
import threading

import pytest

from expmon.errors import StoreConflict, StoreError
from expmon.export.local import LocalStore
from expmon.export.store import ABSENT


def test_a_write_over_what_has_gone_meanwhile_is_refused(tmp_path):
    store = LocalStore(tmp_path)
    store.write("a.json", b"one")
    seen = store.read("a.json").generation
    (tmp_path / "a.json").unlink()
    with pytest.raises(StoreConflict):
        store.write("a.json", b"two", generation=seen)
    assert store.read("a.json") is None


def test_a_directory_that_is_not_there_yet_holds_nothing_and_is_not_made_by_looking(tmp_path):
    store = LocalStore(tmp_path / "exports")
    assert store.checksums() == {}
    assert store.generations() == {}
    assert store.read("a.json") is None
    assert not (tmp_path / "exports").exists()


def test_directories_above_are_made_with_the_first_file(tmp_path):
    LocalStore(tmp_path / "far" / "away").write("a.json", b"one")
    assert (tmp_path / "far" / "away" / "a.json").read_bytes() == b"one"


def test_files_may_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o022)
    try:
        LocalStore(tmp_path).write("a.json", b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o644


def test_a_reader_with_the_old_file_open_keeps_all_of_it(tmp_path):
    store = LocalStore(tmp_path)
    store.write("a.json", b"old" * 10_000)
    with (tmp_path / "a.json").open("rb") as reader:
        half = reader.read(15_000)
        store.write("a.json", b"new")
        assert half + reader.read() == b"old" * 10_000


def test_a_write_that_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    store.write("a.json", b"old")

    def full_disk(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    says = r"exports \(a\.json\): No space left on device\. Make room there\.$"
    with pytest.raises(StoreError, match=says):
        store.write("a.json", b"new")
    files = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    assert files == {"a.json": b"old"}


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.read("a.json"),
        lambda store: store.write("a.json", b"one"),
        lambda store: store.write("a.json", b"one", generation=ABSENT),
    ],
    ids=["read", "write", "write with precondition"],
)
def test_a_file_in_the_directorys_place_is_named_and_left_as_it_is(tmp_path, use):
    place = tmp_path / "exports"
    place.write_text("mine")
    says = r"exports can't be used for exports .*\. Choose a directory that you may write to\.$"
    with pytest.raises(StoreError, match=says) as caught:
        use(LocalStore(place))
    assert isinstance(caught.value.__cause__, OSError)
    assert place.read_text() == "mine"


def test_a_file_in_the_helpers_place_is_named(tmp_path):
    (tmp_path / "_expmon").write_text("mine")
    with pytest.raises(StoreError, match="_expmon"):
        LocalStore(tmp_path).write("a.json", b"one", generation=ABSENT)
    assert not (tmp_path / "a.json").exists()


def test_of_many_writers_over_the_same_object_exactly_one_succeeds(tmp_path):
    LocalStore(tmp_path).write("a.json", b"start")
    seen = LocalStore(tmp_path).read("a.json").generation
    barrier = threading.Barrier(8)
    won = []

    def write(number):
        barrier.wait(60)
        try:
            LocalStore(tmp_path).write("a.json", b"%d" % number, generation=seen)
        except StoreConflict:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert (tmp_path / "a.json").read_bytes() == b"%d" % won[0]
