"""Agreement over flips, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.inference.flip_agreement import flip_agreement
from seglab.task import Task

CELLS = Task(2, 1, ("background", "cell"))


def bright(image: np.ndarray) -> np.ndarray:
    return (image[..., 0] > 0).astype(np.uint8)


def test_a_network_that_knows_no_side_agrees_with_itself() -> None:
    image = np.random.default_rng(0).normal(size=(9, 14, 1))
    assert flip_agreement(image, bright(image), CELLS, bright) == 1.0


def test_a_network_that_sees_one_side_alone() -> None:
    """It sees the left half: as it lies, and upside down, it finds 2 of 4 pixels there, and mirrored the other
    2. Of six pairs two agree wholly and four not at all: 2 / 6."""

    def left(image: np.ndarray) -> np.ndarray:
        mask = bright(image)
        mask[:, 2:] = 0
        return mask

    image = np.zeros((2, 4, 1))
    image[:, [0, 3]] = 1
    assert flip_agreement(image, left(image), CELLS, left) == pytest.approx(2 / 6)


def test_nothing_found_is_no_agreement() -> None:
    image = np.zeros((4, 4, 1))
    assert flip_agreement(image, bright(image), CELLS, bright) is None


def test_something_against_nothing_is_none_at_all() -> None:
    """Found as it lies and never in a mirror: three pairs of 0, and three of which neither holds anything."""
    image = np.arange(16.0).reshape(4, 4, 1)
    assert flip_agreement(image, bright(image), CELLS, lambda given: np.zeros((4, 4), np.uint8)) == 0.0


def test_a_volume_is_mirrored_along_each_axis() -> None:
    seen = []

    def first(volume: np.ndarray) -> np.ndarray:
        seen.append(volume[..., 0])
        return bright(volume)

    volume = np.random.default_rng(0).normal(size=(3, 4, 5, 1))
    assert flip_agreement(volume, bright(volume), Task(3, 1, ("background", "organ")), first) == 1.0
    assert [np.array_equal(np.flip(one, axis), volume[..., 0]) for axis, one in enumerate(seen)] == [True] * 3
