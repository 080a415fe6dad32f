"""An iterator run ahead in a thread: all items in order, errors in their place, no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.decode.prefetch import prefetch


def counting(made: list[int], end: int) -> Iterator[int]:
    for number in range(end):
        made.append(number)
        yield number


def threads_ahead() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_gives_all_items_in_order() -> None:
    assert list(prefetch(counting([], 1000), 3)) == list(range(1000))
    assert not threads_ahead()


def test_makes_no_more_than_asked_for_beforehand() -> None:
    made: list[int] = []
    items = prefetch(counting(made, 100), 4)
    for taken in range(10):
        assert next(items) == taken
        deadline = time.monotonic() + 1.0
        while len(made) < taken + 6 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(made) <= taken + 6  # the one taken, four ahead, and the one in the making
    items.close()


def test_raises_the_error_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    items = prefetch(broken(), 8)
    assert next(items) == 1
    with pytest.raises(OSError, match="gone"):
        next(items)
    assert not threads_ahead()


def test_ends_its_thread_when_closed() -> None:
    items = prefetch(iter(range(10**9)), 2)
    next(items)
    items.close()
    assert not threads_ahead()
