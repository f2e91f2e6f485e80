"""From probabilities to class ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from seglab.task import Task


class MaskObserver(Protocol):
    """Is shown a mask, block by block of whole rows, while it is made; see `seglab.inference.mask_facts`."""

    def channel(self, number: int, probabilities: np.ndarray) -> None:
        """Shown the probabilities `(rows, …)` in float32 of each class in turn, where the task is not binary."""

    def mask(self, ids: np.ndarray, best: np.ndarray) -> None:
        """Shown then class ids `(rows, …)`, and in float32 the probability of each where it was chosen."""

    def binary(self, ids: np.ndarray, foreground: np.ndarray) -> None:
        """Shown in the place of both, of a binary task, class ids and in float32 the probabilities of class 1."""

    def region(self, number: int, inside: np.ndarray, probabilities: np.ndarray) -> None:
        """Shown in the place of `channel`, of each region in turn, where it was found and its probabilities."""


def class_ids(
    channels: Iterator[np.ndarray], task: Task, threshold: float, seen: MaskObserver | None = None
) -> np.ndarray:
    """Class ids, of the smallest type that holds them, from the channels that decide.

    Args:
        channels: probabilities in float32, of the foreground alone where the task is binary, of each region where it
            has such, else of each class.
        task: that is solved.
        threshold: above which a pixel of a binary task is foreground, or within a region.
        seen: shown what was decided, and how probable it was.
    """
    dtype = np.min_scalar_type(task.classes - 1)
    if task.binary:
        foreground = next(channels)
        inside = foreground > threshold
        ids: np.ndarray = inside.view(dtype)
        if seen:
            seen.binary(ids, foreground)
        return ids
    decided = _painted(channels, task, threshold, seen) if task.regions else _most_probable(channels, dtype, seen)
    ids, best = decided
    if seen:
        seen.mask(ids, best)
    return ids


def _painted(
    channels: Iterator[np.ndarray], task: Task, threshold: float, seen: MaskObserver | None
) -> tuple[np.ndarray, np.ndarray]:
    """Each region painted over the background and those before it, and how probable the least sure of a pixel's
    regions is to be as it was decided; the latter only for `seen`."""
    best, ids = np.empty(0, np.float32), np.empty(0, np.uint8)
    for number, (region, channel) in enumerate(zip(task.regions, channels, strict=True)):
        inside = channel > threshold
        if number == 0:
            ids = np.zeros(channel.shape, np.min_scalar_type(task.classes - 1))
        ids[inside] = region.paints
        if seen:
            seen.region(number, inside, channel)
            sure = np.where(inside, channel, 1 - channel)
            best = np.minimum(best, sure) if number else sure
    return ids, best


def _most_probable(
    channels: Iterator[np.ndarray], dtype: np.dtype, seen: MaskObserver | None
) -> tuple[np.ndarray, np.ndarray]:
    """Index of the largest of the arrays, the first on a tie, and the largest itself, with one array at a time in
    memory."""
    best, ids = np.empty(0, np.float32), np.empty(0, dtype)
    for class_id, apart in enumerate(channels):
        channel = np.ascontiguousarray(apart)  # once, and not in each of the passes over it
        if seen:
            seen.channel(class_id, channel)
        if class_id == 0:
            best, ids = channel.copy(), np.zeros(channel.shape, dtype)
            continue
        ids[channel > best] = class_id
        np.maximum(best, channel, out=best)
    return ids, best
