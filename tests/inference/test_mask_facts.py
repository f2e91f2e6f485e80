"""What is noticed of a mask and of an image, against the plain formulas and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seglab.inference.decision import class_ids
from seglab.inference.image_statistics import image_statistics
from seglab.inference.mask_facts import MaskFacts, mask_statistics, parts_of
from seglab.inference.plausibility import broken_rules
from seglab.task import Task

BINARY = Task(2, 1, ("background", "cell"))
THREE = Task(2, 3, ("ground", "red", "green"))


def noticed(probabilities: np.ndarray, task: Task, blocks: int = 1) -> tuple[MaskFacts, np.ndarray]:
    facts = MaskFacts(task)
    masks = []
    for block in np.array_split(probabilities, blocks):
        channels = (block[..., k] for k in range(1 if task.binary else 0, task.classes))
        masks.append(class_ids(channels, task, 0.5, facts))
    return facts, np.concatenate(masks)


def test_soft_dice_by_hand() -> None:
    foreground = np.array([[0.9, 0.8], [0.6, 0.1]], np.float32)
    facts, ids = noticed(np.stack([1 - foreground, foreground], axis=-1), BINARY)
    assert ids.tolist() == [[1, 1], [1, 0]]
    # 2 · (0.9 + 0.8 + 0.6) / (2.4 + 3)
    assert facts.soft_dice == pytest.approx(4.6 / 5.4, rel=1e-6)
    assert facts.soft_dice_of(0) == pytest.approx(2 * 0.9 / (1.6 + 1), rel=1e-6)
    assert facts.confidence == pytest.approx((0.9 + 0.8 + 0.6 + 0.9) / 4, rel=1e-6)
    entropy = -sum(p * math.log(p) + (1 - p) * math.log(1 - p) for p in (0.9, 0.8, 0.6, 0.1)) / 4
    assert facts.entropy == pytest.approx(entropy, rel=1e-5)


def test_a_mask_without_foreground_has_no_soft_dice() -> None:
    facts, ids = noticed(np.stack([np.full((4, 4), 0.9), np.full((4, 4), 0.1)], axis=-1).astype(np.float32), BINARY)
    assert facts.soft_dice is None
    assert mask_statistics(facts, ids)["soft_dice"] is None
    assert mask_statistics(facts, ids)["parts"] == 0


def test_a_class_that_is_not_held_is_left_out() -> None:
    probabilities = np.zeros((2, 2, 3), np.float32)
    probabilities[..., 1] = 0.7
    probabilities[..., 2] = 0.3
    facts, _ = noticed(probabilities, THREE)
    assert facts.soft_dice_of(2) is None
    assert facts.soft_dice == pytest.approx(2 * 2.8 / (2.8 + 4), rel=1e-6)


@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(3, 9), st.integers(1, 9), st.just(3)), elements=st.floats(0, 8, width=32)
    ),
    st.integers(1, 3),
)
def test_blocks_give_what_the_whole_gives(logits: np.ndarray, blocks: int) -> None:
    scores = np.exp(logits)
    p = (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32)
    facts, ids = noticed(p, THREE, blocks)
    m = np.eye(3)[ids]
    expected = 2 * (p * m).sum((0, 1)) / (p.sum((0, 1)) + m.sum((0, 1)))
    for k in range(3):
        found = facts.soft_dice_of(k)
        assert found == (pytest.approx(expected[k], rel=1e-4) if (ids == k).any() else None)
    assert facts.entropy == pytest.approx(-(p * np.log(np.maximum(p, 1e-12))).sum(-1).mean(), rel=1e-3, abs=1e-5)
    assert facts.confidence == pytest.approx(p.max(-1).mean(), rel=1e-4)


def test_parts_are_counted_of_each_scored_class() -> None:
    ids = np.zeros((20, 20), np.uint8)
    ids[2:5, 2:5] = 1
    ids[5:8, 5:8] = 2
    ids[12:14, 2:4] = 1
    assert parts_of(ids, THREE) == 3
    volume = np.zeros((6, 6, 6), np.uint8)
    volume[1, 1, 1] = volume[2, 2, 2] = volume[5, 5, 5] = 1
    assert parts_of(volume, Task(3, 1, ("background", "organ"))) == 2
    large = np.zeros((1200, 1200), np.uint8)
    large[100:300, 100:300] = large[600:900, 200:700] = 1
    assert parts_of(large, BINARY) == 2


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_an_image_in_numbers(dtype: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(5, 250, (30, 50, 3)).astype(dtype)
    found = image_statistics(image)
    assert found["mean"] == pytest.approx(image.mean(), rel=1e-6)
    assert found["sd"] == pytest.approx(image.std(), rel=1e-6)
    assert found["mean_2"] == pytest.approx(image[..., 2].mean(), rel=1e-6)
    for share, name in ((5, "p05"), (50, "p50"), (95, "p95")):
        assert found[name] == pytest.approx(np.percentile(image, share), abs=1)
    ends = np.mean((image == image.min()) | (image == image.max()))
    assert found["clipped"] == pytest.approx(ends, rel=1e-6)
    assert found["pixels"] == 1500


@pytest.mark.parametrize("shape", [(64, 256, 256, 1), (640, 1024, 1)])
def test_rows_of_a_large_image_stand_for_all(shape: tuple[int, ...]) -> None:
    image = np.zeros(shape, np.uint8)
    image += (np.arange(len(image)) * 64 // len(image)).astype(np.uint8).reshape(-1, *[1] * (len(shape) - 1))
    found = image_statistics(image)
    assert found["mean"] == pytest.approx(31.5, abs=0.6)
    assert found["sd"] == pytest.approx(image.std(), rel=0.02)
    assert found["p50"] == pytest.approx(31, abs=1)


def test_a_flat_image_and_a_blurred_one() -> None:
    flat = image_statistics(np.full((8, 8, 1), 7, np.uint8))
    assert (flat["mean"], flat["sd"], flat["sharpness"], flat["clipped"]) == (7, 0, 0, 1)
    grid = (np.indices((32, 32)).sum(0) % 2 * 200).astype(np.uint8)[..., None]
    soft = ((grid.astype(int) + np.roll(grid, 1, 0)) // 2).astype(np.uint8)
    assert image_statistics(grid)["sharpness"] > 10 * image_statistics(soft)["sharpness"] + 1


def test_rules_of_masks() -> None:
    reference = {"class_share": [[0.5, 0.6, 0.9], [0.1, 0.2, 0.3], [0.02, 0.1, 0.2]]}
    assert broken_rules([0.7, 0.2, 0.1], THREE, reference) == []
    assert broken_rules([1.0, 0.0, 0.0], THREE, reference) == ["empty", "area"]
    assert broken_rules([0.0, 1.0, 0.0], THREE, reference) == ["full", "area"]
    assert broken_rules([0.4, 0.5, 0.1], THREE, reference) == ["area"]
    assert broken_rules([0.7, 0.2, 0.01], THREE, reference) == ["area"]
    assert broken_rules([0.4, 0.5, 0.1], THREE, {}) == []
