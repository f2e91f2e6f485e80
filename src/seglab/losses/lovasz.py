"""The Lovász extension of the Jaccard loss: convex in the errors, and exact where they are 0 or 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from seglab.config.types import NonNegativeFloat
from seglab.losses.base import Scores, SegmentationLoss, as_class_weights, mean_where
from seglab.task import Task


def _extension(errors: Any, truth: Any) -> Any:
    """Lovász extension of the Jaccard loss over the last axis; `errors` 0 or more, `truth` 0 or 1, both `(..., P)`.

    With errors in falling order, each is weighed by what its pixel adds to 1 - intersection / union when the pixels are
    got wrong one after the other. Ignored pixels have error 0 and truth 0 and fall out.
    """
    size = errors.shape[-1] if errors.shape[-1] is not None else ops.shape(errors)[-1]
    # The order is piecewise constant: the gradient flows through the errors alone.
    ranked, order = ops.top_k(errors, size)
    truth = ops.take_along_axis(truth, order, axis=-1)
    total = ops.sum(truth, axis=-1, keepdims=True)
    intersection = total - ops.cumsum(truth, axis=-1)
    union = total + ops.cumsum(1.0 - truth, axis=-1)
    jaccard = 1.0 - intersection / union
    steps = ops.concatenate([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], axis=-1)
    return ops.sum(ranked * ops.stop_gradient(steps), axis=-1)


class LovaszLoss(SegmentationLoss):
    """Lovász hinge (binary, per image) or Lovász softmax (mean over the classes that an image holds, then images).

    Berman, Rannen Triki, Blaschko: The Lovász-Softmax loss, 2018. The background counts as a class, without which a
    false alarm in an image of background alone would cost nothing. The hinge is 0 from a margin of 1 on and is not
    bounded above. Needs a sort of the pixels of each image and class: slower than the other losses on volumes.

    Args:
        task: injected.
        class_weights: K numbers, of which only the ratios count: the weight of each class in the mean over classes or,
            of two classes, of the hinge of a pixel by its true class. An image that holds only classes of weight 0 is
            left out. null for equal.
    """

    def __init__(self, task: Task, *, class_weights: Sequence[NonNegativeFloat] | None = None):
        super().__init__(task, "lovasz")
        weights = as_class_weights(class_weights, task) or [1.0] * self.solved.classes
        self.class_weights = [weight * len(weights) / sum(weights) for weight in weights]  # 1 on average

    def value(self, scores: Scores) -> Any:
        if self.solved.binary:
            margins = scores.logits * (2.0 * scores.truth - 1.0)
            weights = scores.pixel_weights(self.class_weights)
            losses = _extension(ops.relu(1.0 - margins) * weights, scores.truth)
            return mean_where(losses, ops.sign(ops.max(weights, axis=1)))
        errors = ops.abs(scores.truth - scores.probabilities) * scores.valid[:, None, :]
        weights = ops.max(scores.truth, axis=2) * ops.array(self.class_weights, "float32")
        total = ops.sum(weights, axis=1)
        by_image = ops.sum(_extension(errors, scores.truth) * weights, axis=1) / ops.where(total > 0, total, 1.0)
        return mean_where(by_image, ops.sign(total))
