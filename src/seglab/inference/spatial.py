"""Where things of an image lie at the network's input, and back: arrays and points by one rule.

Coordinates count pixels along each axis in the order of the axes, and a whole number is the middle of a pixel: the
outer corner of an image is at -0.5, whatever its size, and stays the corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seglab.data.preprocessing.geometry import cut, letterbox_shape, pad_start, resize_image
from seglab.data.preprocessing.spacing import Interpolation, resample_image, resampled_shape
from seglab.inference.bundle import ResizeMode
from seglab.inference.restore_grid import GridRestorer, checked_spacing


@dataclass(frozen=True)
class SpatialTransform:
    """The way of one image to what the network, or its windows, go over, and the way back.

    Attributes:
        resize_mode: "resize" and "letterbox" bring the whole image to the network's input; "pad" and "patch" leave it,
            at the network's spacing, for windows to be laid over.
        size: spatial size of the network's input.
        original: the image's own size.
        spacing: mm between its pixels or voxels; None where the network has no spacing.
        target: the network's spacing; None where it takes images as they are.
        interpolation: of axes that this makes finer.
    """

    resize_mode: ResizeMode
    size: tuple[int, ...]
    original: tuple[int, ...]
    spacing: tuple[float, ...] | None = None
    target: tuple[float, ...] | None = None
    interpolation: Interpolation = "linear"

    @classmethod
    def of(
        cls,
        original: Sequence[int],
        size: Sequence[int],
        resize_mode: ResizeMode,
        *,
        spacing: Sequence[float] | None = None,
        target: Sequence[float] | None = None,
        interpolation: Interpolation = "linear",
    ) -> SpatialTransform:
        """The transform of an image of `original` size.

        Raises:
            DataError: no spacing of the image where the network has one.
        """
        own = None if target is None else checked_spacing(spacing, len(size), target)
        wanted = None if target is None else tuple(target)
        return cls(resize_mode, tuple(size), tuple(original), own, wanted, interpolation)

    @cached_property
    def spatial(self) -> tuple[int, ...]:
        """The image's size at the network's spacing."""
        if self.spacing is None or self.target is None:
            return self.original
        return resampled_shape(self.original, self.spacing, self.target)

    @property
    def resized(self) -> bool:
        """Whether the whole image is brought to the network's input."""
        return self.resize_mode in ("resize", "letterbox")

    @cached_property
    def inner(self) -> tuple[int, ...]:
        """The image's size as the network sees it, without a border."""
        if self.resize_mode == "letterbox":
            return letterbox_shape(self.spatial, self.size)
        return self.size if self.resize_mode == "resize" else self.spatial

    @cached_property
    def restoring(self) -> GridRestorer:
        """What brings channels back to the image."""
        return GridRestorer(self.resize_mode, self.size, self.spatial, self.original)

    def resampled(self, image: np.ndarray) -> np.ndarray:
        """An image `(*original, C)`, in its own numbers, at the network's spacing: `(*spatial, C)`."""
        if self.spacing is None or self.target is None:
            return image
        return resample_image(image, self.spacing, self.target, self.interpolation)

    def brought_to_size(self, image: np.ndarray) -> np.ndarray:
        """An image `(*spatial, C)`, in its own numbers, as large as the network sees it: `(*inner, C)`."""
        return resize_image(image, self.inner) if self.resized else image

    def framed(self, prepared: np.ndarray) -> np.ndarray:
        """A normalised image `(*inner, C)` with its border of zeros, where it gets one here: `(*size, C)`."""
        if self.resize_mode != "letterbox":
            return prepared
        return cut(prepared, pad_start(self.inner, self.size), self.size, 0)

    def to_network(self, points: np.ndarray) -> np.ndarray:
        """Points `(N, rank)` of the image, in its pixels, at the network's input or under its windows."""
        scale, shift = self._linear()
        return np.asarray(points, np.float64) * scale + shift

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """The inverse of `to_network`."""
        scale, shift = self._linear()
        return (np.asarray(points, np.float64) - shift) / scale

    def _linear(self) -> tuple[np.ndarray, np.ndarray]:
        """Along each axis: new = old · scale + shift. Both grids cover the same extent, then a border moves all."""
        scale = np.array(self.inner) / np.array(self.original)
        border = -np.array(pad_start(self.inner, self.size)) if self.resize_mode == "letterbox" else 0
        return scale, 0.5 * scale - 0.5 + border
