"""Any image as promptable models take it: red, green and blue of 8 bits, as a viewer shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seglab.data.io.image_files import read_image_file

# Of deeper samples: what becomes black and white, in percent of the pixels. Of a large image, so many are looked at.
_DARK, _BRIGHT = 0.5, 99.5
_DIM = 32  # of 8 bits: below it nothing is seen, as in a mask of 0 and 1
_LOOKED_AT = 1_000_000


def read_picture(path: str | Path) -> npt.NDArray[np.uint8]:
    """`(H, W, 3)` uint8 of a file, turned as its EXIF says; of 8 bits as it is, but stretched as `picture_of` stretches
    deeper ones where nothing is brighter than an eighth. Raises `DataError` as `read_image_file`."""
    image = read_image_file(path)
    if image.dtype == np.uint8 and _colours(image).max() < _DIM:
        image = image.astype(np.uint16)
    return picture_of(image)


def picture_of(image: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """`(H, W, 3)` uint8 of an image `(H, W, C)` of any type: grey is repeated, alpha and what follows it left away, and
    deeper samples are stretched from their 0.5th to their 99.5th percentile."""
    channels = _colours(image)
    if channels.dtype != np.uint8:
        values = channels.reshape(-1)
        sample = values[:: max(values.size // _LOOKED_AT, 1)].astype(np.float64)
        low, high = np.percentile(sample, (_DARK, _BRIGHT))
        scale = np.float32(255 / max(high - low, 1e-12))
        channels = np.clip((channels.astype(np.float32) - np.float32(low)) * scale + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(channels, (*channels.shape[:2], 3)))


def _colours(image: npt.NDArray[np.generic]) -> npt.NDArray[Any]:
    """One channel or three, without alpha and what follows it."""
    return image if image.shape[-1] == 3 else image[..., :3] if image.shape[-1] > 3 else image[..., :1]


def grey_of(volume: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Grey values of 8 bits, of one window for the whole volume."""
    values = volume.reshape(-1)
    low, high = np.percentile(values[:: max(values.size // _LOOKED_AT, 1)], (_DARK, _BRIGHT))
    scale = 255 / max(float(high) - float(low), 1e-12)
    grey = np.empty(volume.shape, np.uint8)
    for plane, made in zip(volume, grey, strict=True):  # the room of one plane in floats
        made[...] = np.clip((plane.astype(np.float32) - float(low)) * scale + 0.5, 0, 255).astype(np.uint8)
    return grey
