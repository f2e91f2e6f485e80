"""A metric of Keras on class ids and logits."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from seglab.config.keras_targets import naming_keras
from seglab.config.loss_checks import refuse_for_regions
from seglab.errors import ConfigError
from seglab.metric_names import of_class
from seglab.models import heads
from seglab.task import Task

_ON_IDS = ("IoU", "MeanIoU")
# Of two classes these still get both, one-hot.
_ON_CLASSES = ("Categorical", "OneHot", "TopK", "F1Score", "FBetaScore", "CosineSimilarity", "KLDivergence")


def keras_metric(task: Task, *, name: str, settings: Mapping[str, Any]) -> KerasScore:
    """The metric `keras.metrics.<name>` as one of a run.

    Raises:
        ConfigError: it refuses its arguments, or does not fit the number of classes.
    """
    refuse_for_regions(f"keras.metrics.{name}", task)
    kind = getattr(keras.metrics, name)
    if name.startswith("Binary") and not task.binary:
        raise ConfigError(
            "a metric of two classes, and more classes than two",
            code="keras-metric-classes",
            where="metrics",
            found=f"keras.metrics.{name} for {task.classes} classes",
            expected="a metric of exclusive classes",
            remedy="keras.metrics.MeanIoU or keras.metrics.CategoricalAccuracy",
        )
    known = inspect.signature(kind).parameters
    given = {"num_classes": task.classes} if "num_classes" in known else {}
    with naming_keras("metrics", name, kind, settings):
        return KerasScore(task, kind(**settings, **given))


class KerasScore(keras.metrics.Metric):
    """A metric of Keras that gets what it wants to have, over all labelled pixels of a pass.

    `IoU` and `MeanIoU` get class ids; those whose name begins with `Sparse` class ids and probabilities `(N, K)`. Of a
    task of two classes the others get the foreground, `(N, 1)`, but for `_ON_CLASSES`; of more classes, and these,
    one-hot truth and probabilities `(N, K)`. Ignored pixels weigh 0. A result for each class is told as
    `<name>/<class>`.

    Args:
        task: classes, kind of head, label to ignore.
        metric: of Keras.
    """

    def __init__(self, task: Task, metric: keras.metrics.Metric):
        super().__init__(name=metric.name, dtype="float32")
        self.task, self.metric = task, metric
        # Some make their variables when they first see numbers.
        self.update_state(ops.zeros((1, 1), "int32"), ops.zeros((1, 1, task.logit_channels)))
        self.reset_state()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Takes in one batch.

        Args:
            y_true: `(B, *size)` class ids, `task.ignore_label` where unknown.
            y_pred: `(B, *size, task.logit_channels)` logits.
            sample_weight: refused: pixels count once or, with the label to ignore, not at all.
        """
        if sample_weight is not None:
            raise ValueError("a metric of a run takes no sample weights")
        ids = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        known = ops.not_equal(ids, self.task.ignore_label)
        weight, ids = ops.cast(known, "float32"), ops.where(known, ids, 0)
        kind = type(self.metric).__name__
        probabilities = ops.reshape(heads.probabilities(y_pred, self.task), (-1, self.task.classes))
        if kind in _ON_IDS:
            predicted = ops.reshape(heads.labels(y_pred, self.task), (-1,))
            self.metric.update_state(ids, predicted, sample_weight=ops.cast(known, "int32"))
        elif kind.startswith("Sparse"):
            self.metric.update_state(ids, probabilities, sample_weight=weight)
        elif self.task.binary and not kind.startswith(_ON_CLASSES):
            truth = ops.cast(ids, "float32")[:, None]
            self.metric.update_state(truth, probabilities[:, 1:], sample_weight=weight)
        else:
            truth = ops.one_hot(ids, self.task.classes, dtype="float32")
            self.metric.update_state(truth, probabilities, sample_weight=weight)

    def result(self) -> Any:
        found = self.metric.result()
        if not len(found.shape):
            return found
        if found.shape == (self.task.classes,):
            return {of_class(self.name, name): found[k] for k, name in enumerate(self.task.class_names)}
        return ops.mean(found)

    def reset_state(self) -> None:
        self.metric.reset_state()
