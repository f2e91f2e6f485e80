"""Views: the box of an image that a promptable network is shown, resized to its input.

A view lies inside of the image, so that nothing has to be made up around it, and has the proportions of the network's
input as far as the image allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# No view is enlarged more than this: a speck fills a quarter of each side.
LARGEST_MAGNIFICATION = 4.0


@dataclass(frozen=True)
class View:
    """A box of whole pixels inside of an image.

    Attributes:
        start: its lowest corner.
        shape: its sides.
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def box(self) -> tuple[slice, ...]:
        """To cut it out of an array."""
        return tuple(slice(s, s + n) for s, n in zip(self.start, self.shape, strict=True))

    def contents(self, inside: np.ndarray, start: Sequence[int]) -> np.ndarray:
        """What this view holds of a boolean array whose lowest corner lies at `start` of the image: of its shape."""
        held = np.zeros(self.shape, bool)
        lows = [max(a, b) for a, b in zip(self.start, start, strict=True)]
        ends = [min(a + n, b + m) for a, n, b, m in zip(self.start, self.shape, start, inside.shape, strict=True)]
        if all(low < end for low, end in zip(lows, ends, strict=True)):
            here = tuple(slice(low - a, end - a) for low, end, a in zip(lows, ends, self.start, strict=True))
            there = tuple(slice(low - b, end - b) for low, end, b in zip(lows, ends, start, strict=True))
            held[here] = inside[there]
        return held


def widest(image: Sequence[int], size: Sequence[int]) -> float:
    """How many pixels of an image a pixel of the network's input is in the largest view of the input's proportions."""
    return min(full / side for full, side in zip(image, size, strict=True))


def view_around(
    low: Sequence[float] | np.ndarray,
    high: Sequence[float] | np.ndarray,
    image: Sequence[int],
    size: Sequence[int],
    margin: float = 1.0,
    shift: Sequence[float] | np.ndarray | None = None,
) -> View:
    """The view around a box.

    Args:
        low, high: corners of what must be seen, in pixels of the image from the outer edge of its first one, as slices
            count; what of it lies outside of the image counts for nothing.
        image: spatial shape of the image.
        size: of the network's input.
        margin: the view's side over the box's, along the axis on which the box is the longest for the input.
        shift: of the view along each axis, as a share of the room that it has around the box, in -1..1; None for the
            box in the middle.
    """
    full, sides = np.array(image, float), np.array(size, float)
    lows, highs = np.clip(low, 0, full), np.clip(high, 0, full)
    factor = max(float(np.max((highs - lows) / sides)) * margin, 1 / LARGEST_MAGNIFICATION)
    extent = np.clip(np.maximum(factor * sides, np.ceil(highs - lows)), 1, full).round()
    room = np.maximum(extent - (highs - lows), 0) / 2
    middle = (lows + highs) / 2 + (0 if shift is None else np.array(shift) * room)
    start = np.clip(np.floor(middle - extent / 2 + 0.5), 0, full - extent)
    return View(tuple(int(s) for s in start), tuple(int(n) for n in extent))
