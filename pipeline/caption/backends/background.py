"""An event loop in a thread of its own, so that calls from several threads share requests in flight."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines for callers that wait; ends with the process."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="engine", daemon=True).start()

    def run(self, work: Coroutine[None, None, T]) -> T:
        """What a coroutine returns or raises; not to be called from the loop itself."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
