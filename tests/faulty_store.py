"""An S3 server of the tests, and an HTTP proxy in front of it that fails by a schedule.

A fault is asked for by the kind of request and the key, so that a test says exactly what goes wrong and how often. A
schedule drawn by a seed decides it by a hash of the request and of how often it has come, so the order in which the
threads of a job arrive does not matter.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from pyarrow import fs

from tests.ray_cluster import STORE_KEYS

GET, PUT, LIST, HEAD, DELETE, POST = "get", "put", "list", "head", "delete", "post"
BUSY, CLOSED, STALLED, SLOW, CUT = "busy", "closed", "stalled", "slow", "cut"
"""What goes wrong: an answer 503, a connection that is closed unanswered, an answer that comes after the client has
given up, a body in many small pieces, and one that ends in the middle."""
STALL_S = 8.0
"""Longer than the 3 s after which the AWS client takes a silent connection for dead."""
SLOW_PIECES, SLOW_S = 20, 1.0
BUSY_BODY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
START_TIMEOUT_S = 60.0
HOP_HEADERS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"})


@dataclass
class Fault:
    """What goes wrong with requests of some kinds for keys that match a pattern."""

    what: str
    kinds: Sequence[str]
    keys: str = "*"
    """A pattern of `BUCKET/KEY`, as `lake/in/*.mp4`."""
    times: int | None = None
    """How many such requests it meets; None for all."""
    share: float = 1.0
    """Of the requests that match, drawn by the seed."""


@dataclass
class Schedule:
    """What goes wrong now, and what has been asked."""

    faults: list[Fault] = field(default_factory=list)
    seed: int = 0
    etag_suffix: str = ""
    """Appended to the ETags of objects that are read or looked up: their bytes are the same."""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Kind, `BUCKET/KEY` and what went wrong (empty for nothing), in the order in which they came."""
    _seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, what: str, *kinds: str, keys: str = "*", times: int | None = None, share: float = 1.0) -> None:
        """Let requests fail from now on."""
        self.faults.append(Fault(what, kinds, keys, times, share))

    def mend(self) -> None:
        """Let nothing go wrong from now on, and forget what has been asked."""
        with self._lock:
            self.faults, self.etag_suffix = [], ""
            self.requests.clear()

    def met(self) -> int:
        """How many requests have met a fault."""
        return sum(bool(fault) for _, _, fault in self.requests)

    def next(self, kind: str, key: str) -> str:
        """What goes wrong with a request that has just come."""
        with self._lock:
            self._seen[kind, key] += 1
            fault = next((f for f in self.faults if self._meets(f, kind, key)), None)
            if fault is not None and fault.times is not None:
                fault.times -= 1
            self.requests.append((kind, key, fault.what if fault else ""))
            return fault.what if fault else ""

    def _meets(self, fault: Fault, kind: str, key: str) -> bool:
        if kind not in fault.kinds or not fnmatchcase(key, fault.keys) or fault.times == 0:
            return False
        drawn = hashlib.sha256(repr((self.seed, fault.what, kind, key, self._seen[kind, key])).encode()).digest()
        return int.from_bytes(drawn[:4], "big") / 2**32 < fault.share


class Proxy(BaseHTTPRequestHandler):
    """Passes a request on to the server, and its answer back, or does what the schedule says."""

    protocol_version = "HTTP/1.1"
    server: ProxyServer  # type: ignore[assignment]

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # the client has given up
            self.close_connection = True

    def answer(self) -> None:
        body, schedule = self._body(), self.server.schedule
        url = urlsplit(self.path)
        kind = self.command.lower()
        if kind == GET and {"list-type", "prefix"} & parse_qs(url.query, keep_blank_values=True).keys():
            kind = LIST
        fault = schedule.next(kind, unquote(url.path).lstrip("/"))
        if fault == STALLED:
            time.sleep(STALL_S)
        if fault in (STALLED, CLOSED):
            self.close_connection = True
        elif fault == BUSY:
            self._send(503, [("Content-Type", "application/xml")], BUSY_BODY)
        else:
            self._pass_on(body, fault, schedule.etag_suffix if kind in (GET, HEAD) else "")

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer

    def _pass_on(self, body: bytes, fault: str, etag_suffix: str) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream_port)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_HEADERS}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_HEADERS]
        if etag_suffix:
            kept = [(n, value.rstrip('"') + f'{etag_suffix}"' if n.lower() == "etag" else value) for n, value in kept]
        if self.command == "HEAD":
            kept.append(("Content-Length", answer.getheader("Content-Length", "0")))
        self._send(answer.status, kept, data, fault)

    def _send(self, status: int, headers: Sequence[tuple[str, str]], body: bytes, fault: str = "") -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == CUT:
            body, self.close_connection = body[: len(body) // 2], True
        size = max(len(body) // SLOW_PIECES, 1) if fault == SLOW else max(len(body), 1)
        for start in range(0, len(body), size):
            self.wfile.write(body[start : start + size])
            if fault == SLOW:
                time.sleep(SLOW_S / SLOW_PIECES)

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def handle_expect_100(self) -> bool:
        """Left to `_body`."""
        return True


class ProxyServer(ThreadingHTTPServer):
    """The proxy, with a thread for each connection."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream_port: int, schedule: Schedule) -> None:
        super().__init__(("127.0.0.1", 0), Proxy)
        self.upstream_port, self.schedule = upstream_port, schedule


@dataclass(frozen=True)
class FaultyStore:
    """A bucket `lake`, as it is and through the proxy."""

    port: int
    proxy_port: int
    schedule: Schedule

    @property
    def query(self) -> str:
        """The query part of URIs that lead through the proxy."""
        return query_of(self.proxy_port)

    @property
    def direct_query(self) -> str:
        """The query part of URIs that lead past it."""
        return query_of(self.port)

    def uri(self, key: str) -> str:
        return f"s3://lake/{key}?{self.query}"

    def put(self, key: str, data: bytes) -> None:
        """Write an object past the proxy."""
        filesystem, _ = fs.FileSystem.from_uri(f"s3://lake?{self.direct_query}")
        with filesystem.open_output_stream(f"lake/{key}") as stream:
            stream.write(data)


def query_of(port: int) -> str:
    """The query part of URIs that lead to a server on a port."""
    return f"endpoint_override=127.0.0.1:{port}&scheme=http&allow_bucket_creation=true"


@contextmanager
def s3_server() -> Iterator[int]:
    """The port of an S3 server with a bucket `lake`; while it runs, this process has the keys to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A process of its own: vLLM looks through every loaded module, and Flask's do not bear being looked at.
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in STORE_KEYS.items():
                patch.setenv(name, value)
            _make_bucket(f"s3://lake?{query_of(port)}", "lake")
            yield port
    finally:
        server.terminate()
        server.wait()


def _make_bucket(uri: str, name: str) -> None:
    """Make a bucket as soon as the server answers."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            return fs.FileSystem.from_uri(uri)[0].create_dir(name)
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.2)


@contextmanager
def faulty_store() -> Iterator[FaultyStore]:
    """A store that fails when it is told to."""
    schedule = Schedule()
    with s3_server() as port:
        proxy = ProxyServer(port, schedule)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield FaultyStore(port, proxy.server_address[1], schedule)
        finally:
            proxy.shutdown()
            proxy.server_close()
