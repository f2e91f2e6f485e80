"""The simplest that is not shown to be worse, and of steps after the mask those alone that are shown to gain."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from seglab.ensembling.changes import PartSizes, try_steps
from seglab.ensembling.model_selection import candidates_of, choose, gain
from seglab.inference.postprocessing import Step
from seglab.task import Region, Task

FOLDS, EACH = 4, 10
TESTED = np.kron(np.eye(FOLDS, dtype=bool), np.ones(EACH, bool))
CASES = [f"case{number}" for number in range(FOLDS * EACH)]
TASK = Task(rank=2, channels=1, class_names=("background", "organ", "pair"))


def scored(mean: float, noise: float, seed: int) -> np.ndarray:
    """Dice of each fold's own cases, hard and easy ones alike for all."""
    hardness = np.random.default_rng(0).normal(0, 0.05, len(CASES))
    drawn = mean + hardness + np.random.default_rng(seed).normal(0, noise, len(CASES))
    return np.where(TESTED, drawn, np.nan)


def test_candidates_are_singles_and_sets_of_the_best_four_the_simplest_first() -> None:
    found = candidates_of(["big", "small"], [100, 50], [0.8, 0.7])
    assert [(one.label, one.parameters) for one in found] == [("small", 50), ("big", 100), ("big + small", 150)]
    five = candidates_of(list("abcde"), [1] * 5, [0.9, 0.1, 0.8, 0.7, 0.6])
    assert len(five) == 5 + 6 + 4 + 1
    assert not any("b" in one.label for one in five if len(one.configurations) > 1)


@pytest.mark.parametrize(("better", "label"), [(0.0, "small"), (0.002, "small"), (0.05, "big + small")])
def test_the_simplest_that_is_not_shown_to_be_worse(better: float, label: str) -> None:
    candidates = candidates_of(["big", "small"], [100, 50], [0.8, 0.8])
    dice = np.stack([scored(0.8, 0.01, 1), scored(0.8, 0.01, 2), scored(0.8 + better, 0.01, 3)])
    found = choose(candidates, dice, TESTED, CASES)
    assert found.candidates[found.chosen].label == label
    assert len(found.ranking) == 3


def test_a_gain_is_the_mean_of_paired_differences_and_noise_is_none() -> None:
    before = scored(0.8, 0.01, 1)
    found = gain("dice", before + 0.02, before, TESTED, CASES)
    assert found.difference == pytest.approx(0.02)
    assert found.low > 0
    noise = gain("dice", scored(0.8, 0.01, 5), before, TESTED, CASES)
    assert noise.low < 0 < noise.high
    one = before.copy()
    one[0, 0] += 0.3  # one case of forty is no proof
    assert gain("dice", one, before, TESTED, CASES).low < 0


def drawn(
    specks: list[int], hole: bool = False, split: bool = False
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Truth: an organ of 8 × 8, and a pair of two parts of 4 × 4. Predicted beside it: a speck of so many pixels of
    organ, a hole in the organ; half of the pair is missed where it is split."""
    for case, speck in enumerate(specks):
        truth = np.zeros((24, 24), np.uint8)
        truth[2:10, 2:10], truth[14:18, 2:6], truth[14:18, 12:16] = 1, 2, 2
        mask = truth.copy()
        mask[20, 1 : 1 + speck] = 1
        if hole:
            mask[4:6, 4 : 6 + case % 3] = 0
        yield case // EACH, case, truth, mask


def steps_of(specks: list[int], **drawing: bool) -> tuple[Step, ...]:
    return try_steps(lambda: drawn(specks, **drawing), TASK, range(FOLDS), TESTED, CASES).steps


def test_a_step_with_a_gain_is_taken_and_one_without_is_not() -> None:
    varied = [2 + number % 3 for number in range(len(CASES))]
    found = try_steps(lambda: drawn(varied, hole=True), TASK, range(FOLDS), TESTED, CASES)
    assert found.steps == (Step("largest", (1,)), Step("holes", (1,)))
    of = {one.label: one for one in found.changes}
    assert of["of pair the largest part alone"].gain.high < 0, "half of a pair would be lost"
    assert of["of organ and pair the largest part alone"].gain.high < 0
    assert not of["holes in pair are filled"].taken
    together = found.changes[-1]
    assert (together.label, together.taken) == ("all of these together", True)
    four = try_steps(lambda: drawn([4] * len(CASES)), TASK, range(FOLDS), TESTED, CASES)
    whole = next(one for one in four.changes if one.label == "of organ the largest part alone")
    assert whole.gain.difference == pytest.approx(1 - 2 * 64 / (64 + 68)), "64 true, 68 predicted, 64 in common"


def test_nothing_is_taken_where_nothing_is_shown() -> None:
    assert steps_of([0] * len(CASES)) == ()
    rare = [0] * len(CASES)
    rare[3] = 20  # a gain on average, by one case alone
    assert steps_of(rare) == ()


def test_a_least_size_comes_from_the_true_parts_of_other_folds() -> None:
    cells = Task(rank=2, channels=1, class_names=("background", "cell"))

    def masks() -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        for case in range(len(CASES)):
            truth = np.zeros((24, 24), np.uint8)
            truth[1:6, 1:6] = truth[12:17, 12:17] = 1
            mask = truth.copy()
            mask[21, 1 : 3 + case % 3] = 1
            yield case // EACH, case, truth, mask

    found = try_steps(masks, cells, range(FOLDS), TESTED, CASES)
    assert found.steps == found.by_fold[0] == (Step("least", (1,), 25),)
    sizes = PartSizes({((1,), 0): [16] * 10, ((1,), 1): [25] * 20 + [36] * 10}, [(1,)])
    assert [sizes.least(without)[1,] for without in (None, 0, 1)] == [16, 25, 16]


def test_steps_of_regions_are_tried_on_the_score_of_their_region() -> None:
    def masks() -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        for case in range(len(CASES)):
            truth = np.zeros((24, 24), np.uint8)
            truth[2:20, 2:20], truth[4:10, 4:10] = 1, 2
            mask = truth.copy()
            mask[16, 5 : 7 + case % 3] = 2  # a speck of core within the edema
            yield case // EACH, case, truth, mask

    regions = (Region("whole", (1, 2), 1), Region("core", (2,), 2))
    task = Task(rank=2, channels=1, class_names=("background", "edema", "core"), regions=regions)
    found = try_steps(masks, task, range(FOLDS), TESTED, CASES)
    assert found.steps == (Step("least", (2,), 36, under=1, fill=2),) or found.steps == (
        Step("largest", (2,), under=1, fill=2),
    )
    of = {one.label: one for one in found.changes}
    assert of["of core the largest part alone"].score == "dice/core"
    assert of["of core the largest part alone"].gain.low > 0
    assert of["of whole the largest part alone"].gain.difference == 0
    assert found.changes[-1].taken
