"""The judge, and what is made of its verdicts: curves, times to the goal, ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from benchmarks.quality.points import Job
from seglab.evaluation.case_scores import score_case
from seglab.metrics.confusion import confusion_matrix
from seglab.task import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# How many times as long a peer takes to the goal, at least.
TARGETS = {"nnunet": 10.0, "monai": 2.0}
# Of a picture, how far its axis goes below the goal.
SHOWN_BELOW = 0.2
SPARE = 1.2  # of its minutes, beside the first point and the last
TITLES = {"seglab": "seglab", "monai": "MONAI", "nnunet": "nnU-Net"}


@dataclass(frozen=True)
class Point:
    """A system at a time.

    Attributes:
        seconds: on its clock.
        steps: that it had trained.
        dice: mean over held-out cases of the mean over classes but the background.
    """

    seconds: float
    steps: int
    dice: float


def judged(job: Job, masks: Path, task: Task) -> float:
    """The mean Dice of the held-out cases, as seglab counts it, of masks whoever made them.

    Raises:
        ValueError: a mask of another size than the truth.
    """
    found = []
    for case in job.cases("val"):
        file = masks / f"{case}.nii.gz"
        truth, mask = _voxels(job.label(case)), _voxels(file)
        if truth.shape != mask.shape:
            raise ValueError(f"{file}: {mask.shape} voxels, the truth has {truth.shape}")
        found.append(score_case(confusion_matrix(truth, mask, task), task)["dice"])
    return float(np.nanmean(found))


def _voxels(file: Path) -> np.ndarray:
    volume = nib.as_closest_canonical(nib.load(file))  # type: ignore[no-untyped-call]
    return np.asarray(volume.dataobj).astype(np.uint8)


@dataclass(frozen=True)
class Known:
    """A number, or what it lies below or above: `sign` is `` (as it is), `≤`, `≥`, or `>`."""

    number: float
    sign: str = ""

    def shown(self, unit: str = "") -> str:
        """With a digit behind the point: `1.8`, `≤ 1.8 ×`."""
        return f"{self.sign} {self.number:.1f}{unit}".lstrip()


def reached(points: Sequence[Point], goal: float) -> Known:
    """Seconds to the goal, in a straight line between the first point that reaches it and the one before.

    A first point that reaches it says no more than that it took so long at most; points of which none does, that it
    takes longer than to the last.
    """
    for before, point in zip([None, *points[:-1]], points, strict=True):
        if point.dice < goal:
            continue
        if before is None:
            return Known(point.seconds, "≤")
        share = (goal - before.dice) / (point.dice - before.dice)
        return Known(before.seconds + share * (point.seconds - before.seconds))
    return Known(points[-1].seconds, ">")


def ratio(peer: Sequence[Point], ours: Sequence[Point], goal: float) -> Known | None:
    """How many times as long a peer takes to the goal; None where that cannot be said, as where seglab does not get
    there, or both were there at their first point."""
    mine, theirs = reached(ours, goal), reached(peer, goal)
    times = theirs.number / mine.number
    if mine.sign == ">" or (mine.sign and theirs.sign == "≤"):
        return None
    return Known(times, theirs.sign or ("≥" if mine.sign else ""))


def table(found: Mapping[str, Sequence[Point]], goal: float) -> str:
    """A row a system, in Markdown."""
    rows = [
        ("system", f"minutes to a Dice of {goal:g}", "of seglab's", "target", "best Dice", "minutes, steps"),
        ("---",) * 6,
    ]
    for name, points in found.items():
        took = reached(points, goal)
        minutes = Known(took.number / 60, took.sign).shown()
        times = ratio(points, found["seglab"], goal) if name != "seglab" and "seglab" in found else None
        rows.append(
            (
                TITLES[name],
                "not reached" if took.sign == ">" else minutes,
                "" if times is None else times.shown(" ×"),
                f"≥ {TARGETS[name]:g} ×" if name in TARGETS else "",
                f"{max(point.dice for point in points):.4f}",
                f"{points[-1].seconds / 60:.1f}, {points[-1].steps}",
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def picture(found: Mapping[str, Sequence[Point]], goal: float) -> Figure:
    """Dice over minutes, a curve a system, from a little below the goal on: where they begin says nothing of it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, points in found.items():
        minutes = [point.seconds / 60 for point in points]
        axes.plot(minutes, [point.dice for point in points], marker="o", markersize=3, label=TITLES[name])
    axes.axhline(goal, color="0.5", linestyle="--", linewidth=1)
    axes.annotate(f" goal {goal:g}", (0, goal), xycoords=("axes fraction", "data"), va="bottom", color="0.4")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([step * 10.0**power for power in range(-2, 4) for step in (1, 2, 5)]))
    axes.xaxis.set_minor_locator(NullLocator())
    first, last = (pick(point.seconds / 60 for points in found.values() for point in points) for pick in (min, max))
    axes.set_xlim(first / SPARE, last * SPARE)
    axes.xaxis.set_major_formatter("{x:g}")
    lowest, best = (pick(point.dice for points in found.values() for point in points) for pick in (min, max))
    axes.set_ylim(max(min(lowest, goal), min(goal, best) - SHOWN_BELOW) - 0.01, max(goal, best) + 0.015)
    axes.set(xlabel="minutes on the clock, without predicting held-out cases", ylabel="mean Dice of held-out cases")
    axes.legend(loc="lower right")
    return figure
