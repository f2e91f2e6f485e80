"""The Lovász extension of the Jaccard loss: convex in the errors, and exact where they are 0 or 1."""

from __future__ import annotations

from typing import Any

from keras import ops

from seglab.losses.base import Scores, SegmentationLoss, mean_where
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
    """

    def __init__(self, task: Task):
        super().__init__(task, "lovasz")

    def value(self, scores: Scores) -> Any:
        if self.task.binary:
            margins = scores.logits * (2.0 * scores.truth - 1.0)
            errors = ops.relu(1.0 - margins) * scores.valid
            return mean_where(_extension(errors, scores.truth), scores.defined)
        errors = ops.abs(scores.truth - scores.probabilities) * scores.valid[:, None, :]
        present = ops.max(scores.truth, axis=2)
        by_class = _extension(errors, scores.truth)
        by_image = ops.sum(by_class * present, axis=1) / ops.maximum(ops.sum(present, axis=1), 1.0)
        return mean_where(by_image, scores.defined)
