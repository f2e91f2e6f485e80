"""Shared by the tests of simulated prompts: masks made by hand, and what is drawn on them."""

from __future__ import annotations

import numpy as np


def disk(size: tuple[int, int], middle: tuple[int, int], radius: float) -> np.ndarray:
    rows, columns = np.indices(size)
    return (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 <= radius**2
