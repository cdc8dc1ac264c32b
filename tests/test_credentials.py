from __future__ import annotations

import json
import logging
import re

import google.auth
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import compute_engine, impersonated_credentials
from google.auth.credentials import AnonymousCredentials, Credentials
from google.oauth2 import credentials as user
from google.oauth2 import service_account

from expmon.errors import ConfigError
from expmon.google_credentials import google_credentials

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ACCOUNT = "monitoring@my-project.iam.gserviceaccount.com"


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch, tmp_path):
    """Neither those of whoever runs the tests, nor a machine's, which it would ask for."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setattr("google.auth.compute_engine._metadata.is_on_gce", lambda request: False)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "some-project")


@pytest.fixture(scope="session")
def private_key():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
def key_file(private_key, tmp_path, monkeypatch):
    """The Application Default Credentials are a service account's key."""
    content = {
        "type": "service_account",
        "project_id": "some-project",
        "private_key_id": "key-id-of-mine",
        "private_key": private_key,
        "client_email": "caller@some-project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    file = tmp_path / "key.json"
    file.write_text(json.dumps(content))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    return file


@pytest.fixture
def login_file(tmp_path):
    """The Application Default Credentials are those of gcloud's login."""
    content = {
        "type": "authorized_user",
        "client_id": "id",
        "client_secret": "client-secret-of-mine",
        "refresh_token": "refresh-of-mine",
    }
    (tmp_path / "gcloud").mkdir()
    file = tmp_path / "gcloud" / "application_default_credentials.json"
    file.write_text(json.dumps(content))
    return file


def credentials(given=None, *, impersonate=None, quota_project=None, is_emulated=False):
    return google_credentials(
        given, impersonate=impersonate, quota_project=quota_project, is_emulated=is_emulated
    )


def test_given_credentials_are_used_as_they_are(key_file):
    given = user.Credentials("token")
    assert credentials(given) is given
    assert credentials(given, impersonate=ACCOUNT) is given
    assert credentials(given, is_emulated=True) is given


def test_given_credentials_get_the_quota_project_that_is_configured():
    found = credentials(user.Credentials("token", quota_project_id="own"), quota_project="payer")
    assert (found.quota_project_id, found.token) == ("payer", "token")


def test_credentials_without_a_quota_project_are_used_all_the_same():
    given = AnonymousCredentials()
    assert credentials(given, quota_project="payer") is given


@pytest.mark.parametrize("given", ["token-of-mine", {"private_key": "token-of-mine"}, b"", 0])
def test_what_is_no_credential_is_refused_without_being_shown(given):
    with pytest.raises(ConfigError) as refused:
        credentials(given)
    assert str(refused.value) == (
        "credentials must be google.auth.credentials.Credentials, for instance those of "
        f"google.auth.default(), not {type(given).__name__}"
    )


def test_the_default_is_the_key_file_of_the_environment(key_file):
    found = credentials()
    assert isinstance(found, service_account.Credentials)
    assert found.service_account_email == "caller@some-project.iam.gserviceaccount.com"
    assert found.scopes == [SCOPE]
    assert found.quota_project_id is None


def test_the_default_is_else_the_login_of_gcloud(login_file):
    found = credentials(quota_project="payer")
    assert isinstance(found, user.Credentials)
    assert found.refresh_token == "refresh-of-mine"
    assert found.quota_project_id == "payer"


def test_the_default_is_else_that_of_the_machine(monkeypatch):
    machine = compute_engine.Credentials()
    asked = {}

    def default(**arguments):
        asked.update(arguments)
        return machine, "some-project"

    monkeypatch.setattr(google.auth, "default", default)
    assert credentials(quota_project="payer") is machine
    assert asked == {"scopes": [SCOPE], "quota_project_id": "payer"}


def test_the_configured_service_account_is_impersonated(key_file):
    found = credentials(impersonate=ACCOUNT, quota_project="payer")
    assert isinstance(found, impersonated_credentials.Credentials)
    assert found.service_account_email == ACCOUNT
    assert found._target_scopes == [SCOPE]
    assert found.quota_project_id == "payer"
    source = found._source_credentials
    assert source.service_account_email == "caller@some-project.iam.gserviceaccount.com"
    assert source.quota_project_id is None


@pytest.mark.parametrize("impersonate", [None, ACCOUNT])
def test_an_emulator_gets_no_credentials_though_there_are_some(key_file, impersonate):
    found = credentials(impersonate=impersonate, is_emulated=True)
    assert isinstance(found, AnonymousCredentials)


@pytest.mark.parametrize("impersonate", [None, ACCOUNT])
def test_missing_credentials_are_one_sentence_that_says_what_to_do(impersonate):
    with pytest.raises(ConfigError) as missing:
        credentials(impersonate=impersonate)
    assert str(missing.value) == (
        "there are no usable Google credentials: run `gcloud auth application-default login`, or "
        "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or give credentials= to expmon.connect"
    )
    assert isinstance(missing.value.__cause__, google.auth.exceptions.DefaultCredentialsError)


BROKEN = {
    "not there": None,
    "no JSON": "key-of-mine",
    "of no kind": '{"type": "x", "private_key": "key-of-mine"}',
    "without fields": '{"type": "service_account", "private_key": "key-of-mine"}',
    "with a broken key": json.dumps(
        {
            "type": "service_account",
            "private_key": "key-of-mine",
            "client_email": "a@b.c",
            "token_uri": "https://oauth2.googleapis.com/token",
        }
    ),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_key_file_that_cannot_be_used_is_named_by_its_variable(tmp_path, monkeypatch, content):
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    with pytest.raises(ConfigError) as refused:
        credentials()
    assert str(refused.value) == (
        "GOOGLE_APPLICATION_CREDENTIALS names no usable key file: correct it, or unset it and run "
        "`gcloud auth application-default login`, or give credentials= to expmon.connect"
    )


def test_a_directory_in_the_key_files_place_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path))
    with pytest.raises(ConfigError, match="names no usable key file"):
        credentials()


def test_a_key_in_the_variable_itself_is_not_repeated(private_key, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", f'{{"private_key": "{private_key}"}}')
    with pytest.raises(ConfigError) as refused:
        credentials()
    assert "PRIVATE KEY" not in str(refused.value)


def test_no_credential_is_logged(key_file, private_key, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        found = [credentials(), credentials(impersonate=ACCOUNT), credentials(quota_project="q")]
    assert all(isinstance(one, Credentials) for one in found)
    secret = re.sub(r"-----.*?-----|\s", "", private_key)[:60]
    for text in (caplog.text, *capfd.readouterr(), repr(found)):
        assert secret not in text
        assert "key-id-of-mine" not in text
