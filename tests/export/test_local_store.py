from __future__ import annotations

import errno
import os
import stat
import threading

import pytest

from expmon.errors import StoreConflict, StoreError
from expmon.export.local import LocalStore
from expmon.export.store import ABSENT, MemoryStore


@pytest.fixture(params=["directory", "memory"])
def store(request, tmp_path):
    return LocalStore(tmp_path / "exports") if request.param == "directory" else MemoryStore()


def test_what_was_written_is_read_back(store):
    store.write("a.json", b"one")
    assert store.read("a.json").data == b"one"


def test_an_object_that_was_never_written_is_not_there(store):
    assert store.read("a.json") is None


def test_a_write_without_precondition_replaces_whatever_there_is(store):
    store.write("a.json", b"one")
    store.write("a.json", b"two")
    assert store.read("a.json").data == b"two"


def test_a_write_of_what_must_not_be_there_makes_it(store):
    store.write("_expmon/claim.json", b"one", generation=ABSENT)
    assert store.read("_expmon/claim.json").data == b"one"


def test_a_write_of_what_must_not_be_there_is_refused_where_it_is(store):
    store.write("a.json", b"one")
    with pytest.raises(StoreConflict) as caught:
        store.write("a.json", b"two", generation=ABSENT)
    assert caught.value.name == "a.json"
    assert store.read("a.json").data == b"one"


def test_a_write_over_what_was_read_succeeds(store):
    store.write("a.json", b"one")
    store.write("a.json", b"two", generation=store.read("a.json").generation)
    assert store.read("a.json").data == b"two"


def test_a_write_over_what_was_written_meanwhile_is_refused(store):
    store.write("a.json", b"one")
    seen = store.read("a.json").generation
    store.write("a.json", b"two")
    with pytest.raises(StoreConflict):
        store.write("a.json", b"three", generation=seen)
    assert store.read("a.json").data == b"two"


def test_a_write_over_what_has_gone_meanwhile_is_refused(tmp_path):
    store = LocalStore(tmp_path)
    store.write("a.json", b"one")
    seen = store.read("a.json").generation
    (tmp_path / "a.json").unlink()
    with pytest.raises(StoreConflict):
        store.write("a.json", b"two", generation=seen)
    assert store.read("a.json") is None


def test_an_empty_object_is_there_all_the_same(store):
    store.write("a.json", b"")
    assert store.read("a.json").generation != ABSENT


def test_checksums_are_those_of_the_contents(store):
    store.write("a.json", b"123456789")
    store.write("b.json", b"")
    assert store.checksums() == {"a.json": "4waSgw==", "b.json": "AAAAAA=="}


def test_checksums_leave_out_the_helpers_and_foreign_files(tmp_path):
    store = LocalStore(tmp_path)
    store.write("_expmon/claim.json", b"{}", generation=ABSENT)
    store.write("a.json", b"")
    (tmp_path / "notes.txt").write_text("mine")
    assert store.checksums() == {"a.json": "AAAAAA=="}


def test_a_directory_that_is_not_there_yet_holds_nothing_and_is_not_made_by_looking(tmp_path):
    store = LocalStore(tmp_path / "exports")
    assert store.checksums() == {}
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
    with pytest.raises(StoreError, match="No space left on device"):
        store.write("a.json", b"new")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.json": b"old"}


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
    with pytest.raises(StoreError, match="exports can't be used for exports") as caught:
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
        barrier.wait()
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
