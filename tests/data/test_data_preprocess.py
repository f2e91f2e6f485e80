"""Normalisation: hand-worked values, what is fitted where, and the way through JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from seglab.data.cases import Case, Sample
from seglab.data.preprocessing.case_fingerprint import class_frequencies, examine
from seglab.data.preprocessing.normalisation import MOST_VOXELS, Preprocessing, fit_preprocessing
from seglab.errors import ConfigError, DataError
from seglab.task import Task


class Held:
    """`CaseStore` that are given, which count how often they are read."""

    def __init__(self, images, masks=None, classes=2):
        self.task = Task(2, images[0].shape[-1], tuple(f"c{i}" for i in range(classes)))
        self.ids = [str(n) for n in range(len(images))]
        masks = masks or [np.zeros(image.shape[:-1], np.uint8) for image in images]
        self._held = dict(zip(self.ids, zip(images, masks, strict=True), strict=True))
        self.facts = {i: examine(Sample(*pair, (1.0, 1.0)), self.task) for i, pair in self._held.items()}
        self.reads = 0

    def read(self, case_id):
        self.reads += 1
        return self._held[case_id]

    def fitted(self, mode, ids=None):
        return fit_preprocessing(self, self.task, self.ids if ids is None else ids, mode, self.facts)


def _image(values, dtype):
    return np.array(values, dtype).reshape(2, 2, -1)


def test_scale_divides_by_the_largest_value_of_the_type():
    preprocessing = Preprocessing("scale", 1, unit=255.0)
    assert preprocessing.apply(_image([0, 51, 102, 255], np.uint8)).ravel().tolist() == pytest.approx([0, 0.2, 0.4, 1])
    assert preprocessing.apply(_image([0, 65535, 0, 0], np.uint16)).max() == 1
    # A float image holds the numbers of the training files, here 8 bit.
    assert preprocessing.apply(_image([0, 51, 102, 255], np.float64)).ravel().tolist() == pytest.approx(
        [0, 0.2, 0.4, 1]
    )


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint32, np.float32])
def test_numbers_that_arithmetic_or_json_made_wide_mean_the_same(dtype):
    preprocessing = Preprocessing("scale", 1, unit=255.0)
    assert preprocessing.apply(_image([0, 51, 102, 255], dtype)).ravel().tolist() == pytest.approx([0, 0.2, 0.4, 1])
    assert Preprocessing("scale", 1, unit=255.0).apply(_image([0, 1, 1, 0], bool)).max() == 1


@pytest.mark.parametrize("mode", ["scale", "standard", "zscore"])
def test_a_value_that_is_no_number_is_not_hidden(mode):
    image = np.ones((4, 4, 1), np.float32)
    image[1, 2] = np.nan
    assert np.isnan(Preprocessing(mode, 1).apply(image)[1, 2])


def test_standard_uses_mean_and_deviation_of_the_training_pixels():
    # Channel 0 of the training images in 0..1: 0, 0, 1, 1, 1, 1, 0, 0 → mean 0.5, deviation 0.5.
    # Channel 1: all 0.2 → mean 0.2 and, constant, deviation 1.
    first = np.dstack([[[0, 0], [255, 255]], np.full((2, 2), 51)]).astype(np.uint8)
    second = np.dstack([[[255, 255], [0, 0]], np.full((2, 2), 51)]).astype(np.uint8)
    unseen = np.full((2, 2, 2), 255, np.uint8)
    held = Held([first, second, unseen])
    fitted = held.fitted("standard", held.ids[:2])
    assert fitted.unit == 255
    assert fitted.mean == pytest.approx((0.5, 0.2))
    assert fitted.std == pytest.approx((0.5, 1.0))
    # (1 − 0.5) / 0.5 = 1 and (1 − 0.2) / 1 = 0.8.
    assert fitted.apply(unseen)[0, 0].tolist() == pytest.approx([1.0, 0.8])
    both = np.stack([fitted.apply(first), fitted.apply(second)])
    assert both[..., 0].mean() == pytest.approx(0, abs=1e-6)
    assert both[..., 0].std() == pytest.approx(1, abs=1e-6)


def test_what_the_facts_say_is_what_all_pixels_say_and_nothing_is_read():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, 5, 2), np.uint8) for h in (3, 7)]
    images += [rng.integers(0, 256, (4, 4, 2), np.uint16), rng.uniform(0, 255, (4, 4, 2)).astype(np.float32)]
    held = Held(images)
    pixels = np.concatenate([image.reshape(-1, 2) / 255 for image in images])
    for mode in ("scale", "standard", "zscore"):
        known = held.fitted(mode)
        assert held.reads == 0
        assert known.unit == (1 if mode == "zscore" else 255)
        assert known.mean == pytest.approx(pixels.mean(axis=0) if mode == "standard" else (0, 0))
        assert known.std == pytest.approx(pixels.std(axis=0) if mode == "standard" else (1, 1))


@pytest.mark.parametrize("mode", ["scale", "standard", "window"])
def test_the_same_numbers_are_the_same_image_in_every_type(mode):
    rng = np.random.default_rng(1)
    numbers = [rng.integers(0, 256, (6, 7, 2)) for _ in range(3)]
    masks = [np.ones((6, 7), np.uint8)] * 3
    expected = Held([image.astype(np.uint8) for image in numbers], masks).fitted(mode)
    assert (expected.scale, expected.unit) == ("bytes", 255)
    for types in ([np.uint16] * 3, [np.uint8, np.uint16, np.float32]):
        held = Held([image.astype(dtype) for image, dtype in zip(numbers, types, strict=True)], masks)
        fitted = held.fitted(mode)
        assert (fitted.scale, fitted.unit) == ("bytes", 255)
        assert fitted.mean == pytest.approx(expected.mean, abs=1e-6)
        assert fitted.std == pytest.approx(expected.std, abs=1e-6)
        for dtype in (np.uint8, np.uint16, np.int64, np.float32):
            image = numbers[0].astype(dtype)
            fitted.check_scale(image)
            assert fitted.apply(image) == pytest.approx(expected.apply(numbers[0].astype(np.uint8)), abs=1e-5)


@pytest.mark.parametrize(
    ("dtypes", "tops", "scale", "unit"),
    [
        ([np.uint8, np.uint8], [255, 200], "bytes", 255),
        ([np.uint8, np.uint16], [255, 255], "bytes", 255),
        ([np.uint16, np.uint16], [4095, 90], "words", 65535),  # a dark one among those of a camera of 12 bits
        ([np.uint8, np.uint16], [255, 4095], "mixed", 65535),
        ([np.uint8, np.float32], [255, 1], "mixed", 255),
        ([np.uint16, np.float32], [60000, 1], "mixed", 65535),
        ([np.uint16, np.float32], [60000, 50000], "words", 65535),
        ([np.uint8, np.float32], [255, 251.5], "bytes", 255),
        ([np.float32, np.float32], [1, 0.4], "shares", 1),
        ([np.float32, np.float32], [1, 900], "reals", 1),
        ([np.uint8, np.float32], [255, 0], "bytes", 255),  # a black image is on every scale
    ],
)
def test_a_data_set_has_one_unit(dtypes, tops, scale, unit):
    ramp = np.linspace(0, 1, 12).reshape(3, 4, 1)
    held = Held([(ramp * top).astype(dtype) for dtype, top in zip(dtypes, tops, strict=True)])
    fitted = held.fitted("standard", held.ids[:1])
    assert (fitted.scale, fitted.unit) == (scale, unit)
    first = fitted.apply(held.read("0")[0])
    assert (first.mean(), first.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))


@pytest.mark.parametrize(
    ("scale", "dtype", "top", "fits"),
    [
        ("bytes", np.uint16, 255, True),
        ("bytes", np.uint16, 256, False),
        ("bytes", np.float64, 260, True),  # an overshoot of resampling
        ("bytes", np.float32, 1, False),
        ("bytes", np.float32, 60000, False),
        ("words", np.uint16, 9, True),
        ("words", np.uint8, 255, False),
        ("shares", np.uint8, 255, False),
        ("shares", np.float64, 1.01, True),
        ("reals", np.uint8, 255, True),
        ("own", np.uint16, 9999, True),
        ("mixed", np.float32, 1, True),
    ],
)
def test_a_model_refuses_an_image_on_another_scale(scale, dtype, top, fits):
    image = (np.linspace(0, 1, 12).reshape(3, 4, 1) * top).astype(dtype)
    preprocessing = Preprocessing("scale", 1, 255.0, scale=scale)
    if fits:
        preprocessing.check_scale(image)
        return
    with pytest.raises(DataError, match=r"(?s)another scale.*data\.normalize=zscore"):
        preprocessing.check_scale(image)
    Preprocessing("zscore", 1).check_scale(image)


def test_a_bundle_of_before_divides_each_image_by_the_largest_value_of_its_own_type():
    stored = {"mode": "scale", "channels": 1, "unit": 65535.0, "mean": [0.0], "std": [1.0], "low": [], "high": []}
    old = Preprocessing.from_dict(stored)
    assert old.apply(_image([0, 51, 102, 255], np.uint8)).max() == 1
    assert old.apply(_image([0, 65535, 0, 0], np.uint16)).max() == 1
    old.check_scale(_image([0, 65535, 0, 0], np.uint16))
    assert Preprocessing.from_dict(Preprocessing("scale", 1, 255.0, scale="bytes").to_dict()).scale == "bytes"


def _scan(inside, outside):
    """An image whose class 1 has the values `inside`, class 0 and the ignored pixels the value `outside`."""
    values = np.array([*inside, outside, outside], np.float32).reshape(1, -1, 1)
    mask = np.array([1] * len(inside) + [0, 255], np.uint8).reshape(1, -1)
    return values, mask


def test_the_window_is_the_training_foregrounds():
    # Foreground 0, 1, …, 200: percentiles 0.5 and 99.5 lie at 1 and 199. Clipped: 1, 1, 2, …, 198, 199, 199;
    # mean 100, squares about it 2 · 99² + 2 · (1² + … + 99²) = 19,602 + 656,700, over 201 voxels: 3364.69.
    first, second, unseen = _scan(range(0, 201, 2), -1000), _scan(range(1, 200, 2), 3000), _scan([9999], 0)
    held = Held([image for image, _ in (first, second, unseen)], [mask for _, mask in (first, second, unseen)])
    fitted = held.fitted("window", held.ids[:2])
    assert (fitted.unit, fitted.low, fitted.high) == (1.0, pytest.approx((1.0,)), pytest.approx((199.0,)))
    assert fitted.mean == pytest.approx((100.0,))
    assert fitted.std == pytest.approx((np.sqrt(676_302 / 201),))
    out = fitted.apply(np.array([-1000, 1, 100, 199, 3000], np.float32).reshape(1, 5, 1)).ravel()
    assert out.tolist() == pytest.approx([-1.7067, -1.7067, 0, 1.7067, 1.7067], abs=1e-3)
    assert Preprocessing.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


def test_the_window_of_8_bit_images_and_of_many_voxels():
    values = np.tile(np.array([50, 150], np.uint8), MOST_VOXELS * 2).reshape(2, -1, 1)
    held = Held([values], [np.ones(values.shape[:-1], np.uint8)])
    fitted = held.fitted("window")
    assert fitted.unit == 255
    assert fitted.low == pytest.approx((50 / 255,))
    assert np.isfinite(fitted.apply(values)).all()


def test_a_window_needs_a_foreground():
    held = Held([np.ones((2, 2, 1), np.uint8)], [np.array([[0, 0], [0, 255]], np.uint8)])
    for ids in (held.ids, []):
        with pytest.raises(DataError, match=r"(?s)no foreground.*data\.normalize=zscore") as caught:
            held.fitted("window", ids)
        assert "c1" in str(caught.value)


def test_standard_on_floats_takes_them_as_they_are():
    held = Held([np.array([[[100.0], [300.0]]], np.float32)])
    fitted = held.fitted("standard")
    assert (fitted.unit, fitted.mean, fitted.std) == (1.0, (200.0,), (100.0,))


def test_zscore_clips_outliers_of_each_image():
    values = np.zeros((20, 100, 1), np.float32)
    values[:10] = 10
    values[0, 0] = 1_704_295  # one wild voxel of 2000: beyond the 99.5th percentile
    out = Preprocessing("zscore", 1).apply(values)
    # Clipped to 0 and 10, half each: mean 5, deviation 5 → ±1, the wild one too.
    assert np.unique(out.round(4)).tolist() == [-1, 1]
    assert out[0, 0] == pytest.approx(1)
    assert out.dtype == np.float32


@given(
    npst.arrays(np.float32, (6, 5, 2), elements=st.floats(-1e6, 1e6, width=32)),
    st.floats(0.01, 1e3),
    st.floats(-1e3, 1e3),
)
def test_zscore_is_bounded_and_blind_to_scanner_units(image, factor, offset):
    preprocessing = Preprocessing("zscore", 2)
    out = preprocessing.apply(image)
    assert np.isfinite(out).all()
    for channel in range(2):
        spread = out[..., channel].std()
        assert spread == pytest.approx(1, abs=1e-3) or spread == 0
        if spread > 0 and image[..., channel].std() > 1e-3 * np.abs(image[..., channel]).max() + 1:
            again = preprocessing.apply(image.astype(np.float64) * factor + offset)
            assert np.allclose(again[..., channel], out[..., channel], atol=1e-2)


@pytest.mark.parametrize("mode", ["scale", "standard", "zscore"])
def test_constant_images_stay_finite(mode):
    constant = np.full((4, 4, 1), 7, np.uint8)
    held = Held([constant])
    out = held.fitted(mode).apply(constant)
    assert np.isfinite(out).all()
    assert out.std() == 0
    assert np.abs(Preprocessing("zscore", 1).apply(np.full((9, 9, 1), 1e6 + 0.3, np.float32))).max() == 0


@given(
    mode=st.sampled_from(["scale", "standard", "zscore"]),
    unit=st.sampled_from([1.0, 255.0, 65535.0]),
    mean=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3),
    std=st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3),
)
def test_json_gives_the_same_preprocessing_bit_for_bit(mode, unit, mean, std):
    before = Preprocessing(mode, 3, unit, tuple(mean), tuple(std))
    after = Preprocessing.from_dict(json.loads(json.dumps(before.to_dict())))
    assert after == before
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    assert after.apply(image).tobytes() == before.apply(image).tobytes()


def test_apply_leaves_its_input_alone():
    image = np.ones((3, 3, 1), np.float32)
    for mode in ("scale", "standard", "zscore"):
        out = Preprocessing(mode, 1, mean=(2.0,), std=(3.0,)).apply(image)
        out += 1
        assert (image == 1).all()


def test_other_channels_and_modes_are_refused():
    with pytest.raises(DataError, match="another number of channels"):
        Preprocessing("scale", 3).apply(np.zeros((4, 4, 1)))
    with pytest.raises(ConfigError, match="did you mean 'zscore'"):
        Preprocessing("zscor", 1)


def test_class_shares_leave_out_ignored_pixels():
    masks = [np.array([[0, 0], [1, 255]], np.uint8), np.array([[2, 0], [255, 255]], np.uint8)]
    held = Held([np.zeros((2, 2, 1), np.uint8)] * 2, masks, classes=4)
    # Labelled: 0, 0, 1 and 2, 0 → 3/5, 1/5, 1/5, and class 3 never.
    cases = [Case(i, (), None, i) for i in held.ids]
    assert class_frequencies(held.facts, cases) == pytest.approx((0.6, 0.2, 0.2, 0.0))
    assert class_frequencies(held.facts, cases[:1]) == pytest.approx((2 / 3, 1 / 3, 0.0, 0.0))
