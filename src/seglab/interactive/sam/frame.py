"""Between an image's own pixels and the square that SAM sees: the longer side fills it, the rest is zero."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
# Of the pixels (0…255, RGB) that the networks were trained on.
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
# Logits of what lies beside the image.
_OUTSIDE = -10.0


@dataclass(frozen=True)
class Frame:
    """One image's place in the square.

    Attributes:
        shape: height and width of the image.
        side: pixels along a side of the square.
    """

    shape: tuple[int, int]
    side: int

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of the image within the square; at least one pixel."""
        scale = self.side / max(self.shape)
        height, width = (max(1, int(length * scale + 0.5)) for length in self.shape)
        return height, width

    def square(self, image: npt.NDArray[np.uint8]) -> Floats:
        """An image `(H, W, 3)` as the encoder takes it: `(1, side, side, 3)`, padded after it was normalised."""
        height, width = self.inner
        # Pillow's bilinear filter, as in training: it averages all pixels that a smaller one covers.
        small = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        square = np.zeros((1, self.side, self.side, 3), np.float32)
        square[0, :height, :width] = (small - MEAN) / DEVIATION
        return square

    def places(self, points: npt.NDArray[np.float64]) -> Floats:
        """Points `(N, 2)`, x and y in pixels of the image, in pixels of the square."""
        height, width = self.inner
        return (points * (width / self.shape[1], height / self.shape[0])).astype(np.float32)

    def native(self, masks: Floats) -> Floats:
        """Logits `(N, side / 4, side / 4)` at the image's own size `(N, H, W)`: to the square, cut, to the image."""
        height, width = self.inner
        found = np.empty((len(masks), *self.shape), np.float32)
        for mask, into in zip(masks, found, strict=True):
            square = _resized(mask, (self.side, self.side), cv2.INTER_LINEAR)
            into[...] = _resized(square[:height, :width], self.shape, cv2.INTER_LINEAR)
        return found

    def small(self, mask: Floats) -> Floats:
        """Logits `(H, W)` as the decoder takes a previous mask, `(1, side / 4, side / 4, 1)`: `native` undone."""
        height, width = self.inner
        shrinks = height < self.shape[0] or width < self.shape[1]
        inner = _resized(mask, (height, width), cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        square = np.full((self.side, self.side), _OUTSIDE, np.float32)
        square[:height, :width] = inner
        return _resized(square, (self.side // 4, self.side // 4), cv2.INTER_LINEAR)[None, ..., None]


def _resized(mask: Floats, shape: tuple[int, int], method: int) -> Floats:
    if mask.shape == shape:
        return mask
    return np.asarray(cv2.resize(np.ascontiguousarray(mask), shape[::-1], interpolation=method), np.float32)
