"""What warps of images and of volumes have in common: their settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

GRID_STEPS, GRID_LIMIT = 5, 0.3  # cells along each axis; largest relative change of a cell's width


@dataclass
class Warp(ABC):
    """Affine, elastic and grid distortion; the settings are those of `Augment`.

    Linear interpolation of the image, nearest neighbour of the mask; outside lie 0 and the ignore label.
    """

    ignore_label: int
    affine: float
    rotate_degrees: float
    scale: float
    shift: float
    elastic: float
    elastic_pixels: float
    grid: float

    @abstractmethod
    def __call__(
        self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, spacing: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """A changed copy of an image `(*size, C)` float32 and its mask `(*size)`; `spacing` along each axis."""
