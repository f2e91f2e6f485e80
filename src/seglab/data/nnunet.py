"""A data set written as nnU-Net reads it (Isensee et al., Nature Methods 2021): both can train on one folder.

imagesTr/<case>_0000.nii.gz, …   a file for each channel; .png for images of 8 bits, grey or RGB
labelsTr/<case>.nii.gz           class ids, what is ignored as the number behind the last
imagesTs, labelsTs               the data set's own test split, if it has one
dataset.json                     version 2
splits_final.json                the folds, of whole groups: nnU-Net's fold k validates on what `data.fold=k` tests
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from seglab.config.sections import DataConfig
from seglab.data.cases import Case, Sample, Source
from seglab.data.labelled import labelled
from seglab.data.sources.fold_file import FOLDS_FILE
from seglab.data.splits import split_for
from seglab.errors import DataError
from seglab.runtime.atomic_files import folder as making
from seglab.runtime.atomic_files import telling_unwritable
from seglab.safety.file_names import file_names
from seglab.task import Task

_IGNORE, _BACKGROUND = "ignore", "background"
_CHANNELS = {"ct": "CT", "mri": "MRI"}


@dataclass(frozen=True)
class Written:
    """What was written: `cases` for training and `tested` ones, `folds`, and what the reader has to know."""

    cases: int
    tested: int
    folds: int
    notes: tuple[str, ...]


def write_nnunet(
    source: Source, config: DataConfig, seed: int, out: Path, progress: Callable[[int, int], None] | None = None
) -> Written:
    """Write the labelled cases of a source.

    Args:
        source: of volumes, or of images of 8 bits with one channel or three.
        config: its settings; `folds` and `modality` are used.
        seed: of the folds.
        out: a folder that is not there, such as `nnUNet_raw/Dataset042_Spleen`; it appears when all is written.
        progress: is told how many cases of how many are written.

    Raises:
        DataError: a folder that is there, images of another kind, a case that cannot be read.
    """
    tested = set((source.split or {}).get("test", ())) if list(source.split or {}) == ["test"] else set()
    cases = [case for case in source.cases if case.label is not None or not case.image]
    names = file_names([case.id for case in cases])
    training = [case for case in cases if case.id not in tested]
    if out.exists():
        raise DataError(
            "a data set in the place of another",
            code="folder-not-empty",
            where="out",
            found=str(out),
            expected="a new folder, since nothing is overwritten",
            remedy="choose another name",
        )
    ignored = False
    with telling_unwritable(out), making(out, replace=False) as folder:
        for done, case in enumerate(cases, start=1):
            sample, mask = labelled(source, case)
            ignored |= _write_case(
                folder, "Ts" if case.id in tested else "Tr", names[case.id], case, sample, mask, source.task
            )
            if progress:
                progress(done, len(cases))
        folds = _folds(source, config, seed, names, tested)
        (folder / FOLDS_FILE).write_text(json.dumps(folds, indent=1), encoding="utf-8")
        described = _described(source, config, len(training), ignored)
        (folder / "dataset.json").write_text(json.dumps(described, indent=1, ensure_ascii=False), encoding="utf-8")
    return Written(len(training), len(cases) - len(training), len(folds), _notes(source.task, cases, names))


def _write_case(folder: Path, part: str, name: str, case: Case, sample: Sample, mask: np.ndarray, task: Task) -> bool:
    """Whether a pixel of it is ignored."""
    for kind in ("images", "labels"):
        (folder / f"{kind}{part}").mkdir(exist_ok=True)
    unknown = mask == task.ignore_label
    ids = np.where(unknown, task.classes, mask).astype(np.uint8)
    ids[np.isin(mask, _in_no_region(task))] = 0
    if task.rank == 2:
        image = sample.image
        if image.dtype != np.uint8 or image.shape[-1] not in (1, 3):
            raise DataError(
                "an image that nnU-Net's PNG reader does not take",
                code="image-format",
                where=case.id,
                found=f"{image.shape[-1]} channels of {image.dtype}",
                expected="8 bits, 1 or 3 channels",
                remedy="write such images as volumes of one slice, for data=nifti",
            )
        picture = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(picture).save(folder / f"images{part}" / f"{name}_0000.png")
        Image.fromarray(ids).save(folder / f"labels{part}" / f"{name}.png")
        return bool(unknown.any())
    affine = np.diag([*sample.spacing, 1.0]) if sample.affine is None else sample.affine
    for channel in range(task.channels):
        _save(sample.image[..., channel], affine, folder / f"images{part}" / f"{name}_{channel:04d}.nii.gz")
    _save(ids, affine, folder / f"labels{part}" / f"{name}.nii.gz")
    return bool(unknown.any())


def _save(values: np.ndarray, affine: np.ndarray, file: Path) -> None:
    volume = nib.Nifti1Image(values, affine)
    volume.header.set_xyzt_units("mm")
    nib.save(volume, file)


def _folds(
    source: Source, config: DataConfig, seed: int, names: dict[str, str], tested: set[str]
) -> list[dict[str, list[str]]]:
    kept = [case.id for case in source.cases if case.id in names and case.id not in tested]
    folds = []
    for fold in range(config.folds):
        split = split_for(source, config.model_copy(update={"fold": fold, "limit_cases": None}), seed)
        held = set(split.test)
        folds.append(
            {
                "train": [names[case_id] for case_id in kept if case_id not in held],
                "val": [names[case_id] for case_id in kept if case_id in held],
            }
        )
    return folds


def _described(source: Source, config: DataConfig, count: int, ignored: bool) -> dict[str, Any]:
    task = source.task
    labels: dict[str, int | list[int]] = {_BACKGROUND: 0}
    if task.regions:
        labels |= {_label(region.name): list(region.classes) for region in task.regions}
    else:
        labels |= {_label(name): number for number, name in enumerate(task.class_names) if number}
    labels |= {_IGNORE: task.classes} if ignored else {}
    channel = _CHANNELS.get(getattr(source, "modality", None) or config.modality or "", "MRI")
    channels = ("R", "G", "B") if task.rank == 2 and task.channels == 3 else (channel,) * task.channels
    return {
        "name": source.name,
        "channel_names": {str(n): name for n, name in enumerate(channels)},
        "labels": labels,
        **({"regions_class_order": [region.paints for region in task.regions]} if task.regions else {}),
        "numTraining": count,
        "file_ending": ".nii.gz" if task.rank == 3 else ".png",
    }


def _in_no_region(task: Task) -> list[int]:
    """Classes that nnU-Net has no name for, where there are regions."""
    inside = {k for region in task.regions for k in region.classes}
    return [k for k in range(1, task.classes) if k not in inside] if task.regions else []


def _label(name: str) -> str:
    """`background` and `ignore` are nnU-Net's own."""
    return f"{name}_class" if name in (_BACKGROUND, _IGNORE) else name


def _notes(task: Task, cases: list[Case], names: dict[str, str]) -> tuple[str, ...]:
    notes = []
    if task.class_names[0].lower() != _BACKGROUND:
        notes.append(f"class {task.class_names[0]} is nnU-Net's background there, which it does not score")
    outside = [task.class_names[k] for k in _in_no_region(task)]
    if outside:
        notes.append(f"{', '.join(outside)}: in no region, and background there")
    renamed = [case.id for case in cases if names[case.id] != case.id]
    if renamed:
        notes.append(f"{len(renamed)} cases have other names, such as {renamed[0]}: {names[renamed[0]]}")
    return tuple(notes)
