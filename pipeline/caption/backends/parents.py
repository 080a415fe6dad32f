"""A plugin of vLLM that ends the processes of an engine when the process that started it ends, even if killed.

vLLM loads it in each of them (entry point `vllm.general_plugins`). Without it a killed actor leaves the network's
process running, with all its memory.
"""

from __future__ import annotations

import os
import threading
import time

OWNER = "REELMILL_ENGINE_OWNER"
"""Environment variable with the owner's process id; without it, as in `vllm serve`, nothing is watched."""
POLL_S = 1.0


def end_with_parent() -> None:
    """Start to watch the parent of this process, unless this process is the owner."""
    if os.environ.get(OWNER) not in (None, str(os.getpid())):
        threading.Thread(target=_watch, args=(os.getppid(),), name="parent watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)
