"""Bringing images and masks to the input size of a model: resize, pad, cut. Ranks 2 and 3, no randomness.

Images are float32 `(…, C)` after normalisation, masks are class ids without a channel axis. New border in an image is 0
(the mean after `standard` and `zscore`), in a mask it is the ignore label.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np
from scipy import ndimage


def resize_image(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Linear interpolation to `size`, pixel centres half a pixel in; where 2D shrinks, the mean over each new pixel."""
    shape, size = image.shape[:-1], tuple(size)
    if shape == size:
        return image
    if len(size) == 2:
        shrinks = size[0] <= shape[0] and size[1] <= shape[1]
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        channels = [cv2.resize(image[..., c], size[::-1], interpolation=way) for c in range(image.shape[-1])]
        return np.stack(channels, axis=-1)
    factors = [new / old for new, old in zip(size, shape, strict=True)]
    resized = [
        ndimage.zoom(image[..., c], factors, order=1, mode="nearest", grid_mode=True) for c in range(image.shape[-1])
    ]
    return np.stack(resized, axis=-1).astype(image.dtype, copy=False)


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
