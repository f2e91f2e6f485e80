"""The robot user: clicks where the mask is most wrong until it is right, and so measures a promptable model.

The rule is that of Sofiiuk, Petrov and Konushin, "Reviving Iterative Training with Mask Guidance" (RITM, 2021): of the
missed and of the wrongly taken pixels the one that lies deepest in its region is clicked; the image's edge counts as a
border; of equals the first in reading order, and the wrongly taken one before the missed one; no pixel twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seglab.data.prompts.clicks import depth
from seglab.interactive.prompt import BACKGROUND, FOREGROUND, Bools, Floats, box_of

CLICKS = 20
TARGETS = (0.80, 0.85, 0.90, 0.95)
FALL = 0.01  # of IoU, that counts as a mask made worse

Answer = Callable[[Sequence[Sequence[float]], Sequence[int], "Floats | None"], Bools]


@dataclass(frozen=True)
class Trial:
    """What became of one object.

    Attributes:
        ious: IoU with the truth after each interaction, a drawn box counting as the first.
        seconds: that each answer took.
        points, labels: the clicks.
    """

    ious: tuple[float, ...]
    seconds: tuple[float, ...]
    points: tuple[tuple[float, float], ...]
    labels: tuple[int, ...]

    def noc(self, target: float, clicks: int) -> int:
        """Number of interactions until the IoU reaches a target; `clicks` where it never does."""
        return next((number for number, iou in enumerate(self.ious, 1) if iou >= target), clicks)

    def failed(self, target: float) -> bool:
        """Whether no interaction reached it; success at the last one is none."""
        return max(self.ious) < target

    def iou_at(self, number: int) -> float:
        """IoU after so many interactions; that of the last where fewer were needed."""
        return self.ious[min(number, len(self.ious)) - 1]

    @property
    def falls(self) -> int:
        """After how many clicks the IoU was lower by more than `FALL` than before."""
        return int((np.diff(self.ious) < -FALL - 1e-9).sum())


def next_click(truth: Bools, mask: Bools, clicked: Bools, ignored: Bools | None = None) -> tuple[int, int, int] | None:
    """`x, y, label` of the next click on an image; None where nothing that was not clicked is wrong.

    Args:
        truth: `(H, W)`, the object.
        mask: `(H, W)`, as it is now.
        clicked: `(H, W)`, true where a click was made already.
        ignored: `(H, W)`, true where nobody knows; nothing there is wrong.
    """
    known = np.ones_like(truth) if ignored is None else ~ignored
    missed, taken = _depth(truth & ~mask & known), _depth(~truth & mask & known)
    missed[clicked], taken[clicked] = 0, 0
    deepest_missed, deepest_taken = int(missed.max(initial=0)), int(taken.max(initial=0))
    if not max(deepest_missed, deepest_taken):
        return None
    depths, label = (missed, FOREGROUND) if deepest_missed > deepest_taken else (taken, BACKGROUND)
    row, column = np.unravel_index(int(depths.argmax()), depths.shape)
    return int(column), int(row), label


def _depth(wrong: Bools) -> npt.NDArray[np.int64]:
    """Squared distance of each pixel to the nearest that is not wrong, the image being surrounded by such."""
    return np.rint(depth(wrong).astype(np.float64) ** 2).astype(np.int64)


def try_object(
    answer: Answer, truth: Bools, *, clicks: int = CLICKS, box_first: bool = False, ignored: Bools | None = None
) -> Trial:
    """Click on one object until its mask has an IoU of the highest target, or `clicks` interactions were made.

    Args:
        answer: takes all points and labels so far and the box or None; gives the mask.
        truth: `(H, W)`, the object; not empty.
        clicks: interactions at most.
        box_first: begin with the object's tight box instead of a click.
        ignored: `(H, W)`, true where nobody knows.
    """
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    ious: list[float] = []
    seconds: list[float] = []
    box = box_of(truth) if box_first else None
    mask, clicked = np.zeros_like(truth), np.zeros_like(truth)
    for number in range(clicks):
        if number or box is None:
            click = next_click(truth, mask, clicked, ignored)
            if click is None:
                break
            x, y, label = click
            clicked[y, x] = True
            points.append((float(x), float(y)))
            labels.append(label)
        began = time.perf_counter()
        mask = answer(points, labels, box)
        seconds.append(time.perf_counter() - began)
        ious.append(iou(truth, mask, ignored))
        if ious[-1] >= TARGETS[-1]:
            break
    return Trial(tuple(ious), tuple(seconds), tuple(points), tuple(labels))


def iou(truth: Bools, mask: Bools, ignored: Bools | None = None) -> float:
    """Intersection over union where it is known; 1 of two empty masks."""
    if ignored is not None:
        truth, mask = truth & ~ignored, mask & ~ignored
    union = int((truth | mask).sum())
    return int((truth & mask).sum()) / union if union else 1.0
