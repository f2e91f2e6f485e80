"""Images in, mask files out: what the predict command does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from seglab.data.io.image_files import read_image_file
from seglab.data.io.nifti_files import read_image, spacing_of
from seglab.data.io.ome_metadata import ZARR_ENDING, is_zarr, zarr_around
from seglab.errors import DataError, naming
from seglab.inference.extra_outputs import write_picture, write_probabilities
from seglab.inference.input_files import Input, found_files, named_inputs
from seglab.inference.mask_values import check_values
from seglab.inference.mask_writer import MaskNotWritten, check_targets, write_mask
from seglab.inference.memory_forecast import check_room, writing_bytes
from seglab.inference.overlay_picture import overlay
from seglab.inference.predictor import Predictor
from seglab.inference.zarr_prediction import check_mask_alone, write_predicted_zarr
from seglab.task import Task

Existing = Literal["refuse", "replace", "skip"]


@dataclass(frozen=True)
class PredictionJob:
    """An image and where what comes of it is written.

    Attributes:
        image: the file or files.
        mask: its mask, `<name>.png`, `<name>.nii.gz` or `<name>.zarr`.
        overlay: `<name>_overlay.png`, or None.
        probabilities: `<name>_probabilities.npz` or `.nii.gz`, or None.
    """

    image: Input
    mask: Path
    overlay: Path | None = None
    probabilities: Path | None = None

    @property
    def targets(self) -> list[Path]:
        """All of them; the mask, which says that an image is done, comes last."""
        return [path for path in (self.overlay, self.probabilities, self.mask) if path is not None]


@dataclass
class PredictedFiles:
    """What came of it.

    Attributes:
        masks: written, in the order of the images.
        failed: images that could not be used, and why.
        notes: what is to be known of an image that was used.
    """

    masks: list[Path] = field(default_factory=list)
    failed: dict[Path, DataError] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PredictionPlan:
    """What is to be predicted; that it can be written was checked.

    Attributes:
        jobs: the images.
        values: the value to store for each class id; None for the ids themselves.
        skipped: masks that are there and stay.
        existing: what happens to files that are there by the time they would be written, as of `plan_files`.
    """

    jobs: list[PredictionJob]
    values: tuple[int, ...] | None
    skipped: list[Path]
    existing: Existing = "refuse"


def plan_files(
    task: Task,
    words: Sequence[Path | str],
    out: Path | str,
    *,
    values: Sequence[int] | None = None,
    overlays: bool = False,
    probabilities: bool = False,
    existing: Existing = "refuse",
    can_skip: bool = True,
) -> PredictionPlan:
    """What `predict_plan` is to do. Names are those of `named_inputs`; a 2D image gets a PNG, a volume a NIfTI file,
    one of Zarr a folder of Zarr.

    Args:
        task: of the model.
        words: files, folders and patterns, as `found_files` reads them.
        out: folder to write to; made when missing. Not one that images are read from.
        values: the value to store for each class id; when None, that of the data that the model was trained on, or the
            ids themselves where nothing is known of that.
        overlays: also write a picture of the mask on its image, with a legend.
        probabilities: also write the probabilities of all classes.
        existing: what happens to masks that were predicted before: they are refused, replaced, or their images are left
            out. What is no such mask is never written over.
        can_skip: the verb that asks has a `skip_existing`, which a refusal may name.

    Raises:
        DataError: images whose masks would have one name, a file that would be overwritten, a file of an unknown kind,
            or values that do not fit the classes.
    """
    if values is not None:
        check_values(values, task)
    jobs = _jobs(task, found_files(words, task), Path(out), overlays, probabilities)
    skipped = [job.mask for job in jobs if existing == "skip" and os.path.lexists(job.mask)]
    jobs = [job for job in jobs if job.mask not in skipped]
    _check_places(jobs, existing != "refuse", can_skip)
    return PredictionPlan(jobs, tuple(values or task.label_values) or None, skipped, existing)


def predict_plan(
    predictor: Predictor,
    plan: PredictionPlan,
    *,
    written: Callable[[Path], None] | None = None,
    doing: Callable[[str], None] | None = None,
    failed: Callable[[Path, DataError], None] | None = None,
) -> PredictedFiles:
    """Writes what is planned, one image in memory at a time. Files are whole or not there, whenever this is stopped.

    Args:
        predictor: of the planned task.
        plan: of `plan_files`.
        written: told each file that was written.
        doing: told what is being done, each time that something else is.
        failed: told of each image that cannot be used, after which the others go on; without it, that is raised.

    Raises:
        DataError: a mask cannot be written, or another process has written it meanwhile, unless such are to be skipped
            or replaced; without `failed`, an image cannot be used.
    """
    result = PredictedFiles()
    replace = plan.existing != "refuse"
    began = time.monotonic()
    for number, job in enumerate(plan.jobs):
        rate = f", {number / (time.monotonic() - began):.2g} a second" if number else ""
        tell = _teller(doing, f"image {number + 1} of {len(plan.jobs)}{rate}: {job.image.file}")
        try:
            if is_zarr(job.image.file):
                result.notes += write_predicted_zarr(predictor, job.image.parts, job.mask, plan.values, replace, tell)
                made = {}
            else:
                with naming(str(job.image.file)):
                    made = _predict(predictor, job, tell)
        except (DataError, MemoryError) as error:
            reason = error if isinstance(error, DataError) else _no_memory(job)
            if failed is None or isinstance(error, MaskNotWritten):
                raise reason from error
            result.failed[job.image.file] = reason
            failed(job.image.file, reason)
            continue
        tell("writing")
        if plan.existing == "skip" and os.path.lexists(job.mask):
            continue
        like = job.image.file if predictor.task.rank == 3 else None
        if job.probabilities:
            write_probabilities(job.probabilities, made.pop("probabilities"), predictor.task, like, replace=replace)
        if job.overlay:
            write_picture(job.overlay, made.pop("overlay"), replace=replace)
        if made:
            write_mask(job.mask, made.pop("mask"), like=like, values=plan.values, replace=replace)
        result.masks.append(job.mask)
        for path in job.targets:
            if written:
                written(path)
    return result


def _predict(predictor: Predictor, job: PredictionJob, tell: Callable[[str], None]) -> dict[str, np.ndarray]:
    """What is asked for one image, by name; the image is let go before it is written."""
    tell("reading")
    image, spacing = _image_and_spacing(job.image.parts, predictor.task.rank)
    check_room(writing_bytes(image, predictor.task.classes), image.shape[:-1])
    tell("predicting")

    def show_progress(done: int, count: int) -> None:
        tell(f"{done} of {count} windows")

    made = {}
    if job.probabilities:
        made["probabilities"] = predictor.predict_probabilities(image, spacing, show_progress)
        made["mask"] = predictor.mask_of(made["probabilities"])
    else:
        made["mask"] = predictor.predict(image, spacing, show_progress)
    if job.overlay:
        tell("drawing")
        made["overlay"] = overlay(image, made["mask"], predictor.task)
    return made


def _teller(doing: Callable[[str], None] | None, about: str) -> Callable[[str], None]:
    return (lambda what: doing(f"{about}, {what}")) if doing else (lambda what: None)


def _image_and_spacing(parts: Sequence[Path], rank: int) -> tuple[np.ndarray, tuple[float, ...] | None]:
    """As the reader of the training data gives it: volumes in RAS order."""
    if rank == 2:
        return read_image_file(parts[0]), None
    image, affine, _ = read_image([str(part) for part in parts])
    return image, spacing_of(affine)


def _jobs(task: Task, files: Sequence[Path], out: Path, overlays: bool, probabilities: bool) -> list[PredictionJob]:
    """Raises `DataError` for two files of one name."""
    ending, numbers = (".png", ".npz") if task.rank == 2 else (".nii.gz", ".nii.gz")
    jobs = []
    for image in named_inputs(files, task):
        place, mask = str(out / image.name), ending
        if is_zarr(image.file):
            mask = ZARR_ENDING
            check_mask_alone(image.file, overlays, probabilities)
        picture = Path(f"{place}_overlay.png") if overlays else None
        jobs.append(
            PredictionJob(
                image, Path(place + mask), picture, Path(f"{place}_probabilities{numbers}") if probabilities else None
            )
        )
    first: dict[str, tuple[Path, Path]] = {}
    for job in jobs:
        for target in job.targets:
            other, file = first.setdefault(str(target).casefold(), (target, job.image.file))
            if file is not job.image.file:
                raise DataError(
                    "two images whose masks would have one name",
                    code="mask-names-collide",
                    where=str(job.image.file),
                    found=f"{target}, as of {file}"
                    if target == other
                    else f"{target.name} and {other.name}, one file on some disks",
                    expected="images of different names in a folder",
                    remedy="predict them into different folders",
                )
    return jobs


def _check_places(jobs: Sequence[PredictionJob], replace: bool, can_skip: bool) -> None:
    """Refuse to write into a folder of images, over a file of another origin, and unasked over a mask."""
    parts = [part for job in jobs for part in job.image.parts]
    targets = [target for job in jobs for target in job.targets]
    sources = {os.path.realpath(part.parent): part.parent for part in parts}
    series = {os.path.realpath(part): part for part in parts if part.is_dir()}
    for place, target in {target.parent: target for target in reversed(targets)}.items():
        real = Path(os.path.realpath(place))
        within = next((series[str(one)] for one in (real, *real.parents) if str(one) in series), None)
        if folder := sources.get(str(real)) or within or zarr_around(real):
            raise DataError(
                "masks in the folder of the images, which they could overwrite or be taken for",
                code="mask-beside-images",
                where=str(target),
                found=f"images are read from {folder}",
                expected="a folder that no image is read from",
                remedy="choose another one: out=masks",
            )
    check_targets(targets, parts)
    there = [target for target in targets if os.path.lexists(target)]
    if there and not replace:
        rest = ", skip_existing=true predicts the rest" if can_skip else ""
        raise DataError(
            "masks that were predicted before",
            code="mask-exists",
            where=str(there[0]),
            found=f"{len(there)} of {len(targets)} files are there",
            expected="none of them",
            remedy=f"overwrite=true replaces them{rest}; or choose another folder",
        )


def _no_memory(job: PredictionJob) -> DataError:
    return DataError(
        "an image that does not fit into the memory of this machine",
        code="image-memory",
        where=str(job.image.file),
        remedy="cut it into smaller files, use a machine with more memory, or close other programs",
    )
