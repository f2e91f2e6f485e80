"""The fast layers against their plain formulas: values, gradients, moving statistics, what is saved."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from seglab.models.layers import BatchNormalization, MaxPooling, UpConcatConv, transposed_kernel

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


# Batch normalisation


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


@pytest.mark.parametrize("options", [{"axis": 1}, {"scale": False}, {"center": False}, {"dtype": "float64"}], ids=str)
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


# Pooling


@pytest.mark.parametrize("policy", TOLERANCE)
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (4, 2, 6), (3, 5, 4)], ids=str)
def test_max_pooling_is_the_maximum_of_cells(size, policy):
    layer = MaxPooling(dtype=policy)
    x = to_numpy(ops.cast(normal(2, *size, 3), layer.compute_dtype))
    half = [side // 2 for side in size]
    even = x[(slice(None), *(slice(2 * side) for side in half))]
    # Splits every side into (cells, 2); the cells' own axes are 2, 4, …
    split = even.reshape(2, *(part for side in half for part in (side, 2)), 3)
    np.testing.assert_array_equal(to_numpy(layer(x)), split.max(axis=tuple(range(2, 2 * len(size) + 1, 2))))
    assert layer.compute_output_shape((None, *size, 3)) == (None, *half, 3)


# Up-sampling, joining, convolving


def up_concat_conv(rank: int, policy: str = "float32", low: int = 5, skip: int = 3, filters: int = 4, **options):
    layer = UpConcatConv(filters, dtype=policy, **options)
    size = SIZES[rank]
    layer.build([(None, *size, low), (None, *(2 * side for side in size), skip)])
    arrays = normal(2, *size, low, seed=5), normal(2, *(2 * side for side in size), skip, seed=6)
    return layer, [to_numpy(ops.cast(array, layer.compute_dtype)) for array in arrays]


def doubled_joined_convolved(low, skip, kernel):
    """The definition in double precision, one tap at a time."""
    x = np.asarray(low, "float64")
    rank = x.ndim - 2
    for axis in range(1, rank + 1):
        x = x.repeat(2, axis)
    x = np.concatenate([x, skip], axis=-1)
    padded = np.pad(x, [(0, 0), *[(1, 1)] * rank, (0, 0)])
    y = 0
    for tap in np.ndindex(*(3,) * rank):
        part = padded[(slice(None), *(slice(t, t + side) for t, side in zip(tap, x.shape[1:-1], strict=True)))]
        y = y + part @ kernel[tap]
    return y


def test_transposed_kernel_by_hand():
    # [a, b, c] = [1, 2, 4] becomes [c, b + c, a + b, a] = [4, 6, 3, 1], along both axes of an outer product.
    wide = np.array([4.0, 6.0, 3.0, 1.0])
    kernel = np.outer([1.0, 2.0, 4.0], [1.0, 2.0, 4.0]).reshape(3, 3, 1, 1)
    np.testing.assert_array_equal(to_numpy(transposed_kernel(kernel, "float32"))[..., 0, 0], np.outer(wide, wide))


def test_up_concat_conv_by_hand():
    # A row of the doubled features is [1, 1, 2, 2], and every row the same; zeros lie around them. A kernel of ones
    # gives the sums of 3 × 3 values: along the row 2, 4, 5, 4, times 2 rows at the border and 3 inside.
    layer = UpConcatConv(1, use_bias=True, kernel_initializer="ones", bias_initializer="ones")
    low = np.array([[1.0, 2.0], [1.0, 2.0]], "float32").reshape(1, 2, 2, 1)
    expected = np.outer([2, 3, 3, 2], [2, 4, 5, 4]).reshape(1, 4, 4, 1) + 1
    assert_near(layer([low, np.zeros((1, 4, 4, 1), "float32")]), expected, "float32")


@pytest.mark.parametrize("policy", TOLERANCE)
@pytest.mark.parametrize("rank", [2, 3])
def test_up_concat_conv_equals_definition(rank, policy):
    layer, [low, skip] = up_concat_conv(rank, policy, bias_initializer="ones")
    expected = doubled_joined_convolved(low, skip, to_numpy(layer.kernel)) + 1
    y = layer([low, skip])
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    assert_near(y, expected, policy)
    arrays = [ops.cast(array, layer.compute_dtype) for array in (low, skip)]
    assert_near(layer.plain(*arrays), expected - 1, policy)


@settings(max_examples=15, deadline=None)
@given(
    size=st.lists(st.integers(1, 4), min_size=2, max_size=3),
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 2**31),
)
def test_up_concat_conv_equals_definition_at_any_size(size, channels, seed):
    low = normal(1, *size, channels[0], seed=seed)
    skip = normal(1, *(2 * side for side in size), channels[1], seed=seed + 1)
    layer = UpConcatConv(channels[2], use_bias=False)
    y = layer([low, skip])
    assert tuple(y.shape) == layer.compute_output_shape([low.shape, skip.shape])
    assert_near(y, doubled_joined_convolved(low, skip, to_numpy(layer.kernel)), "float32")


@tensorflow_only
@pytest.mark.parametrize("policy", TOLERANCE)
@pytest.mark.parametrize("rank", [2, 3])
def test_up_concat_conv_gradients_equal_those_of_the_definition(rank, policy):
    layer, [low, skip] = up_concat_conv(rank, policy, use_bias=False)
    upstream = normal(*layer([low, skip]).shape, seed=9)

    def by(path):
        def of(low, skip, kernel):
            low, skip = (ops.cast(array, layer.compute_dtype) for array in (low, skip))
            with keras.StatelessScope(state_mapping=[(layer.kernel, kernel)]):
                return path(low, skip)

        return gradients(of, [low, skip, to_numpy(layer.kernel)], upstream)

    for found, expected in zip(by(lambda low, skip: layer([low, skip])), by(layer.plain), strict=True):
        assert np.abs(expected).max() > 0
        # TensorFlow sums float16 gradients in float16, in the order in which its threads happen to finish.
        assert_near(found, expected, policy, times=4 if policy == "mixed_float16" else 1)


@tensorflow_only
@pytest.mark.parametrize("rank", [2, 3])
def test_up_concat_conv_makes_no_tensor_of_the_joined_features(rank):
    import tensorflow as tf

    layer, arrays = up_concat_conv(rank, low=5, skip=3)
    graph = tf.function(lambda low, skip: layer([low, skip])).get_concrete_function(*map(tf.constant, arrays)).graph
    made = [tuple(o.shape) for op in graph.get_operations() for o in op.outputs if op.type != "Placeholder"]
    full = (2, *(2 * side for side in SIZES[rank]))
    assert (*full, 4) in made
    assert (*full, 8) not in made
    assert (*full, 5) not in made


def test_up_concat_conv_refuses_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="twice as large"):
        UpConcatConv(2)([np.zeros((1, 4, 4, 1), "float32"), np.zeros((1, 9, 8, 1), "float32")])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("rank", [2, 3])
def test_saved_layers_give_the_same_bits(rank, policy, tmp_path):
    size = {2: (4, 6), 3: (4, 2, 6)}[rank]
    x = image = keras.Input((*size, 3))
    x = BatchNormalization(momentum=0.5, epsilon=0.01, activation="relu", dtype=policy)(x)
    x = MaxPooling(dtype=policy)(x)
    x = UpConcatConv(4, use_bias=False, kernel_initializer="glorot_normal", dtype=policy)([x, image])
    model = keras.Model(image, UpConcatConv(2, dtype=policy)([MaxPooling(dtype=policy)(x), x]))
    data = normal(2, *size, 3, mean=-2)  # below the moving mean, so that a lost ReLU shows
    model(data, training=True)  # moves the statistics
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for mine, theirs in zip(model.layers, loaded.layers, strict=True):
        assert theirs.get_config() == mine.get_config()
    np.testing.assert_array_equal(to_numpy(loaded(data)), to_numpy(model(data)))
