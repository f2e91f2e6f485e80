"""Masks of cases by networks that never saw them: each case by those of the fold that tests it, alone and averaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.data.labelled import labelled
from seglab.ensembling.fold_runs import CrossValidation, Place
from seglab.ensembling.model_selection import Candidate
from seglab.errors import DataError, naming
from seglab.evaluation.case_scores import check_same_classes, score_case
from seglab.evaluation.subject import EvaluationSubject, find_subject
from seglab.inference.decision import class_ids
from seglab.inference.ensembles import MemberSource, check_members
from seglab.metrics.confusion import confusion_matrix
from seglab.task import Task

if TYPE_CHECKING:
    from seglab.inference.predictor import Predictor
    from seglab.tracking.store import Store

Progress = Callable[[int, int], None]
"""Told how many cases are done, and how many there are."""


@dataclass(frozen=True)
class Subjects:
    """What is predicted, and by which bundles.

    Attributes:
        of: for each configuration's number and each place the bundle and the cases that it has not seen.
        places: as of the cross-validation.
        cases: ids of all cases, in order.
        groups: of each.
    """

    of: Mapping[tuple[int, Place], EvaluationSubject]
    places: Sequence[Place]
    cases: Sequence[str]
    groups: Sequence[str]

    @property
    def task(self) -> Task:
        """That all solve."""
        return self.of[0, self.places[0]].source.task

    @property
    def threshold(self) -> float:
        """Of a binary task, as the ensemble's bundle has it."""
        found = {subject.bundle.threshold for subject in self.of.values()}
        return found.pop() if len(found) == 1 else 0.5

    @property
    def tested(self) -> np.ndarray:
        """`(places, cases)`: where a case is tested."""
        number = {case_id: i for i, case_id in enumerate(self.cases)}
        found = np.zeros((len(self.places), len(self.cases)), bool)
        for row, place in enumerate(self.places):
            found[row, [number[case.id] for case in self.of[0, place].cases]] = True
        return found

    def members(self, configuration: int) -> list[MemberSource]:
        """All bundles of a configuration."""
        found = []
        for place in self.places:
            subject = self.of[configuration, place]
            run = subject.found.run
            assert run is not None
            found.append(MemberSource(subject.found.folder, run.info.run_id, run.info.run_name))
        return found


def find_subjects(store: Store, validation: CrossValidation, data: Sequence[str]) -> Subjects:
    """The bundles of all runs, and the data.

    Raises:
        ConfigError, DataError, TrackingError: a bundle, its split or its data are gone; bundles of other classes, or
            of one configuration behind different preprocessing.
    """
    of = {}
    for number, one in enumerate(validation.configurations):
        for place, run in one.runs.items():
            of[number, place] = find_subject(run.id, "test", data, uri=store.uri, directory=store.directory)
    cases = sorted({case.id for subject in of.values() for case in subject.cases})
    places = validation.places
    found = Subjects(of, places, cases, [validation.groups.get(case_id, case_id) for case_id in cases])
    for number, one in enumerate(validation.configurations):
        check_same_classes(of[0, places[0]].bundle.task, of[number, places[0]].bundle.task)
        if check_members(found.members(number)) > 1:
            raise DataError(
                "folds of one configuration behind different preprocessing",
                code="ensemble-preprocessing",
                where=one.label,
                found="; ".join(f"{one.runs[p].short}: {_plan(of[number, p])}" for p in places[:6]),
                expected="one input size, spacing and kind of normalisation",
                remedy="train the folds anew with one version and one config",
            )
    return found


def candidate_masks(
    subjects: Subjects, candidates: Sequence[Candidate], folder: Path, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Predict all tested cases by every configuration, and decide by each candidate.

    The masks, with the truth, are kept in `folder`; see `kept`.

    Returns:
        Dice `(candidates, places, cases)`, NaN where not tested or not defined; and seconds that a case takes each
        configuration, the median.
    """
    needed = sorted({number for one in candidates for number in one.configurations})
    dice = np.full((len(candidates), len(subjects.places), len(subjects.cases)), np.nan)
    seconds: dict[int, list[float]] = {number: [] for number in needed}
    for row, column, truth, answers in _answers(subjects, needed, (), progress):
        masks = []
        for number, one in enumerate(candidates):
            masks.append(_mean_mask([answers[i][0] for i in one.configurations], subjects))
            dice[number, row, column] = _dice(truth, masks[-1], subjects.task)
        for number in needed:
            seconds[number].append(answers[number][1])
        held: dict[str, Any] = {"truth": truth} | {f"plain{i}": mask for i, mask in enumerate(masks)}
        np.savez_compressed(_file(folder, row, column), **held)
    most = max(needed) + 1
    return dice, np.array([np.median(seconds[i]) if i in seconds else np.nan for i in range(most)])


def flipped_masks(
    subjects: Subjects, candidate: Candidate, flips: tuple[int, ...], folder: Path, progress: Progress
) -> tuple[np.ndarray, float]:
    """The same of one candidate with test-time flips; the masks are kept under the name `flipped`.

    Returns:
        Dice `(places, cases)`, and the median of the seconds that a case takes.
    """
    dice, seconds = np.full((len(subjects.places), len(subjects.cases)), np.nan), []
    for row, column, truth, answers in _answers(subjects, candidate.configurations, flips, progress):
        mask = _mean_mask([found for found, _ in answers.values()], subjects)
        dice[row, column] = _dice(truth, mask, subjects.task)
        seconds.append(sum(took for _, took in answers.values()))
        np.savez_compressed(_file(folder, row, column, "flipped"), mask=mask)
    return dice, float(np.median(seconds))


def kept(
    subjects: Subjects, folder: Path, candidate: int, flipped: bool
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Of each tested case the number of its place and its own, truth and mask as they were kept."""
    for row, column in np.argwhere(subjects.tested):
        with np.load(_file(folder, row, column)) as held:
            truth = held["truth"]
            mask = held[f"plain{candidate}"] if not flipped else None
        if mask is None:
            with np.load(_file(folder, row, column, "flipped")) as held:
                mask = held["mask"]
        yield int(row), int(column), truth, mask


def _answers(
    subjects: Subjects, configurations: Sequence[int], flips: tuple[int, ...], progress: Progress
) -> Iterator[tuple[int, int, np.ndarray, dict[int, tuple[np.ndarray, float]]]]:
    """Place and case, truth, and of each configuration the probabilities and the seconds that they took."""
    from seglab.inference.predictor import Predictor

    number = {case_id: i for i, case_id in enumerate(subjects.cases)}
    total, done = int(subjects.tested.sum()), 0
    for row, place in enumerate(subjects.places):
        predictors = {
            i: Predictor.load(subjects.of[i, place].found.folder, flips=flips, postprocessing=False)
            for i in configurations
        }
        lead = subjects.of[0, place]
        for case in lead.cases:
            sample, truth = labelled(lead.source, case)
            with naming(lead.source.describe_files(case)):
                found = {i: _timed(one, sample.seen, sample.spacing) for i, one in predictors.items()}
            yield row, number[case.id], truth, found
            done += 1
            progress(done, total)


def _timed(predictor: Predictor, image: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, float]:
    begun = time.perf_counter()
    return predictor.predict_probabilities(image, spacing), time.perf_counter() - begun


def _mean_mask(each: Sequence[np.ndarray], subjects: Subjects) -> np.ndarray:
    task = subjects.task
    mean = each[0] if len(each) == 1 else np.mean(each, axis=0)
    return class_ids((mean[..., k] for k in range(task.binary, mean.shape[-1])), task, subjects.threshold)


def _dice(truth: np.ndarray, mask: np.ndarray, task: Task) -> float:
    return score_case(confusion_matrix(truth, mask, task), task)["dice"]


def _file(folder: Path, row: int, column: int, name: str = "plain") -> Path:
    return folder / f"{name}-{row}-{column}.npz"


def _plan(subject: EvaluationSubject) -> str:
    bundle = subject.bundle
    return f"size {bundle.size}, {bundle.resize_mode}, spacing {bundle.spacing}, {bundle.preprocessing.mode}"
