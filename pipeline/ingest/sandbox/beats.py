"""Heartbeats: code that reads a file gives one at each packet; an isolated process sends them to its parent."""

from __future__ import annotations

import time
from collections.abc import Callable

INTERVAL_S = 0.1
"""Heartbeats are sent no more often than this: the limits of the parent are in seconds."""

_send: Callable[[], None] | None = None
_next_s = 0.0


def heartbeat() -> None:
    """Show that work is going on. Does nothing in a process that is not isolated."""
    global _next_s
    if _send is not None and (now_s := time.monotonic()) >= _next_s:
        _next_s = now_s + INTERVAL_S
        _send()


def send_beats_through(send: Callable[[], None] | None) -> None:
    """Set where the heartbeats of this process go; None for nowhere."""
    global _send, _next_s
    _send, _next_s = send, 0.0
