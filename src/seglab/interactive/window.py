"""The part of an image that a click is about, at a working size, and the way of a mask back from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seglab.interactive.prompt import CERTAIN, Bools, Floats, Logits, inside

Image = npt.NDArray[np.uint8]
MARGIN = 0.5  # of surroundings, by the longer side of what is looked at
_SIDE = 2  # pixels on each side of a border that are looked at
_FEWEST_BESIDE = 4  # of them in all
FEWEST = 6.0  # pixels of surroundings


@dataclass(frozen=True)
class Window:
    """A part of the image at its working size, with how a coordinate of the image is found in it."""

    rows: slice
    columns: slice
    scale: float  # working pixels a pixel, 1 at most
    shape: tuple[int, int]

    def centres(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Where the working pixels lie in the image: x and y of their centres."""
        rows, columns = np.indices(self.shape)
        x = (columns + 0.5) / self.scale - 0.5 + self.columns.start
        return x, (rows + 0.5) / self.scale - 0.5 + self.rows.start

    def place(self, points: Floats) -> npt.NDArray[np.int64]:
        """`(N, 2)` rows and columns in the window of points `x, y`, moved to its edge where they lie beyond."""
        at = (points[:, ::-1] + 0.5 - (self.rows.start, self.columns.start)) * self.scale
        return np.clip(np.floor(at), 0, np.asarray(self.shape) - 1).astype(np.int64)


def window_around(shape: tuple[int, ...], region: Floats, side: int) -> Window:
    """The region with a margin of surroundings, cut to the image, `side` working pixels long at most."""
    more = max(MARGIN * longest(region), FEWEST)
    rows, columns = inside(_cut_to(region + np.repeat([-more, more], 2), shape), shape)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    scale = min(1.0, side / max(height, width))
    return Window(rows, columns, scale, (max(round(height * scale), 1), max(round(width * scale), 1)))


def longest(box: Floats) -> float:
    """The longer side of a box."""
    return float(max(box[2] - box[0], box[3] - box[1]))


def _cut_to(box: Floats, shape: tuple[int, ...]) -> Floats:
    size = np.asarray(shape[::-1]) - 0.5
    return np.concatenate([np.clip(box[:2], -0.5, size - 0.5), np.clip(box[2:], 0.0, size)])


def reduced(part: Image, shape: tuple[int, int]) -> Image:
    """The part of the image at its working size; of a grey one with its local mean and contrast."""
    work: Any = cv2.resize(part, shape[::-1], interpolation=cv2.INTER_AREA) if part.shape[:2] != shape else part.copy()
    grey = work[..., 0]
    if (grey == work[..., 1]).all() and (grey == work[..., 2]).all():
        values = grey.astype(np.float32)
        mean = cv2.GaussianBlur(values, (0, 0), 2)
        contrast = np.sqrt(np.maximum(cv2.GaussianBlur(values * values, (0, 0), 2) - mean * mean, 0))
        work = np.stack(
            [mean, cv2.GaussianBlur(values, (0, 0), 1.2), np.minimum(4 * cv2.GaussianBlur(contrast, (0, 0), 1), 255)],
            -1,
        )
    return np.ascontiguousarray(work, np.uint8)


def border_contrast(work: Image, mask: Bools) -> float:
    """How far the mean colours on the two sides of a mask's border are apart, in standard deviations of the sides; of
    the channel that tells most. 0 where a side has no room."""
    filled, disk = mask.astype(np.uint8), np.ones((2 * _SIDE + 1, 2 * _SIDE + 1), np.uint8)
    within = mask & (cv2.erode(filled, disk, borderValue=1) == 0)
    beside = (cv2.dilate(filled, disk) > 0) & ~mask
    if min(int(within.sum()), int(beside.sum())) < _FEWEST_BESIDE:
        return 0.0
    one, other = work[within].astype(np.float64), work[beside].astype(np.float64)
    spread = np.sqrt((one.var(0) + other.var(0)) / 2 + 1.0)  # grey values are whole numbers: none is surer than by one
    return float((np.abs(one.mean(0) - other.mean(0)) / spread).max())


def enlarged(where: Bools, window: Window) -> Bools:
    """A mask of the window at the image's own resolution."""
    size = (window.columns.stop - window.columns.start, window.rows.stop - window.rows.start)
    found: Bools = cv2.resize(where.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return found


def signed_distance(mask: Bools, window: Window) -> Logits:
    """Distance to the mask's border in pixels of the image, above 0 inside, at the image's own resolution."""
    if mask.all() or not mask.any():  # a border that is nowhere is infinitely far
        distance: Any = np.full(mask.shape, CERTAIN if mask.all() else -CERTAIN, np.float32)
    else:
        ring = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        within = cv2.distanceTransform(ring, cv2.DIST_L2, 5)
        beside = cv2.distanceTransform(1 - ring, cv2.DIST_L2, 5)
        distance = np.where(ring, within - 0.5, 0.5 - beside)[1:-1, 1:-1].astype(np.float32) / window.scale
    size = (window.columns.stop - window.columns.start, window.rows.stop - window.rows.start)
    if size != window.shape[::-1]:
        distance = cv2.resize(distance, size, interpolation=cv2.INTER_LINEAR)
    clipped: Logits = np.clip(distance, -CERTAIN, CERTAIN, out=distance)
    return clipped
