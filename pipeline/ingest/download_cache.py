"""The last few remote files that this process has read, kept on disk, since the clips of a video are read one by one.

Copies are in a folder of the process, which deletes it when it ends. If it was killed, the next process that starts to
keep copies deletes it: a killed process no longer holds the lock on its folder.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_FILES, MAX_BYTES = 4, 2 << 30
"""No more copies than this are kept, nor more bytes; the oldest are deleted first, and the newest always stays."""
PREFIX, LOCK = "reelmill-copies-", ".lock"


@dataclass
class _Copy:
    path: str
    num_bytes: int
    num_users: int = 0


class Copies:
    """Copies of files by key, least recently used first."""

    def __init__(self, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES) -> None:
        self.max_files = max_files
        self.max_bytes = max_bytes
        self._copies: dict[Hashable, _Copy] = {}
        self._folder: str | None = None
        self._lock: BinaryIO | None = None
        self._mutex = threading.RLock()

    @contextmanager
    def holding(self, key: Hashable, suffix: str, write: Callable[[BinaryIO], object]) -> Iterator[str]:
        """The path of a copy, which `write` makes if there is none; it stays at least until the block ends."""
        with self._mutex:
            copy = self._copies.pop(key, None) or self._new(suffix, write)
            self._copies[key] = copy
            copy.num_users += 1
            self._make_room()
        try:
            yield copy.path
        finally:
            with self._mutex:
                copy.num_users -= 1
                self._make_room()

    def close(self) -> None:
        """Delete all copies; later ones get a new folder."""
        with self._mutex:
            if self._folder is not None and self._lock is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._lock.close()
            self._copies, self._folder, self._lock = {}, None, None

    def _new(self, suffix: str, write: Callable[[BinaryIO], object]) -> _Copy:
        if self._folder is None:
            _delete_abandoned()
            self._folder, self._lock = _own_folder()
            atexit.register(self.close)
        handle, path = tempfile.mkstemp(suffix=suffix, dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
        except BaseException:
            os.unlink(path)
            raise
        return _Copy(path, os.path.getsize(path))

    def _make_room(self) -> None:
        """Delete the oldest copies that are not being read, until the rest fits."""
        for key, copy in list(self._copies.items())[:-1]:
            num_bytes = sum(kept.num_bytes for kept in self._copies.values())
            if len(self._copies) <= self.max_files and num_bytes <= self.max_bytes:
                return
            if copy.num_users == 0:
                os.unlink(copy.path)
                del self._copies[key]


def _own_folder() -> tuple[str, BinaryIO]:
    """A new folder, and the lock that shows other processes that this one is running."""
    folder = tempfile.mkdtemp(prefix=PREFIX)
    path = os.path.join(folder, LOCK)
    lock = open(f"{path}-new", "wb")  # noqa: SIM115 - open for as long as the process lives
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(lock.name, path)  # under its final name it is always locked while this process runs
    return folder, lock


def _delete_abandoned() -> None:
    """Delete the folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), open(folder / LOCK, "rb") as lock:  # another process may be deleting it
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


COPIES = Copies()
"""The copies of this process."""
