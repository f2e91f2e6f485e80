"""The mask of a volume from a prompt on some of its slices: a file in the volume's own geometry, and its row."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seglab.data.io.nifti_files import read_image, restore_orientation, spacing_of, to_ras
from seglab.data.io.volume_files import read_header
from seglab.errors import ConfigError, DataError
from seglab.inference.mask_writer import write_mask
from seglab.inference.predict_files import plan_files
from seglab.interactive.measures import measure, warnings
from seglab.interactive.prompt_models import PromptModel
from seglab.interactive.segment import Segmented, box_text, check_lists, write_lists
from seglab.interactive.volume_prompts import AXES, SlicePrompt, segment_volume
from seglab.task import Task

_TASK = Task(rank=3, channels=1, class_names=("background", "object"))
_ALONG_Z = 2


def segment_volume_file(
    model: PromptModel,
    file: Path,
    out: Path,
    *,
    points: Sequence[Sequence[float]] = (),
    box: Sequence[float] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Segmented:
    """`<name>.nii.gz` (0 and 1), `prompts.jsonl` and `segments.csv` of one volume.

    Coordinates are voxels of the file, in the order and the direction that its axes have there.

    Args:
        model: of rank 2.
        file: a volume of one channel, in any format but Zarr, whose mask would be one.
        out: folder to write to.
        points: `x, y, z, label` each.
        box: `x0, y0, z0, x1, y1, z1`, flat along the axis that the slices are cut across; None for none, then they are
            cut across z.
        overwrite: a mask that was written here before.
        progress: how many slices of how many are done.

    Raises:
        ConfigError: a model of volumes.
        DataError: no such volume, a prompt that cannot be meant, or a file that would be lost.
    """
    if model.rank != 2:
        raise ConfigError(
            "a model that cannot follow an object from slice to slice",
            code="settings-exclude",
            where="model",
            found=model.name,
            expected="a model of images",
            remedy="model=grabcut needs no weights",
        )
    axis, prompts = slice_prompts(points, box)
    (job,) = plan_files(_TASK, [str(file)], out, existing="replace" if overwrite else "refuse").jobs
    check_lists(out, overwrite)
    volume, affine = read_grey(file)
    began = time.perf_counter()
    mask = segment_volume(model, volume, prompts, axis, progress)
    took = (time.perf_counter() - began) * 1000
    write_mask(job.mask, to_ras(mask.astype(np.uint8), affine), like=file, values=(0, 1), replace=overwrite)
    found = measure(mask, spacing_of(affine))
    row = {
        "image": str(file),
        "box": box_text(found.box),
        "voxels": found.area,
        "volume_mm3": round(found.area_mm, 3),
        "slices": int(np.moveaxis(mask, axis, 0).any(axis=(1, 2)).sum()),
        "components": found.components,
        "ms": round(took, 1),
        "warnings": "; ".join(warnings(mask, None)),
    }
    line = {
        "image": str(file),
        "size": list(mask.shape),
        "spacing_mm": list(spacing_of(affine)),
        "model": model.name,
        "weights": model.digest,
        "points": [list(point[:3]) for point in points],
        "labels": [int(point[3]) for point in points],
        "box": None if box is None else list(box),
        "axis": AXES[axis],
    }
    write_lists(out, [row], [line])
    return Segmented(file, row)


def read_grey(file: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """A volume `(X, Y, Z)` as its file has its axes, and its affine to mm, whatever unit the header names.

    Raises:
        DataError: no such volume, or one of several channels.
    """
    values, _, _ = read_image([str(file)])
    if values.shape[-1] > 1:
        raise DataError(
            "a volume of several channels",
            code="prompt-form",
            where=str(file),
            found=f"{values.shape[-1]} channels",
            expected="one",
            remedy="give the file of the channel that shows the object",
        )
    affine = read_header(str(file)).affine
    return restore_orientation(values, affine)[..., 0], affine


def slice_prompts(
    points: Sequence[Sequence[float]], box: Sequence[float] | None
) -> tuple[int, Mapping[int, SlicePrompt]]:
    """The axis that slices are cut across, and the prompt of each slice that has one.

    Raises:
        DataError: a number that is not finite, or a box that is not flat along exactly one axis.
    """
    given = np.array([*(value for point in points for value in point), *(box or ())], float)
    if not np.isfinite(given).all():
        raise DataError(
            "a number that is not finite",
            code="prompt-not-finite",
            where="points, box",
            found=given[~np.isfinite(given)][0],
            expected="coordinates in voxels",
            remedy="read them from a viewer of the volume",
        )
    axis = _ALONG_Z if box is None else _flat(box)
    beside = [other for other in range(3) if other != axis]
    on_slices: dict[int, dict[str, Any]] = {}

    def at(place: float) -> dict[str, Any]:
        return on_slices.setdefault(int(np.floor(place + 0.5)), {"points": [], "labels": [], "box": None})

    if box is not None:
        at(box[axis])["box"] = [box[beside[0]], box[beside[1]], box[3 + beside[0]], box[3 + beside[1]]]
    for point in points:
        one = at(point[axis])
        one["points"].append([point[other] for other in beside])
        one["labels"].append(point[3])
    return axis, {index: SlicePrompt(**one) for index, one in on_slices.items()}


def _flat(box: Sequence[float]) -> int:
    flat = [axis for axis in range(3) if len(box) == 6 and box[axis] == box[3 + axis]]
    if len(flat) == 1:
        return flat[0]
    raise DataError(
        "a box that does not lie on one slice",
        code="prompt-form",
        where="box",
        found=list(box)[:8],
        expected="x0, y0, z0, x1, y1, z1, equal along one axis alone",
        remedy="box=[20,30,12,44,52,12] lies on the slice z = 12",
    )
