"""An HTTP proxy in front of a server of a test: it records what is asked, and fails on demand.

    with Proxy(server.url) as proxy:
        proxy.add(Fault(method="POST", path="/upload/", action="lose"))
        ...  # a client of `proxy.url`
    assert [request.method for request in proxy.requests] == ["POST", "POST"]

Each fault applies to the next requests that match it, as many as its `count`, and then no longer.
Of several faults the first that matches and isn't used up applies. All else is handed on as it is,
but for the server's own address: where headers or JSON give it, as in a `Location`, the proxy's
stands instead, so that clients stay with the proxy.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
SECONDS = 60  # that the server may take for an answer
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in.

    Attributes:
        path: without its query.
        query: every value of each name.
        headers: by name in lower case.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to requests instead of handing them on.

    Attributes:
        method: a regular expression that the whole method matches.
        path: one that is found in the path with its query.
        content: one that is found in the body.
        action: `answer` with status and document, or `cut` the connection, both unseen by the
            server; `lose` the server's answer, by cutting the connection after it came;
            `halve` the answer, by cutting the connection in the middle of its body; `delay` the
            request by `seconds`, then hand it on; `call` the function `act`, then hand it on;
            `rewrite` the document that the server answers with.
        count: how many requests it applies to.
        skip: how many that match are handed on before.
        status: of the answer.
        document: of the answer, which is JSON.
        seconds: of the delay.
        act: what is called, in the thread of the request.
        rewrite: from the server's JSON document to the one that the client gets.
    """

    method: str = ".*"
    path: str = ""
    content: bytes = b""
    action: Literal["answer", "cut", "lose", "halve", "delay", "call", "rewrite"] = "answer"
    count: int = 1
    skip: int = 0
    status: int = 503
    document: Any = None
    seconds: float = 0
    act: Callable[[], object] = lambda: None
    rewrite: Callable[[Any], Any] = lambda document: document


HANDED_ON = Fault(action="delay", seconds=0)


@dataclass(slots=True)
class Rule:
    """A fault, and what is left of it."""

    fault: Fault
    skip: int
    count: int

    def takes(self, request: Request, target: str) -> bool:
        """Whether the request is one that the fault applies to, which uses it up."""
        fault = self.fault
        if not re.fullmatch(fault.method, request.method):
            return False
        if not (re.search(fault.path, target) and re.search(fault.content, request.body)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count == 0:
            return False
        self.count -= 1
        return True


class Proxy:
    """A proxy of a server at an `http` URL, for as long as the block lasts.

    Attributes:
        requests: what came in, in that order.
        answered: what the server has answered, and with what status, also where that was lost.
        failures: what faults have called, and failed; the first is raised at the end.
    """

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target).netloc
        self.requests: list[Request] = []
        self.answered: list[tuple[Request, int]] = []
        self.failures: list[Exception] = []
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server
        return f"http://{HOST}:{self._server.server_port}"

    def add(self, *faults: Fault) -> None:
        """Let these happen from now on."""
        with self._lock:
            self._rules += [Rule(fault, fault.skip, fault.count) for fault in faults]

    @property
    def left(self) -> list[Fault]:
        """The faults that have not happened as often as they were to."""
        return [rule.fault for rule in self._rules if rule.count > 0]

    def of(self, method: str = ".*", path: str = "") -> list[Request]:
        """The requests so far that match as a fault does, but for the query."""
        return [
            request
            for request in list(self.requests)
            if re.fullmatch(method, request.method) and re.search(path, request.path)
        ]

    def __enter__(self) -> Self:
        proxy = self

        class Handler(_Handler):
            def handle_any(self) -> None:
                proxy.handle(self)

        self._server = _Server((HOST, 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._server
        self._server.shutdown()
        self._server.server_close()
        if self.failures and kind is None:
            raise self.failures[0]  # what a fault has called failed

    def handle(self, handler: _Handler) -> None:
        """Answer a request, or don't."""
        request = handler.request_seen()
        with self._lock:
            self.requests.append(request)
            rule = next((r for r in self._rules if r.takes(request, handler.path)), None)
        fault = rule.fault if rule else HANDED_ON
        if fault.action == "cut":
            handler.cut()
            return
        if fault.action == "answer":
            answer = json.dumps(fault.document).encode()
            handler.reply(fault.status, {"Content-Type": "application/json"}, answer)
            return
        time.sleep(fault.seconds)
        try:
            fault.act()
        except Exception as error:  # noqa: BLE001
            self.failures.append(error)
        try:
            status, headers, body = self._forward(handler, request.body)
        except (OSError, http.client.HTTPException):  # the server cut the connection itself
            handler.cut()
            return
        self.answered.append((request, status))
        if fault.action == "rewrite":
            body = json.dumps(fault.rewrite(json.loads(body))).encode()
        if fault.action == "lose":
            handler.cut()
        elif fault.action == "halve":
            handler.reply(status, headers, body, sent=len(body) // 2)
            handler.cut()
        else:
            handler.reply(status, headers, body)

    def _forward(self, handler: _Handler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """The server's answer, which names the proxy where the server named itself."""
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in HOP_BY_HOP}
        headers["Host"] = self.target
        connection = http.client.HTTPConnection(self.target, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request(handler.command, handler.path, body or None, headers)
            answer = connection.getresponse()
            data = answer.read()
        own = urlsplit(self.url).netloc
        found = {k: v.replace(self.target, own) for k, v in answer.getheaders()}
        kind = answer.headers.get("Content-Type", "")
        if kind.startswith("application/json") and "Content-Encoding" not in answer.headers:
            data = data.replace(self.target.encode(), own.encode())
        return answer.status, found, data


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # those of connections that clients keep open
    request_queue_size = 128  # of a few, clients that connect at once wait a second for another try


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is sent in two parts: no waiting in between

    def handle_any(self) -> None:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Callable[[], None]:
        """The methods `do_GET` and so on, for any verb."""
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self.handle_any

    def request_seen(self) -> Request:
        """The request, its body read."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, parts.path, parse_qs(parts.query), headers, body)

    def reply(
        self, status: int, headers: dict[str, str], body: bytes, sent: int | None = None
    ) -> None:
        """Send an answer, of its body only the first bytes if so many are given."""
        with contextlib.suppress(OSError):  # the client may have given up
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in HOP_BY_HOP | {"content-length"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if sent is None else body[:sent])

    def cut(self) -> None:
        """End the connection without another word."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Say nothing: the requests are recorded."""
