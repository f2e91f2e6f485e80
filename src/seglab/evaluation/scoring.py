"""The one evaluator: whole cases at their original size, predicted here, where TensorFlow is, and measured in processes
beside it."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from seglab.data.cases import Case, Sample, Source
from seglab.data.labelled import labelled
from seglab.errors import DataError, naming
from seglab.evaluation.case_scores import check_same_classes, score_case
from seglab.metrics.calibration import Pixels, draw_places, drawn_pixels, joined
from seglab.metrics.confusion import confusion_matrix
from seglab.metrics.shape_scores import score_shapes
from seglab.task import Task

if TYPE_CHECKING:
    from seglab.inference.predictor import Predictor

Each = Callable[[Case, np.ndarray], None]
"""Told each case and its predicted mask."""
Progress = Callable[[int, int], None]
"""Told (cases done, cases in all) after each case."""


class CaseScores(NamedTuple):
    """Scores of a set of cases.

    Attributes:
        cases: a row a case: `id`, `group`, the columns of `score_case`, those of `score_shapes` where they were asked
            for, and `seconds`.
        confusion: `(K, K)` int64 summed over the cases; row the true class, column the predicted one.
        pixels: drawn from every case, for calibration; None where shapes were not asked for.
        step: longest edge of a pixel or voxel, in the unit of the spacing; the median over the cases.
    """

    cases: pd.DataFrame
    confusion: np.ndarray
    pixels: Pixels | None
    step: float


def score_cases(
    predictor: Predictor,
    source: Source,
    cases: Sequence[Case],
    *,
    tolerance: float | None = None,
    workers: int = 0,
    each: Each | None = None,
    progress: Progress | None = None,
) -> CaseScores:
    """Predicts `cases` one at a time and scores them in `workers` processes.

    The result does not depend on the number of processes. At most one case more than there are processes is in memory.
    The column `seconds` is the time of the prediction; the first case's holds the tracing of the network too.

    Args:
        predictor: of the source's classes.
        source: gives image and truth at their original size.
        cases: at least one, each with a label.
        tolerance: of the surface Dice, in the unit of the spacing; None for what counts of pixels say alone, as a run
            is scored at its end: no surfaces, no lesions, no pixels for calibration.
        workers: processes; 0 to score in this one.
        each: called with the mask of each case.
        progress: called after each case that is scored.

    Raises:
        DataError: other classes, a case without a label, or a model that gives no numbers.
    """
    task = source.task
    check_same_classes(predictor.task, task)
    rows: list[dict[str, object]] = []
    drawn: list[Pixels] = []
    steps: list[float] = []
    total = np.zeros((task.classes, task.classes), np.int64)
    waiting: deque[tuple[dict[str, object], float, Future[_Measured]]] = deque()

    def take() -> None:
        row, seconds, future = waiting.popleft()
        try:
            confusion, scores = future.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a process that measures was killed, most likely for memory",
                code="process-killed",
                where=f"case {row['id']}",
                expected=f"memory for {workers + 1} cases at once",
                remedy="measure in the process that predicts: workers=0",
            ) from error
        total[...] += confusion
        rows.append({**row, **scores, "seconds": seconds})
        if progress:
            progress(len(rows), len(cases))

    def put(case: Case, submit: Callable[..., Future[_Measured]]) -> None:
        sample, truth = labelled(source, case)
        start = time.perf_counter()
        if tolerance is None:
            with naming(source.describe_files(case)):
                mask = predictor.predict(sample.seen, sample.spacing)
        else:
            mask, pixels = _predicted(predictor, sample, truth, task, source.describe_files(case), case.id)
            drawn.append(pixels)
        seconds = time.perf_counter() - start
        if each:
            each(case, mask)
        steps.append(max(sample.spacing))
        future = submit(truth, mask, sample.spacing, task, tolerance)
        waiting.append(({"id": case.id, "group": case.group}, seconds, future))

    with _submitting(workers) as submit:
        for case in cases:
            put(case, submit)  # whose arrays are gone before the next case is read
            while len(waiting) > workers:
                take()
        while waiting:
            take()
    pixels = None if tolerance is None else joined(drawn)
    return CaseScores(pd.DataFrame(rows), total, pixels, float(np.median(steps)))


def predicted_pixels(
    predictor: Predictor, source: Source, cases: Sequence[Case], progress: Progress | None = None
) -> Pixels:
    """Pixels drawn from at least one case, predicted and not scored; errors as for `score_cases`."""
    drawn = []
    for done, case in enumerate(cases, start=1):
        sample, truth = labelled(source, case)
        drawn.append(_predicted(predictor, sample, truth, source.task, source.describe_files(case), case.id)[1])
        if progress:
            progress(done, len(cases))
    return joined(drawn)


def _predicted(
    predictor: Predictor, sample: Sample, truth: np.ndarray, task: Task, where: str, case_id: str
) -> tuple[np.ndarray, Pixels]:
    """The mask that `Predictor.predict` gives, and pixels for calibration; errors say `where`."""
    places = draw_places(truth, task, case_id)
    with naming(where):
        mask, logs = predictor.predict_drawn(sample.seen, sample.spacing, places)
    return mask, drawn_pixels(logs, truth.ravel()[places], task)


_Measured = tuple[np.ndarray, dict[str, float]]


def _measure(
    truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...], task: Task, tolerance: float | None
) -> _Measured:
    confusion = confusion_matrix(truth, prediction, task)
    scores = score_case(confusion, task)
    if tolerance is not None:
        scores |= score_shapes(truth, prediction, spacing, task, tolerance)
    return confusion, scores


@contextmanager
def _submitting(workers: int) -> Iterator[Callable[..., Future[_Measured]]]:
    """Gives what takes the arguments of `_measure`, and returns a promise of its result."""
    if not workers:

        def at_once(*arguments: object) -> Future[_Measured]:
            future: Future[_Measured] = Future()
            future.set_result(_measure(*arguments))  # type: ignore[arg-type]
            return future

        yield at_once
        return
    # A forked process would take TensorFlow's threads and locks along.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        try:
            yield lambda *arguments: pool.submit(_measure, *arguments)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
