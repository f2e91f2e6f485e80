"""Images that look alike though they are of other people: one field of view, one anatomy, and details of their own."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

SIZE = (146, 141)  # a quarter of DRIVE's retinas along each side


def _places():
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (rows - SIZE[0] / 2) / SIZE[0] * 2, (columns - SIZE[1] / 2) / SIZE[1] * 2


def _smooth(rng, width, size=SIZE):
    noise = ndimage.gaussian_filter(rng.normal(size=size), width)
    return noise / noise.std()


def retina(rng):
    """A round photograph on black: a bright disc left or right with vessels from it, a dark spot, uneven light."""
    y, x = _places()
    side = rng.choice([-1, 1])
    middle = np.array([rng.normal(0, 0.04), side * (0.62 + rng.normal(0, 0.04))])
    image = 120 + 10 * _smooth(rng, 30) + 3 * _smooth(rng, 4)
    image -= 35 * np.exp(-(x**2 + y**2) / 0.02)
    vessels = np.zeros(SIZE, np.float32)
    for _ in range(12):
        way, heading = [middle], rng.uniform(0, 2 * np.pi)
        for _ in range(40):
            heading += rng.normal(0, 0.25)
            way.append(way[-1] + 0.04 * np.array([np.sin(heading), np.cos(heading)]))
        at = [((p[1] + 1) * SIZE[1] / 2, (p[0] + 1) * SIZE[0] / 2) for p in way]
        cv2.polylines(vessels, [np.int32(np.round(at))], False, float(rng.uniform(15, 40)), int(rng.integers(1, 4)))
    image -= ndimage.gaussian_filter(vessels, 0.7)
    image += 90 * np.exp(-((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / 0.012)
    image = np.where(x**2 + y**2 < 0.9, image, 3) + rng.normal(0, 1.5, SIZE)
    return np.clip(image, 0, 255).astype(np.uint8)[..., None]


def chest(rng):
    """An X-ray: two dark lungs, ribs, a heart, a black border, with the sizes and the texture of a person."""
    y, x = _places()
    y, x = y * rng.normal(1, 0.05) + rng.normal(0, 0.04), x * rng.normal(1, 0.05) + rng.normal(0, 0.04)
    lungs = np.exp(-(((np.abs(x) - 0.42) / 0.28) ** 4) - (y / 0.65) ** 4)
    ribs = np.sin(rng.normal(16, 0.7) * (y + 0.35 * x**2) + rng.uniform(0, 2 * np.pi)) * lungs
    heart = np.exp(-(((x - 0.12) / 0.25) ** 2) - ((y - 0.35) / 0.3) ** 2)
    image = 170 - 90 * lungs + 14 * ribs + 60 * heart + 8 * _smooth(rng, 3) + 4 * _smooth(rng, 1.5)
    image = np.where(np.abs(x) < 0.93, image, 0) + rng.normal(0, 2, SIZE)
    return np.clip(image, 0, 255).astype(np.uint8)[..., None]


def mole(rng):
    """A dermoscopic photograph: a dark spot in the middle of a pale skin with hairs, dark corners around."""
    y, x = _places()
    angle = np.arctan2(y, x)
    edge = 0.45 + sum(rng.normal(0, 0.05 / k) * np.cos(k * angle + rng.uniform(0, 7)) for k in range(2, 6))
    spot = 1 / (1 + np.exp((np.hypot(x, y) - edge) * 20))
    image = 190 - spot * (90 + 12 * _smooth(rng, 5) + 6 * _smooth(rng, 2)) + 3 * _smooth(rng, 3)
    image *= 1 / (1 + np.exp((np.hypot(x, y) - 1.05) * 12))
    for _ in range(4):
        ends = rng.integers(0, SIZE[1], (2, 2))
        cv2.line(image, ends[0].tolist(), ends[1].tolist(), 60.0, 1)
    return np.clip(image + rng.normal(0, 2, SIZE), 0, 255).astype(np.uint8)[..., None]


def organ(rng, size=(34, 46, 38)):
    """A volume: one anatomy, moved a little, with folds of its own."""
    common = _smooth(np.random.default_rng(7), 4, size)
    own = _smooth(rng, 1.7, size)
    moved = ndimage.shift(common, rng.normal(0, 1, 3), order=1, mode="nearest")
    return (400 + 100 * moved + 60 * own + rng.normal(0, 8, size)).astype(np.float32)[..., None]


# How the check calls a copy that was changed so (`benchmarks.speed.near_duplicates.CHANGES`), by rank.
RELATIONS = {
    2: {
        "same": "the same view",
        "jpeg": "the same view",
        "contrast": "the same view",
        "noise": "the same view",
        "half-the-size": "the same view",
        "crop-all-around": "cropped",
        "crop-one-corner": "cropped",
        "crop-one-side": "cropped",
        "mirror": "mirrored left to right",
        "upside-down": "mirrored top to bottom",
        "turn": "turned by 90°",
        "turn-over": "turned by 180°",
        "mirror-crop-jpeg": "mirrored left to right, cropped",
    },
    3: {
        "same": "the same view",
        "contrast": "the same view",
        "noise": "the same view",
        "half-the-size": "the same view",
        "crop-all-around": "cropped",
        "crop-one-corner": "cropped",
        "crop-one-side": "cropped",
        "mirror-x": "mirrored in x",
        "mirror-y": "mirrored in y",
        "mirror-z": "mirrored in z",
        "slice-off": "cropped",
        "slices-moved": "shifted by 1 slice in z",
        "turn": "turned",
        "mirror-slice-off": "mirrored in x, cropped",
    },
}
