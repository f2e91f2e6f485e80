"""What is left of a class after the random changes of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from seglab.config.sections import DataConfig
from seglab.data.augment import Augmentation
from seglab.data.cases import Case, Source
from seglab.data.check.findings import Finding
from seglab.data.preprocessing.geometry import cut, letterbox_mask, resize_mask
from seglab.data.preprocessing.spacing import resample_mask
from seglab.data.randomness import generator
from seglab.task import Task

LEAST_KEPT = 0.5  # of a class's share of the labelled pixels
CASES, DRAWS = 12, 4


def find_lost_in_augmentation(
    source: Source, cases: Sequence[Case], augmentation: Augmentation | None, card: DataConfig, seed: int
) -> Iterator[Finding]:
    """A row for each scored class of which augmented masks hold less than half as much as the masks before.

    Args:
        source: reads the cases.
        cases: some training cases; each is changed `DRAWS` times.
        augmentation: of the training, or None.
        card: size and fit of the input.
        seed: of the draws.
    """
    if augmentation is None:
        return
    task = source.task
    before, after, masks = np.zeros(len(task.unions)), np.zeros(len(task.unions)), 0
    for case in cases:
        sample = source.read(case)
        if sample.mask is None:
            continue
        spacing = sample.spacing if card.spacing is None else tuple(card.spacing)
        whole = sample.mask
        if card.spacing is not None:
            whole = resample_mask(whole, sample.spacing, card.spacing, task.ignore_label)
        for draw in range(DRAWS):
            rng = generator(seed, "check", case.id, draw)
            mask = _as_input(whole, card, task.scored, task.ignore_label, rng)
            # The image plays no part in what becomes of the mask; a flat one would have no deviation to scale by.
            image = rng.standard_normal((*mask.shape, task.channels), np.float32)
            _, changed = augmentation(image, mask, rng, spacing)
            before += _shares(mask, task)
            after += _shares(changed, task)
            masks += 1
    for k in task.counted:
        if before[k] and after[k] < LEAST_KEPT * before[k]:
            yield Finding.of(
                "class-lost-in-augmentation",
                f"{'region' if task.regions else 'class'} {task.score_names[k]}",
                f"{before[k] / masks:.2%} of the pixels before, {after[k] / masks:.2%} after ({masks} draws)",
                f"at least {LEAST_KEPT:.0%} of it left",
                "weaker deformations and changes of scale; augment=none leaves masks as they are",
            )


def _as_input(
    mask: np.ndarray, card: DataConfig, scored: Sequence[int], ignore_label: int, rng: np.random.Generator
) -> np.ndarray:
    """The mask at the size of the input; a box is cut around a pixel of a scored class, if there is one."""
    if card.resize_mode == "resize":
        return resize_mask(mask, card.size, ignore_label)
    if card.resize_mode == "letterbox":
        return letterbox_mask(mask, card.size, ignore_label)
    places = np.flatnonzero(np.isin(mask, scored))
    middle = (
        np.unravel_index(places[rng.integers(len(places))], mask.shape) if len(places) else np.array(mask.shape) // 2
    )
    return cut(mask, [int(at) - side // 2 for at, side in zip(middle, card.size, strict=True)], card.size, ignore_label)


def _shares(mask: np.ndarray, task: Task) -> np.ndarray:
    """Share of the labelled pixels that each class or region holds."""
    counts = np.bincount(mask.ravel(), minlength=256)[: task.classes]
    return np.array([counts[list(classes)].sum() for classes in task.unions]) / max(int(counts.sum()), 1)
