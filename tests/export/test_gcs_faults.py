"""Exports to a Cloud Storage that fails: nothing is lost, doubled or half there."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace

import pytest

from emulators.proxy import Fault
from expmon.errors import ExportSuperseded, StoreError
from expmon.export.store import ABSENT
from exporting import (
    CLAIM,
    EIGHT,
    INDEX,
    OVERALL,
    T1,
    T2,
    T3,
    contents,
    exported,
    index_of,
    monitor,
)

pytestmark = pytest.mark.enable_socket

FILE = f"a_{OVERALL}.json"
UPLOAD = "^/upload/storage/v1/b/"
SECONDS = 20


def upload_of(name, **more):
    """A fault of the uploads of an object."""
    return Fault(method="POST", path=UPLOAD, content=f'"name":"monitoring/{name}'.encode(), **more)


def download_of(name, **more):
    return Fault(method="GET", path=f"{name.rsplit('/')[-1]}.*alt=media", **more)


STEPS = {
    "the claim is read": download_of(CLAIM),
    "the claim is written": upload_of(CLAIM),
    "the index is read for checksums": download_of(INDEX),
    "the generations are listed": Fault(method="GET", path=r"/o\?"),
    "the claim is looked at again": download_of(CLAIM, skip=1),
    "a file is written": upload_of(FILE),
    "the index is read to be changed": download_of(INDEX, skip=1),
    "the claim is looked at before the index": download_of(CLAIM, skip=2),
    "the index is written": upload_of(INDEX),
    "the claim is read to be finished": download_of(CLAIM, skip=3),
    "the claim is finished": upload_of(CLAIM, skip=1),
}
KINDS = {
    "503": {"status": 503},
    "429": {"status": 429},
    "cut": {"action": "cut"},
    "lost": {"action": "lose"},
    "halved": {"action": "halve"},
}


def name_of(upload):
    said = upload.body.split(b"\r\n\r\n")[1].split(b"\r\n--")[0]
    return json.loads(said)["name"].removeprefix("monitoring/")


def assert_whole(store, values, moment):
    """All is there that an export leaves, and it fits together."""
    assert exported(store) == contents(values)
    index = index_of(store)
    assert index["as_of"] == f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    checksums = {name: value for name, value in store.checksums().items() if name != INDEX}
    assert {name: entry["crc32c"] for name, entry in index["files"].items()} == checksums
    assert json.loads(store.read(CLAIM).data)["is_finished"] is True


def stored(proxy):
    """How often each object was stored."""
    uploads = [r for r, status in proxy.answered if r.method == "POST" and status == 200]
    return Counter(name_of(upload) for upload in uploads)


ONCE = {**dict.fromkeys((*contents({"a": 2}), INDEX), 1), CLAIM: 2}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", STEPS)
def test_a_request_that_fails_is_sent_again_and_each_object_is_stored_once(
    gcs_store, proxied, proxy, step, kind
):
    monitor(gcs_store, {"a": 1}).export_active(T1)
    proxy.add(replace(STEPS[step], **KINDS[kind]))
    monitor(proxied, {"a": 2}).export_active(T2)
    assert proxy.left == []
    assert_whole(gcs_store, {"a": 2}, T2)
    assert stored(proxy) == ONCE


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_export_of_a_bucket_survives_failures_of_many_requests(proxied, proxy, kind):
    proxy.add(upload_of("[ab]_", count=12, **KINDS[kind]))
    monitor(proxied, {"a": 1, "b": 2}).export_active(T1)
    assert proxy.left == []
    assert_whole(proxied, {"a": 1, "b": 2}, T1)
    names = (*contents({"a": 1, "b": 2}), INDEX)
    assert stored(proxy) == {**dict.fromkeys(names, 1), CLAIM: 2}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [CLAIM, FILE, f"a_{EIGHT[-1]}_by_branch.json", INDEX])
def test_an_export_that_gives_up_leaves_whole_files_and_the_next_repairs_them(
    gcs_store, proxy, connect_gcs, name, kind
):
    monitor(gcs_store, {"a": 1}).export_active(T1)
    index = gcs_store.read(INDEX)
    proxy.add(upload_of(name, count=10_000, **KINDS[kind]))
    hasty = connect_gcs(proxy.url, patience=0.5)
    with pytest.raises(StoreError, match="can't be reached"):
        monitor(hasty, {"a": 2}).export_active(T2)
    # The index may have been written, and the answer lost.
    is_lost = kind in {"lost", "halved"}
    assert (gcs_store.read(INDEX) == index) is not (is_lost and name == INDEX)
    for file, records in exported(gcs_store).items():
        assert records in (contents({"a": 1})[file], contents({"a": 2})[file])
    monitor(gcs_store, {"a": 1}).export_active(T3)
    assert_whole(gcs_store, {"a": 1}, T3)


def test_a_first_export_that_gives_up_leaves_no_index(proxy, connect_gcs):
    proxy.add(upload_of(FILE, count=10_000))
    with pytest.raises(StoreError, match="HTTP 503"):
        monitor(connect_gcs(proxy.url, patience=0.5), {"a": 1, "b": 2}).export_active(T1)
    store = connect_gcs(proxy.url)
    assert store.read(INDEX) is None
    assert not any(name.startswith("b_") for name in exported(store))


def test_an_upload_that_arrives_when_it_was_given_up_changes_nothing(gcs_store, proxy, connect_gcs):
    monitor(gcs_store, {"a": 1}).export_active(T1)
    late = upload_of(FILE, action="delay", seconds=2)
    proxy.add(late)
    monitor(connect_gcs(proxy.url, patience=1), {"a": 2}).export_active(T2)
    seen = gcs_store.generations()
    monitor(gcs_store, {"a": 2}).export_active(T3)
    deadline = time.monotonic() + SECONDS
    answers = []
    while len(answers) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
        answers = [s for r, s in proxy.answered if r.method == "POST" and name_of(r) == FILE]
    assert answers == [200, 412]
    assert_whole(gcs_store, {"a": 2}, T3)
    assert gcs_store.generations()[FILE] == seen[FILE]


HELD = ["the generations are listed", "the claim is looked at again", "a file is written"]
HELD += ["the index is read to be changed", "the index is written"]


@pytest.mark.parametrize("newest", [1, 2], ids=["unchanged", "changed"])
@pytest.mark.parametrize("step", HELD)
def test_a_request_of_an_older_export_that_comes_after_a_newer_one_changes_nothing(
    gcs_store, proxied, proxy, step, newest
):
    monitor(gcs_store, {"a": 1}).export_active(T1)
    newer = monitor(gcs_store, {"a": newest})
    proxy.add(replace(STEPS[step], action="call", act=lambda: newer.export_active(T3)))
    with pytest.raises(ExportSuperseded) as caught:
        monitor(proxied, {"a": 3}).export_active(T2)
    assert caught.value.newer == T3
    assert proxy.left == []
    assert_whole(gcs_store, {"a": newest}, T3)


@pytest.mark.parametrize("name", [FILE, INDEX])
def test_a_lost_answer_does_not_hide_a_newer_export(gcs_store, proxied, proxy, name):
    monitor(gcs_store, {"a": 1}).export_active(T1)
    newer = monitor(gcs_store, {"a": 2})
    proxy.add(
        upload_of(name, action="lose"),
        upload_of(name, action="call", act=lambda: newer.export_active(T3)),
    )
    with pytest.raises(ExportSuperseded):
        monitor(proxied, {"a": 3}).export_active(T2)
    assert_whole(gcs_store, {"a": 2}, T3)


def test_an_upload_over_what_another_export_of_the_same_moment_wrote_is_made_again(
    gcs_store, proxied, proxy
):
    monitor(gcs_store, {"a": 1}).export_active(T1)
    proxy.add(upload_of(FILE, action="call", act=lambda: gcs_store.write(FILE, b"[]")))
    monitor(proxied, {"a": 2}).export_active(T2)
    assert_whole(gcs_store, {"a": 2}, T2)


@pytest.mark.parametrize("action", ["halve", "cut"])
def test_an_object_that_changes_while_it_is_read_is_read_whole(gcs_store, proxied, proxy, action):
    gcs_store.write("a.json", b"old" * 10_000, generation=ABSENT)
    proxy.add(
        download_of("a.json", action=action),
        download_of("a.json", action="call", act=lambda: gcs_store.write("a.json", b"new")),
    )
    found = proxied.read("a.json")
    assert proxy.left == []
    assert found == gcs_store.read("a.json")
    assert found.data == b"new"
