"""Decode one PNG, JPEG, TIFF or BMP to an array, with its channels and bit depth as stored, or say why not."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

from seglab.errors import DataError

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_TIFF_ENDINGS = (".tif", ".tiff")
_CHANNELS_LAST, _CHANNELS_FIRST = ("YX", "YXS", "YXC"), ("SYX", "CYX")
# Pillow would give palette numbers or printing colours.
_TO_PLAIN_MODE = {"P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}
_PNG = b"\x89PNG\r\n\x1a\n"
_PLAIN_PNG_CHANNELS = {b"\x00": 1, b"\x02": 3}  # by the colour type of its header
_COLOUR_OF_16_BIT = {"RGB": cv2.COLOR_BGR2RGB, "RGBA": cv2.COLOR_BGRA2RGBA}
# What Pillow and tifffile raise on damaged files.
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    IndexError,
    KeyError,
    EOFError,
    struct.error,
    zlib.error,
    UnidentifiedImageError,
    Image.DecompressionBombError,
    tifffile.TiffFileError,
)


def read_image_file(path: str | Path, page: int | None = None) -> np.ndarray:
    """`(H, W, C)` uint8, uint16 or float32; channels in file order (RGB), palettes resolved, alpha kept.

    A photograph is turned as its EXIF orientation says, which is how it is shown to whoever draws its mask.

    Args:
        path: the file.
        page: of a TIFF with several pages, which one, from 0; None for a file that holds one image.

    Raises:
        DataError: a file that cannot be decoded whole, holds several pages and none was asked for, or holds NaN or
            infinite values.
    """
    pixels = _read(Path(path), page, palette_numbers=False)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype not in (np.uint8, np.uint16):
        pixels = pixels.astype(np.float32)
        if not np.isfinite(pixels).all():
            raise DataError(
                "an image with NaN or infinite values",
                finding="image-not-finite",
                where=str(path),
                found=f"{int((~np.isfinite(pixels)).sum())} of {pixels.size} values",
                expected="finite numbers",
                remedy="replace them, or leave the image out",
            )
    return pixels


def read_mask_file(path: str | Path, page: int | None = None) -> np.ndarray:
    """`(H, W)` of the values as stored: palette numbers stay numbers, grey saved as RGB or RGBA becomes grey.

    Raises:
        DataError: as `read_image_file`, or a mask in real colours.
    """
    values = _read(Path(path), page, palette_numbers=True)
    if values.ndim == 2:
        return values
    if values.shape[-1] in (2, 4) and (values[..., -1] == values[0, 0, -1]).all():
        values = values[..., :-1]  # an alpha channel that hides nothing
    if (values == values[..., :1]).all():
        return values[..., 0]
    raise DataError(
        "a mask in colours",
        finding="undeclared-label",
        where=str(path),
        found=f"{values.shape[-1]} channels that differ",
        expected="one channel of class values (grey or palette)",
        remedy="store the class value of each pixel in a single-channel PNG or TIFF; if this is a photograph, check"
        " that images and masks are not swapped",
    )


def count_pages(path: str | Path) -> int:
    """Images in the file: 1, or the pages of a TIFF that are no channels of one image."""
    path = Path(path)
    if path.suffix.lower() not in _TIFF_ENDINGS:
        return 1
    with _readable(path), tifffile.TiffFile(path) as file:
        return 1 if _is_one_image(file) else len(file.pages)


def _read(path: Path, page: int | None, *, palette_numbers: bool) -> np.ndarray:
    with _readable(path):
        if path.suffix.lower() in _TIFF_ENDINGS:
            return _read_tiff(path, page, palette_numbers=palette_numbers)
        plain = _read_plain_png(path) if path.suffix.lower() == ".png" else None
        return _read_with_pillow(path, palette_numbers=palette_numbers) if plain is None else plain


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What a decoder raises becomes one message that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            "a file that is not there",
            finding="unreadable-file",
            where=str(path),
            remedy="restore it or remove its case",
        ) from error
    except _UNREADABLE as error:
        raise DataError(
            "a file that cannot be read",
            finding="unreadable-file",
            where=str(path),
            found=f"{type(error).__name__}: {error}",
            expected="a whole " + ", ".join(sorted({ending[1:].upper() for ending in IMAGE_ENDINGS})),
            remedy="copy it again from its origin, save it anew, or remove it with its partner",
        ) from error


def _read_plain_png(path: Path) -> np.ndarray | None:
    """A whole PNG of 8-bit grey or RGB by OpenCV, a sixth faster than Pillow; None for anything else."""
    content = path.read_bytes()
    channels = _channels_of_plain_png(memoryview(content))
    if channels is None:
        return None
    flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    return cv2.imdecode(np.frombuffer(content, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)


def _channels_of_plain_png(content: memoryview) -> int | None:
    """1 or 3 for a PNG of 8-bit grey or RGB whose chunks are all there and sound, None otherwise.

    OpenCV 4 takes damaged files, and OpenCV 5 refuses them with a line of its own on the terminal.
    """
    if content[:8] != _PNG or content[24:25] != b"\x08" or bytes(content[25:26]) not in _PLAIN_PNG_CHANNELS:
        return None
    width, height = struct.unpack(">II", content[16:24])
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        return None  # Pillow refuses what is too large to trust
    at = len(_PNG)
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, end = bytes(content[at + 4 : at + 8]), at + 8 + length
        if kind in (b"tRNS", b"eXIf") or content[end : end + 4] != zlib.crc32(content[at + 4 : end]).to_bytes(4, "big"):
            return None
        if kind == b"IEND":
            return _PLAIN_PNG_CHANNELS[bytes(content[25:26])]
        at = end + 4
    return None


def _read_with_pillow(path: Path, page: int | None = None, *, palette_numbers: bool) -> np.ndarray:
    with Image.open(path) as image:
        if page is not None:
            image.seek(page)
        image.load()  # raises on a truncated file, where OpenCV would fill the rest with grey
        if image.mode in _COLOUR_OF_16_BIT and _is_16_bit_png(path):
            # Pillow keeps 8 of the 16 bits of a coloured PNG.
            pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if pixels is None:
                raise ValueError("16-bit PNG that OpenCV cannot decode")
            return cv2.cvtColor(pixels, _COLOUR_OF_16_BIT[image.mode])
        if palette_numbers and image.mode == "P":
            return np.asarray(image)
        plain = image.convert(_TO_PLAIN_MODE[image.mode]) if image.mode in _TO_PLAIN_MODE else image
        return np.asarray(ImageOps.exif_transpose(plain))


def _is_16_bit_png(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(25)
    return head[:8] == _PNG and head[24] == 16


def _read_tiff(path: Path, page: int | None, *, palette_numbers: bool) -> np.ndarray:
    with tifffile.TiffFile(path) as file:
        if file.pages.first.photometric == tifffile.PHOTOMETRIC.PALETTE:
            return _read_with_pillow(path, page, palette_numbers=palette_numbers)
        if page is None and not _is_one_image(file):
            raise DataError(
                "a TIFF of several pages",
                where=str(path),
                found=f"{len(file.pages)} pages, axes {file.series[0].axes}, shape {file.series[0].shape}",
                expected="one image (H, W) or (H, W, C) in a file",
                remedy="save each page as a file of its own; data=image_folder takes the pages as cases",
            )
        part = file.series[0] if page is None else file.pages[page]
        axes = part.axes
        try:
            pixels = part.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            # LZW and JPEG inside TIFF: Pillow brings the decoders.
            return _read_with_pillow(path, page, palette_numbers=palette_numbers)
    return np.moveaxis(pixels, 0, -1) if axes in _CHANNELS_FIRST else pixels


def _is_one_image(file: tifffile.TiffFile) -> bool:
    return len(file.series) == 1 and file.series[0].axes in (*_CHANNELS_FIRST, *_CHANNELS_LAST)
