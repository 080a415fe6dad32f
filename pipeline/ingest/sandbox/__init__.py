"""Untrusted files are decoded in a child process: a decoder that crashes or hangs costs one row, not the job."""

from pipeline.ingest.sandbox.beats import heartbeat
from pipeline.ingest.sandbox.worker import (
    CRASHED,
    HUNG,
    OUT_OF_MEMORY,
    ChildDied,
    IsolatedWorker,
    Limits,
    isolated,
    streamed,
)

__all__ = [
    "CRASHED",
    "HUNG",
    "OUT_OF_MEMORY",
    "ChildDied",
    "IsolatedWorker",
    "Limits",
    "heartbeat",
    "isolated",
    "streamed",
]
