"""Credentials from an Airflow connection."""

from __future__ import annotations

import json

import pytest
import running
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from expmon import airflow
from playing import at

ACCOUNT = "monitoring@my-project.iam.gserviceaccount.com"


@pytest.fixture
def connection(monkeypatch):
    """A connection with the key of a service account."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    content = {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": ACCOUNT,
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    extra = {"keyfile_dict": json.dumps(content)}
    told = {"conn_type": "google_cloud_platform", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_MONITORING", json.dumps(told))
    return "monitoring"


def test_the_key_of_the_connection_is_used(connection):
    found = airflow._credentials(connection)
    assert found.service_account_email == ACCOUNT
    assert "https://www.googleapis.com/auth/cloud-platform" in found.scopes


def test_tasks_get_the_connection_when_they_run(connection, warehouse):
    live = running.dags(connection_id=connection)["live"]
    assert running.run(live, at("2021-01-26T05:00")).state == "success"


def test_a_connection_that_is_missing_fails_the_task_and_not_the_parsing(warehouse):
    live = running.dags(connection_id="nowhere", retries=0)["live"]
    assert running.run(live, at("2021-01-26T05:00")).state == "failed"
