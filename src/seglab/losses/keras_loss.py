"""A loss of Keras on class ids and logits."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from seglab.config.keras_targets import REGION_LOSSES, naming_keras
from seglab.config.loss_checks import refuse_for_regions
from seglab.errors import ConfigError
from seglab.losses.base import mean_where
from seglab.task import Task

_BINARY = ("BinaryCrossentropy", "BinaryFocalCrossentropy")
_ON_IDS = ("SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy")
# Made for scores of any size, as logits are.
_ON_SCORES = ("Hinge", "SquaredHinge", "CategoricalHinge")


def keras_loss(task: Task, *, name: str, settings: Mapping[str, Any]) -> KerasLoss:
    """The loss `keras.losses.<name>` as a loss of a run.

    Raises:
        ConfigError: it refuses its arguments, or does not fit the number of classes.
    """
    refuse_for_regions(f"keras.losses.{name}", task)
    kind = getattr(keras.losses, name)
    if name in _BINARY and not task.binary:
        raise ConfigError(
            "a loss of two classes, and more classes than two",
            code="keras-loss-classes",
            where="loss._target_",
            found=f"keras.losses.{name} for {task.classes} classes",
            expected="a loss of exclusive classes",
            remedy=f"loss._target_=keras.losses.{name.replace('Binary', 'Categorical')}",
        )
    logits = {"from_logits": True} if "from_logits" in inspect.signature(kind).parameters else {}
    with naming_keras("loss", name, kind, settings):
        return KerasLoss(task, kind(**settings, **logits), takes_logits=bool(logits) or name in _ON_SCORES)


class KerasLoss(keras.losses.Loss):
    """A loss of Keras that gets what it wants to have.

    `call` takes `y_true` `(B, *size)` class ids and `y_pred` `(B, *size, task.logit_channels)` logits, and returns one
    float32 number. The loss gets one-hot truth `(B, *size, K)`; of a task of two classes the background has the logit
    0. A loss with `from_logits` and the hinge losses get logits, all others probabilities; the binary ones the
    foreground alone, `_ON_IDS` class ids. Ignored pixels are left out of the mean over pixels; of the losses of
    overlap (Dice, Tversky) they are 0 in truth and prediction. It is 0 when all is to be ignored.

    Args:
        task: classes, kind of head, label to ignore.
        loss: of Keras.
        takes_logits: whether it gets logits.
    """

    def __init__(self, task: Task, loss: keras.losses.Loss, *, takes_logits: bool):
        super().__init__(name=loss.name, reduction="none", dtype="float32")
        self.task, self.loss, self.takes_logits = task, loss, takes_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of one batch, a float32 scalar."""
        kind = type(self.loss).__name__
        ids = ops.cast(y_true, "int32")
        known = ops.not_equal(ids, self.task.ignore_label)
        valid, ids = ops.cast(known, "float32"), ops.where(known, ids, 0)
        logits = ops.cast(y_pred, "float32")
        if kind in _BINARY:
            return mean_where(self.loss.call(ops.cast(ids, "float32")[..., None], logits), valid)
        if self.task.binary:
            logits = ops.concatenate([ops.zeros_like(logits), logits], axis=-1)
        prediction = logits if self.takes_logits else ops.softmax(logits, axis=-1)
        if kind in _ON_IDS:
            return mean_where(self.loss.call(ids, prediction), valid)
        truth = ops.one_hot(ids, self.task.classes, dtype="float32")
        if kind in REGION_LOSSES:
            overlap = self.loss.call(truth * valid[..., None], prediction * valid[..., None])
            return ops.mean(overlap) * ops.max(valid)
        return mean_where(self.loss.call(truth, prediction), valid)
