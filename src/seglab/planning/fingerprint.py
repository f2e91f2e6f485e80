"""What a plan is made from: sizes, spacings, intensities and classes of the training cases, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from seglab.data.cases import Source
from seglab.data.check.shrinking import SMALLEST_PART, evenly
from seglab.data.labelled import labelled
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.preprocessing.value_scale import common_scale
from seglab.data.splits import Split
from seglab.metrics.surface import bounding_box

# Masks whose objects are counted, evenly chosen: connected parts take longer to find than everything else together.
MASKS_LOOKED_AT = 40


@dataclass(frozen=True)
class ClassFacts:
    """A scored class in the training cases.

    Attributes:
        name: of the class.
        share: of all labelled pixels or voxels.
        cases: that hold it.
        objects: connected parts in a case that holds it, but for crumbs, the median; 0 where none was looked at.
        extent: sides of the box around an object, in pixels or voxels, the median over the objects; empty without one.
    """

    name: str
    share: float
    cases: int
    objects: float = 0.0
    extent: tuple[float, ...] = ()


@dataclass(frozen=True)
class Fingerprint:
    """A data set as its training cases show it.

    Attributes:
        rank, channels: of the images.
        class_names: of every class, background first, or of every region.
        shapes, spacings: of each training case.
        foreground: share of the scored classes in each training case.
        classes: the scored classes.
        cases, groups: of the whole data set, without those that it brings as its own test split.
        own_split: whether the data set says itself which cases are for what.
        own_folds: how many folds the data set brings, 0 where it brings none.
        modality: `ct`, `mri`, or None where nothing says so.
        mixed_scale: whether the numbers of the images count in no common unit.
        intensity: lowest, 0.5%, 99.5% and highest value of each channel, medians over the cases.
    """

    rank: int
    channels: int
    class_names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    spacings: tuple[tuple[float, ...], ...]
    foreground: tuple[float, ...]
    classes: tuple[ClassFacts, ...]
    cases: int
    groups: int
    own_split: bool = False
    own_folds: int = 0
    modality: str | None = None
    mixed_scale: bool = False
    intensity: tuple[tuple[float, float, float, float], ...] = ()

    @property
    def median_shape(self) -> tuple[int, ...]:
        """Along each axis, in pixels or voxels as they are."""
        return tuple(int(n) for n in np.median(self.shapes, axis=0).round())

    @property
    def largest_shape(self) -> tuple[int, ...]:
        """Along each axis; no single case need have it."""
        return tuple(int(n) for n in np.max(self.shapes, axis=0))

    @property
    def share(self) -> float:
        """Of the labelled pixels or voxels that the scored classes hold, over all cases."""
        return sum(one.share for one in self.classes)


def fingerprint_of(source: Source, split: Split, facts: Mapping[str, CaseFingerprint]) -> Fingerprint:
    """The fingerprint of a source's training cases; masks of at most `MASKS_LOOKED_AT` are read for their objects.

    Args:
        source: of the cases.
        split: whose training part is looked at.
        facts: of the training cases, by id.

    Raises:
        DataError: a file that cannot be read any more.
    """
    task, known = source.task, [facts[case_id] for case_id in split.train]
    pixels = np.array([one.class_pixels for one in known], np.int64)
    total = max(int(pixels.sum()), 1)
    objects = _objects(source, evenly(split.train, MASKS_LOOKED_AT))
    classes = tuple(
        ClassFacts(task.class_names[k], int(pixels[:, k].sum()) / total, int((pixels[:, k] > 0).sum()), *objects[k])
        for k in task.scored
    )
    tested = set((source.split or {}).get("test", ()))
    open_to_training = [case for case in source.cases if case.id not in tested]
    return Fingerprint(
        rank=task.rank,
        channels=task.channels,
        class_names=task.score_names,
        shapes=tuple(one.shape for one in known),
        spacings=tuple(one.spacing for one in known),
        foreground=tuple(0.0 if not sum(one.class_pixels) else one.share_of(task.scored) for one in known),
        classes=classes,
        cases=len(open_to_training),
        groups=len({case.group for case in open_to_training}),
        own_split=source.split is not None,
        own_folds=len(getattr(source, "folds", None) or ()),
        modality=getattr(source, "modality", None),
        mixed_scale=common_scale(known)[0] == "mixed",
        intensity=_intensity(known),
    )


def _intensity(known: Sequence[CaseFingerprint]) -> tuple[tuple[float, float, float, float], ...]:
    def median(name: str, channel: int) -> float:
        return float(np.median([getattr(one.intensity, name)[channel] for one in known]))

    channels = range(len(known[0].intensity.minimum))
    return tuple((median("minimum", c), median("low", c), median("high", c), median("maximum", c)) for c in channels)


def _objects(source: Source, ids: Sequence[str]) -> dict[int, tuple[float, tuple[float, ...]]]:
    """For each scored class the median number of connected parts of a case that holds it, and their median box."""
    by_id = {case.id: case for case in source.cases}
    counts: dict[int, list[int]] = {k: [] for k in source.task.scored}
    boxes: dict[int, list[list[int]]] = {k: [] for k in source.task.scored}
    touching = np.ones((3,) * source.task.rank)
    for case_id in ids:
        mask = labelled(source, by_id[case_id])[1]
        for k in source.task.scored:
            where = mask == k
            if not where.any():
                continue
            parts, _ = ndimage.label(where[bounding_box(where)], touching)
            sizes = np.bincount(parts.ravel())[1:]
            whole = sizes >= min(SMALLEST_PART, sizes.max())
            counts[k].append(int(whole.sum()))
            found = [box for box, one in zip(ndimage.find_objects(parts), whole, strict=True) if one and box]
            boxes[k] += [[side.stop - side.start for side in box] for box in found]
    return {
        k: (float(np.median(counts[k])), tuple(float(n) for n in np.median(boxes[k], axis=0)))
        if counts[k]
        else (0.0, ())
        for k in counts
    }
