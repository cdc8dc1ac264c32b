"""Where exported files are kept: the protocol, and a store in memory."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from expmon.errors import StoreConflict

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

    Errors are those of `expmon.errors`: `StoreConflict` for a precondition that failed,
    `StoreError` for anything else.
    """

    @property
    def url(self) -> str:
        """Where it is, for people."""
        ...

    def read(self, name: str) -> Blob | None:
        """The object, or None if there is none."""
        ...

    def generation(self, name: str) -> int:
        """The object's generation; `ABSENT` if there is none."""
        ...

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> None:
        """Replace the object.

        Args:
            name: without the store's own prefix.
            data: all of it.
            generation: what must be there now; None: whatever there is.

        Raises:
            StoreConflict: something else is there; nothing was written.
        """
        ...

    def checksums(self) -> Mapping[str, str]:
        """The objects' checksums by name, as `crc32c` gives them."""
        ...


@dataclass
class MemoryStore:
    """A store for tests: a dictionary.

    Attributes:
        objects: what it holds.
        written: the names in the order in which they were written.
    """

    url: str = "memory://"
    objects: dict[str, bytes] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    _generations: dict[str, int] = field(default_factory=dict)

    def read(self, name: str) -> Blob | None:
        """The object, or None if there is none."""
        if name not in self.objects:
            return None
        return Blob(self.objects[name], self._generations.get(name, 1))

    def generation(self, name: str) -> int:
        """The object's generation; `ABSENT` if there is none."""
        there = self.read(name)
        return there.generation if there else ABSENT

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> None:
        """Replace the object; see `Store.write`."""
        there = self.read(name)
        if generation is not None and generation != (there.generation if there else ABSENT):
            raise StoreConflict(name, self.url)
        self._generations[name] = (there.generation if there else ABSENT) + 1
        self.objects[name] = data
        self.written.append(name)

    def checksums(self) -> Mapping[str, str]:
        """The objects' checksums by name."""
        return {name: crc32c(data) for name, data in self.objects.items()}


def crc32c(data: bytes) -> str:
    """The CRC32C as Cloud Storage writes it: base64 of its four bytes, big-endian."""
    import google_crc32c

    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
