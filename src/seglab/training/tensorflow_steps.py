"""A step of Keras, compiled by TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def compiled_step(model: keras.Model, training: bool) -> Callable[..., Any]:
    """From a batch to the logs: learns from it when `training`, else scores it."""
    image = model.inputs[0].shape
    batch = (tf.TensorSpec((None, *image[1:]), tf.float32), tf.TensorSpec((None, *image[1:-1]), tf.int32))
    # One trace for whole and for shorter last batches. XLA made a step on a CPU slower, in 3D ten times.
    step = model.train_step if training else model.test_step
    return tf.function(step, input_signature=[batch], autograph=False, jit_compile=False)
