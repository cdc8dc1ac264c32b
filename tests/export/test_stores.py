"""What every store does, whatever it keeps its objects in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

import reporting
from expmon import Monitor
from expmon.errors import StoreConflict
from expmon.export.store import ABSENT, MemoryStore
from expmon.warehouse.fake import FakeWarehouse

HELPER = "_expmon/claim.json"


def test_what_was_written_is_read_back(store):
    store.write("a.json", b"one")
    assert store.read("a.json").data == b"one"


def test_an_object_that_was_never_written_is_not_there(store):
    assert store.read("a.json") is None
    assert store.generations() == {}
    assert store.checksums() == {}


def test_a_write_without_precondition_replaces_whatever_there_is(store):
    store.write("a.json", b"one")
    store.write("a.json", b"two")
    assert store.read("a.json").data == b"two"


def test_a_write_of_what_must_not_be_there_makes_it(store):
    store.write(HELPER, b"one", generation=ABSENT)
    assert store.read(HELPER).data == b"one"


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


def test_a_write_over_what_was_listed_succeeds(store):
    store.write("a.json", b"one")
    store.write("a.json", b"two", generation=store.generations()["a.json"])
    assert store.read("a.json").data == b"two"


@pytest.mark.parametrize("data", [b"two", b"one"], ids=["other content", "the same content"])
def test_a_write_over_what_was_written_meanwhile_is_refused(store, data):
    store.write("a.json", b"one")
    seen = store.read("a.json").generation
    store.write("a.json", data)
    with pytest.raises(StoreConflict):
        store.write("a.json", b"three", generation=seen)
    assert store.read("a.json").data == data


def test_a_write_over_what_has_never_been_there_is_refused(store):
    with pytest.raises(StoreConflict):
        store.write("a.json", b"one", generation=123)
    assert store.read("a.json") is None


def test_an_empty_object_is_there_all_the_same(store):
    store.write("a.json", b"")
    assert store.read("a.json").generation != ABSENT
    assert store.generations().keys() == {"a.json"}


def test_a_listing_says_the_generations_that_reading_says(store):
    for name in ("a.json", "b.json"):
        store.write(name, b"one")
    assert store.generations() == {
        name: store.read(name).generation for name in ("a.json", "b.json")
    }


def test_a_listing_of_a_prefix_has_the_names_that_begin_so(store):
    for name in ("a_x.json", "a.b_x.json", "ab_x.json", "b_a_.json"):
        store.write(name, b"one")
    assert store.generations("a_").keys() == {"a_x.json"}
    assert store.generations("a").keys() == {"a_x.json", "a.b_x.json", "ab_x.json"}
    assert store.generations("c") == {}


def test_checksums_are_those_of_the_contents(store):
    store.write("a.json", b"123456789")
    store.write("b.json", b"")
    assert store.checksums() == {"a.json": "4waSgw==", "b.json": "AAAAAA=="}


def test_listings_leave_out_helpers_and_what_people_have_put_there(store):
    for name in (HELPER, ".hidden.json", "notes.txt", "other/b.json", "a.json"):
        store.write(name, b"one")
    assert store.generations().keys() == {"a.json"}
    assert store.checksums().keys() == {"a.json"}
    assert store.generations("_") == {}


def test_content_of_any_kind_is_kept_byte_for_byte(store):
    data = bytes(range(256)) + "ünï\r\n".encode()
    store.write("a.json", data)
    assert store.read("a.json").data == data


def test_a_moment_may_be_noted_with_the_object(store):
    store.write("a.json", b"one", generation=ABSENT, as_of="2021-01-26T00:05:00+00:00")
    assert store.read("a.json").data == b"one"


def test_of_many_writers_over_the_same_object_exactly_one_succeeds(store):
    store.write("a.json", b"start")
    seen = store.read("a.json").generation
    barrier = Barrier(8)

    def write(number):
        barrier.wait(60)
        try:
            store.write("a.json", b"%d" % number, generation=seen)
        except StoreConflict:
            return None
        return b"%d" % number

    with ThreadPoolExecutor(8) as pool:
        won = [data for data in pool.map(write, range(8)) if data is not None]
    final = store.read("a.json").data
    # A server may cut the connection of the winner, who learns of its success by reading.
    assert won in ([final], [])
    assert final != b"start"


def test_many_threads_write_what_each_of_them_has(store):
    names = [f"{number}.json" for number in range(48)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: store.write(name, name.encode()), names))
    assert store.generations().keys() == set(names)
    assert [store.read(name).data for name in names] == [name.encode() for name in names]


def test_the_same_files_give_the_same_pages(store):
    made, kept = (reporting.ROLLOUT, reporting.EMPTY), MemoryStore()
    pages = []
    for place in (store, kept):
        reporting.write(place, *made)
        pages.append(list(Monitor(FakeWarehouse(), place).report_all()))
    assert pages[0] == pages[1]
    assert len(pages[0]) == 3
