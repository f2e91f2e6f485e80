"""The one reader of 2D images and masks: what a viewer shows of an image, the values as stored of a mask.

The contents of a file say what it is, and its ending nothing beyond whether it is looked at. Both are turned as EXIF or
TIFF says they are to be seen, and where 0 is stored as white, it is black here, whatever the compression: so image and
mask lie on one another as they do before whoever draws the mask.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tifffile
from PIL import Image

from seglab.data.io.foreign_contents import in_place_of_image
from seglab.data.io.one_hot_masks import one_hot
from seglab.data.io.raster_files import read_raster
from seglab.data.io.stored_pixels import StoredPixels
from seglab.data.io.tiff_files import count_tiff_pages, is_tiff, read_tiff
from seglab.errors import DataError

IMAGE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".j2k"),
)
# What Pillow, tifffile and imagecodecs (a RuntimeError for each codec) raise on damaged files. tifffile works with
# what a header says before it looks at it, so that a side of 0 divides by zero and a number may be a text.
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    EOFError,
    RuntimeError,
    ArithmeticError,
    TypeError,
    AttributeError,
    MemoryError,
    struct.error,
    zlib.error,
    tifffile.TiffFileError,
    Image.DecompressionBombError,  # its WebP reader keeps Pillow's limit of 179 million pixels
)


# Of 255: how far the channels of a grey mask may lie apart, as lossy compression leaves them.
_MOST_TINT = 32


class MaskFile(NamedTuple):
    """A mask as stored: `values` `(H, W)`, and `palette` `(N, 3)` uint8, the colours of its numbers, or None."""

    values: np.ndarray
    palette: np.ndarray | None


def read_image_file(path: str | Path, page: int | None = None) -> np.ndarray:
    """`(H, W, C)` uint8, uint16 or float32; channels in file order (RGB), palettes resolved, alpha kept.

    Samples of 1 to 7 bits are stretched to 0..255; of 9 to 15 bits they are the numbers of the file, in uint16. CMYK
    becomes RGB.

    Args:
        path: the file.
        page: of a TIFF with several pages, which one, from 0; None for a file that holds one image.

    Raises:
        DataError: a file that cannot be decoded whole, is of a kind that is not read or larger than the memory, holds
            several pages and none was asked for, or holds NaN or infinite values.
    """
    pixels = _read(Path(path), page).shown()
    if pixels.dtype not in (np.uint8, np.uint16):
        pixels = pixels.astype(np.float32)
        if not np.isfinite(pixels).all():
            raise DataError(
                "an image with NaN or infinite values",
                code="image-not-finite",
                finding="image-not-finite",
                where=str(path),
                found=f"{int((~np.isfinite(pixels)).sum())} of {pixels.size} values",
                expected="finite numbers",
                remedy="replace them, or leave the image out",
            )
    return pixels


def read_mask_file(path: str | Path, page: int | None = None) -> np.ndarray:
    """`(H, W)` of the values as stored: palette numbers stay numbers, grey saved as RGB or RGBA becomes grey, and
    samples of 1, 2 or 4 bits are 0 to 1, 3 or 15.

    Raises:
        DataError: as `read_image_file`, or a mask in real colours or with a channel for each class.
    """
    return open_mask_file(path, page).values


def open_mask_file(path: str | Path, page: int | None = None) -> MaskFile:
    """As `read_mask_file`, with the palette."""
    stored = _read(Path(path), page)
    values = stored.values
    if values.ndim == 2:
        return MaskFile(values, stored.palette)
    values = _without_plain_alpha(values)
    if (values == values[..., :1]).all():
        return MaskFile(values[..., 0], None)
    if (refused := one_hot(values, str(path))) is not None:
        raise refused
    tinted = "it is grey but for what lossy compression left of it: data.mask_threshold=128 reads it; or "
    raise DataError(
        "a mask in colours",
        code="mask-in-colours",
        finding="undeclared-label",
        where=str(path),
        found=f"{values.shape[-1]} channels that differ",
        expected="one channel of class values (grey or palette)",
        remedy=(tinted if _is_grey(values) else "")
        + "give the colour of each of data.label_values, data.label_colors=[[0,0,0],…]; or store the class value"
        " of each pixel in a single-channel PNG or TIFF; if this is a photograph, check that images and masks are not"
        " swapped",
    )


def read_mask_colors(path: str | Path, page: int | None = None) -> np.ndarray:
    """`(H, W, 3)` uint8: a mask as a viewer shows it, for classes that are told by their colours.

    Raises:
        DataError: as `read_image_file`, or a file that is neither grey nor in red, green and blue of 8 bits.
    """
    shown = _without_plain_alpha(_read(Path(path), page).shown())
    if shown.dtype != np.uint8 or shown.shape[-1] not in (1, 3):
        raise DataError(
            "a mask that has no colours",
            code="mask-without-colours",
            finding="undeclared-label",
            where=str(path),
            found=f"{shown.shape[-1]} channels of {shown.dtype}",
            expected="grey, a palette, or red, green and blue, of 8 bits, for data.label_colors",
            remedy="save it as a PNG with a palette or in RGB",
        )
    return np.broadcast_to(shown, (*shown.shape[:2], 3))


def read_mask_brightness(path: str | Path, page: int | None = None) -> np.ndarray:
    """`(H, W)`: a mask as bright as a viewer shows it, for two classes that are told by a threshold: 0 to 255 for up to
    8 bits and for palettes; deeper samples and real numbers as they are stored.

    Raises:
        DataError: as `read_image_file`, or a mask in colours.
    """
    shown = _without_plain_alpha(_read(Path(path), page).shown())
    if not _is_grey(shown):
        raise DataError(
            "a mask in colours",
            code="mask-in-colours",
            finding="undeclared-label",
            where=str(path),
            found=f"{shown.shape[-1]} channels that differ",
            expected="shades of grey, for data.mask_threshold",
            remedy="give the colour of each class, data.label_colors=[[0,0,0],…], in the place of data.mask_threshold;"
            " if this is a photograph, check that images and masks are not swapped",
        )
    grey = shown[..., 0] if shown.shape[-1] == 1 else cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY)
    if grey.dtype.kind == "f" and not np.isfinite(grey).all():
        raise DataError(
            "a mask with NaN or infinite values",
            code="mask-not-finite",
            finding="label-not-whole",
            where=str(path),
            found=f"{int((~np.isfinite(grey)).sum())} of {grey.size} values",
            expected="finite numbers",
            remedy="replace them by black or white",
        )
    return grey


def read_region(path: str | Path, page: int | None = None) -> np.ndarray:
    """`(H, W)` bool: where a region of interest is white, or 1 where nothing is larger than 1.

    Raises:
        DataError: as `read_mask_brightness`, or a file without anything white.
    """
    bright = read_mask_brightness(path, page)
    largest = float(bright.max(initial=0))
    white = 255.0 if bright.dtype == np.uint8 and largest > 1 else largest
    inside: np.ndarray = bright > white / 2
    if not inside.any():
        raise DataError(
            "a region of interest that holds nothing",
            code="empty-region",
            finding="undeclared-label",
            where=str(path),
            found=f"no pixel above {white / 2:g}; the brightest is {largest:g}",
            expected="white (255, or 1) inside the region, black outside",
            remedy="save the region in black and white, or data.roi=null for whole images",
        )
    return inside


def count_pages(path: str | Path) -> int:
    """Images in the file: 1, or the pages of a TIFF that are no channels of one image."""
    path = path if isinstance(path, Path) else Path(path)  # of tens of thousands, making them anew takes seconds
    with _readable(path):
        return count_tiff_pages(path) if _is_tiff(path) else 1


def _read(path: Path, page: int | None) -> StoredPixels:
    with _readable(path):
        return read_tiff(path, page) if _is_tiff(path) else read_raster(path)


def _is_tiff(path: Path) -> bool:
    with open(path, "rb", buffering=0) as file:
        return is_tiff(file.read(4))


def _without_plain_alpha(values: np.ndarray) -> np.ndarray:
    """`(H, W, C)` without an alpha channel that hides nothing."""
    if values.shape[-1] in (2, 4) and (values[..., -1] == values[0, 0, -1]).all():
        return values[..., :-1]
    return values


def _is_grey(values: np.ndarray) -> bool:
    """Whether `(H, W, C)` is one channel, or three that are nearly the same."""
    if values.shape[-1] != 3 or values.dtype not in (np.uint8, np.uint16):
        return values.shape[-1] == 1
    most = _MOST_TINT if values.dtype == np.uint8 else 0
    red, green, blue = cv2.split(values)
    return all(cv2.absdiff(*two).max(initial=0) <= most for two in ((red, green), (green, blue), (red, blue)))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What a decoder raises becomes one message that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            "file not found",
            code="file-missing",
            finding="unreadable-file",
            where=str(path),
            remedy="restore it or remove its case",
        ) from error
    except _UNREADABLE as error:
        what, remedy = in_place_of_image(path) or (
            f"{type(error).__name__}: {error}",
            "copy it again from its origin, save it anew, or remove it with its partner",
        )
        raise DataError(
            "a file that cannot be read",
            code="file-unreadable",
            finding="unreadable-file",
            where=str(path),
            found=what,
            expected="a whole " + ", ".join(sorted({ending[1:].upper() for ending in IMAGE_ENDINGS})),
            remedy=remedy,
        ) from error
