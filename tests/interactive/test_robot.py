"""The robot user's rule, against a slow search over all pixels on masks that were made by hand and at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from seglab.interactive.robot import Trial, iou, next_click, try_object


def mask(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


def slow(truth: np.ndarray, found: np.ndarray, clicked: np.ndarray) -> tuple[int, int, int] | None:
    """The rule in plain loops: for each wrong pixel the distance to every place that is not."""
    best: tuple[int, int, int, int] | None = None
    height, width = truth.shape
    for label, wrong in ((0, ~truth & found), (1, truth & ~found)):
        rest = [
            (y, x)
            for y in range(-1, height + 1)
            for x in range(-1, width + 1)
            if not (0 <= y < height and 0 <= x < width and wrong[y, x])
        ]
        for y in range(height):
            for x in range(width):
                if wrong[y, x] and not clicked[y, x]:
                    depth = min((y - v) ** 2 + (x - u) ** 2 for v, u in rest)
                    if best is None or depth > best[0]:
                        best = (depth, x, y, label)
    return None if best is None else best[1:]


NOTHING = np.zeros((5, 7), bool)


@pytest.mark.parametrize(
    ("truth", "found", "clicked", "expected"),
    [
        # The first click: the middle of the object.
        (mask(".......", ".#####.", ".#####.", ".#####.", "......."), NOTHING, (), (2, 2, 1)),
        # An object at the edge: the edge is a border too, so not its corner.
        (mask("###....", "###....", "###....", ".......", "......."), NOTHING, (), (1, 1, 1)),
        # Of two as deep the first in reading order.
        (mask(".#...#.", ".......", ".......", ".#...#.", "......."), NOTHING, (), (1, 0, 1)),
        # Missed and wrongly taken as deep: the wrongly taken one.
        (mask("#......", ".......", ".......", ".......", "......."), mask(*["......."] * 4, "......#"), (), (6, 4, 0)),
        # The middle was clicked: the next deepest.
        (mask(".......", ".#####.", ".#####.", ".#####.", "......."), NOTHING, ((2, 2),), (3, 2, 1)),
        # A long thin region is no deeper than a small round one.
        (mask("#######", ".......", ".###...", ".###...", ".###..."), NOTHING, (), (2, 3, 1)),
        # Nothing wrong.
        (NOTHING, NOTHING, (), None),
        # All that is wrong was clicked.
        (mask("#......", ".......", ".......", ".......", "......."), NOTHING, ((0, 0),), None),
    ],
)
def test_clicks_by_hand(
    truth: np.ndarray, found: np.ndarray, clicked: tuple[tuple[int, int], ...], expected: tuple[int, int, int] | None
) -> None:
    there = np.zeros_like(truth)
    for x, y in clicked:
        there[y, x] = True
    assert next_click(truth, found, there) == expected == slow(truth, found, there)


def test_clicks_at_random() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        shape = tuple(rng.integers(1, 13, 2))
        truth, found, clicked = (rng.random(shape) < share for share in (0.6, 0.5, 0.1))
        assert next_click(truth, found, clicked) == slow(truth, found, clicked)


def test_nothing_is_wrong_where_nobody_knows() -> None:
    truth = mask("###....", "###....", "###....", ".......", "......#")
    ignored = mask("###....", "###....", "###....", ".......", ".......")
    assert next_click(truth, NOTHING, NOTHING, ignored) == (6, 4, 1)
    assert iou(truth, NOTHING, ignored) == 0
    assert iou(truth, truth & ~ignored, ignored) == 1


def answers(truth: np.ndarray, ious: list[int]) -> Callable[..., np.ndarray]:
    """A model whose nth mask has so many of the hundred pixels of the truth."""
    ys, xs = np.nonzero(truth)

    def answer(points: list, labels: list, box: object) -> np.ndarray:
        count = ious[len(points) - 1 + (box is not None)]
        found = np.zeros_like(truth)
        found[ys[:count], xs[:count]] = True
        return found

    return answer


def test_success_exactly_at_the_last_click_is_a_success() -> None:
    truth = np.zeros((14, 14), bool)
    truth[2:12, 2:12] = True
    trial = try_object(answers(truth, [50, 80, 79, 90]), truth, clicks=4)
    assert trial.ious == (0.5, 0.8, 0.79, 0.9)
    assert [trial.noc(target, 4) for target in (0.8, 0.85, 0.9, 0.95)] == [2, 4, 4, 4]
    assert [trial.failed(target) for target in (0.8, 0.85, 0.9, 0.95)] == [False, False, False, True]
    assert (trial.iou_at(1), trial.iou_at(20), trial.falls) == (0.5, 0.9, 0)
    assert len(trial.points) == len(trial.seconds) == 4


def test_it_stops_when_the_mask_is_right_and_counts_a_box_as_the_first() -> None:
    truth = np.zeros((14, 14), bool)
    truth[2:12, 2:12] = True
    trial = try_object(answers(truth, [60, 40, 96, 0]), truth, clicks=20, box_first=True)
    assert trial.ious == (0.6, 0.4, 0.96)
    assert (trial.noc(0.95, 20), trial.falls, len(trial.points)) == (3, 1, 2)
    assert trial.iou_at(10) == 0.96


def test_a_fall_of_exactly_a_hundredth_is_none() -> None:
    assert Trial((0.8, 0.79, 0.7799), (0.0,) * 3, (), ()).falls == 1
