"""A small image and its label as NIfTI files in two folders."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

RNG = np.random.default_rng(0)
SHAPE = (4, 5, 6)
AFFINE = np.diag([0.5, 0.8, 5.0, 1])
IMAGE = RNG.integers(0, 4000, SHAPE).astype(np.int16)
LABEL = RNG.integers(0, 2, SHAPE).astype(np.uint8)


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def folders(root: Path, names: tuple[str, ...] = ("case_2", "case_10"), image: str = "{}.nii.gz") -> Path:
    """`images` and `labels` below `root`; `image` is the name of an image file."""
    for name in names:
        save(root / "images" / image.format(name), IMAGE)
        save(root / "labels" / f"{name}.nii.gz", LABEL)
    return root
