"""Volumes in which the place decides the class: blobs all alike, `near` in the half of a bright plate, else `far`.

A patch that does not hold the plate cannot know which half it lies in; the whole volume, seen coarsely, can.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from volumes import save

SHAPE = (96, 40, 40)
WORDS = (
    "data=nifti",
    "data.label_values=[0,1,2]",
    "data.class_names=[background,near,far]",
)


def sided_volumes(root: Path, cases: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> Path:
    """`images` and `labels` below `root`: noise, a plate at one end of the first axis, and eight blobs beyond it."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    for number in range(cases):
        image = rng.normal(100, 10, shape)
        label = np.zeros(shape, np.uint8)
        side = number % 2
        half = shape[0] // 2
        for blob in range(8):
            first = (
                rng.uniform(half // 2 + 4, half - 6) if blob % 2 else rng.uniform(half + 6, shape[0] - half // 2 - 4)
            )
            middle = np.array([first, *(rng.uniform(7, n - 7) for n in shape[1:])])
            where = ((grid - middle) ** 2).sum(axis=-1) <= rng.uniform(3.5, 5.5) ** 2
            label[where] = 1 if (first < half) == (side == 0) else 2
        image[label > 0] += 60
        image[slice(0, 6) if side == 0 else slice(shape[0] - 6, shape[0])] += 60
        save(root / "images" / f"v{number:02d}.nii.gz", image.astype(np.int16), np.diag([1.0, 1.0, 1.0, 1]))
        save(root / "labels" / f"v{number:02d}.nii.gz", label, np.diag([1.0, 1.0, 1.0, 1]))
    return root
