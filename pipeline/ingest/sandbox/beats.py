"""Signs of life: whoever reads a file says so at each packet; an isolated process passes it on to its parent."""

from __future__ import annotations

import time
from collections.abc import Callable

INTERVAL_S = 0.1
"""The parent is told no more often than this; it counts in seconds."""

_send: Callable[[], None] | None = None
_next_s = 0.0


def heartbeat() -> None:
    """Say that the work goes on. Does nothing in a process that is not isolated."""
    global _next_s
    if _send is not None and (now_s := time.monotonic()) >= _next_s:
        _next_s = now_s + INTERVAL_S
        _send()


def send_beats_through(send: Callable[[], None] | None) -> None:
    """Where heartbeats of this process go; None for nowhere."""
    global _send, _next_s
    _send, _next_s = send, 0.0
