"""A real Airflow in a temporary home; `make test-airflow` has one environment for each version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import pytest

import expmon

EXAMPLE = Path(__file__).parents[2] / "examples" / "airflow" / "expmon_dags.py"

try:
    metadata.version("apache-airflow")
except metadata.PackageNotFoundError:
    # `make test` has no Airflow; `make test-airflow` has two.
    collect_ignore_glob = ["test_connections.py", "test_parsing.py", "test_runs.py"]
else:
    # Airflow reads these when it is imported.
    os.environ.update(
        AIRFLOW_HOME=tempfile.mkdtemp(prefix="expmon-airflow-"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS="False",
    )


@pytest.fixture(scope="session")
def dag_folder():
    """Airflow's DAG folder, with the example in it, in a home with an empty database."""
    home = Path(os.environ["AIRFLOW_HOME"])
    folder = home / "dags"
    folder.mkdir()
    shutil.copy(EXAMPLE, folder)
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    migrated = subprocess.run(command, capture_output=True, text=True, check=False)
    assert migrated.returncode == 0, migrated.stdout + migrated.stderr
    yield folder
    shutil.rmtree(home)


@pytest.fixture
def warehouse(dag_folder, tmp_path, monkeypatch):
    """The URL of a deployed warehouse; with a store, it is what the environment says."""
    url = f"duckdb://{tmp_path / 'monitoring.duckdb'}"
    with expmon.connect(url) as monitor:
        monitor.deploy()
    monkeypatch.setenv("EXPMON_WAREHOUSE", url)
    monkeypatch.setenv("EXPMON_STORE", str(tmp_path / "exports"))
    monkeypatch.chdir(tmp_path)
    return url
