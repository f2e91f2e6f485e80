"""What an image says of its size, by its first bytes and without a decoder: the process of the service holds none."""

from __future__ import annotations

import struct
from dataclasses import dataclass

PNG, JPEG, BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION, _WIDTH, _HEIGHT = 274, 256, 257
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_BESIDE = 16  # thumbnails and masks that may stand beside the image of a TIFF
_FRAMES = {0xFFC0 + number for number in range(16)} - {0xFFC4, 0xFFC8, 0xFFCC}  # of JPEG, those that tell a size
_SEGMENTS = 64  # of a JPEG that are looked at for one


@dataclass(frozen=True)
class FileHeader:
    """Of a 2D image file.

    Attributes:
        kind: `png`, `jpeg`, `bmp` or `tiff`, by its contents.
        height, width: of the largest picture in it, as stored.
        frames: how many there are.
        orientation: of EXIF and TIFF, 1 to 8.
    """

    kind: str
    height: int
    width: int
    frames: int = 1
    orientation: int = 1


def claimed_pixels(content: bytes) -> int:
    """How many pixels an image says it has, by a look that nothing it holds makes long; 0 where it does not say."""
    try:
        if content.startswith(PNG):
            width, height = struct.unpack(">II", content[16:24])
        elif content.startswith(JPEG):
            height, width = _jpeg_size(content)
        elif content.startswith(BMP):
            width, height = struct.unpack("<ii", content[18:26])
        elif content.startswith(TIFF):
            header = tiff_header(content, 1 - _BESIDE)
            height, width = header.height, header.width
        else:
            return 0
    except (struct.error, ValueError):  # which is told to its sender when it is decoded
        return 0
    return abs(int(height) * int(width))


def _jpeg_size(content: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(_SEGMENTS):
        marker, length = struct.unpack_from(">HH", content, at)
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return height, width
        at += 2 + length
    raise ValueError("no frame")


def tiff_header(content: bytes, most: int) -> FileHeader:
    """Walks the chain of directories as far as `most` and one more, so that neither a ring nor a crowd holds it up."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", content, 2)[0] == 43
    count_form, entry, offset_form = ("Q", 20, "Q") if big else ("H", 12, "I")
    (at,) = struct.unpack_from(order + offset_form, content, 8 if big else 4)
    found, seen = FileHeader("tiff", 0, 0, 0), set[int]()
    while at:
        if at in seen:
            raise ValueError("directories that go round in a ring")
        seen.add(at)
        if len(seen) > most + _BESIDE:
            return FileHeader("tiff", found.height, found.width, len(seen))
        (entries,) = struct.unpack_from(order + count_form, content, at)
        first = at + struct.calcsize(order + count_form)
        tags = {}
        for place in range(first, first + min(entries, 4096) * entry, entry):
            tag, kind = struct.unpack_from(order + "HH", content, place)
            if tag in (_WIDTH, _HEIGHT, _ORIENTATION) and kind in _INTEGERS:
                (tags[tag],) = struct.unpack_from(order + _INTEGERS[kind], content, place + (12 if big else 8))
        height, width = tags.get(_HEIGHT, 0), tags.get(_WIDTH, 0)
        if height * width >= found.height * found.width:
            found = FileHeader("tiff", height, width, 1, tags.get(_ORIENTATION, 1))
        (at,) = struct.unpack_from(order + offset_form, content, first + entries * entry)
    return found  # whether several pictures are one image, the reader says
