"""Pictures of an evaluation: reliability, confusion, and the spread of the cases."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seglab.metric_names import of_class
from seglab.metrics.calibration import BINS, Reliability
from seglab.metrics.shape_scores import HD95
from seglab.task import Task
from seglab.viz.figures import INK, TRAIN_COLOR, VAL_COLOR, blank_figure, quiet

BAR, TOO_SURE, TOO_SHY = "#4c78a8", "#e7a3a0", "#8fcfbd"
FEWEST_FOR_BOX = 5
MOST_NUMBERS = 12  # classes up to which every cell of the confusion matrix carries its number
LONGEST_NAME = 18


def reliability_diagram(kinds: Mapping[str, Reliability], title: str = "") -> Figure:
    """Accuracy over confidence, a panel for each kind (such as "as trained" and "temperature 1.8"), and below it how
    many pixels each bin holds. On the diagonal a model is as sure as it is right.

    Args:
        kinds: reliability by the name of the panel.
        title: above the panels.
    """
    figure = blank_figure(4.1 * len(kinds) + 0.3, 5.2)
    grid = figure.subplots(2, len(kinds), squeeze=False, height_ratios=(4, 1), sharex=True)
    edges = np.arange(BINS) / BINS
    for (upper, lower), (name, found) in zip(grid.T, kinds.items(), strict=True):
        wide = {"width": 1 / BINS, "align": "edge", "edgecolor": "white", "linewidth": 0.5}
        accuracy, confidence = np.nan_to_num(found.accuracy), np.nan_to_num(found.confidence)
        both, gap = np.minimum(accuracy, confidence), np.abs(accuracy - confidence)
        upper.bar(edges, both, color=BAR, **wide)
        for color, where, label in (
            (TOO_SURE, confidence > accuracy, "surer than right"),
            (TOO_SHY, confidence < accuracy, "less sure than right"),
        ):
            upper.bar(edges, np.where(where, gap, 0), bottom=both, color=color, label=label, **wide)
        held = found.count > 0
        upper.hlines(accuracy[held], edges[held], edges[held] + 1 / BINS, color=INK, lw=1.8, label="accuracy")
        upper.plot([0, 1], [0, 1], color=INK, lw=1, ls="--", label="as sure as right")
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="Accuracy")
        upper.set_title(f"{name}: ECE {found.ece:.4f}", fontsize=10, color=INK)
        share = found.count / max(found.count.sum(), 1)
        lower.bar(edges, share, color=TRAIN_COLOR, **wide)
        lower.set(ylim=(0, 1), ylabel="Share", xlabel="Confidence (probability of the chosen class)")
        for axes in (upper, lower):
            quiet(axes)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold", color=INK)
    return figure


def confusion_diagram(confusion: np.ndarray, task: Task, title: str = "") -> Figure:
    """Of the pixels of each true class (a row), the share that was given each class (a column).

    Args:
        confusion: `(K, K)` counts, row the true class.
        task: names of the classes.
        title: above the matrix.
    """
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.where(totals > 0, confusion / np.maximum(totals, 1), np.nan)
    side = max(3.6, 0.52 * task.classes + 1.8)
    figure = blank_figure(side + 1, side)
    axes = figure.subplots()
    picture = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    names = [_short(name) for name in task.class_names]
    axes.set_xticks(range(task.classes), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(range(task.classes), names, fontsize=9)
    axes.set(xlabel="Predicted class", ylabel="True class")
    if task.classes <= MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            text = "–" if np.isnan(share) else f"{share:.2f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if share > 0.55 else INK)
    figure.colorbar(picture, ax=axes, shrink=0.8, label="share of the true class's pixels")
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold", color=INK)
    return figure


def spread_diagram(cases: pd.DataFrame, scores: Mapping[str, str], task: Task, title: str = "") -> Figure:
    """For each score a panel, for each scored class every case as a point, and a box over them from five on.

    Args:
        cases: a row for each case, with a column `<score>/<class>`.
        scores: label of each panel by the name of its score.
        task: which classes are scored.
        title: above the panels.
    """
    names = [task.score_names[k] for k in task.counted]
    height = max(2.4, 0.34 * len(names) + 1.4)
    figure = blank_figure(3.6 * len(scores) + 1.2, height)
    rng = np.random.default_rng(0)
    for axes, (score, label) in zip(figure.subplots(1, len(scores), squeeze=False)[0], scores.items(), strict=True):
        for row, name in enumerate(names):
            values = cases[of_class(score, name)].to_numpy(float)
            values = values[np.isfinite(values)]
            if len(values) >= FEWEST_FOR_BOX:
                axes.boxplot(
                    values,
                    positions=[row],
                    orientation="horizontal",
                    widths=0.6,
                    showfliers=False,
                    medianprops={"color": VAL_COLOR, "lw": 1.6},
                    boxprops={"color": INK},
                    whiskerprops={"color": INK},
                    capprops={"color": INK},
                )
            axes.plot(values, row + rng.uniform(-0.2, 0.2, len(values)), ".", color=BAR, ms=4, alpha=0.6, zorder=1)
        first = axes.get_subplotspec().is_first_col()
        axes.set_yticks(range(len(names)), [_short(name) for name in names] if first else [], fontsize=9)
        axes.set(ylim=(len(names) - 0.4, -0.6), xlabel=label)
        if score == HD95:
            axes.set_xlim(left=0)
        else:  # a share: little differences are not drawn large
            drawn = cases[[of_class(score, name) for name in names]].to_numpy(float)
            axes.set_xlim(np.floor(np.nanmin(drawn, initial=0.9) * 10) / 10 - 0.01, 1.01)
        quiet(axes)
    figure.supxlabel(f"each point one of {len(cases)} cases; box: quartiles, red: median", fontsize=9, color=INK)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold", color=INK)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
