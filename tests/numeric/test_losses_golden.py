"""Every loss on pictures of four pixels, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.losses.compound import CombinedLoss, TotalLoss
from seglab.losses.distribution import BalancedCrossEntropyLoss, CrossEntropyLoss, FocalLoss
from seglab.losses.lovasz import LovaszLoss
from seglab.losses.region import DiceLoss, FocalTverskyLoss, GeneralizedDiceLoss, JaccardLoss, TverskyLoss
from seglab.task import Task

BINARY = Task(rank=2, channels=1, class_names=("background", "cell"), class_frequencies=(0.75, 0.25))
MULTI = Task(rank=2, channels=1, class_names=("background", "a", "b"), class_frequencies=(0.5, 0.25, 0.25))

# Two classes. Foreground probability  0.9 0.4   truth  1 0
#                                      0.6 0.2          1 0
# TP = 0.9 + 0.6 = 1.5   FP = 0.4 + 0.2 = 0.6   FN = 0.1 + 0.4 = 0.5; for the background TP = 0.6 + 0.8 = 1.4
P = np.array([[[0.9, 0.4], [0.6, 0.2]]])
X = np.log(P / (1 - P))[..., None].astype("float32")
Y = np.array([[[1, 0], [1, 0]]])
# -log of the probability of the true class
NLL = {"0.9": 0.10536052, "0.6 right": 0.51082562, "0.4 wrong": 0.51082562, "0.2 wrong": 0.22314355}
CROSS_ENTROPY = (0.10536052 + 0.51082562 + 0.51082562 + 0.22314355) / 4  # 0.33753883
# (1 - p of the true class)² times -log p: 0.1², 0.4², 0.4², 0.2²
FOCAL = (0.0010536052 + 0.0817320992 + 0.0817320992 + 0.0089257420) / 4  # 0.04336089

# Three classes, one pixel each and one to ignore, which would be quite wrong.
# Probabilities  0.7 0.2 0.1   0.3 0.5 0.2   0.1 0.3 0.6   0.01 0.01 0.98   truth  0   1   2   255
# Class 0: TP 0.7 FP 0.4 FN 0.3    class 1: TP 0.5 FP 0.5 FN 0.5    class 2: TP 0.6 FP 0.3 FN 0.4
P3 = np.array([[[[0.7, 0.2, 0.1], [0.3, 0.5, 0.2]], [[0.1, 0.3, 0.6], [0.01, 0.01, 0.98]]]])
X3 = np.log(P3).astype("float32")
Y3 = np.array([[[0, 1], [2, 255]]])
NLL3 = (0.35667494, 0.69314718, 0.51082562)

GOLDEN = [
    # 1 - (2 · 1.5 + 1) / (3 + 1.1 + 1) = 1.1 / 5.1
    (DiceLoss(BINARY), X, Y, 1.1 / 5.1),
    # foreground 1.1 / 5.1; background 1.1 / (2 · 1.4 + 1.1 + 1) = 1.1 / 4.9
    (DiceLoss(BINARY, include_background=True), X, Y, (1.1 / 5.1 + 1.1 / 4.9) / 2),
    # class 1: 1 / (1 + 1 + 1); class 2: 0.7 / (1.2 + 0.7 + 1)
    (DiceLoss(MULTI), X3, Y3, (1 / 3 + 0.7 / 2.9) / 2),
    # the same, class 1 three times as heavy
    (DiceLoss(MULTI, class_weights=[5, 3, 1]), X3, Y3, (3 / 3 + 0.7 / 2.9) / 4),
    (DiceLoss(BINARY, smooth=0.1), X, Y, 1.1 / 4.2),
    # 1 - (1.5 + 1) / (1.5 + 1.1 + 1)
    (JaccardLoss(BINARY), X, Y, 1.1 / 3.6),
    # class 1: 1 / (0.5 + 1 + 1); class 2: 0.7 / (0.6 + 0.7 + 1)
    (JaccardLoss(MULTI), X3, Y3, (1 / 2.5 + 0.7 / 2.3) / 2),
    # 0.3 · 0.6 + 0.7 · 0.5 = 0.53; 0.53 / (1.5 + 0.53 + 1)
    (TverskyLoss(BINARY), X, Y, 0.53 / 3.03),
    # class 1: 0.5 / (0.5 + 0.5 + 1); class 2: 0.3 · 0.3 + 0.7 · 0.4 = 0.37; 0.37 / (0.6 + 0.37 + 1)
    (TverskyLoss(MULTI), X3, Y3, (0.25 + 0.37 / 1.97) / 2),
    # 0.17491749 ** 0.75: its root 0.41823140, the root of that 0.64670814, their product
    (FocalTverskyLoss(BINARY), X, Y, 0.27047365),
    # Truth has 2 pixels of each class, both weights are 1: wrong 1.1 + 1.1, 2 TP = 2 (1.5 + 1.4)
    (GeneralizedDiceLoss(BINARY), X, Y, 2.2 / (5.8 + 2.2 + 1)),
    # Truth 1 0 / 0 0 has 1 and 3: weights 1 and 1/9. Foreground TP 0.9, FP 1.2, FN 0.1; background TP 1.8:
    # wrong (1 + 1/9) 1.3 = 13/9, right 2 (0.9 + 0.2) = 2.2
    (GeneralizedDiceLoss(BINARY), X, np.array([[[1, 0], [0, 0]]]), (13 / 9) / (2.2 + 13 / 9 + 1)),
    # one pixel each, weights 1: wrong 0.7 + 1 + 0.7 = 2.4, right 2 (0.7 + 0.5 + 0.6) = 3.6
    (GeneralizedDiceLoss(MULTI), X3, Y3, 2.4 / (3.6 + 2.4 + 1)),
    (CrossEntropyLoss(BINARY), X, Y, CROSS_ENTROPY),
    # background 0.51082562 + 0.22314355 = 0.73396917, foreground 0.10536052 + 0.51082562 = 0.61618614, weight 3;
    # the weights of the pixels sum to 1 + 1 + 3 + 3
    (CrossEntropyLoss(BINARY, class_weights=[1, 3]), X, Y, (0.73396917 + 3 * 0.61618614) / 8),
    (CrossEntropyLoss(MULTI), X3, Y3, sum(NLL3) / 3),
    (CrossEntropyLoss(MULTI, class_weights=[1, 0, 3]), X3, Y3, (NLL3[0] + 3 * NLL3[2]) / 4),
    # 0.75 and 0.25 of the pixels: weights 1/0.75 and 1/0.25, that is 1 to 3
    (BalancedCrossEntropyLoss(BINARY), X, Y, (0.73396917 + 3 * 0.61618614) / 8),
    # weights 2, 4, 4
    (BalancedCrossEntropyLoss(MULTI), X3, Y3, (2 * NLL3[0] + 4 * NLL3[1] + 4 * NLL3[2]) / 10),
    # their roots, 1 to √2
    (BalancedCrossEntropyLoss(MULTI, power=0.5), X3, Y3, (NLL3[0] + 2**0.5 * (NLL3[1] + NLL3[2])) / (1 + 2 * 2**0.5)),
    (FocalLoss(BINARY), X, Y, FOCAL),
    # 0.3², 0.5², 0.4²
    (FocalLoss(MULTI), X3, Y3, (0.09 * NLL3[0] + 0.25 * NLL3[1] + 0.16 * NLL3[2]) / 3),
    # 1 - p is 0.1, 0.4, 0.4, 0.2
    (FocalLoss(BINARY, gamma=1.0), X, Y, (0.010536052 + 0.204330248 + 0.204330248 + 0.04462871) / 4),
    # Margins of the logits 2 -0.5 / -1 0.5: 2, 0.5, -1, -0.5; errors 0, 0.5, 2, 1.5. From the largest: the pixels
    # fg 2, bg 1.5, bg 0.5, fg 0 got wrong one by one leave intersection/union 1/2, 1/3, 1/4, 0/4, so the Jaccard loss
    # grows by 1/2, 1/6, 1/12, 1/4: 2/2 + 1.5/6 + 0.5/12
    (LovaszLoss(BINARY), np.array([[[[2.0], [-0.5]], [[-1.0], [0.5]]]], "float32"), Y, 1 + 0.25 + 1 / 24),
    # Each class has one pixel, whose loss takes the Jaccard loss to 1 at once: class 1 has errors fg 0.5 before bg 0.3
    # 0.2, class 2 fg 0.4 before 0.2 0.1. Class 0 has fg 0.3 beside bg 0.3: in either order 0.3 in all.
    (LovaszLoss(MULTI), X3, Y3, (0.3 + 0.5 + 0.4) / 3),
    # The same with classes as 1 to 3, that is 0.5 and 1.5: errors fg 0, 3, bg 0.25, 0.75 in the order fg, bg 0.75, bg
    # 0.25, fg: 3/2 + 0.75/6 + 0.25/12
    (
        LovaszLoss(BINARY, class_weights=[1, 3]),
        np.array([[[[2.0], [-0.5]], [[-1.0], [0.5]]]], "float32"),
        Y,
        1.5 + 0.125 + 1 / 48,
    ),
    (LovaszLoss(MULTI, class_weights=[2, 1, 5]), X3, Y3, (2 * 0.3 + 0.5 + 5 * 0.4) / 8),
    # Without the background's: class 2 is left of an image of classes 0 and 2
    (LovaszLoss(MULTI, class_weights=[0, 1, 1]), X3, np.array([[[0, 255], [2, 255]]]), 0.4),
    (CombinedLoss(BINARY), X, Y, 1.1 / 5.1 + CROSS_ENTROPY),
    (CombinedLoss(BINARY, dice_weight=0.5, cross_entropy_weight=2), X, Y, 0.55 / 5.1 + 2 * CROSS_ENTROPY),
    (CombinedLoss(MULTI), X3, Y3, (1 / 3 + 0.7 / 2.9) / 2 + sum(NLL3) / 3),
    (TotalLoss(BINARY), X, Y, 1.1 / 5.1 + FOCAL),
    (TotalLoss(BINARY, dice_weight=2, focal_weight=0.5), X, Y, 2.2 / 5.1 + FOCAL / 2),
]


@pytest.mark.parametrize(
    ("loss", "x", "y", "expected"), GOLDEN, ids=[f"{i}-{row[0].name}" for i, row in enumerate(GOLDEN)]
)
def test_by_hand(loss, x, y, expected):
    assert float(loss(y, x)) == pytest.approx(expected, abs=2e-6)


def test_images_count_alike_however_large_their_objects():
    # Dice of the picture above is 1.1 / 5.1; an all-background picture with 0.25 everywhere has FP 1: 1 / (1 + 1).
    # Together: TP 1.5, FP 1.6, FN 0.5, 2.1 / (3 + 2.1 + 1).
    x = np.concatenate([X, np.full_like(X, np.log(1 / 3))])
    y = np.concatenate([Y, np.zeros_like(Y)])
    assert float(DiceLoss(BINARY)(y, x)) == pytest.approx((1.1 / 5.1 + 0.5) / 2, abs=1e-6)
    assert float(DiceLoss(BINARY, batch_dice=True)(y, x)) == pytest.approx(2.1 / 6.1, abs=1e-6)


def test_an_ignored_image_leaves_the_mean_of_the_others():
    x = np.concatenate([X, X + 3])
    y = np.concatenate([Y, np.full_like(Y, 255)])
    for loss in (DiceLoss(BINARY), CrossEntropyLoss(BINARY), GeneralizedDiceLoss(BINARY), LovaszLoss(BINARY)):
        assert float(loss(y, x)) == pytest.approx(float(loss(Y, X)), abs=1e-6)
