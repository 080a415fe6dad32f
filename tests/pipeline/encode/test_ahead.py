"""Items are made ahead within a bound of bytes, taken as they are chosen, and none is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.encode.ahead import MadeAhead


def numbers(count: int, made: list[int]) -> Iterator[int]:
    for number in range(count):
        made.append(number)
        yield number


def settled(made: list[int]) -> int:
    """How many are made once no more come."""
    before = -1
    while before != len(made):
        before = len(made)
        time.sleep(0.1)
    return before


def test_items_that_wait_or_are_in_use_have_few_bytes() -> None:
    made: list[int] = []
    with MadeAhead(numbers(100, made), lambda number: 10, 35) as ahead:
        assert settled(made) == 4
        assert ahead.take(lambda at_hand: [0, 2]) == [0, 2]
        assert settled(made) == 4  # those that were taken are worked on
        assert ahead.take(lambda at_hand: [1]) == [3]
        assert settled(made) == 6
    assert settled(made) <= 7


def test_every_item_is_taken_once_in_the_order_that_is_chosen() -> None:
    taken: list[int] = []
    with MadeAhead(numbers(50, []), lambda number: 1, 8) as ahead:
        while some := ahead.take(lambda at_hand: [at_hand.index(max(at_hand))]):
            taken += some
    assert sorted(taken) == list(range(50))


def test_an_error_comes_after_all_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("gone")

    with MadeAhead(failing(), lambda number: 1, 10) as ahead:
        assert ahead.take(lambda at_hand: [0]) == [1]
        assert ahead.take(lambda at_hand: [0]) == [2]
        with pytest.raises(OSError, match="gone"):
            ahead.take(lambda at_hand: [0])


def test_a_block_that_is_left_ends_the_thread() -> None:
    def left() -> None:
        with MadeAhead(numbers(1000, []), lambda number: 1, 1) as ahead:
            ahead.take(lambda at_hand: [0])
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        left()
    assert not [thread for thread in threading.enumerate() if thread.name == "made ahead"]
