"""What every decoder of a 2D image file gives: the pixels as stored, upright, and what is needed to show them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.errors import DataError
from seglab.runtime.memory import available_bytes

# Of the decoded bytes: the pixels, what they are turned or looked up into, and what is made of them next.
_COPIES = 3


@dataclass(frozen=True)
class StoredPixels:
    """One image of a file.

    Attributes:
        values: `(H, W)` or `(H, W, C)`, the numbers of the file in native byte order, turned as the file says it is to
            be seen, 0 the darkest; of an image with a palette the palette's numbers.
        bits: of a sample in the file: 1, 2, 4, 8, 12, 16, …
        palette: `(N, 3)` uint8, red, green and blue of each number; None where the numbers are brightness.
        white: the number of full brightness; None for the largest of so many bits.
    """

    values: np.ndarray
    bits: int
    palette: np.ndarray | None = None
    white: int | None = None

    def shown(self) -> np.ndarray:
        """`(H, W, C)` as a viewer shows it: palettes become colours, and numbers of which less than 255 is white are
        stretched to 0..255; deeper samples keep their numbers."""
        if self.palette is not None:
            return self.palette[np.minimum(self.values, len(self.palette) - 1)]
        values = self.values if self.values.ndim == 3 else self.values[..., None]
        full = 2**self.bits - 1 if self.white is None else self.white
        if full < 255 and values.dtype == np.uint8:
            return np.round(np.arange(full + 1) * (255 / full)).astype(np.uint8)[values]
        return values


def upright(values: np.ndarray, orientation: object) -> np.ndarray:
    """`(H, W[, C])` turned by the orientation of EXIF and TIFF, 1 to 8; as it is for 1 and for what is none of them."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    right = -1 if orientation in (2, 3, 6, 7) else 1
    return values[::down, ::right]


def native(values: np.ndarray) -> np.ndarray:
    """In the byte order of this machine."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def refuse_too_large(path: Path, height: int, width: int, decoded_bytes: int) -> None:
    """Refuse an image that would not fit into memory; the header says so before anything is decoded.

    There is no other limit: 20,000 × 20,000 pixels are read where there is room for them, and a small file that
    claims to be larger than the memory is stopped.

    Raises:
        DataError: less than three times the decoded size is free.
    """
    free = available_bytes()
    if decoded_bytes * _COPIES > free:
        raise DataError(
            "an image too large for the memory of this machine",
            code="image-too-large",
            finding="unreadable-file",
            where=str(path),
            found=f"{height}×{width} pixels, {decoded_bytes / 1e9:.1f} GB decoded, with {free / 1e9:.1f} GB free",
            expected=f"{_COPIES} times its decoded size free",
            remedy="cut it into smaller files, image and mask alike; or use a machine with"
            f" {decoded_bytes * _COPIES / 1e9:.1f} GB free, or close other programs",
        )
