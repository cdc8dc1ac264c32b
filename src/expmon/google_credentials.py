"""Credentials for Google's APIs: given ones, the default ones, or those of a service account."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from expmon.errors import ConfigError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
KEY_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"


def google_credentials(
    given: Credentials | None,
    *,
    impersonate: str | None,
    quota_project: str | None,
    is_emulated: bool,
) -> Credentials:
    """Credentials for BigQuery and Cloud Storage; no token is fetched before one is needed.

    Args:
        given: used as they are, but for the quota project; nothing is impersonated with them.
        impersonate: the service account that the Application Default Credentials act as.
        quota_project: whose API quota is used; None: the credentials' own.
        is_emulated: whether the server is an emulator, which gets no default credentials.

    Raises:
        ConfigError: the given ones are none, or there are no default ones.
    """
    from google.auth.credentials import AnonymousCredentials

    if given is not None:
        return _with_quota(given, quota_project)
    if is_emulated:
        return AnonymousCredentials()
    if impersonate is None:
        return _default(quota_project)
    from google.auth.impersonated_credentials import Credentials as Impersonated

    return Impersonated(
        source_credentials=_default(None),
        target_principal=impersonate,
        target_scopes=[SCOPE],
        quota_project_id=quota_project,
    )


def _with_quota(given: Credentials, quota_project: str | None) -> Credentials:
    from google.auth.credentials import Credentials, CredentialsWithQuotaProject

    if not isinstance(given, Credentials):
        raise ConfigError(
            "credentials must be google.auth.credentials.Credentials, for instance those of "
            f"google.auth.default(), not {type(given).__name__}"
        )
    if quota_project is None or not isinstance(given, CredentialsWithQuotaProject):
        return given
    billed: Credentials = given.with_quota_project(quota_project)
    return billed


def _default(quota_project: str | None) -> Credentials:
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        found, _ = google.auth.default(scopes=[SCOPE], quota_project_id=quota_project)
    except (GoogleAuthError, OSError) as error:
        raise ConfigError(_missing()) from error
    return found


def _missing() -> str:
    """What to do. A variable's value is not repeated: some hold the key itself."""
    login = "`gcloud auth application-default login`"
    if os.environ.get(KEY_VARIABLE):
        return (
            f"{KEY_VARIABLE} names no usable key file: correct it, or unset it and run {login}, "
            "or give credentials= to expmon.connect"
        )
    return (
        f"there are no usable Google credentials: run {login}, or set {KEY_VARIABLE} to a key "
        "file, or give credentials= to expmon.connect"
    )
