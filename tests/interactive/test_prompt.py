"""A prompt is checked once: what cannot be meant is refused with its code, what is clear is corrected and noted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seglab.errors import ConfigError, DataError
from seglab.interactive.prompt import MAX_POINTS, Prompt, box_of, inside
from seglab.interactive.prompt_models import MODELS, load_model

SHAPE = (20, 30)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "prompt-without-object"),
        ({"points": [[3, 4]], "labels": [0]}, "prompt-without-object"),
        ({"points": [[30, 4]], "labels": [1]}, "prompt-point-outside"),
        ({"points": [[29.5, 4]], "labels": [1]}, "prompt-point-outside"),
        ({"points": [[3, -0.6]], "labels": [1]}, "prompt-point-outside"),
        ({"points": [[float("nan"), 4]], "labels": [1]}, "prompt-not-finite"),
        ({"points": [[3, 4]], "labels": [2]}, "prompt-form"),
        ({"points": [[3, 4]], "labels": []}, "prompt-form"),
        ({"points": [[3, 4, 5]], "labels": [1]}, "prompt-form"),
        ({"points": "here", "labels": [1]}, "prompt-form"),
        ({"points": [[3, 4]] * (MAX_POINTS + 1), "labels": [1] * (MAX_POINTS + 1)}, "prompt-too-many-points"),
        ({"points": [[3, 4]] * 10_000, "labels": [1] * 10_000}, "prompt-too-many-points"),
        ({"box": [5, 5, 5, 9]}, "prompt-box-size"),
        ({"box": [5, 5, 9]}, "prompt-form"),
        ({"box": [5, 5, 9, float("inf")]}, "prompt-not-finite"),
        ({"box": [29.5, 5, 40, 9]}, "prompt-box-outside"),
        ({"mask": np.zeros((30, 20), np.float32)}, "prompt-form"),
        ({"mask": np.zeros(SHAPE, np.uint8)}, "prompt-form"),
        ({"mask": np.full(SHAPE, np.nan, np.float32)}, "prompt-not-finite"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], code: str) -> None:
    with pytest.raises(DataError) as caught:
        Prompt.of(SHAPE, **given)
    assert caught.value.code == code


def test_corners_are_put_right_and_a_box_is_cut_to_the_image() -> None:
    prompt = Prompt.of(SHAPE, box=[40, 9, -3, 2])
    assert prompt.box is not None
    assert prompt.box.tolist() == [-0.5, 2, 29.5, 9]
    assert prompt.notes == ("the corners of the box were exchanged", "the box was cut to the image")


def test_of_two_points_in_one_pixel_the_later_one_stands() -> None:
    prompt = Prompt.of(SHAPE, [[3, 4], [8, 8], [3.2, 3.8], [8.4, 8.4]], [1, 1, 0, 1])
    assert prompt.points.tolist() == [[3.2, 3.8], [8.4, 8.4]]
    assert prompt.labels.tolist() == [0, 1]
    assert prompt.notes == ("two points with different labels in pixel (3, 4): the later one stands",)


def test_points_reach_the_pixels_of_the_array() -> None:
    marks = np.zeros(SHAPE, int)
    prompt = Prompt.of(SHAPE, [[29.4, -0.5], [0, 19.4], [3.5, 7.49]], [1, 0, 1])
    marks[prompt.pixels] = 1
    assert np.argwhere(marks).tolist() == [[0, 29], [7, 4], [19, 0]]


def test_a_box_holds_the_pixels_whose_centre_lies_in_it() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for box in ([2, 3, 7, 5], [2.1, 3.1, 7, 5.9], [-0.5, -0.5, 29.5, 19.5], [28.6, 0.4, 29.4, 3]):
        there = np.zeros(SHAPE, bool)
        there[inside(np.asarray(box, float), SHAPE)] = True
        assert (there == ((x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3]))).all(), box


def test_a_box_between_two_centres_holds_the_nearest_pixel() -> None:
    assert inside(np.array([3.1, 4.1, 3.3, 4.9]), SHAPE) == (slice(4, 5), slice(3, 4))


def test_the_tight_box_goes_round_a_mask_and_back() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[3:9, 0:7] = True
    box = box_of(mask)
    assert box is not None
    assert box.tolist() == [-0.5, 2.5, 6.5, 8.5]
    assert Prompt.of(SHAPE, box=box).notes == ()
    again = np.zeros(SHAPE, bool)
    again[inside(box, SHAPE)] = True
    assert (again == mask).all()
    assert box_of(np.zeros(SHAPE, bool)) is None


def test_one_pixel_is_an_image() -> None:
    prompt = Prompt.of((1, 1), [[0, 0]], [1], box=[-0.5, -0.5, 0.5, 0.5])
    assert inside(prompt.box, (1, 1)) == (slice(0, 1), slice(0, 1))  # type: ignore[arg-type]


def test_a_volume_keeps_the_order_of_its_axes() -> None:
    shape = (4, 5, 6)
    prompt = Prompt.of(shape, [[1, 2, 5]], [1], box=[0, 1, 2, 3, 4, 5])
    marks = np.zeros(shape, int)
    marks[prompt.pixels] = 1
    assert np.argwhere(marks).tolist() == [[1, 2, 5]]
    assert prompt.extent == shape
    assert inside(prompt.box, shape) == (slice(0, 4), slice(1, 5), slice(2, 6))  # type: ignore[arg-type]


def test_a_mask_of_true_and_false_becomes_certain_logits() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[2, 3] = True
    prompt = Prompt.of(SHAPE, mask=mask)
    assert prompt.mask is not None
    assert (prompt.mask.dtype, prompt.mask[2, 3], prompt.mask[0, 0]) == (np.float32, 10.0, -10.0)


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'grabcut'") as caught:
        load_model("grab_cut")
    assert caught.value.code == "unknown-prompt-model"
    assert all(row.rank in (2, 3) and ":" in row.target for row in MODELS.values())
