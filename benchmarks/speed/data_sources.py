"""What the data benchmarks read: written once into a folder, the same files for seglab and its peers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from seglab.data.cases import Case, Sample
from seglab.task import Task

SCENE, INPUT = (1024, 2048), (256, 512)
VOLUME, PATCH = (80, 80, 80), (64, 64, 64)
CLASSES = 8
DISTINCT = 24


def write_scenes(root: Path, count: int) -> None:
    """Image folder of PNGs of Cityscapes' size: smooth shapes with a little noise, some 3 MB each, as photographs.

    `DISTINCT` of them differ; the others are further names of the same files.
    """
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for n in range(DISTINCT, count):
        for folder in ("images", "masks"):
            (root / folder / f"{n:04d}.png").symlink_to(f"{n % DISTINCT:04d}.png")
    for n in range(min(count, DISTINCT)):
        smooth = cv2.resize(
            rng.integers(0, 256, (16, 32, 3), dtype=np.uint8), SCENE[::-1], interpolation=cv2.INTER_CUBIC
        )
        noisy = np.clip(smooth.astype(np.int16) + rng.integers(-4, 5, smooth.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"{n:04d}.png"), noisy)
        blocks = cv2.resize(
            rng.integers(0, CLASSES, (16, 32), dtype=np.uint8), SCENE[::-1], interpolation=cv2.INTER_NEAREST
        )
        cv2.imwrite(str(root / "masks" / f"{n:04d}.png"), blocks)


def write_volumes(root: Path, count: int) -> None:
    """`<n>.image.npy` float32 `(X, Y, Z, 1)` and `<n>.mask.npy` with a ball of class 1."""
    root.mkdir(parents=True, exist_ok=True)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in VOLUME), indexing="ij"))
    for n in range(count):
        rng = np.random.default_rng(n)
        middle = rng.integers(20, 60, (3, 1, 1, 1))
        mask = (np.square(grid - middle).sum(axis=0) < 14**2).astype(np.uint8)
        image = (mask * 80 + rng.normal(100, 20, VOLUME)).astype(np.float32)
        np.save(root / f"{n:04d}.image.npy", image[..., None])
        np.save(root / f"{n:04d}.mask.npy", mask)


class Volumes:
    """The source of `write_volumes`."""

    def __init__(self, root: Path):
        self.name, self.split = "volumes", None
        self.task = Task(3, 1, ("background", "object"))
        images = sorted(root.glob("*.image.npy"))
        self.cases = [Case(p.name[:4], (str(p),), str(p).replace(".image", ".mask"), p.name[:4]) for p in images]

    def read_image(self, case: Case) -> Sample:
        """The image alone."""
        return Sample(np.load(case.image[0]), None, (1.0, 1.0, 1.0))

    def read(self, case: Case) -> Sample:
        """Image and mask."""
        return Sample(np.load(case.image[0]), np.load(str(case.label)), (1.0, 1.0, 1.0))

    def describe_files(self, case: Case) -> str:
        """The image's path."""
        return case.image[0]

    def digest(self) -> str:
        """Of the number of cases: they are made from their numbers."""
        return f"volumes {len(self.cases)}"
