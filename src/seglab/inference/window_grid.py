"""Where windows stand along an axis, and how much each place in one weighs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from seglab.data.preprocessing.geometry import pad_start

SIGMA_PER_SIDE = 1 / 8


@dataclass(frozen=True)
class Axis:
    """The windows along one axis.

    Attributes:
        places: where in the image each window lies; never beyond the image.
        inside: which part of a window lies in the image; all of it unless the image is shorter.
        profile: `(window,)` float32, the weight along this axis.
        total: `(length,)` float32, the sum of all windows' weights; positive everywhere.
        first: where in the image `total` begins.
    """

    places: list[slice]
    inside: slice
    profile: np.ndarray
    total: np.ndarray
    first: int = 0

    @classmethod
    def of(cls, length: int, window: int, overlap: float) -> Axis:
        """The windows of this length over an axis of that length."""
        starts = window_starts(length, window, overlap)
        before = max(0, -pad_start((length,), (window,))[0])
        inside = slice(before, before + min(length, window))
        places = [slice(start, start + min(length, window)) for start in starts]
        # One window needs no weight: 1 keeps small numbers out of the division.
        profile = gaussian(window) if len(starts) > 1 else np.ones(window)
        total = np.zeros(length)
        for place in places:
            total[place] += profile[inside]
        return cls(places, inside, profile.astype(np.float32), total.astype(np.float32))

    def reaching(self, span: slice) -> Axis:
        """The windows alone that reach into a part of the axis, and what they cover; what lies outside of the part is
        covered by others too."""
        places = [place for place in self.places if place.start < span.stop and place.stop > span.start]
        first, last = places[0].start, places[-1].stop
        return Axis(places, self.inside, self.profile, self.total[first - self.first : last - self.first], first)


def window_starts(length: int, window: int, overlap: float) -> list[int]:
    """Starts of the fewest windows that cover `length` with at least `overlap`, evenly spread, in rising order.

    `[0]` when one window covers the axis. Between 0 and `length - window`, both of which are always there.
    """
    if length <= window:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    gaps = math.ceil((length - window) / step)
    return [i * (length - window) // gaps for i in range(gaps + 1)]


def gaussian(window: int) -> np.ndarray:
    """`(window,)` float64: a Gaussian around the window's middle with σ = window / 8; the middle weighs at most 1."""
    x = np.arange(window) - (window - 1) / 2
    return np.exp(-0.5 * np.square(x / (window * SIGMA_PER_SIDE)))
