"""A case as a picture in a page: the image, and the classes of its mask laid over it."""

from __future__ import annotations

import cv2
import numpy as np

from seglab.data.cases import Sample
from seglab.reports.html_document import address
from seglab.task import Task
from seglab.viz.palette import IGNORED, drawn_colors
from seglab.viz.planes import Plane, planes

SIDE = 192  # pixels of the longer side
FILL = 0.4


def case_pictures(sample: Sample, task: Task) -> list[tuple[str, str, str]]:
    """Caption, picture without and picture with the mask of each plane: one in 2D, three in 3D.

    The pictures are `data:` addresses of JPEG files. A volume whose directions are known is drawn as radiologists
    look at it from the front, and the caption gives the letters of its left, right, lower and upper edge.
    """
    mask = np.full(sample.image.shape[:-1], task.ignore_label, np.uint8) if sample.mask is None else sample.mask
    drawn = planes(sample.image, mask, mask, sample.spacing, task.ignore_label, anatomical=sample.affine is not None)
    return [(_caption(plane), *_both(plane, task)) for plane in drawn]


def _caption(plane: Plane) -> str:
    if not plane.edges:
        return plane.name
    left, right, low, high = list(plane.edges)
    return f"{plane.name}; {left}–{right}, {low} below, {high} above"


def _both(plane: Plane, task: Task) -> tuple[str, str]:
    scale = SIDE / max(plane.width, plane.height)
    size = max(1, round(plane.width * scale)), max(1, round(plane.height * scale))
    smaller = size[0] < plane.truth.shape[1]
    image = cv2.resize(plane.image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_NEAREST)
    ids = cv2.resize(plane.truth, size, interpolation=cv2.INTER_NEAREST_EXACT)
    if plane.origin == "lower":
        image, ids = image[::-1], ids[::-1]
    return _address(image), _address(_laid_over(image, ids, task))


def _laid_over(image: np.ndarray, ids: np.ndarray, task: Task) -> np.ndarray:
    """Classes that count are filled and outlined in their colours; the others stay clear, ignored pixels grey."""
    colors = np.zeros((256, 3), np.float32)
    colors[: task.classes] = drawn_colors(task)
    colors[task.ignore_label] = IGNORED
    shown = np.isin(ids, [*task.scored, task.ignore_label])
    edge = np.zeros(ids.shape, bool)
    edge[:-1] |= ids[:-1] != ids[1:]
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    share = np.where(shown, np.where(edge, 1.0, FILL), 0.0)[..., None].astype(np.float32)
    return image * (1 - share) + colors[ids] / 255 * share


def _address(image: np.ndarray) -> str:
    pixels = cv2.cvtColor((image * 255).round().astype(np.uint8), cv2.COLOR_RGB2BGR)
    flags = [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, written = cv2.imencode(".jpg", pixels, flags)
    return address(written.tobytes(), "jpeg")
