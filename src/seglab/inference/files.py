"""Files in, mask files out: what the predict command does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from seglab.data.folders import by_stem
from seglab.data.image_files import IMAGE_ENDINGS, read_image_file
from seglab.data.nifti_files import channels_of, read_image, spacing_of
from seglab.data.nifti_headers import NIFTI_ENDINGS
from seglab.data.nifti_layouts import modalities
from seglab.errors import DataError, naming
from seglab.inference.predictor import Predictor
from seglab.inference.writing import check_targets, write_mask


def predict_files(
    predictor: Predictor,
    files: Sequence[Path | str],
    out: Path | str,
    *,
    values: Sequence[int] | None = None,
    progress: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Writes the mask of each image file into the folder `out`, under the image's name.

    A 2D image (PNG, JPEG, TIFF, …) gives a PNG of its size; a volume (NIfTI) a NIfTI file in its own axis order,
    affine and codes. For a model of several channels, volumes of one channel that differ in a last `_0000`, `_0001`, …
    are the modalities of one image, and the mask is named without the number. One image is in memory at a time.

    Args:
        predictor: of the files' rank and channels.
        files: images to predict.
        out: folder to write to; made when missing. A mask that was predicted before is replaced, nothing else is.
        values: the value to store for each class id; when None, that of the data that the model was trained on, or the
            ids themselves where nothing is known of that.
        progress: told the path of each mask that was written.

    Returns:
        The masks' paths, in the order of `files` (of their first modalities).

    Raises:
        DataError: before anything is predicted, two images of one name, a file that would be overwritten, a file of an
            unknown kind, or values that do not fit the classes; later, a file that cannot be used.
    """
    targets = _targets([Path(file) for file in files], Path(out), predictor)
    if values is not None and len(values) != predictor.task.classes:
        raise DataError(
            "values that do not fit the classes of the model",
            where="values",
            found=list(values),
            expected=f"{predictor.task.classes} values, for {', '.join(predictor.task.class_names)}",
            remedy="give one value for each class, or none for the values of the training masks",
        )
    values = values or predictor.task.label_values or None
    for target, parts in targets.items():
        file = parts[0]
        with naming(str(file)):
            mask = predictor.predict(*_image_and_spacing(parts, predictor.task.rank))
        write_mask(target, mask, like=file if predictor.task.rank == 3 else None, values=values)
        if progress:
            progress(target)
    return list(targets)


def _image_and_spacing(parts: Sequence[Path], rank: int) -> tuple[np.ndarray, tuple[float, ...] | None]:
    """As the reader of the training data gives it: volumes in RAS order."""
    if rank == 2:
        return read_image_file(parts[0]), None
    image, affine, _ = read_image([str(part) for part in parts])
    return image, spacing_of(affine)


def _targets(files: Sequence[Path], out: Path, predictor: Predictor) -> dict[Path, tuple[Path, ...]]:
    """The mask of each image, with the file or files of it."""
    task = predictor.task
    endings, written = (IMAGE_ENDINGS, ".png") if task.rank == 2 else (NIFTI_ENDINGS, ".nii.gz")
    images: list[tuple[str, tuple[Path, ...]]] = []
    for file in files:
        ending = next((end for end in endings if file.name.lower().endswith(end)), None)
        if ending is None:
            raise DataError(
                f"a file that a {task.rank}D model cannot read",
                where=str(file),
                expected="one of " + ", ".join(endings),
                remedy="convert it, or predict it with a model of its rank",
            )
        images.append((file.name[: -len(ending)], (file,)))
    if task.rank == 3 and task.channels > 1 and files and channels_of([str(files[0])]) == 1:
        images = list(modalities(by_stem(files)).items())
    targets: dict[Path, tuple[Path, ...]] = {}
    first: dict[str, Path] = {}
    for name, parts in images:
        target = out / (name + written)
        same = first.setdefault(target.name.casefold(), target)
        if same is not target:
            raise DataError(
                "two images whose masks would have one name",
                where=str(parts[0]),
                found=str(target) if same == target else f"{target.name} and {same.name}, one file on some disks",
                remedy="predict them into different folders",
            )
        targets[target] = parts
    check_targets(targets, files)
    return targets
