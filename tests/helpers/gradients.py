"""Gradients of losses on the backend that runs the tests."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


def gradient(loss: keras.losses.Loss, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Of the loss with respect to its logits `x`."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda z: loss(y, z))(x))
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(y, x)
    return ops.convert_to_numpy(tape.gradient(value, x, unconnected_gradients="zero"))
