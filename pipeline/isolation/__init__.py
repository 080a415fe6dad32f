"""Untrusted files are decoded in a child process: a decoder that crashes or hangs costs one row, not the job."""

from pipeline.isolation.beats import heartbeat
from pipeline.isolation.worker import CRASHED, HUNG, OUT_OF_MEMORY, ChildDied, IsolatedWorker, Limits, isolated

__all__ = ["CRASHED", "HUNG", "OUT_OF_MEMORY", "ChildDied", "IsolatedWorker", "Limits", "heartbeat", "isolated"]
