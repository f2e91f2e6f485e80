"""What may be done beyond the networks' plain masks, each tried on cases that they never saw: steps after the mask.

A step is taken where it is shown to gain, with the interval of its paired difference above 0, corrected for as many
steps as were tried; and all that were taken only where they gain together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seglab.ensembling.model_selection import gain
from seglab.evaluation.case_scores import score_case
from seglab.inference.postprocessing import Step, can_be, part_sizes, postprocessed
from seglab.metric_names import of_class
from seglab.metrics.confusion import confusion_matrix, union_of
from seglab.statistics import Difference
from seglab.task import Task

LEAST_SHARE = 0.05
"""Of the true parts of a class, as many are smaller than the least size that is tried."""

Masks = Callable[[], Iterator[tuple[int, int, np.ndarray, np.ndarray]]]
"""Gives of each tested case the number of its place and its own, truth and mask, as often as it is called."""


@dataclass(frozen=True)
class Change:
    """One change that was tried.

    Attributes:
        label: in words.
        score: that it was tried on, such as `dice/tumour`.
        gain: of that score, paired.
        taken: whether it is done.
        step: of a step after the mask.
        cost: how many times the seconds of a case without it.
    """

    label: str
    score: str
    gain: Difference
    taken: bool
    step: Step | None = None
    cost: float = 1.0


@dataclass(frozen=True)
class Tried:
    """What came of all steps.

    Attributes:
        changes: each that was tried, in order, and last all that were taken together, where any were.
        steps: that are done.
        by_fold: the same for the cases of each fold, with sizes that the other folds gave.
    """

    changes: Sequence[Change]
    steps: tuple[Step, ...]
    by_fold: Mapping[int, tuple[Step, ...]]


def try_steps(masks: Masks, task: Task, folds: Sequence[int], tested: np.ndarray, groups: Sequence[object]) -> Tried:
    """Largest part, least size and filled holes of every scored class, and the largest part of all of them; of a task
    with regions of every region.

    The least size comes from true parts: of the other folds where it is tried, of all cases where it is taken.

    Args:
        masks: of the cases.
        task: whose background is unscored; of another nothing is tried.
        folds: of each place.
        tested: `(places, cases)`.
        groups: of each case.
    """
    score_of = {task.unions[k]: of_class("dice", task.score_names[k]) for k in task.counted if task.unions[k] != (0,)}
    if not can_be(task) or not score_of:
        return Tried((), (), {})
    sizes = _sizes(masks, list(score_of), folds)
    final = [step for step in _steps(sizes.least(None), task) if step.kind != "least" or step.least > 1]
    by_fold = {fold: {(s.kind, s.classes): s for s in _steps(sizes.least(fold), task)} for fold in set(folds)}
    names = ["dice", *score_of.values()]
    shape = (len(names), *tested.shape)
    before = np.full(shape, np.nan)
    after = np.full((len(final), *shape), np.nan)
    for row, column, truth, mask in masks():
        before[:, row, column] = _dice(truth, mask, task, names)
        for number, step in enumerate(final):
            done = postprocessed(mask, [by_fold[folds[row]][step.kind, step.classes]])
            after[number, :, row, column] = (
                before[:, row, column] if np.array_equal(done, mask) else _dice(truth, done, task, names)
            )
    found: list[Change] = []
    for number, step in enumerate(final):
        score = score_of.get(step.classes, "dice")
        place = names.index(score)
        difference = gain(score, after[number, place], before[place], tested, groups, len(final))
        found.append(Change(step.sentence(task), score, difference, difference.low > 0, step))
    taken = _best(found)
    if not taken:
        return Tried([_left(one) for one in found], (), {})
    steps = tuple(one.step for one in taken if one.step is not None)
    own = {fold: tuple(some[step.kind, step.classes] for step in steps) for fold, some in by_fold.items()}
    together = np.full(tested.shape, np.nan)
    for row, column, truth, mask in masks():
        together[row, column] = _dice(truth, postprocessed(mask, own[folds[row]]), task, names[:1])[0]
    whole = gain("dice", together, before[0], tested, groups)
    kept = whole.difference > 0
    changes = [one if kept and one in taken else _left(one) for one in found]
    changes.append(Change("all of these together", "dice", whole, kept))
    return Tried(changes, steps, own) if kept else Tried(changes, (), {})


@dataclass(frozen=True)
class PartSizes:
    """Of true parts: for each union of classes and fold, how many pixels or voxels each has."""

    of: dict[tuple[tuple[int, ...], int], list[int]]
    unions: Sequence[tuple[int, ...]]

    def least(self, without: int | None) -> dict[tuple[int, ...], int]:
        """Of each union, a size that `LEAST_SHARE` of the parts in the other folds do not reach."""
        found = {}
        for one in self.unions:
            pooled = [size for (of, fold), some in self.of.items() if of == one and fold != without for size in some]
            found[one] = int(np.quantile(pooled, LEAST_SHARE, method="lower")) if pooled else 0
        return found


def _sizes(masks: Masks, unions: Sequence[tuple[int, ...]], folds: Sequence[int]) -> PartSizes:
    found: dict[tuple[tuple[int, ...], int], list[int]] = {}
    seen = set()
    for row, column, truth, _ in masks():
        if (folds[row], column) in seen:
            continue  # by another seed
        seen.add((folds[row], column))
        for one in unions:
            found.setdefault((one, folds[row]), []).extend(part_sizes(union_of(truth, one)))
    return PartSizes(found, unions)


def _steps(least: Mapping[tuple[int, ...], int], task: Task) -> list[Step]:
    steps = [Step("largest", tuple(k for one in least for k in one))] if len(least) > 1 and not task.regions else []
    for one, size in least.items():
        steps += [Step.of("largest", one, task), Step.of("least", one, task, size), Step.of("holes", one, task)]
    return steps


def _dice(truth: np.ndarray, mask: np.ndarray, task: Task, names: Sequence[str]) -> list[float]:
    scores = score_case(confusion_matrix(truth, mask, task), task)
    return [scores[name] for name in names]


def _best(found: Sequence[Change]) -> list[Change]:
    """Of those that are shown to gain, one of largest and least for each class, the better."""
    better: dict[tuple[bool, tuple[int, ...]], Change] = {}
    for one in found:
        assert one.step is not None
        key = one.step.kind == "holes", one.step.classes
        if one.taken and (key not in better or one.gain.difference > better[key].gain.difference):
            better[key] = one
    return [one for one in found if one in better.values()]


def _left(one: Change) -> Change:
    return Change(one.label, one.score, one.gain, False, one.step, one.cost)
