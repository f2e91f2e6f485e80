"""JPEG 2000, in its file format (JP2) or as a bare codestream, by imagecodecs: all bits as they are stored."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from seglab.data.io.stored_pixels import StoredPixels, refuse_too_large
from seglab.errors import DataError

_FILE, _CODESTREAM = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
_COLOURS = b"colr\1"  # box of the colour model, by its number
_IMAGE = b"jp2c"  # box of the codestream
_YCC = 18


def is_jpeg2000(content: bytes) -> bool:
    """Whether a file that begins with these bytes is a JPEG 2000."""
    return content.startswith((_FILE, _CODESTREAM))


def read_jpeg2000(path: Path, content: bytes) -> StoredPixels:
    """The image of a file.

    Raises:
        DataError: an image too large for the memory, samples that are negative, of several widths or of more than 16
            bits.
        OSError, ValueError, RuntimeError, …: what the decoders raise on damaged files.
    """
    head = _codestream(content)
    if content[head : head + 4] != _CODESTREAM or len(content) < head + 42:
        raise ValueError("no codestream in the file")
    right, low, left, top = struct.unpack(">4I", content[head + 8 : head + 24])
    (channels,) = struct.unpack(">H", content[head + 40 : head + 42])
    samples = {content[n] for n in range(head + 42, min(head + 42 + 3 * channels, len(content)), 3)}
    height, width, depth = low - top, right - left, max(samples, default=0) + 1
    if len(samples) != 1 or depth > 16:  # the highest bit says that numbers may be negative
        raise DataError(
            "a JPEG 2000 of a kind that is not read",
            code="unsupported-jpeg2000",
            finding="unreadable-file",
            where=str(path),
            found="samples of several widths, of more than 16 bits, or with a sign",
            expected="whole numbers from 0 up, of 1 to 16 bits, the same for all channels",
            remedy="save it as PNG or TIFF",
        )
    refuse_too_large(path, height, width, height * width * channels * (1 if depth <= 8 else 2))
    at = content.find(_COLOURS, 0, head)
    if at >= 0 and struct.unpack(">I", content[at + 7 : at + 11]) == (_YCC,) and depth == 8:
        with Jpeg2KImageFile(io.BytesIO(content)) as image:  # type: ignore[no-untyped-call]
            return StoredPixels(np.asarray(image.convert("RGB")), 8)
    return StoredPixels(imagecodecs.jpeg2k_decode(content), depth)


def _codestream(content: bytes) -> int:
    """Where the codestream begins, which other boxes may hold the likeness of; the end of the file without one."""
    if content.startswith(_CODESTREAM):
        return 0
    at = 0
    while at + 8 <= len(content):
        size, kind, head = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        if kind == _IMAGE:
            return at + head
        if size < head:  # 0: to the end of the file
            break
        at += size
    return len(content)
