"""Bringing images and masks to the input size of a model: resize, pad, cut. Ranks 2 and 3, no randomness.

Images are float32 `(…, C)` after normalisation, masks are class ids without a channel axis. New border in an image is 0
(the mean after `standard` and `zscore`), in a mask it is the ignore label.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy import sparse


def resize_image(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """`(…, C)` float32 to `(*size, C)`, each axis for itself: linear interpolation where it grows, the mean over each
    new pixel where it shrinks. Pixel centres lie half a pixel in; beyond the outermost, their value goes on."""
    for axis, (old, new) in enumerate(zip(image.shape[:-1], size, strict=True)):
        if old != new:
            lines = np.moveaxis(image, axis, 0)
            resized = _resizing(old, new) @ np.ascontiguousarray(lines).reshape(old, -1)
            image = np.moveaxis(resized.reshape(new, *lines.shape[1:]), 0, axis)
    return np.ascontiguousarray(image)


def _resizing(old: int, new: int) -> sparse.csr_array:
    """The share `(new, old)` of each old pixel in each new one; rows sum to 1."""
    if new < old:
        edges, pixels = np.arange(new + 1) * (old / new), np.arange(old)
        reach = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        return sparse.csr_array((np.maximum(reach, 0) * (new / old)).astype(np.float32))
    at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = at.astype(int)
    share = (at - low).astype(np.float32)
    columns = np.stack([low, np.minimum(low + 1, old - 1)], axis=1)
    rows = np.repeat(np.arange(new), 2)
    return sparse.csr_array((np.stack([1 - share, share], axis=1).ravel(), (rows, columns.ravel())), shape=(new, old))


def resize_mask(mask: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Nearest neighbour to `size`: each new pixel takes the old one that its centre lies in."""
    if mask.shape == tuple(size):
        return mask
    index = [
        np.minimum(((np.arange(new) + 0.5) * (old / new)).astype(int), old - 1)
        for old, new in zip(mask.shape, size, strict=True)
    ]
    return mask[np.ix_(*index)]


def pad_start(shape: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """Where `size` starts, in coordinates of an array of `shape`, for the array to lie in its middle (≤ 0)."""
    return tuple(-((new - old) // 2) for old, new in zip(shape, size, strict=True))


def cut(array: np.ndarray, start: Sequence[int], size: Sequence[int], fill: float) -> np.ndarray:
    """The box of `size` at `start`; `fill` where it leaves the array. Axes beyond `size` (channels) stay whole.

    Inside the array this is a view, otherwise a new array.
    """
    pairs = list(zip(start, size, array.shape, strict=False))
    inside = tuple(slice(max(s, 0), min(s + n, full)) for s, n, full in pairs)
    part = array[inside]
    if part.shape[: len(pairs)] == tuple(size):
        return part
    out = np.full((*size, *array.shape[len(pairs) :]), fill, array.dtype)
    out[tuple(slice(max(-s, 0), max(-s, 0) + p) for (s, _, _), p in zip(pairs, part.shape, strict=False))] = part
    return out


def grid_starts(shape: Sequence[int], size: Sequence[int]) -> list[tuple[int, ...]]:
    """Starts of boxes that cover an array: side by side, the last of an axis moved back inside.

    An axis shorter than the box has one start, with the array in the middle of the box.
    """
    axes = []
    for full, n in zip(shape, size, strict=True):
        if full <= n:
            axes.append([-((n - full) // 2)])
        else:
            axes.append([min(i * n, full - n) for i in range(-(-full // n))])
    return list(product(*axes))


def hide_covered(mask: np.ndarray, start: Sequence[int], ignore_label: int) -> np.ndarray:
    """The mask of a box from `grid_starts` with `ignore_label` where the box before it lies, so that over the whole
    grid every pixel counts exactly once."""
    covered = np.zeros(mask.shape, bool)
    for axis, (s, n) in enumerate(zip(start, mask.shape, strict=True)):
        # Only the last box of an axis was moved: it starts off the multiples of its size.
        overlap = -s % n if s > 0 else 0
        covered[(slice(None),) * axis + (slice(0, overlap),)] = True
    return np.where(covered, np.asarray(ignore_label, mask.dtype), mask) if covered.any() else mask
