"""An export among others, and a store that has lost its shape."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from expmon.errors import ExportSuperseded, StoreError
from expmon.export.local import LocalStore
from expmon.export.store import MemoryStore
from exporting import (
    CLAIM,
    EIGHT,
    INDEX,
    OVERALL,
    T1,
    T2,
    T3,
    Watched,
    contents,
    exported,
    index_of,
    monitor,
    once,
)

SECONDS = 30
FIRST = f"a_{OVERALL}.json"
STEPS = [CLAIM, FIRST, f"a_{EIGHT[-1]}_by_branch.json", INDEX]


def when_both_ran(store, older, newer, step, first):
    """The older export's error, if any, after a race.

    The older one has got as far as before the write of `step` when the newer one claims; of the
    two, `first` goes on alone until it ends.
    """
    older_ended, newer_claimed = Event(), Event()

    def claimed():
        newer_claimed.set()
        if first == "older":
            assert older_ended.wait(SECONDS)

    def race():
        running.append(pool.submit(newer, Watched(store, after=once(CLAIM, claimed))))
        assert newer_claimed.wait(SECONDS)
        if first == "newer":
            running[0].result(SECONDS)

    running = []
    with ThreadPoolExecutor(1) as pool:
        try:
            older(Watched(store, before=once(step, race)))
        except ExportSuperseded as error:
            return error
        finally:
            older_ended.set()
            running[0].result(SECONDS)
    return None


@pytest.mark.parametrize("first", ["older", "newer"])
@pytest.mark.parametrize("newest", [1, 2], ids=["unchanged", "changed"])
@pytest.mark.parametrize("step", STEPS)
def test_of_two_exports_that_race_the_newer_ones_files_stay(store, step, newest, first):
    monitor(store, {"a": 1}).export_active(T1)
    error = when_both_ran(
        store,
        lambda there: monitor(there, {"a": 3}).export_active(T2),
        lambda there: monitor(there, {"a": newest}).export_active(T3),
        step,
        first,
    )
    # The older one may have been through when the newer one claimed, but for its index.
    assert error is not None or (step, first) == (INDEX, "older")
    assert exported(store) == contents({"a": newest})
    index = index_of(store)
    assert index["as_of"] == f"{T3:%Y-%m-%d %H:%M:%S} UTC"
    assert {entry["as_of"] for entry in index["files"].values()} == {index["as_of"]}
    assert {n: e["crc32c"] for n, e in index["files"].items()} == checksums_of_files(store)
    assert json.loads(store.read(CLAIM).data)["is_finished"] is True


def checksums_of_files(store):
    return {name: value for name, value in store.checksums().items() if name != INDEX}


@pytest.mark.parametrize("files", [[], None, 5, {"a.json": 5}])
def test_an_index_of_a_strange_shape_is_made_anew(files):
    store = MemoryStore()
    monitor(store, {"a": 1}).export_active(T1)
    store.write(INDEX, json.dumps({**index_of(store), "files": files}).encode())
    monitor(store, {"a": 1}).export_active(T2)
    assert index_of(store)["files"].keys() == contents({"a": 1}).keys()


def test_an_index_without_datasets_is_made_anew():
    store = MemoryStore()
    store.write(INDEX, b'{"as_of": "2021-01-26 00:00:00 UTC", "files": {}}')
    monitor(store, {"a": 1}).export_experiment("a", as_of=T2)
    assert index_of(store)["files"].keys() == contents({"a": 1}).keys()
    assert index_of(store)["datasets"]


@pytest.mark.parametrize("moment", ["2021-01-26T00:00:00", "2021-01-26", "never", 5, None])
def test_a_claim_of_a_time_that_is_none_is_made_anew(moment):
    store = MemoryStore()
    store.write(CLAIM, json.dumps({"as_of": moment, "run_id": "x"}).encode())
    monitor(store, {"a": 1}).export_active(T2)
    assert exported(store) == contents({"a": 1})


def test_an_index_nested_too_deeply_is_made_anew():
    store = MemoryStore()
    store.write(INDEX, b"[" * 100_000)
    monitor(store, {"a": 1}).export_active(T2)
    assert index_of(store)["files"].keys() == contents({"a": 1}).keys()


def test_a_lock_that_can_not_be_taken_is_an_error_of_the_store(tmp_path):
    (tmp_path / "_expmon" / "lock").mkdir(parents=True)
    with pytest.raises(StoreError, match="can't be used for exports"):
        LocalStore(tmp_path).write("a.json", b"x", generation=0)


def test_a_store_with_a_nul_in_its_name_is_an_error_of_the_store():
    with pytest.raises(StoreError, match="can't be used for exports"):
        LocalStore(Path("a\0b")).write("a.json", b"x")


def test_an_export_of_one_experiment_vouches_for_no_others_after_a_break_off():
    inner = MemoryStore()
    monitor(inner, {"a": 1, "b": 1}).export_active(T1)
    with pytest.raises(StoreError, match="broke"):
        monitor(Watched(inner, before=breaks_at(20)), {"a": 2, "b": 2}).export_active(T2)
    monitor(inner, {"b": 1}).export_experiment("b", as_of=T2)
    monitor(inner, {"a": 1, "b": 1}).export_active(T3)
    assert exported(inner) == contents({"a": 1, "b": 1})


def breaks_at(number):
    """A hook that fails at the write of this number."""
    names = []

    def hook(name):
        names.append(name)
        if len(names) > number:
            raise StoreError("the connection broke")

    return hook
