"""Optimizers and schedules: what each setting does to the weights, worked by hand where a hand can."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from seglab import optimizers, schedules
from seglab.errors import ConfigError

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


@each
@pytest.mark.parametrize("rate", ["number", "schedule"])
def test_every_optimizer_goes_downhill(name, rate):
    learning_rate = 0.05 if rate == "number" else schedules.constant(0.05, 10, 10)
    optimizer = getattr(optimizers, name)(learning_rate)
    kernel, bias = weights = variables((3, 3, 2, 4), (4,))
    start = float(np.sum(numpy(kernel) ** 2) + np.sum(numpy(bias) ** 2))
    for _ in range(40):
        optimizer.apply([2 * w.value for w in weights], weights)
    assert float(np.sum(numpy(kernel) ** 2) + np.sum(numpy(bias) ** 2)) < 0.5 * start


@each
def test_the_learning_rate_may_be_a_whole_number(name):
    assert float(getattr(optimizers, name)(1).learning_rate) == 1.0


@pytest.mark.parametrize(
    ("ours", "keras_own", "options"),
    [
        ("adam", keras.optimizers.Adam, {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
        ("adamw", keras.optimizers.AdamW, {"weight_decay": 0.3, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}),
    ],
)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_fused_adam_is_adam(ours, keras_own, options, accumulate):
    rng = np.random.default_rng(1)
    fused = getattr(optimizers, ours)(schedules.cosine(0.1, 2, 10), accumulate_steps=accumulate, **options)
    plain = keras_own(
        schedules.cosine(0.1, 2, 10), gradient_accumulation_steps=accumulate if accumulate > 1 else None, **options
    )
    one, other = variables((3, 3, 2, 4), (4,)), variables((3, 3, 2, 4), (4,))
    for _ in range(12):
        gradients = [rng.normal(size=w.shape).astype("float32") for w in one]
        fused.apply([keras.ops.convert_to_tensor(g) for g in gradients], one)
        plain.apply([keras.ops.convert_to_tensor(g) for g in gradients], other)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-5, atol=1e-6)


def test_fused_adam_in_a_compiled_step_saves_and_goes_on():
    def model_and_data():
        keras.utils.set_random_seed(0)
        image = keras.Input((4,))
        model = keras.Model(image, keras.layers.Dense(3)(image))
        model.compile(optimizers.adam(schedules.cosine(0.1, 4, 3)), "mse")
        rng = np.random.default_rng(0)
        return model, rng.random((6, 4)).astype("float32"), rng.random((6, 3)).astype("float32")

    unbroken, x, y = model_and_data()
    unbroken.fit(x, y, batch_size=2, epochs=4, shuffle=False, verbose=0)
    first, x, y = model_and_data()
    first.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0)
    second, x, y = model_and_data()
    second.optimizer.build(second.trainable_variables)
    second.set_weights(first.get_weights())
    second.optimizer.set_weights([numpy(v) for v in first.optimizer.variables])
    second.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(unbroken.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_sgd_by_hand():
    # Nesterov: v = 0.9 v - 0.1 g; w = w + 0.9 v - 0.1 g. With g = 1: v = -0.1, w = 1 - 0.09 - 0.1 = 0.81;
    # then v = -0.19, w = 0.81 - 0.171 - 0.1 = 0.539
    weight = named(1.0, "kernel")
    optimizer = optimizers.sgd(0.1)
    for expected in (0.81, 0.539):
        optimizer.apply([np.ones((2, 2), "float32")], [weight])
        np.testing.assert_allclose(numpy(weight), expected, rtol=1e-6)
    # Without looking ahead: w = w + v
    weight = named(1.0, "kernel")
    optimizer = optimizers.sgd(0.1, nesterov=False, momentum=0.5)
    for expected in (0.9, 0.75):
        optimizer.apply([np.ones((2, 2), "float32")], [weight])
        np.testing.assert_allclose(numpy(weight), expected, rtol=1e-6)


def test_rmsprop_and_lion_by_hand():
    # mean square 0.5 · 0 + 0.5 · 4 = 2; step 0.1 · 2 / sqrt 2
    weight = named(1.0, "kernel")
    optimizers.rmsprop(0.1, rho=0.5).apply([np.full((2, 2), 2.0, "float32")], [weight])
    np.testing.assert_allclose(numpy(weight), 1 - 0.2 / math.sqrt(2), rtol=1e-5)
    # centered: variance 2 - (0.5 · 2)² = 1; step 0.1 · 2 / 1
    weight = named(1.0, "kernel")
    optimizers.rmsprop(0.1, rho=0.5, centered=True).apply([np.full((2, 2), 2.0, "float32")], [weight])
    np.testing.assert_allclose(numpy(weight), 0.8, rtol=1e-5)
    # velocity: two equal steps of 0.1 · 2 / sqrt(4) = 0.1 (rho 0), the second on top of half of the first
    weight = named(1.0, "kernel")
    optimizer = optimizers.rmsprop(0.1, rho=0.0, momentum=0.5)
    for expected in (0.9, 0.75):
        optimizer.apply([np.full((2, 2), 2.0, "float32")], [weight])
        np.testing.assert_allclose(numpy(weight), expected, rtol=1e-5)
    # The sign of 0.5 m + 0.5 g: g = 1 steps down; then m = 0.5 outweighs g = -0.4, and the step is down again.
    weight = named(1.0, "kernel")
    optimizer = optimizers.lion(0.1, beta_1=0.5, beta_2=0.5)
    for gradient, expected in ((1.0, 0.9), (-0.4, 0.8)):
        optimizer.apply([np.full((2, 2), gradient, "float32")], [weight])
        np.testing.assert_allclose(numpy(weight), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lion", "muon"])
def test_only_kernels_decay(name):
    # Gradient 0: nothing moves but by decay, 1 - 0.1 · 0.5
    weights = [named(1.0, n) for n in ("kernel", "bias", "beta", "gamma", "alpha")] + [named(1.0, "kernel", (3, 1))]
    optimizer = getattr(optimizers, name)(0.1, weight_decay=0.5)
    optimizer.apply([keras.ops.zeros(w.shape) for w in weights], weights)
    for weight, expected in zip(weights, [0.95, 1, 1, 1, 1, 0.95], strict=True):
        np.testing.assert_allclose(numpy(weight), expected, rtol=1e-6, err_msg=weight.name)


@each
def test_gradients_are_clipped_together(name):
    # Norm sqrt(3² + 4²) = 5, cut to 1: gradients 0.6 and 0.8. Seen through each optimizer's own first step.
    clipped = getattr(optimizers, name)(0.1, clip_norm=1.0)
    plain = getattr(optimizers, name)(0.1)
    one, other = ([named(0.0, n, (1, 1)) for n in ("a", "b")] for _ in range(2))
    clipped.apply([np.full((1, 1), g, "float32") for g in (3.0, 4.0)], one)
    plain.apply([np.full((1, 1), g, "float32") for g in (0.6, 0.8)], other)
    assert clipped.global_clipnorm == 1.0
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-5)


def test_clipping_by_hand():
    weights = [named(0.0, n, (1, 1)) for n in ("a", "b")]
    optimizer = optimizers.sgd(1.0, momentum=0.0, nesterov=False, clip_norm=1.0)
    optimizer.apply([np.full((1, 1), g, "float32") for g in (3.0, 4.0)], weights)
    np.testing.assert_allclose([numpy(w)[0, 0] for w in weights], [-0.6, -0.8], rtol=1e-6)


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


@each
def test_settings_reach_the_optimizer(name):
    optimizer = getattr(optimizers, name)(0.1, clip_norm=2.0, ema_momentum=0.9, accumulate_steps=4)
    assert optimizer.global_clipnorm == 2.0
    assert optimizer.use_ema
    assert optimizer.ema_momentum == 0.9
    assert optimizer.gradient_accumulation_steps == 4


def test_muon_makes_the_updates_of_kernels_orthogonal():
    rng = np.random.default_rng(3)
    kernel, plain = (named(0.0, "kernel", s) for s in ((3, 3, 2, 8), (6, 8)))
    gradients = [rng.normal(size=w.shape).astype("float32") for w in (kernel, plain)]
    optimizers.muon(0.1).apply([keras.ops.convert_to_tensor(g) for g in gradients], [kernel, plain])
    for weight, gradient in zip((kernel, plain), gradients, strict=True):
        update = -numpy(weight).reshape(-1, 8)
        # Liu et al.: size 0.2 sqrt(max(rows, columns)) times an almost orthogonal matrix
        singular = np.linalg.svd(update, compute_uv=False) / (0.1 * 0.2 * math.sqrt(max(update.shape)))
        assert singular.min() > 0.6
        assert singular.max() < 1.25
        # and along the gradient's own singular vectors
        u, _, v = np.linalg.svd(gradient.reshape(-1, 8), full_matrices=False)
        assert np.sum(u @ v * update) > 0.9 * np.linalg.norm(u @ v) * np.linalg.norm(update)


def test_muon_leaves_vectors_and_the_head_to_adam():
    head = keras.layers.Conv2D(3, 1, name="logits_2")
    head.build((None, 4, 4, 5))
    depthwise = named(0.0, "kernel", (3, 3, 5, 1))
    weights = [head.kernel, head.bias, depthwise, named(0.0, "gamma", (5,))]
    before = [numpy(w) for w in weights]
    rng = np.random.default_rng(4)
    gradients = [rng.normal(size=w.shape).astype("float32") for w in weights]
    optimizers.muon(0.1).apply([keras.ops.convert_to_tensor(g) for g in gradients], weights)
    # Adam's first step is the learning rate in the direction of the sign.
    for weight, start, gradient in zip(weights, before, gradients, strict=True):
        np.testing.assert_allclose(numpy(weight) - start, -0.1 * np.sign(gradient), rtol=5e-3)


@pytest.mark.parametrize("options", [{"nesterov": False}, {"momentum": 0.5}, {"newton_schulz_steps": 1}])
def test_muon_heeds_its_options(options):
    rng = np.random.default_rng(5)
    gradients = [rng.normal(size=(6, 8)).astype("float32") for _ in range(2)]
    one, other = (named(0.0, "kernel", (6, 8)) for _ in range(2))
    first, second = optimizers.muon(0.1), optimizers.muon(0.1, **options)
    for gradient in gradients:
        first.apply([keras.ops.convert_to_tensor(gradient)], [one])
        second.apply([keras.ops.convert_to_tensor(gradient)], [other])
    assert np.abs(numpy(one) - numpy(other)).max() > 1e-4


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


@each
def test_optimizers_come_back_from_their_config(name):
    optimizer = getattr(optimizers, name)(schedules.cosine(0.3, 4, 10), clip_norm=1.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert float(again.learning_rate) == pytest.approx(0.3)
