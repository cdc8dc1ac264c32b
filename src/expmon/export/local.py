"""Exported files in a local directory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from expmon.errors import StoreConflict, StoreError
from expmon.export.store import ABSENT, Blob, crc32c

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HELPERS = "_expmon"
_LOCK_SECONDS = 60


class LocalStore:
    """A directory; it is made with the first file.

    A file is written under a temporary name beside its place and then renamed, so that whoever
    reads sees the old one or the new one. Its generation is made of its inode and time.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def url(self) -> str:
        """The directory's path."""
        return str(self.directory)

    def read(self, name: str) -> Blob | None:
        """The file, or None if there is none."""
        with self._translated(name):
            try:
                with (self.directory / name).open("rb") as file:
                    return Blob(file.read(), _generation(os.fstat(file.fileno())))
            except FileNotFoundError:
                return None

    def generation(self, name: str) -> int:
        """The file's generation; `ABSENT` if there is none."""
        with self._translated(name):
            try:
                return _generation((self.directory / name).stat())
            except FileNotFoundError:
                return ABSENT

    def write(self, name: str, data: bytes, *, generation: int | None = None) -> None:
        """Replace the file; see `Store.write`."""
        if generation is None:
            self._replace(name, data)
            return
        with self._locked():
            if generation != self.generation(name):
                raise StoreConflict(name, self.url)
            self._replace(name, data)

    def checksums(self) -> Mapping[str, str]:
        """The checksums of the files, helpers left out."""
        with self._translated("its files"):
            if not self.directory.is_dir():
                return {}
            return {p.name: crc32c(p.read_bytes()) for p in self.directory.glob("*.json")}

    def _replace(self, name: str, data: bytes) -> None:
        place = self.directory / name
        with self._translated(name):
            place.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=place.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                # mkstemp's files are its owner's alone; what is exported is for others to read.
                Path(temporary).chmod(0o666 & ~_umask())
                Path(temporary).replace(place)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Between reading and writing nobody else writes under a precondition."""
        from filelock import FileLock, Timeout

        helpers = self.directory / _HELPERS
        with self._translated(_HELPERS):
            helpers.mkdir(parents=True, exist_ok=True)
            lock = FileLock(helpers / "lock")
            try:
                lock.acquire(timeout=_LOCK_SECONDS)
            except Timeout as error:
                raise StoreError(
                    f"{self.url} has been locked for {_LOCK_SECONDS} s by another export"
                ) from error
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL
            reason = getattr(error, "strerror", None) or error
            raise StoreError(
                f"{self.url} can't be used for exports ({what}): {reason}. "
                "Choose a directory that you may write to."
            ) from error


def _generation(stat: os.stat_result) -> int:
    return (stat.st_mtime_ns << 64) + stat.st_ino


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    current = os.umask(0)
    os.umask(current)
    return current
