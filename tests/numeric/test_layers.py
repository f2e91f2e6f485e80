"""The fast layers against their plain formulas: values, gradients, moving statistics, what is saved."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops
from plain_layers import SIZES, TOLERANCE, assert_near, gradients, normal, tensorflow_only, to_numpy

from seglab.models.layers import BatchNormalization


def normalised(x, gamma, beta, epsilon=1e-3):
    """The plain formula in double precision."""
    x = np.asarray(x, "float64")
    axes = tuple(range(x.ndim - 1))
    return gamma * (x - x.mean(axes)) / np.sqrt(x.var(axes) + epsilon) + beta


def normalised_gradients(x, gamma, upstream, epsilon=1e-3):
    """Of sum(upstream * normalised(x, gamma, beta)) for x, gamma and beta, by the chain rule through the moments."""
    x, upstream = np.asarray(x, "float64"), np.asarray(upstream, "float64")
    axes = tuple(range(x.ndim - 1))
    deviation = np.sqrt(x.var(axes) + epsilon)
    unit = (x - x.mean(axes)) / deviation
    to_unit = upstream * gamma
    to_x = (to_unit - to_unit.mean(axes) - unit * (to_unit * unit).mean(axes)) / deviation
    return to_x, (upstream * unit).sum(axes), upstream.sum(axes)


def batch_norm(channels: int, rank: int, policy: str = "float32", **options) -> BatchNormalization:
    layer = BatchNormalization(dtype=policy, **options)
    layer.build((None, *SIZES[rank], channels))
    layer.gamma.assign(normal(channels, seed=1, mean=1.5, deviation=0.5))
    layer.beta.assign(normal(channels, seed=2))
    layer.moving_mean.assign(normal(channels, seed=3))
    layer.moving_variance.assign(np.abs(normal(channels, seed=4)) + 0.5)
    return layer


def test_batch_norm_by_hand():
    # One channel with values 0, 2, 4, 6: mean 3, biased variance (9 + 1 + 1 + 9) / 4 = 5; with epsilon 4, divided by 3.
    layer = BatchNormalization(momentum=0.75, epsilon=4.0)
    x = np.array([0.0, 2.0, 4.0, 6.0], "float32").reshape(1, 2, 2, 1)
    assert_near(layer(x, training=True), np.array([-1, -1 / 3, 1 / 3, 1]).reshape(x.shape), "float32")
    # Moving from 0 and 1 by a quarter of the way: 0.75 * 0 + 0.25 * 3 and 0.75 * 1 + 0.25 * 5
    np.testing.assert_allclose(to_numpy(layer.moving_mean), [0.75], rtol=1e-6)
    np.testing.assert_allclose(to_numpy(layer.moving_variance), [2.0], rtol=1e-6)
    # Inference: (x - 0.75) / sqrt(2 + 4)
    assert_near(layer(x, training=False), (x - 0.75) / np.sqrt(6), "float32")


@pytest.mark.parametrize("policy", TOLERANCE)
@pytest.mark.parametrize("rank", SIZES)
def test_batch_norm_equals_formula_in_training(rank, policy):
    layer = batch_norm(5, rank, policy)
    x = np.asarray(to_numpy(ops.cast(normal(3, *SIZES[rank], 5, mean=1, deviation=2), layer.compute_dtype)))
    mean, variance = to_numpy(layer.moving_mean), to_numpy(layer.moving_variance)
    y = layer(x, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    assert_near(y, normalised(x, to_numpy(layer.gamma), to_numpy(layer.beta)), policy)
    axes = tuple(range(x.ndim - 1))
    # Whatever the input's dtype, statistics are those of a float32 sum.
    np.testing.assert_allclose(to_numpy(layer.moving_mean), 0.99 * mean + 0.01 * x.mean(axes), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(to_numpy(layer.moving_variance), 0.99 * variance + 0.01 * x.var(axes), rtol=1e-4)
    assert {weight.dtype for weight in layer.weights} == {"float32"}


@pytest.mark.parametrize("policy", TOLERANCE)
@pytest.mark.parametrize("rank", SIZES)
def test_batch_norm_equals_formula_in_inference(rank, policy):
    layer = batch_norm(5, rank, policy)
    x = to_numpy(ops.cast(normal(3, *SIZES[rank], 5, mean=1, deviation=2), layer.compute_dtype))
    gamma, beta, mean, variance = (to_numpy(weight) for weight in layer.weights)
    assert_near(layer(x, training=False), gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta, policy)
    np.testing.assert_array_equal(to_numpy(layer.moving_mean), mean)


@tensorflow_only
@pytest.mark.parametrize("policy", TOLERANCE)
@pytest.mark.parametrize("rank", SIZES)
def test_batch_norm_gradients_equal_formula(rank, policy):
    layer = batch_norm(4, rank, policy)
    shape = (3, *SIZES[rank], 4)
    x = to_numpy(ops.cast(normal(*shape, mean=1, deviation=2), layer.compute_dtype))
    upstream = to_numpy(ops.cast(normal(*shape, seed=9), layer.compute_dtype))

    def of(x, gamma, beta):
        return layer.stateless_call([gamma, beta], layer.non_trainable_variables, x, training=True)[0]

    found = gradients(of, [x, to_numpy(layer.gamma), to_numpy(layer.beta)], upstream)
    for mine, expected in zip(found, normalised_gradients(x, to_numpy(layer.gamma), upstream), strict=True):
        assert_near(mine, expected, policy if policy != "float32" else "mixed_float16")
    if policy == "float32":
        np.testing.assert_allclose(found[0], normalised_gradients(x, to_numpy(layer.gamma), upstream)[0], atol=1e-5)


@tensorflow_only
def test_batch_norm_gradient_with_fixed_statistics():
    # y = gamma * (x - mean) / sqrt(variance + epsilon) + beta is linear in x: the gradient is gamma / sqrt(...).
    layer = batch_norm(3, 2)
    x, upstream = normal(2, *SIZES[2], 3), normal(2, *SIZES[2], 3, seed=9)
    [found] = gradients(lambda x: layer(x, training=False), [x], upstream)
    scale = to_numpy(layer.gamma) / np.sqrt(to_numpy(layer.moving_variance) + 1e-3)
    np.testing.assert_allclose(found, upstream * scale, rtol=1e-5, atol=1e-6)


def test_frozen_batch_norm_holds_its_statistics():
    layer = batch_norm(3, 2)
    layer.trainable = False
    x, mean = normal(2, *SIZES[2], 3, mean=5), to_numpy(layer.moving_mean)
    np.testing.assert_array_equal(to_numpy(layer(x, training=True)), to_numpy(layer(x, training=False)))
    np.testing.assert_array_equal(to_numpy(layer.moving_mean), mean)


def test_volume_is_normalised_as_the_picture_of_the_same_values():
    volume = normal(2, 4, 3, 5, 6)
    found = batch_norm(6, 3)(volume, training=True)
    picture = batch_norm(6, 2)(volume.reshape(2, 12, 5, 6), training=True)
    np.testing.assert_allclose(to_numpy(found).reshape(2, 12, 5, 6), to_numpy(picture), atol=1e-6)


FLOAT64 = pytest.param({"dtype": "float64"}, marks=tensorflow_only)  # which JAX has only where it is switched on


@pytest.mark.parametrize("options", [{"axis": 1}, {"scale": False}, {"center": False}, FLOAT64], ids=str)
def test_what_the_kernel_does_not_know_takes_the_plain_path(options):
    x = normal(3, 4, 6, 5, mean=1)
    mine, theirs = BatchNormalization(**options), keras.layers.BatchNormalization(**options)
    np.testing.assert_allclose(to_numpy(mine(x, training=True)), to_numpy(theirs(x, training=True)), atol=1e-6)
    for a, b in zip(mine.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"axis": 1}], ids=["fast path", "plain path"])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_with_activation_equals_two_layers(options, training):
    x = normal(2, 4, 3, 5, 6)
    found = BatchNormalization(activation="relu", **options)(x, training=training)
    expected = np.maximum(to_numpy(BatchNormalization(**options)(x, training=training)), 0)
    assert (expected == 0).any()
    np.testing.assert_array_equal(to_numpy(found), expected)


@tensorflow_only
@pytest.mark.parametrize("rank", [2, 3])
def test_batch_norm_really_is_fused(rank):
    import tensorflow as tf

    layer = batch_norm(4, rank, "mixed_bfloat16", activation="relu")
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(
        tf.TensorSpec((None, *SIZES[rank], 4), "bfloat16")
    )
    operations = graph.graph.get_operations()
    [norm] = [operation for operation in operations if operation.type == "FusedBatchNormV3"]
    # What TensorFlow joins to one kernel: the ReLU reads the norm itself and not a view of it.
    assert "Relu" in [reader.type for reader in norm.outputs[0].consumers()]
