"""What the MLflow model takes: images of every kind that means the same, and a sentence for what it does not take."""

from __future__ import annotations

import json

import keras
import numpy as np
import pandas as pd
import pytest

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.inference.bundle import Bundle
from seglab.inference.model_usage import readme, usage
from seglab.inference.predictor import Predictor
from seglab.inference.pyfunc import SegmentationModel
from seglab.task import Task


def brighter_than_half(rank: int, channels: int, scale: str = "bytes", unit: float = 255.0) -> SegmentationModel:
    """The object is where the mean of the channels is above half of the unit: 20 · 0.5 − 10 = 0."""
    task = Task(rank=rank, channels=channels, class_names=("background", "object"))
    convolution = {2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[rank](1, 1)
    image = keras.Input((*(8,) * rank, channels))
    model = keras.Model(image, convolution(image))
    convolution.set_weights([np.full(convolution.kernel.shape, 20.0 / channels), np.array([-10.0])])
    bundle = Bundle(task, Preprocessing("scale", channels, unit, scale=scale), (8,) * rank, "patch")
    return SegmentationModel(Predictor.of(model, bundle))


GREY, RGB = brighter_than_half(2, 1), brighter_than_half(2, 3)
WORDS = brighter_than_half(2, 1, "words", 65535.0)
VOLUME = brighter_than_half(3, 1, "reals", 1.0)
FLAT = np.random.default_rng(0).integers(0, 256, (11, 9), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (2, 11, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64", "float16", "float32", "float64"])
def test_the_same_numbers_in_any_type_give_the_mask_of_the_file(dtype: str) -> None:
    expected = RGB.predictor.predict(COLOUR[0])
    assert 20 < expected.sum() < 80
    np.testing.assert_array_equal(RGB.predict(COLOUR.astype(dtype))[0], expected)
    np.testing.assert_array_equal(RGB.predict(COLOUR[0].astype(dtype)), expected)


@pytest.mark.parametrize(
    "found",
    [FLAT, FLAT[..., None], FLAT.tolist(), FLAT[..., None].astype(float).tolist(), np.asfortranarray(FLAT), FLAT > 127],
    ids=["plane", "channel", "list", "list of floats", "fortran", "black and white"],
)
def test_one_grey_image(found: object) -> None:
    mask = GREY.predict(found)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, FLAT > 127)


def test_batches_however_they_come() -> None:
    expected = np.stack([RGB.predictor.predict(image) for image in COLOUR])
    cells = np.empty(2, object)
    cells[:] = list(COLOUR)
    for found in (COLOUR, COLOUR.tolist(), list(COLOUR), pd.DataFrame({"image": list(COLOUR)}), {"x": COLOUR}, cells):
        np.testing.assert_array_equal(RGB.predict(found), expected)
    assert RGB.predict(COLOUR[:1]).shape == (1, 11, 9)


def test_images_of_different_sizes_in_one_list() -> None:
    other = COLOUR[1, :5]
    for found in ([COLOUR[0], other], [COLOUR[0].tolist(), other.tolist()], pd.DataFrame({"i": [COLOUR[0], other]})):
        masks = RGB.predict(found)
        assert [mask.shape for mask in masks] == [(11, 9), (5, 9)]
        np.testing.assert_array_equal(masks[1], RGB.predictor.predict(other))


def test_whole_numbers_of_16_bits() -> None:
    image = np.random.default_rng(0).integers(0, 65536, (10, 9)).astype(np.uint16)
    for found in (image, image.tolist(), image.astype(np.float32)):
        np.testing.assert_array_equal(WORDS.predict(found), image > 32767)
    # Dark ones are dark in any type of more than 8 bits.
    assert WORDS.predict((image // 300).tolist()).sum() == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_volumes(dtype: str) -> None:
    volume = np.random.default_rng(0).integers(0, 2, (9, 7, 5)).astype(dtype)
    for found in (volume, volume[..., None], volume.tolist()):
        np.testing.assert_array_equal(VOLUME.predict(found), volume > 0.5)
    np.testing.assert_array_equal(VOLUME.predict(volume[None, ..., None]), volume[None] > 0.5)


NAN = np.where(np.arange(99).reshape(11, 9) == 5, np.nan, 7.0)
REFUSED = {
    "channels": (RGB, FLAT[..., None], r"without the model's 3 channels.*shape \(11, 9, 1\).*red, green, blue"),
    "channels first": (RGB, np.moveaxis(COLOUR[0], -1, 0), r"moveaxis\(image, 0, -1\)"),
    "colour for grey": (GREY, COLOUR[0], r"without the model's one channel.*3 channels in the last axis"),
    "no images": (RGB, COLOUR[:0], r"no image in a batch.*shape \(0, 11, 9, 3\), 0 images"),
    "an empty list": (RGB, [], r"not of the model's rank.*shape \(0,\)"),
    "an empty table": (RGB, pd.DataFrame({"image": []}), r"rank.*shape \(0,\)"),
    "no pixels": (RGB, COLOUR[0, :0], r"not of the model's rank.*shape \(0, 9, 3\)"),
    "NaN": (GREY, NAN, r"NaN or infinite.*1 of 99 values"),
    "a NaN in the batch": (GREY, np.stack([FLAT, NAN])[..., None], r"image 2 of 2.*1 of 99 values"),
    "a number": (RGB, 3.0, r"not of the model's rank.*shape \(\)"),
    "too many axes": (RGB, COLOUR[None], r"not of the model's rank.*shape \(2, 11, 9, 3\)"),
    "a plane for colours": (RGB, FLAT, r"rank.*shape \(11, 9\)"),
    "shares": (RGB, COLOUR / 255, r"another scale.*values from 0 to 1.*from 0 to 255.*255 times"),
    "words": (RGB, COLOUR * np.uint16(257), r"another scale.*uint16 values from 0 to 65535"),
    "a path": (RGB, "image.png", r"no image.*a str.*read the file first"),
    "nothing": (RGB, None, r"no image.*nothing"),
    "letters": (GREY, np.full((4, 4), "x"), r"not of numbers.*dtype <U1"),
    "a table": (RGB, pd.DataFrame({"a": [1], "b": [2]}), r"one column of images.*2 columns: a, b"),
    "objects": (GREY, np.full((4, 4), object()), r"not of numbers"),
}


@pytest.mark.parametrize(("model", "found", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_it_does_not_take_is_reported_in_a_sentence(
    model: SegmentationModel, found: object, expected: str
) -> None:
    with pytest.raises(DataError, match=f"(?s){expected}") as caught:
        model.predict(found)
    message = str(caught.value)
    assert "channels last" in message
    assert "remedy:" in message
    assert len(message) < 800
    assert "[[" not in message


def test_the_usage_says_it_in_json_and_on_a_page() -> None:
    task = Task(2, 3, ("sky", "a|b<script>"), class_colors=((1, 2, 3), (255, 0, 16)), label_values=(0, 7))
    page = readme(Bundle(task, Preprocessing("scale", 3, 255.0, scale="bytes"), (64, 32), "resize"))
    for part in ("red, green, blue", "numbers from 0 to 255", "resized to 64 × 32", "| #ff0010 (255, 0, 16) | 7 |"):
        assert part in page
    assert r"a\|b&lt;script>" in page
    volumes = Bundle(Task(3, 2, ("a", "b")), Preprocessing("zscore", 2), (8, 8, 8), "patch", spacing=(1.0, 1.0, 2.5))
    fields = json.loads(json.dumps(usage(volumes)))
    assert "(X, Y, Z, 2)" in fields["input"]
    assert "on any scale" in fields["input"]
    assert '{"spacing": [1, 1, 2.5]}' in fields["spacing"]
    assert fields["classes"] == "0 a, 1 b"
    assert 'params={"spacing"' in readme(volumes)
