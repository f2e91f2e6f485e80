"""A small image folder of blobs within one another, and their regions: a tumour, its core, what enhances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from seglab.task import Region, Task

REGIONS = {"whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
ORDER = [1, 2, 3]
NESTED = (Region("whole", (1, 2, 3), 1), Region("core", (2, 3), 2), Region("enhancing", (3,), 3))
TASK = Task(2, 1, ("background", "edema", "necrosis", "enhancing"), regions=NESTED)
WORDS = (
    "data=image_folder",
    "data.label_values=[0,1,2,3]",
    "data.regions={whole: [1,2,3], core: [2,3], enhancing: 3}",
    "data.regions_class_order=[1,2,3]",
)


def nested_folder(root: Path, cases: int = 12, side: int = 32) -> Path:
    """Images whose brightness tells the part; every third case has nothing that enhances."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:side, :side]
    for number in range(cases):
        center = rng.uniform(side * 0.4, side * 0.6, 2)
        distance = np.hypot(rows - center[0], columns - center[1])
        mask = np.zeros((side, side), np.uint8)
        for value, radius in ((1, 0.36), (2, 0.24), (3, 0.13)):
            if value < 3 or number % 3:
                mask[distance < radius * side] = value
        image = np.array([20, 90, 150, 220])[mask] + rng.normal(0, 8, mask.shape)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / "images" / f"case{number:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"case{number:02d}.png")
    return root
