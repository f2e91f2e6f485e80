"""The colours in which classes are drawn: those of the data set, less what an eye could take for one another.

The customary colours of a data set were chosen to be told apart by a program: of CamVid's, pedestrian and building are
one brown to a green-blind eye, road and fence two purples to any. A file of masks never holds colours, so what is drawn
is free to differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from seglab.task import Task

Color = tuple[int, int, int]
# Told apart under the common kinds of colour blindness, and on grey.
TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE, CONFUSED = (0, 158, 115), (240, 165, 0), (204, 66, 160), (70, 160, 230)
IGNORED = (150, 150, 150)
# CIEDE2000. Nine is plainly another colour; so many classes that it cannot be had share out what there is.
WANTED, _LESS = 9.0, 0.95
# What linear RGB looks like to an eye without one kind of cone, at severity 1: Machado, Oliveira, Fernandes 2009, "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", https://doi.org/10.1109/TVCG.2009.113
_EYES = {
    "all cones": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
_STEPS = 9  # of each channel, for the colours to choose from
_DARKEST, _LIGHTEST, _PALEST = 35, 92, 25  # in CIELAB: what is seen through a mask is dark, light or grey


def drawn_colors(task: Task) -> tuple[Color, ...]:
    """The colour of each class in pictures: its own, unless a class before it has one like it; then another one.

    Class 0 keeps its own where it is the background, which is left clear.
    """
    first = first_drawn(task)
    return (*task.class_colors[:first], *distinguishable(tuple(task.class_colors[first:])))


def first_drawn(task: Task) -> int:
    """1 where class 0 is a background that is left clear, 0 where it is a class like the others."""
    return 0 if 0 in task.scored else 1


@cache
def distinguishable(colors: tuple[Color, ...]) -> tuple[Color, ...]:
    """The colours, those changed that are nearer than `WANTED` to one before them for any of the eyes."""
    limit = WANTED
    while True:
        found = _placed(colors, limit)
        if found is not None:
            return found
        limit *= _LESS


def _placed(colors: Sequence[Color], limit: float) -> tuple[Color, ...] | None:
    """Colours at least `limit` apart, as many as can be as they were; None where there is no room for the others.

    A colour that is too near to one before it becomes the one that is farthest from all that are taken by then.
    """
    choice, choice_seen = _choice()
    own = _seen(np.array(colors))
    between = _distances(own, own).min(axis=0)
    kept: list[int] = []
    for number in range(len(colors)):
        if not kept or between[number, kept].min() >= limit:
            kept.append(number)
    free = _distances(choice_seen, own[:, kept]).min(axis=(0, 2))
    placed = dict(zip(kept, (colors[number] for number in kept), strict=True))
    for number in set(range(len(colors))) - set(kept):
        best = int(free.argmax())
        if free[best] < limit:
            return None
        red, green, blue = choice[best].astype(int).tolist()
        placed[number] = (red, green, blue)
        free = np.minimum(free, _distances(choice_seen, choice_seen[:, best : best + 1]).min(axis=(0, 2)))
    return tuple(placed[number] for number in range(len(colors)))


@cache
def _choice() -> tuple[np.ndarray, np.ndarray]:
    """Colours to choose from, `(n, 3)`, and how each eye sees them."""
    steps = np.linspace(0, 255, _STEPS).round()
    colors = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    seen = _seen(colors)
    lightness, chroma = seen[0, :, 0], np.hypot(seen[0, :, 1], seen[0, :, 2])
    usable = (lightness > _DARKEST) & (lightness < _LIGHTEST) & (chroma > _PALEST)
    return colors[usable], seen[:, usable]


def _seen(colors: np.ndarray) -> np.ndarray:
    """RGB of 0..255 `(n, 3)` as CIELAB for each kind of eye, `(eyes, n, 3)`."""
    from skimage.color import rgb2lab

    value = np.asarray(colors, float).reshape(-1, 3) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    mixed = np.clip(linear @ np.array(list(_EYES.values())).transpose(0, 2, 1), 0, 1)
    encoded = np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055)
    return np.asarray(rgb2lab(encoded))


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """CIEDE2000 between every two, `(eyes, n, m)`."""
    from skimage.color import deltaE_ciede2000

    return np.asarray(deltaE_ciede2000(one[:, :, None], other[:, None]))
