"""From class ids to the numbers of a mask and the confidence of each class, against plain indexing and means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seglab.inference.decision import class_ids
from seglab.inference.mask_facts import MaskFacts
from seglab.serving.exported_model import LoadedModel
from seglab.serving.served import ServedModel
from seglab.task import Task

RNG = np.random.default_rng(6)


def loaded(values: tuple[int, ...]) -> LoadedModel:
    task = Task(2, 1, tuple(f"class {number}" for number in range(len(values))), label_values=values)
    nothing: Any = None
    served = ServedModel("a", "0" * 64, "", "", task, (8, 8), "patch", "openvino", "float32", 1)
    return LoadedModel(served, nothing, nothing)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [((0, 1), np.uint8), ((7, 8, 255), np.uint8), ((0, 256), np.uint16), (tuple(range(300)), np.uint16)],
)
@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 200)])
def test_each_id_has_its_value(values: tuple[int, ...], dtype: type, shape: tuple[int, ...]) -> None:
    ids = RNG.integers(0, len(values), shape).astype(np.min_scalar_type(len(values) - 1))
    stored = loaded(values).stored(ids)
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, np.array(values, dtype)[ids])


def test_the_confidence_is_the_mean_over_the_pixels_of_each_class() -> None:
    """Class 0 by hand in the first block: (0.5 + 0.75) / 2; class 2 only in the second; class 3 nowhere."""
    found = MaskFacts(Task(2, 1, ("a", "b", "c", "d")))
    found.mask(np.array([[0, 1], [0, 1]], np.uint8), np.array([[0.5, 0.25], [0.75, 0.5]], np.float32))
    assert [found.confidence_of(number) for number in range(4)] == [0.625, 0.375, None, None]
    found.mask(np.array([[2, 1]], np.uint8), np.array([[1, 0.75]], np.float32))
    assert [found.confidence_of(number) for number in range(4)] == [0.625, 0.5, 1.0, None]
    assert found.confidence == 3.75 / 6
    assert found.pixels.tolist() == [2, 3, 1, 0]


def test_a_rare_first_class_keeps_its_confidence_in_a_large_image() -> None:
    """It is what is left of the sum over all pixels."""
    ids, best = np.ones((1500, 2000), np.uint8), RNG.uniform(0.9, 1, (1500, 2000)).astype(np.float32)
    ids[3, 4], best[3, 4] = 0, 0.6
    found = MaskFacts(Task(2, 1, ("a", "b")))
    found.mask(ids, best)
    assert found.confidence_of(0) == pytest.approx(0.6, abs=1e-6)
    ids[3, 4] = 1
    found = MaskFacts(Task(2, 1, ("a", "b")))
    found.mask(ids, best)
    assert found.confidence_of(0) is None
    assert found.confidence_of(1) == pytest.approx(best.mean(dtype=np.float64), abs=1e-9)


@pytest.mark.parametrize("threshold", [0.5, 0.2])
@pytest.mark.parametrize("shape", [(3, 4, 5), (700, 900), (2, 600, 600)])
def test_a_binary_task_is_as_sure_as_of_what_it_chose(threshold: float, shape: tuple[int, ...]) -> None:
    foreground = RNG.random(shape).astype(np.float32)
    foreground[0, 0, ...] = 0
    foreground[0, 1, ...] = 1
    facts = MaskFacts(Task(len(shape), 1, ("a", "b")))
    ids = class_ids(iter([foreground]), facts.task, threshold, facts)
    inside = foreground > threshold
    np.testing.assert_array_equal(ids, inside)
    p = foreground.astype(np.float64)
    assert facts.pixels.tolist() == [(~inside).sum(), inside.sum()]
    assert facts.probable == pytest.approx([(1 - p).sum(), p.sum()], rel=1e-6)
    assert facts.chosen == pytest.approx([(1 - p)[~inside].sum(), p[inside].sum()], rel=1e-6)
    assert facts.confidence == pytest.approx(np.where(inside, p, 1 - p).mean(), rel=1e-7)


def test_the_rare_class_of_a_large_binary_mask_keeps_its_confidence() -> None:
    """What is left of the sums, whichever of the two is rare; and none where there is none."""
    foreground = RNG.uniform(0.9, 1, (1500, 2000)).astype(np.float32)
    for rare, chance in ((0, 0.4), (1, 0.6)):
        shown = foreground.copy() if rare == 0 else 1 - foreground
        facts = MaskFacts(Task(2, 1, ("a", "b")))
        class_ids(iter([shown]), facts.task, 0.5, facts)
        assert facts.confidence_of(rare) is None
        shown[3, 4] = chance
        facts = MaskFacts(Task(2, 1, ("a", "b")))
        class_ids(iter([shown]), facts.task, 0.5, facts)
        assert facts.confidence_of(rare) == pytest.approx(0.6, abs=1e-6)
        assert facts.pixels[rare] == 1
