"""Every test of this directory runs on each engine, unchanged."""

from __future__ import annotations

import contextlib

import pytest

import worlds
from emulators import launch


@pytest.fixture
def bigquery_server():
    """An emulator of each test's own: it takes longer for everything with each table it holds."""
    with launch.required(launch.bigquery()) as server:
        yield server


@pytest.fixture(params=["embedded", pytest.param("cloud", marks=pytest.mark.enable_socket)])
def world(request, tmp_path, warehouse_file):
    """Deployed tables and an empty store: DuckDB and a directory, or BigQuery and a bucket."""
    if request.param == "embedded":
        found = worlds.embedded(tmp_path, warehouse_file)
    else:
        servers = request.getfixturevalue("emulated")
        found = worlds.cloud(tmp_path, warehouse_file, **servers)
    with contextlib.closing(found.monitor):
        yield found
