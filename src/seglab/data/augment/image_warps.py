"""Warps of images: affine, elastic and grid, by albumentations. Pixels are taken to be square."""

from __future__ import annotations

import os
import random
import threading
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from seglab.data.augment.splines import SPLINE_DEVIATION, control_distance, spline_basis, spread
from seglab.data.augment.warp import GRID_LIMIT, GRID_STEPS, Warp


@dataclass
class ImageWarp(Warp):
    """`Warp` of `(H, W, C)`. Safe to call from several threads, and can be pickled."""

    def __post_init__(self) -> None:
        # albumentations keeps the generator in its pipeline, which threads must not share.
        self._own = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageWarp, astuple(self)

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, spacing: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self._own, "pipeline"):
            self._own.pipeline = _pipeline(self)
        self._own.pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        done = self._own.pipeline(image=np.ascontiguousarray(image), mask=np.ascontiguousarray(mask))
        return done["image"].reshape(image.shape), done["mask"]


def _pipeline(warp: Warp) -> Any:
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

    border: dict[str, Any] = {"fill": 0, "fill_mask": warp.ignore_label}
    size, move = (1 - warp.scale, 1 + warp.scale), (-warp.shift, warp.shift)
    return A.Compose(
        [
            A.Affine(
                rotate=(-warp.rotate_degrees, warp.rotate_degrees),
                scale={"x": size, "y": size},
                translate_percent={"x": move, "y": move},
                keep_ratio=True,
                p=warp.affine,
                **border,
            ),
            Bending(alpha=warp.elastic_pixels, p=warp.elastic, **border),
            A.GridDistortion(num_steps=GRID_STEPS, distort_limit=GRID_LIMIT, p=warp.grid, **border),
        ]
    )
