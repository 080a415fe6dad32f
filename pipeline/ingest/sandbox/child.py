"""The isolated process: takes calls from its parent one after another, until the parent ends."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from importlib.abc import MetaPathFinder
from pathlib import Path

from pipeline.ingest.sandbox.beats import heartbeat, send_beats_through
from pipeline.ingest.sandbox.channel import Channel, pack, unpack

CALL = b"c"
READY, BEAT, ITEM, RESULT, ERROR = b"o", b".", b"i", b"r", b"e"
"""What the parent sends; and what the child sends: that it is ready, a heartbeat, one of several results, the result or
the end of several, or an error."""
LIFELINE_FD = 0
"""Standard input is a pipe to which the parent writes nothing; it closes when the parent ends, in whatever way."""


def serve(fd: int) -> None:
    """Answer calls from a socket, each a pickle of (function, arguments).

    What an iterator gives is sent as it comes, and waits in the socket until the parent takes it.
    """
    for number in (signal.SIGIO, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # the parent may ignore or block them
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _end_with_parent()
    _kill_first_when_memory_runs_out()
    channel = Channel(socket.socket(fileno=fd))
    channel.send(READY)
    send_beats_through(lambda: channel.send(BEAT))
    sys.meta_path.insert(0, ImportsAreProgress())
    while True:
        try:
            _, call = channel.receive()
        except EOFError:
            return
        channel.send(*_outcome(channel, call))


class ImportsAreProgress(MetaPathFinder):
    """Finds no module, but is asked for each: a library that loads late and slowly is not a file that hangs."""

    def find_spec(self, *_: object) -> None:
        heartbeat()


def _outcome(channel: Channel, call: list[bytearray]) -> tuple[bytes, list[memoryview]]:
    try:
        function, arguments = unpack(call)  # imports what the function needs
        channel.send(BEAT)
        result = function(*arguments)
        if isinstance(result, Iterator):
            for item in result:
                channel.send(ITEM, pack(item))
            result = None
        return RESULT, pack(result)
    except Exception as error:  # noqa: BLE001 - it is raised again in the parent
        return ERROR, pack(_portable(error))


def _portable(error: Exception) -> Exception:
    """An exception with its traceback as a note; one that cannot be pickled becomes a RuntimeError."""
    note = "In the isolated process:\n" + "".join(traceback.format_exception(error))
    try:
        error.add_note(note)
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an exception class may fail in any way when it is pickled
        return RuntimeError(note)
    return error


def _end_with_parent() -> None:
    """Let the kernel end this process when the parent's end of the lifeline closes.

    SIGIO, whose default action is to end the process, needs neither a thread nor the interpreter's lock, so it ends a
    process that hangs in a decoder. PR_SET_PDEATHSIG would do so when the thread that started the child ends.
    """
    fcntl.fcntl(LIFELINE_FD, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(LIFELINE_FD, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        if not os.read(LIFELINE_FD, 1):
            os._exit(0)


def _kill_first_when_memory_runs_out() -> None:
    """Ask the kernel to end this process before all others when memory runs out (proc(5), oom_score_adj)."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
