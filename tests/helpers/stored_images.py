"""Shared by the tests of image files: pictures to store, and ways to damage what was stored."""

from __future__ import annotations

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


GREY = RNG.integers(0, 256, (20, 30), np.uint8)


DEEP = RNG.integers(0, 65536, (20, 30, 3), np.uint16)


HALVES = np.repeat(np.array([[0, 255]], np.uint8), 20, 0).repeat(15, 1)


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
