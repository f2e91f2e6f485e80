"""A plane of values as PNG, faster than Pillow writes one of the same size: no filter, deflated by zlib-ng.

PNG (W3C Recommendation, third edition): https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import imagecodecs
import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
_LEVEL = 2  # of zlib-ng: as small as zlib's first, in an eighth to a third of Pillow's time


def plane_as_png(
    values: np.ndarray, palette: np.ndarray | None = None, texts: Mapping[str, str] | None = None
) -> bytes:
    """A PNG that holds the values as they are.

    Args:
        values: `(H, W)` uint8 or uint16.
        palette: `(N, 3)` uint8, red, green and blue of each value of 8 bits; None for shades of grey.
        texts: keywords of Latin letters, and what stands under them.
    """
    height, width = values.shape
    bits = 8 * values.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, bits, _GREY if palette is None else _PALETTE, 0, 0, 0)
    rows = np.zeros((height, 1 + width * values.dtype.itemsize), np.uint8)  # each begins with its filter: none
    rows[:, 1:] = np.ascontiguousarray(values, values.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    parts = [_chunk(b"IHDR", header)]
    if palette is not None:
        parts.append(_chunk(b"PLTE", palette.tobytes()))
    for keyword, text in (texts or {}).items():
        parts.append(_chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1", "replace")))
    deflated = bytes(imagecodecs.zlibng_encode(rows.tobytes(), _LEVEL))
    parts += [_chunk(b"IDAT", deflated), _chunk(b"IEND", b"")]
    return b"".join([_SIGNATURE, *parts])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
