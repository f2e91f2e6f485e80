"""Shared by the tests of surfaces and components: pairs of masks that are drawn."""

from __future__ import annotations

import math

import numpy as np

NAN = math.nan


def at(shape: tuple[int, ...], *points: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for point in points:
        mask[point] = True
    return mask
