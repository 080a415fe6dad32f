"""A line to a server that breaks: a TCP proxy in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MARK = b"/logs/tail"
CHUNK_BYTES = 512


class BreakingLine:
    """Passes bytes on both ways; of connections that ask for MARK, the first ones are cut after so many bytes."""

    def __init__(self, host: str, port: int, cut_after: list[int]) -> None:
        self.server, self.cut_after = (host, port), list(cut_after)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    @contextmanager
    def open(self) -> Iterator[BreakingLine]:
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self.listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, socket.create_connection(self.server) as far, suppress(OSError):
            asked = near.recv(65536)
            far.sendall(asked)
            left = self.cut_after.pop(0) if MARK in asked and self.cut_after else None
            threading.Thread(target=_pass_on, args=(near, far), daemon=True).start()
            while data := far.recv(CHUNK_BYTES):
                near.sendall(data)
                if left is not None and (left := left - len(data)) <= 0:
                    break
            near.shutdown(socket.SHUT_RDWR)


def _pass_on(near: socket.socket, far: socket.socket) -> None:
    with suppress(OSError):
        while data := near.recv(65536):
            far.sendall(data)
        far.shutdown(socket.SHUT_WR)
