"""One volume in a Zarr folder to its mask in another, by parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from seglab.data.io.ome_metadata import check_no_labels
from seglab.data.io.zarr_volumes import Box, open_levels
from seglab.errors import DataError, naming
from seglab.inference.predictor import Predictor
from seglab.inference.streaming import fitting_level, mask_by_parts
from seglab.inference.zarr_masks import write_zarr_mask


def write_predicted_zarr(
    predictor: Predictor,
    parts: Sequence[Path],
    mask: Path,
    values: Sequence[int] | None,
    replace: bool,
    tell: Callable[[str], None],
) -> list[str]:
    """Predict a volume and write its mask; returns what is to be known of it.

    Args:
        predictor: of the volume's task.
        parts: its folder.
        mask, values, replace: as of `write_zarr_mask`.
        tell: what is being done.

    Raises:
        DataError: what `open_levels`, `mask_by_parts` and `write_zarr_mask` refuse; labels in the place of an image;
            a folder for each modality.
    """
    if len(parts) > 1:
        raise DataError(
            "an image in several Zarr folders",
            code="zarr-modalities",
            where=str(parts[0]),
            found=f"{len(parts)} folders, one for each modality",
            expected="one folder, with an axis c",
            remedy="save them as one image of several channels",
        )
    with naming(str(parts[0])):
        check_no_labels(parts[0])
        levels = open_levels(str(parts[0]))
        volume = fitting_level(levels, predictor.spacing)
    about = f"level {volume.level.path or '.'}"
    if volume.absent:
        about += (
            f", {volume.absent} of {volume.array.nchunks} chunks are not stored and read as {volume.array.fill_value}"
        )
    tell(f"looking through {about}")

    def show_progress(done: int, count: int) -> None:
        tell(f"{done} of {count} windows of {about}")

    def predicted() -> Iterator[tuple[Box, np.ndarray]]:
        with naming(str(parts[0])):
            yield from mask_by_parts(predictor, volume, show_progress)

    write_zarr_mask(mask, predicted(), volume, predictor.task, values=values, replace=replace)
    notes = []
    if len(levels) > 1:
        steps = "×".join(f"{step:g}" for step in volume.spacing)
        notes.append(f"{parts[0]}: the mask lies on {about} of {len(levels)}, with voxels of {steps} mm")
    if volume.absent:
        count, value = volume.array.nchunks, volume.array.fill_value
        notes.append(f"{parts[0]}: {volume.absent} of {count} chunks are not stored, and were read as {value}")
    return notes


def check_mask_alone(image: Path, overlay: bool, probabilities: bool) -> None:
    """Refuse what would hold all of a volume that need not fit into memory; raises `DataError`."""
    if overlay or probabilities:
        raise DataError(
            "more than a mask of a volume in Zarr",
            code="zarr-mask-alone",
            where=str(image),
            found="overlay=true" if overlay else "probabilities=true",
            expected="the mask alone: it is made by parts, and the rest of the whole volume",
            remedy="leave that out, or save a part of the volume as NIfTI",
        )
