"""Stores of every kind, and a Cloud Storage that fails on demand."""

from __future__ import annotations

import uuid

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from emulators import launch
from emulators.proxy import Proxy
from expmon.export.gcs import GCSStore
from expmon.export.local import LocalStore
from expmon.export.store import MemoryStore

SECONDS = 20


@pytest.fixture(scope="module")
def gcs_server():
    with launch.required(launch.gcs()) as server:
        if not server.enforces_preconditions:
            pytest.skip(f"{server.kind} refuses no upload, and all rests on that")
        yield server


@pytest.fixture
def bucket(gcs_server):
    """A bucket of this test's own, by Google's client."""
    client = storage.Client(
        project="expmon-test",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": gcs_server.url},
    )
    again = DEFAULT_RETRY.with_timeout(SECONDS)
    yield client.create_bucket(f"expmon-{uuid.uuid4().hex}", retry=again, timeout=SECONDS)
    client.close()


@pytest.fixture
def proxy(gcs_server):
    with Proxy(gcs_server.url) as running:
        yield running


@pytest.fixture
def connect_gcs(bucket, monkeypatch):
    """Stores in the bucket, by way of the server at a URL."""
    made = []

    def connect(url, *, prefix="monitoring/", patience=SECONDS):
        store = GCSStore(bucket.name, prefix, credentials=AnonymousCredentials, patience=patience)
        with monkeypatch.context() as patched:
            patched.setenv("STORAGE_EMULATOR_HOST", url)
            store._bucket()
        made.append(store)
        return store

    yield connect
    for store in made:
        store.close()


@pytest.fixture
def gcs_store(gcs_server, connect_gcs):
    return connect_gcs(gcs_server.url)


@pytest.fixture
def proxied(proxy, connect_gcs):
    """A store in the same bucket, by way of the proxy."""
    return connect_gcs(proxy.url, patience=6)


@pytest.fixture(
    params=["memory", "directory", pytest.param("bucket", marks=pytest.mark.enable_socket)]
)
def store(request, tmp_path):
    """An empty store of each kind."""
    if request.param == "bucket":
        return request.getfixturevalue("gcs_store")
    return LocalStore(tmp_path / "exports") if request.param == "directory" else MemoryStore()
