"""Steps after a mask was decided, each against a mask drawn by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nested_regions import TASK as NESTED

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.bundle import Bundle, read_bundle, save_bundle
from seglab.inference.postprocessing import Step, can_be, postprocessed
from seglab.inference.predictor import Predictor
from seglab.task import Task

TASK = Task(rank=2, channels=1, class_names=("background", "left", "right"))
MASK = np.array(
    [
        [1, 1, 1, 0, 0, 2],
        [1, 0, 1, 0, 0, 0],
        [1, 1, 1, 0, 2, 2],
        [0, 0, 0, 0, 2, 2],
        [1, 0, 0, 0, 0, 0],
    ],
    np.uint8,
)


def drawn(*rows: str) -> np.ndarray:
    return np.array([[int(digit) for digit in row] for row in rows], np.uint8)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], MASK),
        ([Step("largest", (1,))], drawn("111002", "101000", "111022", "000022", "000000")),
        ([Step("largest", (2,))], drawn("111000", "101000", "111022", "000022", "100000")),
        ([Step("largest", (1, 2))], drawn("111000", "101000", "111000", "000000", "000000")),
        ([Step("least", (1, 2), 2)], drawn("111000", "101000", "111022", "000022", "000000")),
        ([Step("least", (2,), 5)], drawn("111000", "101000", "111000", "000000", "100000")),
        ([Step("holes", (1,))], drawn("111002", "111000", "111022", "000022", "100000")),
        ([Step("holes", (1,)), Step("largest", (1,))], drawn("111002", "111000", "111022", "000022", "000000")),
    ],
)
def test_each_step(steps: list[Step], expected: np.ndarray) -> None:
    before = MASK.copy()
    found = postprocessed(MASK, steps)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(MASK, before)
    assert found.dtype == np.uint8


def test_a_hole_with_another_class_in_it_keeps_that_class() -> None:
    ring = drawn("11111", "10001", "10201", "10001", "11111")
    np.testing.assert_array_equal(
        postprocessed(ring, [Step("holes", (1,))]), drawn("11111", "11111", "11211", "11111", "11111")
    )


def test_corners_hold_parts_of_volumes_together_and_nothing_is_made_of_nothing() -> None:
    volume = np.zeros((4, 4, 4), np.uint8)
    volume[0, 0, 0] = volume[1, 1, 1] = 1
    volume[3, 3, 3] = 1
    found = postprocessed(volume, [Step("largest", (1,))])
    assert found[0, 0, 0] == found[1, 1, 1] == 1
    assert found[3, 3, 3] == 0
    empty = np.zeros_like(volume)
    for step in (Step("largest", (1,)), Step("least", (1,), 9), Step("holes", (1,)), Step("largest", (1, 2))):
        np.testing.assert_array_equal(postprocessed(empty, [step]), empty)


def test_of_two_parts_as_large_one_stays() -> None:
    assert postprocessed(drawn("11011"), [Step("largest", (1,))]).tolist() == [[1, 1, 0, 0, 0]]


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "opened", "classes": [1], "least": 0},
        {"kind": "largest", "classes": [], "least": 0},
        {"kind": "largest", "classes": [0], "least": 0},
        {"kind": "largest", "classes": [3], "least": 0},
        {"kind": "largest", "classes": [1, 1], "least": 0},
        {"kind": "least", "classes": [1], "least": -1},
        {"kind": "holes", "classes": [1, 2], "least": 0},
    ],
)
def test_what_is_no_step_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="postprocessing"):
        Step.from_dict(values, TASK)


def test_words_and_tasks() -> None:
    reported = [step.sentence(TASK) for step in (Step("largest", (1, 2)), Step("least", (2,), 7), Step("holes", (1,)))]
    assert reported[0] == "of left and right the largest part alone"
    assert reported[1] == "parts of right with fewer than 7 pixels are taken away"
    assert reported[2] == "holes in left are filled"
    assert can_be(TASK)
    assert not can_be(replace(TASK, unscored=()))


def test_a_bundle_postprocesses_unless_that_is_switched_off(tmp_path: Path) -> None:
    from keras import Input, Model, initializers, layers

    image = Input((8, 8, 1))
    logit = layers.Conv2D(1, 1, kernel_initializer="ones", bias_initializer=initializers.Constant(-0.5))(image)
    task = Task(rank=2, channels=1, class_names=("background", "cell"))
    steps = (Step("largest", (1,)), Step("holes", (1,)))
    bundle = Bundle(task, Preprocessing("scale", 1, 255.0, scale="bytes"), (8, 8), "patch", postprocessing=steps)
    path = save_bundle(tmp_path / "b", Model(image, logit), bundle)
    assert read_bundle(path).postprocessing == steps
    ring = np.kron(drawn("1110", "1010", "1110", "0001"), np.ones((3, 3), np.uint8))
    ring[-1, 0] = 1
    picture = (ring * 255)[..., None]
    plain = Predictor.load(path, postprocessing=False)
    np.testing.assert_array_equal(plain.predict(picture), ring)
    finished = Predictor.load(path)
    filled = postprocessed(ring, steps)
    assert filled.sum() > ring.sum()
    assert filled[-1, 0] == 0
    np.testing.assert_array_equal(finished.predict(picture), filled)
    np.testing.assert_array_equal(finished.mask_of(finished.predict_probabilities(picture)), filled)
    np.testing.assert_array_equal(finished.predict_drawn(picture, None, np.arange(4))[0], filled)
    np.testing.assert_array_equal(plain.predict_probabilities(picture), finished.predict_probabilities(picture))


def test_what_is_taken_of_a_region_becomes_what_lies_around_it() -> None:
    """A core within the tumour twice, the second small; a hole in the first; a speck of tumour apart."""
    mask = drawn("1111111101", "1222111100", "1212133100", "1222111100", "1111111100")
    core, whole = (2, 3), (1, 2, 3)
    largest = postprocessed(mask, [Step.of("largest", core, NESTED)])
    np.testing.assert_array_equal(largest, drawn("1111111101", "1222111100", "1212111100", "1222111100", "1111111100"))
    filled = postprocessed(mask, [Step.of("holes", core, NESTED)])
    np.testing.assert_array_equal(filled, drawn("1111111101", "1222111100", "1222133100", "1222111100", "1111111100"))
    alone = postprocessed(mask, [Step.of("largest", whole, NESTED), Step.of("least", core, NESTED, 3)])
    np.testing.assert_array_equal(alone, drawn("1111111100", "1222111100", "1212111100", "1222111100", "1111111100"))
    step = Step.of("holes", core, NESTED)
    assert step.sentence(NESTED) == "holes in core are filled"
    assert Step.from_dict(step.to_dict(), NESTED) == step
    with pytest.raises(ValueError, match="no region"):
        Step.of("largest", (1, 2), NESTED)
