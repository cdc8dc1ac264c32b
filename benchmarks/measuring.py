"""What the benchmarks share: the memory of this process, and its peak."""

from __future__ import annotations

import resource
import threading
from pathlib import Path
from typing import Self


class Watch:
    """Looks at the resident memory every few milliseconds."""

    def __enter__(self) -> Self:
        self.peak = resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.002):
            self.peak = max(self.peak, resident())


def resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
