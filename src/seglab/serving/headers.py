"""What an image file says of itself before it is decoded: size, pictures in it, and how it is to be turned."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from seglab.data.io.nifti_headers import read_header
from seglab.data.io.tiff_files import is_tiff
from seglab.serving.limits import Limits
from seglab.serving.problems import Problem, too_large

_PNG, _JPEG, _BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"
_ORIENTATION, _WIDTH, _HEIGHT = 274, 256, 257
_TURNING = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}


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


def check_image(content: bytes, limits: Limits) -> FileHeader:
    """The header of a 2D image; raises `Problem` for another kind of file, a broken header or one beyond the limits."""
    try:
        header = _header(content, limits)
    except Problem:
        raise
    except Exception as error:  # whatever a parser makes of a broken header is the sender's
        raise _broken(f"{type(error).__name__}: {error}"[:200]) from error
    if header.frames > limits.frames:
        raise Problem(
            422,
            "several-pages",
            "a file of several pictures",
            f"found: {header.frames} or more; expected: {limits.frames}",
            remedy="send each picture as a file of its own",
        )
    if header.height * header.width > limits.pixels:
        raise too_large("an image", f"{header.height}×{header.width} pixels", f"{limits.pixels:,} pixels")
    if not header.height * header.width:
        raise _broken(f"{header.height}×{header.width} pixels")
    return header


def check_volume(file: Path, limits: Limits) -> tuple[int, ...]:
    """The shape of a NIfTI file, in its own order of axes; raises `Problem` as `check_image`, and `DataError`."""
    shape = read_header(str(file)).shape
    count = 1
    for side in shape:
        count *= side
    if count > limits.voxels:
        raise too_large("a volume", f"{'×'.join(map(str, shape))} voxels", f"{limits.voxels:,} voxels")
    return shape


def _header(content: bytes, limits: Limits) -> FileHeader:
    if content.startswith(_PNG):
        width, height = struct.unpack(">II", content[16:24])
        if height * width > limits.pixels:  # before anything else of it is looked at
            return FileHeader("png", height, width)
        with PngImageFile(io.BytesIO(content)) as image:
            return FileHeader(
                "png", height, width, int(getattr(image, "n_frames", 1)), _exif(image) if _may_be_turned(content) else 1
            )
    if content.startswith(_JPEG):
        with JpegImageFile(io.BytesIO(content)) as image:
            return FileHeader("jpeg", image.height, image.width, 1, _exif(image))
    if content.startswith(_BMP):
        with BmpImageFile(io.BytesIO(content)) as image:
            return FileHeader("bmp", image.height, image.width)
    if is_tiff(content):
        return _tiff(content, limits.frames)
    raise Problem(
        415,
        "image-format",
        "a file of a kind that is not read",
        f"found: it begins with {content[:8]!r}" if content else "found: nothing, the body is empty",
        remedy="send a PNG, JPEG, TIFF or BMP",
    )


def _may_be_turned(content: bytes) -> bool:
    """Whether a PNG has a chunk that may hold an orientation, before its pixels or after them: to ask Pillow for it is
    to decode the image."""
    at = len(_PNG)
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        if content[at + 4 : at + 8] in _TURNING:
            return True
        at += 12 + length
    return False


def _exif(image: Any) -> int:
    found = image.getexif().get(_ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def _tiff(content: bytes, most: int) -> FileHeader:
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
        if len(seen) > most + 16:  # thumbnails and masks may stand beside the image
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


def _broken(found: str) -> Problem:
    return Problem(
        400,
        "file-unreadable",
        "a file that cannot be read",
        f"found: {found}",
        remedy="send a whole PNG, JPEG, TIFF or BMP",
    )
