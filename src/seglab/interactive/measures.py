"""What a mask measures, and what a user should be told about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from seglab.interactive.prompt import Bools, Floats, box_of, inside

_SMALL_BOX = 8  # pixels a side
_FULL = 0.95  # of a box
_SECOND = 0.2  # of a mask's area, in a second component

# What a pixel of the border adds to the perimeter, by how many of its neighbours are of the border too: 2 for each
# beside it, 10 for each across a corner, 1 for itself. K. Benkrid and D. Crookes, "Design and FPGA Implementation of a
# Perimeter Estimator", 2000.
_STRAIGHT, _DIAGONAL, _BENT = (5, 7, 15, 17, 25, 27), (21, 33), (13, 23)
_NEIGHBOURS = np.array([[10, 2, 10], [2, 1, 2], [10, 2, 10]], np.float32)


@dataclass(frozen=True)
class Measures:
    """Of one mask; sizes in mm are NaN where no spacing is known.

    Attributes:
        area: pixels or voxels.
        area_mm: mm², or mm³ of a volume.
        perimeter: length of the border in pixels, NaN of a volume.
        perimeter_mm: in mm; NaN where a pixel is no square.
        components: parts that touch across faces, edges or corners.
        box: the tight box, `x0 y0 x1 y1` from outer edge to outer edge; None of an empty mask.
        fill: area of the mask over that of its tight box; NaN of an empty mask.
    """

    area: int
    area_mm: float
    perimeter: float
    perimeter_mm: float
    components: int
    box: Floats | None
    fill: float


def measure(mask: Bools, spacing: Sequence[float] | None = None) -> Measures:
    """Measures of `(H, W)` or `(X, Y, Z)`; `spacing` is the size of a pixel along each axis in mm."""
    box = box_of(mask)
    part = mask if box is None else mask[inside(box, mask.shape)]  # an object is small, and an image may be large
    area = int(part.sum())
    of_pixel = math.prod(spacing) if spacing else math.nan
    length = perimeter(part) if mask.ndim == 2 else math.nan
    step = spacing[0] if spacing and math.isclose(min(spacing), max(spacing), rel_tol=1e-4) else math.nan
    size = 0.0 if box is None else float(np.prod(box[mask.ndim :] - box[: mask.ndim]))
    return Measures(
        area, area * of_pixel, length, length * step, len(_areas(part)), box, area / size if size else math.nan
    )


def perimeter(mask: Bools) -> float:
    """Length of the border of `(H, W)` in pixels: through the centres of its pixels, diagonals counted as such."""
    ring: Any = np.pad(mask, 1).astype(np.uint8)
    border = ring - cv2.erode(ring, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), borderValue=0)
    kinds = cv2.filter2D(border.astype(np.float32), -1, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
    counts = np.bincount(np.rint(kinds[border > 0]).astype(np.int64), minlength=50)
    straight, diagonal, bent = (sum(int(counts[kind]) for kind in kinds) for kinds in (_STRAIGHT, _DIAGONAL, _BENT))
    return straight + diagonal * math.sqrt(2) + bent * (1 + math.sqrt(2)) / 2


def _areas(mask: Bools) -> list[int]:
    """Of each component, the largest first."""
    parts, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    return sorted(np.bincount(parts.ravel(), minlength=count + 1)[1:].tolist(), reverse=True)


def warnings(mask: Bools, box: Floats | None) -> tuple[str, ...]:
    """What is doubtful about a mask, a sentence each, that begins with a fixed word.

    `small-box`, `empty-mask`, `outside-box`, `fills-box`, `touches-box`, `two-objects`.
    """
    found = []
    if box is not None and float((box[mask.ndim :] - box[: mask.ndim]).min()) < _SMALL_BOX:
        found.append(f"small-box: the box is less than {_SMALL_BOX} pixels wide; zoom in and draw it anew")
    tight = box_of(mask)
    if tight is None:
        return (*found, "empty-mask: nothing was found; click on the object")
    areas = _areas(mask[inside(tight, mask.shape)])
    if box is not None:
        region = inside(box, mask.shape)
        part = mask[region]
        if not part.any():
            found.append("outside-box: the mask lies beside the box; draw the box anew, or click on the object in it")
        elif part.mean() >= _FULL:
            found.append("fills-box: the mask is nearly the whole box; click on what does not belong to it")
        if part.any() and (int(mask.sum()) > int(part.sum()) or (part.mean() < _FULL and _pressed(part))):
            found.append("touches-box: the mask reaches the border of the box; the object may go on beyond it")
    if len(areas) > 1 and areas[1] >= _SECOND * sum(areas):
        found.append("two-objects: two parts of similar size; likely two objects")
    return tuple(found)


def _pressed(part: Bools) -> bool:
    """Whether a quarter of one side of a box is mask: a tight box is touched by every object, but in few pixels."""
    sides = [side for number in range(part.ndim) for side in (part.take(0, number), part.take(-1, number))]
    return any(side.mean() > 0.25 and side.size > _SMALL_BOX for side in sides)
