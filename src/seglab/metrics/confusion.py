"""The confusion matrix and the scores that are read off it, in NumPy: counts first, then a named average.

The matrix is of class ids. Of a task with regions the counts of each region follow from it: a pixel is truly in a
region where its true class is one of the region's, and predicted to be where its predicted class is.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seglab.task import Task

_BYTES = 256  # values of one


def confusion_matrix(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, task: Task) -> npt.NDArray[np.int64]:
    """Counts `(K, K)` int64 of pixels or voxels: row the true class, column the predicted one.

    Matrices of several cases add up to the matrix of all of them.

    Args:
        y_true: integer class ids of any shape; `task.ignore_label` is left out.
        y_pred: integer class ids of the same shape, 0..K-1 (whatever it holds where the truth is ignored).
        task: number of classes and the label to ignore.

    Raises:
        ValueError: shapes differ, or an id is not a class.
    """
    truth, prediction = np.asarray(y_true), np.asarray(y_pred)
    if truth.shape != prediction.shape:
        raise ValueError(f"truth of shape {truth.shape} and prediction of shape {prediction.shape} differ")
    if truth.dtype == prediction.dtype == np.uint8 and task.classes <= _BYTES:
        return _of_bytes(truth, prediction, task)
    valid = truth != task.ignore_label
    truth, prediction = truth[valid].astype(np.int64), prediction[valid].astype(np.int64)
    for name, ids in (("truth", truth), ("prediction", prediction)):
        if ids.size and (ids.min() < 0 or ids.max() >= task.classes):
            _check_classes(name, np.unique(ids), task)
    counts = np.bincount(truth * task.classes + prediction, minlength=task.classes**2)
    return counts.astype(np.int64).reshape(task.classes, task.classes)


def _of_bytes(truth: npt.NDArray[np.uint8], prediction: npt.NDArray[np.uint8], task: Task) -> npt.NDArray[np.int64]:
    """The same in a quarter of the time: all pairs of bytes are counted at once, and looked through afterwards."""
    pairs = (truth.astype(np.uint16) << 8 | prediction).ravel()
    counts = np.bincount(pairs, minlength=_BYTES**2).reshape(_BYTES, _BYTES)
    if 0 <= task.ignore_label < _BYTES:
        counts[task.ignore_label] = 0
    _check_classes("truth", np.flatnonzero(counts.any(axis=1)), task)
    _check_classes("prediction", np.flatnonzero(counts.any(axis=0)), task)
    return counts[: task.classes, : task.classes].astype(np.int64)


def _check_classes(name: str, held: npt.NDArray[np.int64], task: Task) -> None:
    strange = [int(i) for i in held if not 0 <= i < task.classes]
    if strange:
        raise ValueError(f"the {name} holds {strange}, which are no classes (0..{task.classes - 1})")


class Sizes(NamedTuple):
    """Pixels or voxels of each of `Task.score_names`, `(N,)` int64: in truth and prediction, truth, prediction."""

    right: npt.NDArray[np.int64]
    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]


def sizes(confusion: npt.ArrayLike, task: Task) -> Sizes:
    """The sizes of every class, or of every region of a task that has such, from counts `(K, K)`."""
    counts = np.asarray(confusion)
    if not task.regions:
        return Sizes(np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0))
    found = [(counts[np.ix_(ks, ks)].sum(), counts[ks].sum(), counts[:, ks].sum()) for ks in map(list, task.unions)]
    return Sizes(*np.array(found).T)


def union_of(ids: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Where class ids of any shape are one of some classes."""
    return ids == classes[0] if len(classes) == 1 else np.isin(ids, classes)


def dice_iou(confusion: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Dice 2 TP / (2 TP + FP + FN) and IoU TP / (TP + FP + FN) of each class, two arrays `(K,)` in 0..1.

    A class that neither truth nor prediction holds is NaN.
    """
    counts = np.asarray(confusion)
    return overlaps(Sizes(np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)))


def overlaps(found: Sizes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Dice and IoU as `dice_iou`, from sizes: of regions too."""
    right, true, predicted = (np.asarray(one, dtype=np.float64) for one in found)
    wrong = predicted + true - 2.0 * right
    undefined = right + wrong == 0
    right, wrong = np.where(undefined, np.nan, right), np.where(undefined, np.nan, wrong)
    return 2.0 * right / (2.0 * right + wrong), right / (right + wrong)


def macro(per_class: npt.ArrayLike, task: Task) -> float:
    """Mean of a score `(N,)`, one for each of `Task.score_names`, over those that are counted (no background) and not
    NaN; NaN if none is left."""
    scored = np.asarray(per_class, dtype=np.float64)[list(task.counted)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of the mean of nothing, which is NaN as it should be
        return float(np.nanmean(scored))
