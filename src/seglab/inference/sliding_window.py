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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seglab.errors import ConfigError
from seglab.inference.window_grid import Axis, window_starts

Forward = Callable[[np.ndarray], np.ndarray]
"""`(B, *window, C)` float32 to `(B, *window, K)` float32."""
Prepare = Callable[[np.ndarray], np.ndarray]
"""A part `(…, C)` of an image to the same part preprocessed, float32."""
Progress = Callable[[int, int], None]
"""Told how many are done, and how many there are."""


class Parted(Protocol):
    """An image `(*spatial, C)` of which parts are asked: an array, or what reads them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""

    def __getitem__(self, place: tuple[slice, ...], /) -> np.ndarray:
        """A part, with all of its channels."""


# Small windows gain from being run together, large ones do not: about as many pixels or voxels as one call should hold.
ELEMENTS_PER_CALL = 1 << 17


@dataclass(frozen=True)
class SlidingWindow:
    """How an image is covered with windows.

    Attributes:
        window: spatial size of the network's input.
        overlap: share of the window's side that neighbours have in common at least, in [0, 1).
        flips: spatial axes to flip as well; the prediction is the mean over all 2^len(flips) combinations.
        batch_size, channels: windows in one call, by their size when None; of a prepared one, the image's when None.
    """

    window: tuple[int, ...]
    overlap: float = 0.5
    flips: tuple[int, ...] = ()
    batch_size: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ConfigError(
                "windows cannot overlap by that much",
                code="window-overlap",
                where="overlap",
                found=self.overlap,
                expected="0 <= overlap < 1",
                remedy="0.5 is customary",
            )
        if len(set(self.flips)) != len(self.flips) or not set(self.flips) <= set(range(len(self.window))):
            raise ConfigError(
                "no such axis to flip",
                code="flip-axis",
                where="flips",
                found=list(self.flips),
                expected=f"different axes out of {list(range(len(self.window)))}",
                remedy="name each axis once, or [] for none",
            )

    def __call__(
        self,
        image: np.ndarray,
        forward: Forward,
        logs: int = 0,
        *,
        prepare: Prepare | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Blended predictions of `forward` over the whole image.

        An axis that is shorter than the window is padded with zeros on both sides, as in training.
        Where one window covers the image, the result is that window's prediction and no arithmetic is done on it.

        Args:
            image: `(*spatial, C)` float32, preprocessed, of any spatial size; of any type where `prepare` is given.
            forward: the network.
            logs: so many of its last channels are logarithms: of what they stand for the mean is taken, and its
                logarithm returned, however small it is.
            prepare: preprocesses a part `(…, C)` of the image, each time that a window covers it.
            progress: told the windows that are done and how many there are, after each call of the network.

        Returns:
            `(*spatial, K)` float32. Beside it and the image, memory holds one batch of windows, however many there are.
        """
        axes = self._axes(image.shape[:-1])
        ((_, predicted),) = self._blocks(image, axes, forward, logs, prepare, progress, whole=True)
        return predicted

    def blocks(
        self,
        image: Parted,
        forward: Forward,
        *,
        within: tuple[slice, ...] = (),
        prepare: Prepare | None = None,
        progress: Progress | None = None,
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """The same, in blocks of whole rows (of volumes: planes) that are let go once they were taken.

        It is the same to the bit, but where `within` is given and the network answers otherwise to other batches.

        Args:
            image, forward, prepare, progress: as of a call.
            within: the part of the axes behind the first that is wanted, in place of all: only windows that reach into
                it are run.

        Yields:
            Where a block lies along the first axis, in rising order, and its predictions `(rows, …, K)` float32. Memory
            holds no more rows than the windows of one batch and their neighbours cover.
        """
        axes = self._axes(image.shape[:-1])
        spans = within or tuple(slice(0, n) for n in image.shape[1:-1])
        if within:
            axes[1:] = [axis.reaching(span) for axis, span in zip(axes[1:], spans, strict=True)]
        cut = tuple(
            slice(span.start - axis.first, span.stop - axis.first) for axis, span in zip(axes[1:], spans, strict=True)
        )
        for rows, block in self._blocks(image, axes, forward, 0, prepare, progress, whole=False):
            yield rows, block[(slice(None), *cut)]

    def reach(self, spatial: Sequence[int], within: tuple[slice, ...]) -> tuple[int, tuple[slice, ...]]:
        """How many windows `blocks` runs for a part of an image, and what they see of the axes behind the first."""
        axes = self._axes(spatial)
        axes[1:] = [axis.reaching(span) for axis, span in zip(axes[1:], within, strict=True)]
        seen = tuple(slice(axis.first, axis.first + len(axis.total)) for axis in axes[1:])
        return math.prod(len(axis.places) for axis in axes), seen

    def _axes(self, spatial: Sequence[int]) -> list[Axis]:
        return [Axis.of(*pair, self.overlap) for pair in zip(spatial, self.window, strict=True)]

    def rows_held(self, spatial: Sequence[int]) -> int:
        """The most rows of an image of this size that `blocks` holds at a time."""
        starts = [window_starts(*pair, self.overlap) for pair in zip(spatial, self.window, strict=True)]
        beside = math.prod(len(axis) for axis in starts[1:])
        at_once = -(-self._batch(len(starts[0]) * beside) // beside) + 1  # rows of windows that a batch reaches into
        step = max(np.diff(starts[0]), default=0)
        return min(spatial[0], self.window[0] + at_once * int(step))

    def some(self, image: np.ndarray, at_most: int, prepare: Prepare | None = None) -> np.ndarray:
        """Of the windows over an image at most so many, spread evenly: `(N, *window, C)` float32; else as called."""
        axes = self._axes(image.shape[:-1])
        inside, places = tuple(axis.inside for axis in axes), list(itertools.product(*(axis.places for axis in axes)))
        chosen = sorted({int((turn + 0.5) * len(places) / at_most) for turn in range(at_most)})
        windows = np.zeros((len(chosen), *self.window, self.channels or image.shape[-1]), np.float32)
        for window, number in zip(windows, chosen, strict=True):
            part = image[places[number]]
            window[inside] = prepare(part) if prepare else part
        return windows

    def _batch(self, count: int) -> int:
        """Windows in one call of the network, of so many in all."""
        return min(count, self.batch_size or max(1, ELEMENTS_PER_CALL // math.prod(self.window)))

    def _blocks(
        self,
        image: Parted,
        axes: list[Axis],
        forward: Forward,
        logs: int,
        prepare: Prepare | None,
        progress: Progress | None,
        whole: bool,
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of finished rows; where the `whole` is wanted, a single one."""
        spatial = image.shape[:-1]
        inside = tuple(axis.inside for axis in axes)
        count = math.prod(len(axis.places) for axis in axes)
        alone = all(length <= side for length, side in zip(spatial, self.window, strict=True))
        size = self._batch(count)
        windows = np.zeros((size, *self.window, self.channels or image.shape[-1]), np.float32)
        sums: _Sums | None = None
        done = 0
        for batch in _batches(itertools.product(*(axis.places for axis in axes)), size):
            for target, place in zip(windows, batch, strict=False):
                target[inside] = prepare(image[place]) if prepare else image[place]
            predicted = self._flipped(windows[: len(batch)], forward, logs)
            done += len(batch)
            if progress:
                progress(done, count)
            if alone:
                yield slice(0, spatial[0]), predicted[0][inside]
                return
            if sums is None:
                sums = _Sums(axes, predicted.shape[-1], logs, spatial[0] if whole else 0)
            for window, place in zip(predicted, batch, strict=True):
                sums.add(window, place)
            row = done * len(axes[0].places) // count  # of windows, the first that is not done
            if done == count or not whole:
                yield from sums.finished(axes[0].places[row].start if done < count else spatial[0])

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


class _Sums:
    """The weighted sums of windows over the rows that are held, from the first that is not finished.

    Args:
        axes: of the image.
        channels: K of the network.
        logs: see `SlidingWindow.__call__`.
        rows: to hold from the start; later ones are added when a window covers them.
    """

    def __init__(self, axes: list[Axis], channels: int, logs: int, rows: int):
        self._linear, self._logs, self._axes = channels - logs, logs, axes
        self._inside = tuple(axis.inside for axis in axes)
        self._first, self._held = 0, self._empty(rows)
        profile = _outer([axis.profile for axis in axes])[..., None]
        self._weight, self._log_weight = np.repeat(profile, self._linear, axis=-1), np.log(profile)
        self._scratch = np.empty_like(self._weight)
        self._totals = _outer([axis.total for axis in axes[1:]])[..., None]
        self._plane = np.repeat(self._totals, self._linear, axis=-1)

    def add(self, window: np.ndarray, place: tuple[slice, ...]) -> None:
        """Add the prediction `(*window, K)` of the window at `place`."""
        missing = place[0].stop - self._first - len(self._held)
        if missing > 0:
            self._held = np.concatenate([self._held, self._empty(missing)])
        firsts = (self._first, *(axis.first for axis in self._axes[1:]))
        here = self._held[tuple(slice(p.start - first, p.stop - first) for p, first in zip(place, firsts, strict=True))]
        np.multiply(window[..., : self._linear], self._weight, out=self._scratch)
        here[..., : self._linear] += self._scratch[self._inside]
        if self._logs:
            so_far = here[..., self._linear :]
            np.logaddexp(so_far, (window[..., self._linear :] + self._log_weight)[self._inside], out=so_far)

    def finished(self, stop: int) -> Iterator[tuple[slice, np.ndarray]]:
        """The rows before `stop` divided by their weights, if there are any, which are no longer held."""
        rows = slice(self._first, stop)
        if stop == self._first:
            return
        block, self._held = np.split(self._held, [stop - self._first])
        self._first = stop
        for row, total in zip(block, self._axes[0].total[rows], strict=True):
            row[..., : self._linear] /= total * self._plane
            row[..., self._linear :] -= np.log(total * self._totals)
        yield rows, block

    def _empty(self, rows: int) -> np.ndarray:
        made = np.zeros((rows, *(len(axis.total) for axis in self._axes[1:]), self._linear + self._logs), np.float32)
        made[..., self._linear :] = -np.inf
        return made


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
