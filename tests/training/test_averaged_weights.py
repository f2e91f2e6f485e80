"""Accumulated batches and moving averages of the weights, by hand and in a compiled step."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from each_optimizer import each, named, numpy, variables

from seglab import optimizers


@each
def test_accumulated_batches_make_one_update_by_their_mean(name):
    rng = np.random.default_rng(2)
    batches = [rng.normal(size=(6, 4)).astype("float32") for _ in range(6)]
    accumulated = getattr(optimizers, name)(0.1, accumulate_steps=3)
    plain = getattr(optimizers, name)(0.1)
    one, other = variables((6, 4)), variables((6, 4))
    start = numpy(one[0])
    for i, gradient in enumerate(batches):
        accumulated.apply([keras.ops.convert_to_tensor(gradient)], one)
        if i == 1:
            np.testing.assert_array_equal(numpy(one[0]), start)
    for part in (batches[:3], batches[3:]):
        plain.apply([keras.ops.convert_to_tensor(np.mean(part, axis=0))], other)
    np.testing.assert_allclose(numpy(one[0]), numpy(other[0]), rtol=1e-4, atol=1e-6)


def test_moving_average_of_the_weights_by_hand():
    # SGD without momentum from 1 with gradient 1, rate 0.1: weights 0.9, 0.8, 0.7.
    # The average starts at the first: 0.9, then 0.5 · 0.9 + 0.5 · 0.8 = 0.85, then 0.775.
    weight = named(1.0, "kernel")
    optimizer = optimizers.sgd(0.1, momentum=0.0, nesterov=False, ema_momentum=0.5)
    for _ in range(3):
        optimizer.apply([np.ones((2, 2), "float32")], [weight])
    np.testing.assert_allclose(numpy(weight), 0.7, rtol=1e-6)
    optimizer.finalize_variable_values([weight])
    np.testing.assert_allclose(numpy(weight), 0.775, rtol=1e-6)
    assert not optimizers.sgd(0.1).use_ema


def test_the_average_moves_once_with_each_update_by_hand():
    # Two batches an update, gradient 1, rate 0.1: weights 1, 0.9, 0.9, 0.8, 0.8, 0.7 after the batches.
    # Average: 1 while there is no update, then 0.9, stays, 0.25 · 0.9 + 0.75 · 0.8 = 0.825, stays, 0.73125.
    weight = named(1.0, "kernel")
    optimizer = optimizers.sgd(0.1, momentum=0.0, nesterov=False, ema_momentum=0.25, accumulate_steps=2)
    for expected in (1.0, 0.9, 0.9, 0.825, 0.825, 0.73125):
        optimizer.apply([np.ones((2, 2), "float32")], [weight])
        (average,) = optimizer._model_variables_moving_average
        np.testing.assert_allclose(numpy(average), expected, rtol=1e-6)


@each
@pytest.mark.parametrize("every", [1, 2, 4, 5])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_average_is_that_of_the_weights_after_each_update(name, every, scaled):
    """Against NumPy, which sees the weights only, to the last bit."""
    rng = np.random.default_rng(every)
    inner = optimizer = getattr(optimizers, name)(0.05, ema_momentum=0.9, accumulate_steps=every)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0)
    weights = variables((3, 3, 2, 4), (4,))
    momentum = np.float32(0.9)
    expected: list[np.ndarray] = []
    for batch in range(1, 4 * every + 2):
        optimizer.apply(
            [keras.ops.convert_to_tensor(rng.normal(size=w.shape).astype("float32")) for w in weights], weights
        )
        now = [numpy(w) for w in weights]
        if batch <= every:
            expected = now
        elif batch % every == 0:
            expected = [momentum * a + (1 - momentum) * w for a, w in zip(expected, now, strict=True)]
        for average, reference in zip(inner._model_variables_moving_average, expected, strict=True):
            np.testing.assert_array_equal(numpy(average), reference)


@each
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="training is TensorFlow's")
def test_the_average_in_a_compiled_step_goes_on_after_a_stop_between_two_updates(name):
    def model_and_data():
        keras.utils.set_random_seed(0)
        image = keras.Input((4,))
        model = keras.Model(image, keras.layers.Dense(3)(image))
        model.compile(getattr(optimizers, name)(0.05, ema_momentum=0.8, accumulate_steps=4), "mse")
        model.optimizer.build(model.trainable_variables)
        rng = np.random.default_rng(0)
        return model, rng.random((10, 4)).astype("float32"), rng.random((10, 3)).astype("float32")

    def averages(model):
        return [numpy(average) for average in model.optimizer._model_variables_moving_average]

    # Five batches an epoch, an update every four: the epochs end within an update.
    unbroken, x, y = model_and_data()
    momentum, expected = np.float32(0.8), None
    for batch in range(1, 21):
        part = slice(2 * ((batch - 1) % 5), 2 * ((batch - 1) % 5) + 2)
        unbroken.train_on_batch(x[part], y[part])
        now = [numpy(w) for w in unbroken.trainable_variables]
        if expected is None or batch <= 4:
            expected = now
        elif batch % 4 == 0:
            expected = [momentum * a + (1 - momentum) * w for a, w in zip(expected, now, strict=True)]
        if batch == 10:
            stopped = unbroken.get_weights(), [numpy(v) for v in unbroken.optimizer.variables]
    for found, reference in zip(averages(unbroken), expected, strict=True):
        np.testing.assert_allclose(found, reference, rtol=0, atol=1e-7)
    again, x, y = model_and_data()
    again.set_weights(stopped[0])
    again.optimizer.set_weights(stopped[1])
    for batch in range(11, 21):
        part = slice(2 * ((batch - 1) % 5), 2 * ((batch - 1) % 5) + 2)
        again.train_on_batch(x[part], y[part])
    for found, reference in zip(averages(again), averages(unbroken), strict=True):
        np.testing.assert_array_equal(found, reference)
