"""Dice and IoU during training, from one confusion matrix of integers for a whole pass over a split.

These are scores of what the network is fed (patches, resized images): a sign of progress. The reported number, per case
and at original size, comes from `seglab.evaluation`.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from seglab.metric_names import of_class
from seglab.models import heads
from seglab.task import Task


class SegmentationScores(keras.metrics.Metric):
    """Streaming Dice and IoU: counts are added up over batches, scores are read off the sum.

    `result()` is a dict that `fit` puts into its logs key by key: `dice` and `iou`, the means over the scored classes,
    and `dice/<class>` and `iou/<class>` for every class; of a task with regions these take the classes' place. A class
    that the truth of the pass does not hold is NaN and left out of the mean; a mean of nothing is NaN. So the same
    classes are compared in every epoch: were such a class 0 as soon as one pixel is taken for it, the mean would jump
    with that pixel, and alone it would be a constant 0.

    Counts are int64 on TensorFlow. JAX has int32 only, which is full after 2^31 pixels of one kind.

    Args:
        task: classes, kind of head, label to ignore.
        name: the name that Keras shows.
    """

    def __init__(self, task: Task, name: str = "scores"):
        super().__init__(name=name, dtype="float32")
        self.task = task
        shape = (task.classes, task.classes)
        self.confusion = self.add_variable(shape, "zeros", dtype="int", name="confusion")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Counts one batch.

        Args:
            y_true: `(B, *size)` class ids; ids that are no class are not counted.
            y_pred: `(B, *size, task.logit_channels)` logits.
            sample_weight: refused; pixels are counted once or, with the label to ignore, not at all.
        """
        if sample_weight is not None:
            raise ValueError("SegmentationScores counts pixels and takes no sample weights")
        batch = ops.shape(y_pred)[0]
        classes, ids = self.task.classes, ops.reshape(ops.cast(y_true, "int32"), (batch, -1))
        truth = heads.one_hot(ids, classes, self.task.ignore_label)
        predicted = heads.one_hot(ops.reshape(heads.labels(y_pred, self.task), (batch, -1)), classes)
        # Products of 0 and 1: exact in float32 for images of up to 2^24 pixels, and unlike a histogram
        # repeatable and compiled on every device.
        counts = ops.einsum("bip,bjp->bij", truth, predicted)
        self.confusion.assign(self.confusion + ops.sum(ops.cast(counts, self.confusion.dtype), axis=0))

    def result(self) -> dict[str, Any]:
        counts = ops.cast(self.confusion, "float32")
        true, predicted, right = ops.sum(counts, axis=1), ops.sum(counts, axis=0), ops.diagonal(counts)
        if self.task.regions:
            member = ops.array([[float(k in ks) for k in range(self.task.classes)] for ks in self.task.unions])
            right = ops.sum(ops.matmul(member, counts) * member, axis=1)
            true, predicted = ops.matmul(member, true), ops.matmul(member, predicted)
        either = true + predicted  # 2 TP + FP + FN
        there = true > 0
        names = self.task.score_names
        counted = ops.array([float(c in self.task.counted) for c in range(len(names))], "float32")
        present = ops.cast(there, "float32") * counted
        scores = {}
        for key, values in (("dice", 2.0 * right / either), ("iou", right / (either - right))):
            values = ops.where(there, values, float("nan"))
            scores[key] = ops.sum(ops.where(present > 0, values, 0.0)) / ops.sum(present)
            scores |= {of_class(key, name): values[c] for c, name in enumerate(names)}
        return scores
