"""The cases that the best compositions disagree about most: image, truth, and each one's mask and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from seglab.comparison.judgement import Judgement
from seglab.comparison.runs import Run
from seglab.errors import SeglabError
from seglab.evaluation.cases import labelled
from seglab.evaluation.figures import INK, blank_figure, show
from seglab.evaluation.overlay import colored, error_map, hatched, mask_legend
from seglab.evaluation.planes import Plane, planes
from seglab.task import Task
from seglab.tracking.store import Store

SHOWN = 3  # compositions side by side
_PANEL, _TITLE, _LINE = 1.75, 0.75, 26


@dataclass(frozen=True)
class Disputed:
    """A case with the masks of several compositions.

    Attributes:
        case: its id.
        planes: for each composition the same plane of the case with its mask.
        scores: of the masks.
    """

    case: str
    planes: list[Plane]
    scores: list[float]


def most_disputed(judgement: Judgement, count: int) -> list[str]:
    """Ids of the cases whose scores spread most over the best compositions, the most disputed first.

    The spread is the standard deviation over the compositions of the mean over the seeds; cases that one of them has
    not scored are left out.
    """
    values = judgement.contest.values[judgement.order[:SHOWN]]
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        means = np.where(defined, values, 0).sum(axis=1) / defined.sum(axis=1)
    spread = means.std(axis=0)
    ranked = np.argsort(-np.nan_to_num(spread, nan=-1.0), kind="stable")
    return [judgement.contest.cases[i] for i in ranked[:count] if np.isfinite(spread[i])]


def draw_disputed(
    judgement: Judgement, store: Store, count: int, say: Callable[[str], None] = lambda _: None
) -> tuple[Figure | None, list[str]]:
    """The most disputed cases as the best compositions segment them, predicted anew from their bundles.

    Of each composition its newest run that has the case stands for all; the data are read where its config says.

    Args:
        judgement: of the compositions.
        store: has their bundles.
        count: how many cases.
        say: told what is being predicted.

    Returns:
        The picture, None where nothing could be drawn, and notes on what could not.
    """
    from seglab.reproducibility import load_tensorflow

    wanted = most_disputed(judgement, count)
    if not wanted:
        return None, ["No case was scored by several compositions, so none is drawn."]
    load_tensorflow()
    labels: list[str] = []
    rows: list[list[tuple[Plane, float]]] = [[] for _ in wanted]
    notes: list[str] = []
    task: Task | None = None
    for number in judgement.order[:SHOWN]:
        composition = judgement.contest.compositions[number]
        say(f"predicting {len(wanted)} cases with {composition.label}")
        try:
            found, task = _predicted(composition.runs, wanted, judgement, number, store)
        except (SeglabError, OSError) as error:
            first = str(error).splitlines()[0]
            notes.append(f"No masks of {composition.label}: {first}. The data and the bundle must be where they were.")
            continue
        labels.append(composition.label)
        for row, drawn in zip(rows, found, strict=True):
            row.append(drawn)
    if task is None:
        return None, notes
    cases = [
        Disputed(case, [plane for plane, _ in row], [value for _, value in row])
        for case, row in zip(wanted, rows, strict=True)
    ]
    return disputed_figure(cases, labels, task), notes


def disputed_figure(cases: Sequence[Disputed], labels: Sequence[str], task: Task) -> Figure:
    """Rows are cases; columns are the image, the truth, and for each label its mask and its errors."""
    columns = 2 + 2 * len(labels)
    heights = [min(_PANEL * case.planes[0].height / case.planes[0].width, 2 * _PANEL) for case in cases]
    figure = blank_figure(columns * _PANEL + 0.3, sum(heights) + _TITLE + 0.3 * len(cases) + 0.5)
    grid = figure.subplots(len(cases), columns, squeeze=False, height_ratios=heights)
    for row, case in zip(grid, cases, strict=True):
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
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=7.5, color=INK)
    some = any((case.planes[0].truth == task.ignore_label).any() for case in cases)
    figure.legend(handles=mask_legend(task, some), loc="outside lower center", ncols=6, frameon=False, fontsize=8.5)
    return figure


def _wrapped(label: str) -> str:
    """The label in short lines, broken at its own joints."""
    return "\n".join(fill(part.replace("_", "_ "), _LINE).replace("_ ", "_") for part in label.split(" · "))


def _predicted(
    runs: Sequence[Run], wanted: Sequence[str], judgement: Judgement, number: int, store: Store
) -> tuple[list[tuple[Plane, float]], Task]:
    """The first plane of each case with the mask of the newest run that has tested it, and that run's score."""
    from seglab.evaluation.subject import Subject, find_subject
    from seglab.inference.predictor import Predictor

    contest = judgement.contest
    opened: dict[str, tuple[Subject, Predictor]] = {}
    drawn = []
    for case_id in wanted:
        values = contest.values[number, :, contest.cases.index(case_id)]
        tested = {contest.replicates[i] for i in np.flatnonzero(np.isfinite(values))}
        run = [r for r in runs if (r.tags.get("split_digest", ""), r.seed) in tested or len(runs) == 1][-1]
        if run.id not in opened:
            subject = find_subject(run.id, "test", uri=store.uri, directory=Path(store.directory))
            opened[run.id] = subject, Predictor.load(subject.found.folder)
        subject, predictor = opened[run.id]
        case = next(case for case in subject.source.cases if case.id == case_id)
        sample, truth = labelled(subject.source, case)
        mask = predictor.predict(sample.image, sample.spacing)
        anatomical = sample.affine is not None and predictor.task.rank == 3
        row = next((i for i, key in enumerate(contest.replicates) if key[1] == run.seed and np.isfinite(values[i])), 0)
        cut = planes(sample.image, truth, mask, sample.spacing, predictor.task.ignore_label, anatomical)[0]
        drawn.append((cut, float(values[row])))
    return drawn, predictor.task
