"""The scores that are read off the counts of one case.

What a class's scores are in a case where it is not there, for this module and `seglab.metrics.shape_scores`; what is
ignored is taken away first:

| score                          | neither holds it | only the prediction | only the truth |
| ------------------------------ | ---------------- | ------------------- | -------------- |
| `dice`, `iou`                  | NaN              | 0                   | 0              |
| `precision`                    | NaN              | 0                   | NaN            |
| `recall`                       | NaN              | NaN                 | 0              |
| `volume_error`                 | NaN              | NaN                 | -1             |
| `nsd_…`                        | NaN              | 0                   | 0              |
| `hd95_nonempty`, `assd_…`      | NaN              | NaN                 | NaN            |
| `lesion_precision`             | NaN              | 0                   | NaN            |
| `lesion_recall`                | NaN              | NaN                 | 0              |

A case's `dice`, `iou`, `hd95_nonempty`, `assd_nonempty` and `nsd_…` are means over the scored classes that have one, a
run's are means over the cases that have one; `one_empty/<class>` counts the cases of the two last columns.
"""

from __future__ import annotations

import numpy as np

from seglab.errors import DataError
from seglab.metric_names import of_class
from seglab.metrics.confusion import macro, overlaps, sizes
from seglab.task import Task


def score_case(confusion: np.ndarray, task: Task) -> dict[str, float]:
    """Everything that is read off one case's counts.

    Keys: `dice`, `iou` (mean over the scored classes), then for each class, unscored ones included, or for each region
    where the task has such: `dice/<class>`, `iou/<class>`, `precision/<class>`, `recall/<class>`, the relative volume
    error `volume_error/<class>` (predicted less true size over the true size, so -1 where all is missed and 0 where as
    much is made up as missed), and the numbers of scored pixels or voxels `true/<class>` and `predicted/<class>`.

    One rule for empty sets: a ratio to nothing is NaN. Dice and IoU are NaN for a class that neither truth nor
    prediction holds, precision for one that was never predicted, recall and volume error for one that is not there.
    The means leave NaN out, and are NaN themselves when nothing is left.
    """
    right, true, predicted = found = sizes(confusion, task)
    dice, iou = overlaps(found)
    scores: dict[str, float] = {"dice": macro(dice, task), "iou": macro(iou, task)}
    for k, name in enumerate(task.score_names):
        scores[of_class("dice", name)] = float(dice[k])
        scores[of_class("iou", name)] = float(iou[k])
        scores[of_class("precision", name)] = right[k] / predicted[k] if predicted[k] else np.nan
        scores[of_class("recall", name)] = right[k] / true[k] if true[k] else np.nan
        scores[of_class("volume_error", name)] = predicted[k] / true[k] - 1 if true[k] else np.nan
        scores[of_class("true", name)] = int(true[k])
        scores[of_class("predicted", name)] = int(predicted[k])
    return scores


def check_same_classes(mine: Task, others: Task) -> None:
    """See that a model's task and a data set's have the same rank, channels, classes and regions; `DataError` if
    not."""
    theirs = (others.rank, others.channels, others.class_names, others.regions)
    if (mine.rank, mine.channels, mine.class_names, mine.regions) != theirs:
        raise DataError(
            "the model was trained for another task than this data set",
            code="task-mismatch",
            where="evaluation",
            found=f"data: {others.summary()}",
            expected=mine.summary(),
            remedy="score the model on data with its own classes, in their order",
        )
