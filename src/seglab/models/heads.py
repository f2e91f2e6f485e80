"""The one owner of the activation: what the logits of a model mean.

A binary task has one logit per pixel or voxel, the log-odds of the foreground (sigmoid); a task with regions has those
of each region (as many sigmoids); any other task has one logit per class (softmax over the last axis). Losses, metrics
and inference ask here and decide nothing themselves.

Everything is computed in float32 whatever the dtype of the logits, and in the form that neither overflows nor
cancels.
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
    """Class probabilities `(..., K)` in float32, summing to 1 over the last axis; binary tasks give `[1 - p, p]`, those
    with regions the probability of each region `(..., R)`.

    Args:
        logits: `(..., task.logit_channels)`, any floating dtype.
        task: tells whether the head is a sigmoid or a softmax.
    """
    logits = _float32(logits, task)
    if task.binary:
        # sigmoid(-x) and not 1 - sigmoid(x), which is rounded to zero for x above 17.
        return ops.concatenate([ops.sigmoid(-logits), ops.sigmoid(logits)], axis=-1)
    if task.regions:
        return ops.sigmoid(logits)
    return ops.softmax(logits, axis=-1)


def log_probabilities(logits: Any, task: Task) -> Any:
    """Logarithms of the class probabilities `(..., K)` in float32, exact however small these are; of a task with
    regions `(..., 2 R)`: to be in each region, then to be outside of each.

    Args:
        logits: `(..., task.logit_channels)`, any floating dtype.
        task: tells whether the head is a sigmoid or a softmax.
    """
    logits = _float32(logits, task)
    if task.binary:
        return ops.concatenate([-ops.softplus(logits), -ops.softplus(-logits)], axis=-1)
    if task.regions:
        return ops.concatenate([-ops.softplus(-logits), -ops.softplus(logits)], axis=-1)
    return ops.log_softmax(logits, axis=-1)


def labels(logits: Any, task: Task) -> Any:
    """Class ids `(...)` int32 of the last axis removed: the most probable class, the lower id on a tie; the background
    with each region painted over it, in turn, where its probability is above 0.5.

    Args:
        logits: `(..., task.logit_channels)`.
        task: tells whether the head is a sigmoid or a softmax.
    """
    if task.binary:
        return ops.cast(ops.sigmoid(_float32(logits, task)[..., 0]) > 0.5, "int32")
    if task.regions:
        return _painted(_float32(logits, task), task)
    # An argmax, as one comparison of all pixels for each class: several times faster on a CPU than along a short axis.
    best, *others = ops.unstack(_float32(logits, task), axis=-1)
    winner = ops.zeros_like(best, dtype="int32")
    for class_id, rival in enumerate(others, start=1):
        winner = ops.where(rival > best, class_id, winner)
        best = ops.maximum(best, rival)
    return winner


def _painted(logits: Any, task: Task) -> Any:
    first, *_ = channels = ops.unstack(logits, axis=-1)
    ids = ops.zeros_like(first, dtype="int32")
    for region, channel in zip(task.regions, channels, strict=True):
        ids = ops.where(channel > 0, region.paints, ids)
    return ids


def one_hot(ids: Any, classes: int, ignore_label: int | None = None) -> Any:
    """Class ids `(B, P)` of an integer dtype as `(B, classes, P)` float32: 1 where a pixel is of the class; nothing is
    of a class where the id is `ignore_label`, or no class."""
    # An ignored id that is also a class must match no class.
    wanted = [k if k != ignore_label else -1 for k in range(classes)]
    return ops.cast(ops.equal(ids[:, None, :], ops.array(wanted, "int32")[:, None]), "float32")
