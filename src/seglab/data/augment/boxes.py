"""Changes of whole boxes: a box of another sample, boxes without content."""

from __future__ import annotations

import cv2
import numpy as np

MOST_HOLES = 8
HOLE_SIDES = 0.05, 0.2  # share of each side of the image


def paste(
    image: np.ndarray, mask: np.ndarray, other_image: np.ndarray, other_mask: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A copy in which a box shows the other sample, image and mask alike (CutMix, Yun et al. 2019).

    The box holds a share of the volume drawn evenly from 0..1, less what sticks out: its middle lies anywhere.

    Raises:
        ValueError: samples of different shapes.
    """
    if image.shape != other_image.shape or mask.shape != other_mask.shape:
        raise ValueError(f"samples of different shapes: {image.shape}, {other_image.shape}")
    side = rng.random() ** (1 / mask.ndim)
    middles = rng.random(mask.ndim)
    box = tuple(
        slice(max(round((middle - side / 2) * n), 0), min(round((middle + side / 2) * n), n))
        for middle, n in zip(middles, mask.shape, strict=True)
    )
    image, mask = image.copy(), mask.copy()
    image[box], mask[box] = other_image[box], other_mask[box]
    return image, mask


def drop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy of `(*size, C)` with 1 to 8 boxes of its mean in each channel (coarse dropout, DeVries and Taylor 2017).

    Each side is 5 to 20% of the image's. The mask keeps its labels: what is hidden is to be told from around it.
    """
    size = image.shape[:-1]
    image = image.copy()
    mean = cv2.reduce(image.reshape(-1, image.shape[-1]), 0, cv2.REDUCE_AVG)[0]
    for _ in range(int(rng.integers(1, MOST_HOLES + 1))):
        sides = [max(1, round(n * share)) for n, share in zip(size, rng.uniform(*HOLE_SIDES, len(size)), strict=True)]
        starts = [int(rng.integers(0, n - side + 1)) for n, side in zip(size, sides, strict=True)]
        image[tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))] = mean
    return image
