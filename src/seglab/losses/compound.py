"""Weighted sums of an overlap loss and a distribution loss, which share one look at the logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seglab.config.loss_checks import check_terms
from seglab.config.types import NonNegativeFloat, PositiveFloat
from seglab.losses.base import Scores, SegmentationLoss
from seglab.losses.distribution import CrossEntropyLoss, FocalLoss
from seglab.losses.region import DiceLoss
from seglab.task import Task


class WeightedSum(SegmentationLoss):
    """Sum of losses, each times its weight; a weight of 0 leaves a loss out."""

    def __init__(self, task: Task, name: str, terms: dict[str, tuple[float, SegmentationLoss]]):
        super().__init__(task, name)
        check_terms({key: weight for key, (weight, _) in terms.items()})
        self.terms = [(weight, loss) for weight, loss in terms.values() if weight > 0]

    def value(self, scores: Scores) -> Any:
        return sum(weight * loss.value(scores) for weight, loss in self.terms)


class CombinedLoss(WeightedSum):
    """Soft Dice plus cross-entropy: the overlap that is scored, and a gradient that is never flat.

    The pairing of Isensee et al.: nnU-Net, 2018.

    Args:
        task: injected.
        dice_weight: weight of the Dice loss.
        cross_entropy_weight: weight of the cross-entropy.
        include_background: the Dice loss averages over class 0 as well.
        batch_dice: the Dice loss counts over the whole batch before dividing.
        smooth: smoothing of the Dice loss, in pixels or voxels.
        class_weights: K numbers, for both; null for equal.
    """

    def __init__(
        self,
        task: Task,
        *,
        dice_weight: NonNegativeFloat = 1.0,
        cross_entropy_weight: NonNegativeFloat = 1.0,
        include_background: bool = False,
        batch_dice: bool = False,
        smooth: PositiveFloat = 1.0,
        class_weights: Sequence[NonNegativeFloat] | None = None,
    ):
        dice = DiceLoss(
            task,
            include_background=include_background,
            batch_dice=batch_dice,
            smooth=smooth,
            class_weights=class_weights,
        )
        cross_entropy = CrossEntropyLoss(task, class_weights=class_weights)
        super().__init__(
            task,
            "combined",
            {"dice_weight": (dice_weight, dice), "cross_entropy_weight": (cross_entropy_weight, cross_entropy)},
        )


class TotalLoss(WeightedSum):
    """Soft Dice plus focal loss.

    The pairing of Zhu et al.: AnatomyNet, 2019.

    Args:
        task: injected.
        dice_weight: weight of the Dice loss.
        focal_weight: weight of the focal loss.
        gamma: of the focal loss: how strongly what is already right is left alone.
        include_background: the Dice loss averages over class 0 as well.
        batch_dice: the Dice loss counts over the whole batch before dividing.
        smooth: smoothing of the Dice loss, in pixels or voxels.
        class_weights: K numbers, for both; null for equal.
    """

    def __init__(
        self,
        task: Task,
        *,
        dice_weight: NonNegativeFloat = 1.0,
        focal_weight: NonNegativeFloat = 1.0,
        gamma: NonNegativeFloat = 2.0,
        include_background: bool = False,
        batch_dice: bool = False,
        smooth: PositiveFloat = 1.0,
        class_weights: Sequence[NonNegativeFloat] | None = None,
    ):
        dice = DiceLoss(
            task,
            include_background=include_background,
            batch_dice=batch_dice,
            smooth=smooth,
            class_weights=class_weights,
        )
        focal = FocalLoss(task, gamma=gamma, class_weights=class_weights)
        super().__init__(task, "total", {"dice_weight": (dice_weight, dice), "focal_weight": (focal_weight, focal)})
