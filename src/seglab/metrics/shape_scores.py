"""What of a case cannot be read off its counts: distances between surfaces, and components. Loads no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.metric_names import of_class
from seglab.metrics.confusion import macro, union_of
from seglab.metrics.connected_components import Ignored, match_components
from seglab.metrics.surface import surface_scores
from seglab.task import Task

HD95, ASSD = "hd95_nonempty", "assd_nonempty"
LESION_COUNTS = ("lesions_true", "lesions_predicted", "lesions_found", "lesions_right")
LESION_SHARES = ("lesion_recall", "lesion_precision")
MANY_STEPS = 10  # voxels in a tolerance, from which on there is a warning


def surface_dice_name(task: Task, tolerance: float) -> str:
    """`nsd_1mm`: normalised surface Dice with its tolerance; in pixels (`nsd_1px`) in 2D, where a pixel has no size."""
    return f"nsd_{tolerance:g}{distance_unit(task)}"


def distance_unit(task: Task) -> str:
    """Unit of the distances: `mm` for volumes, `px` for images."""
    return "mm" if task.rank == 3 else "px"


def tolerance_note(tolerance: float, step: float) -> str:
    """What a surface Dice says nothing with: a tolerance of many voxels, as the usual 1 mm is under a microscope.

    Args:
        tolerance: of the surface Dice, in the unit of `step`.
        step: edge of a voxel.
    """
    if tolerance < MANY_STEPS * step:
        return ""
    return (
        f"tolerance_mm={tolerance:g} is {tolerance / step:.3g} voxels of {step:.3g} mm: surfaces that far apart count "
        f"as one; tolerance_mm={step:.3g} is one voxel"
    )


def distance_names(task: Task, tolerance: float) -> Sequence[str]:
    """The three scores of surfaces, as the columns are called."""
    return HD95, ASSD, surface_dice_name(task, tolerance)


def score_shapes(
    truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...], task: Task, tolerance: float
) -> dict[str, float]:
    """Scores of one case for each class that is scored, or each region, and their means over those.

    Keys: `hd95_nonempty`, `assd_nonempty` and `nsd_<tolerance><unit>`, each also with `/<class>`, as
    `seglab.metrics.surface` defines them; `lesion_recall/<class>`, `lesion_precision/<class>` and the counts
    `lesions_true|predicted|found|right/<class>` of `seglab.metrics.connected_components`.

    The rule for what is not there: a distance is NaN unless truth and prediction both hold the class, which its name
    says; the surface Dice is NaN where neither holds it and 0 where one does; a share of no component is NaN. Where the
    ignored pixels hide all of a surface, no score of surfaces tells of it: all three are NaN. Means leave NaN out.

    Args:
        truth: `(*spatial)` class ids; what carries `task.ignore_label` counts as no class, in the prediction too.
        prediction: class ids of the same shape.
        spacing: size of a pixel or voxel along each axis.
        task: which classes are scored.
        tolerance: of the surface Dice, in the unit of `spacing`.
    """
    ignored = truth == task.ignore_label
    joining = Ignored(ignored, spacing) if ignored.any() else None
    distances = {name: np.full(len(task.score_names), np.nan) for name in distance_names(task, tolerance)}
    scores: dict[str, float] = {}
    for k in task.counted:
        a_class, classes = task.score_names[k], task.unions[k]
        true, predicted = union_of(truth, classes) & ~ignored, union_of(prediction, classes) & ~ignored
        found = surface_scores(true, predicted, spacing, tolerance, ignored if joining else None)
        for name, value in zip(distances, found, strict=True):
            distances[name][k] = scores[of_class(name, a_class)] = value
        components = match_components(true, predicted, joining)
        for name, value in zip(LESION_SHARES, (components.recall, components.precision), strict=True):
            scores[of_class(name, a_class)] = value
        for name, count in zip(LESION_COUNTS, components, strict=True):
            scores[of_class(name, a_class)] = count
    return {name: macro(values, task) for name, values in distances.items()} | scores
