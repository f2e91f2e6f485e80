"""Shared by the tests of fast layers: drawn values and the comparison with plain formulas."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the fast path is TensorFlow's")


SIZES = {1: (7,), 2: (4, 6), 3: (2, 4, 3)}


# The share of the largest value by which the two ways of rounding may differ: eight bits of significand in bfloat16.
TOLERANCE = {"float32": 2e-6, "mixed_bfloat16": 2e-2, "mixed_float16": 3e-3}


def to_numpy(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


def normal(*shape: int, seed: int = 0, mean: float = 0.0, deviation: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, deviation, shape).astype("float32")


def assert_near(found, expected, policy: str, times: float = 1) -> None:
    found, expected = to_numpy(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=times * TOLERANCE[policy] * np.abs(expected).max())


def gradients(function, arrays, upstream) -> list[np.ndarray]:
    """Of sum(upstream * function(arrays)) by TensorFlow, in float32."""
    import tensorflow as tf

    arrays = [tf.constant(array) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(arrays)
        total = tf.reduce_sum(tf.cast(function(*arrays), "float32") * upstream)
    return [to_numpy(gradient) for gradient in tape.gradient(total, arrays)]
