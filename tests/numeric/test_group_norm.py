"""Group normalisation against Keras's, and against float64 where Keras's rounds."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from seglab.models.layers import GroupNormalization


def pair(groups: int, channels: int, rank: int, policy: str = "float32") -> list[keras.layers.Layer]:
    """Ours and Keras's, with the same weights."""
    layers = [
        kind(groups, epsilon=1e-3, dtype=policy) for kind in (GroupNormalization, keras.layers.GroupNormalization)
    ]
    rng = np.random.default_rng(1)
    weights = [rng.normal(1, 0.3, channels), rng.normal(0, 0.3, channels)]
    for layer in layers:
        layer.build((None,) * (rank + 1) + (channels,))
        layer.set_weights(weights)
    return layers


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(("size", "groups"), [((7,), 6), ((5, 4), 3), ((3, 4, 5), 1), ((1, 3, 2), 6)])
def test_it_is_keras_s(size: tuple[int, ...], groups: int, policy: str) -> None:
    x = np.random.default_rng(0).normal(2, 3, (2, *size, 6))
    mine, theirs = (layer(x) for layer in pair(groups, 6, len(size), policy))
    assert mine.dtype == theirs.dtype
    bound = {"float32": 2e-6, "float64": 1e-12}.get(policy, 0.02)
    assert np.abs(np.asarray(mine, "float64") - np.asarray(theirs, "float64")).max() < bound


def test_by_hand() -> None:
    # Groups {0, 2, 4, 6} and {1, 1, 1, 1} of one case: means 3 and 1, variances 5 and 0.
    x = np.array([[[0, 2, 1, 1], [4, 6, 1, 1]]], "float32")
    layer = GroupNormalization(2, epsilon=4.0)
    assert np.allclose(layer(x), [[[-1, -1 / 3, 0, 0], [1 / 3, 1, 0, 0]]], atol=1e-6)


def test_gradients_are_keras_s() -> None:
    x = tf.constant(np.random.default_rng(0).normal(2, 3, (2, 4, 5, 6)), "float64")
    found = []
    for layer in pair(3, 6, 2, "float64"):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x)))
        found.append(tape.gradient(loss, [x, *layer.trainable_variables]))
    for mine, theirs in zip(*found, strict=True):
        assert np.abs(mine - theirs).max() < 1e-10


def test_without_gamma_it_takes_keras_s_path() -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")
    options = {"groups": 2, "scale": False}
    assert (
        np.asarray(GroupNormalization(**options)(x)) == np.asarray(keras.layers.GroupNormalization(**options)(x))
    ).all()


def test_large_volumes_are_as_exact_as_small_ones() -> None:
    """One sum over 96³ voxels in float32 is off by so much that Keras's own layer is 1e-4 from float64 there."""
    x = np.random.default_rng(0).normal(0.5, 1, (1, 96, 96, 96, 2)).astype("float32")
    exact = np.asarray(pair(2, 2, 3, "float64")[1](x.astype("float64")))
    mine, theirs = (np.abs(np.asarray(layer(x)) - exact).max() for layer in pair(2, 2, 3))
    assert mine < 3e-6 < 2e-5 < theirs
