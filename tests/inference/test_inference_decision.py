"""From probabilities to classes, by hand; and numbers that are none."""

from __future__ import annotations

import tracemalloc

import keras
import numpy as np
import pytest
from networks_by_hand import ABOVE_HALF, AS_IS, BINARY, THREE, VOLUME, blurring, pixelwise, windows

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.inference.predictor import Predictor
from seglab.task import Task

__all__ = ["windows"]


def test_classes_come_back_one_at_a_time() -> None:
    """At 8 times the voxels, one channel for each class and the mask would be 10 channels; 4 are enough."""
    task = Task(rank=3, channels=1, class_names=tuple("abcdefghi"))
    model = pixelwise(task, (8, 8, 8), list(np.linspace(0, 1, 9)), [0.0] * 9)
    predictor = Predictor(model, task, AS_IS, (8, 8, 8), "patch", spacing=(8.0, 8.0, 8.0))
    image = np.ones((64, 64, 64, 1), np.float32)
    predictor.predict(image, (1.0, 1.0, 1.0))
    tracemalloc.start()
    mask = predictor.predict(image, (1.0, 1.0, 1.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (mask == 8).all()
    assert peak < 5.5 * image.nbytes


def test_probabilities_by_hand_and_the_threshold() -> None:
    # Logits 10 v - 5 for v = 0.5, 0.6, 0.7: sigmoid(0) = 0.5, sigmoid(1) = 0.731, sigmoid(2) = 0.881.
    image = np.array([0.5, 0.6, 0.7], np.float32).reshape(1, 3, 1)
    model = pixelwise(BINARY, (4, 4), *ABOVE_HALF)
    probabilities = Predictor(model, BINARY, AS_IS, (4, 4), "pad").predict_probabilities(image)
    np.testing.assert_allclose(probabilities[0], [[0.5, 0.5], [0.268941, 0.731059], [0.119203, 0.880797]], atol=1e-6)
    for threshold, expected in ((0.5, [0, 1, 1]), (0.8, [0, 0, 1]), (0.9, [0, 0, 0]), (0.4, [1, 1, 1])):
        predictor = Predictor(model, BINARY, AS_IS, (4, 4), "pad", threshold=threshold)
        assert predictor.predict(image)[0].tolist() == expected


@pytest.mark.parametrize("fit", ["resize", "patch"])
def test_several_classes_take_the_most_probable(fit: str) -> None:
    # Logits 0, 20 v - 5, 40 v - 25: class 1 wins from 0.25 on, class 2 from 1.0 on (20 v - 5 = 40 v - 25).
    model = pixelwise(THREE, (8, 8), [0, 20, 40], [0, -5, -25])
    predictor = Predictor(model, THREE, AS_IS, (8, 8), fit)
    image = np.zeros((24, 24, 1), np.float32)
    image[8:16], image[16:] = 0.6, 1.5
    mask = predictor.predict(image)
    probabilities = predictor.predict_probabilities(image)
    assert (mask[:7] == 0).all()
    assert (mask[9:15] == 1).all()
    assert (mask[17:] == 2).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=-1), mask)


def test_a_tie_goes_to_the_lower_class() -> None:
    model = pixelwise(THREE, (4, 4), [0, 0, 0], [-1, 2, 2])
    mask = Predictor(model, THREE, AS_IS, (4, 4), "patch").predict(np.zeros((4, 4, 1), np.float32))
    assert (mask == 1).all()


def test_volumes_of_odd_sizes() -> None:
    predictor = Predictor(pixelwise(VOLUME, (8, 8, 8), *ABOVE_HALF), VOLUME, AS_IS, (8, 8, 8), "patch")
    image = np.random.default_rng(0).random((13, 5, 9, 1), np.float32)
    np.testing.assert_array_equal(predictor.predict(image), image[..., 0] > 0.5)


def test_the_preprocessing_comes_first() -> None:
    # 8-bit 127 becomes 0.498, 128 becomes 0.502.
    predictor = Predictor(
        pixelwise(BINARY, (4, 4), *ABOVE_HALF), BINARY, Preprocessing("scale", 1, unit=255.0), (4, 4), "patch"
    )
    assert predictor.predict(np.array([[[127], [128]]], np.uint8)).tolist() == [[0, 1]]


@pytest.mark.parametrize(("classes", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.uint16)])
def test_masks_take_the_smallest_unsigned_type(classes: int, dtype: type) -> None:
    task = Task(rank=2, channels=1, class_names=tuple(f"c{i}" for i in range(classes)), ignore_label=65535)
    channels = task.logit_channels
    model = pixelwise(task, (4, 4), [0.0] * channels, list(np.arange(channels, dtype=float)))
    mask = Predictor(model, task, AS_IS, (4, 4), "patch").predict(np.zeros((4, 4, 1), np.float32))
    assert mask.dtype == dtype
    assert (mask == (0 if classes == 2 else classes - 1)).all()


def test_of_several_outputs_the_first_counts() -> None:
    model = pixelwise(BINARY, (4, 4), *ABOVE_HALF)
    coarse = keras.layers.AveragePooling2D(2)(model.output)
    supervised = keras.Model(model.input, [model.output, coarse])
    image = np.random.default_rng(0).random((4, 4, 1), np.float32)
    predictor = Predictor(supervised, BINARY, AS_IS, (4, 4), "patch")
    np.testing.assert_array_equal(predictor.predict(image), image[..., 0] > 0.5)


def test_flips_average_over_the_mirrored_images() -> None:
    model = blurring((16, 16))
    image = np.random.default_rng(0).random((16, 16, 1), np.float32)
    plain = Predictor(model, BINARY, AS_IS, (16, 16), "resize")
    expected = (plain.predict_probabilities(image) + plain.predict_probabilities(image[:, ::-1])[:, ::-1]) / 2
    flipped = Predictor(model, BINARY, AS_IS, (16, 16), "resize", flips=(1,)).predict_probabilities(image)
    np.testing.assert_allclose(flipped, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4)), "add the axis of channels"),
        (np.zeros((4, 4, 4, 1)), "rank"),
        (np.zeros((0, 4, 1)), "rank"),
        (np.zeros((4, 4, 3)), "another number of channels"),
        (np.full((4, 4, 1), np.nan), "NaN"),
        (np.full((4, 4, 1), np.inf), "NaN"),
        (np.zeros((4, 4, 1), complex), "dtype complex128"),
        (np.full((4, 4, 1), "a"), "dtype <U1"),
    ],
)
def test_refuses_an_image_that_does_not_fit(windows: Predictor, image: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        windows.predict(image)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("mode", ["scale", "zscore", "window"])
def test_one_value_that_is_no_number_is_refused_whatever_the_normalisation(mode: str, wrong: float) -> None:
    # A window would clip an infinity to its border, and nobody would hear of it.
    window = {"low": (0.0,), "high": (1.0,), "mean": (0.5,), "std": (0.5,)} if mode == "window" else {}
    predictor = Predictor(
        pixelwise(BINARY, (4, 4), *ABOVE_HALF), BINARY, Preprocessing(mode, 1, **window), (4, 4), "patch"
    )
    image = np.random.default_rng(0).random((4, 4, 1), np.float32)
    assert predictor.predict(image).shape == (4, 4)
    image[1, 2, 0] = wrong
    for predict in (predictor.predict, predictor.predict_probabilities):
        with pytest.raises(DataError, match="1 of 16 values") as caught:
            predict(image)
        assert "replace them before prediction" in str(caught.value)


def test_numbers_too_large_for_float32_are_refused() -> None:
    predictor = Predictor(pixelwise(BINARY, (4, 4), *ABOVE_HALF), BINARY, AS_IS, (4, 4), "patch")
    with np.errstate(over="ignore"), pytest.raises(DataError, match="16 of 16 values after normalisation"):
        predictor.predict(np.full((4, 4, 1), 1e300))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(wrong: float) -> None:
    model = pixelwise(THREE, (4, 4), [0, wrong, 1], [0, 0, wrong])
    with pytest.raises(DataError, match="weights hold NaN or infinite") as caught:
        Predictor(model, THREE, AS_IS, (4, 4), "patch")
    assert "2 of 6 numbers" in str(caught.value)
    assert "kernel" in str(caught.value)
    assert "train it again" in str(caught.value)


def test_an_answer_that_is_no_number_is_refused_and_not_background() -> None:
    # Finite weights and a finite image, and yet 1e30 · 1e30 is infinite in float32, and softmax has no answer to that.
    model = pixelwise(THREE, (4, 4), [1e30, 1e30, 0], [0, 0, 0])
    predictor = Predictor(model, THREE, AS_IS, (4, 4), "patch")
    assert predictor.predict(np.ones((4, 4, 1), np.float32)).shape == (4, 4)
    for predict in (predictor.predict, predictor.predict_probabilities):
        with pytest.raises(DataError, match="no numbers") as caught:
            predict(np.full((4, 4, 1), 1e30, np.float32))
        assert "of 48 probabilities are NaN" in str(caught.value)
