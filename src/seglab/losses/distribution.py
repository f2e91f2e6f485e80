"""Losses of the predicted distribution: each pixel's or voxel's own loss, averaged over the batch.

The mean is weighted: the sum of weight times loss over the sum of the weights of all pixels of the batch that are not
ignored, so that class weights shift the balance between the classes but not the size of the loss.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from keras import ops

from seglab.config.loss_checks import refuse_class_weights
from seglab.config.types import Fraction, NonNegativeFloat
from seglab.errors import ConfigError
from seglab.losses.base import Scores, SegmentationLoss, as_class_weights, mean_where
from seglab.task import Task


class PixelLoss(SegmentationLoss):
    """Weighted mean over pixels of a loss that subclasses compute from the log-likelihood in `pixel`."""

    def __init__(self, task: Task, name: str, class_weights: Sequence[float] | None):
        super().__init__(task, name)
        self.class_weights = as_class_weights(class_weights, task)

    def value(self, scores: Scores) -> Any:
        weights = scores.valid if self.class_weights is None else scores.pixel_weights(self.class_weights)
        return mean_where(self.pixel(scores.log_likelihood), weights)

    @abstractmethod
    def pixel(self, log_likelihood: Any) -> Any:
        """Loss of each pixel from the log-probability of its true class, both `(B, P)`."""


class CrossEntropyLoss(PixelLoss):
    """Cross-entropy, -log p of the true class, in nats.

    Args:
        task: injected.
        class_weights: K numbers, the weight of a pixel by its true class; null for equal.
    """

    def __init__(self, task: Task, *, class_weights: Sequence[NonNegativeFloat] | None = None):
        super().__init__(task, "cross_entropy", class_weights)

    def pixel(self, log_likelihood: Any) -> Any:
        return -log_likelihood


class BalancedCrossEntropyLoss(CrossEntropyLoss):
    """Cross-entropy with the inverse frequency of each class in the training split as its weight.

    At power 1 every class has the same total weight over the training split (King, Zeng: Logistic regression in rare
    events data, 2001). A class that the split does not hold weighs as much as the rarest that it does.

    Args:
        task: injected; its `class_frequencies` must be known.
        power: 1 balances fully, 0 not at all; weights are 1 / frequency ** power.
    """

    def __init__(self, task: Task, *, power: Fraction = 1.0):
        refuse_class_weights(task, "loss=balanced_cross_entropy")
        frequencies = task.class_frequencies
        if frequencies is None or len(frequencies) != task.classes or min(frequencies) < 0 or max(frequencies) <= 0:
            raise ConfigError(
                "balanced cross-entropy needs the share of each class in the training split",
                code="class-shares-unknown",
                where="task.class_frequencies",
                found=frequencies if frequencies is not None else "not known",
                expected=f"{task.classes} shares, one for each class",
                remedy="train on data whose training masks can be counted, or use loss=cross_entropy "
                "with loss.class_weights",
            )
        rarest = min(share for share in frequencies if share > 0)
        super().__init__(task, class_weights=[(rarest / max(share, rarest)) ** power for share in frequencies])
        self.name = "balanced_cross_entropy"


class FocalLoss(PixelLoss):
    """Focal: -(1 - p) ** gamma * log p of the true class.

    Lin, Goyal, Girshick, He, Dollár: Focal loss for dense object detection, 2017. The paper's alpha is
    `class_weights=[1 - alpha, alpha]`; gamma 0 is cross-entropy.

    Args:
        task: injected.
        gamma: how strongly what is already right is left alone.
        class_weights: K numbers, the weight of a pixel by its true class; null for equal.
    """

    def __init__(
        self, task: Task, *, gamma: NonNegativeFloat = 2.0, class_weights: Sequence[NonNegativeFloat] | None = None
    ):
        super().__init__(task, "focal", class_weights)
        self.gamma = gamma

    def pixel(self, log_likelihood: Any) -> Any:
        # Kept off 0, where the slope of the power is infinite for gamma below 1; 1 - p has no finer steps anyway.
        doubt = ops.maximum(1.0 - ops.exp(log_likelihood), 1e-7)
        return -ops.power(doubt, self.gamma) * log_likelihood
