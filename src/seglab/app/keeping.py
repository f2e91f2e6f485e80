"""What is kept for all sessions of the process, within bounds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Values by their keys; what was not asked for longest makes room. Any thread may use it.

    Args:
        most: that is kept, in what `size` counts.
        size: of a value; 1 where nothing is said. A value larger than `most` is not kept.
    """

    def __init__(self, most: int, size: Callable[[V], int] = lambda value: 1):
        self._most, self._size = most, size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value; None where it is not kept."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        with self._lock:
            if key in self._values:
                self._held -= self._size(self._values.pop(key))
            if self._size(value) > self._most:
                return
            self._values[key] = value
            self._held += self._size(value)
            while self._held > self._most:
                self._held -= self._size(self._values.popitem(last=False)[1])

    @property
    def held(self) -> int:
        """What is kept now, in what `size` counts."""
        return self._held

    def clear(self) -> None:
        """Keep nothing any more."""
        with self._lock:
            self._values.clear()
            self._held = 0
