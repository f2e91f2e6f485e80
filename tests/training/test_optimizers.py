"""Optimizers and schedules: what each setting does to the weights, worked by hand where a hand can."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from each_optimizer import each, named, numpy, variables

from seglab import optimizers, schedules


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


@each
def test_optimizers_come_back_from_their_config(name):
    optimizer = getattr(optimizers, name)(schedules.cosine(0.3, 4, 10), clip_norm=1.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer)
    assert float(again.learning_rate) == pytest.approx(0.3)
