"""Where the next click goes: into the middle of the largest error.

The rule is that of RITM (Sofiiuk et al. 2021, https://arxiv.org/abs/2102.06583): of what is missing and of what is too
much, the part that reaches deeper is the larger error (of equals, what is too much), and its deepest point is clicked.
Depth is the distance to what is no such error, the outside of the image included.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage


class Click(NamedTuple):
    """One click.

    Attributes:
        place: index of the pixel or voxel, one number for each axis.
        label: 1 on the object, 0 on the background.
    """

    place: tuple[int, ...]
    label: int


def depth(region: np.ndarray) -> np.ndarray:
    """Distance of each pixel or voxel of a boolean region to the outside of it, in pixels; float32, 0 outside."""
    padded = np.pad(region, 1)
    if region.ndim == 2:
        found = cv2.distanceTransform(padded.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    else:
        found = ndimage.distance_transform_edt(padded).astype(np.float32)
    inner: np.ndarray = found[(slice(1, -1),) * region.ndim]
    return inner


def error_click(
    missing: np.ndarray, too_much: np.ndarray, rng: np.random.Generator, taken: np.ndarray | None = None
) -> Click | None:
    """A click into the larger of two errors, where a hand might put it: not always into the very middle.

    Args:
        missing: boolean, pixels of the object that the mask lacks.
        too_much: boolean, pixels of the mask that are not the object's.
        rng: draws how far from the middle: the click is as deep as a share of the deepest, from 0.4 to 1.
        taken: boolean, pixels that have been clicked before.

    Returns:
        The click; None where there is no error left.
    """
    free = True if taken is None else ~taken
    depths = [depth(region) * free for region in (missing, too_much)]
    deepest = [float(found.max()) for found in depths]
    label = int(deepest[0] > deepest[1])
    found, most = depths[1 - label], deepest[1 - label]
    if most <= 0:
        return None
    places = np.flatnonzero(found >= most * rng.uniform(0.4, 1.0))
    place = np.unravel_index(int(places[rng.integers(len(places))]), missing.shape)
    return Click(tuple(int(at) for at in place), label)
