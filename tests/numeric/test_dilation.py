"""Dilated convolutions against the definition, one tap at a time: values, gradients, what is saved."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from seglab.models import dilation
from seglab.models.dilation import DilatedConv2D, DilatedConv3D, DilatedMaxPooling2D, dilated

tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients by its tape")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def defined(x: np.ndarray, kernel: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """Sum over the taps of the image moved by (tap − middle) × step, with zeros from outside, in double precision."""
    size, widths = x.shape[1:-1], kernel.shape[:-2]
    reach = [width // 2 * step for width, step in zip(widths, steps, strict=True)]
    wide = np.pad(x.astype("float64"), [(0, 0), *((r, r) for r in reach), (0, 0)])
    found = np.zeros((*x.shape[:-1], kernel.shape[-1]))
    for tap in itertools.product(*map(range, widths)):
        place = tuple(slice(t * s, t * s + side) for t, s, side in zip(tap, steps, size, strict=True))
        found += wide[(slice(None), *place)] @ kernel[tap].astype("float64")
    return found


def test_by_hand():
    """One row 1 2 3 4 5, taps 10 1 100 two apart: 100×3+1, 100×4+2, 10×1+3+100×5, 10×2+4, 10×3+5."""
    x = np.arange(1.0, 6.0, dtype="float32").reshape(1, 1, 5, 1)
    kernel = np.array([10.0, 1.0, 100.0], "float32").reshape(1, 3, 1, 1)
    found = ops.convert_to_numpy(dilated(ops.convert_to_tensor(x), ops.convert_to_tensor(kernel), (1, 2)))
    assert found.ravel().tolist() == [301, 402, 513, 24, 35]


@settings(max_examples=40, deadline=None)
@given(
    size=st.lists(st.integers(1, 9), min_size=2, max_size=3),
    step=st.lists(st.integers(1, 11), min_size=3, max_size=3),
    width=st.sampled_from([1, 3, 5]),
    slow=st.booleans(),
)
def test_any_size_and_dilation_is_the_definition(size: list[int], step: list[int], width: int, slow: bool):
    steps = tuple(step[: len(size)])
    x, kernel = normal(2, *size, 3), normal(*[width] * len(size), 3, 2, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dilation, "_dilation_is_slow", lambda: slow)
        if not slow and len({s for s in steps if s > 1}) > 1:
            return  # TensorFlow's own kernels for volumes want one dilation on all axes or none
        found = dilated(ops.convert_to_tensor(x), ops.convert_to_tensor(kernel), steps)
    np.testing.assert_allclose(ops.convert_to_numpy(found), defined(x, kernel, steps), rtol=0, atol=2e-5)


@tensorflow_only
@pytest.mark.parametrize(("rank", "step"), [(2, 2), (2, 6), (2, 18), (3, 2), (3, 4)])
def test_the_layer_equals_that_of_keras_with_its_gradients(rank: int, step: int):
    import tensorflow as tf

    size = (7, 10) if rank == 2 else (5, 6, 4)
    x, found = tf.constant(normal(2, *size, 3)), []
    for kind in (getattr(layers, f"Conv{rank}D"), {2: DilatedConv2D, 3: DilatedConv3D}[rank]):
        layer = kind(4, 3, padding="same", dilation_rate=step, activation="relu")
        layer.build(x.shape)
        layer.set_weights([normal(*[3] * rank, 3, 4, seed=1), normal(4, seed=2)])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            total = tf.reduce_sum(tf.square(y))
        found.append([y, *tape.gradient(total, [x, *layer.trainable_variables])])
    for mine, theirs in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=3e-6 * np.abs(theirs).max())


def test_dilated_pooling_by_hand():
    # One row, windows of two pixels two apart: max(1,3) max(5,2) max(3,4) max(2,0) max(4,6), and the last two alone.
    x = np.array([1.0, 5.0, 3.0, 2.0, 4.0, 0.0, 6.0], "float32").reshape(1, 1, 7, 1)
    found = DilatedMaxPooling2D((1, 2), (1, 2))(x)
    assert ops.convert_to_numpy(found).ravel().tolist() == [3, 5, 4, 2, 6, 0, 6]


@pytest.mark.parametrize("step", [1, 2, 3, 9])
@pytest.mark.parametrize("width", [2, 3])
def test_dilated_pooling_is_the_largest_of_its_taps(step: int, width: int):
    x = normal(2, 7, 5, 3) - 3.0  # below 0, where zeros from outside would win
    wide = np.pad(x, [(0, 0), (0, step * width), (0, step * width), (0, 0)], constant_values=-np.inf)
    taps = itertools.product(range(width), repeat=2)
    expected = np.max([wide[:, r * step : r * step + 7, c * step : c * step + 5] for r, c in taps], axis=0)
    found = DilatedMaxPooling2D((width, width), (step, step))(x)
    np.testing.assert_array_equal(ops.convert_to_numpy(found), expected)


def test_taps_beyond_the_image_are_left_out(monkeypatch: pytest.MonkeyPatch):
    taken = []
    convolve = ops.conv
    monkeypatch.setattr(
        ops, "conv", lambda x, kernel, **rest: taken.append(kernel.shape) or convolve(x, kernel, **rest)
    )
    for step, taps in ((3, (3, 3)), (4, (1, 3)), (6, (1, 1))):
        dilated(ops.convert_to_tensor(normal(1, 4, 6, 1)), ops.convert_to_tensor(normal(3, 3, 1, 1)), (step, step))
        assert tuple(taken.pop()[:2]) == taps


@pytest.mark.parametrize("options", [{"padding": "valid"}, {"padding": "same", "groups": 2}])
def test_options_are_those_of_keras(options: dict):
    x = normal(2, 9, 9, 4)
    pair = [kind(4, 3, dilation_rate=2, **options) for kind in (layers.Conv2D, DilatedConv2D)]
    for layer in pair:
        layer.build(x.shape)
    pair[1].set_weights(pair[0].get_weights())
    expected, found = (ops.convert_to_numpy(layer(x)) for layer in pair)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    image = keras.Input((6, 8, 2))
    pooled = DilatedMaxPooling2D((2, 2), (2, 2))(image)
    model = keras.Model(image, DilatedConv2D(3, 3, padding="same", dilation_rate=4)(pooled))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in again.layers[1:]] == [DilatedMaxPooling2D, DilatedConv2D]
    x = normal(2, 6, 8, 2)
    np.testing.assert_array_equal(ops.convert_to_numpy(again(x)), ops.convert_to_numpy(model(x)))
