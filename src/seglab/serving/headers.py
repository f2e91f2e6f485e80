"""What an image file says of itself before it is decoded: size, pictures in it, and how it is to be turned."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from seglab.data.io.nifti_headers import read_header
from seglab.serving.claimed_size import BMP, JPEG, PNG, TIFF, FileHeader, tiff_header
from seglab.serving.limits import Limits
from seglab.serving.problems import Problem, too_large

_ORIENTATION = 274  # of EXIF
_TURNING = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")


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
    if content.startswith(PNG):
        width, height = struct.unpack(">II", content[16:24])
        if height * width > limits.pixels:  # before anything else of it is looked at
            return FileHeader("png", height, width)
        with PngImageFile(io.BytesIO(content)) as image:
            return FileHeader(
                "png", height, width, int(getattr(image, "n_frames", 1)), _exif(image) if _may_be_turned(content) else 1
            )
    if content.startswith(JPEG):
        with JpegImageFile(io.BytesIO(content)) as image:
            return FileHeader("jpeg", image.height, image.width, 1, _exif(image))
    if content.startswith(BMP):
        with BmpImageFile(io.BytesIO(content)) as image:
            return FileHeader("bmp", image.height, image.width)
    if content.startswith(TIFF):
        return tiff_header(content, limits.frames)
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
    at = len(PNG)
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        if content[at + 4 : at + 8] in _TURNING:
            return True
        at += 12 + length
    return False


def _exif(image: Any) -> int:
    found = image.getexif().get(_ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def _broken(found: str) -> Problem:
    return Problem(
        400,
        "file-unreadable",
        "a file that cannot be read",
        f"found: {found}",
        remedy="send a whole PNG, JPEG, TIFF or BMP",
    )
