"""Whose turn it is, where several ask for one thing."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Line(Generic[T]):
    """A queue in which askers take turns: a thousand things that one asks for come between two of another's,
    one at a time.

    What one asker asks for stays in its order.
    """

    def __init__(self) -> None:
        self._by_asker: OrderedDict[Hashable, deque[T]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._by_asker)

    def add(self, asker: Hashable, item: T) -> None:
        """Append what somebody asks for."""
        self._by_asker.setdefault(asker, deque()).append(item)

    def first(self) -> T:
        """Return what is next; the line must not be empty."""
        return next(iter(self._by_asker.values()))[0]

    def take(self) -> T:
        """Remove and return what is next; the asker's next turn comes after everybody else's."""
        asker, waiting = next(iter(self._by_asker.items()))
        item = waiting.popleft()
        if waiting:
            self._by_asker.move_to_end(asker)
        else:
            del self._by_asker[asker]
        return item
