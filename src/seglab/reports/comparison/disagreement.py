"""Cases drawn with the masks of the best variants: those they disagree about most, image, truth, masks, errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seglab.comparison.case_tables import lower_is_better
from seglab.comparison.cohort_ranking import CohortRanking
from seglab.comparison.descriptives import SAME
from seglab.comparison.runs import StoredRun
from seglab.data.labelled import labelled
from seglab.errors import SeglabError
from seglab.inference.predictor import Predictor
from seglab.run_record import RunRecord
from seglab.task import Task
from seglab.tracking.store import Store
from seglab.viz.examples import pick_cases
from seglab.viz.figures import INK, blank_figure, show
from seglab.viz.overlay import colored, error_map, hatched, mask_legend
from seglab.viz.planes import Plane, planes

SHOWN = 6  # variants side by side
_IN_ONE_LINE = 3  # more of them have each mask above its errors, or they would be too small
_PANEL, _TITLE, _LINE = 1.75, 0.75, 26


@dataclass(frozen=True)
class DrawnCase:
    """A case with the masks of the variants.

    Attributes:
        case: its id, and what it stands for.
        planes: for each variant the same plane of the case with its mask.
        scores: of the masks.
    """

    case: str
    planes: list[Plane]
    scores: list[float]


def pick(ranking: CohortRanking, metric: str, count: int) -> dict[str, str]:
    """Ids of the cases to draw, with what each is called.

    Of several variants the `count` cases whose scores spread most over the best `SHOWN`, the most disputed first:
    by the standard deviation over the variants of the mean over the seeds. Cases that one of them has not scored,
    or that all score alike, are left out. Of one variant its best, median and worst case.
    """
    cohort = ranking.cohort
    values = cohort.values[ranking.order[:SHOWN]]
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        means = np.where(defined, values, 0).sum(axis=1) / defined.sum(axis=1)
    if len(means) == 1:
        ranked = pd.DataFrame({"id": cohort.cases, "dice": -means[0] if lower_is_better(metric) else means[0]})
        return {case: f"{case} ({place})" for place, case in pick_cases(ranked).items()}
    spread = np.nan_to_num(means.std(axis=0))
    disputed = [i for i in np.argsort(-spread, kind="stable")[:count] if spread[i] > SAME]
    return {cohort.cases[i]: cohort.cases[i] for i in disputed}


def draw_pictures(
    ranking: CohortRanking, metric: str, store: Store, count: int, say: Callable[[str], None] = lambda _: None
) -> tuple[Figure | None, list[str]]:
    """The cases of `pick` as the best variants segment them, predicted anew from their bundles.

    Of each variant its newest run that has the case stands for all; the data are read where its config says.

    Args:
        ranking: of the variants.
        metric: that they are ranked by.
        store: has their bundles.
        count: how many cases, where they are the disputed ones.
        say: called with what is being predicted.

    Returns:
        The picture, None where nothing could be drawn, and notes on what could not.
    """
    wanted = pick(ranking, metric, count)
    if not wanted:
        return None, ["No case tells the best variants apart, so none is drawn."]
    labels: list[str] = []
    rows: list[list[tuple[Plane, float]]] = [[] for _ in wanted]
    notes: list[str] = []
    task: Task | None = None
    for number in ranking.order[:SHOWN]:
        variant = ranking.cohort.variants[number]
        say(f"predicting {len(wanted)} cases with {variant.label}")
        try:
            found, task = _predicted(variant.runs, list(wanted), ranking, number, store)
        except (SeglabError, OSError) as error:
            first = str(error).splitlines()[0]
            notes.append(f"No masks of {variant.label}: {first}. The data and the bundle must be where they were.")
            continue
        labels.append(variant.label)
        for row, drawn in zip(rows, found, strict=True):
            row.append(drawn)
    if task is None:
        return None, notes
    cases = [
        DrawnCase(title, [plane for plane, _ in row], [value for _, value in row])
        for title, row in zip(wanted.values(), rows, strict=True)
    ]
    return cases_figure(cases, labels, task), notes


def cases_figure(cases: Sequence[DrawnCase], labels: Sequence[str], task: Task) -> Figure:
    """Rows are cases; columns are the image, the truth, and for each label its mask and its errors.

    With more than three labels a case takes two lines: the truth is below the image, the errors are below their mask.
    """
    lines = 1 if len(labels) <= _IN_ONE_LINE else 2
    columns = (2 + 2 * len(labels)) // lines
    heights = [min(_PANEL * case.planes[0].height / case.planes[0].width, 2 * _PANEL) for case in cases]
    high = (sum(heights) + 0.3 * len(cases)) * lines + _TITLE + 0.5
    figure = blank_figure(columns * _PANEL + 0.3, high)
    grid = figure.subplots(
        len(cases) * lines, columns, squeeze=False, height_ratios=[h for h in heights for _ in range(lines)]
    )
    # Of each case its panels in the order image, truth, mask, errors, mask, errors, …
    panels = [grid[lines * i : lines * (i + 1)].T.ravel() for i in range(len(cases))]
    for row, case in zip(panels, cases, strict=True):
        plane = case.planes[0]
        ignored = plane.truth == task.ignore_label
        pictures = [plane.image, hatched(colored(plane.image, plane.truth, task), ignored)]
        dimmed = (0.35 + 0.5 * plane.image.mean(axis=-1, keepdims=True)).repeat(3, axis=-1)
        for mask in (drawn.prediction for drawn in case.planes):
            pictures.append(colored(plane.image, mask, task))
            pictures.append(hatched(error_map(dimmed, plane.truth, mask, task), ignored))
        for axes, picture in zip(row, pictures, strict=True):
            show(axes, picture, plane)
        row[0].set_ylabel(fill(case.case, 22), fontsize=8, color=INK)
        for axes, value in zip(row[2::2], case.scores, strict=True):
            axes.set_xlabel(f"{value:.3f}", fontsize=8.5, color=INK)
    titles = ["Image", "Truth", *[word for label in labels for word in (_wrapped(label), "errors")]]
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title, fontsize=7.5, color=INK)
    some = any((case.planes[0].truth == task.ignore_label).any() for case in cases)
    figure.legend(handles=mask_legend(task, some), loc="outside lower center", ncols=6, frameon=False, fontsize=8.5)
    return figure


def _wrapped(label: str) -> str:
    """The label in short lines, broken at its own joints."""
    return "\n".join(fill(part.replace("_", "_ "), _LINE).replace("_ ", "_") for part in label.split(" · "))


def _predicted(
    runs: Sequence[StoredRun], wanted: Sequence[str], ranking: CohortRanking, number: int, store: Store
) -> tuple[list[tuple[Plane, float]], Task]:
    """The first plane of each case with the mask of the newest run that has tested it, and that run's score."""
    from seglab.evaluation.subject import EvaluationSubject, find_subject
    from seglab.runtime.reproducibility import load_tensorflow

    cohort = ranking.cohort
    opened: dict[str, tuple[EvaluationSubject, Predictor]] = {}
    drawn = []
    for case_id in wanted:
        values = cohort.values[number, :, cohort.cases.index(case_id)]
        tested = {cohort.replicates[i] for i in np.flatnonzero(np.isfinite(values))}
        run = [r for r in runs if (RunRecord.of(r).split_digest, r.seed) in tested or len(runs) == 1][-1]
        if run.id not in opened:
            subject = find_subject(run.id, "test", uri=store.uri, directory=Path(store.directory))
            load_tensorflow()
            opened[run.id] = subject, Predictor.load(subject.found.folder)
        subject, predictor = opened[run.id]
        case = next(case for case in subject.source.cases if case.id == case_id)
        sample, truth = labelled(subject.source, case)
        mask = predictor.predict(sample.seen, sample.spacing)
        anatomical = sample.affine is not None and predictor.task.rank == 3
        row = next((i for i, key in enumerate(cohort.replicates) if key[1] == run.seed and np.isfinite(values[i])), 0)
        cut = planes(sample.image, truth, mask, sample.spacing, predictor.task.ignore_label, anatomical)[0]
        drawn.append((cut, float(values[row])))
    return drawn, predictor.task
