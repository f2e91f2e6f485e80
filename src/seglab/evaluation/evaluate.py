"""The verb: score a recorded model on whole cases, write tables and pictures, add the results to its run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from seglab.data.cases import SCORED, Case, Source, files_of
from seglab.data.io.image_files import read_mask_file
from seglab.data.labels.label_schema import built_in_schema
from seglab.data.sources.image_cases import ImageCases
from seglab.errors import ConfigError, nearest
from seglab.evaluation.aggregate import score_table, shape_summary, shape_table, summary
from seglab.evaluation.results import CalibrationScores, ScoreIntervals, check_place, write_results
from seglab.evaluation.scoring import predicted_pixels, score_cases
from seglab.evaluation.subject import EvaluationSubject, find_subject
from seglab.inference.bundle import CARD_FILE
from seglab.inference.mask_writer import check_targets, write_mask
from seglab.metric_names import evaluated_metric
from seglab.metrics.calibration import Pixels, fit_temperature, negative_log_likelihood, reliability, scaled
from seglab.metrics.cityscapes_scores import CityscapesScores, label_ids_of
from seglab.metrics.shape_scores import tolerance_note
from seglab.run_record import RUNS, Artifact
from seglab.runtime.terminal import Terminal
from seglab.runtime.waiting import Waiting
from seglab.safety.file_names import file_name, file_names
from seglab.safety.shown_text import in_line

if TYPE_CHECKING:
    from seglab.tracking.bundles import FoundBundle

CALIBRATION_CASES = 50  # validation cases that the temperature is fitted on, at most
VOID = "void"


@dataclass(frozen=True)
class EvaluationRequest:
    """What the command was told; each field is a word `<field>=<value>`.

    Attributes:
        run: id of a run, or `models:/<name>@<alias>`.
        bundle: folder of a bundle; one of both is given.
        split: `train`, `val`, `test` or `all`.
        data: the words that begin with `data`, for another data set or another place; see `find_subject`.
        out: folder for the results; None for one in `mlruns/evaluations`.
        save_masks: write every predicted mask, in the case's own size and geometry.
        tolerance_mm: of the surface Dice, in mm for volumes and in pixels for images.
        workers: processes that measure beside the one that predicts; None for one less than there are cores.
        tracking_uri: where the run is recorded; None for the store in `mlruns/`.
    """

    run: str | None = None
    bundle: str | None = None
    split: str = "test"
    data: tuple[str, ...] = ()
    out: str | None = None
    save_masks: bool = False
    tolerance_mm: float = 1.0
    workers: int | None = None
    tracking_uri: str | None = None

    def __post_init__(self) -> None:
        if (self.run is None) == (self.bundle is None):
            raise ConfigError(
                "one model is scored",
                code="one-model",
                where="run, bundle",
                found="both" if self.run else "neither",
                expected="run=<id>, run=models:/<name>@<alias> or bundle=<folder>",
                remedy="see the runs with: seglab ui",
            )
        if self.split not in SCORED:
            raise _refused("split", self.split, "one of " + ", ".join(SCORED), nearest(self.split, SCORED))
        if type(self.save_masks) is not bool:
            raise _refused("save_masks", self.save_masks, "true or false")
        if not _number(self.tolerance_mm) or not 0 <= self.tolerance_mm < np.inf:
            raise _refused("tolerance_mm", self.tolerance_mm, "a number of 0 or more")
        if self.workers is not None and (type(self.workers) is not int or self.workers < 0):
            raise _refused("workers", self.workers, "a whole number, 0 or more")


def evaluate(request: EvaluationRequest, *, directory: Path = RUNS, console: Console | None = None) -> dict[str, float]:
    """Scores a model on whole cases, says so on the console, and keeps what came out.

    Written to `<out>/scores`: `cases.parquet` and `cases.csv` with a row a case, `metrics.json`, `calibration.json`,
    pictures; masks to `<out>/masks`, under names that the column `mask` of the tables tells. No other file is touched,
    whatever the ids hold. With a run, the scores are added to it as artifacts `evaluation/<name>` and
    metrics `eval_<name>_…`, NaN left out; name is the split, for other data `<data>-<split>`.

    Args:
        request: what to score.
        directory: the local folder of runs.
        console: where to speak; a new one when None.

    Returns:
        The metrics without their prefix.

    Raises:
        ConfigError, DataError, TrackingError: see `find_subject` and `score_cases`.
    """
    console = console or Terminal(highlight=False, soft_wrap=True)
    reference = request.run or request.bundle or ""
    with Waiting() as waiting:
        waiting.tell(f"looking for {reference} and its cases")
        subject = find_subject(reference, request.split, request.data, uri=request.tracking_uri, directory=directory)
    task, found = subject.bundle.task, subject.found
    title = f"{found.run.info.run_name} {found.run.info.run_id}" if found.run else str(found.folder)
    console.print(in_line(f"model      {title}"), markup=False)
    console.print(in_line(f"cases      {len(subject.cases)} of {subject.source.name}, {subject.name}"), markup=False)
    out = Path(request.out) if request.out else directory / "evaluations" / _owner(found, request) / subject.name
    check_place(out / "scores", files_of(subject.source.cases))
    masks = _mask_files(subject, out / "masks") if request.save_masks else {}
    values = subject.source.task.label_values or None
    workers = max(1, (os.cpu_count() or 2) - 1) if request.workers is None else request.workers

    from seglab.runtime.reproducibility import load_tensorflow

    def each(case: Case, mask: np.ndarray) -> None:
        if masks:
            write_mask(masks[case.id], mask, like=case.image[0] if task.rank == 3 else None, values=values)
        if city:
            city.add(case, mask)

    with Waiting() as waiting:

        def counting(what: str, cases: Sequence[Case]) -> Callable[[int, int], None]:
            waiting.tell(f"{what}: the first of {len(cases)} cases")
            return lambda done, _: waiting.tell(f"{what}: {done} of {len(cases)} cases")

        waiting.tell("loading TensorFlow")
        load_tensorflow()
        from seglab.inference.predictor import Predictor

        waiting.tell(f"reading the model in {found.folder}")
        predictor = Predictor.load(found.folder)
        city = _CityscapesTruth(subject) if _is_cityscapes(subject.source) else None
        case_scores = score_cases(
            predictor,
            subject.source,
            subject.cases,
            tolerance=request.tolerance_mm,
            workers=workers,
            each=each,
            progress=counting("scoring", subject.cases),
        )
        assert case_scores.pixels is not None  # with a tolerance they are drawn
        calibration = _calibrate(
            subject,
            case_scores.pixels,
            lambda cases: predicted_pixels(predictor, subject.source, cases, counting("calibrating", cases)),
        )
        if masks:
            case_scores.cases.insert(2, "mask", [masks[case_id].name for case_id in case_scores.cases["id"]])
        waiting.tell("writing tables and pictures")
        metrics = summary(case_scores.cases, case_scores.confusion, task)
        metrics |= shape_summary(case_scores.cases, task, request.tolerance_mm)
        official = city.result() if city else {}
        metrics |= calibration.metrics() | official
        write_results(out / "scores", predictor, subject, case_scores, metrics, calibration, request.tolerance_mm)
    console.print(score_table(case_scores.cases, case_scores.confusion, task, title=f"{title}: {subject.name}"))
    console.print(shape_table(case_scores.cases, task, request.tolerance_mm))
    if task.rank == 3 and (note := tolerance_note(request.tolerance_mm, case_scores.step)):
        console.print(f"note       {note}", markup=False)
    console.print(calibration.line(), markup=False)
    for name in (name for name in official if "/" not in name):
        console.print(f"{name:<24} {official[name]:.4f}", markup=False)
    if masks:
        console.print(in_line(f"masks      {out / 'masks'}"), markup=False)
    console.print(in_line(f"results    {out / 'scores'}"), markup=False)
    with Waiting() as waiting:
        waiting.tell("adding the scores to the run")
        added = _add(subject, metrics, out / "scores")
    if added:
        console.print(in_line(added), markup=False)
    return metrics


def _owner(found: FoundBundle, request: EvaluationRequest) -> str:
    """What a folder of results is named after: the run; of a bundle, most of which are named `bundle`, the folder with
    the first letters of a digest of what it holds and of what makes its scores other ones."""
    if found.run:
        return str(found.run.info.run_id)
    asked = json.dumps([request.data, request.tolerance_mm]).encode()
    digest = hashlib.sha256((found.folder / CARD_FILE).read_bytes() + asked).hexdigest()
    return file_name(f"{found.folder.resolve().name}-{digest[:12]}")


def _add(subject: EvaluationSubject, metrics: Mapping[str, float], files: Path) -> str | None:
    """Add the scores to the run that recorded the model, if one did; returns what is to be said of it."""
    run, store = subject.found.run, subject.found.store
    if run is None or store is None:
        return None
    from seglab.tracking.append import add_to_run

    named = {evaluated_metric(subject.name, key): value for key, value in metrics.items() if np.isfinite(value)}
    where = add_to_run(store, run, named, files, Artifact.evaluation(subject.name))
    return f"run        {run.info.run_id}: {evaluated_metric(subject.name, '…')}, pictures and tables in {where}"


def _calibrate(
    subject: EvaluationSubject, pixels: Pixels, predicted: Callable[[list[Case]], Pixels]
) -> CalibrationScores:
    """Reliability as trained, and with the temperature of the validation cases, which must not be those scored."""
    as_trained = ScoreIntervals(reliability(pixels), negative_log_likelihood(pixels))
    scored = {case.id for case in subject.cases}
    apart = [case for case in subject.validation if case.id not in scored]
    if not apart:
        return CalibrationScores(as_trained)
    step = -(-len(apart) // CALIBRATION_CASES)
    temperature = fit_temperature(predicted(apart[::step]))
    after = scaled(pixels, temperature)
    return CalibrationScores(
        as_trained, ScoreIntervals(reliability(after), negative_log_likelihood(after), temperature)
    )


def _mask_files(subject: EvaluationSubject, folder: Path) -> dict[str, Path]:
    """The file for the mask of each case, by its id; none of them is anybody's."""
    volumes = subject.bundle.task.rank == 3
    without = [case.id for case in subject.cases if not case.image]
    if volumes and without:
        raise ConfigError(
            "masks of volumes that have no file, and so no geometry",
            code="mask-geometry",
            where="save_masks=true",
            found=", ".join(without[:3]),
            expected="volumes that were read from NIfTI files",
            remedy="save_masks=false",
        )
    names = file_names(case.id for case in subject.cases)
    files = {case_id: folder / f"{name}{'.nii.gz' if volumes else '.png'}" for case_id, name in names.items()}
    check_targets(files.values(), files_of(subject.source.cases))
    return files


def _is_cityscapes(source: Source) -> bool:
    """By what its masks are declared to hold, whatever the files are called."""
    return isinstance(source, ImageCases) and source.classes.follows("cityscapes")


def _official_ids(subject: EvaluationSubject) -> list[int]:
    return label_ids_of(subject.bundle.task.class_names, built_in_schema("cityscapes").labels).tolist()


class _CityscapesTruth:
    """Scores predictions against the label and instance files themselves, not against the classes made of them."""

    def __init__(self, subject: EvaluationSubject):
        labels = built_in_schema("cityscapes").labels
        names = {label.name for label in labels} | {VOID}
        self._ids = np.array(_official_ids(subject))
        self._wider = any(name not in names for name in subject.bundle.task.class_names)
        self._scores = CityscapesScores(labels)

    def add(self, case: Case, mask: np.ndarray) -> None:
        truth, instances = (None if file is None else read_mask_file(file) for file in (case.label, case.instances))
        if truth is not None:
            self._scores.add(self._ids[mask], truth, instances)

    def result(self) -> dict[str, float]:
        """The benchmark's scores; those of categories alone where categories are what the model knows."""
        return {k: v for k, v in self._scores.result().items() if not (self._wider and "_class" in k)}


def _refused(key: str, found: object, expected: str, remedy: str = "") -> ConfigError:
    return ConfigError(
        "a value that is not allowed",
        code="value-not-allowed",
        where=key,
        found=found,
        expected=expected,
        remedy=remedy or f"set {key} so",
    )


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
