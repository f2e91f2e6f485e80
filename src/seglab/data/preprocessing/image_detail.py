"""The fine structure of an image inside its field of view, on a small grid: by it, copies are told from their kind.

Two retina photographs have the same round black border, the same shading and a bright disc on one side; what makes them
two is their vessels. So the ground that touches the border of the picture is left out, what is coarser than about an
eighth of the picture is taken away, and what is left has the same contrast everywhere (band-pass and local contrast
normalisation: Jarrett et al., What is the best multi-stage architecture for object recognition?, ICCV 2009).
"""

from __future__ import annotations

import base64
from functools import cache

import numpy as np
from scipy import ndimage

from seglab.data.preprocessing.geometry import resize_image

# Places along each axis, by rank.
SIDE = {2: 48, 3: 24}
# Pixels of an axis that are looked at, by rank.
_LOOKED_AT = {2: 256, 3: 96}
# Marks a place outside the field of view.
OUTSIDE = -128
# Steps of the 8-bit number in one standard deviation; beyond 3 of them it is cut off, as a burnt-in letter would be.
STEPS = 42
# Standard deviations of the two blurs, in places of the grid.
_FINE, _COARSE = 0.8, 2.5
# Contrast that is lifted to one level ends at this share of the picture's own: below lies noise.
_LEAST_CONTRAST = 0.5
# The ground around a field of view: so far from its commonest value (of 255), on so much of the frame at least. Ground
# that is neither nearly black nor nearly white is padding, of one value. A picture of hardly more than ground is taken
# as it is.
_GROUND, _PADDING, _NEARLY = 8, 1, 24
_FRAME_SHARE, _MOST_GROUND = 0.15, 0.8


def detail_of(image: np.ndarray) -> str:
    """The detail of `(H, W, C)` or `(X, Y, Z, C)`, as base64 of `(SIDE,) * rank` int8; `decode` gives the array back.

    Proportions are not kept: every image fills the grid. What is outside the field of view holds `OUTSIDE`.
    """
    rank = image.ndim - 1
    # Whole lines first: they lie in one piece.
    for axis, size in enumerate(image.shape[:-1]):
        step = max(size // _LOOKED_AT[rank], 1)
        image = image[(slice(None),) * axis + (slice(None, None, step),)]
    small = resize_image(np.ascontiguousarray(image).astype(np.float32), (SIDE[rank],) * rank).mean(axis=-1)
    low, high = np.percentile(small, (0.5, 99.5))
    values = np.clip((small - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1).astype(np.float32)
    return base64.b64encode(_detail(values).tobytes()).decode()


def decode(details: list[str], rank: int) -> np.ndarray:
    """`(N, SIDE, …)` int8 of what `detail_of` gave."""
    held = b"".join(base64.b64decode(detail) for detail in details)
    return np.frombuffer(held, np.int8).reshape(len(details), *(SIDE[rank],) * rank)


def _detail(values: np.ndarray) -> np.ndarray:
    seen = _field_of_view(values)
    inside = seen.astype(np.float32)
    # Averages of what is inside alone: the edge of the field of view is no structure.
    fine, coarse = (smooth(inside, width) + 1e-3 for width in (_FINE, _COARSE))
    level = (values - values[seen].mean()) * inside
    band = (smooth(level, _FINE) / fine - smooth(level, _COARSE) / coarse) * inside
    contrast = np.sqrt(smooth(band * band, _COARSE) / coarse)
    floor = _LEAST_CONTRAST * np.sqrt(np.square(band[seen]).mean())
    even = band / (contrast + floor + 1e-6)
    steps = np.clip(np.rint(even * STEPS), -127, 127)
    return np.where(seen, steps, OUTSIDE).astype(np.int8)


def _field_of_view(values: np.ndarray) -> np.ndarray:
    """False on ground of about one value that reaches in from the border, and one place farther."""
    levels = np.rint(values * 255).astype(np.int64)
    frame = np.ones(levels.shape, bool)
    frame[(slice(1, -1),) * levels.ndim] = False
    counts = np.bincount(levels[frame], minlength=256)
    ground = int(np.convolve(counts, np.ones(2 * _GROUND + 1), "same").argmax())
    if _NEARLY < ground < 255 - _NEARLY:
        ground, reach = int(counts.argmax()), _PADDING
    else:
        reach = _GROUND
    near = np.abs(levels - ground) <= reach
    if near[frame].mean() < _FRAME_SHARE:
        return np.ones(levels.shape, bool)
    labels, count = ndimage.label(near)
    reached = np.zeros(count + 1, bool)
    reached[labels[frame & near]] = True
    outside = reached[labels]
    return np.ones(levels.shape, bool) if outside.mean() > _MOST_GROUND else ~ndimage.binary_dilation(outside)


def smooth(array: np.ndarray, width: float, axes: tuple[int, ...] | None = None) -> np.ndarray:
    """A Gaussian blur of all axes or of some, which loses what goes over the border.

    A product with small matrices: many times as fast as a filter that goes along the lines.
    """
    for axis in range(array.ndim) if axes is None else axes:
        array = along(_blur(array.shape[axis], width), array, axis)
    return array


def along(matrix: np.ndarray, array: np.ndarray, axis: int) -> np.ndarray:
    """The product of `(new, old)` with every line along an axis."""
    return np.moveaxis(np.moveaxis(array, axis, -1) @ matrix.T, -1, axis)


@cache
def _blur(size: int, width: float) -> np.ndarray:
    apart = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.exp(-0.5 * np.square(apart / width)).astype(np.float32)
    return weights / weights[size // 2].sum()
