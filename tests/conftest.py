from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import expmon
from emulators import launch

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch, tmp_path):
    """No test sees the configuration of whoever runs it, nor leaves files in their directory."""
    for name in os.environ:
        if name.startswith("EXPMON_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def deployed_file(tmp_path_factory):
    """A deployed, empty warehouse, to be copied."""
    path = tmp_path_factory.mktemp("deployed") / "monitoring.duckdb"
    with expmon.connect(f"duckdb://{path}") as monitor:
        monitor.deploy()
    return path


@pytest.fixture
def warehouse_file(deployed_file, tmp_path):
    """The file of a deployed, empty warehouse."""
    return Path(shutil.copy(deployed_file, tmp_path / "monitoring.duckdb"))


@pytest.fixture
def monitor(warehouse_file, tmp_path):
    """A monitor of a deployed, empty warehouse that exports to a directory."""
    with expmon.connect(f"duckdb://{warehouse_file}", tmp_path / "exports") as connected:
        yield connected


@pytest.fixture(scope="session")
def demo_made(tmp_path_factory):
    """Where ``expmon demo`` has made a demo, to be copied, and what it printed."""
    place = tmp_path_factory.mktemp("made")
    commands = Path(sys.executable).parent
    surroundings = {name: v for name, v in os.environ.items() if not name.startswith("EXPMON_")}
    surroundings["PATH"] = f"{commands}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["expmon", "demo"],
        cwd=place,
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return place, done.stdout


@pytest.fixture
def data():
    """Where the real schemas, pings and recipes are."""
    return DATA


@pytest.fixture(scope="session")
def bigquery_server():
    """A BigQuery emulator that all tests share, each with projects of its own."""
    with launch.required(launch.bigquery()) as server:
        yield server


@pytest.fixture(scope="session")
def gcs_server():
    """A Cloud Storage server that tests share, each with buckets of its own."""
    with launch.required(launch.gcs()) as server:
        yield server


@pytest.fixture
def emulated(bigquery_server, gcs_server, monkeypatch):
    """The environment says where the servers are, as Google's clients read it."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery_server.rest_url)
    monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", bigquery_server.grpc_target)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    return {"bigquery_server": bigquery_server, "gcs_server": gcs_server}
