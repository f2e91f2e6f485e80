"""A small labelled set that tells whether a model still does what it did: its files, and when it has fallen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.data.io.folders import stem_of
from seglab.errors import ConfigError
from seglab.metrics.confusion import dice_iou, macro, overlaps, sizes
from seglab.task import Task

CASES = 200


@dataclass(frozen=True)
class CanaryCase:
    """An image and its truth."""

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class CanaryScores:
    """What a model makes of the set.

    Attributes:
        dice: by class id its mean over the cases that truth or mask holds it in; NaN where none does.
        iou: by class id, over the pixels of all cases.
        cases: Dice of each case, the mean over its scored classes.
    """

    dice: tuple[float, ...]
    iou: tuple[float, ...]
    cases: tuple[float, ...]

    @classmethod
    def of(cls, confusions: Sequence[np.ndarray], task: Task) -> CanaryScores:
        """From the `(K, K)` counts of each case."""

        def of_case(one: np.ndarray) -> float:
            return macro(overlaps(sizes(one, task))[0], task)

        each = np.array([dice_iou(one)[0] for one in confusions])
        known = (~np.isnan(each)).sum(axis=0)
        mean = np.where(known > 0, np.nansum(each, axis=0) / np.maximum(known, 1), np.nan)
        pooled = dice_iou(np.sum(confusions, axis=0))[1]
        return cls(tuple(mean.tolist()), tuple(pooled.tolist()), tuple(map(of_case, confusions)))


def canary_cases(folder: Path) -> list[CanaryCase]:
    """Pairs of `images/<name>.*` and `masks/<name>.*`, as `data=image_folder` reads them; masks hold the values of
    `/classes`.

    Raises:
        ConfigError: none, too many, or an image without a mask.
    """
    images, masks = (_by_name(folder / part) for part in ("images", "masks"))
    lonely = sorted(set(images) ^ set(masks))
    if not images or lonely or len(images) > CASES:
        found = f"{len(images)} images, {len(masks)} masks"
        raise ConfigError(
            "no canary in a folder",
            code="canary-folder",
            where=str(folder),
            found=f"{found}; without a partner: {', '.join(lonely[:5])}" if lonely else found,
            expected=f"images/<name>.png and masks/<name>.png, 1 to {CASES} of each",
            remedy="copy a few labelled cases that the model was not trained on",
        )
    return [CanaryCase(name, images[name], masks[name]) for name in sorted(images)]


def has_fallen(now: Sequence[float], then: Sequence[float]) -> bool:
    """Whether Dice is lower than it was, beyond the 95% interval of the mean difference over the same cases."""
    from seglab.statistics.intervals import mean_interval

    differences = np.asarray(now, float) - np.asarray(then, float)
    known = differences[~np.isnan(differences)]
    if not len(known) or known.max() == known.min():  # a set that moves as one needs no interval
        return bool(len(known)) and bool(known[0] < -1e-6)
    return bool(mean_interval(known[None], bounds=(-1.0, 1.0))[2] < 0)


def _by_name(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    return {stem_of(file): file for file in files}
