"""Exported files in a local directory."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from typing import TYPE_CHECKING

from expmon.errors import StoreConflict, StoreError
from expmon.export.store import ABSENT, Blob, crc32c, is_listed
from expmon.findings import Check, Finding, examined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_HELPERS = "_expmon"
_LOCK_SECONDS = 60
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class LocalStore:
    """A directory; it is made with the first file.

    A file is written under a temporary name beside its place and then renamed, so that whoever
    reads sees the old one or the new one; one is written at a time. Its generation is made of its
    inode and time. It keeps no notes on files.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._writing = threading.Lock()

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

    def generations(self, prefix: str = "") -> Mapping[str, int]:
        """The generations of the files by name, helpers left out."""
        with self._translated("its files"):
            found = [path for path in self._files() if path.name.startswith(prefix)]
            return {path.name: _generation(path.stat()) for path in found}

    def write(
        self,
        name: str,
        data: bytes,
        *,
        generation: int | None = None,
        as_of: str | None = None,  # noqa: ARG002 - it keeps no notes
    ) -> None:
        """Replace the file; see `Store.write`."""
        with self._locked():
            if generation is not None and generation != self._generation(name):
                raise StoreConflict(name, self.url)
            self._replace(name, data)

    def close(self) -> None:
        """Nothing to do."""

    def checksums(self) -> Mapping[str, str]:
        """The checksums of the files by name, helpers left out."""
        with self._translated("its files"):
            return {path.name: crc32c(path.read_bytes()) for path in self._files()}

    def _files(self) -> list[Path]:
        if not self.directory.is_dir():
            return []
        return [path for path in self.directory.iterdir() if is_listed(path.name)]

    def _generation(self, name: str) -> int:
        with self._translated(name):
            try:
                return _generation((self.directory / name).stat())
            except FileNotFoundError:
                return ABSENT

    def _replace(self, name: str, data: bytes) -> None:
        place = self.directory / name
        with self._translated(name):
            place.parent.mkdir(parents=True, exist_ok=True)
            # Not by tempfile, whose files are their owner's alone: what is exported is for others
            # to read, and a process with threads can't look its umask up. The name is always the
            # same, so that what an export leaves that is killed goes with the next one's file.
            temporary = place.with_name(f".{place.name}.tmp")
            temporary.unlink(missing_ok=True)
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(place)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Meanwhile nobody else writes.

        Threads of this store wait for each other here: they would look at the file's lock only
        every twentieth of a second.
        """
        from filelock import FileLock, Timeout

        helpers = self.directory / _HELPERS
        with self._writing:
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
            is_full = getattr(error, "errno", None) in _FULL
            todo = "Make room there" if is_full else "Choose a directory that you may write to"
            raise StoreError(
                f"{self.url} can't be used for exports ({what}): {reason}. {todo}."
            ) from error

    def examine(self) -> list[Finding]:
        """Whether files can be written there; see `Store.examine`."""
        subject = f"directory {self.directory}"
        return list(examined([Check(subject, lambda: self._check(subject))]))

    def _check(self, subject: str) -> Iterator[Finding]:
        with self._translated("it"):
            try:
                self.directory.stat()
                place, detail = self.directory, "files can be written there"
            except (FileNotFoundError, NotADirectoryError):
                parents = self.directory.absolute().parents
                place = next(parent for parent in parents if parent.exists())
                detail = "it is made with the first file"
            if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
                yield Finding(subject, "ok", detail)
                return
        why = "you may not write to it" if place.is_dir() else "it is no directory"
        todo = "Name a directory that you may write to: expmon --store DIR doctor"
        yield Finding(subject, "missing", f"{place}: {why}", todo)


def _generation(stat: os.stat_result) -> int:
    return (stat.st_mtime_ns << 64) + stat.st_ino
