"""Any size in, a mask of that size out, the same whichever way the image meets the network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks_by_hand import ABOVE_HALF, AS_IS, BINARY, THREE, VOLUME, blurring, pixelwise, windows
from scipy.special import log_softmax

from seglab.data.preprocessing.geometry import resize_image
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.inference.predictor import Predictor
from seglab.task import Task

__all__ = ["windows"]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 45), st.integers(1, 45))
def test_windows_give_every_size_back(windows: Predictor, height: int, width: int) -> None:
    image = np.random.default_rng(height).random((height, width, 1), np.float32)
    np.testing.assert_array_equal(windows.predict(image), image[..., 0] > 0.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 45), st.integers(1, 45))
def test_resizing_gives_every_size_back(height: int, width: int) -> None:
    # Left half dark, right half bright: the border may move by half a pixel of the coarser grid, no more.
    image = np.zeros((height, width, 1), np.float32)
    image[:, width // 2 :] = 1
    mask = resizing().predict(image)
    assert mask.shape == (height, width)
    reach = int(np.ceil(max(1, width / 16)))
    assert (mask[:, width // 2 + reach :] == 1).all()
    assert (mask[:, : max(0, width // 2 - reach)] == 0).all()


_RESIZING: list[Predictor] = []


def resizing() -> Predictor:
    if not _RESIZING:
        model = pixelwise(BINARY, (16, 16), *ABOVE_HALF)
        _RESIZING.append(Predictor(model, BINARY, AS_IS, (16, 16), "resize"))
    return _RESIZING[0]


@pytest.mark.parametrize("fit", ["resize", "letterbox", "pad", "patch"])
def test_at_its_own_size_all_ways_are_the_bare_network(fit: str) -> None:
    model = blurring((16, 16))
    image = np.random.default_rng(0).random((16, 16, 1), np.float32)
    predictor = Predictor(model, BINARY, AS_IS, (16, 16), fit)
    foreground = 1 / (1 + np.exp(-model.predict_on_batch(image[None])[0, ..., 0].astype(np.float64)))
    probabilities = predictor.predict_probabilities(image)
    np.testing.assert_allclose(probabilities[..., 1], foreground, atol=1e-6)
    np.testing.assert_array_equal(predictor.predict(image), (probabilities[..., 1] > 0.5))


def test_padding_puts_the_image_in_the_middle_of_zeros() -> None:
    model = blurring((16, 16))
    image = np.random.default_rng(0).random((11, 16, 1), np.float32)
    padded = np.zeros((16, 16, 1), np.float32)
    padded[2:13] = image  # 5 rows to spare: 2 above, 3 below
    whole = Predictor(model, BINARY, AS_IS, (16, 16), "pad")
    np.testing.assert_array_equal(whole.predict_probabilities(image), whole.predict_probabilities(padded)[2:13])


def test_a_letterbox_is_the_image_with_a_border_of_zeros() -> None:
    model = blurring((16, 16))
    image = np.random.default_rng(0).random((8, 4, 1), np.float32)
    boxed = np.zeros((16, 16, 1), np.float32)
    boxed[:, 4:12] = resize_image(image, (16, 8))
    whole = Predictor(model, BINARY, AS_IS, (16, 16), "pad").predict_probabilities(boxed)[:, 4:12]
    found = Predictor(model, BINARY, AS_IS, (16, 16), "letterbox").predict_probabilities(image)
    np.testing.assert_allclose(found, resize_image(whole, (8, 4)), atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 45), st.integers(1, 45))
def test_a_letterbox_gives_every_size_back(height: int, width: int) -> None:
    image = np.zeros((height, width, 1), np.float32)
    image[height // 2 :] = 1
    mask = boxing().predict(image)
    reach = int(np.ceil(max(1, max(height, width) / 16)))
    assert mask.shape == (height, width)
    assert (mask[height // 2 + reach :] == 1).all()
    assert (mask[: max(0, height // 2 - reach)] == 0).all()


@pytest.mark.parametrize("fit", ["resize", "letterbox"])
@pytest.mark.parametrize("shape", [(32, 32), (8, 8), (40, 40), (23, 23), (11, 11)])
def test_nothing_is_shifted_on_the_way_in_and_back(fit: str, shape: tuple[int, int]) -> None:
    """A flipped image comes back as the flipped prediction, and a ramp at the place that it has; a shift of half a
    pixel anywhere on the way would show in both."""
    predictor = Predictor(pixelwise(BINARY, (16, 16), [4.0], [-2.0]), BINARY, AS_IS, (16, 16), fit)
    image = np.random.default_rng(1).random((*shape, 1), np.float32)
    found = predictor.predict_probabilities(image)
    for axis in (0, 1):
        np.testing.assert_allclose(
            np.flip(predictor.predict_probabilities(np.flip(image, axis)), axis), found, atol=1e-5
        )
    ramp = np.broadcast_to(np.linspace(0.45, 0.55, shape[1], dtype=np.float32)[:, None], (*shape, 1)).copy()
    found = predictor.predict_probabilities(ramp)[..., 1]
    reach = -(-shape[1] // 16)  # at the very ends the outermost value goes on
    inner = (slice(None), slice(reach, -reach))
    half_a_pixel = 0.05 / shape[1]  # in brightness, and nearly so in probability
    np.testing.assert_allclose(found[inner], 1 / (1 + np.exp(2 - 4 * ramp[..., 0][inner])), atol=half_a_pixel / 3)


@pytest.mark.parametrize("task", [BINARY, THREE])
@pytest.mark.parametrize("slope", [4.0, 60.0, 3000.0])
@pytest.mark.parametrize(
    ("fit", "shape"),
    [
        ("patch", (16, 16)),
        ("patch", (37, 21)),
        ("pad", (9, 30)),
        ("resize", (23, 40)),
        ("resize", (7, 9)),
        ("letterbox", (20, 33)),
        ("letterbox", (9, 5)),
    ],
)
def test_logarithms_are_those_of_the_probabilities_and_do_not_saturate(
    task: Task, slope: float, fit: str, shape: tuple[int, int]
) -> None:
    slopes, offsets = ([slope], [-slope / 2]) if task.binary else ([0.0, slope, -slope], [0.0, -slope / 2, slope / 2])
    predictor = Predictor(pixelwise(task, (16, 16), slopes, offsets), task, AS_IS, (16, 16), fit, flips=(0,))
    image = np.random.default_rng(2).random((*shape, 1), np.float32)
    places = np.random.default_rng(3).permutation(image.size)[:100]
    mask, logs = predictor.predict_drawn(image, None, places)
    np.testing.assert_array_equal(mask, predictor.predict(image))
    probabilities = predictor.predict_probabilities(image).reshape(-1, task.classes)[places]
    seen = probabilities > 1e-30
    np.testing.assert_allclose(np.exp(logs), probabilities, atol=2e-6)
    np.testing.assert_allclose(logs[seen], np.log(probabilities[seen]), rtol=1e-3, atol=2e-5)
    assert np.isfinite(logs).all()
    if slope == 3000:
        assert logs.min() < -300
    if fit == "patch":  # pixel by pixel, so the windows agree
        logits = image.reshape(-1, 1)[places].astype(float) * slopes + np.array(offsets)
        two = np.concatenate([np.zeros_like(logits), logits], axis=-1) if task.binary else logits
        np.testing.assert_allclose(logs, log_softmax(two, axis=-1), rtol=1e-4, atol=1e-4)


def test_logarithms_of_a_volume_at_another_spacing() -> None:
    model = pixelwise(VOLUME, (8, 8, 8), [400.0], [-200.0])
    predictor = Predictor(model, VOLUME, AS_IS, (8, 8, 8), "patch", spacing=(1.0, 1.0, 2.0), interpolation="cubic")
    image = np.random.default_rng(0).random((17, 12, 9, 1), np.float32)
    places = np.arange(0, image.size, 7)
    mask, logs = predictor.predict_drawn(image, (0.5, 1.7, 2.0), places)
    np.testing.assert_array_equal(mask, predictor.predict(image, (0.5, 1.7, 2.0)))
    probabilities = predictor.predict_probabilities(image, (0.5, 1.7, 2.0)).reshape(-1, 2)[places]
    np.testing.assert_allclose(np.exp(logs), probabilities, atol=2e-6)


def test_the_background_of_a_sure_foreground_is_not_rounded_to_nothing() -> None:
    # Logit 18: 1 / (1 + e^18), which one less the foreground in float32 would make 0.
    predictor = Predictor(pixelwise(BINARY, (8, 8), [0.0], [18.0]), BINARY, AS_IS, (8, 8), "patch")
    found = predictor.predict_probabilities(np.zeros((8, 13, 1), np.float32))
    np.testing.assert_allclose(found[..., 0], 1 / (1 + np.exp(18)), rtol=1e-5)
    assert found[..., 1].min() > 1 - 1e-6


_BOXING: list[Predictor] = []


def boxing() -> Predictor:
    if not _BOXING:
        model = pixelwise(BINARY, (16, 16), *ABOVE_HALF)
        _BOXING.append(Predictor(model, BINARY, AS_IS, (16, 16), "letterbox"))
    return _BOXING[0]


def test_an_image_is_normalised_after_it_was_resized() -> None:
    # 8-bit columns 0, 255 in pairs become one grey, 127.5 rounded to the even 128: above half.
    predictor = Predictor(
        pixelwise(BINARY, (4, 4), *ABOVE_HALF), BINARY, Preprocessing("scale", 1, unit=255.0), (4, 4), "resize"
    )
    stripes = np.tile(np.array([0, 255], np.uint8), (8, 4))[..., None]
    assert (predictor.predict(stripes) == 1).all()
    assert (predictor.predict(stripes == 255) == 1).all()


@pytest.mark.parametrize("fit", ["resize", "letterbox", "patch"])
def test_the_type_of_an_image_is_no_matter_and_its_scale_is_checked(fit) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 1))
    for scale, unit in (("bytes", 255.0), ("words", 65535.0), ("shares", 1.0)):
        preprocessing = Preprocessing("standard", 1, unit, (0.4,), (0.3,), scale=scale)
        predictor = Predictor(pixelwise(BINARY, (4, 4), [1.0], [0.0]), BINARY, preprocessing, (4, 4), fit)
        numbers = image * (257 if scale == "words" else 1) / (255 if scale == "shares" else 1)
        expected = predictor.predict_probabilities(numbers.astype(np.float32 if unit == 1 else np.uint16))
        found = predictor.predict_probabilities(numbers.astype(np.float64))
        np.testing.assert_allclose(found, expected, atol=0.02)  # whole numbers are rounded when they are resized
        if scale == "bytes":
            np.testing.assert_array_equal(predictor.predict_probabilities(image.astype(np.uint8)), expected)
        white = predictor.predict_probabilities(np.ones((8, 12, 1), bool))
        full = np.full((8, 12, 1), unit, np.uint16 if unit > 1 else np.float32)
        np.testing.assert_allclose(white, predictor.predict_probabilities(full), atol=1e-6)
        strange = image.astype(np.uint16) * 200 if scale == "bytes" else image.astype(np.uint8)
        with pytest.raises(DataError, match="another scale"):
            predictor.predict(strange)
