"""What an examination of a warehouse or a store finds, and how one goes on from check to check."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from expmon.errors import (
    ConfigError,
    ExpmonError,
    NotDeployed,
    SchemaMismatch,
    WarehouseLocked,
    WrongSchemaVersion,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Verdict = Literal["ok", "missing", "warning", "unknown"]

CREDENTIALS = "Google credentials"
DEPLOY = "expmon deploy"
UPGRADE = "pip install --upgrade expmon"
LOG_IN = "gcloud auth application-default login"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found.

    Attributes:
        subject: what was looked at.
        verdict: ``ok``; ``missing``: something won't work; ``warning``: it works, but is slow,
            dear or old; ``unknown``: it couldn't be looked at.
        detail: what is there, or what is wrong.
        remedy: what to do about it, commands in full; empty where there is nothing to do.
    """

    subject: str
    verdict: Verdict
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A look at one thing, which changes nothing.

    Attributes:
        subject: what it is about.
        run: gives what it finds; an error of expmon's that it raises is a finding, too.
        needs: the subjects that it rests on: if one of them is missing, it is left out.
    """

    subject: str
    run: Callable[[], Iterable[Finding]]
    needs: tuple[str, ...] = ()


def remedy(error: ExpmonError) -> str:
    """What to do about an error where nothing more is known than its kind."""
    if isinstance(error, NotDeployed):
        return DEPLOY
    if isinstance(error, ConfigError):
        key = "GOOGLE_APPLICATION_CREDENTIALS"
        return f"unset {key}; {LOG_IN}" if os.environ.get(key) else LOG_IN
    if isinstance(error, SchemaMismatch):
        return f"Move {error.relation} away, or alter its columns; then: {DEPLOY}"
    if isinstance(error, WrongSchemaVersion):
        return UPGRADE if error.found > error.known else DEPLOY
    if isinstance(error, WarehouseLocked):
        return "Close what else has the warehouse open, and look again: expmon doctor"
    return ""


def attempted(check: Check, remedy: Callable[[ExpmonError], str] = remedy) -> list[Finding]:
    """What a check finds, up to an error and with it."""
    found: list[Finding] = []
    try:
        found.extend(check.run())
    except ExpmonError as error:
        subject = CREDENTIALS if isinstance(error, ConfigError) else check.subject
        found.append(Finding(subject, "missing", str(error), remedy(error)))
    return found


def examined(
    checks: Iterable[Check],
    remedy: Callable[[ExpmonError], str] = remedy,
    *,
    rest: str = "the rest",
) -> Iterator[Finding]:
    """What the checks find, each after those that it rests on.

    Args:
        checks: in that order.
        remedy: what to do about an error.
        rest: the subject of a last finding, which names the checks that were left out, and what
            they would have needed.
    """
    causes: dict[str, str] = {}
    left_out: dict[str, list[str]] = {}
    for check in checks:
        found: list[Finding] = []
        cause = next((causes[need] for need in check.needs if need in causes), None)
        if cause is None:
            found = attempted(check, remedy)
            missing = [finding.subject for finding in found if finding.verdict == "missing"]
            causes.update({subject: subject for subject in missing})
            if CREDENTIALS in missing and check.subject != CREDENTIALS:
                cause = CREDENTIALS
        if cause is not None:
            causes[check.subject] = cause
            left_out.setdefault(cause, []).append(check.subject)
        yield from found
    for cause, subjects in left_out.items():
        yield Finding(rest, "unknown", f"not checked without {cause}: {', '.join(subjects)}")


def member(account: str | None) -> str:
    """An account as Google's policies name it; to be filled in where it isn't known."""
    if not account:
        return "user:YOUR_EMAIL"
    is_service = account.endswith(".gserviceaccount.com")
    return f"{'serviceAccount' if is_service else 'user'}:{account}"


def account(credentials: object) -> str | None:
    """Whose credentials these are, as far as they say it."""
    for name in ("service_account_email", "signer_email", "account"):
        found = getattr(credentials, name, None)
        if isinstance(found, str) and "@" in found:
            return found
    return None


def counted(number: int, thing: str) -> str:
    """``1 table``, ``2 tables``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def listed(names: Iterable[str], *, most: int = 5) -> str:
    """The names, the first few of many."""
    found = list(names)
    if len(found) <= most + 1:
        return ", ".join(found)
    return f"{', '.join(found[:most])} and {len(found) - most:,} more"
