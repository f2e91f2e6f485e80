"""Bringing images and masks to the input size of a model: resize, letterbox, pad, cut. Ranks 2 and 3, no randomness.

Images are `(…, C)`, masks are class ids without a channel axis. New border in an image is 0 (the mean after `standard`,
`zscore` and `window`), so it is added after normalisation; in a mask it is the ignore label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np
from scipy import sparse

# What OpenCV averages: number types, and channels in one array.
_OPENCV_TYPES = (np.uint8, np.uint16, np.float32)
_OPENCV_CHANNELS = 4
# Pixels and classes that are counted in one go when a mask is resized: some tens of megabytes.
VOTES_AT_ONCE = 1 << 20
# What its other functions take in one array: 128 channels since version 5, 512 before.
CHANNELS_AT_ONCE = 64


def resize_image(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """`(…, C)` to `(*size, C)`, each axis for itself: linear interpolation where it grows, the mean over each new pixel
    where it shrinks. Pixel centres lie half a pixel in; beyond the outermost, their value goes on.

    8 and 16 bit images keep their type and are rounded (to within 1), every other type becomes float32. Planes go
    through OpenCV, which is many times as fast as a matrix product and does the same.
    """
    if image.dtype not in _OPENCV_TYPES:
        image = image.astype(np.float32)
    if image.ndim == 3 and image.shape[-1] <= _OPENCV_CHANNELS:
        return _resize_plane(image, *size)
    resized = image
    for axis, (old, new) in enumerate(zip(image.shape[:-1], size, strict=True)):
        if old != new:
            resized = along_axis(resizing(old, new), resized, axis)
    if image.dtype.kind == "u":
        resized = np.round(resized).astype(image.dtype)
    return np.ascontiguousarray(resized)


def _resize_plane(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Two passes where one axis shrinks and the other grows: OpenCV would interpolate both."""
    image = np.ascontiguousarray(image)
    channels = image.shape[-1]
    smaller = min(height, image.shape[0]), min(width, image.shape[1])
    for size, way in ((smaller, cv2.INTER_AREA), ((height, width), cv2.INTER_LINEAR)):
        if image.shape[:2] != size:
            image = cv2.resize(image, size[::-1], interpolation=way).reshape(*size, channels)
    return image


def along_axis(matrix: sparse.csr_array, array: np.ndarray, axis: int) -> np.ndarray:
    """The product of `(new, old)` with every line of the array along an axis that is `old` long."""
    lines = np.moveaxis(array, axis, 0)
    made = matrix @ np.ascontiguousarray(lines).reshape(len(lines), -1)
    return np.moveaxis(made.reshape(-1, *lines.shape[1:]), 0, axis)


def resizing(old: int, new: int) -> sparse.csr_array:
    """`(new, old)`: what `resize_image` does along an axis, as the share of each old pixel; rows sum to 1."""
    if new < old:
        edges, pixels = np.arange(new + 1) * (old / new), np.arange(old)
        reach = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        return sparse.csr_array((np.maximum(reach, 0) * (new / old)).astype(np.float32))
    return interpolation(old, new)


def interpolation(old: int, new: int) -> sparse.csr_array:
    """`(new, old)`: linear interpolation at the centres of the new pixels, over the same extent."""
    at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    low = at.astype(int)
    share = (at - low).astype(np.float32)
    columns = np.stack([low, np.minimum(low + 1, old - 1)], axis=1)
    rows = np.repeat(np.arange(new), 2)
    return sparse.csr_array((np.stack([1 - share, share], axis=1).ravel(), (rows, columns.ravel())), shape=(new, old))


def resize_mask(mask: np.ndarray, size: Sequence[int], ignore_label: int) -> np.ndarray:
    """Class ids on another grid over the same extent: each new pixel takes the class that most of it holds.

    Along an axis that shrinks, an old pixel counts with the part of it that lies in the new one; along an axis that
    grows, the old pixel counts that the new one's centre lies in, two of them half each where it lies on their edge.
    Nothing is shifted, and a mask that is flipped first comes out flipped:

    - a new pixel is ignored where more than half of it is; else what is ignored has no vote;
    - of classes with equal parts the one with fewer pixels in the whole mask wins, of equal ones the higher id, so that
      what is thin (one pixel of two) stays.

    Counts are whole numbers, so that equal parts are equal. Memory beside the mask is bounded, however many classes.

    Args:
        mask: `(…)` class ids of any integer type, none negative.
        size: the new shape.
        ignore_label: what stands for no class.

    Returns:
        `(*size)` of the mask's type; the mask itself where it has that size.
    """
    if mask.shape == tuple(size):
        return mask
    footprints = [_footprint(old, new) for old, new in zip(mask.shape, size, strict=True)]
    resized, mixed = mask, np.zeros(mask.shape, bool)
    for axis, (pixels, _) in enumerate(footprints):
        first, several = (array.take(pixels[:, 0], axis) for array in (resized, mixed))
        for others in pixels.T[1:]:
            several |= mixed.take(others, axis)
            several |= resized.take(others, axis) != first
        resized, mixed = first, several
    places = np.nonzero(mixed)  # the rest hold one id, which they have by now
    if len(places[0]):
        resized[places] = _majority(mask, footprints, places, ignore_label)
    return resized


def _footprint(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """The old pixels that count in each new one along an axis, `(new, n)`, and how much, in whole numbers: float64
    `(new, n)` whose rows have one sum. Rows with fewer pixels name their last one again, with 0."""
    step = math.gcd(old, new)
    old_parts, new_parts = old // step, new // step  # a new pixel is as long as old_parts, an old one as new_parts
    at = np.arange(new)
    if new < old:
        first, end = at * old_parts // new_parts, -(-(at + 1) * old_parts // new_parts)
        pixels = np.minimum(first[:, None] + np.arange((end - first).max()), end[:, None] - 1)
        reach = np.minimum((at[:, None] + 1) * old_parts, (pixels + 1) * new_parts)
        weights = reach - np.maximum(at[:, None] * old_parts, pixels * new_parts)
        weights[:, 1:][pixels[:, 1:] == pixels[:, :-1]] = 0
        return pixels, weights.astype(float)
    centre = (2 * at + 1) * old_parts
    pixel, on_edge = centre // (2 * new_parts), centre % (2 * new_parts) == 0
    if not on_edge.any():
        return pixel[:, None], np.ones((new, 1))
    return np.stack([pixel - on_edge, pixel], axis=1), np.where(on_edge, 1.0, [[0.0], [2.0]]).T


def _majority(
    mask: np.ndarray,
    footprints: Sequence[tuple[np.ndarray, np.ndarray]],
    places: Sequence[np.ndarray],
    ignore_label: int,
) -> np.ndarray:
    """The ids of new pixels at `places` that hold several, by the rule of `resize_mask`."""
    most, flat = int(mask.max()) + 1, mask.reshape(-1)
    pixels = np.zeros(most, np.int64)
    for start in range(0, len(flat), VOTES_AT_ONCE):
        pixels += np.bincount(flat[start : start + VOTES_AT_ONCE], minlength=most)
    found = [int(k) for k in np.flatnonzero(pixels) if k != ignore_label]
    # The first of the largest wins, so the rarest comes first; what is ignored comes last and has a rule of its own.
    classes = np.array([*sorted(found, key=lambda k: (pixels[k], -k)), ignore_label])
    column = np.zeros(max(most, ignore_label + 1), np.intp)
    column[classes] = np.arange(len(classes))
    rank, count = mask.ndim, len(places[0])
    winners = np.empty(count, mask.dtype)
    held = math.prod(index.shape[1] for index, _ in footprints)
    step = max(1, VOTES_AT_ONCE // max(held, len(classes)))
    for start in range(0, count, step):
        chunk = slice(start, start + step)
        where, weight = [], np.ones((1,) * (rank + 1))
        for axis, (index, share) in enumerate(footprints):
            row = places[axis][chunk]
            form = (len(row), *(-1 if other == axis else 1 for other in range(rank)))
            where.append(index[row].reshape(form))
            weight = weight * share[row].reshape(form)
        key = column[mask[tuple(where)]].reshape(len(weight), -1)
        key += np.arange(len(weight))[:, None] * len(classes)
        votes = np.bincount(key.ravel(), weight.ravel(), len(weight) * len(classes)).reshape(-1, len(classes))
        winner = classes[votes[:, :-1].argmax(axis=1)]
        winners[chunk] = np.where(2 * votes[:, -1] > votes.sum(axis=1), ignore_label, winner)
    return winners


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


def letterbox_shape(spatial: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """The largest shape of the proportions of `spatial` (to a pixel) that fits into `size`; no side below 1."""
    factor = min(new / old for old, new in zip(spatial, size, strict=True))
    return tuple(min(new, max(1, round(old * factor))) for old, new in zip(spatial, size, strict=True))


def letterbox_mask(mask: np.ndarray, size: Sequence[int], ignore_label: int) -> np.ndarray:
    """The whole mask in the middle of `size`, its proportions kept: `resize_mask`, `ignore_label` around it.

    An image is normalised between the two steps: `resize_image` to `letterbox_shape`, later `cut` at `pad_start`.
    """
    inner = resize_mask(mask, letterbox_shape(mask.shape, size), ignore_label)
    return cut(inner, pad_start(inner.shape, size), size, ignore_label)


def unletterbox(channel: np.ndarray, spatial: Sequence[int]) -> np.ndarray:
    """The part of `size` that an image of `spatial` size was placed at, resized back to `spatial`.

    Args:
        channel: `(*size)` float32, such as the probability of one class.
        spatial: size of the original image.
    """
    inner = letterbox_shape(spatial, channel.shape)
    placed = cut(channel, [-start for start in pad_start(inner, channel.shape)], inner, 0)
    return resize_image(placed[..., None], spatial)[..., 0]


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
