"""From the grid that the network's windows cover back to the image: whole channels, or logarithms at some places."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from seglab.data.preprocessing.geometry import letterbox_shape, pad_start, resize_image, resizing, unletterbox
from seglab.data.preprocessing.spacing import resample_to, resampling
from seglab.errors import DataError
from seglab.inference.bundle import ResizeMode


@dataclass(frozen=True)
class GridRestorer:
    """The way back of one image. Linear along each axis for itself, so that probabilities still sum to 1.

    Attributes:
        resize_mode: how the image was brought to the network's size.
        size: the network's.
        spatial: the image's, at the network's spacing where that has one.
        original: the image's own.
    """

    resize_mode: ResizeMode
    size: tuple[int, ...]
    spatial: tuple[int, ...]
    original: tuple[int, ...]

    @property
    def same(self) -> bool:
        """Whether the grid is the image's own, and nothing is to be done."""
        return self.resize_mode in ("pad", "patch") and self.spatial == self.original

    def channel(self, channel: np.ndarray) -> np.ndarray:
        """One channel `(*grid)` float32 at the image's own size, `(*original)`."""
        if self.resize_mode == "resize":
            channel = resize_image(channel[..., None], self.spatial)[..., 0]
        elif self.resize_mode == "letterbox":
            channel = unletterbox(channel, self.spatial)
        return channel if self.spatial == self.original else resample_to(channel, self.original)

    def logs_at(self, logs: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The logarithms of what `channel` would give of the exponentials, however small, at some places alone.

        Args:
            logs: `(*grid, K)`.
            places: `(N,)` flat indices into the image.

        Returns:
            `(N, K)` float32.
        """
        taps = [_taps(self._along(axis, n)) for axis, n in enumerate(logs.shape[:-1])]
        at = np.unravel_index(places, self.original)
        found = np.full((len(places), logs.shape[-1]), -np.inf)
        for turn in itertools.product(*(range(pixels.shape[1]) for pixels, _ in taps)):
            share = np.ones(len(places))
            for (_, shares), places_on_axis, tap in zip(taps, at, turn, strict=True):
                share = share * shares[places_on_axis, tap]
            some = np.flatnonzero(share)
            pixel = tuple(
                pixels[places_on_axis[some], tap]
                for (pixels, _), places_on_axis, tap in zip(taps, at, turn, strict=True)
            )
            found[some] = np.logaddexp(found[some], logs[pixel] + np.log(share[some])[:, None])
        return found.astype(np.float32)

    def _along(self, axis: int, grid: int) -> sparse.csr_array:
        """`(original, grid)`: the share of each place of the grid in each of the image."""
        spatial, original = self.spatial[axis], self.original[axis]
        if self.resize_mode == "resize":
            back = resizing(grid, spatial)
        elif self.resize_mode == "letterbox":
            inner = letterbox_shape(self.spatial, self.size)
            before = -pad_start(inner, self.size)[axis]
            back = resizing(inner[axis], spatial) @ sparse.eye_array(inner[axis], grid, k=before, format="csr")
        else:
            back = sparse.eye_array(spatial, format="csr")
        return back if spatial == original else resampling(spatial, original) @ back


def checked_spacing(spacing: Sequence[float] | None, rank: int, target: Sequence[float]) -> tuple[float, ...]:
    """The image's spacing, where the network has one."""
    if spacing is None or len(spacing) != rank or not all(np.isfinite(step) and step > 0 for step in spacing):
        raise DataError(
            "an image whose spacing is not known, for a model that needs it",
            code="image-spacing-unknown",
            where="spacing",
            found="none" if spacing is None else list(spacing),
            expected=f"{rank} positive numbers, in mm; the model was trained at {list(target)}",
            remedy="give the spacing of the image, as its header has it",
        )
    return tuple(float(step) for step in spacing)


def _taps(matrix: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Columns and shares of each row, `(rows, most)` both; a share of 0 where a row has fewer."""
    counts = np.diff(matrix.indptr)
    position = matrix.indptr[:-1, None] + np.arange(counts.max())
    there = position < matrix.indptr[1:, None]
    position = np.where(there, position, 0)
    return matrix.indices[position], np.where(there, np.maximum(matrix.data[position], 0), 0)
