"""Calls in a process of their own, which may crash, hang or use up memory without harm to the caller.

The child is started once, for the first call, as a new program and not by `fork`, since the caller may have threads and
locks. The parent watches three limits: if one is exceeded, it kills the child, the call ends in `ChildDied` with a
one-word reason, and the next call starts another child.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

from pipeline.ingest.sandbox.channel import Channel, pack, unpack
from pipeline.ingest.sandbox.child import BEAT, CALL, ITEM, READY, RESULT

P = ParamSpec("P")
T = TypeVar("T")

CRASHED, HUNG, OUT_OF_MEMORY = "decoder_crashed", "decoder_hung", "out_of_memory"
POLL_S = 0.05
"""How often memory and time are checked: a decoder that fills 3 GB/s gets 150 MB past its limit."""
IMPORT_S = 300.0
"""Time until the first heartbeat: the child imports libraries, perhaps over a network file system."""
RESTING_FRAC = 0.5
"""A child that holds more than this share of its memory between calls is replaced: libraries keep memory, and the next
file would be blamed."""
EXIT_S = 5.0
"""Time that a child may take to exit once its channel is closed."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ChildDied(Exception):
    """A call during which its process died: `reason` is one word for the tables, `detail` says how it ended."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class Limits:
    """When a call is stopped.

    Memory is what only the child holds (resident minus shared pages, proc(5) statm), polled: a limit on address space
    would count the gigabytes that libraries reserve and never use.
    """

    stall_s: float = 60.0
    """Seconds without a heartbeat."""
    call_s: float = 4 * 3600.0
    """Seconds in all: a file with an endless stream of packets gives heartbeats for ever."""
    memory_bytes: int = 4 << 30


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    channel: Channel
    num_calls: int = 0
    is_up: bool = False

    def dismiss(self) -> None:
        """Let it exit, so that it deletes its files; kill it if that takes too long."""
        self.channel.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(EXIT_S)
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.channel.close()
        if self.process.stdin:
            self.process.stdin.close()


class IsolatedWorker:
    """Runs functions in a child process that is kept between calls. Not for several threads at once."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.num_starts = 0
        self._child: _Child | None = None

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `function(*args, **kwargs)`, computed in the child.

        The function is pickled by name, so it must be in an importable module. If the child dies and has served other
        calls before, the call is retried once in a new child, since an earlier call may have caused the damage; only a
        second death counts.

        Raises:
            ChildDied: `decoder_crashed`, `decoder_hung` or `out_of_memory`.
            Exception: whatever the function raises, with the child's traceback as a note.
            RuntimeError: no child could be started.
        """
        work = pack((functools.partial(function, **kwargs), args))
        child = self._ready_child()
        try:
            return self._answer(child, work)
        except ChildDied as death:
            if death.reason == HUNG or child.num_calls == 0:
                raise
        return self._answer(self._ready_child(), work)

    def stream(self, function: Callable[P, Iterator[T]], *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        """What the iterator that a function returns gives, each as soon as the child has it.

        A second try is made as for `call`, if nothing has come yet. The limits hold for each item; an iteration that is
        given up kills the child.

        Raises:
            ChildDied, Exception, RuntimeError: as `call`; what has come before stands.
        """
        work = pack((functools.partial(function, **kwargs), args))
        child, has_items = self._ready_child(), False
        try:
            for item in self._items(child, work):
                has_items = True
                yield item
            return
        except ChildDied as death:
            if death.reason == HUNG or child.num_calls == 0 or has_items:
                raise
        yield from self._items(self._ready_child(), work)

    def close(self) -> None:
        """End the child; a later call starts another."""
        if self._child is not None:
            self._child.dismiss()
            self._child = None

    def __reduce__(self) -> tuple[type[IsolatedWorker], tuple[Limits]]:
        return IsolatedWorker, (self.limits,)

    def __enter__(self) -> IsolatedWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ready_child(self) -> _Child:
        child = self._child
        if child is not None:
            resting_bytes = own_memory_bytes(child.process.pid)
            if child.process.poll() is None and resting_bytes <= RESTING_FRAC * self.limits.memory_bytes:
                return child
            self.close()
        self._child = _start()
        self.num_starts += 1
        return self._child

    def _answer(self, child: _Child, work: list[memoryview]) -> Any:
        is_end, outcome = self._outcome(child, work)
        assert is_end
        return outcome

    def _items(self, child: _Child, work: list[memoryview]) -> Iterator[Any]:
        is_end, outcome = self._outcome(child, work)
        while not is_end:
            try:
                yield outcome
            except GeneratorExit:
                child.kill()
                self._child = None
                raise
            is_end, outcome = self._outcome(child, None)

    def _outcome(self, child: _Child, work: list[memoryview] | None) -> tuple[bool, Any]:
        """Send work if there is any, and wait: whether that was the end, and the result or an item."""
        try:
            if work is not None:
                child.channel.send(CALL, work)
            kind, parts = self._wait(child, self.limits.stall_s if work is None else IMPORT_S)
        except (EOFError, ConnectionError):
            self._report_death(child)
        except BaseException:
            child.kill()  # past its limits; or the caller was interrupted, as by Ctrl-C, and nobody takes the answer
            self._child = None
            raise
        outcome = unpack(parts)
        if kind == ITEM:
            return False, outcome
        if kind == RESULT:
            child.num_calls += 1
            return True, outcome
        if isinstance(outcome, MemoryError):
            self.close()
            raise ChildDied(OUT_OF_MEMORY, str(outcome) or "MemoryError")
        child.num_calls += 1
        raise outcome

    def _wait(self, child: _Child, allowed_s: float) -> tuple[bytes, list[bytearray]]:
        """The kind of the outcome and its parts; the child is watched until they arrive.

        Args:
            allowed_s: seconds to the first heartbeat.
        """
        limits = self.limits
        start_s = last_s = time.monotonic()
        while True:
            answered = child.channel.waits(POLL_S)
            now_s = time.monotonic()
            if answered:
                kind, parts = child.channel.receive()
                if kind == READY:
                    child.is_up = True
                elif kind == BEAT:
                    last_s, allowed_s = now_s, limits.stall_s
                else:
                    return kind, parts
            elif now_s - last_s > allowed_s:
                raise ChildDied(HUNG, f"no progress for {allowed_s:g} s")
            if now_s - start_s > limits.call_s:
                raise ChildDied(HUNG, f"not done after {limits.call_s:g} s")
            if (held_bytes := own_memory_bytes(child.process.pid)) > limits.memory_bytes:
                raise ChildDied(OUT_OF_MEMORY, f"{held_bytes >> 20} MiB held, limit {limits.memory_bytes >> 20} MiB")

    def _report_death(self, child: _Child) -> NoReturn:
        status = child.process.wait()
        child.kill()
        self._child = None
        if not child.is_up:
            raise RuntimeError(f"no isolated process could be started: status {status} from {child.process.args!r}")
        if status == -signal.SIGKILL:  # not ours: `kill` is called elsewhere
            raise ChildDied(OUT_OF_MEMORY, "killed by SIGKILL, as the kernel does when memory runs out")
        if status < 0:
            raise ChildDied(CRASHED, signal.Signals(-status).name)
        raise ChildDied(CRASHED, f"the process ended itself with status {status}")


def isolated(limits: Limits, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in the isolated process that this process keeps for these limits; see `IsolatedWorker.call`."""
    return _worker_of_this_process(limits).call(function, *args, **kwargs)


def streamed(limits: Limits, function: Callable[P, Iterator[T]], *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
    """Iterate in the isolated process that this process keeps for these limits; see `IsolatedWorker.stream`."""
    return _worker_of_this_process(limits).stream(function, *args, **kwargs)


@functools.cache
def _worker_of_this_process(limits: Limits) -> IsolatedWorker:
    worker = IsolatedWorker(limits)
    atexit.register(worker.close)
    return worker


def own_memory_bytes(pid: int) -> int:
    """Resident memory of a process that it shares with no other; 0 where there is no such process, or no /proc."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(resident) - int(shared)) * PAGE_BYTES


def _start() -> _Child:
    """Start a child that imports from where this process imports."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from pipeline.ingest.sandbox.child import serve; serve({theirs.fileno()})"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    return _Child(process, Channel(ours))
