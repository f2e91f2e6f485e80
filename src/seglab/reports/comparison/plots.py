"""Pictures of a comparison, each a matplotlib figure made without pyplot. Colours and line styles tell variants
apart under the common kinds of colour blindness."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from seglab.comparison.runs import StoredRun
from seglab.metric_names import TRAIN, VAL, MetricName
from seglab.viz.figures import FAINT, INK, epochs_along

# The palette of Okabe and Ito (2008), without its yellow, which is too light for a line.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f6a3f")
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
CURVES_DRAWN, BOXES_DRAWN = 8, 15


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()


def draw_curves(labels: Sequence[str], runs: Sequence[Sequence[StoredRun]], metrics: Sequence[str]) -> Figure:
    """A panel for each metric over the epochs: mean over the seeds, and a band from the lowest to the highest seed.

    Args:
        labels: of the variants, the best first; the first eight are drawn.
        runs: of each variant.
        metrics: such as `val_dice`.
    """
    figure = _figure(11, 4.0)
    for axes, metric in zip(np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True):
        for i, (label, members) in enumerate(zip(labels[:CURVES_DRAWN], runs, strict=False)):
            curves = [run.curve(metric) for run in members]
            epochs = np.unique(np.concatenate([steps for steps, _ in curves]))
            if not len(epochs):
                continue
            table = np.full((len(curves), len(epochs)), np.nan)
            for row, (steps, values) in zip(table, curves, strict=True):
                row[np.searchsorted(epochs, steps)] = values
            shown = np.isfinite(table).any(axis=0)
            epochs, table = epochs[shown], table[:, shown]
            color = COLORS[i % len(COLORS)]
            style = {"color": color, "ls": STYLES[i % len(STYLES)], "marker": "o" if len(epochs) < 3 else None}
            axes.plot(epochs, np.nanmean(table, axis=0), lw=1.8, label=label, **style)
            if len(table) > 1:
                axes.fill_between(
                    epochs, np.nanmin(table, axis=0), np.nanmax(table, axis=0), color=color, alpha=0.13, lw=0
                )
        _style(axes, "", named(metric))
        epochs_along(axes)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    return figure


def draw_cases(labels: Sequence[str], scores: Sequence[np.ndarray], metric: str) -> Figure:
    """A box for each variant over its cases, every case a point; the best at the top.

    Args:
        labels: of the variants, the best first; the first fifteen are drawn.
        scores: for each variant one score a case, NaN left out.
        metric: for the axis.
    """
    labels = labels[:BOXES_DRAWN]
    shown = [values[np.isfinite(values)] for values in scores[: len(labels)]]
    figure = _figure(9.5, 0.9 + 0.45 * len(labels))
    axes = figure.subplots()
    places = np.arange(len(labels))
    axes.boxplot(
        shown,
        positions=places,
        orientation="horizontal",
        widths=0.55,
        showfliers=False,
        medianprops={"color": INK, "lw": 2},
        boxprops={"color": "#8395a7"},
        whiskerprops={"color": "#8395a7"},
        capprops={"color": "#8395a7"},
    )
    rng = np.random.default_rng(0)
    for place, values in enumerate(shown):
        height = place + rng.uniform(-0.16, 0.16, len(values))
        axes.scatter(values, height, s=12, color=COLORS[place % len(COLORS)], alpha=0.65, lw=0, zorder=3)
    axes.set_yticks(places, labels, fontsize=8.5)
    axes.invert_yaxis()
    _style(axes, f"{named(metric)} of a case (mean over its runs)", "")
    return figure


def draw_differences(
    labels: Sequence[str], differences: Sequence[tuple[float, float, float] | None], places: Sequence[str], metric: str
) -> Figure:
    """Each variant's difference to the best with its interval; those that are not shown to be worse are filled.

    Args:
        labels: of the variants, the best first; the first fifteen are drawn.
        differences: of each the difference and both ends of its interval, NaN where there is none; None of the best.
        places: of each `best`, `tied`, `worse` or `undecided`.
        metric: for the axis.
    """
    looks = {"best": (COLORS[2], COLORS[2]), "tied": (COLORS[0], COLORS[0]), "worse": (COLORS[1], "white")}
    labels = labels[:BOXES_DRAWN]
    figure = _figure(9.5, 1.1 + 0.42 * len(labels))
    axes = figure.subplots()
    axes.axvline(0, color=INK, lw=1.2, ls=":")
    for height, (difference, place) in enumerate(zip(differences[: len(labels)], places, strict=False)):
        middle, low, high = difference or (0.0, np.nan, np.nan)
        edge, face = looks.get(place, ("#8395a7", "white"))
        axes.plot([low, high], [height, height], color=edge, lw=2.4, solid_capstyle="butt")
        axes.plot([middle], [height], MARKERS[0], color=edge, mfc=face, ms=8, mew=1.8)
        axes.annotate(place, (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8.5, color=edge)
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5)
    axes.invert_yaxis()
    _style(axes, f"{named(metric)}: difference to the best, with its 95% interval", "")
    return figure


def draw_costs(
    labels: Sequence[str], scores: np.ndarray, costs: Sequence[tuple[str, np.ndarray]], metric: str, lower: bool
) -> Figure:
    """The score against each cost on a logarithmic axis, with the variants that no other beats in both.

    Args:
        labels: of the variants, the best first.
        scores: mean score of each.
        costs: name of the axis and cost of each variant, NaN where it is not known.
        metric: for the axis.
        lower: less of the score is better.
    """
    figure = _figure(11, 4.2)
    for axes, (name, cost) in zip(np.atleast_1d(figure.subplots(1, len(costs))), costs, strict=True):
        for i, label in enumerate(labels[:CURVES_DRAWN]):
            style = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}
            axes.scatter(cost[i], scores[i], s=62, label=label, zorder=4, **style)
        if len(labels) > CURVES_DRAWN:
            rest = f"{len(labels) - CURVES_DRAWN} more"
            axes.scatter(cost[CURVES_DRAWN:], scores[CURVES_DRAWN:], s=22, color="#b0b7bf", label=rest, zorder=3)
        if len(labels) > 1:
            front = pareto_front(cost, scores if not lower else -scores)
            axes.plot(cost[front], scores[front], color=INK, lw=1.5, ls=":", zorder=2, label="Pareto front")
        known = cost[np.isfinite(cost) & (cost > 0)]
        if len(known) and known.max() > 1.05 * known.min():
            axes.set_xscale("log")
            if known.max() < 20 * known.min():
                # Of a wide range no more than has room between two powers of ten.
                axes.xaxis.set_minor_locator(LogLocator(subs=range(2, 9) if known.max() < 3 * known.min() else (2, 5)))
                axes.xaxis.set_minor_formatter(FuncFormatter(_short))
                axes.tick_params(axis="x", which="minor", labelsize=7.5)
            axes.xaxis.set_major_formatter(FuncFormatter(_short))
        _style(axes, name, named(metric))
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    return figure


def pareto_front(cost: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Numbers of the points than which none costs less and gains as much, by rising cost."""
    front, highest = [], -np.inf
    for i in np.lexsort((-gain, cost)):
        if np.isfinite(cost[i]) and np.isfinite(gain[i]) and gain[i] > highest:
            front.append(int(i))
            highest = gain[i]
    return np.array(front, int)


def draw_critical_difference(labels: Sequence[str], means: np.ndarray, apart: np.ndarray, metric: str) -> Figure:
    """Means on a line, the best on the left, a bar over those that are not told apart.

    The layout is that of Demšar, JMLR 7 (2006), figure 1, which shows ranks.

    Args:
        labels: of the variants, the best first.
        means: of each, in that order.
        apart: which two differ.
        metric: for the axis.
    """
    count = len(means)
    groups = indistinct_groups(apart)
    span = max(abs(float(means[-1] - means[0])), 1e-3)
    places = (means - means[0]) / (means[-1] - means[0]) if means[-1] != means[0] else np.zeros(count)
    half = (count + 1) // 2
    step, top = 0.32, 0.3 + 0.16 * len(groups)
    depth = top + step * half + 0.1
    figure = _figure(11, max(1.9, 1.0 + 1.15 * depth))
    axes = figure.subplots()
    margin = 0.7
    axes.set_xlim(-margin, 1 + margin)
    axes.set_ylim(-depth, 0.7)
    axes.axis("off")
    axes.plot([0, 1], [0, 0], color=INK, lw=1.4)
    for tick in np.linspace(0, 1, 6):
        axes.plot([tick, tick], [0, 0.09], color=INK, lw=1.2)
        value = means[0] + tick * np.sign(means[-1] - means[0]) * span
        axes.text(tick, 0.14, f"{value:.3f}", ha="center", va="bottom", fontsize=9, color=INK)
    axes.text(0.5, 0.44, named(metric), ha="center", va="bottom", fontsize=9, color=INK)
    for level, (first, last) in enumerate(groups):
        height = -0.16 - 0.16 * level
        axes.plot([places[first] - 0.008, places[last] + 0.008], [height, height], color="#d55e00", lw=4.5)
    for number, (label, place, mean) in enumerate(zip(labels, places, means, strict=True)):
        left = number < half
        height = -top - step * (number if left else count - 1 - number)
        end = -0.03 if left else 1.03
        axes.plot([place, place, end], [0, height, height], color="#5d6d7e", lw=0.9, zorder=1)
        axes.text(
            end + (-0.01 if left else 0.01),
            height,
            f"{label}  ({mean:.3f})",
            ha="right" if left else "left",
            va="center",
            fontsize=8.5,
        )
    return figure


def indistinct_groups(apart: np.ndarray) -> list[tuple[int, int]]:
    """First and last of each longest row of neighbours of which no two are told apart."""
    groups: list[tuple[int, int]] = []
    for first in range(len(apart)):
        last = first
        while last + 1 < len(apart) and not apart[first : last + 1, last + 1].any():
            last += 1
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups


def named(metric: str) -> str:
    """A metric as an axis says it: `val_dice/road` is "validation Dice of all pixels, road", for the scores of the
    epochs are no means of cases as the final ones are."""
    stage, (score, of), evaluated = MetricName.parse(metric)
    split = evaluated or stage
    known = {"dice": "Dice", "iou": "IoU", "volume_error_abs": "size of the volume error"}
    words = known.get(score, score.replace("_", " "))
    if split in (TRAIN, VAL) and score in ("dice", "iou"):
        words += " of all pixels"
    split = "validation" if split == VAL else split
    return f"{split} {words}" + (f", {of}" if of else "")


def _short(value: float, _: int | None = None) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _style(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.grid(color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
