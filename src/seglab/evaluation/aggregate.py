"""From the scores of the cases to the numbers that a run reports, with their interval."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from seglab.confusion import dice_iou, macro
from seglab.task import Task

RESAMPLES = 10_000
LEVEL = 0.95
COUNTS_AT_ONCE = 4_000_000  # bounds the memory of the bootstrap to some ten megabytes


def aggregate(cases: pd.DataFrame, confusion: np.ndarray, task: Task) -> dict[str, float]:
    """The final metrics of a run.

    `test_dice`, `test_iou`: mean over the cases of the case's mean over its classes without background. A class that
    neither truth nor prediction holds counts in no case, a case without any class left counts in no mean.
    `test_dice/<class>`, `test_iou/<class>`: mean over the cases in which the class is defined, background included.
    `test_dice_dataset`, `test_iou_dataset`: from the counts of all cases together, so large cases weigh more.
    `test_dice_ci_low`, `test_dice_ci_high`: see `bootstrap_interval`.
    `test_cases`, `test_cases_undefined`: how many cases, and how many of them have no Dice.

    Args:
        cases: one row a case with the columns of `seglab.evaluation.cases.score_case`.
        confusion: `(K, K)` counts of all cases.
        task: names of the classes.
    """
    dice, iou = dice_iou(confusion)
    low, high = bootstrap_interval(cases[["dice"]].to_numpy(float))[0]
    metrics = {
        "test_dice": _mean(cases["dice"]),
        "test_iou": _mean(cases["iou"]),
        "test_dice_ci_low": float(low),
        "test_dice_ci_high": float(high),
        "test_dice_dataset": macro(dice, task),
        "test_iou_dataset": macro(iou, task),
        "test_cases": float(len(cases)),
        "test_cases_undefined": float(cases["dice"].isna().sum()),
    }
    for name in task.class_names:
        metrics[f"test_dice/{name}"] = _mean(cases[f"dice/{name}"])
        metrics[f"test_iou/{name}"] = _mean(cases[f"iou/{name}"])
    return metrics


def bootstrap_interval(values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Percentile intervals at 95% of the means of several scores over cases (Efron 1979).

    The cases are drawn anew with replacement, the same draw for every score; NaN is left out of each mean.

    Args:
        values: `(cases, scores)`.
        resamples: number of draws.
        seed: of the draws.

    Returns:
        `(scores, 2)`: lower and upper end; NaN where fewer than two cases have the score: one says nothing of a spread.
    """
    count = len(values)
    intervals = np.full((values.shape[1], 2), np.nan)
    defined = np.isfinite(values)
    enough = defined.sum(axis=0) >= 2
    if not enough.any():
        return intervals
    filled = np.where(defined, values, 0)
    rng = np.random.default_rng(seed)
    means = []
    while resamples > 0:
        rows = min(resamples, max(1, COUNTS_AT_ONCE // count))
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(float)
        with np.errstate(invalid="ignore"):  # a draw in which nothing is defined is NaN and left out below
            means.append((times @ filled) / (times @ defined))
        resamples -= rows
    tail = 50 * (1 - LEVEL)
    intervals[enough] = np.nanpercentile(np.concatenate(means)[:, enough], (tail, 100 - tail), axis=0).T
    return intervals


def score_table(cases: pd.DataFrame, confusion: np.ndarray, task: Task, *, title: str = "") -> Table:
    """The scores of a run for a terminal: each class, the mean, and all pixels taken together.

    Args:
        cases: one row a case.
        confusion: counts of all cases.
        task: names of the classes.
        title: above the table.
    """
    unit = "pixels" if task.rank == 2 else "voxels"
    undefined = int(cases["dice"].isna().sum())
    caption = f"mean over {len(cases)} case{'s' * (len(cases) != 1)}, [95% bootstrap interval]"
    if undefined:
        caption += f"; {undefined} without foreground left out"
    table = Table(title=escape(title) or None, caption=escape(caption), box=SIMPLE_HEAD, pad_edge=False)
    table.title_justify = table.caption_justify = "left"
    table.add_column("class")
    table.add_column("Dice", no_wrap=True)
    table.add_column("IoU", no_wrap=True)
    table.add_column(f"true {unit}", justify="right", no_wrap=True)
    columns = [f"{score}/{name}" for name in task.class_names for score in ("dice", "iou")] + ["dice", "iou"]
    values = cases[columns].to_numpy(float)
    intervals = dict(zip(columns, bootstrap_interval(values), strict=True))
    for k, name in enumerate(task.class_names):
        cells = _cells(cases, intervals, f"dice/{name}", f"iou/{name}")
        table.add_row(escape(name), *cells, f"{confusion[k].sum():,}", style="dim" if k in task.unscored else None)
    table.add_section()
    cells = _cells(cases, intervals, "dice", "iou")
    table.add_row(
        "mean of foreground" if task.unscored == (0,) else f"mean of {len(task.scored)} classes",
        *cells,
        "",
        style="bold",
    )
    dice, iou = dice_iou(confusion)
    table.add_row(f"all {unit} as one", _number(macro(dice, task)), _number(macro(iou, task)), "")
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
