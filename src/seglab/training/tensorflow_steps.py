"""A step of Keras, compiled by TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def compiled_step(model: keras.Model, training: bool, part: int | None, xla: bool) -> Callable[..., Any]:
    """From a batch to the logs: learns from it when `training`, else scores it; in parts of so many images."""
    image = model.inputs[0].shape
    batch = (tf.TensorSpec((None, *image[1:]), tf.float32), tf.TensorSpec((None, *image[1:-1]), tf.int32))
    step = model.train_step if training else model.test_step
    if part is not None:
        step = _in_parts(model, training, part)
    # One trace for whole and for shorter last batches; XLA compiles each of the two. On a CPU it made a step slower, in
    # 3D ten times.
    return tf.function(step, input_signature=[batch], autograph=False, jit_compile=xla)


def _in_parts(model: keras.Model, training: bool, part: int) -> Callable[..., Any]:
    """Keras's own step, with one part of the batch in memory after the other, and one update at the end."""

    def computed(x: Any, y: Any) -> Any:
        y_pred = model(x, training=training)
        loss = model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=None, training=training)
        model._loss_tracker.update_state(loss, sample_weight=tf.shape(x)[0])
        model.compute_metrics(x, y, y_pred)
        return loss

    def step(batch: tuple[Any, Any]) -> Any:
        x, y = batch
        count, weights = tf.shape(x)[0], model.trainable_weights if training else []

        def one(start: Any, *sums: Any) -> Any:
            end = tf.minimum(start + part, count)
            share = tf.cast((end - start) / count, tf.float32)
            if not training:
                computed(x[start:end], y[start:end])
                return (end,)
            with tf.GradientTape() as tape:
                loss = model.optimizer.scale_loss(computed(x[start:end], y[start:end]))
            slopes = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return end, *(
                total + share * tf.cast(slope, total.dtype) for total, slope in zip(sums, slopes, strict=True)
            )

        begun = tf.constant(0), *(tf.zeros(weight.shape, weight.dtype) for weight in weights)
        _, *sums = tf.while_loop(lambda start, *_: start < count, one, begun, parallel_iterations=1)
        if training:
            model.optimizer.apply_gradients(zip(sums, weights, strict=True))
        return model.get_metrics_result()

    return step
