"""Every kind of file but TIFF by its contents: decoded by OpenCV, imagecodecs, Pillow or here, whichever keeps all."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from seglab.data.io.jpeg2000_files import is_jpeg2000, read_jpeg2000
from seglab.data.io.pnm_files import is_pnm, read_pnm
from seglab.data.io.stored_pixels import StoredPixels, native, refuse_too_large, upright
from seglab.errors import DataError

_PNG = b"\x89PNG\r\n\x1a\n"
# Opened as what they are and not by `Image.open`, whose limit of 179 million pixels is not ours.
_KINDS: tuple[tuple[bytes, Callable[[Any], Image.Image]], ...] = (
    (_PNG, PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
    (b"BM", BmpImageFile),
    (b"GIF8", GifImageFile),
    (b"RIFF", WebPImageFile),
)
# Pillow would give printing colours.
_TO_PLAIN_MODE = {"PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB"}
_ORIENTATION = 0x0112
_BITS = {"1": 1, "L": 8}  # that Pillow unpacks in these modes
_OLD_BMP_HEADER = 12  # bytes, of OS/2
_GREY, _RGB = 0, 2  # colour types of a PNG
_PLAIN_PNG_CHANNELS = {_GREY: 1, _RGB: 3}
_TEXT_OF_EXIF = (b"Raw profile type exif", b"XML:com.adobe.xmp")
# OpenCV refuses more, with an error of its own.
_OPENCV_PIXELS, _OPENCV_SIDE = 2**30, 2**20


def read_raster(path: Path) -> StoredPixels:
    """The image of a file.

    Raises:
        DataError: an image too large for the memory, a GIF or WebP that moves.
        UnidentifiedImageError: a file of no such kind.
        OSError, ValueError, …: what the decoders raise on damaged files.
    """
    content = path.read_bytes()
    if is_pnm(content):
        return read_pnm(path, content)
    if is_jpeg2000(content):
        return read_jpeg2000(path, content)
    plain = _read_plain_png(path, content)
    return _read_with_pillow(path, content) if plain is None else plain


def _read_plain_png(path: Path, content: bytes) -> StoredPixels | None:
    """A whole PNG of 8-bit grey or RGB by OpenCV, a sixth faster than Pillow; None for anything else."""
    channels = _channels_of_plain_png(memoryview(content))
    if channels is None:
        return None
    width, height = struct.unpack(">II", content[16:24])
    refuse_too_large(path, height, width, height * width * channels)
    flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if pixels is None else StoredPixels(pixels, 8)


def _channels_of_plain_png(content: memoryview) -> int | None:
    """1 or 3 for a PNG of 8-bit grey or RGB whose chunks are all there and sound, None otherwise.

    OpenCV 4 takes damaged files, and OpenCV 5 refuses them with a line of its own on the terminal.
    """
    if content[:8] != _PNG or len(content) < 26 or content[24] != 8 or content[25] not in _PLAIN_PNG_CHANNELS:
        return None
    width, height = struct.unpack(">II", content[16:24])
    if width * height > _OPENCV_PIXELS or max(width, height) > _OPENCV_SIDE:
        return None
    at = len(_PNG)
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, end = bytes(content[at + 4 : at + 8]), at + 8 + length
        turned = kind in (b"tEXt", b"zTXt", b"iTXt") and bytes(content[at + 8 : at + 40]).startswith(_TEXT_OF_EXIF)
        sound = content[end : end + 4] == zlib.crc32(content[at + 4 : end]).to_bytes(4, "big")
        if kind in (b"tRNS", b"eXIf") or turned or not sound:
            return None
        if kind == b"IEND":
            return _PLAIN_PNG_CHANNELS[content[25]]
        at = end + 4
    return None


def _read_with_pillow(path: Path, content: bytes) -> StoredPixels:
    opened = next((kind for start, kind in _KINDS if content.startswith(start)), None)
    if opened is None:
        raise UnidentifiedImageError(f"begins with {content[:8]!r}, as none of the kinds that are read")
    depth, colours = (content[24], content[25]) if content.startswith(_PNG) and len(content) > 25 else (8, -1)
    with opened(io.BytesIO(content)) as image:
        _refuse_frames(path, image)
        width, height = image.size
        refuse_too_large(path, height, width, height * width * len(image.getbands()) * max(depth // 8, 1))
        if opened is BmpImageFile and image.mode in _BITS and _bits_of_bmp(content) != _BITS[image.mode]:
            return _read_grey_bmp(content, 1 if image.mode == "1" else 8)
        image.load()  # raises on a truncated file, where others would fill the rest with grey
        palette = _palette(image) if image.mode == "P" else None
        if depth == 16 and colours != _GREY:
            values = imagecodecs.png_decode(content)  # Pillow keeps 8 of the 16 bits
        else:
            values = np.asarray(image.convert(_TO_PLAIN_MODE[image.mode]) if image.mode in _TO_PLAIN_MODE else image)
        orientation = image.getexif().get(_ORIENTATION)
    if values.dtype == bool:
        values, depth = values.astype(np.uint8), 1
    elif depth < 8 and colours == _GREY:
        values = values // np.uint8(255 // (2**depth - 1))  # Pillow has stretched them to 0..255
    bits = 8 if palette is not None else depth
    return StoredPixels(upright(native(values), orientation), bits, palette)


def _bits_of_bmp(content: bytes) -> int:
    at = 24 if _header_of_bmp(content) == _OLD_BMP_HEADER else 28
    return int.from_bytes(content[at : at + 2], "little")


def _header_of_bmp(content: bytes) -> int:
    return int.from_bytes(content[14:18], "little")


def _read_grey_bmp(content: bytes, bits: int) -> StoredPixels:
    """A BMP with more bits a pixel than its grey palette needs, such as 8 bits of black and white: Pillow takes its
    pixels for as few bits. With another colour in the palette it reads the numbers, which are the shades."""
    first = 14 + _header_of_bmp(content)
    coloured = bytearray(content)
    coloured[first] ^= 1
    with BmpImageFile(io.BytesIO(coloured)) as image:
        image.load()
        return StoredPixels(np.asarray(image), bits)


def _refuse_frames(path: Path, image: Any) -> None:
    if isinstance(image, GifImageFile | WebPImageFile) and image.n_frames > 1:
        raise DataError(
            f"a {image.format} of several pictures",
            code="several-pages",
            finding="unreadable-file",
            where=str(path),
            found=f"{image.n_frames} pictures",
            expected="one image in a file",
            remedy="save each picture as a file of its own",
        )


def _palette(image: Any) -> np.ndarray:
    return np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
