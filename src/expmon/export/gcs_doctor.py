"""Whether a bucket is there, may be used for exports, and keeps nothing that was replaced."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from expmon.findings import CREDENTIALS, Check, Finding, account, examined, member, remedy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.auth.credentials import Credentials

    from expmon.errors import ExpmonError
    from expmon.export.gcs import BucketFacts, GCSStore

_ROLE = "roles/storage.objectUser"
_OLD = "replaced files"
_MAY = "permissions on the bucket"


def examine(store: GCSStore, credentials: Callable[[], Credentials]) -> list[Finding]:
    """What is found of the store's bucket.

    Args:
        store: which one.
        credentials: its own, to name the account.
    """
    facts: list[BucketFacts] = []
    bucket = f"bucket {store.bucket}"

    def look() -> Iterator[Finding]:
        found = store.facts()
        facts.append(found)
        unseen = "there; the account may not look at its settings (storage.buckets.get)"
        yield Finding(bucket, "ok", f"in {found.location}" if found.location else unseen)

    needs = (CREDENTIALS, bucket)
    checks = (
        Check(bucket, look),
        Check(_OLD, lambda: _kept(store.bucket, facts[0]), needs),
        Check(_MAY, lambda: _permitted(store.bucket, facts[0], credentials), needs),
    )

    def todo(error: ExpmonError) -> str:
        return _remedy(error, store.bucket, credentials)

    return list(examined(checks, todo, rest="Cloud Storage, the rest"))


def _kept(bucket: str, facts: BucketFacts) -> Iterator[Finding]:
    """Files are replaced every five minutes: what is kept of each is paid for."""
    update = f"gcloud storage buckets update gs://{bucket}"
    kept, versioned = facts.soft_delete_seconds, facts.is_versioned
    if kept:
        days = timedelta(seconds=kept) / timedelta(days=1)
        yield Finding(
            _OLD,
            "warning",
            f"soft delete keeps, and bills, every file that is replaced for {days:g} days",
            f"{update} --clear-soft-delete",
        )
    if versioned:
        yield Finding(
            _OLD,
            "warning",
            "versioning keeps, and bills, every file that is replaced, for good unless a rule "
            "of the bucket deletes old versions",
            f"{update} --no-versioning",
        )
    if kept is None or versioned is None:
        unknown = [
            name
            for name, fact in (("soft delete", kept), ("versioning", versioned))
            if fact is None
        ]
        yield Finding(_OLD, "unknown", f"{' and '.join(unknown)}: the bucket doesn't tell")
    elif not kept and not versioned:
        yield Finding(_OLD, "ok", "neither soft delete nor versioning keeps them")


def _permitted(
    bucket: str, facts: BucketFacts, credentials: Callable[[], Credentials]
) -> Iterator[Finding]:
    missing = facts.missing_permissions
    if missing is None:
        yield Finding(_MAY, "unknown", "the server doesn't tell")
    elif missing:
        yield Finding(_MAY, "missing", f"no {', '.join(missing)}", _grant(bucket, credentials))
    else:
        yield Finding(_MAY, "ok", "files may be read, listed, written and replaced")


def _remedy(error: ExpmonError, bucket: str, credentials: Callable[[], Credentials]) -> str:
    from google.api_core.exceptions import Forbidden, NotFound

    if isinstance(error.__cause__, NotFound):
        return f"gcloud storage buckets create gs://{bucket} --soft-delete-duration=0"
    if isinstance(error.__cause__, Forbidden):
        return _grant(bucket, credentials)
    return remedy(error)


def _grant(bucket: str, credentials: Callable[[], Credentials]) -> str:
    who = member(account(credentials()))
    return (
        f"Someone who manages {bucket} runs: gcloud storage buckets add-iam-policy-binding "
        f"gs://{bucket} --member={who} --role={_ROLE}"
    )
