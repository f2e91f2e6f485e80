"""What is written beside a mask when it is asked for: a picture, and the probabilities of all classes or regions."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image, PngImagePlugin

from seglab.inference.mask_writer import MARK, check_targets, nifti_difference, nifti_like, write_whole
from seglab.task import Task


def write_picture(path: Path, picture: np.ndarray, *, replace: bool = True) -> Path:
    """Write `(H, W, 3)` uint8 as a PNG; raises as `write_mask`."""
    check_targets([path])
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", MARK)
    return write_whole(
        path, lambda partial: Image.fromarray(picture).save(partial, pnginfo=mark), lambda _: "", replace=replace
    )


def write_probabilities(
    path: Path, probabilities: np.ndarray, task: Task, like: Path | None = None, *, replace: bool = True
) -> Path:
    """Write the probabilities of all classes or regions, rounded to float16 (three digits).

    Those of classes sum to 1 ± 0.002 over a pixel. Those of regions, which may overlap, sum to anything from 0 to K.

    Args:
        path: `.npz` for an image: `probabilities` `(H, W, K)` float16 and `classes`, the K names, `Task.score_names`;
            `.nii.gz` for a volume: K numbers a voxel along the fourth axis, in the image's axis order and geometry, in
            float32, as NIfTI has no float16.
        probabilities: `(H, W, K)`, or `(X, Y, Z, K)` in RAS order, in the order of `Task.score_names`.
        task: with the names.
        like: the NIfTI file that a volume was read from.
        replace: as of `write_mask`.

    Raises:
        DataError: as `write_mask`.
    """
    check_targets([path])
    rounded = probabilities.astype(np.float16)
    if task.rank == 3:
        image, original = nifti_like(rounded.astype(np.float32), like, path)
        return write_whole(
            path,
            lambda partial: nib.save(image, partial),
            lambda partial: nifti_difference(partial, image, original),
            replace=replace,
        )

    def difference(partial: Path) -> str:
        with np.load(partial) as arrays:
            return "" if np.array_equal(arrays["probabilities"], rounded) else "other numbers"

    names = np.array(task.score_names)
    return write_whole(
        path,
        lambda partial: np.savez_compressed(partial, probabilities=rounded, classes=names, written_by=np.array(MARK)),
        difference,
        replace=replace,
    )
