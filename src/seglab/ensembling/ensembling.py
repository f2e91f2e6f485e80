"""The way of `seglab ensemble`: gather the folds, predict what each has not seen, choose, and write one bundle."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from seglab.comparison.variants import Variant
from seglab.config.run_config import Component
from seglab.data.splits import Split
from seglab.ensembling.changes import Change, Tried, try_steps
from seglab.ensembling.fold_runs import CrossValidation, gather
from seglab.ensembling.model_selection import Candidate, Selection, candidates_of, choose, gain
from seglab.ensembling.out_of_fold import Subjects, candidate_masks, find_subjects, flipped_masks, kept
from seglab.errors import SeglabError
from seglab.evaluation.aggregate import aggregate
from seglab.evaluation.case_scores import score_case
from seglab.inference.ensembles import MemberSource, check_members
from seglab.inference.postprocessing import postprocessed
from seglab.metric_names import TEST_DICE
from seglab.metrics.confusion import confusion_matrix
from seglab.runtime.reproducibility import load_tensorflow
from seglab.runtime.waiting import step
from seglab.tracking.consent import known_targets
from seglab.tracking.store import Store


@dataclass(frozen=True)
class EnsembleRequest:
    """What is asked for.

    Attributes:
        study: whose runs; or
        runs: ids.
        flips: spatial axes of test-time flips to try; None: those that training mirrored.
        postprocessing: whether steps after the mask are tried.
        mixed: whether configurations that see images in different ways are averaged too.
        data: words that begin with `data`, for data that lie elsewhere now.
    """

    study: str | None = None
    runs: tuple[str, ...] = ()
    flips: tuple[int, ...] | None = None
    postprocessing: bool = True
    mixed: bool = False
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """What cross-validation chose, before it is written.

    Attributes:
        validation: the runs.
        subjects: their bundles and cases.
        selection: among the candidates.
        flips: what came of test-time flips; None where none were tried.
        axes: of flips that are done.
        tried: what came of steps after the mask.
        cases: of the masks in the end one row a case, as a run logs them; of several seeds their mean.
        metrics: as `aggregate` gives them.
        seconds: that all of it took.
        notes: what a reader must know.
    """

    validation: CrossValidation
    subjects: Subjects
    selection: Selection
    flips: Change | None
    axes: tuple[int, ...]
    tried: Tried
    cases: pd.DataFrame
    metrics: Mapping[str, float]
    seconds: float
    notes: Sequence[str]

    @property
    def candidate(self) -> Candidate:
        """The configurations that were chosen."""
        return self.selection.candidates[self.selection.chosen]

    @property
    def members(self) -> list[MemberSource]:
        """The bundles that are averaged."""
        return [one for number in self.candidate.configurations for one in self.subjects.members(number)]

    @property
    def split(self) -> Split:
        """Of all members together: there is no case that none of them was trained on."""
        return Split(tuple(self.subjects.cases), (), ())


class MaskKeeper(Protocol):
    """Who takes the masks of what was chosen."""

    def check(self, subjects: Subjects) -> None:
        """See, before anything is predicted, that masks of these cases can be kept; raises `DataError` where not."""

    def keep(self, subjects: Subjects, masks: Iterator[tuple[int, int, np.ndarray]]) -> None:
        """Take number of the place, of the case, and mask of each."""


def choose_ensemble(request: EnsembleRequest, store: Store, keeper: MaskKeeper | None = None) -> Chosen:
    """Choose by the cases that each network never saw.

    Args:
        request: what is asked for.
        store: of the runs.
        keeper: takes the masks in the end; None where nobody does.

    Raises:
        ConfigError, DataError, TrackingError: see `gather` and `find_subjects`; masks that cannot be kept.
    """
    begun = time.monotonic()
    with step("reading the runs"):
        validation = gather(store, study=request.study, runs=request.runs)
    with step("finding bundles and data"):
        subjects = find_subjects(store, validation, request.data)
    if keeper is not None:
        keeper.check(subjects)
    candidates, notes = _candidates(validation, subjects, request.mixed)
    axes = mirrored_axes(subjects) if request.flips is None else request.flips
    folds, tested = [fold for fold, _ in subjects.places], subjects.tested
    with step("loading TensorFlow"):
        load_tensorflow()
    with tempfile.TemporaryDirectory(prefix="seglab-ensemble-") as name:
        folder = Path(name)
        with step("predicting the cases of each fold") as count:
            dice, seconds = candidate_masks(subjects, candidates, folder, count)
        selection = choose(candidates, dice, tested, subjects.groups)
        candidate, plain = candidates[selection.chosen], dice[selection.chosen]
        flips = None
        if axes:
            with step("predicting them with test-time flips") as count:
                flipped, took = flipped_masks(subjects, candidate, axes, folder, count)
            found = gain("dice", flipped, plain, tested, subjects.groups)
            alone = float(sum(seconds[number] for number in candidate.configurations))
            label = f"flips along {', '.join(map(str, axes))}"
            flips = Change(label, "dice", found, found.low > 0, cost=took / alone)
        masks = partial(kept, subjects, folder, selection.chosen, flips is not None and flips.taken)
        tried = Tried((), (), {})
        if request.postprocessing:
            with step("trying steps after the mask"):
                tried = try_steps(masks, subjects.task, folds, tested, subjects.groups)
        with step("scoring what was chosen"):
            cases, metrics = _scores(subjects, masks, tried, folds)
        if keeper is not None:
            keeper.keep(subjects, ((row, column, _final(mask, tried, folds[row])) for row, column, _, mask in masks()))
    return Chosen(
        validation,
        subjects,
        selection,
        flips,
        axes if flips is not None and flips.taken else (),
        tried,
        cases,
        metrics,
        time.monotonic() - begun,
        [*validation.notes, *notes, *selection.notes],
    )


def mirrored_axes(subjects: Subjects) -> tuple[int, ...]:
    """The axes along which all configurations took mirror images in training; none where that is not known."""
    found: set[int] | None = None
    for (_, place), subject in subjects.of.items():
        if place != subjects.places[0]:
            continue
        section: dict[str, Any] = dict(subject.bundle.config.get("augment") or {})
        target, axes = str(section.pop("_target_", "")), ()
        if target in known_targets():
            with suppress(SeglabError):
                component = Component(str(section.pop("name", "")), target, section)
                axes = getattr(component.build(subject.bundle.task), "mirrored", ())
        found = set(axes) if found is None else found & set(axes)
    return tuple(sorted(found or ()))


def _candidates(validation: CrossValidation, subjects: Subjects, mixed: bool) -> tuple[list[Candidate], list[str]]:
    """Those that can be one bundle; the simplest first."""
    every, place = validation.configurations, subjects.places[0]
    means = [float(np.mean([run.metrics.get(TEST_DICE, np.nan) for run in one.runs.values()])) for one in every]
    found = candidates_of([one.label for one in every], [one.parameters for one in every], means)

    def parts(candidate: Candidate) -> int:
        bundles = [subjects.of[number, place].found.folder for number in candidate.configurations]
        return check_members([MemberSource(folder) for folder in bundles])

    usable = [one for one in found if mixed or parts(one) == 1]
    notes = []
    if len(usable) < len(found):
        notes.append(
            f"{len(found) - len(usable)} ensemble(s) of configurations that see images in different ways were not "
            "tried: such a bundle cannot be exported or served. mixed=true tries them."
        )
    mixed_code = [one.label for one in every if Variant(one.label, list(one.runs.values()), {}).mixed]
    if mixed_code:
        notes.append(f"Folds of different code or number formats: {', '.join(mixed_code)}.")
    return usable, notes


def _scores(
    subjects: Subjects, masks: Any, tried: Tried, folds: Sequence[int]
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Of the masks in the end: steps with the sizes that the other folds gave."""
    task, rows = subjects.task, []
    total = np.zeros((task.classes, task.classes), np.int64)
    for row, column, truth, mask in masks():
        confusion = confusion_matrix(truth, _final(mask, tried, folds[row]), task)
        total += confusion
        names = {"id": subjects.cases[column], "group": subjects.groups[column]}
        rows.append({**names, **score_case(confusion, task)})
    cases = pd.DataFrame(rows).groupby(["id", "group"], sort=True, as_index=False).mean()
    return cases, {key: value for key, value in aggregate(cases, total, task).items() if np.isfinite(value)}


def _final(mask: np.ndarray, tried: Tried, fold: int) -> np.ndarray:
    return postprocessed(mask, tried.by_fold.get(fold, ()))
