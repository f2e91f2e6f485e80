"""Pictures of a run: its learning curves, and cases with their truth, prediction and errors.

Every function returns a `matplotlib.figure.Figure` with an Agg canvas, made without pyplot: nothing has to be
closed, and nothing global changes but that a `$` is a dollar, for ids and names are no formulas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from seglab.data.cases import Source
from seglab.data.labelled import labelled
from seglab.inference.predictor import Predictor
from seglab.task import Task
from seglab.viz.examples import pick_cases
from seglab.viz.overlay import colored, error_map, hatched, mask_legend
from seglab.viz.planes import Plane, planes

matplotlib.rcParams["text.parse_math"] = False
INK, FAINT, TRAIN_COLOR, VAL_COLOR = "#222f3e", "#dfe4ea", "#8395a7", "#c44536"
CURVES = {"loss": "Loss", "dice": "Dice", "iou": "IoU"}

PANEL_INCHES, TITLE_INCHES, COLUMN_TITLE_INCHES = 2.5, 0.26, 0.2
COLUMNS = ("Input", "Truth", "Prediction", "Errors")


@dataclass(frozen=True)
class Example:
    """A case to draw.

    Attributes:
        case_id: for the title.
        image: `(H, W, C)` or `(X, Y, Z, C)` raw intensities.
        truth: class ids with the task's `ignore_label`.
        prediction: class ids.
        spacing: size of a pixel or voxel along each axis; gives the pixels their shape.
        dice: the case's score; NaN where it is not defined.
        place: what the case stands for, such as "worst".
        anatomical: the axes of a volume run to right, anterior and superior, and the picture says so.
    """

    case_id: str
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    spacing: tuple[float, ...]
    dice: float
    place: str = ""
    anatomical: bool = False


def curves(history: Sequence[Mapping[str, float]], *, best_epoch: int | None = None, title: str = "") -> Figure:
    """Loss, Dice and IoU over the epochs, for training and validation; scores of all pixels of a split together.

    Args:
        history: one mapping for each epoch, in order, with any of `train_loss`, `val_loss`, `train_dice`, `val_dice`,
            `train_iou`, `val_iou`, and `epoch` where the first is not 1.
        best_epoch: the epoch whose weights were kept, marked in every panel; counted like `epoch`.
        title: above the panels, such as the run's name.
    """
    table = pd.DataFrame(list(history))
    epochs = table["epoch"].to_numpy() if "epoch" in table else np.arange(1, len(table) + 1)
    figure = blank_figure(11.5, 3.6)
    for axes, (metric, label) in zip(figure.subplots(1, len(CURVES)), CURVES.items(), strict=True):
        for split, color in (("train", TRAIN_COLOR), ("val", VAL_COLOR)):
            if f"{split}_{metric}" in table:
                values = table[f"{split}_{metric}"].to_numpy(float)
                axes.plot(epochs, values, color=color, lw=1.8, marker="o" if len(table) < 3 else None, label=split)
        _style_curve(axes, label)
        value = _mark_best(axes, epochs, best_epoch)
        what = label if label == "Loss" else f"{label} of all pixels, mean of the classes"
        at_best = f"validation {value} in the epoch that is kept" if value else " "
        axes.set_title(f"{what}\n{at_best}", fontsize=10, color=INK)
    handles = [
        Line2D([], [], color=TRAIN_COLOR, lw=1.8, label="training"),
        Line2D([], [], color=VAL_COLOR, lw=1.8, label="validation"),
    ]
    if best_epoch is not None:
        handles.append(
            Line2D(
                [],
                [],
                color=INK,
                lw=1,
                ls="--",
                marker="o",
                ms=5,
                mfc=VAL_COLOR,
                label=f"epoch that is kept, {best_epoch}",
            )
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold", color=INK)
    return figure


def case_panel(examples: Sequence[Example], task: Task) -> Figure:
    """Input, truth, prediction and errors of each case, side by side; a volume in its three planes.

    The planes go through the voxel of the true foreground that lies nearest to its centre. Truth and prediction are
    drawn in the classes' colours (background left clear), errors in their own: foreground found, false, missed, and,
    with several foreground classes, taken for another class. Pixels that are not scored are hatched.

    Args:
        examples: one block of rows each, such as the best, the median and the worst case; without any, the picture
            says why.
        task: classes, colours and the label to ignore.
    """
    if not examples:
        figure = blank_figure(len(COLUMNS) * PANEL_INCHES, 1)
        figure.text(0.5, 0.5, "no case has a Dice: none holds any foreground", ha="center", va="center", color=INK)
        return figure
    blocks = [planes(e.image, e.truth, e.prediction, e.spacing, task.ignore_label, e.anatomical) for e in examples]
    sizes = [_row_inches(block) for block in blocks]
    frame_inches = [sum(rows) + TITLE_INCHES for rows in sizes]
    frame_inches[0] += COLUMN_TITLE_INCHES
    figure = blank_figure(len(COLUMNS) * PANEL_INCHES + 0.4, sum(frame_inches) + 0.6)
    frames = figure.subfigures(len(blocks), 1, height_ratios=frame_inches, squeeze=False)[:, 0]
    for frame, example, block, rows in zip(frames, examples, blocks, sizes, strict=True):
        frame.suptitle(_title(example), fontsize=10.5, fontweight="bold", color=INK, x=0.01, ha="left")
        grid = frame.subplots(len(block), len(COLUMNS), squeeze=False, height_ratios=rows)
        widest = max(plane.width for plane in block)
        for row, plane in zip(grid, block, strict=True):
            _draw_plane(row, plane, task, widest)
        if frame is frames[0]:
            for axes, name in zip(grid[0], COLUMNS, strict=True):
                axes.set_title(name, fontsize=10, color=INK)
    ignored = any((plane.truth == task.ignore_label).any() for block in blocks for plane in block)
    figure.legend(handles=mask_legend(task, ignored), loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    return figure


def case_panels(examples: Sequence[Example], task: Task) -> dict[str, Figure]:
    """`case_panel` of all of them as `cases`; of volumes, which take three planes each, one by each example's place."""
    if task.rank == 2 or not examples:
        return {"cases": case_panel(examples, task)}
    return {example.place: case_panel([example], task) for example in examples}


def pick_examples(predictor: Predictor, source: Source, scores: pd.DataFrame) -> list[Example]:
    """The best, the median and the worst case of `score_cases`, read and predicted once more, to be drawn."""
    cases = {case.id: case for case in source.cases}
    dice = dict(zip(scores["id"], scores["dice"], strict=True))
    examples = []
    for place, case_id in pick_cases(scores).items():
        sample, truth = labelled(source, cases[case_id])
        examples.append(
            Example(
                case_id,
                sample.image,
                truth,
                predictor.predict(sample.seen, sample.spacing),
                sample.spacing,
                dice[case_id],
                place,
                anatomical=sample.affine is not None and source.task.rank == 3,
            )
        )
    return examples


def blank_figure(width: float, height: float) -> Figure:
    """An empty white figure of so many inches, drawn by Agg, laid out by constraints."""
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def quiet(axes: Axes) -> None:
    """A faint grid behind what is drawn, and no frame above and at the right."""
    axes.grid(True, color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def show(axes: Axes, picture: np.ndarray, plane: Plane) -> None:
    """The picture `(rows, columns, 3)` in the shape of its plane, in a thin frame without ticks."""
    extent = (0, plane.width, 0, plane.height)
    axes.imshow(picture, origin=plane.origin, extent=extent, aspect="equal", interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#b0b7bf")


def _row_inches(block: Sequence[Plane]) -> list[float]:
    """Height of each plane's row: all planes of a case at one scale, the widest as wide as its panel."""
    widest = max(plane.width for plane in block)
    return [max(PANEL_INCHES * plane.height / widest, 0.5) for plane in block]


def epochs_along(axes: Axes) -> None:
    """Whole epochs along the axis, from the first on: there is no epoch 0."""
    axes.set_xlabel("Epoch", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    axes.set_xlim(left=max(axes.get_xlim()[0], 0.5))


def _style_curve(axes: Axes, label: str) -> None:
    axes.set_ylabel(label, color=INK)
    epochs_along(axes)
    quiet(axes)
    if label != "Loss" and axes.lines:
        drawn = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
        lowest = np.nanmin(drawn, initial=1.0)
        axes.set_ylim(np.floor(max(lowest - 0.02, 0) * 10) / 10, 1.0)


def _mark_best(axes: Axes, epochs: np.ndarray, best_epoch: int | None) -> str:
    """Mark the epoch that is kept; returns validation's value in it for the title, where it hides no line."""
    if best_epoch is None or best_epoch not in epochs:
        return ""
    axes.axvline(best_epoch, color=INK, lw=1, ls="--", zorder=1)
    validation = next((line for line in axes.lines if line.get_label() == "val"), None)
    if validation is None:
        return ""
    value = float(np.asarray(validation.get_ydata())[list(epochs).index(best_epoch)])
    if not np.isfinite(value):
        return ""
    axes.plot([best_epoch], [value], "o", ms=6, color=VAL_COLOR, mec=INK, mew=1, zorder=4, clip_on=False)
    return f"{value:.3f}"


def _title(example: Example) -> str:
    dice = "Dice not defined (no foreground)" if np.isnan(example.dice) else f"Dice {example.dice:.3f}"
    place = f"{example.place[0].upper()}{example.place[1:]}: " if example.place else ""
    return f"{place}{example.case_id}   {dice}"


def _draw_plane(row: Sequence[Axes], plane: Plane, task: Task, widest: float) -> None:
    """One picture for each column, all `widest` wide, a narrower plane in the middle of black."""
    ignored = plane.truth == task.ignore_label
    dimmed = (0.35 + 0.5 * plane.image.mean(axis=-1, keepdims=True)).repeat(3, axis=-1)
    pictures = (
        plane.image,
        hatched(colored(plane.image, plane.truth, task), ignored),
        colored(plane.image, plane.prediction, task),
        hatched(error_map(dimmed, plane.truth, plane.prediction, task), ignored),
    )
    for axes, picture in zip(row, pictures, strict=True):
        show(axes, picture, plane)
        axes.set(xlim=((plane.width - widest) / 2, (plane.width + widest) / 2), facecolor="black")
    row[0].set_ylabel(plane.name, fontsize=9, color=INK)
    places = ((0.04, 0.5), (0.96, 0.5), (0.5, 0.05), (0.5, 0.95))
    for (x, y), letter in zip(places, plane.edges, strict=False):
        text = row[0].text(
            x, y, letter, transform=row[0].transAxes, fontsize=8, color="white", ha="center", va="center"
        )
        text.set_path_effects([withStroke(linewidth=1.5, foreground="black")])
