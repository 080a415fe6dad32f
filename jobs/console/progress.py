"""A live line while Ray works: what each stage has done, read from the run statistics twice a second."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

REFRESH_S = 0.5
PLAIN_REFRESH_S = 10.0
"""Without a terminal a line is printed, less often."""

Describe = Callable[[dict[str, dict[str, Any]]], str]


@contextmanager
def live_progress(read: Callable[[], dict[str, dict[str, Any]]], describe: Describe) -> Iterator[None]:
    """Show `describe(read())` while the block runs, on standard error."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    done = threading.Event()
    interactive = sys.stderr.isatty()

    def watch(show: Callable[[str], None]) -> None:
        last = ""
        while not done.wait(REFRESH_S if interactive else PLAIN_REFRESH_S):
            line = describe(read())
            if line != last:
                show(line)
            last = line

    if not interactive:
        thread = threading.Thread(target=watch, args=(console.print,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        return
    with Live(Text("starting"), console=console, transient=True) as live:
        thread = threading.Thread(target=watch, args=(lambda line: live.update(Text(line)),), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
