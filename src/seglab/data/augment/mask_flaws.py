"""Random flaws of a first stage's mask, so that the second stage does not trust it blindly.

In training the masks come from networks that are about as good as those met later, but a second stage that copies them
learns little. The flaws are nnU-Net's (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z): classes grow,
shrink, or lose what is thin, and small connected parts are missing. Steps are in voxels, as there.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

CHANGED = 0.4
"""Probability that the classes of a sample are grown, shrunk, opened or closed."""
LARGEST_RADIUS = 8
PARTS_LOST = 0.2
"""Probability that a connected part of each class is taken away,"""
LARGEST_LOST = 0.15
"""where it is at most so large a share of the sample."""


def roughened(mask: np.ndarray, foreground: int, rng: np.random.Generator) -> np.ndarray:
    """A copy of class ids `(*size)` with flaws; classes 1 to `foreground` in a random order, later ones over others."""
    mask = mask.copy()
    if rng.random() < CHANGED:
        for k in rng.permutation(np.arange(1, foreground + 1)):
            _reshape(mask, k, rng)
    if rng.random() < PARTS_LOST:
        for k in range(1, foreground + 1):
            _lose_part(mask, k, rng)
    return mask


def _reshape(mask: np.ndarray, k: int, rng: np.random.Generator) -> None:
    """Dilate, erode, open or close a class by a ball."""
    kind, radius = int(rng.integers(4)), float(rng.uniform(1, LARGEST_RADIUS))
    of_class = mask == k
    if not of_class.any() or of_class.all():
        return
    grow, shrink = _dilated, _eroded
    steps = ((grow,), (shrink,), (shrink, grow), (grow, shrink))[kind]
    found = of_class
    for one in steps:
        found = one(found, radius)
    mask[of_class & ~found] = 0
    mask[found] = k


def _dilated(where: np.ndarray, radius: float) -> np.ndarray:
    if not where.any():
        return where
    grown: np.ndarray = ndimage.distance_transform_edt(~where) <= radius
    return grown


def _eroded(where: np.ndarray, radius: float) -> np.ndarray:
    return ~_dilated(~where, radius)


def _lose_part(mask: np.ndarray, k: int, rng: np.random.Generator) -> None:
    parts, count = ndimage.label(mask == k)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    small = np.flatnonzero(sizes <= LARGEST_LOST * mask.size)
    if len(small):
        mask[parts == 1 + small[rng.integers(len(small))]] = 0
