"""From the scores of the cases to the numbers that a run reports, with their interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from seglab.metric_names import TEST, of_class
from seglab.metrics.confusion import macro, overlaps, sizes
from seglab.metrics.shape_scores import LESION_COUNTS, LESION_SHARES, distance_names, distance_unit
from seglab.statistics import mean_interval
from seglab.task import Task


def unlike_scores(task: Task) -> str:
    """What is said wherever both kinds of score stand side by side."""
    unit = unit_of(task)
    return (
        f"val_dice is of all validation {unit} together, as the network is given them; test_dice is the mean of the "
        f"whole test cases' own. Of all {unit} of the test cases together: test_dice_dataset. The same goes for IoU."
    )


def unit_of(task: Task) -> str:
    """What is counted: pixels, or voxels."""
    return "pixels" if task.rank == 2 else "voxels"


def aggregate(cases: pd.DataFrame, confusion: np.ndarray, task: Task) -> dict[str, float]:
    """The final metrics of a run: those of `summary` under `test_…`."""
    return {f"{TEST}_{name}": value for name, value in summary(cases, confusion, task).items()}


def summary(cases: pd.DataFrame, confusion: np.ndarray, task: Task) -> dict[str, float]:
    """What is read off the counts of a set of cases. Of a task with regions these take the classes' place.

    `dice`, `iou`: mean over the cases of the case's mean over the scored classes. A class that neither truth nor
    prediction holds counts in no case, a case without any class left counts in no mean.
    `dice/<class>`, `iou/<class>`: mean over the cases in which the class is defined, unscored classes included.
    `dice_dataset`, `iou_dataset`: from one confusion matrix of all cases together, so large cases weigh more; the
    second is what road scenes call mIoU.
    `iou_frequency_weighted`: from that matrix too, each scored class weighted with its share of their true pixels (Long
    et al., Fully convolutional networks for semantic segmentation, 2015).
    `dice_ci_low`, `dice_ci_high`: see `case_intervals`.
    `cases`, `cases_undefined`: how many cases, and how many of them have no Dice.
    `…_with_<class>` of `dice`, `iou`, `dice_dataset` and `iou_dataset`: the same means with an unscored class that is
    no background (id 0), such as void, counted as one more class.

    Args:
        cases: one row a case with the columns of `seglab.evaluation.case_scores.score_case`.
        confusion: `(K, K)` counts of all cases.
        task: names of the classes, and which are scored.
    """
    per_class = dict(zip(("dice", "iou"), overlaps(sizes(confusion, task)), strict=True))
    low, high = case_intervals(cases[["dice"]].to_numpy(float))[0]
    metrics = {
        "dice": _mean(cases["dice"]),
        "iou": _mean(cases["iou"]),
        "dice_ci_low": float(low),
        "dice_ci_high": float(high),
        "dice_dataset": macro(per_class["dice"], task),
        "iou_dataset": macro(per_class["iou"], task),
        "iou_frequency_weighted": _frequency_weighted(confusion, per_class["iou"], task),
        "cases": float(len(cases)),
        "cases_undefined": float(cases["dice"].isna().sum()),
    }
    for name in task.score_names:
        metrics[of_class("dice", name)] = _mean(cases[of_class("dice", name)])
        metrics[of_class("iou", name)] = _mean(cases[of_class("iou", name)])
    for k in task.unscored:
        if k:
            more = replace(task, unscored=tuple(other for other in task.unscored if other != k))
            names = [task.class_names[other] for other in more.scored]
            for score, values in per_class.items():
                columns = cases[[of_class(score, name) for name in names]]
                metrics[f"{score}_with_{task.class_names[k]}"] = _mean(columns.mean(axis=1))
                metrics[f"{score}_dataset_with_{task.class_names[k]}"] = macro(values, more)
    return metrics


def shape_summary(cases: pd.DataFrame, task: Task, tolerance: float) -> dict[str, float]:
    """What is made of the columns of `seglab.metrics.shape_scores.score_shapes`, for the scored classes.

    `hd95_nonempty`, `assd_nonempty`, `nsd_<tolerance><unit>`: means over the cases that have them, also `/<class>`.
    `one_empty/<class>`: cases in which only truth or only prediction holds the class, so that no distance tells of it.
    `precision/<class>`, `recall/<class>`, `lesion_precision/<class>`, `lesion_recall/<class>`: means over the cases.
    `lesion_recall_dataset/<class>`, `lesion_precision_dataset/<class>`: of the lesions of all cases together.
    `volume_error/<class>`: mean with its sign, which shows a bias; `volume_error_abs/<class>`: mean of its size.
    """
    metrics = {name: _mean(cases[name]) for name in distance_names(task, tolerance)}
    for k in task.counted:
        name = task.score_names[k]
        for score in (*distance_names(task, tolerance), "precision", "recall", *LESION_SHARES, "volume_error"):
            metrics[of_class(score, name)] = _mean(cases[of_class(score, name)])
        metrics[of_class("volume_error_abs", name)] = _mean(cases[of_class("volume_error", name)].abs())
        there, predicted_there = (cases[of_class(count, name)] > 0 for count in ("true", "predicted"))
        metrics[of_class("one_empty", name)] = float((there != predicted_there).sum())
        true, predicted, found, right = (cases[of_class(count, name)].sum() for count in LESION_COUNTS)
        metrics[of_class("lesion_recall_dataset", name)] = found / true if true else np.nan
        metrics[of_class("lesion_precision_dataset", name)] = right / predicted if predicted else np.nan
    return metrics


def _frequency_weighted(confusion: np.ndarray, iou: np.ndarray, task: Task) -> float:
    scored = list(task.counted)
    weight = sizes(confusion, task).true[scored].astype(float)
    return float((weight * np.nan_to_num(iou[scored])).sum() / weight.sum()) if weight.sum() else np.nan


def case_intervals(values: np.ndarray) -> np.ndarray:
    """Intervals at 95% of the means of several scores over cases (`seglab.statistics.mean_interval`); NaN is left out.

    They say where the mean of this trained model would lie over other cases, and nothing of other seeds.

    Args:
        values: `(cases, scores)`, each from 0 to 1.

    Returns:
        `(scores, 2)`: lower and upper end; NaN where fewer than two cases have the score: one says nothing of a spread.
    """
    return np.array([mean_interval(scores[None], bounds=(0.0, 1.0))[1:] for scores in values.T])


def score_table(cases: pd.DataFrame, confusion: np.ndarray, task: Task, *, title: str = "") -> Table:
    """The scores of a run for a terminal: each class, the mean, and all pixels taken together.

    Args:
        cases: one row a case.
        confusion: counts of all cases.
        task: names of the classes.
        title: above the table.
    """
    unit = unit_of(task)
    undefined = int(cases["dice"].isna().sum())
    caption = f"mean over {len(cases)} case{'s' * (len(cases) != 1)}, [95% interval]"
    if undefined:
        caption += f"; {undefined} without foreground left out"
    table = Table(title=escape(title) or None, caption=escape(caption), box=SIMPLE_HEAD, pad_edge=False)
    table.title_justify = table.caption_justify = "left"
    table.add_column("region" if task.regions else "class")
    table.add_column("Dice", no_wrap=True)
    table.add_column("IoU", no_wrap=True)
    table.add_column(f"true {unit}", justify="right", no_wrap=True)
    columns = [of_class(score, name) for name in task.score_names for score in ("dice", "iou")] + ["dice", "iou"]
    values = cases[columns].to_numpy(float)
    intervals = dict(zip(columns, case_intervals(values), strict=True))
    true = sizes(confusion, task).true
    for k, name in enumerate(task.score_names):
        cells = _cells(cases, intervals, of_class("dice", name), of_class("iou", name))
        table.add_row(escape(name), *cells, f"{true[k]:,}", style=None if k in task.counted else "dim")
    table.add_section()
    cells = _cells(cases, intervals, "dice", "iou")
    mean = "mean of foreground" if task.unscored == (0,) else f"mean of {len(task.scored)} classes"
    table.add_row("mean of regions" if task.regions else mean, *cells, "", style="bold")
    dice, iou = overlaps(sizes(confusion, task))
    table.add_row(f"all {unit} as one", _number(macro(dice, task)), _number(macro(iou, task)), "")
    return table


def shape_table(cases: pd.DataFrame, task: Task, tolerance: float) -> Table:
    """Distances, volumes and lesions for a terminal: a row for each scored class, means over the cases that have them.

    Args:
        cases: one row a case, with the columns of `score_case` and `score_shapes`.
        task: which classes are scored.
        tolerance: of the surface Dice.
    """
    metrics = shape_summary(cases, task, tolerance)
    unit = distance_unit(task)
    hd95, assd, nsd = distance_names(task, tolerance)
    table = Table(
        caption="Means over cases. HD95 and ASSD: of those where truth and prediction both hold the class; one empty: "
        "cases where only one does. Lesions: share of the true that are found, of the predicted that are right.",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.caption_justify = "left"
    table.add_column("region" if task.regions else "class", no_wrap=True)
    columns = {f"HD95 {unit}": hd95, f"ASSD {unit}": assd, nsd.replace("nsd_", "NSD "): nsd}
    columns |= {"volume error": "volume_error", "lesions found": "lesion_recall", "lesions right": "lesion_precision"}
    for title in (*columns, "one empty"):
        table.add_column(title, justify="right", min_width=max(map(len, title.split())))
    for name in (task.score_names[k] for k in task.counted):
        empty = f"{metrics[of_class('one_empty', name)]:.0f}"
        table.add_row(escape(name), *(_number(metrics[of_class(score, name)]) for score in columns.values()), empty)
    return table


def _cells(cases: pd.DataFrame, intervals: Mapping[str, np.ndarray], *columns: str) -> list[str]:
    cells = []
    for column in columns:
        low, high = intervals[column]
        interval = "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"
        cells.append(escape(_number(_mean(cases[column])) + interval))
    return cells


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _mean(scores: pd.Series) -> float:
    """Mean without NaN; NaN of nothing."""
    return float(scores.mean())
