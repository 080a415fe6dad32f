"""An iterator whose items are made ahead of their use, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item], num_prefetched: int) -> Generator[Item]:
    """The items of an iterator, up to `num_prefetched` of them made before they are asked for.

    An exception of the iterator is raised here, at its place among the items. The thread ends with this generator.
    """
    made: SimpleQueue[tuple[Item] | BaseException | None] = SimpleQueue()
    free = threading.Semaphore(num_prefetched)
    closed = threading.Event()

    def make() -> None:
        try:
            for item in items:
                made.put((item,))
                del item
                free.acquire()
                if closed.is_set():
                    return
            made.put(None)
        except BaseException as error:  # noqa: BLE001 - raised where the items are taken
            made.put(error)

    thread = threading.Thread(target=make, name="prefetch", daemon=True)
    thread.start()
    try:
        while (got := made.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            free.release()
            yield got[0]
    finally:
        closed.set()
        free.release()
        thread.join()
