"""What every loss shares: the truth and the logits of a batch, seen as counts and as log-probabilities.

The numbers are those of `seglab.models.heads`; the layout is another. Channels are moved in front of the pixels, where
an operation over a few classes is a handful of long vector operations instead of very many short ones (about three
times faster on a CPU), and a binary task keeps its single channel. A task with regions is as many binary ones: each
region of each image is one more image of a batch, in or out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import keras
from keras import ops

from seglab.config.loss_checks import check_class_weights, refuse_class_weights
from seglab.models import heads
from seglab.task import Task


class Counts(NamedTuple):
    """Soft counts per image and class, `(B, K)` float32: sums of probabilities over the pixels that count."""

    true_positive: Any
    false_positive: Any
    false_negative: Any


@ops.custom_gradient
def _log_softmax(logits: Any) -> Any:
    """Log-softmax over axis 1. The gradient is written out: a fifth less time than the derived one."""
    shifted = logits - ops.max(logits, axis=1, keepdims=True)
    exponentials = ops.exp(shifted)
    total = ops.sum(exponentials, axis=1, keepdims=True)

    def gradient(*args: Any, upstream: Any = None) -> Any:
        upstream = args[0] if upstream is None else upstream
        return upstream - exponentials * (ops.sum(upstream, axis=1, keepdims=True) / total)

    return shifted - ops.log(total), gradient


class Scores:
    """Truth and logits of one batch with pixels or voxels in one row, and what losses take from them, computed once.

    Args:
        y_true: `(B, *size)` class ids of any dtype, `task.ignore_label` where nothing is known.
        logits: `(B, *size, task.logit_channels)` float32.
        task: classes, kind of head, label to ignore.
    """

    def __init__(self, y_true: Any, logits: Any, task: Task):
        if len(y_true.shape) != len(logits.shape) - 1 or logits.shape[-1] != task.logit_channels:
            raise ValueError(
                f"truth of shape {tuple(y_true.shape)} and logits of shape {tuple(logits.shape)} do not fit: expected "
                f"(B, *size) and (B, *size, {task.logit_channels}) for a task of {task.classes} classes"
            )
        batch = ops.shape(logits)[0]
        self.ids = ops.cast(ops.reshape(y_true, (batch, -1)), "int32")
        self.task = one_by_one(task)
        if task.regions:
            self.ids, self.logits = _in_or_out(self.ids, logits, task)
        elif task.binary:
            self.logits = ops.reshape(logits, (batch, -1))
        else:
            self.logits = ops.transpose(ops.reshape(logits, (batch, -1, task.classes)), (0, 2, 1))

    @cached_property
    def valid(self) -> Any:
        """`(B, P)` float32, 0 where the truth is to be ignored."""
        return ops.cast(ops.not_equal(self.ids, self.task.ignore_label), "float32")

    @cached_property
    def defined(self) -> Any:
        """`(B,)` float32, 0 for an image that is ignored as a whole."""
        return ops.max(self.valid, axis=1)

    @cached_property
    def truth(self) -> Any:
        """One-hot truth `(B, K, P)`, or the foreground `(B, P)` of a binary task; zero where ignored."""
        if self.task.binary:
            return self._is(1)
        return heads.one_hot(self.ids, self.task.classes, self.task.ignore_label)

    def _is(self, class_id: int) -> Any:
        return ops.cast(ops.equal(self.ids, class_id), "float32") * (1.0 if class_id != self.task.ignore_label else 0.0)

    def pixel_weights(self, class_weights: Sequence[float]) -> Any:
        """`(B, P)` float32: of each pixel the weight of its true class, of K weights; 0 where ignored."""
        if self.task.binary:
            background, foreground = class_weights
            return self.valid * (background + (foreground - background) * self.truth)
        return ops.einsum("k,bkp->bp", ops.array(class_weights, "float32"), self.truth)

    @cached_property
    def log_probabilities(self) -> Any:
        """Log-probabilities `(B, K, P)` of a task with more than two classes."""
        return _log_softmax(self.logits)

    @cached_property
    def probabilities(self) -> Any:
        """Probabilities `(B, K, P)`, or `(B, P)` of the foreground of a binary task."""
        return ops.sigmoid(self.logits) if self.task.binary else ops.exp(self.log_probabilities)

    @cached_property
    def log_likelihood(self) -> Any:
        """Log-probability of the true class `(B, P)`, zero where ignored for many classes, of no meaning for two."""
        if self.task.binary:
            return -ops.softplus(self.logits * (1.0 - 2.0 * self.truth))
        return ops.sum(self.log_probabilities * self.truth, axis=1)

    @cached_property
    def counts(self) -> Counts:
        """Soft true positives, false positives and false negatives."""
        if self.task.binary:
            return self._binary_counts()
        # Row: true class, column: predicted; all three counts come from one pass over the probabilities.
        confusion = ops.einsum("bkp,bjp->bkj", self.truth, self.probabilities)
        diagonal = ops.eye(self.task.classes)
        wrong = confusion * (1.0 - diagonal)
        return Counts(ops.sum(confusion * diagonal, axis=1), ops.sum(wrong, axis=1), ops.sum(wrong, axis=2))

    def _binary_counts(self) -> Counts:
        background = self._is(0)
        hit = ops.sum(self.probabilities * self.truth, axis=1)
        false_alarm = ops.sum(self.probabilities * background, axis=1)
        miss = ops.sum(self.truth, axis=1) - hit
        rejected = ops.sum(background, axis=1) - false_alarm
        # What is a false alarm for the foreground is a miss for the background.
        stack = [(rejected, hit), (miss, false_alarm), (false_alarm, miss)]
        return Counts(*(ops.stack(pair, axis=1) for pair in stack))


def one_by_one(task: Task) -> Task:
    """What a loss has before it: of a task with regions one of in or out, a batch of which stands for each region."""
    if not task.regions:
        return task
    return Task(task.rank, task.channels, ("outside", "inside"))


def _in_or_out(ids: Any, logits: Any, task: Task) -> tuple[Any, Any]:
    """`(B, P)` ids and `(B, *size, R)` logits as `(B * R, P)` of 1 inside and 0 outside, or ignored, and their logits,
    in the order of the images, and of the regions of each."""
    batch, regions = ops.shape(logits)[0], len(task.regions)
    classes = heads.one_hot(ids, task.classes, task.ignore_label)
    member = [[float(k in region.classes) for k in range(task.classes)] for region in task.regions]
    inside = ops.cast(ops.einsum("rk,bkp->brp", ops.array(member, "float32"), classes), "int32")
    inside = ops.where(ops.equal(ids, task.ignore_label)[:, None, :], one_by_one(task).ignore_label, inside)
    logits = ops.transpose(ops.reshape(logits, (batch, -1, regions)), (0, 2, 1))
    return ops.reshape(inside, (batch * regions, -1)), ops.reshape(logits, (batch * regions, -1))


class SegmentationLoss(keras.losses.Loss, ABC):
    """A loss on logits. Subclasses write `value`.

    `call` takes `y_true` `(B, *size)` class ids and `y_pred` `(B, *size, task.logit_channels)` logits of any floating
    dtype, works in float32 and returns one number for the batch, which is 0 when all of the truth is to be ignored.

    Args:
        task: classes, kind of head, label to ignore.
        name: the name that Keras shows.

    Attributes:
        solved: the task of the scores that `value` is given, see `one_by_one`.
    """

    def __init__(self, task: Task, name: str):
        super().__init__(name=name, reduction="none", dtype="float32")
        self.task, self.solved = task, one_by_one(task)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.value(Scores(y_true, y_pred, self.task))

    @abstractmethod
    def value(self, scores: Scores) -> Any:
        """The loss of one batch, a float32 scalar."""


def as_class_weights(class_weights: Sequence[float] | None, task: Task) -> list[float] | None:
    """`class_weights` as a list of K numbers of which none is negative and one is positive; ConfigError otherwise."""
    if class_weights is None:
        return None
    refuse_class_weights(task)
    weights = [float(weight) for weight in class_weights]
    check_class_weights(weights, task.classes, task.class_names)
    return weights


def mean_where(values: Any, weights: Any) -> Any:
    """Weighted mean over all axes, 0 with zero gradient where all weights are 0."""
    total = ops.sum(weights)
    return ops.sum(values * weights) / ops.where(total > 0, total, 1.0)
