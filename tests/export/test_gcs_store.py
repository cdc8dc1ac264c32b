"""What is asked of Cloud Storage, and what is said where it refuses."""

from __future__ import annotations

import base64
import json
import logging

import google.auth.exceptions
import google_crc32c
import pytest
from google.auth.credentials import Credentials
from google.oauth2.credentials import Credentials as Token

from emulators.proxy import Fault
from expmon.errors import ConfigError, StoreConflict, StoreError
from expmon.export.gcs import BucketFacts, GCSStore
from expmon.export.store import ABSENT
from exporting import CLAIM, EIGHT, INDEX, T1, T2, contents, exported, monitor

pytestmark = pytest.mark.enable_socket

UPLOAD = "/upload/storage/v1/b/"
NOON = "2021-01-26T12:00:00+00:00"
LARGE = b"0123456789abcdef" * 600_000  # more than Google's client uploads in one request


def metadata_of(request):
    """What an upload says of its object."""
    return json.loads(request.body.split(b"\r\n\r\n")[1].split(b"\r\n--")[0])


def uploads(proxy):
    """The names of what was uploaded, in that order."""
    prefix = "monitoring/"
    return [metadata_of(r)["name"].removeprefix(prefix) for r in proxy.of("POST", UPLOAD)]


# What is written


def test_an_object_says_what_it_is_and_when_it_was_computed(proxied, proxy, bucket):
    proxied.write("a.json", b'[{"a": 1}]', generation=ABSENT, as_of=NOON)
    stored = bucket.get_blob("monitoring/a.json")
    assert stored.content_type == "application/json"
    assert stored.cache_control == "no-cache"
    assert stored.metadata == {"as_of": NOON}
    assert stored.download_as_bytes() == b'[{"a": 1}]'


def test_all_of_it_goes_in_one_request_under_a_precondition(proxied, proxy):
    data = b'[{"a": 1}]'
    proxied.write("a.json", data, generation=ABSENT, as_of=NOON)
    (request,) = proxy.requests
    assert request.path.startswith(UPLOAD)
    assert request.query["uploadType"] == ["multipart"]
    assert request.query["ifGenerationMatch"] == ["0"]
    assert metadata_of(request) == {
        "name": "monitoring/a.json",
        "contentType": "application/json",
        "cacheControl": "no-cache",
        "metadata": {"as_of": NOON},
        "crc32c": google_crc32c_base64(data),
    }
    assert b"Content-Type: application/json\r\n\r\n" + data + b"\r\n--" in request.body


def google_crc32c_base64(data):
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def test_the_precondition_is_the_generation_that_was_seen(proxied, proxy):
    proxied.write("a.json", b"one", generation=ABSENT)
    seen = proxied.generations()["a.json"]
    proxied.write("a.json", b"two", generation=seen)
    assert proxy.requests[-1].query["ifGenerationMatch"] == [str(seen)]


def test_every_object_of_an_export_says_its_moment(proxied, bucket):
    monitor(proxied, {"a": 1}).export_active(T1)
    objects = list(bucket.list_blobs())
    assert {blob.name for blob in objects} == {
        f"monitoring/{name}" for name in (*contents({"a": 1}), CLAIM, INDEX)
    }
    assert {blob.metadata["as_of"] for blob in objects} == {"2021-01-26T01:00:00+00:00"}
    assert {blob.content_type for blob in objects} == {"application/json"}
    assert {blob.cache_control for blob in objects} == {"no-cache"}


def test_content_that_did_not_change_is_not_uploaded_again(proxied, proxy):
    monitor(proxied, {"a": 1, "b": 2}).export_active(T1)
    proxy.requests.clear()
    result = monitor(proxied, {"a": 1, "b": 3}).export_active(T2)
    assert sorted(uploads(proxy)) == sorted([CLAIM, *contents({"b": 3}), INDEX, CLAIM])
    assert sorted(result.unchanged) == sorted(contents({"a": 1}))
    assert exported(proxied) == contents({"a": 1, "b": 3})


def test_nothing_is_uploaded_again_where_the_index_is_gone(proxied, proxy, bucket):
    monitor(proxied, {"a": 1}).export_active(T1)
    bucket.blob(f"monitoring/{INDEX}").delete()
    proxy.requests.clear()
    monitor(proxied, {"a": 1}).export_active(T2)
    assert uploads(proxy) == [CLAIM, INDEX, CLAIM]


def test_an_export_lists_what_is_there_once(proxied, proxy):
    monitor(proxied, {"a": 1, "b": 2, "c": 3}).export_active(T1)
    proxy.requests.clear()
    monitor(proxied, {"a": 2, "b": 3, "c": 4}).export_active(T2)
    listings = proxy.of("GET", "/o$")
    assert [request.query["prefix"] for request in listings] == [["monitoring/"]]
    assert listings[0].query["delimiter"] == ["/"]


def test_an_export_of_named_experiments_lists_those(proxied, proxy):
    monitor(proxied, {"a": 1, "b": 2, "c": 3}).export_active(T1)
    proxy.requests.clear()
    monitor(proxied, {"a": 2, "b": 3}).export_experiments(["a", "b"], as_of=T2)
    listings = proxy.of("GET", "/o$")
    assert [r.query["prefix"] for r in listings] == [["monitoring/a_"], ["monitoring/b_"]]
    assert exported(proxied) == contents({"a": 2, "b": 3, "c": 3})


def test_no_upload_waits_for_a_connection(proxied, caplog):
    with caplog.at_level(logging.DEBUG, logger="urllib3.connectionpool"):
        monitor(proxied, {"a": 1, "b": 2}).export_active(T1)
    assert [r.message for r in caplog.records if r.levelno > logging.DEBUG] == []


@pytest.mark.parametrize("prefix", ["", "/", "a/b", "/a/b/"])
def test_names_are_below_the_prefix(gcs_server, connect_gcs, bucket, prefix):
    store = connect_gcs(gcs_server.url, prefix=prefix)
    monitor(store, {"a": 1}).export_active(T1)
    assert exported(store) == contents({"a": 1})
    start = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    assert {blob.name for blob in bucket.list_blobs()} == {
        f"{start}{name}" for name in (*contents({"a": 1}), CLAIM, INDEX)
    }
    assert store.url == f"gs://{bucket.name}/{start}".rstrip("/")


def test_two_prefixes_of_a_bucket_know_nothing_of_each_other(gcs_server, connect_gcs):
    one, other = (connect_gcs(gcs_server.url, prefix=p) for p in ("monitoring", "monitoring2"))
    monitor(one, {"a": 1}).export_active(T2)
    monitor(other, {"a": 2}).export_active(T1)
    assert exported(one) == contents({"a": 1})
    assert exported(other) == contents({"a": 2})


def test_a_listing_of_several_pages_is_read_to_its_end(proxied, proxy):
    first = {"items": [item("monitoring/a.json")], "nextPageToken": "more"}
    second = {"items": [item("monitoring/b.json")]}
    proxy.add(*(Fault(path=r"/o\?", status=200, document=page) for page in (first, second)))
    assert proxied.generations() == {"a.json": 5, "b.json": 5}
    assert "nextPageToken" in proxy.requests[0].query["fields"][0]
    assert proxy.requests[1].query["pageToken"] == ["more"]


def item(name):
    return {"name": name, "generation": "5", "crc32c": "AAAAAA=="}


@pytest.mark.parametrize("generation", [ABSENT, None])
def test_a_large_object_is_uploaded_whole_too(proxied, bucket, generation):
    proxied.write("index.json", LARGE, generation=generation, as_of=NOON)
    assert proxied.read("index.json").data == LARGE
    assert bucket.get_blob("monitoring/index.json").metadata == {"as_of": NOON}
    assert bucket.get_blob("monitoring/index.json").cache_control == "no-cache"
    seen = proxied.read("index.json").generation
    proxied.write("index.json", LARGE[1:], generation=seen)
    with pytest.raises(StoreConflict):
        proxied.write("index.json", LARGE[2:], generation=seen)
    assert proxied.read("index.json").data == LARGE[1:]


def test_an_object_whose_checksum_is_another_is_an_error_and_not_finished(proxied, proxy):
    stored = {**item("monitoring/a.json"), "crc32c": "BBBBBB=="}
    proxy.add(Fault(path=UPLOAD, content=b"a_experiment", status=200, document=stored))
    with pytest.raises(StoreError, match="damaged on its way: its CRC32C is BBBBBB=="):
        monitor(proxied, {"a": 1}).export_active(T1)
    assert proxied.read(INDEX) is None
    monitor(proxied, {"a": 1}).export_active(T2)
    assert exported(proxied) == contents({"a": 1})


# What the bucket is


def test_the_facts_of_a_bucket_are_what_is_known_of_it(proxied, proxy, bucket):
    assert proxied.facts() == BucketFacts(bucket.location, None, False, None)
    described = {
        "name": bucket.name,
        "location": "EU",
        "versioning": {"enabled": True},
        "softDeletePolicy": {"retentionDurationSeconds": "604800"},
    }
    held = {"permissions": ["storage.objects.get", "storage.objects.list"]}
    proxy.add(
        Fault(method="GET", path="/iam/testPermissions", status=200, document=held),
        Fault(method="GET", path=rf"/b/{bucket.name}\?", status=200, document=described),
    )
    missing = ("storage.objects.create", "storage.objects.delete")
    assert proxied.facts() == BucketFacts("EU", 604800, True, missing)


def test_an_account_that_may_export_need_not_see_the_bucket(proxied, proxy, bucket):
    held = ["storage.objects." + verb for verb in ("create", "delete", "get", "list")]
    proxy.add(
        Fault(path="/iam/testPermissions", status=200, document={"permissions": held}),
        Fault(path=rf"/b/{bucket.name}\?", status=403, document=refusal("no buckets.get")),
    )
    assert proxied.facts() == BucketFacts(None, None, None, ())


def refusal(message):
    return {"error": {"message": message}}


# What is refused

USES = {
    "read": lambda store: store.read("a.json"),
    "write": lambda store: store.write("a.json", b"one", generation=ABSENT),
    "generations": lambda store: store.generations(),
    "checksums": lambda store: store.checksums(),
    "facts": lambda store: store.facts(),
}
ALL = pytest.mark.parametrize("use", USES.values(), ids=USES)


@pytest.mark.parametrize("use", [USES[name] for name in USES if name != "read"])
def test_a_bucket_that_is_not_there_is_named(gcs_server, monkeypatch, use):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    store = GCSStore("nowhere", "monitoring", credentials=Token)
    with pytest.raises(StoreError, match="there is no bucket nowhere for gs://nowhere/monitoring"):
        use(store)


def test_a_name_that_no_bucket_has_is_an_error_of_the_store(gcs_server, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    with pytest.raises(StoreError, match="must start and end with a number or letter"):
        GCSStore("-bucket-", "", credentials=Token).checksums()


def test_an_export_into_a_bucket_that_is_not_there_says_so(gcs_server, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    store = GCSStore("nowhere", "", credentials=Token)
    with pytest.raises(StoreError, match="there is no bucket nowhere for gs://nowhere"):
        monitor(store, {"a": 1}).export_active(T1)


@pytest.mark.parametrize("use", [USES[name] for name in USES if name != "facts"])
def test_a_permission_that_is_missing_is_named_with_the_role_that_has_it(proxied, proxy, use):
    reason = "x@y does not have storage.objects.list access"
    proxy.add(Fault(status=403, document=refusal(reason)))
    with pytest.raises(StoreError, match=reason) as caught:
        use(proxied)
    assert "roles/storage.objectUser" in str(caught.value)
    assert proxied.bucket in str(caught.value)
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("use", [USES[name] for name in USES if name != "facts"])
def test_a_request_that_is_no_good_is_an_error_with_the_servers_reason(proxied, proxy, use):
    proxy.add(Fault(status=400, document=refusal("Invalid argument.")))
    with pytest.raises(StoreError, match=r"can't be used .*: Invalid argument\."):
        use(proxied)


@ALL
def test_a_server_that_can_not_be_reached_is_given_up_in_time(connect_gcs, use):
    store = connect_gcs("http://127.0.0.1:1", patience=0.3)
    with pytest.raises(StoreError, match=r"gs://.* can't be reached .*ConnectionError"):
        use(store)


@ALL
def test_a_server_that_is_always_busy_is_given_up_in_time(proxy, connect_gcs, use):
    proxy.add(Fault(count=10_000))
    store = connect_gcs(proxy.url, patience=0.3)
    with pytest.raises(StoreError, match=r"can't be reached .*HTTP 503"):
        use(store)
    assert len(proxy.requests) > 1


# Who asks


@pytest.fixture
def elsewhere(proxy, bucket, monkeypatch):
    """A store with credentials of the real kind, which asks the proxy all the same."""
    monkeypatch.setenv("API_ENDPOINT_OVERRIDE", proxy.url)

    def connect(credentials, **more):
        return GCSStore(bucket.name, "monitoring", credentials=credentials, **more)

    return connect


def test_credentials_and_the_project_that_pays_go_with_each_request(elsewhere, proxy):
    store = elsewhere(lambda: Token(token="secret"), quota_project="billing")
    monitor(store, {"a": 1}).export_active(T1)
    assert {r.headers["authorization"] for r in proxy.requests} == {"Bearer secret"}
    assert {r.headers["x-goog-user-project"] for r in proxy.requests} == {"billing"}
    store.close()


def test_an_emulator_gets_no_credentials(gcs_server, bucket, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)

    def refuse():
        raise AssertionError("credentials are asked for")

    store = GCSStore(bucket.name, "", credentials=refuse)
    assert store.checksums() == {}
    store.close()


def test_credentials_are_asked_for_once_and_not_before_the_first_use(elsewhere):
    asked = []

    def credentials():
        asked.append(1)
        return Token(token="secret")

    store = elsewhere(credentials)
    assert (store.url, asked) == (f"gs://{store.bucket}/monitoring", [])
    store.checksums()
    monitor(store, {"a": 1}).export_active(T1)
    assert asked == [1]
    store.close()


@ALL
def test_missing_credentials_are_said_to_be_missing(elsewhere, use):
    def credentials():
        raise google.auth.exceptions.DefaultCredentialsError("nothing was found")

    with pytest.raises(ConfigError, match="gcloud auth application-default login"):
        use(elsewhere(credentials))


class Expired(Credentials):
    """A login that Google no longer takes."""

    error = google.auth.exceptions.RefreshError("invalid_grant", {"refresh_token": "secret"})

    def refresh(self, request):
        raise self.error


@ALL
def test_a_login_that_has_ended_says_to_log_in_and_tells_no_secret(elsewhere, proxy, use):
    with pytest.raises(StoreError, match="gcloud auth application-default login") as caught:
        use(elsewhere(Expired))
    assert "secret" not in str(caught.value)
    assert proxy.requests == []


class Offline(Expired):
    """A login that can't be made anew without a network."""

    error = google.auth.exceptions.TransportError("no route to host")


@ALL
def test_a_login_without_a_network_is_no_login_that_has_ended(elsewhere, use):
    with pytest.raises(StoreError, match="can't be reached"):
        use(elsewhere(Offline, patience=0.3))


class Refused(Credentials):
    """A login that Google takes for a token, and a token that it doesn't take."""

    def refresh(self, request):
        self.token = "secret"


@pytest.mark.parametrize("use", [USES[name] for name in USES if name != "facts"])
def test_a_refused_login_says_to_log_in_and_tells_no_secret(elsewhere, proxy, use):
    proxy.add(Fault(status=401, count=10, document=refusal("Invalid Credentials")))
    with pytest.raises(StoreError, match="gcloud auth application-default login") as caught:
        use(elsewhere(Refused))
    assert "secret" not in str(caught.value)


# What others see


def test_a_bucket_in_which_people_keep_other_things_is_exported_to(proxied, bucket):
    for name in ("notes.txt", "old/a.json", "monitoring/deeper/a.json", "monitoring/notes.txt"):
        bucket.blob(name).upload_from_string("mine")
    monitor(proxied, {"a": 1}).export_active(T1)
    assert exported(proxied) == contents({"a": 1})
    assert bucket.blob("old/a.json").download_as_text() == "mine"
    assert len(EIGHT) * 2 == len(contents({"a": 1}))
