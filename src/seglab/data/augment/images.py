"""Warps of images: affine, elastic and grid, by albumentations. Pixels are taken to be square."""

from __future__ import annotations

import os
import random
import threading
from typing import Any

import numpy as np

from seglab.data.augment.splines import SPLINE_DEVIATION, control_distance, spline_basis, spread

GRID_STEPS, GRID_LIMIT = 5, 0.3  # cells along each axis; largest relative change of a cell's width


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

    class Bending(A.ElasticTransform):  # type: ignore[misc]
        """Elastic deformation by cubic B-splines, whose strength `alpha` is a standard deviation in pixels.

        The smoothed noise of the parent is several times as strong along the edges as within, and tears them.
        """

        def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
            rows, columns = np.indices(params["shape"][:2], dtype=np.float32, sparse=True)
            bases = [spline_basis(n, 1 / control_distance(self.alpha)) for n in params["shape"][:2]]
            size = 2, *(basis.shape[1] for basis in bases)
            field = self.random_generator.standard_normal(size, dtype=np.float32)
            down, right = spread(field * np.float32(self.alpha / SPLINE_DEVIATION**2), *bases)
            return {"map_x": right + columns, "map_y": down + rows}

    border: dict[str, Any] = {"fill": 0, "fill_mask": ignore_label}
    size, move = (1 - scale, 1 + scale), (-shift, shift)
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
            Bending(alpha=elastic_pixels, p=elastic, **border),
            A.GridDistortion(num_steps=GRID_STEPS, distort_limit=GRID_LIMIT, p=grid, **border),
        ]
    )
