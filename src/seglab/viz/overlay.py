"""Masks and errors laid over a picture, each in its colour, and the legend of them."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Patch

from seglab.task import Task
from seglab.viz.palette import (
    CONFUSED,
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    IGNORED,
    TRUE_POSITIVE,
    Color,
    drawn_colors,
    first_drawn,
)

FILL, ERROR_FILL = 0.55, 0.85


def colored(picture: np.ndarray, ids: np.ndarray, task: Task, fill: float = FILL) -> np.ndarray:
    """The picture with every class but the background laid over in its colour, a share `fill` of it."""
    drawn = picture.copy()
    colors = drawn_colors(task)
    for class_id in range(first_drawn(task), task.classes):
        drawn[ids == class_id] *= 1 - fill
        drawn[ids == class_id] += fill * np.asarray(colors[class_id], np.float32) / 255
    return drawn


def error_map(picture: np.ndarray, truth: np.ndarray, prediction: np.ndarray, task: Task) -> np.ndarray:
    """The picture with what was found, added, missed and mistaken laid over it, each in its colour."""
    first = first_drawn(task)
    kinds = (
        ((truth == prediction) & (truth >= first), TRUE_POSITIVE),
        ((truth < first) & (prediction >= first), FALSE_POSITIVE),
        ((truth >= first) & (prediction < first), FALSE_NEGATIVE),
        ((truth >= first) & (prediction >= first) & (truth != prediction), CONFUSED),
    )
    drawn = picture.copy()
    for where, color in kinds:
        drawn[where] *= 1 - ERROR_FILL
        drawn[where] += ERROR_FILL * np.asarray(color, np.float32) / 255
    return drawn


def hatched(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Grey diagonal stripes over `where`, a few dozen across the picture whatever its size."""
    if not where.any():
        return picture
    rows, columns = np.indices(where.shape)
    period = max(2, max(where.shape) // 32)
    stripes = (rows + columns) // (period / 2) % 2 == 0
    drawn = picture.copy()
    drawn[where] = np.asarray(IGNORED, np.float32) / 255
    drawn[where & stripes] = 0.85
    return drawn


def mask_legend(task: Task, ignored: bool, errors: bool = True) -> list[Patch]:
    """Legend of the classes; of the `errors` of a prediction; of the stripes where anything is `ignored`."""
    first = first_drawn(task)
    colors = drawn_colors(task)
    handles = [_patch(colors[k], task.class_names[k]) for k in range(first, task.classes)]
    if errors:
        handles.append(_patch(TRUE_POSITIVE, "true positive" if first else "right"))
    if errors and first:
        handles += [_patch(FALSE_POSITIVE, "false positive"), _patch(FALSE_NEGATIVE, "false negative")]
    if errors and task.classes - first > 1:
        handles.append(_patch(CONFUSED, "wrong class"))
    if ignored:
        handles.append(Patch(facecolor=_hex(IGNORED), edgecolor="0.85", hatch="////", label="ignored"))
    return handles


def _patch(color: Color, label: str) -> Patch:
    return Patch(facecolor=_hex(color), edgecolor="none", label=label)


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
