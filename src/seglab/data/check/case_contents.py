"""What the images and masks hold: empty masks, rounded labels, constant images, modality, spacing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from seglab.config.sections import DataConfig
from seglab.data.cases import SPLIT_NAMES, Source
from seglab.data.check.findings import Finding
from seglab.data.labels.label_map import NEARLY_WHOLE
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.preprocessing.spacing import UNIT_RATIO
from seglab.data.splits import Split
from seglab.task import Task

MANY_EMPTY = 0.5  # share of a split's masks without a scored class, from which on it is more than a note
SPACING_SPREAD = 1.1  # coarsest to finest voxel along an axis, above which volumes are not at one scale
LARGEST_VOXEL = 25.0  # mm, of the shortest edge
# What becomes of the scores: while training, all pixels of a split are counted together; a test case has its own score.
_EMPTY = {
    "train": "nothing but background is learnt from them",
    "val": "val_dice takes all pixels together: what is found in them lowers it, if another mask holds that class",
    "test": "such a case has Dice 0 if anything is found in it; otherwise none, and the mean leaves it out",
}


def find_empty_masks(split: Split, facts: Mapping[str, CaseFingerprint], task: Task) -> Iterator[Finding]:
    """A row for each split with masks in which no pixel has a scored class."""
    for name in SPLIT_NAMES:
        ids = [i for i in getattr(split, name) if i in facts]
        empty = [i for i in ids if not sum(facts[i].class_pixels[k] for k in task.scored)]
        if empty:
            yield Finding.of(
                "empty-masks",
                name,
                f"{len(empty)} of {len(ids)} masks ({len(empty) / len(ids):.0%}) hold no scored class: {empty[0]}, …",
                f"at most {MANY_EMPTY:.0%}; {_EMPTY[name]}",
                "keep them if the model has to say that nothing is there; otherwise remove the cases, or draw patches "
                "around the foreground (data.resize_mode=patch data.foreground_share=0.5)",
                severity="warning" if len(empty) > MANY_EMPTY * len(ids) else "note",
            )


def find_constant_images(split: Split, facts: Mapping[str, CaseFingerprint]) -> Iterator[Finding]:
    """A row for each split with images of a single value."""
    for name in SPLIT_NAMES:
        ids = getattr(split, name)
        flat = [i for i in ids if i in facts and facts[i].flat]
        if flat:
            yield Finding.of(
                "constant-image",
                f"{name}: {flat[0]}" + (f" and {len(flat) - 1} more" if len(flat) > 1 else ""),
                f"every pixel is {', '.join(f'{value:g}' for value in facts[flat[0]].intensity.minimum)}",
                "an image that shows something",
                "export the image again, or remove the case",
            )


def find_other_modality(source: Source, card: DataConfig) -> Iterator[Finding]:
    """A row when the data set says that it is of another modality than the config does."""
    declared = getattr(source, "modality", None)  # few sources know
    if declared is not None and card.modality is not None and declared != card.modality:
        yield Finding.of(
            "other-modality",
            "data.modality",
            f"{card.modality}, for a data set that says {declared}",
            "intensities brought to one scale as they are meant: by a window for CT, by each volume's own for MRI",
            f'data.modality={declared}; or correct "modality" ("channel_names") in dataset.json',
        )


def find_mixed_spacing(facts: Mapping[str, CaseFingerprint], card: DataConfig, task: Task) -> Iterator[Finding]:
    """A row when volumes have voxels of different sizes and nothing brings them to one."""
    if task.rank != 3 or card.spacing is not None or not facts:
        return
    spacing = np.array([one.spacing for one in facts.values()])
    spread = spacing.max(axis=0) / spacing.min(axis=0)
    if spread.max() <= SPACING_SPREAD:
        return
    # Of two halves the middle lies between them, where no volume is: a spacing that occurs, the finer one.
    middle = ",".join(f"{step:.3g}" for step in np.quantile(spacing, 0.5, axis=0, method="lower"))
    remedy = f"data.spacing=[{middle}]"
    if spread.min() >= UNIT_RATIO:  # nothing is scanned so differently along every axis
        by_size = sorted(facts, key=lambda i: facts[i].spacing)
        remedy = (
            f"compare the headers of {by_size[0]} and {by_size[-1]}: one of them names the wrong unit, or none, which "
            "is read as mm; of NIfTI with nibabel, image.header.set_xyzt_units('micron'), then save"
        )
    yield Finding.of(
        "mixed-spacing",
        f"{len(facts)} volumes",
        f"voxels from {_size(spacing.min(axis=0))} to {_size(spacing.max(axis=0))} mm",
        f"within a factor of {SPACING_SPREAD}, or resampled",
        remedy,
    )


def find_implausible_spacing(facts: Mapping[str, CaseFingerprint], task: Task) -> Iterator[Finding]:
    """A row when voxels are larger than any scanner makes them: the header names another unit than it is in."""
    if task.rank != 3:
        return
    large = [i for i, one in facts.items() if min(one.spacing) > LARGEST_VOXEL]
    if large:
        yield Finding.of(
            "implausible-spacing",
            f"{large[0]}" + (f" and {len(large) - 1} more" if len(large) > 1 else ""),
            f"voxels of {_size(facts[large[0]].spacing)} mm",
            f"edges up to {LARGEST_VOXEL:g} mm; distances, the tolerance and data.spacing are in mm",
            "if the header names the wrong unit, or none, which is read as mm, correct it: of NIfTI with nibabel, "
            "image.header.set_xyzt_units('micron'), then save; if they are so large, nothing",
        )


def find_rounded_labels(facts: Mapping[str, CaseFingerprint]) -> Iterator[Finding]:
    """A row when label values were not whole numbers, and rounded."""
    off = {i: one.label_off for i, one in facts.items() if one.label_off > 0}
    if off:
        worst = max(off, key=lambda i: off[i])
        yield Finding.of(
            "label-rounded",
            f"{worst}" + (f" and {len(off) - 1} more" if len(off) > 1 else ""),
            f"label values up to {off[worst]:.2g} from whole numbers, rounded to these",
            f"whole numbers; up to {NEARLY_WHOLE:g} off they are rounded",
            "nothing, if they are class values that were saved as floats or scaled; or store them as integers",
        )


def _size(edges: Sequence[float]) -> str:
    return " × ".join(f"{edge:.3g}" for edge in edges)
