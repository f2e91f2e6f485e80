"""An image as a picture that every browser shows."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_PLAIN = (b"IHDR", b"pHYs", b"tEXt", b"tIME", b"IDAT", b"IEND")


def viewable(content: bytes) -> bool:
    """Whether every browser shows a stored file as the reader reads it: a grey or RGB PNG or JPEG of 8 bits, with
    nothing in it that turns it or changes its colours."""
    if content.startswith(_JPEG):
        return _viewable_jpeg(content)
    if not content.startswith(_PNG) or content[24:26] not in (b"\x08\x00", b"\x08\x02"):
        return False
    at = len(_PNG)
    while at + 8 <= len(content):
        if content[at + 4 : at + 8] not in _PLAIN:
            return False
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return True


def _viewable_jpeg(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            return image.mode in ("L", "RGB") and not {"exif", "icc_profile", "adobe", "xmp"} & set(image.info)
    except (OSError, ValueError, SyntaxError):
        return False


def preview(image: np.ndarray) -> bytes:
    """A PNG of 8 bits: of a volume the middle plane, of other numbers from the 1st to the 99th of a hundred."""
    shown = image if image.ndim == 3 else np.rot90(image[:, :, image.shape[2] // 2])
    shown = shown if shown.shape[-1] == 3 else shown[..., :1]
    if shown.dtype != np.uint8:
        low, high = np.percentile(shown, (1, 99))
        shown = np.clip((shown - low) / max(float(high - low), 1e-12) * 255, 0, 255).astype(np.uint8)
    room = io.BytesIO()
    Image.fromarray(shown if shown.shape[-1] == 3 else shown[..., 0]).save(room, "PNG", compress_level=1)
    return room.getvalue()
