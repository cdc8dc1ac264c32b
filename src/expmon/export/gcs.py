"""Exported files in Google Cloud Storage."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from expmon.errors import ConfigError, ExpmonError, StoreConflict, StoreError
from expmon.export.rendering import json_bytes
from expmon.export.store import Blob, crc32c, is_listed
from expmon.export.uploads import WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from google.auth.credentials import Credentials

    from expmon.findings import Finding

PATIENCE = 60.0
"""Seconds for which a request that failed is sent again; it fails where half of them go by."""

_JSON = "application/json"
_LISTED = "items(name,generation,crc32c),nextPageToken"
_ROLE = "roles/storage.objectUser"
_PERMISSIONS = (
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
)
_WHAT_FOR = "to create, get and list objects, and to delete them, since replacing one is that"
_LOG_IN = "Log in with `gcloud auth application-default login`, or name a service account's key."


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """What can be found out about a bucket; None where the account may not know.

    Attributes:
        location: of its data, such as ``US``.
        soft_delete_seconds: how long replaced objects are kept, and paid for; 0 for not at all.
        is_versioned: whether replaced objects are kept for good.
        missing_permissions: what exports need and the account lacks.
    """

    location: str | None
    soft_delete_seconds: int | None
    is_versioned: bool | None
    missing_permissions: tuple[str, ...] | None


class GCSStore:
    """Objects of a bucket whose names begin with a prefix.

    Each is uploaded whole together with its checksum, which the server compares, and with what is
    said of it. A request that failed on its way is sent again: with a precondition that is safe,
    for if the first one had succeeded, the second finds another generation and is a
    `StoreConflict`. Nothing is asked before the first use.

    ``STORAGE_EMULATOR_HOST`` names another server, which gets no credentials.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        credentials: Callable[[], Credentials],
        quota_project: str | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self._credentials = credentials
        self._quota_project = quota_project
        self._patience = patience
        self._timeout = patience / 2
        self._client: Any = None
        self._connecting = threading.Lock()

    @property
    def url(self) -> str:
        """The bucket and the prefix, as a ``gs://`` URL."""
        return f"gs://{self.bucket}/{self.prefix}".rstrip("/")

    def read(self, name: str) -> Blob | None:
        """The object, or None if there is none.

        Every attempt begins anew: the client would go on in the middle of the generation that it
        saw first, and say that there is no object when that one has been replaced.
        """
        from google.api_core.exceptions import NotFound

        def download() -> Blob:
            blob = self._bucket().blob(self._path(name))
            data: bytes = blob.download_as_bytes(
                checksum="crc32c", timeout=self._timeout, retry=None
            )
            return Blob(data, blob.generation)

        with self._translated(name):
            try:
                found: Blob = self._again(download)()
            except NotFound:
                return None
        return found

    def generations(self, prefix: str = "") -> Mapping[str, int]:
        """The objects' generations by name, helpers left out."""
        return {name: blob.generation for name, blob in self._listed(prefix)}

    def write(
        self, name: str, data: bytes, *, generation: int | None = None, as_of: str | None = None
    ) -> None:
        """Replace the object; see `Store.write`. Its metadata says ``as_of``."""
        metadata = {
            "name": self._path(name),
            "contentType": _JSON,
            "cacheControl": "no-cache",
            "crc32c": crc32c(data),
            **({"metadata": {"as_of": as_of}} if as_of is not None else {}),
        }
        with self._translated(name):
            stored = self._upload(metadata, data, generation)
        if stored != metadata["crc32c"]:
            raise StoreError(
                f"{name} in {self.url} was damaged on its way: its CRC32C is {stored} and not "
                f"{metadata['crc32c']}. Export again."
            )

    def checksums(self) -> Mapping[str, str]:
        """The objects' checksums by name, helpers left out."""
        return {name: blob.crc32c for name, blob in self._listed("")}

    def facts(self) -> BucketFacts:
        """What the account may do with the bucket, and what may cost or surprise.

        Raises:
            StoreError: there is no such bucket, or it can't be reached.
        """
        from google.api_core.exceptions import Forbidden

        with self._translated("the bucket"):
            bucket = self._bucket()
            missing = self._missing_permissions(bucket)
            try:
                bucket.reload(timeout=self._timeout, retry=self._again)
            except Forbidden:  # exports need no permission to look at the bucket
                return BucketFacts(None, None, None, missing)
            kept = bucket.soft_delete_policy.retention_duration_seconds
            return BucketFacts(bucket.location, kept, bucket.versioning_enabled, missing)

    def close(self) -> None:
        """Close the connections; they are opened again where they are needed."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
            self._client = None

    def _path(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _upload(self, metadata: Mapping[str, Any], data: bytes, generation: int | None) -> Any:
        """The checksum of what the server has stored.

        All goes in one request, whatever its size. The client's own methods take several for more
        than 8 MiB, and delete what is there, whosever it is by then, where the checksum is another.
        """
        bucket = self._bucket()
        connection = bucket.client._connection  # noqa: SLF001 - see above
        boundary, body = _multipart(metadata, data)
        query: dict[str, Any] = {"uploadType": "multipart"}
        if generation is not None:
            query["ifGenerationMatch"] = generation
        answer = connection.api_request(
            method="POST",
            path=f"{bucket.path}/o",
            query_params=query,
            data=body,
            content_type=f"multipart/related; boundary={boundary}",
            api_base_url=f"{connection.get_api_base_url_for_mtls()}/upload",
            timeout=self._timeout,
            retry=self._again,
        )
        return answer.get("crc32c")

    def _listed(self, prefix: str) -> list[tuple[str, Any]]:
        """The objects of a listing, with their names."""
        start = self._path("")
        with self._translated("its files"):
            listed = self._bucket().list_blobs(
                prefix=f"{start}{prefix}",
                delimiter="/",
                fields=_LISTED,
                timeout=self._timeout,
                retry=self._again,
            )
            named = [(blob.name.removeprefix(start), blob) for blob in listed]
        return [(name, blob) for name, blob in named if is_listed(name)]

    def _missing_permissions(self, bucket: Any) -> tuple[str, ...] | None:
        from google.api_core.exceptions import GoogleAPICallError

        try:
            held = bucket.test_iam_permissions(
                list(_PERMISSIONS), timeout=self._timeout, retry=self._again
            )
        except GoogleAPICallError:  # a server that knows no permissions
            return None
        return tuple(permission for permission in _PERMISSIONS if permission not in held)

    @property
    def _again(self) -> Any:
        """How failed requests are sent again: which, the client judges; after a second at first."""
        from google.cloud.storage.retry import DEFAULT_RETRY

        return DEFAULT_RETRY.with_timeout(self._patience).with_delay(self._patience / PATIENCE)

    def _bucket(self) -> Any:
        with self._connecting:
            if self._client is None:
                self._client = _client(self._credentials, self._quota_project)
            return self._client.bucket(self.bucket)

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        import requests
        from google.api_core import exceptions
        from google.auth import exceptions as auth
        from google.cloud.storage.exceptions import DataCorruption

        try:
            yield
        except ExpmonError:
            raise
        except exceptions.PreconditionFailed as error:
            raise StoreConflict(what, self.url) from error
        except exceptions.NotFound as error:
            raise StoreError(
                f"there is no bucket {self.bucket} for {self.url}. Create it, or name another one."
            ) from error
        except exceptions.Forbidden as error:
            raise StoreError(
                f"{what} in {self.url} is denied: {_reason(error)}. "
                f"The account needs {_ROLE} on the bucket {self.bucket}: {_WHAT_FOR}."
            ) from error
        except auth.DefaultCredentialsError as error:
            raise ConfigError(f"no Google credentials for {self.url}. {_LOG_IN}") from error
        except (exceptions.Unauthorized, auth.RefreshError) as error:
            raise StoreError(f"Google refuses the login for {self.url}. {_LOG_IN}") from error
        except (exceptions.RetryError, requests.RequestException, auth.TransportError) as error:
            raise StoreError(
                f"{self.url} can't be reached ({what}): {_reason(error)}. Try again."
            ) from error
        except ValueError as error:  # a name that no bucket has
            raise StoreError(f"{self.url} can't be used: {error}") from error
        except (exceptions.GoogleAPIError, auth.GoogleAuthError, DataCorruption) as error:
            raise StoreError(f"{self.url} can't be used ({what}): {_reason(error)}") from error

    def examine(self) -> list[Finding]:
        """Whether the bucket is there and may be used, and what it costs; see `Store.examine`."""
        from expmon.export import gcs_doctor

        return gcs_doctor.examine(self, self._credentials)


def _client(credentials: Callable[[], Credentials], quota_project: str | None) -> Any:
    """A client with a connection for each upload that runs at once."""
    from google.auth.credentials import CredentialsWithQuotaProject
    from google.cloud.storage import Client
    from requests.adapters import HTTPAdapter

    if os.environ.get("STORAGE_EMULATOR_HOST"):
        client = Client(project=None, credentials=None)
    else:
        found = credentials()
        if quota_project and isinstance(found, CredentialsWithQuotaProject):
            found = found.with_quota_project(quota_project)
        client = Client(project=None, credentials=found)
    # It is for traces, and looks at the bucket in its own thread, which exports may not be let to.
    client._bucket_metadata_cache = None  # noqa: SLF001 - nothing public turns it off
    session = client._http  # noqa: SLF001 - nothing public sizes its pool
    if not session.is_mtls:  # whose adapter has the certificate
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=WORKERS))
    return client


def _multipart(metadata: Mapping[str, Any], data: bytes) -> tuple[str, bytes]:
    """The boundary, and what is said of an object and its content on both sides of it."""
    boundary = uuid.uuid4().hex
    limit, kind = f"--{boundary}".encode(), f"Content-Type: {_JSON}".encode()
    said = json_bytes(metadata)
    return boundary, b"\r\n".join([limit, kind, b"", said, limit, kind, b"", data, limit + b"--"])


def _reason(error: BaseException) -> str:
    """Why a request failed, in the server's words where there are any.

    The client's own are left out, for they may show what it has sent. The cause of a failure that
    went on too long is the last of its kind.
    """
    cause = getattr(error, "cause", None) or error
    response = getattr(cause, "response", None)
    if response is None:
        return type(cause).__name__
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return f"HTTP {response.status_code}"
