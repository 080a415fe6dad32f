"""One writer at a time: a lock file that names its holder, and that a process which has ended does not keep.

On a disk the kernel holds the lock (flock(2)) and releases it when the process ends, in whatever way. Object stores
have no such lock: there it is a time stamp that its holder renews, and that expires when it is old or when the process
is known to have ended (`lock_objects.py`).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pyarrow import fs

from pipeline.store.lock_objects import LockObject, Stored, lock_object
from schemas.errors import UsageError

RENEW_S, STALE_S = 60.0, 300.0
"""On an object store the time stamp is renewed this often, and expires at that age: four renewals may be lost, and
clocks differ a little."""

_RELEASED: set[str] = set()
"""Tokens of locks that this process has let go, which a store may not have let it delete."""

log = logging.getLogger(__name__)


class Locked(UsageError):
    """Another job writes to the data set; one line that names it."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock. `machine` and `started` distinguish it from others with the same number."""

    job: str
    pid: int
    host: str
    machine: str
    started: str
    since_s: float
    """When the lock was taken or last renewed, Unix time."""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def me(cls, job: str) -> Holder:
        pid = os.getpid()
        return cls(job, pid, socket.gethostname(), this_machine(), process_start(pid), time.time())

    @classmethod
    def decode(cls, data: bytes) -> Holder | None:
        """A holder as it was written; None if the data is incomplete."""
        try:
            return cls(**json.loads(data))
        except (ValueError, TypeError):
            return None

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    def has_ended(self) -> bool:
        """Whether its process ran on this machine and has ended or let it go, or its time stamp has expired."""
        if self.token in _RELEASED:
            return True
        if self.machine and self.machine == this_machine() and process_start(self.pid) != self.started:
            return True
        return time.time() - self.since_s > STALE_S

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since_s))
        return f"{self.job} (process {self.pid} on {self.host}, {since})"


def this_machine() -> str:
    """Identifies the boot of the kernel and the namespace of process numbers; empty where /proc does not have them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def process_start(pid: int) -> str:
    """The tick at which a process started (proc(5), stat, field 22); empty if there is none."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


@contextmanager
def locked(filesystem: fs.FileSystem, path: str, job: str) -> Iterator[None]:
    """Hold the lock at `path` for the length of a block.

    Raises:
        Locked: another process holds it.
    """
    guard = _locked_file if isinstance(filesystem, fs.LocalFileSystem) else _locked_object
    with guard(filesystem, path, Holder.me(job)):
        yield


@contextmanager
def _locked_file(_: fs.FileSystem, path: str, holder: Holder) -> Iterator[None]:
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            raise _refusal(path, Holder.decode(file.read())) from taken
        except OSError as error:
            log.warning("%s: this file system has no locks (%s); run one job at a time", path, error)
        if not _is_at(path, file.fileno()):  # its last holder has just deleted it
            raise _refusal(path, None)
        file.truncate()
        file.write(holder.encode())
        file.flush()
        try:
            yield
        finally:
            if _is_at(path, file.fileno()):
                os.unlink(path)


def _is_at(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


@contextmanager
def _locked_object(filesystem: fs.FileSystem, path: str, holder: Holder) -> Iterator[None]:
    stored = lock_object(filesystem, path)
    found = stored.read()
    holding = _holder_of(found)
    if holding and not holding.has_ended():
        raise _refusal(path, holding)
    try:
        held = stored.put(holder.encode(), found)
    except OSError:
        _release(stored, holder)  # the answer may have been lost, and not the lock
        raise
    if held is None:
        raise _refusal(path, _holder_of(stored.read()))
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(stored, path, held, holder, done), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        _release(stored, holder)


def _release(stored: LockObject, holder: Holder) -> None:
    """Delete the lock if it is still the holder's. If the store fails to, it expires: the work is done all the same."""
    _RELEASED.add(holder.token)
    with suppress(OSError):
        found = stored.read()
        if found and _is_of(found, holder):
            stored.delete()


def _renew(stored: LockObject, path: str, held: Stored | None, holder: Holder, done: threading.Event) -> None:
    while not done.wait(RENEW_S):
        with suppress(OSError):  # the next renewal may succeed
            found = stored.put(replace(holder, since_s=time.time()).encode(), held) or stored.read()
            if found is None or _is_of(found, holder):
                held = found
                continue
            log.warning("%s: not renewed in time, and taken by %s", path, Holder.decode(found.data) or "another job")
            return


def _holder_of(found: Stored | None) -> Holder | None:
    return Holder.decode(found.data) if found else None


def _is_of(found: Stored, holder: Holder) -> bool:
    decoded = Holder.decode(found.data)
    return decoded is not None and decoded.token == holder.token


def _refusal(path: str, holder: Holder | None) -> Locked:
    who = f"{holder}; wait for it to end" if holder else "a job that is just starting or ending; try again"
    return Locked(f"data set {os.path.dirname(path)} is being written by {who}")
