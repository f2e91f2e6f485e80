"""From probabilities to class ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from seglab.task import Task

Seen = Callable[[np.ndarray, np.ndarray], None]
"""Shown class ids `(rows, …)`, and in float32 the probability of each where it was chosen."""


def class_ids(channels: Iterator[np.ndarray], task: Task, threshold: float, seen: Seen | None = None) -> np.ndarray:
    """Class ids, of the smallest type that holds them, from the channels that decide.

    Args:
        channels: probabilities in float32, of the foreground alone where the task is binary, else of each class.
        task: that is solved.
        threshold: above which a pixel of a binary task is foreground.
        seen: shown what was decided, and how probable it was.
    """
    dtype = np.min_scalar_type(task.classes - 1)
    if task.binary:
        foreground = next(channels)
        inside = foreground > threshold
        ids: np.ndarray = inside.view(dtype)
        if seen:
            chosen = (~inside).astype(np.float32)  # |1 - p| or |0 - p|: in a third of the time of `where`
            chosen -= foreground
            seen(ids, np.abs(chosen, out=chosen))
        return ids
    ids, best = _most_probable(channels, dtype)
    if seen:
        seen(ids, best)
    return ids


def _most_probable(channels: Iterable[np.ndarray], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Index of the largest of the arrays, the first on a tie, and the largest itself, with one array at a time in
    memory."""
    best, ids = np.empty(0, np.float32), np.empty(0, dtype)
    for class_id, channel in enumerate(channels):
        if class_id == 0:
            best, ids = channel.copy(), np.zeros(channel.shape, dtype)
            continue
        ids[channel > best] = class_id
        np.maximum(best, channel, out=best)
    return ids, best
