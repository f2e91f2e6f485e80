"""Overlapping regions in numbers: what the losses see, how masks are painted, what is scored, what is noticed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops
from nested_regions import NESTED, TASK

from seglab.errors import ConfigError
from seglab.evaluation.case_scores import score_case
from seglab.inference import loaded_network
from seglab.inference.decision import class_ids
from seglab.inference.mask_facts import MaskFacts, parts_of
from seglab.losses.compound import CombinedLoss, TotalLoss
from seglab.losses.distribution import BalancedCrossEntropyLoss, CrossEntropyLoss, FocalLoss
from seglab.losses.keras_loss import keras_loss
from seglab.losses.lovasz import LovaszLoss
from seglab.losses.region import DiceLoss, FocalTverskyLoss, GeneralizedDiceLoss, JaccardLoss, TverskyLoss
from seglab.metrics.calibration import drawn_pixels
from seglab.metrics.confusion import confusion_matrix, sizes
from seglab.metrics.keras_score import keras_metric
from seglab.metrics.keras_scores import SegmentationScores
from seglab.metrics.shape_scores import score_shapes
from seglab.models import heads
from seglab.models.members import MeanOfMembers
from seglab.task import Region, Task

RNG = np.random.default_rng(3)
NAMES = ("whole", "core", "enhancing")
CROSSED = Task(2, 1, ("background", "a", "b", "c"), regions=(Region("ab", (1, 2), 1), Region("bc", (2, 3), 3)))


def logit(p):
    return np.log(np.asarray(p, np.float64) / (1 - np.asarray(p, np.float64))).astype("float32")


def batch(task, images=3, side=6):
    """Truth with a quarter ignored, one image without the last class, and logits."""
    truth = RNG.integers(0, task.classes, (images, side, side))
    truth[0][truth[0] == task.classes - 1] = 1
    truth[RNG.random(truth.shape) < 0.25] = 255
    return truth.astype("uint8"), RNG.normal(0, 2, (images, side, side, task.logit_channels)).astype("float32")


# Pixels: in the whole alone; in the core too; in all three; enhancing, with no whole or core around it; none.
PAINTED = np.array([[0.9, 0.1, 0.1], [0.9, 0.8, 0.2], [0.9, 0.9, 0.6], [0.2, 0.4, 0.7], [0.5, 0.3, 0.1]], np.float32)


def test_regions_are_painted_in_their_order_and_the_last_one_found_wins():
    found = class_ids(iter(PAINTED.T), TASK, 0.5)
    assert found.dtype == np.uint8
    assert found.tolist() == [1, 2, 3, 3, 0]  # 0.5 is not above the threshold
    assert class_ids(iter(PAINTED.T), TASK, 0.65).tolist() == [1, 2, 2, 3, 0]
    assert ops.convert_to_numpy(heads.labels(logit(PAINTED), TASK)).tolist() == [1, 2, 3, 3, 0]
    # Regions that cross: where both are found, the later one paints.
    both = iter(np.array([[0.9, 0.9, 0.1], [0.1, 0.9, 0.9]], np.float32))
    assert class_ids(both, CROSSED, 0.5).tolist() == [1, 3, 3]


def test_the_dice_of_a_region_is_that_of_its_union_worked_out_by_hand():
    truth, predicted = np.array([0, 1, 2, 3, 3, 255], np.uint8), np.array([1, 1, 3, 3, 0, 2], np.uint8)
    scores = score_case(confusion_matrix(truth, predicted, TASK), TASK)
    # whole: true 4, predicted 4, both 3. core: 3, 2, 2. enhancing: 2, 2, 1. The last pixel is ignored.
    assert [scores[f"dice/{name}"] for name in NAMES] == pytest.approx([6 / 8, 4 / 5, 2 / 4])
    assert [scores[f"iou/{name}"] for name in NAMES] == pytest.approx([3 / 5, 2 / 3, 1 / 3])
    assert scores["dice"] == pytest.approx((6 / 8 + 4 / 5 + 2 / 4) / 3)
    assert [scores[f"true/{name}"] for name in NAMES] == [4, 3, 2]
    assert not any("background" in name or "edema" in name for name in scores)


def test_a_region_of_which_a_case_has_nothing_is_scored_as_an_absent_class():
    truth = np.array([0, 1, 2, 0], np.uint8)
    scores = score_case(confusion_matrix(truth, truth, TASK), TASK)
    assert np.isnan(scores["dice/enhancing"])
    assert scores["dice"] == 1
    scores = score_case(confusion_matrix(truth, np.array([0, 1, 3, 0], np.uint8), TASK), TASK)
    assert scores["dice/enhancing"] == 0
    assert scores["dice/core"] == 1
    assert scores["dice"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("task", [TASK, CROSSED], ids=["nested", "crossed"])
def test_scores_of_training_and_of_whole_cases_are_those_of_masks_of_each_region(task):
    truth, logits = batch(task)
    painted = np.zeros(truth.shape, "uint8")
    for region, channel in zip(task.regions, np.moveaxis(logits, -1, 0), strict=True):
        painted = np.where(channel > 0, region.paints, painted)
    known, dice = truth != 255, {}
    for region in task.regions:
        a, b = (np.isin(ids, region.classes) & known for ids in (truth, painted))
        dice[f"dice/{region.name}"] = 2 * (a & b).sum() / (a.sum() + b.sum())
    metric = SegmentationScores(task)
    for one in range(len(truth)):
        metric.update_state(truth[one : one + 1], logits[one : one + 1])
    found = {key: float(value) for key, value in metric.result().items()}
    assert {key: found[key] for key in dice} == pytest.approx(dice, rel=1e-6)
    assert found["dice"] == pytest.approx(np.mean(list(dice.values())), rel=1e-6)
    scores = score_case(confusion_matrix(truth, painted, task), task)
    assert {key: scores[key] for key in dice} == pytest.approx(dice)
    shapes = score_shapes(truth[0], truth[0], (1.0, 1.0), task, 1.0)
    assert {key for key in shapes if key.startswith("nsd_1px/")} == {f"nsd_1px/{one.name}" for one in task.regions}


LOSSES = {
    "dice": (DiceLoss, {}),
    "dice, whole batch": (DiceLoss, {"batch_dice": True}),
    "dice, outside too": (DiceLoss, {"include_background": True}),
    "jaccard": (JaccardLoss, {}),
    "tversky": (TverskyLoss, {}),
    "focal tversky": (FocalTverskyLoss, {}),
    "generalized dice": (GeneralizedDiceLoss, {}),
    "cross-entropy": (CrossEntropyLoss, {}),
    "focal": (FocalLoss, {}),
    "combined": (CombinedLoss, {}),
    "total": (TotalLoss, {}),
    "lovasz": (LovaszLoss, {}),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_the_mean_of_the_binary_losses_of_the_regions(name):
    kind, settings = LOSSES[name]
    truth, logits = batch(CROSSED)
    binary = Task(2, 1, ("outside", "inside"))
    apart = []
    for number, region in enumerate(CROSSED.regions):
        inside = np.where(truth == 255, 255, np.isin(truth, region.classes))
        apart.append(float(kind(binary, **settings)(inside, logits[..., number : number + 1])))
    assert float(kind(CROSSED, **settings)(truth, logits)) == pytest.approx(np.mean(apart), rel=1e-5)


def test_combined_is_dice_and_cross_entropy_of_every_region_worked_out_in_numpy():
    truth, logits = batch(TASK)
    p, valid = 1 / (1 + np.exp(-logits.astype(float))), truth != 255
    dice, entropy = [], []
    for number, region in enumerate(NESTED):
        y, q = np.isin(truth, region.classes), p[..., number]
        entropy.append(-np.log(np.where(y, q, 1 - q))[valid].mean())
        for image in range(len(truth)):
            t, c, v = y[image], q[image], valid[image]
            hit = c[v & t].sum()
            dice.append(1 - (2 * hit + 1) / (c[v].sum() + t[v].sum() + 1))
    found = float(CombinedLoss(TASK)(truth, logits))
    assert found == pytest.approx(np.mean(dice) + np.mean(entropy), rel=1e-5)
    everything = np.full_like(truth, 255)
    assert float(CombinedLoss(TASK)(everything, logits)) == 0


def test_what_needs_exclusive_classes_is_refused():
    for make in (
        lambda: BalancedCrossEntropyLoss(TASK),
        lambda: CrossEntropyLoss(TASK, class_weights=[1, 1, 1, 1]),
        lambda: keras_loss(TASK, name="CategoricalCrossentropy", settings={}),
        lambda: keras_metric(TASK, name="MeanIoU", settings={}),
    ):
        with pytest.raises(ConfigError, match="regions whole, core, enhancing") as caught:
            make()
        assert caught.value.code == "region-loss"


def test_probabilities_are_the_same_in_keras_and_numpy_and_sum_to_nothing():
    _, logits = batch(TASK)
    for name, channels in (("probabilities", 3), ("log_probabilities", 6)):
        mine = getattr(loaded_network, name)(logits, TASK)
        assert mine.shape[-1] == channels
        np.testing.assert_allclose(mine, ops.convert_to_numpy(getattr(heads, name)(logits, TASK)), rtol=2e-5, atol=1e-6)
    extreme = loaded_network.log_probabilities(np.full((1, 3), 90, np.float32), TASK)
    assert extreme[0, 5] == pytest.approx(-90)  # outside, where a probability would be rounded to 0


def test_what_is_noticed_of_a_mask_is_of_its_regions():
    p = RNG.random((5, 7, 3)).astype(np.float32)
    facts = MaskFacts(TASK)
    ids = class_ids(iter(np.moveaxis(p, -1, 0)), TASK, 0.5, facts)
    inside = p > 0.5
    soft = [2 * p[..., r][inside[..., r]].sum() / (p[..., r].sum() + inside[..., r].sum()) for r in range(3)]
    assert facts.soft_dice == pytest.approx(np.mean(soft), rel=1e-5)
    assert facts.confidence == pytest.approx(np.where(inside, p, 1 - p).min(axis=-1).mean(), rel=1e-5)
    assert facts.entropy == pytest.approx(-(p * np.log(p) + (1 - p) * np.log(1 - p)).sum(axis=-1).mean(), rel=1e-4)
    assert facts.pixels.tolist() == np.bincount(ids.ravel(), minlength=4).tolist()
    # Two rings of edema around a core each: the whole has 2 parts, the core 2, what enhances 1.
    rings = np.zeros((5, 12), np.uint8)
    rings[0:5, 0:5], rings[1:4, 1:4], rings[2, 2] = 1, 2, 3
    rings[0:5, 7:12], rings[1:4, 8:11] = 1, 2
    assert parts_of(rings, TASK) == 2 + 2 + 1


def test_calibration_asks_of_each_region_whether_a_pixel_is_in():
    logits = RNG.normal(0, 3, (4, 3)).astype(np.float32)
    pixels = drawn_pixels(loaded_network.log_probabilities(logits, TASK), np.array([0, 1, 2, 3], np.uint8), TASK)
    np.testing.assert_allclose(pixels.logits.ravel(), logits.ravel(), rtol=1e-5, atol=1e-5)
    assert pixels.truth.reshape(4, 3).tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_the_mean_of_members_is_of_each_regions_probability():
    each = [RNG.normal(0, 3, (1, 4, 4, 3)).astype(np.float32) for _ in range(3)]
    mean = MeanOfMembers([1.0, 2.0, 1.0], regions=True)
    expected = np.mean([1 / (1 + np.exp(-z / t)) for z, t in zip(each, (1, 2, 1), strict=True)], axis=0)
    np.testing.assert_allclose(ops.convert_to_numpy(ops.sigmoid(mean(each))), expected, rtol=1e-5)
    assert MeanOfMembers.from_config(mean.get_config()).regions
    assert not keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(MeanOfMembers([1.0]))).regions


def test_regions_that_do_not_fit_the_classes_are_no_task():
    for region in (Region("r", (), 1), Region("r", (1, 4), 1), Region("r", (0, 1), 1), Region("r", (1, 2), 3)):
        with pytest.raises(ConfigError, match="do not fit the classes"):
            Task(2, 1, TASK.class_names, regions=(region,))
    one = Region("r", (1,), 1)
    with pytest.raises(ConfigError, match="do not fit the classes"):
        Task(2, 1, TASK.class_names, regions=(one, one))
    single = Task(2, 1, ("background", "object"), regions=(one,))
    assert (single.binary, single.logit_channels, sizes(np.array([[5, 1], [2, 3]]), single).right.tolist()) == (
        False,
        1,
        [3],
    )
