"""Items that a thread makes ahead of their use, as long as those at hand have few bytes; which is next is chosen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class MadeAhead(Generic[Item]):
    """A buffer between a thread that makes items and a caller that takes several of those at hand at a time.

    Items that were taken count until the next are: the caller works on them. So the memory of all is at most
    `max_bytes` and one item's.
    """

    def __init__(self, items: Iterator[Item], num_bytes: Callable[[Item], int], max_bytes: int) -> None:
        self._items, self._num_bytes, self._max_bytes = items, num_bytes, max_bytes
        self._at_hand: list[Item] = []
        self._held = self._taken = 0
        self._ended = self._closed = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._make, name="made ahead", daemon=True)

    def __enter__(self) -> MadeAhead[Item]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the thread after the item that it is at."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def take(self, choose: Callable[[Sequence[Item]], Sequence[int]]) -> list[Item]:
        """The items that are chosen of those at hand, as soon as there is one; none at the end.

        Args:
            choose: from the items at hand, in the order in which they were made, to the places of one or more.
        Raises:
            BaseException: what making the items raised, once all before are taken.
        """
        with self._changed:
            self._held -= self._taken
            self._taken = 0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._at_hand or self._ended)
            if not self._at_hand:
                if self._failure is not None:
                    raise self._failure
                return []
            places = set(choose(self._at_hand))
            taken = [item for place, item in enumerate(self._at_hand) if place in places]
            self._at_hand = [item for place, item in enumerate(self._at_hand) if place not in places]
            self._taken = sum(map(self._num_bytes, taken))
            return taken

    def _make(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
                del item
        except BaseException as error:  # noqa: BLE001 - raised where the items are taken
            self._failure = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _put(self, item: Item) -> bool:
        """Add an item, and wait until there is room for the next; whether one is wanted."""
        with self._changed:
            self._at_hand.append(item)
            self._held += self._num_bytes(item)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._held < self._max_bytes or self._closed)
            return not self._closed
