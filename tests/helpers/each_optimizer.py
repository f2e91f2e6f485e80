"""Shared by the tests of optimizers and schedules: all of them, on weights that are known."""

from __future__ import annotations

import keras
import numpy as np
import pytest

ALL = ["adam", "adamw", "sgd", "rmsprop", "lion", "muon"]


each = pytest.mark.parametrize("name", ALL)


def variables(*shapes: tuple[int, ...], start: float | None = None) -> list[keras.Variable]:
    rng = np.random.default_rng(0)
    return [
        keras.Variable(np.full(s, start, "float32") if start is not None else rng.normal(size=s).astype("float32"))
        for s in shapes
    ]


def named(value: float, name: str, shape: tuple[int, ...] = (2, 2)) -> keras.Variable:
    return keras.Variable(np.full(shape, value, "float32"), name=name)


def numpy(variable: keras.Variable) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(variable))
