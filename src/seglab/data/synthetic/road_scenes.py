"""Generated road scenes with the labels and instances of Cityscapes."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from seglab.data.labels.label_schema import built_in_schema

SIZE = (128, 256)
# Label ids, see schemas/cityscapes.csv.
_EGO, _BORDER, _ROAD, _SIDEWALK, _PARKING, _BUILDING = 1, 3, 7, 8, 9, 11
_POLE, _SIGN, _VEGETATION, _SKY, _PERSON, _RIDER, _CAR, _TRAIN, _BICYCLE = 17, 20, 21, 23, 24, 25, 26, 31, 33
# An instance id is the label id times this, plus a number; a smaller id is a label id, of a crowd or of stuff.
INSTANCE_FACTOR = 1000


def make_scene(rng: np.random.Generator, *, with_train: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image `(128, 256, 3)` uint8, label ids uint8 and instance ids uint16, laid out as Cityscapes has them.

    A street seen from a car: sky over houses and trees, a road that widens towards the viewer, pavements, poles and
    signs, people, bicycles and cars, each an instance of its own, and a crowd of people that is one region without
    instances. `with_train` adds a train.
    """
    labels = _surroundings(rng)
    instances = labels.astype(np.uint16)
    horizon = SIZE[0] * 45 // 100
    crowd = _ellipse((horizon + 6, int(rng.integers(20, 236))), (9, 16))
    labels[crowd], instances[crowd] = _PERSON, _PERSON
    objects = [_CAR] * int(rng.integers(2, 5)) + [_PERSON] * int(rng.integers(2, 4)) + [_RIDER, _BICYCLE]
    objects += [_TRAIN] if with_train else []
    number = dict.fromkeys(objects, 0)
    for label in objects:
        row = int(rng.integers(horizon + 8, SIZE[0] - 24))
        near = 0.5 + (row - horizon) / (SIZE[0] - horizon)
        height, width = _HALF_SIZES[label]
        where = _ellipse((row, int(rng.integers(16, SIZE[1] - 16))), (height * near, width * near))
        labels[where], instances[where] = label, label * INSTANCE_FACTOR + number[label]
        number[label] += 1
    rows, columns = np.indices(SIZE)
    border = (columns < 3) | (columns >= SIZE[1] - 3)
    for label, where in ((_EGO, rows >= SIZE[0] - 6), (_BORDER, border)):
        labels[where], instances[where] = label, label
    return _paint(rng, labels), labels, instances


# Half height and half width in pixels, half way to the horizon.
_HALF_SIZES = {_CAR: (9, 17), _PERSON: (12, 4), _RIDER: (11, 4), _BICYCLE: (6, 9), _TRAIN: (16, 40)}


def _surroundings(rng: np.random.Generator) -> np.ndarray:
    """Label ids of everything that stands still."""
    rows, columns = np.indices(SIZE)
    horizon = SIZE[0] * 45 // 100
    skyline = horizon - 10 - np.repeat(rng.integers(0, 40, 16), SIZE[1] // 16)
    labels = np.where(rows < skyline, _SKY, _BUILDING).astype(np.uint8)
    for _ in range(int(rng.integers(2, 5))):
        labels[_ellipse((horizon - 8, int(rng.integers(0, SIZE[1]))), (22, 18))] = _VEGETATION
    depth = (rows - horizon) / (SIZE[0] - horizon)
    middle = SIZE[1] * rng.uniform(0.4, 0.6)
    off = np.abs(columns - middle)
    below = rows >= horizon
    labels[below] = _PARKING if rng.random() < 0.5 else _SIDEWALK
    labels[below & (off < 60 + 110 * depth)] = _SIDEWALK
    labels[below & (off < 20 + 90 * depth)] = _ROAD
    for _ in range(int(rng.integers(2, 5))):
        column = int(rng.integers(8, SIZE[1] - 8))
        labels[horizon - 35 : horizon + 12, column : column + 3] = _POLE
        labels[horizon - 42 : horizon - 30, column - 4 : column + 7] = _SIGN
    return labels


def _ellipse(centre: tuple[int, int], half: tuple[float, float]) -> np.ndarray:
    rows, columns = np.indices(SIZE)
    return ((rows - centre[0]) / half[0]) ** 2 + ((columns - centre[1]) / half[1]) ** 2 <= 1


def _paint(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Muted colours of the labels under shadow, texture and noise."""
    colors = np.zeros((256, 3), np.float32)
    for label in built_in_schema("cityscapes").labels:
        if label.id >= 0:
            colors[label.id] = label.color
    image = 55 + 0.5 * colors[labels]
    texture = ndimage.gaussian_filter(rng.standard_normal((*SIZE, 3)), (1.5, 1.5, 0)) * 30
    shadow = ndimage.gaussian_filter(rng.standard_normal(SIZE), 25)
    image = (image + texture) * (1 + 0.2 * shadow / np.abs(shadow).max())[..., None]
    image = ndimage.gaussian_filter(image, (0.7, 0.7, 0)) + rng.normal(0, 6, image.shape)
    return image.clip(0, 255).astype(np.uint8)
