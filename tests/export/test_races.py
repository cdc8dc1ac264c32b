"""An export among others, and a store that has lost its shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expmon.errors import ExportSuperseded, StoreError
from expmon.export.local import LocalStore
from expmon.export.store import MemoryStore
from exporting import (
    CLAIM,
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


@pytest.mark.parametrize("newest", [1, 2])
def test_files_of_a_newer_export_are_never_replaced_by_an_older_one(newest):
    inner = MemoryStore()
    monitor(inner, {"a": 2}).export_active(T1)
    # The newer export finds what is there unchanged, or changes it, while the older one writes.
    newer = monitor(inner, {"a": newest})
    hook = once(f"a_{OVERALL}.json", lambda: newer.export_active(T3))
    with pytest.raises(ExportSuperseded):
        monitor(Watched(inner, before=hook), {"a": 3}).export_active(T2)
    assert exported(inner) == contents({"a": newest})
    assert {entry["as_of"] for entry in index_of(inner)["files"].values()} == {
        f"{T3:%Y-%m-%d %H:%M:%S} UTC"
    }


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
