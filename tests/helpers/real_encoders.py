"""Shared by the tests of encoders: every one, with weights drawn at random."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from seglab.models.encoders import ENCODERS
from seglab.task import Task

TASK = Task(rank=2, channels=3, class_names=("background", "a"))


CONVNEXT = tuple(name for name in ENCODERS if name.startswith("convnext"))  # more in test_convnext.py


slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(1)
    yield
    keras.config.set_dtype_policy("float32")


def rgb(*size: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).random((batch, *size, 3)).astype("float32")


def run(model, x):
    return keras.tree.map_structure(ops.convert_to_numpy, model(x, training=False))


def whole(name: str) -> keras.Model:
    return ENCODERS[name].build(include_top=False, weights=None, input_shape=(None, None, 3))
