"""What the tests of isolation have an isolated process do; apart from the tests so that it imports quickly."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from pipeline.ingest.sandbox import heartbeat

MIB = 1 << 20


class Wordy(Exception):
    """Cannot be unpickled: its constructor takes more than its message."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(left + right)


def pid() -> int:
    return os.getpid()


def picture(height: int, value: int) -> Any:
    import numpy as np

    return np.full((4, height, 64, 3), value, np.uint8)


def pictures(count: int, height: int, then: str = "") -> Iterator[Any]:
    """Pictures one after the other, and what comes then."""
    for value in range(count):
        yield picture(height, value)
    if then == "dies":
        die(signal.SIGSEGV)
    if then == "raises":
        raise ValueError("no more")
    if then == "hangs":
        time.sleep(60)


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def read_null() -> None:
    ctypes.string_at(0)


def leave() -> None:
    os._exit(7)


def stall() -> None:
    heartbeat()
    time.sleep(60)


def work_slowly(seconds: float) -> str:
    """Twice the stall limit in all, with a sign of life now and then."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        heartbeat()
        time.sleep(0.02)
    return "done"


def import_slowly(folder: str) -> str:
    """Modules that take twice the stall limit together, and give no signs of life of their own."""
    sys.path.insert(0, folder)
    for name in (f"slow_{i}" for i in range(8)):
        importlib.import_module(name)
    return "done"


def eat(mebibytes: int) -> list[bytes]:
    """Take memory bit by bit, with signs of life."""
    held = []
    for _ in range(mebibytes):
        held.append(b"x" * MIB)
        heartbeat()
    return held


def refuse(kind: str) -> None:
    from pipeline.ingest.failures import MediaError

    raise {
        "media": MediaError("no_frames", "nothing decodes"),
        "value": ValueError("a fault of ours"),
        "wordy": Wordy("a", "b"),
        "memory": MemoryError("a wish for 2^60 bytes"),
    }[kind]


KEPT: list[Any] = []


def crash_when_used_before() -> int:
    """Like a decoder whose heap an earlier file has damaged."""
    KEPT.append(1)
    if len(KEPT) > 1:
        die(signal.SIGSEGV)
    return os.getpid()


def hoard(mebibytes: int) -> int:
    """Like a library that keeps what it took."""
    KEPT.append(eat(mebibytes))
    return os.getpid()


def signal_state() -> tuple[set[int], bool]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ())), signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def chatter() -> None:
    os.write(1, b"to the console")
    os.write(2, b"to the console")


def hold_the_lock() -> None:
    ctypes.PyDLL(None).sleep(60)  # unlike CDLL, PyDLL keeps the lock
