"""A small data set for the pages, with the names that a page may be given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

HOSTILE = "<img src=x onerror=alert(1)> *b* $x$ :red[a] `c`"
NAMES = ("a", "b c", HOSTILE, "ü")
SIZE = (48, 64)
VALUES = np.array([7, 8, 11], np.uint8)
WORDS = ("data=image_folder", "data.label_values=[7,8,11]", "data.class_names=[ground,red,green]")


def image_of(name: str, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Blocks of colours, of which the brightest channel is the class; another for each name."""
    generator = np.random.default_rng(sum(name.encode()))
    small = generator.integers(0, 256, (size[0] // 8, size[1] // 8, 3), np.uint8)
    return small.repeat(8, axis=0).repeat(8, axis=1)


def write_data(place: Path, size: tuple[int, int] = SIZE, names: tuple[str, ...] = NAMES) -> tuple[str, ...]:
    """Images and masks, and the words that name them; of the mask the upper left quarter is of another class than what
    is brightest, so that no score is perfect."""
    for part in ("images", "masks"):
        (place / part).mkdir(parents=True)
    for name in names:
        image = image_of(name, size)
        ids = image.argmax(axis=2)
        ids[: size[0] // 2, : size[1] // 2] = (ids[: size[0] // 2, : size[1] // 2] + 1) % 3
        Image.fromarray(image).save(place / "images" / f"{name}.png")
        Image.fromarray(VALUES[ids]).save(place / "masks" / f"{name}.png")
    return (*WORDS, f"data.root={place}")
