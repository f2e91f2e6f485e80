"""Schedules by hand, with warm-up and accumulation, and back from their config."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from each_optimizer import named

from seglab import optimizers, schedules
from seglab.errors import ConfigError


def rates(schedule: schedules.Schedule, steps: list[int]) -> list[float]:
    return [float(schedule(step)) for step in steps]


def test_schedules_by_hand():
    # 4 epochs of 10 steps. Half a cosine: 1, cos at a quarter (1 + √½)/2, middle 1/2, end 0; stays there.
    found = rates(schedules.cosine(2.0, 4, 10), [0, 10, 20, 40, 50])
    np.testing.assert_allclose(found, [2.0, 1 + math.sqrt(0.5), 1.0, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(
        rates(schedules.cosine(2.0, 4, 10, min_factor=0.1), [0, 20, 40]), [2, 1.1, 0.2], rtol=1e-6
    )
    # (1 - 1/4)^2 = 9/16; 0.1 + 0.9 · 9/16
    found = rates(schedules.polynomial(2.0, 4, 10, power=2.0), [0, 10, 20, 40])
    np.testing.assert_allclose(found, [2.0, 2 * 9 / 16, 0.5, 0.0], atol=1e-6)
    found = rates(schedules.polynomial(2.0, 4, 10, power=2.0, min_factor=0.1), [10, 99])
    np.testing.assert_allclose(found, [2 * (0.1 + 0.9 * 9 / 16), 0.2], rtol=1e-6)
    assert rates(schedules.constant(2.0, 4, 10), [0, 39, 1000]) == [2.0, 2.0, 2.0]


def test_warm_up_by_hand():
    # Half an epoch of 8 steps: 1/4, 2/4, 3/4, 4/4 of the peak, and then the decay from its start.
    found = rates(schedules.constant(2.0, 4, 8, warmup_epochs=0.5), [0, 1, 2, 3, 4, 5])
    np.testing.assert_allclose(found, [0.5, 1.0, 1.5, 2.0, 2.0, 2.0])
    # 1 epoch of 8 steps, 2 more to decay over: progress at step 8 is 0, at 16 one half.
    cosine = schedules.cosine(2.0, 3, 8, warmup_epochs=1)
    np.testing.assert_allclose(rates(cosine, [0, 7, 8, 16, 24]), [0.25, 2.0, 2.0, 1.0, 0.0], atol=1e-6)
    polynomial = schedules.polynomial(2.0, 3, 8, power=1.0, warmup_epochs=1)
    np.testing.assert_allclose(rates(polynomial, [3, 8, 16]), [1.0, 2.0, 1.0], rtol=1e-6)
    plateau = schedules.plateau(2.0, 3, 8, warmup_epochs=1)
    np.testing.assert_allclose(rates(plateau, [3, 8]), [1.0, 2.0], rtol=1e-6)


@pytest.mark.parametrize("name", ["constant", "cosine", "polynomial", "plateau"])
def test_a_warm_up_of_all_epochs_is_refused(name):
    with pytest.raises(ConfigError, match=r"(?s)schedule\.warmup_epochs.*trainer\.epochs=3"):
        getattr(schedules, name)(0.1, 3, 10, warmup_epochs=3.0)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="training is TensorFlow's")
def test_scale_lowers_every_schedule_in_a_compiled_step():
    """The step is traced once; the variable must not be frozen into it."""
    assert schedules.constant(0.1, 2, 2).plateau is None
    schedule = schedules.plateau(0.5, 5, 1, factor=0.2, patience_epochs=3, min_factor=0.05)
    assert schedule.plateau == schedules.PlateauSettings(factor=0.2, patience_epochs=3, min_scale=0.05)
    image = keras.Input((1,))
    model = keras.Model(image, keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(image))
    # The gradient of the mean of x w with x = 1 is 1: each step is the learning rate.
    model.compile(optimizers.sgd(schedule, momentum=0.0, nesterov=False), lambda y, p: p)
    ones = np.ones((1, 1), "float32")
    model.fit(ones, ones, epochs=1, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], -0.5, rtol=1e-6)
    schedule.scale.assign(0.2)
    model.fit(ones, ones, epochs=1, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], -0.6, rtol=1e-6)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1)


def test_schedules_count_batches_with_accumulation_too():
    schedule = schedules.polynomial(1.0, 2, 4, power=1.0)
    optimizer = optimizers.sgd(schedule, accumulate_steps=2)
    weight = named(1.0, "kernel")
    for _ in range(4):
        optimizer.apply([keras.ops.zeros((2, 2))], [weight])
    # one of two epochs is over: half of the way down
    assert float(optimizer.learning_rate) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.constant(0.3, 4, 10, warmup_epochs=1.5),
        schedules.cosine(0.3, 4, 10, min_factor=0.1),
        schedules.polynomial(0.3, 4, 10, power=2.0),
        schedules.plateau(0.3, 4, 10, factor=0.2),
    ],
    ids=["constant", "cosine", "polynomial", "plateau"],
)
def test_schedules_come_back_from_their_config(schedule):
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert rates(again, [0, 7, 25]) == rates(schedule, [0, 7, 25])
    assert again.plateau == schedule.plateau
