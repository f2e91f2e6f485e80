"""The one owner of the activation: what the logits of a model mean.

A binary task has one logit per pixel or voxel, the log-odds of the foreground (sigmoid); any other task has one logit
per class (softmax over the last axis). Losses, metrics and inference ask here and decide nothing themselves.

Everything is computed in float32 whatever the dtype of the logits, and in the form that neither overflows nor
cancels: `log sigmoid` and `log softmax` are never taken as the logarithm of a probability.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from seglab.task import Task


def _float32(logits: Any, task: Task) -> Any:
    logits = ops.convert_to_tensor(logits)
    if logits.shape[-1] != task.logit_channels:
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} do not fit a task of {task.classes} classes, "
            f"which has {task.logit_channels} channel(s) of logits"
        )
    return ops.cast(logits, "float32")


def probabilities(logits: Any, task: Task) -> Any:
    """Class probabilities `(..., K)` in float32, summing to 1 over the last axis; binary tasks give `[1 - p, p]`.

    Args:
        logits: `(..., task.logit_channels)`, any floating dtype.
        task: tells whether the head is a sigmoid or a softmax.
    """
    logits = _float32(logits, task)
    if task.binary:
        # sigmoid(-x) and not 1 - sigmoid(x), which is rounded to zero for x above 17.
        return ops.concatenate([ops.sigmoid(-logits), ops.sigmoid(logits)], axis=-1)
    return ops.softmax(logits, axis=-1)


def log_probabilities(logits: Any, task: Task) -> Any:
    """Natural logarithms of `probabilities`, `(..., K)` float32, finite for every finite logit."""
    logits = _float32(logits, task)
    if task.binary:
        return ops.concatenate([ops.log_sigmoid(-logits), ops.log_sigmoid(logits)], axis=-1)
    return ops.log_softmax(logits, axis=-1)


def labels(logits: Any, task: Task, threshold: float = 0.5) -> Any:
    """Class ids `(...)` int32 of the last axis removed.

    Args:
        logits: `(..., task.logit_channels)`.
        task: a binary task gives 1 where the foreground's probability is above `threshold`; any other the most
            probable class (the lower id on a tie), for which `threshold` plays no part.
        threshold: probability in 0..1.
    """
    if task.binary:
        foreground = ops.sigmoid(_float32(logits, task)[..., 0])
        return ops.cast(foreground > threshold, "int32")
    # An argmax, as one comparison of all pixels for each class: several times faster on a CPU than along a short axis.
    best, *others = ops.unstack(_float32(logits, task), axis=-1)
    winner = ops.zeros_like(best, dtype="int32")
    for class_id, rival in enumerate(others, start=1):
        winner = ops.where(rival > best, class_id, winner)
        best = ops.maximum(best, rival)
    return winner


def one_hot(y_true: Any, task: Task) -> tuple[Any, Any]:
    """Truth as `(..., K)` float32, and which of it counts as `(...)` float32 of 0 and 1.

    Args:
        y_true: `(...)` class ids of any integer or floating dtype; `task.ignore_label` where nothing is known.
        task: number of classes and the label to ignore.

    Returns:
        The one-hot truth, all zero where ignored, and the mask of what is valid, zero where ignored.
    """
    ids = ops.cast(y_true, "int32")
    valid = ops.cast(ops.not_equal(ids, task.ignore_label), "float32")
    truth = ops.one_hot(ids, task.classes, dtype="float32")
    return truth * valid[..., None], valid
