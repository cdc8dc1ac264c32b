"""Where exported files are kept: the protocol, and a store in memory."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from expmon.errors import StoreConflict
from expmon.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

ABSENT = 0
"""The generation of an object that is not there."""


@dataclass(frozen=True, slots=True)
class Blob:
    """An object as it was read; its generation changes whenever it is written."""

    data: bytes
    generation: int


class Store(Protocol):
    """A place for objects that appear whole or not at all.

    Several threads use it at once. Listings hold the exported files and the index: neither helpers,
    whose names have a slash, nor what people have put beside them. Errors are those of
    `expmon.errors`: `StoreConflict` for a precondition that failed, `StoreError` for anything else.
    """

    @property
    def url(self) -> str:
        """Where it is, for people."""
        ...

    def read(self, name: str) -> Blob | None:
        """The object, or None if there is none.

        Args:
            name: without the store's own prefix.
        """
        ...

    def generations(self, prefix: str = "") -> Mapping[str, int]:
        """The generations of objects by name; what isn't listed is `ABSENT`.

        Args:
            prefix: of those whose names begin so.
        """
        ...

    def write(
        self, name: str, data: bytes, *, generation: int | None = None, as_of: str | None = None
    ) -> None:
        """Replace the object.

        Args:
            name: without the store's own prefix.
            data: all of it.
            generation: what must be there now; None: whatever there is.
            as_of: the export's moment in RFC 3339, for a store that keeps notes on its objects.

        Raises:
            StoreConflict: something else is there; nothing was written.
        """
        ...

    def checksums(self) -> Mapping[str, str]:
        """The objects' checksums by name, as `crc32c` gives them."""
        ...

    def examine(self) -> list[Finding]:
        """What is there, and what is missing; nothing is changed, and what fails is a finding."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass
class MemoryStore:
    """A store for tests: a dictionary. It keeps no notes.

    Attributes:
        objects: what it holds.
        written: the names in the order in which they were written.
    """

    url: str = "memory://"
    objects: dict[str, bytes] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    _generations: dict[str, int] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def read(self, name: str) -> Blob | None:
        """The object, or None if there is none."""
        with self._lock:
            if name not in self.objects:
                return None
            return Blob(self.objects[name], self._generations.get(name, 1))

    def generations(self, prefix: str = "") -> Mapping[str, int]:
        """The objects' generations by name, helpers left out."""
        with self._lock:
            names = [n for n in self.objects if is_listed(n) and n.startswith(prefix)]
            return {name: self._generations.get(name, 1) for name in names}

    def write(
        self,
        name: str,
        data: bytes,
        *,
        generation: int | None = None,
        as_of: str | None = None,  # noqa: ARG002 - it keeps no notes
    ) -> None:
        """Replace the object; see `Store.write`."""
        with self._lock:
            there = self.read(name)
            current = there.generation if there else ABSENT
            if generation is not None and generation != current:
                raise StoreConflict(name, self.url)
            self._generations[name] = current + 1
            self.objects[name] = data
            self.written.append(name)

    def close(self) -> None:
        """Nothing to do."""

    def checksums(self) -> Mapping[str, str]:
        """The objects' checksums by name, helpers left out."""
        with self._lock:
            return {name: crc32c(data) for name, data in self.objects.items() if is_listed(name)}

    def examine(self) -> list[Finding]:
        """Nothing can be missing."""
        return [Finding(f"store {self.url}", "ok", f"{len(self.objects)} objects in memory")]


def is_listed(name: str) -> bool:
    """Whether it can be an exported file or the index, by its name."""
    return name.endswith(".json") and "/" not in name and not name.startswith(".")


def crc32c(data: bytes) -> str:
    """The CRC32C as Cloud Storage writes it: base64 of its four bytes, big-endian.

    Args:
        data: all of it.
    """
    import google_crc32c

    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
