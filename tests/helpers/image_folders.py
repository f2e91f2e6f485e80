"""Shared by the tests of image folders: a folder of images and masks, read as a data set."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from seglab.data.sources.image_folder import ImageFolder

RNG = np.random.default_rng(0)


GREY = RNG.integers(0, 256, (20, 30), np.uint8)


DEEP = RNG.integers(0, 65536, (20, 30, 3), np.uint16)


HALVES = np.repeat(np.array([[0, 255]], np.uint8), 20, 0).repeat(15, 1)


@pytest.fixture
def folder(tmp_path):
    """Three pairs of grey PNG, masks 0 and 255."""
    for name in ("s1", "s2", "s10"):
        _save(tmp_path / "images" / f"{name}.png", GREY)
        _save(tmp_path / "masks" / f"{name}.png", HALVES)
    return tmp_path


def _save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def open(root, **options):
    return ImageFolder(root=str(root), **{"label_values": [0, 255], **options})
