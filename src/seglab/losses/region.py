"""Losses of overlap: each is 1 minus a soft overlap score, computed per image and class and then averaged.

Sums of probabilities take the place of counts: TP, FP and FN over the pixels that are not ignored. `smooth` is added
above and below the fraction, so that a class which neither truth nor prediction holds scores 1 and costs nothing;
it is counted in pixels, and should be small against the objects.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from keras import ops

from seglab.config.loss_checks import check_prices
from seglab.config.types import NonNegativeFloat, PositiveFloat
from seglab.errors import ConfigError
from seglab.losses.base import Counts, Scores, SegmentationLoss, as_class_weights, mean_where
from seglab.task import Task

# Where the power of the focal Tversky loss goes over into a straight line.
_STRAIGHT = 1e-4


class RegionLoss(SegmentationLoss):
    """Mean over images and classes of a loss that subclasses compute from the counts in `region`."""

    def __init__(
        self,
        task: Task,
        name: str,
        include_background: bool,
        batch_dice: bool,
        class_weights: Sequence[float] | None,
    ):
        super().__init__(task, name)
        self.first = 0 if include_background or 0 in self.solved.scored else 1
        self.batch_dice = batch_dice
        weights = as_class_weights(class_weights, task) or [1.0] * self.solved.classes
        self.class_weights = weights[self.first :]
        if not any(self.class_weights):
            raise ConfigError(
                "only the background has a weight, and the background is left out",
                code="background-only-loss",
                where="loss.class_weights",
                found=weights,
                expected="a positive weight for a foreground class, or the background included",
                remedy=f"loss.class_weights=[{','.join(['1.0'] * task.classes)}], or loss.include_background=true",
            )

    def value(self, scores: Scores) -> Any:
        counts = Counts(*(count[:, self.first :] for count in scores.counts))
        defined = scores.defined
        if self.batch_dice:
            if self.task.regions:  # of each region over its own images
                apart = len(self.task.regions)
                counts = Counts(*(ops.sum(ops.reshape(n, (-1, apart, n.shape[1])), axis=0) for n in counts))
                defined = ops.max(ops.reshape(defined, (-1, apart)), axis=0)
            else:
                counts = Counts(*(ops.sum(count, axis=0, keepdims=True) for count in counts))
                defined = ops.max(defined, keepdims=True)
        return self.average(self.region(counts), defined)

    def average(self, losses: Any, defined: Any) -> Any:
        """Mean of `(B, K)` losses by class weight over the images that are `defined` `(B,)`."""
        return mean_where(losses, defined[:, None] * ops.array(self.class_weights, "float32"))

    @abstractmethod
    def region(self, counts: Counts) -> Any:
        """Loss per image and class, `(B, K)`, in 0..1."""


class DiceLoss(RegionLoss):
    """Soft Dice: 1 - (2 TP + s) / (2 TP + FP + FN + s).

    Milletari, Navab, Ahmadi: V-Net, 2016, with plain instead of squared probabilities in the denominator.

    Args:
        task: injected.
        include_background: average over class 0 as well, which it always does where it is no background.
        batch_dice: count over the whole batch before dividing, instead of image by image.
        smooth: s, in pixels or voxels.
        class_weights: K numbers, the weight of each class in the mean; null for equal.
    """

    def __init__(
        self,
        task: Task,
        *,
        include_background: bool = False,
        batch_dice: bool = False,
        smooth: PositiveFloat = 1.0,
        class_weights: Sequence[NonNegativeFloat] | None = None,
    ):
        super().__init__(task, "dice", include_background, batch_dice, class_weights)
        self.smooth = smooth

    def region(self, counts: Counts) -> Any:
        wrong = counts.false_positive + counts.false_negative
        return wrong / (2.0 * counts.true_positive + wrong + self.smooth)


class JaccardLoss(RegionLoss):
    """Soft Jaccard (intersection over union): 1 - (TP + s) / (TP + FP + FN + s).

    Rahman, Wang: Optimizing intersection-over-union in deep neural networks for image segmentation, 2016.

    Args:
        task: injected.
        include_background: average over class 0 as well, which it always does where it is no background.
        batch_dice: count over the whole batch before dividing, instead of image by image.
        smooth: s, in pixels or voxels.
        class_weights: K numbers, the weight of each class in the mean; null for equal.
    """

    def __init__(
        self,
        task: Task,
        *,
        include_background: bool = False,
        batch_dice: bool = False,
        smooth: PositiveFloat = 1.0,
        class_weights: Sequence[NonNegativeFloat] | None = None,
    ):
        super().__init__(task, "jaccard", include_background, batch_dice, class_weights)
        self.smooth = smooth

    def region(self, counts: Counts) -> Any:
        wrong = counts.false_positive + counts.false_negative
        return wrong / (counts.true_positive + wrong + self.smooth)


class TverskyLoss(RegionLoss):
    """Tversky: 1 - (TP + s) / (TP + alpha FP + beta FN + s).

    Salehi, Erdogmus, Gholipour: Tversky loss function for image segmentation, 2017. alpha = beta = 0.5 is Dice (with
    half its smoothing), alpha = beta = 1 is Jaccard; beta above alpha asks for recall.

    Args:
        task: injected.
        alpha: weight of the false positives.
        beta: weight of the false negatives.
        include_background: average over class 0 as well, which it always does where it is no background.
        batch_dice: count over the whole batch before dividing, instead of image by image.
        smooth: s, in pixels or voxels.
        class_weights: K numbers, the weight of each class in the mean; null for equal.
    """

    def __init__(
        self,
        task: Task,
        *,
        alpha: NonNegativeFloat = 0.3,
        beta: NonNegativeFloat = 0.7,
        include_background: bool = False,
        batch_dice: bool = False,
        smooth: PositiveFloat = 1.0,
        class_weights: Sequence[NonNegativeFloat] | None = None,
    ):
        super().__init__(task, "tversky", include_background, batch_dice, class_weights)
        check_prices(alpha, beta)
        self.alpha, self.beta, self.smooth = alpha, beta, smooth

    def region(self, counts: Counts) -> Any:
        wrong = self.alpha * counts.false_positive + self.beta * counts.false_negative
        return wrong / (counts.true_positive + wrong + self.smooth)


class FocalTverskyLoss(TverskyLoss):
    """Focal Tversky: the Tversky loss of an image and class to the power of 1 / gamma.

    Abraham, Khan: A novel focal Tversky loss function with improved attention U-Net for lesion segmentation, 2019.
    The power has an infinite slope at 0 for gamma above 1: below 1e-4 a straight line takes its place.

    Args:
        task: injected.
        gamma: above 1 (the paper: 4/3) a class that is almost right still matters, below 1 it is left alone.
        alpha: weight of the false positives.
        beta: weight of the false negatives.
        include_background: average over class 0 as well, which it always does where it is no background.
        batch_dice: count over the whole batch before dividing, instead of image by image.
        smooth: s, in pixels or voxels.
        class_weights: K numbers, the weight of each class in the mean; null for equal.
    """

    def __init__(
        self,
        task: Task,
        *,
        gamma: PositiveFloat = 4 / 3,
        alpha: NonNegativeFloat = 0.3,
        beta: NonNegativeFloat = 0.7,
        include_background: bool = False,
        batch_dice: bool = False,
        smooth: PositiveFloat = 1.0,
        class_weights: Sequence[NonNegativeFloat] | None = None,
    ):
        super().__init__(
            task,
            alpha=alpha,
            beta=beta,
            include_background=include_background,
            batch_dice=batch_dice,
            smooth=smooth,
            class_weights=class_weights,
        )
        self.name = "focal_tversky"
        self.exponent = 1.0 / gamma

    def region(self, counts: Counts) -> Any:
        base = super().region(counts)
        power = ops.power(ops.maximum(base, _STRAIGHT), self.exponent)
        return ops.where(base > _STRAIGHT, power, base * _STRAIGHT ** (self.exponent - 1.0))


class GeneralizedDiceLoss(RegionLoss):
    """Generalized Dice: 1 - (2 Σ w TP + s) / (Σ w (2 TP + FP + FN) + s), sums over classes, w = 1 / (true pixels)².

    Sudre, Li, Vercauteren, Ourselin, Cardoso: Generalised Dice overlap as a deep learning loss function for highly
    unbalanced segmentations, 2017. Weights are scaled so that the largest is 1 (which changes the loss only through
    `smooth`); a class that the truth does not hold weighs as much as the smallest that it does.

    Args:
        task: injected.
        include_background: sum over class 0 as well, as in the paper. A binary task without it is plain Dice.
        batch_dice: count over the whole batch before dividing, instead of image by image.
        smooth: s, in pixels or voxels of the smallest class.
        class_weights: K numbers that multiply the weights; null for equal.
    """

    def __init__(
        self,
        task: Task,
        *,
        include_background: bool = True,
        batch_dice: bool = False,
        smooth: PositiveFloat = 1.0,
        class_weights: Sequence[NonNegativeFloat] | None = None,
    ):
        super().__init__(task, "generalized_dice", include_background, batch_dice, class_weights)
        self.smooth = smooth

    def region(self, counts: Counts) -> Any:
        size = counts.true_positive + counts.false_negative  # of the truth: free of the prediction
        present = size > 0.5
        smallest = ops.min(ops.where(present, size, float("inf")), axis=1, keepdims=True)
        weights = ops.where(present, ops.square(smallest / ops.where(present, size, 1.0)), 1.0)
        weights = ops.stop_gradient(weights) * ops.array(self.class_weights, "float32")
        wrong = ops.sum(weights * (counts.false_positive + counts.false_negative), axis=1)
        return wrong / (ops.sum(2.0 * weights * counts.true_positive, axis=1) + wrong + self.smooth)

    def average(self, losses: Any, defined: Any) -> Any:
        return mean_where(losses, defined)
