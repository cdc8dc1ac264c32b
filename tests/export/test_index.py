"""What exports that meet, break off or lose an answer leave behind. No engine takes part here."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from datetime import datetime

import pytest

from expmon.errors import ExportSuperseded, StoreConflict, StoreError, WarehouseError
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
    T4,
    Watched,
    contents,
    exported,
    index_of,
    monitor,
    once,
)


def checksum(data):
    """CRC-32C in base64, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return base64.b64encode((crc ^ 0xFFFFFFFF).to_bytes(4, "big")).decode()


def breaks_at(number):
    """A hook that fails at the call of this number, from 0 on."""
    calls = itertools.count()

    def hook(name):
        if next(calls) == number:
            raise StoreError("the connection broke")

    return hook


def lost(name):
    def raise_conflict():
        raise StoreConflict(name, "memory://")

    return raise_conflict


def test_the_index_says_what_each_file_is_and_how_far_the_data_goes():
    store = MemoryStore()
    monitor(store, {"exp": 7}).export_active(T1)
    index = index_of(store)
    assert len(index.pop("run_id")) == 32
    through = {dataset: {"through": "2021-01-26 00:55:00 UTC"} for dataset in EIGHT}
    through["experiment_enrollment_daily_active_population"] = {
        "through": "2021-01-26 00:00:00 UTC"
    }
    assert index == {
        "schema_version": 1,
        "as_of": "2021-01-26 01:00:00 UTC",
        "datasets": through,
        "files": {
            f"exp_{dataset}{suffix}.json": {
                "experiment": "exp",
                "dataset": dataset,
                "start": "2021-01-20",
                "rows": 1,
                "crc32c": checksum(store.objects[f"exp_{dataset}{suffix}.json"]),
                "as_of": "2021-01-26 01:00:00 UTC",
                **through[dataset],
            }
            for dataset in EIGHT
            for suffix in ("", "_by_branch")
        },
    }


def test_the_index_goes_no_further_than_the_tables():
    store = MemoryStore()
    monitor(store, {"exp": 7}, as_of=T1).export_active(T4)
    index = index_of(store)
    assert index["as_of"] == "2021-01-26 01:15:00 UTC"
    assert index["datasets"][OVERALL] == {"through": "2021-01-26 00:55:00 UTC"}


def test_the_claim_is_written_first_and_the_index_last():
    store = MemoryStore()
    monitor(store, {"a": 1, "b": 2}).export_active(T1)
    first, *files, last, finished = store.written
    assert (first, last, finished) == (CLAIM, INDEX, CLAIM)
    assert sorted(files) == sorted(contents({"a": 1, "b": 2}))


def test_only_the_files_that_changed_are_written_again():
    store = MemoryStore()
    monitor(store, {"a": 1, "b": 2}).export_active(T1)
    store.written.clear()
    result = monitor(store, {"a": 1, "b": 3}).export_active(T2)
    assert sorted(store.written) == sorted([CLAIM, *contents({"b": 3}), INDEX, CLAIM])
    assert sorted(result.written) == sorted(contents({"b": 3}))
    assert sorted(result.unchanged) == sorted(contents({"a": 1}))
    assert exported(store) == contents({"a": 1, "b": 3})


def test_a_file_that_did_not_change_still_says_in_the_index_that_it_was_looked_at():
    store = MemoryStore()
    monitor(store, {"a": 1}).export_active(T1)
    monitor(store, {"a": 1}).export_active(T2)
    assert {f["as_of"] for f in index_of(store)["files"].values()} == {"2021-01-26 01:05:00 UTC"}


def test_an_export_of_one_experiment_leaves_the_others_and_the_whole_as_they_are():
    store = MemoryStore()
    monitor(store, {"a": 1, "b": 2}).export_active(T1)
    before = index_of(store)
    monitor(store, {"b": 3}, as_of=T2).export_experiment("b", as_of=T2)
    after = index_of(store)
    assert (after["as_of"], after["datasets"]) == (before["as_of"], before["datasets"])
    kept = {name: entry for name, entry in before["files"].items() if name.startswith("a_")}
    assert kept.items() <= after["files"].items()
    assert after["files"].keys() == before["files"].keys()
    entry = after["files"][f"b_{OVERALL}.json"]
    assert entry["as_of"] == "2021-01-26 01:05:00 UTC"
    assert entry["through"] == "2021-01-26 01:00:00 UTC"
    assert exported(store) == contents({"a": 1, "b": 3})


def test_an_older_export_is_refused_before_it_asks_or_writes_anything():
    store = MemoryStore()
    monitor(store, {"a": 2}).export_active(T2)
    before = dict(store.objects)
    older = monitor(store, {"a": 1})
    with pytest.raises(ExportSuperseded) as caught:
        older.export_active(T1)
    assert (caught.value.as_of, caught.value.newer) == (T1, T2)
    assert older.warehouse.queries == []
    assert store.objects == before


def test_an_export_for_the_same_moment_may_be_repeated():
    store = MemoryStore()
    monitor(store, {"a": 1}).export_active(T1)
    monitor(store, {"a": 2}).export_active(T1)
    assert exported(store) == contents({"a": 2})


def test_an_export_stops_between_two_experiments_when_a_newer_one_has_claimed():
    inner = MemoryStore()
    claim = json.dumps({"as_of": T2.isoformat(), "run_id": "newer"}).encode()
    last_of_a = f"a_{EIGHT[-1]}_by_branch.json"
    store = Watched(inner, after=once(last_of_a, lambda: inner.write(CLAIM, claim)))
    with pytest.raises(ExportSuperseded):
        monitor(store, {"a": 1, "b": 2}).export_active(T1)
    assert exported(inner) == contents({"a": 1})
    assert inner.objects[CLAIM] == claim
    assert INDEX not in inner.objects


def test_an_export_stops_before_the_index_when_a_newer_one_has_claimed():
    inner = MemoryStore()
    monitor(inner, {"a": 1}).export_active(T1)
    index = inner.objects[INDEX]
    claim = json.dumps({"as_of": T3.isoformat(), "run_id": "newer"}).encode()
    last = f"a_{EIGHT[-1]}_by_branch.json"
    store = Watched(inner, after=once(last, lambda: inner.write(CLAIM, claim)))
    with pytest.raises(ExportSuperseded):
        monitor(store, {"a": 2}).export_active(T2)
    assert inner.objects[INDEX] == index


WRITES = 1 + 2 * 16 + 1  # the claim, the files of two experiments, the index


@pytest.mark.parametrize("is_written", [False, True], ids=["unwritten", "written, answer lost"])
@pytest.mark.parametrize("number", range(WRITES))
def test_an_export_that_broke_off_leaves_whole_files_and_the_next_repairs_them(number, is_written):
    inner, old, new = MemoryStore(), {"a": 1, "b": 2}, {"a": 3, "b": 4}
    monitor(inner, old).export_active(T1)
    hook = breaks_at(number)
    store = Watched(inner, after=hook) if is_written else Watched(inner, before=hook)
    with pytest.raises(StoreError, match="the connection broke"):
        monitor(store, new).export_active(T2)
    for name, records in exported(inner).items():
        assert records in (contents(old)[name], contents(new)[name])
    # The content returns to what the index may still say, although the files are others.
    monitor(inner, old).export_active(T3)
    assert exported(inner) == contents(old)
    files = index_of(inner)["files"]
    assert {name: files[name]["crc32c"] for name in files} == {
        name: checksum(inner.objects[name]) for name in contents(old)
    }


@pytest.mark.parametrize("first", [0, 1, 5, 16, 20])
@pytest.mark.parametrize("second", [0, 1, 5, 16, 17])
def test_an_export_after_two_that_broke_off_repairs_everything(first, second):
    inner, old = MemoryStore(), {"a": 1, "b": 2}
    monitor(inner, old).export_active(T1)
    for number, new, moment in ((first, {"a": 3, "b": 4}, T2), (second, {"a": 5, "b": 2}, T3)):
        with pytest.raises(StoreError):
            monitor(Watched(inner, before=breaks_at(number)), new).export_active(moment)
    monitor(inner, old).export_active(T4)
    assert exported(inner) == contents(old)


def test_an_export_whose_query_fails_leaves_the_files_and_the_next_one_goes_on():
    store = MemoryStore()
    monitor(store, {"a": 1}).export_active(T1)
    failing = monitor(store, {"a": 2})
    del failing.warehouse.answers["export_series"]
    with pytest.raises(WarehouseError):
        failing.export_active(T2)
    assert exported(store) == contents({"a": 1})
    monitor(store, {"a": 2}).export_active(T2)
    assert exported(store) == contents({"a": 2})


@pytest.mark.parametrize("name", [CLAIM, f"a_{OVERALL}.json", INDEX])
def test_a_write_whose_answer_was_lost_counts_as_done(name):
    inner = MemoryStore()
    monitor(inner, {"a": 1}).export_active(T1)
    inner.written.clear()
    store = Watched(inner, after=once(name, lost(name)))
    monitor(store, {"a": 2}).export_active(T2)
    assert inner.written.count(name) == (2 if name == CLAIM else 1)
    assert exported(inner) == contents({"a": 2})
    assert index_of(inner)["as_of"] == "2021-01-26 01:05:00 UTC"


@pytest.mark.parametrize("name", [CLAIM, f"a_{OVERALL}.json", INDEX])
def test_a_store_where_others_always_write_first_is_given_up(name):
    inner = MemoryStore()

    def conflict(written):
        if written == name:
            raise StoreConflict(name, "memory://")

    with pytest.raises(StoreConflict) as caught:
        monitor(Watched(inner, before=conflict), {"a": 1}).export_active(T1)
    assert caught.value.name == name
    assert name not in inner.objects


@pytest.mark.parametrize("moment", [CLAIM, f"a_{OVERALL}.json", INDEX])
def test_two_exports_of_different_experiments_at_once_both_end_up_in_the_index(moment):
    inner = MemoryStore()
    other = monitor(inner, {"b": 2})
    hook = once(moment, lambda: other.export_experiment("b", as_of=T1))
    monitor(Watched(inner, before=hook), {"a": 1}).export_experiment("a", as_of=T1)
    expected = contents({"a": 1, "b": 2})
    assert exported(inner) == expected
    assert index_of(inner)["files"].keys() == expected.keys()


def test_exports_of_many_threads_into_one_directory_all_end_up_in_the_index(tmp_path):
    slugs = [f"exp-{number}" for number in range(6)]
    failures = []

    def export(slug):
        try:
            monitor(LocalStore(tmp_path), {slug: 1}).export_experiment(slug, as_of=T1)
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=export, args=(slug,)) for slug in slugs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    expected = contents(dict.fromkeys(slugs, 1))
    assert json.loads((tmp_path / INDEX).read_text())["files"].keys() == expected.keys()
    assert {p.name for p in tmp_path.glob("*.json")} == {*expected, INDEX}


BROKEN = [b"", b"not JSON", b"[]", b"17", b"null", b"\xff\xfe", b'{"files": {', b"{}"]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_index_is_made_anew_and_the_files_are_not_written_again(broken):
    store = MemoryStore()
    monitor(store, {"a": 1}).export_active(T1)
    store.write(INDEX, broken)
    store.written.clear()
    monitor(store, {"a": 1}).export_active(T2)
    assert store.written == [CLAIM, INDEX, CLAIM]
    assert index_of(store)["files"].keys() == contents({"a": 1}).keys()


@pytest.mark.parametrize("broken", [*BROKEN, b'{"as_of": 5}', b'{"as_of": "soon", "run_id": []}'])
def test_a_broken_claim_is_made_anew_and_keeps_nobody_out(broken):
    store = MemoryStore()
    monitor(store, {"a": 1}).export_active(T1)
    store.write(CLAIM, broken)
    monitor(store, {"a": 2}).export_active(T2)
    assert datetime.fromisoformat(json.loads(store.objects[CLAIM])["as_of"]) == T2
    assert exported(store) == contents({"a": 2})


def test_files_are_found_unchanged_also_where_the_index_is_gone():
    store = MemoryStore()
    monitor(store, {"a": 1}).export_active(T1)
    del store.objects[INDEX]
    store.written.clear()
    monitor(store, {"a": 1}).export_active(T2)
    assert store.written == [CLAIM, INDEX, CLAIM]
