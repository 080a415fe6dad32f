"""An iterator that runs ahead of whoever takes its items, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item], num_prefetched: int) -> Generator[Item]:
    """The items of an iterator, of which up to `num_prefetched` are made before they are asked for.

    What the iterator raises is raised here, in its place. The thread has ended when this iterator has, or is closed.
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
