"""Pooling, up-sampling and joining in one convolution, against their definitions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from plain_layers import SIZES, TOLERANCE, assert_near, gradients, normal, tensorflow_only, to_numpy

from seglab.models.layers import BatchNormalization, MaxPooling, UpConcatConv, transposed_kernel


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
    kernel = np.outer([1.0, 2.0, 4.0], [1.0, 2.0, 4.0]).reshape(3, 3, 1, 1).astype("float32")
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
