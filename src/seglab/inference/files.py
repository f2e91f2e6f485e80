"""Files in, mask files out: what the predict command does."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from seglab.data.image_files import IMAGE_ENDINGS, read_image_file
from seglab.errors import DataError
from seglab.inference.predictor import Predictor
from seglab.inference.writing import NIFTI, write_mask

# What nibabel and the decompressor raise on damaged files.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
)


def predict_files(
    predictor: Predictor,
    files: Sequence[Path | str],
    out: Path | str,
    *,
    values: Sequence[int] | None = None,
    progress: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Writes the mask of each image file into the folder `out`, under the image's name.

    A 2D image (PNG, JPEG, TIFF) gives a PNG of its size; a volume (NIfTI) a NIfTI file in its own axis order, affine
    and codes. One image is in memory at a time.

    Args:
        predictor: of the files' rank and channels.
        files: images to predict.
        out: folder to write to; made when missing. A mask that is there is replaced.
        values: the value to store for each class id; the ids themselves when None.
        progress: told the path of each mask that was written.

    Returns:
        The masks' paths, in the order of `files`.

    Raises:
        DataError: before anything is predicted, two images of one name, an image that would be overwritten, a file of
            an unknown kind, or values that do not fit the classes; later, a file that cannot be used.
    """
    targets = _targets([Path(file) for file in files], Path(out), predictor.task.rank)
    if values is not None and len(values) != predictor.task.classes:
        raise DataError(
            "values that do not fit the classes of the model",
            where="values",
            found=list(values),
            expected=f"{predictor.task.classes} values, for {', '.join(predictor.task.class_names)}",
        )
    for file, target in targets.items():
        volume = predictor.task.rank == 3
        try:
            mask = predictor.predict(_read_volume(file) if volume else read_image_file(file))
        except DataError as error:
            if str(file) in str(error):
                raise
            raise DataError(
                error.what, where=str(file), found=error.found, expected=error.expected, remedy=error.remedy
            ) from error
        write_mask(target, mask, like=file if volume else None, values=values)
        if progress:
            progress(target)
    return list(targets.values())


def _targets(files: Sequence[Path], out: Path, rank: int) -> dict[Path, Path]:
    """Where the mask of each file goes."""
    endings = IMAGE_ENDINGS if rank == 2 else NIFTI
    targets: dict[Path, Path] = {}
    for file in files:
        ending = next((end for end in endings if file.name.lower().endswith(end)), None)
        if ending is None:
            raise DataError(f"a file that a {rank}D model cannot read", where=str(file), expected=", ".join(endings))
        target = out / (file.name[: -len(ending)] + (".png" if rank == 2 else ".nii.gz"))
        if target in targets.values():
            raise DataError(
                "two images whose masks would have one name",
                where=str(file),
                found=str(target),
                remedy="predict them into different folders",
            )
        if target.resolve() in {other.resolve() for other in files}:
            raise DataError(
                "a mask that would overwrite an image",
                where=str(target),
                remedy="choose another folder for the masks",
            )
        targets[file] = target
    return targets


def _read_volume(file: Path) -> np.ndarray:
    """`(X, Y, Z, C)` float32 in RAS order, as the reader of the training data gives it."""
    try:
        image: Any = nib.as_closest_canonical(nib.load(file))
        values = np.asanyarray(image.dataobj).astype(np.float32)
    except _UNREADABLE as error:
        raise DataError(
            "a file that cannot be read",
            where=str(file),
            found=f"{type(error).__name__}: {error}",
            expected="a whole NIfTI file (.nii, .nii.gz)",
            remedy="copy it again from its origin",
        ) from error
    return values if values.ndim == 4 else values[..., None]
