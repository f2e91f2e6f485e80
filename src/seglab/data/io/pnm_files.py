"""PBM, PGM and PPM (Netpbm): plain and raw, 8 and 16 bit, the numbers as they are stored."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from seglab.data.io.stored_pixels import StoredPixels, refuse_too_large
from seglab.errors import DataError

_BITS, _GREY, _RGB = (b"P1", b"P4"), (b"P2", b"P5"), (b"P3", b"P6")
_PLAIN = (b"P1", b"P2", b"P3")  # numbers in words
_KINDS = (*_BITS, *_GREY, *_RGB)
_GAP = rb"(?:\s|#[^\n]*\n)+"
_COMMENT = re.compile(rb"#[^\n]*")
_ENDING = re.compile(rb"#[^\n]*\n|\s")  # ends the header


def is_pnm(content: bytes) -> bool:
    """Whether a file that begins with these bytes is a PBM, PGM or PPM."""
    return content[:2] in _KINDS and content[2:3] in b" \t\r\n\v\f#" and len(content) > 2


def read_pnm(path: Path, content: bytes) -> StoredPixels:
    """The image of a file; in a PBM, where 1 is black, black is 0 and white 1.

    Raises:
        DataError: several images in the file, an image too large for the memory.
        ValueError: a header that means nothing, too few pixels or too many, what is no number, numbers above the
            largest that the header names.
    """
    kind = content[:2]
    numbers = 2 if kind in _BITS else 3
    head = re.match(rb"P[1-6]" + (_GAP + rb"(\d{1,9})") * numbers, content)
    if head is None:
        raise ValueError(f"begins with {content[:20]!r}, without {numbers} numbers after {kind.decode()}")
    width, height, white = (*map(int, head.groups()), 1)[:3]
    if not width or not height or not 0 < white < 2**16:
        raise ValueError(f"{width}×{height} pixels, the largest number {white}")
    channels = 3 if kind in _RGB else 1
    refuse_too_large(path, height, width, height * width * channels * (1 if white < 256 else 2))
    body = content[head.end() :]
    values, rest = (_from_words if kind in _PLAIN else _from_bytes)(kind, body, (height, width, channels), white)
    _refuse_more(path, rest)
    if values.max(initial=0) > white:
        raise ValueError(f"a pixel of {values.max()}, above {white}, the largest number as the header has it")
    if kind in _BITS:
        values = 1 - values
    return StoredPixels(values[..., 0] if channels == 1 else values, white.bit_length(), white=white)


def _from_bytes(kind: bytes, body: bytes, shape: tuple[int, int, int], white: int) -> tuple[np.ndarray, bytes]:
    height, width, channels = shape
    line = -(-width // 8)
    sample = np.dtype(np.uint8 if white < 256 else ">u2")
    size = height * (line if kind in _BITS else width * channels * sample.itemsize)
    ending = _ENDING.match(body)
    start = 0 if ending is None else ending.end()
    if body.startswith(b"\r\n") and len(body) == size + 2:  # lines that end as on Windows, or a pixel of 10
        start = 2
    body, rest = body[start : start + size], body[start + size :]
    if ending is None or len(body) < size:
        raise ValueError(f"{len(body)} bytes of pixels in the place of {size}")
    if kind in _BITS:
        packed = np.frombuffer(body, np.uint8).reshape(height, line)
        return np.unpackbits(packed, axis=1)[:, :width, None], rest
    return np.frombuffer(body, sample).reshape(shape).astype(sample.newbyteorder("=")), rest


def _from_words(kind: bytes, body: bytes, shape: tuple[int, int, int], white: int) -> tuple[np.ndarray, bytes]:
    body = _COMMENT.sub(b"", body)
    words = body.split()
    if kind == b"P1":  # single digits may stand without a gap
        words = [bytes((sign,)) for sign in b"".join(words)]
    count = int(np.prod(shape))
    if len(words) < count:
        raise ValueError(f"{len(words)} pixels in the place of {count}")
    strange = next((word for word in words[:count] if not word.isdigit()), None)
    if strange is not None:
        raise ValueError(f"{strange[:20]!r} in the place of a number")
    values = np.array([int(word) for word in words[:count]], np.int64)
    if values.max(initial=0) > white:
        raise ValueError(f"a pixel of {values.max()}, above {white}, the largest number as the header has it")
    return values.reshape(shape).astype(np.uint8 if white < 256 else np.uint16), b"".join(words[count : count + 2])


def _refuse_more(path: Path, rest: bytes) -> None:
    if rest.lstrip()[:2] in _KINDS:
        raise DataError(
            "a file of several pictures",
            code="several-pages",
            finding="unreadable-file",
            where=str(path),
            found="another image behind the first",
            expected="one image in a file",
            remedy="save each picture as a file of its own",
        )
    if rest.strip():
        raise ValueError(f"more behind the last pixel: {rest[:20]!r}")
