"""An experiment's files are written at the same time, and all of them or with an error."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from expmon.errors import StoreError
from expmon.export.store import MemoryStore
from expmon.export.uploads import WORKERS, upload_pool, write_files
from exporting import CLAIM, EIGHT, INDEX, T1, Watched, contents, exported, monitor

SECONDS = 20


def test_all_files_of_an_experiment_are_written_at_once():
    inner = MemoryStore()
    everyone = threading.Barrier(2 * len(EIGHT))
    store = Watched(inner, before=lambda name: name in {CLAIM, INDEX} or everyone.wait(SECONDS))
    monitor(store, {"a": 1, "b": 2}).export_active(T1)
    assert exported(inner) == contents({"a": 1, "b": 2})


def test_the_files_of_one_experiment_are_there_before_those_of_the_next():
    store = MemoryStore()
    monitor(store, {"a": 1, "b": 2, "c": 3}).export_active(T1)
    slugs = [name[0] for name in store.written if name not in {CLAIM, INDEX}]
    assert slugs == ["a"] * 16 + ["b"] * 16 + ["c"] * 16


def test_the_result_names_the_files_in_the_order_of_the_datasets_however_they_were_written():
    result = monitor(MemoryStore(), {"b": 1, "a": 2}).export_active(T1)
    assert result.written == tuple(contents({"b": 1, "a": 2}))


class Claim:
    """A claim whose first writes wait for each other, and of which some fail."""

    def __init__(self, failing, at_once):
        self.failing = failing
        self.at_once = at_once
        self.together = threading.Barrier(at_once)
        self.begun = []
        self.ended = []

    def write(self, file, generation):
        self.begun.append(file.name)
        if int(file.name) < self.at_once:
            self.together.wait(SECONDS)
        if file.name in self.failing:
            raise StoreError(f"{file.name} failed")
        time.sleep(0.05)
        self.ended.append(file.name)


@dataclass
class File:
    name: str


FILES = [File(f"{number:03}") for number in range(100)]


def test_a_failure_drops_what_waits_and_waits_for_what_has_begun():
    claim = Claim({"000", "002"}, at_once=4)
    with ThreadPoolExecutor(4) as pool:
        with pytest.raises(StoreError, match="000 failed") as caught:
            write_files(pool, claim, FILES, generations={})
        begun, ended = set(claim.begun), set(claim.ended)
    assert begun == set(claim.begun)
    assert begun - ended == {"000", "002"}
    assert len(begun) < len(FILES)
    assert caught.value.__notes__ == ["Another upload of this export failed too: 002 failed"]


def test_all_files_are_written_where_none_fails():
    claim = Claim(set(), at_once=WORKERS)
    with upload_pool() as pool:
        write_files(pool, claim, FILES, generations={})
    assert sorted(claim.ended) == [file.name for file in FILES]


def test_no_more_are_written_at_once_than_the_pool_is_meant_to():
    assert WORKERS == 16
    with upload_pool() as pool:
        everyone = threading.Barrier(WORKERS + 1)
        waiting = [pool.submit(everyone.wait, 0.5) for _ in range(WORKERS + 1)]
        errors = [type(future.exception()) for future in waiting]
    assert errors == [threading.BrokenBarrierError] * (WORKERS + 1)


def test_nothing_is_written_any_more_when_the_export_has_been_interrupted():
    claim = Claim(set(), at_once=4)

    def interrupted():
        with upload_pool() as pool:
            for file in FILES:
                pool.submit(claim.write, file, 0)
            while not claim.ended:
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    ended = list(claim.ended)
    assert len(ended) < len(FILES)
    assert sorted(ended) == sorted(claim.begun)


def test_an_index_is_not_written_where_a_file_is_missing():
    inner = MemoryStore()

    def fails(name):
        if name == "a_experiment_cumulative_ad_clicks.json":
            raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="the disk is full"):
        monitor(Watched(inner, before=fails), {"a": 1}).export_active(T1)
    assert INDEX not in inner.objects
    assert exported(inner).items() <= contents({"a": 1}).items()
