"""Warps of images: affine, elastic and grid, by albumentations. Pixels are taken to be square."""

from __future__ import annotations

import math
import os
import random
import threading
from typing import Any

import numpy as np

# Width of the Gaussian that smooths a deformation, in pixels, and at least in units of its strength: neighbours then
# differ by some 0.14 pixels in how far they move, so that nothing is folded and textures stay what they are.
SMOOTHING_PIXELS, SMOOTHING_PER_STRENGTH = 6.0, 5.0
GRID_STEPS, GRID_LIMIT = 5, 0.3  # cells along each axis; largest relative change of a cell's width
UNIFORM_DEVIATION = 3**-0.5  # of numbers drawn evenly from −1..1


class ImageWarp:
    """Affine, elastic and grid distortion of `(H, W, C)` float32 with its mask; arguments as those of `Augment`.

    Outside of the image lie 0 and the ignore label. Safe to call from several threads, and can be pickled.
    """

    def __init__(
        self,
        ignore_label: int,
        affine: float,
        rotate_degrees: float,
        scale: float,
        shift: float,
        elastic: float,
        elastic_pixels: float,
        grid: float,
    ):
        self._settings = (ignore_label, affine, rotate_degrees, scale, shift, elastic, elastic_pixels, grid)
        # albumentations keeps the generator in its pipeline, which threads must not share.
        self._own = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageWarp, self._settings

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, spacing: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self._own, "pipeline"):
            self._own.pipeline = _pipeline(*self._settings)
        self._own.pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        done = self._own.pipeline(image=np.ascontiguousarray(image), mask=np.ascontiguousarray(mask))
        return done["image"].reshape(image.shape), done["mask"]


def _pipeline(
    ignore_label: int,
    affine: float,
    rotate_degrees: float,
    scale: float,
    shift: float,
    elastic: float,
    elastic_pixels: float,
    grid: float,
) -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its newest version
    import albumentations as A

    border: dict[str, Any] = {"fill": 0, "fill_mask": ignore_label}
    size, move = (1 - scale, 1 + scale), (-shift, shift)
    smoothing = max(SMOOTHING_PIXELS, SMOOTHING_PER_STRENGTH * elastic_pixels)
    # A Gaussian of this width leaves 1 / (2 √π smoothing) of the deviation of independent numbers in 2D.
    alpha = elastic_pixels * 2 * math.sqrt(math.pi) * smoothing / UNIFORM_DEVIATION
    return A.Compose(
        [
            A.Affine(
                rotate=(-rotate_degrees, rotate_degrees),
                scale={"x": size, "y": size},
                translate_percent={"x": move, "y": move},
                keep_ratio=True,
                p=affine,
                **border,
            ),
            A.ElasticTransform(alpha=alpha, sigma=smoothing, noise_distribution="uniform", p=elastic, **border),
            A.GridDistortion(num_steps=GRID_STEPS, distort_limit=GRID_LIMIT, p=grid, **border),
        ]
    )
