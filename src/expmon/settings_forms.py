"""What a setting may be, and how it is written as text."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from expmon.catalog import near
from expmon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_MOST = 1_000_000
_NUMBER = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?(e-?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Form:
    """What a setting may be.

    Attributes:
        expected: an error says it.
        read: the value as it is used; None if it is none.
        from_text: what a text of the environment or of the command line stands for.
        known: the names that a list may have; None: any.
        shown: what may be printed of a value.
    """

    expected: str
    read: Callable[[Any], Any]
    from_text: Callable[[str], Any] = str
    known: Collection[str] | None = None
    shown: Callable[[Any], Any] = lambda value: value

    def value(self, key: str, given: object, origin: str, *, is_text: bool) -> Any:
        """The value that was given.

        Raises:
            ConfigError: it is none; the message names the setting and its origin.
        """
        meant = self.from_text(given) if is_text and isinstance(given, str) else given
        value = self.read(meant)
        if value is None:
            shown = self.shown(given) if isinstance(given, str) else given
            raise ConfigError(f"{origin}: {key} must be {self.expected}, not {shown!r}")
        for name in value if self.known is not None else ():
            refuse_unknown(f"{origin}: {key}", name, self.known or ())
        return value


def whole(low: int, high: int = _MOST) -> Form:
    """A number without a fraction; both ends are in."""

    def read(value: object) -> int | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        return value if low <= value <= high else None

    def number(text: str) -> object:
        return int(text) if _NUMBER.fullmatch(text) else text

    return Form(f"a whole number from {low} to {high}", read, number)


def between(low: float, high: float) -> Form:
    """A number; both ends are out."""

    def read(value: object) -> float | None:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return None
        return float(value) if low < value < high else None

    def number(text: str) -> object:
        return float(text) if _DECIMAL.fullmatch(text) else text

    return Form(f"a number above {low} and below {high}", read, number)


def matching(expected: str, pattern: str) -> Form:
    """A text that a regular expression matches whole."""
    compiled = re.compile(pattern)
    return Form(
        expected,
        lambda value: value if isinstance(value, str) and compiled.fullmatch(value) else None,
    )


def names(known: Collection[str] | None = None) -> Form:
    """Names, as text with commas between them; in order, each once. Without known ones, any."""

    def read(value: object) -> tuple[str, ...] | None:
        if not isinstance(value, (list, tuple, set, frozenset)):
            return None
        is_of_names = all(isinstance(n, str) and (n or known is not None) for n in value)
        return tuple(sorted(set(value))) if is_of_names else None

    def split(text: str) -> object:
        return [name.strip() for name in text.split(",")] if text else text

    return Form("a list of names", read, split, known)


def _path(value: object) -> str | None:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    return text if isinstance(text, str) and text else None


def _receiver(value: object) -> str | None:
    place = _path(value)
    if place is None or "\0" in place:
        return None
    if "://" not in place:
        return place
    try:
        parts = urlsplit(place)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port, or of an IPv6 address
        return None
    return place if is_usable else None


def without_path(place: str) -> str:
    """Of an address the scheme and the host alone: what follows it may be a secret."""
    scheme, separator, rest = place.partition("://")
    host = re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{host}/…" if separator else place


TEXT = matching("a text", r"(?s:.+)")
PATH = Form("a text", _path)
RECEIVER = Form(
    "stdout, a file's path, or an address like https://example.com/path",
    _receiver,
    shown=without_path,
)


def refuse_unknown(where: str, name: str, known: Collection[str]) -> None:
    """Nothing, if the name is known.

    Raises:
        ConfigError: it is not; the message has the near ones.
    """
    if name not in known:
        hint = near(name, known)
        meant = f": did you mean {', '.join(hint)}?" if hint else ""
        raise ConfigError(f"{where}: {name!r} is unknown{meant}")
