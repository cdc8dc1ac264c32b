from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import expmon

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch, tmp_path):
    """No test sees the configuration of whoever runs it, nor leaves files in their directory."""
    monkeypatch.delenv("EXPMON_WAREHOUSE", raising=False)
    monkeypatch.delenv("EXPMON_STORE", raising=False)
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


@pytest.fixture
def data():
    """Where the real schemas, pings and recipes are."""
    return DATA
