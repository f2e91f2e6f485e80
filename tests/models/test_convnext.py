"""ConvNeXt of plain layers beside that of keras.applications."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from seglab.models import convnext as module
from seglab.models.convnext import BLOCKS, CHANNELS, convnext, take_weights
from seglab.models.encoders import ENCODERS, encode
from seglab.models.network import Network

# Liu et al. 2022, table 1: 29, 50 and 89 million with the head of 1,000 classes.
PUBLISHED = {"tiny": 28_589_128, "small": 50_223_688, "base": 88_591_464}


def whole(variant: str) -> keras.Model:
    model = ENCODERS[f"convnext_{variant}"].build(include_top=False, weights=None, input_shape=(None, None, 3))
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():  # at 1e-6 a block would change next to nothing
        if "layer_scale" in layer.name and layer.weights:
            layer.set_weights([rng.normal(0, 0.5, one.shape) for one in layer.get_weights()])
    return model


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variant of a block a stage."""
    monkeypatch.setitem(module.BLOCKS, "tiny", (1, 1, 2, 1))
    monkeypatch.setitem(module.CHANNELS, "tiny", (6, 8, 10, 12))


def lively(model: keras.Model) -> keras.Model:
    """Blocks that count, and biases that are not 0."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        layer.set_weights([one + rng.normal(0, 0.2, one.shape) for one in layer.get_weights()])
    return model


@pytest.mark.parametrize("variant", ["tiny", *(pytest.param(one, marks=pytest.mark.slow) for one in ("small", "base"))])
def test_weights_and_features_are_those_of_keras_applications(variant: str) -> None:
    theirs, mine = whole(variant), convnext(variant, (64, 32))
    final_norm, classes = 2 * CHANNELS[variant][-1], 1000
    assert mine.count_params() == theirs.count_params() - final_norm
    assert theirs.count_params() + (CHANNELS[variant][-1] + 1) * classes == PUBLISHED[variant]
    take_weights(mine, theirs)
    sums = [operation for operation in theirs.operations if type(operation).__name__ == "Add"]
    ends = np.cumsum(BLOCKS[variant]) - 1
    reference = keras.Model(theirs.input, [sums[end].output for end in ends])
    x = np.random.default_rng(2).normal(size=(1, 64, 32, 3)).astype("float32")
    for found, expected in zip(mine(x), reference(x), strict=True):
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
        assert ops.std(expected) > 0.01


@pytest.mark.parametrize(("stage", "output_stride", "phase"), [(3, 16, 0), (3, 8, 1), (2, 8, 0)])
def test_dilation_computes_the_same_features_on_a_finer_grid(
    few: None, stage: int, output_stride: int, phase: int
) -> None:
    """Of every (stride / output stride) along an axis, one is that of the strided network, up to where its borders
    reach: a convolution of two that is spread begins half of its gap before."""
    coarse, fine = (convnext("tiny", (128, 128), kept) for kept in (32, output_stride))
    fine.set_weights(lively(coarse).get_weights())
    x = np.random.default_rng(3).normal(size=(1, 128, 128, 3)).astype("float32")
    strided, spread = np.asarray(coarse(x)[stage]), np.asarray(fine(x)[stage])
    step = module.STRIDES[stage] // output_stride
    assert spread.shape[1] == 128 // output_stride
    np.testing.assert_allclose(spread[:, phase::step, phase::step], strided, atol=1e-4 * np.abs(strided).max())
    assert np.abs(spread[:, 1 - phase :: step, 1 - phase :: step] - strided).max() > 0.1 * np.abs(strided).max()


def test_it_trains_and_is_saved(few: None, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = keras.Input((32, 64, 3))
    drawn = lively(convnext("tiny", (32, 64)))
    logits = keras.layers.Conv2D(2, 1)(keras.layers.UpSampling2D(32)(drawn(image)[-1]))
    model = Network(image, logits, name="a", freeze_epochs=0, encoder_layers=(), ignore_label=None)
    x = np.random.default_rng(0).random((2, 32, 64, 3)).astype("float32")
    model.compile(keras.optimizers.SGD(1.0), loss=keras.losses.MeanSquaredError())
    before = [np.array(one) for one in model.trainable_variables]
    assert np.isfinite(model.train_on_batch(x, np.ones((2, 32, 64, 2), "float32")))
    assert all(np.abs(one - old).max() > 0 for one, old in zip(model.trainable_variables, before, strict=True))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))


@pytest.mark.slow
def test_there_is_no_feature_at_half_the_size() -> None:
    assert sorted(ENCODERS["convnext_tiny"].taps) == [4, 8, 16, 32]
    features = encode(keras.Input((64, 32, 3)), "convnext_tiny", [4, 32], None, "scale", 16)
    assert [tuple(one.shape[1:]) for one in features.values()] == [(16, 8, 96), (4, 2, 768)]
