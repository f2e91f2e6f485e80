"""A plane of values as PNG: read back by decoders that are not ours, to the number."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from seglab.data.io.image_files import open_mask_file
from seglab.data.io.png_encoding import plane_as_png

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (33, 47)])
def test_values_come_back(shape: tuple[int, int], dtype: type[np.generic]) -> None:
    values = RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    for stored in (values, np.asfortranarray(values), values[::-1, ::-1], np.repeat(values, 2, axis=1)[:, ::2]):
        content = plane_as_png(stored)
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            np.testing.assert_array_equal(np.asarray(image), stored)
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED), stored)


def test_palette_and_texts(tmp_path: Path) -> None:
    values = RNG.integers(0, 3, (40, 30), np.uint8)
    palette = RNG.integers(0, 256, (256, 3), np.uint8)
    content = plane_as_png(values, palette, {"Software": "seglab mask", "Bundle": "road+0123"})
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.mode == "P"
        assert image.text == {"Software": "seglab mask", "Bundle": "road+0123"}
        np.testing.assert_array_equal(np.asarray(image), values)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette[values])
    (tmp_path / "mask.png").write_bytes(content)
    found = open_mask_file(tmp_path / "mask.png")
    np.testing.assert_array_equal(found.values, values)
    assert found.palette is not None
    np.testing.assert_array_equal(found.palette, palette)


def test_a_mask_takes_no_more_room_than_pillow_gives_it() -> None:
    smooth = (cv2.GaussianBlur(RNG.random((512, 1024), np.float32), (0, 0), 12) > 0.5).astype(np.uint8)
    room = io.BytesIO()
    Image.fromarray(smooth).save(room, "PNG", compress_level=1)
    assert len(plane_as_png(smooth)) <= 1.1 * len(room.getvalue())
