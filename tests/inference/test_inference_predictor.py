"""Any size in, a mask of that size out, the same whichever way the image meets the network."""

from __future__ import annotations

import tracemalloc

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from seglab.data.cases import Sample
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.data.preprocessing.geometry import cut, pad_start, resize_image
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.preprocessing.spacing import resample_image
from seglab.errors import DataError
from seglab.inference.bundle import Bundle
from seglab.inference.predictor import Predictor
from seglab.task import Task

BINARY = Task(rank=2, channels=1, class_names=("background", "object"))
THREE = Task(rank=2, channels=1, class_names=("background", "a", "b"))
VOLUME = Task(rank=3, channels=1, class_names=("background", "object"))
AS_IS = Preprocessing("scale", channels=1)


def pixelwise(task: Task, size: tuple[int, ...], slopes: list[float], offsets: list[float]) -> keras.Model:
    """Logit k of a pixel of intensity v is slopes[k] · v + offsets[k], whatever is around it."""
    convolution = {2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[task.rank](task.logit_channels, 1)
    image = keras.Input((*size, task.channels))
    model = keras.Model(image, convolution(image))
    convolution.set_weights([np.reshape(slopes, convolution.kernel.shape), np.asarray(offsets)])
    return model


def blurring(size: tuple[int, ...]) -> keras.Model:
    """One that sees a neighbourhood."""
    keras.utils.set_random_seed(1)
    image = keras.Input((*size, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    return keras.Model(image, keras.layers.Conv2D(1, 3, padding="same")(x))


# Above 0.5 is the object: 10 · 0.5 - 5 = 0.
ABOVE_HALF = ([10.0], [-5.0])


@pytest.fixture(scope="module")
def windows() -> Predictor:
    return Predictor(pixelwise(BINARY, (16, 16), *ABOVE_HALF), BINARY, AS_IS, (16, 16), "patch")


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


def test_a_volume_meets_the_network_at_its_spacing_and_comes_back_to_its_own() -> None:
    predictor = Predictor(
        pixelwise(VOLUME, (8, 8, 8), *ABOVE_HALF), VOLUME, AS_IS, (8, 8, 8), "patch", spacing=(1.0, 1.0, 2.0)
    )
    seen = _fed(predictor)
    # 0.5 × 0.5 × 4 mm in 16 × 12 × 4 voxels: 8 × 6 × 8 voxels of 1 × 1 × 2 mm.
    image = np.zeros((16, 12, 4, 1), np.float32)
    image[6:12, 2:8, 1:3] = 1
    mask = predictor.predict(image, (0.5, 0.5, 4.0))
    assert len(seen) == 1
    np.testing.assert_array_equal(
        seen[0][0, :, 1:7], resample_image(image, (0.5, 0.5, 4.0), (1.0, 1.0, 2.0)).astype(np.float32)
    )
    np.testing.assert_array_equal(mask, image[..., 0])
    probabilities = predictor.predict_probabilities(image, (0.5, 0.5, 4.0))
    np.testing.assert_array_equal(probabilities[..., 1] > 0.5, mask)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-6)


def _fed(predictor: Predictor) -> list[np.ndarray]:
    """What the network is given from now on."""
    seen: list[np.ndarray] = []
    network = predictor._network

    def watched(windows: np.ndarray) -> np.ndarray:
        seen.append(windows.copy())
        return network(windows)

    predictor._network = watched
    return seen


@pytest.mark.parametrize("mode", ["scale", "zscore"])
@pytest.mark.parametrize(
    ("fit", "target"), [("resize", None), ("letterbox", None), ("pad", (2.0, 1.0, 1.5)), ("letterbox", (2.0, 1.0, 1.5))]
)
def test_the_network_sees_what_it_was_trained_on(fit: str, target: tuple[float, ...] | None, mode: str) -> None:
    image = np.random.default_rng(0).random((9, 14, 7, 1), np.float32)
    sample = Sample(image, np.zeros(image.shape[:3], np.uint8), (1.0, 0.5, 1.5))
    size = (16, 16, 16)
    preprocessing = Preprocessing(mode, 1)
    predictor = Predictor(pixelwise(VOLUME, size, *ABOVE_HALF), VOLUME, preprocessing, size, fit, spacing=target)
    seen = _fed(predictor)
    predictor.predict(sample.image, sample.spacing)
    trained_on = preprocessing.apply(
        CasePreprocessing(size, fit if fit != "pad" else "patch", target)(sample, VOLUME).image
    )
    expected = cut(trained_on, pad_start(trained_on.shape[:3], size), size, 0)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0][0], expected)


def test_cubic_interpolation_is_that_of_training_too() -> None:
    image = np.random.default_rng(0).random((9, 14, 7, 1), np.float32)
    sample, size, finer = Sample(image, np.zeros(image.shape[:3], np.uint8), (1.0, 0.5, 1.5)), (16,) * 3, (0.75,) * 3
    fed = {}
    for kind in ("linear", "cubic"):
        bundle = Bundle(VOLUME, AS_IS, size, "pad", spacing=finer, interpolation=kind)
        predictor = Predictor.of(pixelwise(VOLUME, size, *ABOVE_HALF), Bundle.from_dict(bundle.to_dict()))
        seen = _fed(predictor)
        predictor.predict(image, sample.spacing)
        trained_on = AS_IS.apply(CasePreprocessing(size, "patch", finer, kind)(sample, VOLUME).image)
        np.testing.assert_array_equal(seen[0][0], cut(trained_on, pad_start(trained_on.shape[:3], size), size, 0))
        fed[kind] = seen[0]
    assert not np.allclose(fed["linear"], fed["cubic"])


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, float("nan"))])
def test_a_network_with_a_spacing_needs_that_of_the_image(spacing: tuple[float, ...] | None) -> None:
    model = pixelwise(VOLUME, (8, 8, 8), *ABOVE_HALF)
    predictor = Predictor(model, VOLUME, AS_IS, (8, 8, 8), "patch", spacing=(1.0, 1.0, 2.0))
    with pytest.raises(DataError, match="spacing is not known"):
        predictor.predict(np.zeros((8, 8, 8, 1), np.float32), spacing)


def test_a_spacing_is_of_no_account_where_the_network_has_none() -> None:
    predictor = Predictor(pixelwise(VOLUME, (8, 8, 8), *ABOVE_HALF), VOLUME, AS_IS, (8, 8, 8), "patch")
    image = np.random.default_rng(0).random((5, 6, 7, 1), np.float32)
    np.testing.assert_array_equal(predictor.predict(image, (0.1, 3, 9)), image[..., 0] > 0.5)


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
