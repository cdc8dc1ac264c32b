"""Where messages go: stdout or a file, a line of JSON each, or a webhook."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import random
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from expmon.errors import ConfigError, DeliveryError
from expmon.health_settings import STDOUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

    import requests

    from expmon.health.alerts import Message

Deliver: TypeAlias = "Callable[[Message], object]"
"""Takes a message to where it belongs; if it raises, the message waits."""

TOKEN_VARIABLE = "EXPMON_ALERTS_TOKEN"  # noqa: S105 - where it is, not what
_PASSING = frozenset({408, 425, 429})
"""Answers below 500 that may be others the next time."""
_LONGEST_PAUSE = 15.0
_SHOWN = 200


def receiver(place: str) -> Deliver:
    """What takes messages to ``stdout``, a file, or an address.

    Each call returns once the message is there, or raises `DeliveryError`.

    Raises:
        ConfigError: the webhook's token, which the environment has, can't be sent.
    """
    if place == STDOUT:
        return _printed
    if "://" not in place:
        return partial(_appended, Path(place))
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not (token.isascii() and token.isprintable()):
        raise ConfigError(f"{TOKEN_VARIABLE} has characters that no header may have")
    return Webhook(place, token)


def _line(message: Message) -> str:
    return json.dumps(message.to_dict()) + "\n"


def _printed(message: Message) -> None:
    sys.stdout.write(_line(message))
    sys.stdout.flush()


def _appended(file: Path, message: Message) -> None:
    """Add the line to the file, whole, to stay: what a crash left of another one ends before it."""
    line = _line(message).encode()
    try:
        with file.open("ab+", buffering=0) as opened:
            size = opened.seek(0, os.SEEK_END)
            if size:
                opened.seek(-1, os.SEEK_END)
                line = line if opened.read(1) == b"\n" else b"\n" + line
            _write_whole(opened, line, size)
            os.fsync(opened.fileno())
    except OSError as error:
        reason = error.strerror or str(error)
        todo = "Make room there, or name a file that you may write to."
        raise DeliveryError(str(file), reason, todo) from error


def _write_whole(opened: FileIO, line: bytes, size: int) -> None:
    """All of the line, or nothing where there is no room for it."""
    if opened.write(line) != len(line):
        opened.truncate(size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts messages as JSON, each with its id as the header ``Idempotency-Key``.

    What may pass by itself, no connection, no answer in time, the statuses 408, 425, 429 and 5xx,
    is tried again, with pauses that grow, or as long as ``Retry-After`` says. Redirections are not
    followed: most of them would lose the message on the way.

    Args:
        address: of the webhook; no error shows more of it than the host.
        token: sent as ``Authorization: Bearer``; empty: none.
        limit: a message is tried for so many seconds.
        timeout: so many seconds may pass without a sign of the server.
    """

    address: str = field(repr=False)
    token: str = field(default="", repr=False)
    limit: float = 60.0
    timeout: float = 20.0

    def __call__(self, message: Message) -> None:
        """Deliver it.

        Raises:
            DeliveryError: it was refused, or could not be delivered in time.
        """
        until = time.monotonic() + self.limit
        for attempt in itertools.count():
            reason, asked, error = self._tried(message, until)
            if reason is None:
                return
            # Jitter, so that many of them don't come back at the same moment.
            longest = min(_LONGEST_PAUSE, 0.5 * 2**attempt)
            pause = max(asked, longest * random.uniform(0.5, 1))  # noqa: S311 - no secret
            if pause > until - time.monotonic():
                tried = f"{reason} (tried {attempt + 1} times)"
                raise self._error(tried, "See whether it is up and can be reached.") from error
            time.sleep(pause)

    def _tried(
        self, message: Message, until: float
    ) -> tuple[str | None, float, requests.RequestException | None]:
        """Why it may be there the next time, after how long, and what was met; None: it is there.

        Raises:
            DeliveryError: it won't be.
        """
        import requests

        try:
            with requests.post(
                self.address,
                json=message.to_dict(),
                headers={"Idempotency-Key": message.id, "User-Agent": "expmon"},
                auth=self._authorized if self.token else None,
                timeout=max(0.1, min(self.timeout, until - time.monotonic())),
                allow_redirects=False,
                # The status says all; who waits for the rest may wait long, or in vain.
                stream=True,
            ) as response:
                return (*self._answered(response, until), None)
        except requests.exceptions.SSLError as error:
            todo = (
                "See whether its certificate is valid, and REQUESTS_CA_BUNDLE names who signed it."
            )
            raise self._error(self._said(error), todo) from error
        except (requests.ConnectionError, requests.Timeout) as error:
            return self._said(error), 0.0, error
        except requests.RequestException as error:
            raise self._error(type(error).__name__, "Check the address.") from error

    def _answered(self, response: requests.Response, until: float) -> tuple[str | None, float]:
        status = response.status_code
        answered = f"it answered {status} {response.reason or ''}".rstrip()
        if response.ok and status < 300:
            return None, 0.0
        if status in _PASSING or status >= 500:
            asked = _retry_after(response)
            waiting = f", and asks to wait {asked:g} seconds" if asked else ""
            return answered + waiting, asked
        if status < 400:
            raise self._error(answered, "Redirections are not followed: name where it is now.")
        if body := _beginning(response, until):
            answered += f": {body}"
        raise self._error(answered, f"Check the address, and {TOKEN_VARIABLE} if it wants a token.")

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request

    def _error(self, reason: str, todo: str) -> DeliveryError:
        return DeliveryError(urlsplit(self.address).hostname or "the webhook", reason, todo)

    def _said(self, error: requests.RequestException) -> str:
        """What went wrong, without the address, which the library's own sentence has."""
        cause = error.args[0] if error.args else error
        cause = getattr(cause, "reason", cause)
        parts = urlsplit(self.address)
        said = str(cause)
        for secret in (self.address, f"{parts.path}?{parts.query}", parts.path):
            said = said.replace(secret, "…") if len(secret) > 1 else said
        return said


def _retry_after(response: requests.Response) -> float:
    """The seconds that the server asks to wait."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    with contextlib.suppress(InvalidHeader, ValueError, OverflowError):
        return float(Retry().parse_retry_after(response.headers.get("Retry-After", "0")))
    return 0.0


def _beginning(response: requests.Response, until: float) -> str:
    """The first characters of an answer, as far as they come in time."""
    import requests

    found = b""
    with contextlib.suppress(requests.RequestException):
        for byte in response.iter_content(1):
            found += byte
            if len(found) == _SHOWN or time.monotonic() > until:
                break
    return " ".join(found.decode(errors="replace").split())
