"""How far the masks of an image and of its mirror images agree: a sign of quality that needs no truth, at the price of
three more predictions.

The mean Dice of such masks, two at a time, told bad ones best among what was compared on five sets of volumes (Zenk et
al. 2025, https://arxiv.org/abs/2406.03323).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from seglab.metrics.confusion import confusion_matrix, macro, overlaps, sizes
from seglab.task import Task

# Mirrored along rows, columns and both; of a volume along each axis.
_FLIPS = {2: ((0,), (1,), (0, 1)), 3: ((0,), (1,), (2,))}


def flip_agreement(
    image: np.ndarray, ids: np.ndarray, task: Task, predict: Callable[[np.ndarray], np.ndarray]
) -> float | None:
    """Mean Dice of the four masks, two at a time.

    Args:
        image: `(*spatial, C)`.
        ids: its mask, `(*spatial)`.
        task: whose scored classes count, each where one of the two holds it.
        predict: from an image to its mask.

    Returns:
        In 0..1; None where no mask holds a scored class.
    """
    flipped = [np.flip(predict(np.ascontiguousarray(np.flip(image, axes))), axes) for axes in _FLIPS[task.rank]]
    pairs = itertools.combinations([ids, *flipped], 2)
    found = [macro(overlaps(sizes(confusion_matrix(one, other, task), task))[0], task) for one, other in pairs]
    known = [one for one in found if not math.isnan(one)]
    return float(np.mean(known)) if known else None
