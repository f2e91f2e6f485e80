"""What is noticed while a mask is made: how sure the model was, without another pass over the image.

The soft Dice confidence of a class is the Dice that its mask would have, were each pixel as likely of the class as the
model says (arXiv 2402.10665): with p the probabilities and m the mask, 2 Σ p·m / (Σ p + Σ m). A class that the mask
does not hold has none, and a mask without any foreground has none. Of a task with regions that is of each region, the
entropy is that of all of a pixel's regions together, and how sure a pixel is says the least sure of them.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from seglab.inference.reference_data import short
from seglab.metrics.confusion import union_of
from seglab.task import Task

_LOOKED_AT = 1 << 14  # pixels of a block whose entropy is taken, or up to twice as many
_PARTS_OF = 1 << 18  # pixels of a mask in which connected parts are counted; of a larger one every second, third …


class MaskFacts:
    """Sums over a mask; it is a `seglab.inference.decision.MaskObserver`.

    Args:
        task: whose classes the mask holds.

    Attributes:
        chosen: `(K,)` sum of the probabilities of the pixels of each class, where it was chosen.
        pixels: `(K,)` of each class.
        probable: `(K,)` sum of the probabilities of each class over all pixels; `(R,)` of each region.
    """

    def __init__(self, task: Task):
        self.task = task
        self.chosen, self.probable = np.zeros(task.classes), np.zeros(task.probability_channels)
        self.pixels = np.zeros(task.classes, np.int64)
        self._within = np.zeros(
            (len(task.regions), 2)
        )  # of each region the probabilities and pixels where it was found
        self._entropy, self._entropy_pixels = 0.0, 0

    def channel(self, number: int, probabilities: np.ndarray) -> None:
        """Add the probabilities of a class in a block of the mask; of a binary task `binary` adds all."""
        self.probable[number] += float(probabilities.sum())
        some = _some(probabilities)
        self._entropy -= _plogp(some)
        if number == self.task.classes - 1:
            self._entropy_pixels += some.size

    def mask(self, ids: np.ndarray, best: np.ndarray) -> None:
        """Add a block of the mask, with the probability of each pixel's class."""
        ids, best = (np.ascontiguousarray(array).reshape(len(array), -1) for array in (ids, best))
        pixels, total = ids.size, cv2.sumElems(best)[0]
        for number in range(1, len(self.chosen)):  # of a few classes that is faster than to count all at once
            inside = (ids == number).view(np.uint8)
            count = cv2.countNonZero(inside)
            mean = cv2.mean(best, inside)[0] if count else 0.0
            self._add(number, count, mean * count)
            pixels, total = pixels - count, total - mean * count
        self._add(0, pixels, total if pixels else 0.0)  # what is left, which is the most of most images

    def binary(self, ids: np.ndarray, foreground: np.ndarray) -> None:
        """Add a block of a binary task: the background's sums are what is missing from 1 in each pixel."""
        ids, foreground = (np.ascontiguousarray(array).reshape(len(array), -1) for array in (ids, foreground))
        total, count = cv2.sumElems(foreground)[0], cv2.countNonZero(ids)
        within = cv2.mean(foreground, ids)[0] * count if count else 0.0
        outside = ids.size - count
        self.probable += (ids.size - total, total)
        self._add(1, count, within)
        self._add(0, outside, outside - (total - within) if outside else 0.0)
        some = _some(foreground)
        self._entropy -= _plogp(some) + _plogp(1 - some)
        self._entropy_pixels += some.size

    def region(self, number: int, inside: np.ndarray, probabilities: np.ndarray) -> None:
        """Add the probabilities of a region in a block of the mask."""
        self.probable[number] += float(probabilities.sum())
        self._within[number] += (float(probabilities[inside].sum()), np.count_nonzero(inside))
        some = _some(probabilities)
        self._entropy -= _plogp(some) + _plogp(1 - some)
        if number == len(self.task.regions) - 1:
            self._entropy_pixels += some.size

    def _add(self, number: int, pixels: int, total: float) -> None:
        self.pixels[number] += pixels
        self.chosen[number] += total

    @property
    def confidence(self) -> float:
        """Mean probability of the class that was chosen, over all pixels."""
        return float(self.chosen.sum() / self.pixels.sum())

    def confidence_of(self, number: int) -> float | None:
        """The same over the pixels of a class; None where there are none."""
        return float(self.chosen[number] / self.pixels[number]) if self.pixels[number] else None

    @property
    def entropy(self) -> float:
        """Mean entropy of a pixel's class, in nats: 0 where the model is sure, at most log K, of R regions R log 2."""
        return self._entropy / self._entropy_pixels

    def soft_dice_of(self, number: int) -> float | None:
        """Soft Dice confidence of a class or region, in 0..1; None where the mask does not hold it."""
        chosen, pixels = self._within[number] if self.task.regions else (self.chosen[number], self.pixels[number])
        if not pixels:
            return None
        return float(2 * chosen / (self.probable[number] + pixels))

    @property
    def soft_dice(self) -> float | None:
        """Its mean over the scored classes that the mask holds; None where it holds none."""
        found = [self.soft_dice_of(number) for number in self.task.counted]
        known = [one for one in found if one is not None]
        return float(np.mean(known)) if known else None


def _some(probabilities: np.ndarray) -> np.ndarray:
    """Of a block, evenly drawn."""
    return probabilities.reshape(-1)[:: max(1, probabilities.size // _LOOKED_AT) | 1]


def _plogp(probabilities: np.ndarray) -> float:
    floor = np.maximum(probabilities, np.float32(1e-12))
    return float(floor.ravel() @ np.log(floor).ravel())


def parts_of(ids: np.ndarray, task: Task) -> int:
    """Connected parts of the scored classes, or regions, together, over edges and corners; of a mask of more than
    262,144 pixels every second, third … pixel counts, along each axis."""
    step = max(1, round((ids.size / _PARTS_OF) ** (1 / ids.ndim) + 0.499))
    seen = np.ascontiguousarray(ids[(slice(None, None, step),) * ids.ndim])
    held = [found for number in task.counted if (found := union_of(seen, task.unions[number])).any()]
    if seen.ndim == 2:
        return sum(cv2.connectedComponents(found.view(np.uint8))[0] - 1 for found in held)
    from scipy.ndimage import label

    return sum(int(label(found, np.ones((3,) * seen.ndim))[1]) for found in held)


def mask_statistics(facts: MaskFacts, ids: np.ndarray) -> dict[str, Any]:
    """What is kept of a mask: `confidence`, `entropy`, `soft_dice` (None without foreground), `parts`, and `shares`, of
    each class in 0..1.

    Args:
        facts: that were noticed while it was made.
        ids: the mask.
    """
    return {
        "confidence": short(facts.confidence),
        "entropy": short(facts.entropy),
        "soft_dice": None if facts.soft_dice is None else short(facts.soft_dice),
        "parts": parts_of(ids, facts.task),
        "shares": [short(count / ids.size) for count in facts.pixels.tolist()],
    }
