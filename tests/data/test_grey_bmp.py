"""BMP of 4 and 8 bits whose palette is grey: Pillow took their pixels for as few bits as the shades need."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.data.io.image_files import open_mask_file, read_image_file

SEEN = np.random.default_rng(0).integers(0, 2, (7, 21), np.uint8)


def write_bmp(path: Path, values: np.ndarray, bits: int, palette: list[tuple[int, int, int]]) -> None:
    """Without compression, bottom up, as the format has it: lines are filled to four bytes."""
    height, width = values.shape
    lines = b""
    for row in values[::-1]:
        packed = np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes()
        lines += packed + b"\0" * (-len(packed) % 4)
    colours = b"".join(bytes((blue, green, red, 0)) for red, green, blue in palette)
    start = 14 + 40 + len(colours)
    head = struct.pack("<2sIHHI", b"BM", start + len(lines), 0, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(lines), 0, 0, len(palette), 0)
    path.write_bytes(head + info + colours + lines)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_black_and_white_in_more_bits_than_one(tmp_path: Path, bits: int) -> None:
    write_bmp(tmp_path / "a.bmp", SEEN, bits, [(0, 0, 0), (255, 255, 255)])
    values, palette = open_mask_file(tmp_path / "a.bmp")
    np.testing.assert_array_equal(values, SEEN)
    assert palette is None
    np.testing.assert_array_equal(read_image_file(tmp_path / "a.bmp")[..., 0], 255 * SEEN)


@pytest.mark.parametrize("bits", [4, 8])
def test_as_pillow_writes_it_and_with_shades_that_are_the_numbers(tmp_path: Path, bits: int) -> None:
    image = Image.fromarray(SEEN)
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "a.bmp")
    np.testing.assert_array_equal(open_mask_file(tmp_path / "a.bmp").values, SEEN)
    ids = (SEEN * np.arange(21) % 4).astype(np.uint8)
    write_bmp(tmp_path / "b.bmp", ids, bits, [(k, k, k) for k in range(4)])
    np.testing.assert_array_equal(open_mask_file(tmp_path / "b.bmp").values, ids)
    np.testing.assert_array_equal(read_image_file(tmp_path / "b.bmp")[..., 0], ids)
