"""A plugin of vLLM, by which the processes of an engine end with the process that started it, however that ends.

vLLM loads it in all of them (entry point `vllm.general_plugins`). Without it a killed actor leaves its network behind,
with all its memory.
"""

from __future__ import annotations

import os
import threading
import time

OWNER = "REELMILL_ENGINE_OWNER"
"""Environment variable with the owner's process id; where it is not set, as in `vllm serve`, nothing is watched."""
POLL_S = 1.0


def end_with_parent() -> None:
    """Watch the parent of this process from now on, unless this is the owner."""
    if os.environ.get(OWNER) not in (None, str(os.getpid())):
        threading.Thread(target=_watch, args=(os.getppid(),), name="parent watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)
