"""A webhook on this machine, which answers as it is told, or doesn't."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Answer = Callable[["_Handler"], None]


@dataclass
class Received:
    """A request that came whole."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    time: float


@dataclass
class Webhook:
    """What a webhook got, and how it is to answer: after the last of the answers, 200."""

    url: str
    requests: list[Received] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """Of the messages, in the order in which they came."""
        return [request.body["id"] for request in self.requests]


def status(code: int, body: str = "", **headers: str) -> Answer:
    """Answer so; underscores of headers' names are dashes."""

    def answer(handler: _Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body.encode())))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer


def reset_after(sent: bytes) -> Answer:
    """Send these bytes, and reset the connection."""

    def answer(handler: _Handler) -> None:
        handler.connection.sendall(sent)
        time.sleep(0.05)  # or the reset overtakes them
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return answer


def close(handler: _Handler) -> None:
    """Close the connection without a word."""
    handler.connection.shutdown(socket.SHUT_RDWR)


def slowly(seconds: float) -> Answer:
    """Answer 200, but only after this."""

    def answer(handler: _Handler) -> None:
        time.sleep(seconds)
        with contextlib.suppress(OSError):
            status(200)(handler)

    return answer


def dripping(code: int, seconds: float) -> Answer:
    """Answer so, with a body of which a byte comes at a time."""

    def answer(handler: _Handler) -> None:
        handler.send_response(code)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b"x")
                time.sleep(seconds)

    return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    webhook: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        received = Received(
            self.command, self.path, dict(self.headers), json.loads(body), time.monotonic()
        )
        self.webhook.requests.append(received)
        self.close_connection = True
        answer = self.webhook.answers.pop(0) if self.webhook.answers else status(200)
        answer(self)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """It is as it was told to be."""


@contextlib.contextmanager
def webhook(port: int = 0, *, certificate: Path | None = None) -> Iterator[Webhook]:
    """A webhook that listens, by TLS with a certificate; its answers can be changed meanwhile."""
    found = Webhook("")
    handler = type("Handler", (_Handler,), {"webhook": found})
    with _Server(("127.0.0.1", port), handler) as server:
        scheme = "http"
        if certificate is not None:
            context, scheme = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "https"
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        found.url = f"{scheme}://127.0.0.1:{server.server_port}/hooks/secret?key=secret"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def unused_port() -> int:
    """Where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
