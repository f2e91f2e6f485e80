"""Shared by the tests of augmentation: images with a shape in them, and every setting of every kind."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from seglab.task import Task

OFF = {"flip": 0.0, "rotate90": 0.0, "affine": 0.0, "elastic": 0.0, "grid": 0.0, "intensity": 0.0, "dropout": 0.0}


TASKS = {rank: Task(rank, 1, ("background", "object")) for rank in (2, 3)}


def _blob(size, seed=0):
    """An asymmetric blob away from the border, as a mask."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=size), max(size) / 10)
    inner = np.zeros(size, bool)
    inner[tuple(slice(n // 6, -(n // 6)) for n in size)] = True
    return ((noise > 0) & inner).astype(np.uint8)


def _noise(size, channels=1, seed=0):
    return np.random.default_rng(seed).normal(size=(*size, channels)).astype(np.float32)
