"""Messages between two processes over a socket: a kind, and a pickle followed by the memory of its arrays.

Pickle protocol 5 (PEP 574) keeps large buffers separate, so an array is copied only into the socket and out of it.
"""

from __future__ import annotations

import pickle
import select
import socket
import struct
from typing import Any

HEADER = struct.Struct("<cI")
"""Kind, and how many parts follow: none, or a pickle and its buffers."""


def pack(content: Any) -> list[memoryview]:
    """A pickle and its buffers, as parts of a message."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(content, protocol=5, buffer_callback=buffers.append)
    return [memoryview(data), *(buffer.raw() for buffer in buffers)]


def unpack(parts: list[bytearray]) -> Any:
    """What was packed. Arrays share memory with the parts and are writable."""
    return pickle.loads(parts[0], buffers=parts[1:])


class Channel:
    """One end of a connection."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)

    def send(self, kind: bytes, parts: list[memoryview] | None = None) -> None:
        """Send a message.

        Raises:
            ConnectionError: the other end has ended.
        """
        parts = parts or []
        sizes = struct.pack(f"<{len(parts)}Q", *(part.nbytes for part in parts))
        self._socket.sendall(HEADER.pack(kind, len(parts)) + sizes)
        for part in parts:
            self._socket.sendall(part)

    def receive(self) -> tuple[bytes, list[bytearray]]:
        """Wait for a message: its kind and its parts.

        Raises:
            EOFError: the other end closed.
            ConnectionError: the other end has ended.
        """
        kind, num_parts = HEADER.unpack(self._read(HEADER.size))
        sizes = struct.unpack(f"<{num_parts}Q", self._read(8 * num_parts))
        return kind, [self._read(size) for size in sizes]

    def waits(self, seconds: float) -> bool:
        """Whether a message arrives within some seconds."""
        return bool(self._poll.poll(seconds * 1000))

    def close(self) -> None:
        self._socket.close()

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            count = self._socket.recv_into(rest)
            if not count:
                raise EOFError("the other end closed")
            rest = rest[count:]
        return data
