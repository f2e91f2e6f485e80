"""Sliding windows: a fixed input size made to serve images and volumes of any size.

The windows of one image overlap, and where they do, their predictions are averaged with a Gaussian weight that
trusts the middle of a window more than its border, where the network saw less context. The weighted mean is

    sum_w g(x - start_w) p_w(x) / sum_w g(x - start_w),     g(x) = product over the axes of exp(-x² / 2σ²)

with x measured from the window's middle and σ an eighth of the window's side, as nnU-Net and MONAI have it (Isensee
et al. 2021, https://doi.org/10.1038/s41592-020-01008-z). The windows stand on a grid and the weight is a product over
the axes, so the denominator is one too: it is kept as one vector for each axis. The one large array is the output.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from seglab.data.geometry import pad_start
from seglab.errors import ConfigError

Forward = Callable[[np.ndarray], np.ndarray]
"""`(B, *window, C)` float32 to `(B, *window, K)` float32."""

SIGMA_PER_SIDE = 1 / 8
# Small windows gain from being run together, large ones do not: about as many pixels or voxels as one call should hold.
ELEMENTS_PER_CALL = 1 << 17


@dataclass(frozen=True)
class SlidingWindow:
    """How an image is covered with windows.

    Attributes:
        window: spatial size of the network's input.
        overlap: share of the window's side that neighbours have in common at least, in [0, 1).
        flips: spatial axes to flip as well; the prediction is the mean over all 2^len(flips) combinations.
        batch_size: windows in one call of the network; chosen from the window's size when None.
    """

    window: tuple[int, ...]
    overlap: float = 0.5
    flips: tuple[int, ...] = ()
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ConfigError(
                "windows cannot overlap by that much",
                where="overlap",
                found=self.overlap,
                expected="0 <= overlap < 1",
                remedy="0.5 is customary",
            )
        if len(set(self.flips)) != len(self.flips) or not set(self.flips) <= set(range(len(self.window))):
            raise ConfigError(
                "no such axis to flip",
                where="flips",
                found=list(self.flips),
                expected=f"different axes out of {list(range(len(self.window)))}",
                remedy="name each axis once, or [] for none",
            )

    def __call__(self, image: np.ndarray, forward: Forward, logs: int = 0) -> np.ndarray:
        """Blended predictions of `forward` over the whole image.

        An axis that is shorter than the window is padded with zeros on both sides, as in training.
        Where one window covers the image, the result is that window's prediction and no arithmetic is done on it.

        Args:
            image: `(*spatial, C)` float32, preprocessed, of any spatial size.
            forward: the network.
            logs: so many of its last channels are logarithms: of what they stand for the mean is taken, and its
                logarithm returned, however small it is.

        Returns:
            `(*spatial, K)` float32. Beside it and the image, memory holds one batch of windows, however many there are.
        """
        spatial = image.shape[:-1]
        axes = [_Axis.of(*pair, self.overlap) for pair in zip(spatial, self.window, strict=True)]
        inside = tuple(axis.inside for axis in axes)
        count = math.prod(len(axis.places) for axis in axes)
        size = min(count, self.batch_size or max(1, ELEMENTS_PER_CALL // math.prod(self.window)))
        windows = np.zeros((size, *self.window, image.shape[-1]), np.float32)
        output = np.empty(0, np.float32)
        weight = log_weight = scratch = output
        linear = 0
        for batch in _batches(itertools.product(*(axis.places for axis in axes)), size):
            for target, place in zip(windows, batch, strict=False):
                target[inside] = image[place]
            predicted = self._flipped(windows[: len(batch)], forward, logs)
            if count == 1:
                return predicted[0][inside]
            if not output.size:
                linear = predicted.shape[-1] - logs
                output = np.zeros((*spatial, linear + logs), np.float32)
                output[..., linear:] = -np.inf
                profile = _outer([axis.profile for axis in axes])[..., None]
                weight, log_weight = np.repeat(profile, linear, axis=-1), np.log(profile)
                scratch = np.empty_like(weight)
            for window, place in zip(predicted, batch, strict=True):
                np.multiply(window[..., :linear], weight, out=scratch)
                output[place][..., :linear] += scratch[inside]
                if logs:
                    so_far = output[place][..., linear:]
                    np.logaddexp(so_far, (window[..., linear:] + log_weight)[inside], out=so_far)
        totals = _outer([axis.total for axis in axes[1:]])[..., None]
        plane = np.repeat(totals, linear, axis=-1)
        for index, total in enumerate(axes[0].total):
            output[index][..., :linear] /= total * plane
            output[index][..., linear:] -= np.log(total * totals)
        return output

    def _flipped(self, windows: np.ndarray, forward: Forward, logs: int) -> np.ndarray:
        """Mean prediction over every combination of the flips, `(B, *window, K)`; for `logs` see `__call__`."""
        mean = forward(windows)
        if not self.flips:
            return mean
        linear = mean.shape[-1] - logs
        for axes in _combinations(self.flips):
            spatial = tuple(axis + 1 for axis in axes)
            other = np.flip(forward(np.ascontiguousarray(np.flip(windows, spatial))), spatial)
            added = [mean[..., :linear] + other[..., :linear], np.logaddexp(mean[..., linear:], other[..., linear:])]
            mean = np.concatenate(added, axis=-1) if logs else added[0]
        count = np.float32(2 ** len(self.flips))
        if not logs:
            return mean / count
        return np.concatenate([mean[..., :linear] / count, mean[..., linear:] - np.log(count)], axis=-1)


@dataclass(frozen=True)
class _Axis:
    """The windows along one axis.

    Attributes:
        places: where in the image each window lies; never beyond the image.
        inside: which part of a window lies in the image; all of it unless the image is shorter.
        profile: `(window,)` float32, the weight along this axis.
        total: `(length,)` float32, the sum of all windows' weights; positive everywhere.
    """

    places: list[slice]
    inside: slice
    profile: np.ndarray
    total: np.ndarray

    @classmethod
    def of(cls, length: int, window: int, overlap: float) -> _Axis:
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


def _outer(vectors: list[np.ndarray]) -> np.ndarray:
    product = np.ones((), np.float32)
    for vector in vectors:
        product = np.multiply.outer(product, vector)
    return product


def _batches(places: Iterator[tuple[slice, ...]], size: int) -> Iterator[list[tuple[slice, ...]]]:
    while batch := list(itertools.islice(places, size)):
        yield batch


def _combinations(axes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every non-empty set of `axes`."""
    for count in range(1, len(axes) + 1):
        yield from itertools.combinations(axes, count)
