"""A picture of training samples as the network sees them, after preprocessing and augmentation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seglab.task import Task
from seglab.viz.figures import INK, blank_figure, show
from seglab.viz.overlay import colored, hatched, mask_legend
from seglab.viz.planes import Plane, planes

COLUMNS = 4
PANEL_INCHES, TITLE_INCHES, LEGEND_INCHES, LEGEND_COLUMNS = 2.5, 0.4, 0.3, 6
SAMPLE_FILL = 0.3  # lighter than in pictures of results: here the image has to be seen


def augmented_samples(
    samples: Sequence[tuple[np.ndarray, np.ndarray]],
    task: Task,
    *,
    spacing: tuple[float, ...] | None = None,
) -> Figure:
    """Samples in rows of four, classes filled lightly and outlined in their colours; stripes where nothing is learned.

    A volume is shown in its axial plane (the first two axes) through the middle of its foreground. Each image is
    stretched to its own middle 99% of intensities.

    Args:
        samples: pairs of image `(*size, C)` and class ids `(*size)`, such as 16.
        task: names, colours, ignore label.
        spacing: size of a pixel or voxel along each axis; gives the pixels their shape. None: square.

    Raises:
        ValueError: no samples.
    """
    if not samples:
        raise ValueError("no samples to draw")
    shown = [_plane(image, mask, spacing or (1.0,) * task.rank, task) for image, mask in samples]
    ignored = any((plane.truth == task.ignore_label).any() for plane in shown)
    legend = mask_legend(task, ignored, errors=False)
    columns, rows = min(COLUMNS, len(shown)), -(-len(shown) // COLUMNS)
    panel = PANEL_INCHES * float(np.clip(max(plane.height / plane.width for plane in shown), 0.3, 2.0))
    lines = math.ceil(len(legend) / LEGEND_COLUMNS)
    figure = blank_figure(COLUMNS * PANEL_INCHES, rows * panel + TITLE_INCHES + lines * LEGEND_INCHES)
    cut = ", each in the plane of its first two axes" if task.rank == 3 else ""
    figure.suptitle(f"Training samples, after augmentation{cut}", fontsize=11, color=INK)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, plane in zip(grid, shown, strict=False):
        _draw(axes, plane, task)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    figure.legend(handles=legend, loc="outside lower center", ncols=LEGEND_COLUMNS, fontsize=8, frameon=False)
    return figure


def _plane(image: np.ndarray, mask: np.ndarray, spacing: tuple[float, ...], task: Task) -> Plane:
    return planes(image, mask, mask, spacing, task.ignore_label)[0]


def _draw(axes: Axes, plane: Plane, task: Task) -> None:
    picture = colored(plane.image, plane.truth, task, SAMPLE_FILL)
    picture = colored(picture, np.where(_outline(plane.truth), plane.truth, task.ignore_label), task, 1.0)
    show(axes, hatched(picture, plane.truth == task.ignore_label), plane)


def _outline(ids: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour, above, below, left or right, of another class."""
    differs = np.zeros(ids.shape, bool)
    for axis in (0, 1):
        step = np.diff(ids.astype(np.int16), axis=axis) != 0
        first, last = [slice(None)] * 2, [slice(None)] * 2
        first[axis], last[axis] = slice(None, -1), slice(1, None)
        differs[tuple(first)] |= step
        differs[tuple(last)] |= step
    return differs
