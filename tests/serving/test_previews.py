"""Which stored files a browser is given as they are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from seglab.serving.previews import preview, viewable

RNG = np.random.default_rng(1)
RGB = RNG.integers(0, 256, (6, 8, 3), np.uint8)


def stored(image: np.ndarray | Image.Image, kind: str = "PNG", **more: object) -> bytes:
    room = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(room, kind, **more)
    return room.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    return exif


def with_profile() -> PngImagePlugin.PngInfo:
    text_chunks = PngImagePlugin.PngInfo()
    text_chunks.add(b"gAMA", (45455).to_bytes(4, "big"))
    return text_chunks


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (stored(RGB), True),
        (stored(RGB[..., 0]), True),
        (stored(RGB, "JPEG"), True),
        (stored(RGB[..., 0], "JPEG"), True),
        (stored(RGB, exif=turned()), False),
        (stored(RGB, "JPEG", exif=turned()), False),
        (stored(RGB, pnginfo=with_profile()), False),
        (stored(RGB, "JPEG", icc_profile=b"a profile"), False),
        (stored(Image.fromarray(RGB).convert("CMYK"), "JPEG"), False),
        (stored(Image.fromarray(RGB).convert("RGBA")), False),
        (stored(Image.fromarray(RGB).convert("P")), False),
        (stored(RNG.integers(0, 65536, (6, 8), np.uint16)), False),
        (stored(RGB, "TIFF"), False),
        (b"\xff\xd8\xff and nothing", False),
        (b"\x89PNG\r\n\x1a\n", False),
        (b"", False),
    ],
)
def test_a_file_is_given_as_it_is_only_where_a_browser_shows_it_alike(content: bytes, expected: bool) -> None:
    assert viewable(content) is expected


def test_a_preview_spreads_what_is_not_of_8_bits() -> None:
    image = np.linspace(1000, 3000, 48).reshape(6, 8, 1).astype(np.uint16)
    seen = np.asarray(Image.open(io.BytesIO(preview(image))))
    assert (seen.dtype, seen.shape, seen.min(), seen.max()) == (np.uint8, (6, 8), 0, 255)
    assert (np.diff(seen.ravel().astype(int)) >= 0).all()
