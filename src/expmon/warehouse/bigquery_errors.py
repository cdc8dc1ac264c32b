"""The errors of BigQuery's clients as expmon's, by their types and reasons."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from expmon.errors import ConfigError, ExpmonError, NotDeployed, PermissionMissing, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.api_core.exceptions import GoogleAPICallError

READER = "roles/bigquery.dataViewer"
WRITER = "roles/bigquery.dataEditor"
OWNER = "roles/bigquery.dataOwner"
JOB_USER = "roles/bigquery.jobUser"

RETRYABLE = frozenset(
    {
        "backendError",
        "badGateway",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "jobRateLimitExceeded",
        "rateLimitExceeded",
        "tableUnavailable",
    }
)
"""Reasons for which BigQuery's documentation says: try again.

Source: https://cloud.google.com/bigquery/docs/error-messages
"""

_CONFLICT = "Could not serialize access to table"
"""Of two statements that change the same partition at once one fails, and has changed nothing.

BigQuery has tried three times then, and has only this text for it; the reason is that of a query
that is wrong. Sources: https://cloud.google.com/bigquery/docs/data-manipulation-language (DML
statement conflicts) and https://cloud.google.com/bigquery/docs/troubleshoot-queries
"""


def passing(error: GoogleAPICallError) -> str:
    """Why a job has failed, if for something that passes, so that it is to be run again."""
    why = reason(error)
    if why == "invalidQuery" and _CONFLICT in message(error):
        return "a concurrent update"
    return why if why in RETRYABLE else ""


def reason(error: GoogleAPICallError) -> str:
    """Why, in BigQuery's terms: ``invalidQuery``, ``backendError``; empty if it doesn't say."""
    for entry in error.errors or ():
        if isinstance(entry, dict) and entry.get("reason"):
            return str(entry["reason"])
    return ""


def message(error: GoogleAPICallError) -> str:
    """What BigQuery says, without the request and the job around it."""
    for entry in error.errors or ():
        if isinstance(entry, dict) and entry.get("message"):
            return str(entry["message"])
    return str(error.message)


@contextlib.contextmanager
def translated(what: str, *, sql: str | None = None, role: str = READER) -> Iterator[None]:
    """Errors raised inside, as expmon's.

    Args:
        what: the table or job that it is about.
        sql: the statement that is run.
        role: what someone needs who may not do it.
    """
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError, TransportError

    try:
        yield
    except ExpmonError:
        raise
    except exceptions.NotFound as error:
        raise NotDeployed(what, sql=sql, detail=message(error)) from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise PermissionMissing(what, role, message(error), sql=sql) from error
    except exceptions.GoogleAPICallError as error:
        raise WarehouseError(f"{what}: {message(error)}", sql=sql) from error
    except (
        exceptions.RetryError,
        TransportError,
        requests.exceptions.RequestException,
        TimeoutError,
    ) as error:
        raise WarehouseError(
            f"{what}: BigQuery can't be reached, or doesn't answer in time ({_cause(error)}). "
            "Nothing is half-written; run it again later.",
            sql=sql,
        ) from error
    except GoogleAuthError as error:
        raise ConfigError(
            "the Google credentials are not accepted: log in anew with "
            "`gcloud auth application-default login`, or name a key file in "
            "GOOGLE_APPLICATION_CREDENTIALS."
        ) from error


def _cause(error: BaseException) -> str:
    """The kind of error at the bottom."""
    inner = getattr(error, "cause", None) or error.__cause__
    return type(error if inner is None else inner).__name__
