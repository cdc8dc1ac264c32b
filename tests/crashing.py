"""Processes of their own that use an embedded warehouse, and die where they are told to.

As a script it forks one for each request: it has imported everything and opened nothing, so that
each takes a moment. What a process does is a list of calls, like ``("run", "live", as_of)``.
Beside the calls' errors it tells the points that it passes: before each statement that changes
something, and within each replacement of a file. At one of these it kills itself, if asked to.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from expmon import Monitor

Call = tuple[Any, ...]


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        status: as of `subprocess`: 0 if it lived to its end, the negative signal if not.
        errors: of each call that came back: its error's type and sentence, or None.
        points: what it passed, in order.
    """

    status: int
    errors: list[tuple[str, str] | None] = field(default_factory=list)
    points: list[str] = field(default_factory=list)

    @property
    def was_killed(self) -> bool:
        """Whether it was killed, and by nothing else than this module."""
        return self.status == -signal.SIGKILL


class Processes:
    """Makes the processes, one after the other."""

    def __enter__(self) -> Self:
        command = [sys.executable, __file__]
        self._forking = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        with self._forking, contextlib.suppress(BrokenPipeError):
            self._forking.stdin.close()

    def run(
        self,
        file: Path | str,
        *calls: Call,
        store: Path | str | None = None,
        kill_at: int | None = None,
        kill_after: float | None = None,
    ) -> Ended:
        """Let a process make the calls.

        Args:
            file: the warehouse's.
            calls: ``deploy``; ``ingest`` with a file; ``run`` with a cadence and a moment;
                ``export`` with a moment; ``alerts`` with a moment and where to; ``sql`` with a
                statement; ``another``, to open the file a second time; ``most_bytes`` with the
                size that no file may exceed, None for any.
            store: the directory of exports.
            kill_at: the number of the point at which it kills itself.
            kill_after: the seconds after which it is killed, wherever it is.
        """
        request = {
            "file": str(file),
            "store": store and str(store),
            "calls": calls,
            "kill_at": kill_at,
            "kill_after": kill_after,
        }
        with contextlib.suppress(BrokenPipeError):
            self._forking.stdin.write(json.dumps(request, default=datetime.isoformat) + "\n")
            self._forking.stdin.flush()
        answer = self._forking.stdout.readline()
        if not answer:
            raise RuntimeError(f"what makes the processes is gone: {self._forking.wait()}")
        ended = json.loads(answer)
        return Ended(
            ended["status"],
            [error and tuple(error) for error in ended["errors"]],
            ended["points"],
        )


# In the script


def _main() -> None:
    for name in ("duckdb", "pandas", "pyarrow", "filelock", "requests", "sqlglot", "google_crc32c"):
        __import__(name)
    for name in ("materialize.run", "materialize.plan", "warehouse.duckdb", "ingest", "export.run"):
        __import__(f"expmon.{name}")
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_lived(json.loads(line))) + "\n")
        sys.stdout.flush()


def _lived(request: dict[str, Any]) -> dict[str, Any]:
    """Fork a process, and wait for its end."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        status = 1
        try:
            with os.fdopen(writing, "w", buffering=1) as told:
                _live(request, lambda kind, what: print(json.dumps([kind, what]), file=told))
            status = 0
        finally:
            if status:  # no error of expmon's: a bug, or a test's mistake
                traceback.print_exc()
            os._exit(status)
    os.close(writing)
    text = _read(reading, process, request["kill_after"])
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    told = [json.loads(line) for line in text.splitlines()]
    return {
        "status": status,
        "errors": [what for kind, what in told if kind == "error"],
        "points": [what for kind, what in told if kind == "point"],
    }


def _read(pipe: int, process: int, kill_after: float | None) -> str:
    """What the process tells until it is gone."""
    deadline = None if kill_after is None else time.monotonic() + kill_after
    told = b""
    with os.fdopen(pipe, "rb", buffering=0) as reading:
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if select.select([reading], [], [], left)[0]:
                if not (chunk := reading.read(2**16)):
                    return told.decode()
                told += chunk
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                deadline = None


def _live(request: dict[str, Any], tell: Callable[[str, Any], None]) -> None:
    import expmon
    from expmon.errors import ExpmonError

    _watch(request["kill_at"], lambda label: tell("point", label))
    with expmon.connect(f"duckdb://{request['file']}", request["store"]) as monitor:
        for name, *arguments in request["calls"]:
            error = None
            try:
                _CALLS[name](monitor, *arguments)
            except ExpmonError as raised:
                error = (type(raised).__name__, str(raised))
            tell("error", error)


def _watch(kill_at: int | None, tell: Callable[[str], None]) -> None:
    """Look at the points, for this process alone."""
    import threading

    from expmon.export.local import LocalStore
    from expmon.warehouse.duckdb_file import DuckDBFile

    numbers = iter(range(sys.maxsize))
    lock = threading.Lock()  # files are written by several threads

    def passing(label: str) -> None:
        with lock:
            if next(numbers) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            tell(label)

    def watched(method: Callable[..., Any], before: Callable[..., str], after: str = "") -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            passing(before(*arguments))
            result = method(*arguments, **options)
            if after:
                passing(after)
            return result

        return call

    DuckDBFile.execute = watched(DuckDBFile.execute, lambda _, sql, *__: " ".join(sql.split()[:3]))
    DuckDBFile.insert = watched(DuckDBFile.insert, lambda _, target, __: f"INSERT INTO {target}")
    LocalStore._replace = watched(
        LocalStore._replace, lambda _, name, __: f"file {name}", after="file is there"
    )
    os.fsync = watched(os.fsync, lambda _: "file under another name")


def _limit(_: Monitor, most_bytes: int | None) -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if most_bytes is None else most_bytes, hard))


def _alerts(monitor: Monitor, as_of: str, place: str) -> None:
    from expmon.health.delivery import receiver

    monitor.alerts(datetime.fromisoformat(as_of), deliver=receiver(place))


_others: list[Any] = []


def _open_another(monitor: Monitor) -> None:
    from expmon.warehouse.duckdb_file import DuckDBFile

    _others.append(DuckDBFile(monitor.warehouse._file.path))
    _others[-1].opened()


_CALLS: dict[str, Callable[..., object]] = {
    "deploy": lambda monitor: monitor.deploy(),
    "ingest": lambda monitor, path: monitor.ingest(path),
    "run": lambda monitor, cadence, as_of: monitor.run(cadence, datetime.fromisoformat(as_of)),
    "export": lambda monitor, as_of: monitor.export_active(datetime.fromisoformat(as_of)),
    "alerts": _alerts,
    "sql": lambda monitor, sql: monitor.warehouse._file.execute(sql),
    "another": _open_another,
    "most_bytes": _limit,
}

if __name__ == "__main__":
    _main()
