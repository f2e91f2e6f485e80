"""What is left of a class when masks are brought to the size that the model sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy import ndimage

from seglab.config.sections import DataConfig
from seglab.data.check.findings import Finding
from seglab.data.preprocessing.geometry import letterbox_shape, resize_mask
from seglab.data.preprocessing.spacing import resampled_shape
from seglab.task import Task

# A class is called thin when a mask that was made small and large again has a Dice below this with itself,
LOWEST_CEILING = 0.8
# or one below this, and so large a share of its parts is lost: of a large class only crumbs are.
HIGH_CEILING, MOST_PARTS_LOST = 0.9, 0.3
SMALLEST_PART = 4  # pixels or voxels; anything smaller is taken for noise of the annotation


@dataclass
class Shrunk:
    """Counts over several masks, one for each class or region.

    Attributes:
        unions: the class ids of each, `Task.unions`.
        ignore_label: counts for none.
        overlap: pixels that are still in it after the way to the model's size and back.
        before, after: pixels of each in the mask, and in what came back.
        parts, lost: connected parts, and those that nothing of is left in what came back.
        masks: how many masks were counted.
    """

    unions: tuple[tuple[int, ...], ...]
    ignore_label: int
    overlap: np.ndarray = field(init=False)
    before: np.ndarray = field(init=False)
    after: np.ndarray = field(init=False)
    parts: np.ndarray = field(init=False)
    lost: np.ndarray = field(init=False)
    masks: int = 0

    def __post_init__(self) -> None:
        for name in ("overlap", "before", "after", "parts", "lost"):
            setattr(self, name, np.zeros(len(self.unions), np.int64))

    def add(self, mask: np.ndarray, shape: Sequence[int]) -> None:
        """Count a mask `(H, W)` or `(X, Y, Z)` of class ids that the model sees in `shape`."""
        small = resize_mask(mask, shape, self.ignore_label)
        back = np.where(mask == self.ignore_label, mask, resize_mask(small, mask.shape, self.ignore_label))
        self.masks += 1
        for k, classes in enumerate(self.unions):
            inside, inside_back = np.isin(mask, classes), np.isin(back, classes)
            self.before[k] += inside.sum()
            self.after[k] += inside_back.sum()
            self.overlap[k] += (inside & inside_back).sum()
            labels, sizes = _parts(inside)
            counted = sizes >= SMALLEST_PART
            counted[0] = False
            left = np.zeros(len(sizes), bool)
            left[np.unique(labels[inside_back])] = True
            self.parts[k] += int(counted.sum())
            self.lost[k] += int((counted & ~left).sum())

    def merge(self, other: Shrunk) -> None:
        """Add the counts of further masks."""
        for name in ("overlap", "before", "after", "parts", "lost"):
            getattr(self, name).__iadd__(getattr(other, name))
        self.masks += other.masks


def shape_seen(card: DataConfig, shape: Sequence[int], spacing: Sequence[float]) -> tuple[int, ...]:
    """How many pixels or voxels a whole image of `shape` has along each axis when the model sees it."""
    if card.spacing is not None:
        shape = resampled_shape(shape, spacing, card.spacing)
    if card.resize_mode == "resize":
        return tuple(card.size)
    return letterbox_shape(shape, card.size) if card.resize_mode == "letterbox" else tuple(shape)


def shrinks(card: DataConfig, shape: Sequence[int], spacing: Sequence[float]) -> bool:
    """Whether an image of `shape` loses pixels along some axis."""
    return any(new < old for new, old in zip(shape_seen(card, shape, spacing), shape, strict=True))


def find_thin_classes(counts: Shrunk, card: DataConfig, task: Task) -> Iterator[Finding]:
    """A row for each scored class or region that the size of the input takes too much from."""
    sizes, remedies = [], []
    if card.resize_mode in ("resize", "letterbox"):
        sizes.append("×".join(map(str, card.size)))
        remedies.append("a larger data.size, or data.resize_mode=patch")
    if card.spacing is not None:
        sizes.append("×".join(f"{step:g}" for step in card.spacing) + " mm")
        remedies.append("a finer data.spacing")
    seen, remedy = " and ".join(sizes), "; ".join(remedies)
    for k in task.counted:
        if not counts.before[k]:
            continue
        ceiling = 2 * counts.overlap[k] / (counts.before[k] + counts.after[k])
        lost = counts.lost[k] / max(counts.parts[k], 1)
        if ceiling < LOWEST_CEILING or (ceiling < HIGH_CEILING and lost > MOST_PARTS_LOST):
            yield Finding.of(
                "thin-class-lost",
                f"{'region' if task.regions else 'class'} {task.score_names[k]}",
                f"at {seen} (data.resize_mode={card.resize_mode}) {counts.lost[k]} of its {counts.parts[k]} parts "
                f"vanish and a perfect model would reach Dice {ceiling:.2f} ({counts.masks} masks looked at)",
                f"Dice {LOWEST_CEILING} or more, and at most {MOST_PARTS_LOST:.0%} of the parts lost",
                remedy,
            )


def evenly(items: Sequence[str], most: int) -> list[str]:
    """At most `most` of the items, spread over all of them."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))]


def _parts(where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of each pixel's connected part (0: none) and the size of every part."""
    if where.ndim == 2:
        _, labels, stats, _ = cv2.connectedComponentsWithStats(where.astype(np.uint8), connectivity=8)
        return labels, stats[:, cv2.CC_STAT_AREA].copy()
    labels, _ = ndimage.label(where, np.ones((3, 3, 3)))
    return labels, np.bincount(labels.ravel())
