"""The way back: steps of a session, each of which can be undone and done again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

MOST = 64
Step = TypeVar("Step")


class Steps(Generic[Step]):
    """Steps of one session; the oldest are forgotten.

    Args:
        bytes_of: how much memory a step takes.
        most_bytes: of all together; the newest is kept whatever it takes.
    """

    def __init__(self, bytes_of: Callable[[Step], int], most_bytes: int):
        self._bytes_of, self._most = bytes_of, most_bytes
        self._all: list[Step] = []
        self._at = 0  # how many of them count; those after were undone

    @property
    def newest(self) -> Step | None:
        """That was not undone."""
        return self._all[self._at - 1] if self._at else None

    @property
    def counts(self) -> tuple[int, int]:
        """How many steps can be undone, and done again."""
        return self._at, len(self._all) - self._at

    @property
    def bytes(self) -> int:
        """Of all together."""
        return sum(self._bytes_of(step) for step in self._all)

    def backwards(self) -> Iterator[Step]:
        """Those that were not undone, the newest first."""
        return reversed(self._all[: self._at])

    def add(self, step: Step) -> None:
        """Take a step; those that were undone are forgotten."""
        kept = [*self._all[: self._at], step][-MOST:]
        held = sum(map(self._bytes_of, kept))
        while len(kept) > 1 and held > self._most:
            held -= self._bytes_of(kept.pop(0))
        self._all, self._at = kept, len(kept)

    def undo(self) -> bool:
        """One step back; False where there is none."""
        self._at, moved = max(self._at - 1, 0), self._at > 0
        return moved

    def redo(self) -> bool:
        """One step forward again; False where there is none."""
        moved = self._at < len(self._all)
        self._at += moved
        return moved
