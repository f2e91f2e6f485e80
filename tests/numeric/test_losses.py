"""What every loss must do, whatever its formula: one table, each loss a row."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from gradients import gradient
from keras import ops

from seglab.errors import ConfigError
from seglab.losses.base import Scores
from seglab.losses.compound import CombinedLoss, TotalLoss
from seglab.losses.distribution import BalancedCrossEntropyLoss, CrossEntropyLoss, FocalLoss
from seglab.losses.lovasz import LovaszLoss
from seglab.losses.region import DiceLoss, FocalTverskyLoss, GeneralizedDiceLoss, JaccardLoss, TverskyLoss
from seglab.models import heads
from seglab.task import Task

LOSSES = [
    DiceLoss,
    GeneralizedDiceLoss,
    JaccardLoss,
    CrossEntropyLoss,
    BalancedCrossEntropyLoss,
    FocalLoss,
    TverskyLoss,
    FocalTverskyLoss,
    LovaszLoss,
    CombinedLoss,
    TotalLoss,
]
SIZES = {2: (4, 4), 3: (4, 2, 2)}
each_loss = pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.__name__)
each_task = pytest.mark.parametrize(("rank", "classes"), [(2, 2), (2, 3), (3, 2), (3, 3)])


def make_task(rank: int, classes: int) -> Task:
    shares = (0.7, 0.2, 0.1)[:classes]
    return Task(rank, 1, ("background", "a", "b")[:classes], class_frequencies=shares)


def certain(y: np.ndarray, task: Task, logit: float = 20.0) -> np.ndarray:
    """Logits that say `y`, and mean it."""
    if task.binary:
        return np.where(y == 1, logit, -logit)[..., None].astype("float32")
    return (logit * np.eye(task.classes)[np.clip(y, 0, task.classes - 1)]).astype("float32")


def options_of(kind: type) -> dict[str, object]:
    return kind.__init__.__kwdefaults__ or {}


def value(loss: keras.losses.Loss, y: np.ndarray, x: object) -> float:
    result = loss(y, x)
    assert tuple(result.shape) == ()
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    return float(ops.convert_to_numpy(result))


def random_batch(task: Task, images: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, task.classes, (images, *SIZES[task.rank]))
    return y, rng.normal(size=(*y.shape, task.logit_channels)).astype("float32")


@each_loss
@each_task
def test_perfect_costs_nothing(kind, rank, classes):
    task = make_task(rank, classes)
    y, _ = random_batch(task)
    assert value(kind(task), y, certain(y, task)) == pytest.approx(0, abs=1e-4)


@each_loss
@each_task
def test_quite_wrong_costs_much(kind, rank, classes):
    task = make_task(rank, classes)
    y, _ = random_batch(task)
    assert value(kind(task), y, certain((y + 1) % classes, task)) > 0.7


@each_loss
@each_task
def test_an_empty_mask_that_is_found_empty_costs_nothing(kind, rank, classes):
    task = make_task(rank, classes)
    y = np.zeros((2, *SIZES[rank]), "int32")
    assert value(kind(task), y, certain(y, task)) == pytest.approx(0, abs=1e-4)
    assert np.isfinite(gradient(kind(task), y, certain(y, task))).all()


@each_loss
@each_task
def test_false_alarms_on_an_empty_mask_cost_and_pull_back(kind, rank, classes):
    task = make_task(rank, classes)
    y = np.zeros((2, *SIZES[rank]), "int32")
    wrong = certain(np.ones_like(y), task, logit=2.0)
    assert value(kind(task), y, wrong) > 0.3
    # Less foreground, or more background, lowers the loss.
    slope = gradient(kind(task), y, wrong)[..., 0] * (1 if task.binary else -1)
    assert slope.sum() > 1e-3
    assert (slope >= 0).all()


@each_loss
@each_task
def test_one_pixel_counts(kind, rank, classes):
    task = make_task(rank, classes)
    y = np.zeros((1, *SIZES[rank]), "int32")
    spot = (0,) * (rank + 1)
    y[spot] = 1
    missed = certain(np.zeros_like(y), task, logit=2.0)
    assert value(kind(task), y, missed) > value(kind(task), y, certain(y, task, logit=2.0)) + 0.02
    slope = gradient(kind(task), y, missed)[..., -1 if task.binary else 1]
    assert slope[spot] < -1e-3


@each_loss
@each_task
def test_all_ignored_is_zero_with_zero_gradient(kind, rank, classes):
    task = make_task(rank, classes)
    _, x = random_batch(task)
    y = np.full(x.shape[:-1], 255)
    assert value(kind(task), y, x) == 0.0
    np.testing.assert_array_equal(gradient(kind(task), y, x), np.zeros_like(x))


@each_loss
@each_task
def test_what_is_ignored_changes_nothing(kind, rank, classes):
    task = make_task(rank, classes)
    y, x = random_batch(task)
    hidden = np.random.default_rng(1).random(y.shape) < 0.4
    y[hidden] = 255
    other = x.copy()
    other[hidden] = 50 * np.random.default_rng(2).normal(size=other[hidden].shape)
    assert value(kind(task), y, other) == pytest.approx(value(kind(task), y, x), rel=1e-6)
    slope = gradient(kind(task), y, other)
    np.testing.assert_array_equal(slope[hidden], 0.0)
    assert (slope[~hidden] != 0).any()


@each_loss
@each_task
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_computed_in_float32(kind, rank, classes, dtype):
    task = make_task(rank, classes)
    y, x = random_batch(task)
    halves = ops.cast(x, dtype)
    same = np.asarray(ops.convert_to_numpy(ops.cast(halves, "float32")))
    assert value(kind(task), y, halves) == value(kind(task), y, same)


@each_loss
@each_task
@pytest.mark.parametrize("size", [300.0, 60000.0])
def test_huge_logits_stay_finite(kind, rank, classes, size):
    task = make_task(rank, classes)
    y, x = random_batch(task)
    x = np.sign(x) * size
    assert np.isfinite(value(kind(task), y, ops.cast(x, "float16")))
    assert np.isfinite(gradient(kind(task), y, x.astype("float32"))).all()


@each_loss
@each_task
def test_large_volumes_do_not_lose_digits(kind, rank, classes):
    """A float16 sum overflows at 65,504 and stands still at 2,048."""
    task = make_task(rank, classes)
    small, logits = random_batch(task, images=1, seed=5)
    repeated = (1, 64, 64) + (1,) * (rank - 2)
    y, x = np.tile(small, repeated), np.tile(logits, (*repeated, 1))
    options = {"smooth": 1e-6} if "smooth" in options_of(kind) else {}
    expected = value(kind(task, **options), small, logits)
    if kind is not LovaszLoss:  # whose steps are finer with more pixels
        assert value(kind(task, **options), y, ops.cast(x, "float32")) == pytest.approx(expected, rel=1e-4)
    assert 0 < value(kind(task), y, ops.cast(x, "float16")) < 10


@each_loss
@pytest.mark.parametrize(("rank", "classes"), [(2, 2), (3, 3)])
def test_going_downhill_finds_the_truth(kind, rank, classes):
    task = make_task(rank, classes)
    y, x = random_batch(task, images=2, seed=3)
    y[0, 0] = 255
    loss = kind(task)
    start = value(loss, y, x)
    for step in range(25):
        slope = gradient(loss, y, x)
        assert np.isfinite(slope).all()
        x = x - 0.5 * 0.95**step * np.sign(slope)
    assert value(loss, y, x) < 0.05 * start
    found = ops.convert_to_numpy(heads.labels(x, task))
    np.testing.assert_array_equal(found[y != 255], y[y != 255])


@each_loss
@pytest.mark.parametrize("classes", [2, 3])
def test_unknown_sizes_and_the_last_small_batch(kind, classes):
    """As `fit` calls it: compiled, with a batch that is not full at the end, on images whose size is not known."""
    task = make_task(2, classes)
    image = keras.Input((None, None, 1))
    model = keras.Model(image, keras.layers.Conv2D(task.logit_channels, 1)(image))
    loss = kind(task)
    model.compile("sgd", loss=loss)
    y, _ = random_batch(task, images=3)
    x = np.random.default_rng(0).random((*y.shape, 1)).astype("float32")
    parts = [value(loss, y[i], model(x[i])) * n for i, n in ((slice(0, 2), 2), (slice(2, 3), 1))]
    found = model.evaluate(x, y, batch_size=2, verbose=0)
    assert found == pytest.approx(sum(parts) / 3, rel=1e-5)


@each_task
def test_scores_are_those_of_the_head(rank, classes):
    task = make_task(rank, classes)
    y, x = random_batch(task)
    y[0, 0] = 255
    scores = Scores(y, x, task)
    expected = ops.convert_to_numpy(heads.probabilities(x, task)).reshape(3, -1, classes)
    ids = y.reshape(3, -1)
    truth = ids[..., None] == np.arange(classes)
    found, one_hot = (ops.convert_to_numpy(part) for part in (scores.probabilities, scores.truth))
    if task.binary:
        found, expected = found[..., None], expected[..., 1:]
        one_hot, truth = one_hot[..., None], truth[..., 1:]
    else:
        found, one_hot = found.swapaxes(1, 2), one_hot.swapaxes(1, 2)
        log_probabilities = ops.convert_to_numpy(scores.log_probabilities).swapaxes(1, 2)
        logits = ops.convert_to_numpy(x).reshape(3, -1, classes).astype("float64")
        logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        np.testing.assert_allclose(log_probabilities, logs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(one_hot, truth)
    np.testing.assert_array_equal(ops.convert_to_numpy(scores.valid), ids != task.ignore_label)


def test_relations_between_losses():
    task = make_task(2, 3)
    y, x = random_batch(task)
    dice = value(DiceLoss(task), y, x)
    assert value(TverskyLoss(task, alpha=0.5, beta=0.5, smooth=0.5), y, x) == pytest.approx(dice, rel=1e-5)
    tversky = value(TverskyLoss(task, alpha=1.0, beta=1.0), y, x)
    assert value(JaccardLoss(task), y, x) == pytest.approx(tversky, rel=1e-6)
    assert value(FocalTverskyLoss(task, gamma=1.0), y, x) == pytest.approx(value(TverskyLoss(task), y, x), rel=1e-5)
    assert value(FocalLoss(task, gamma=0.0), y, x) == pytest.approx(value(CrossEntropyLoss(task), y, x), rel=1e-6)
    binary = make_task(2, 2)
    y, x = random_batch(binary)
    generalized = value(GeneralizedDiceLoss(binary, include_background=False), y, x)
    assert generalized == pytest.approx(value(DiceLoss(binary), y, x), rel=1e-5)


@pytest.mark.parametrize(
    "kind", [kind for kind in LOSSES if "class_weights" in options_of(kind)], ids=lambda kind: kind.__name__
)
@pytest.mark.parametrize("weights", [[1.0, 2.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
def test_class_weights_that_do_not_fit_are_refused(kind, weights):
    with pytest.raises(ConfigError, match=r"(?s)loss\.class_weights.*3 numbers.*background, a, b"):
        kind(make_task(2, 3), class_weights=weights)


def test_settings_that_leave_no_loss_are_refused():
    task = make_task(2, 3)
    with pytest.raises(ConfigError, match="only the background has a weight"):
        DiceLoss(task, class_weights=[1.0, 0.0, 0.0])
    with pytest.raises(ConfigError, match="false positives and false negatives both weigh 0"):
        TverskyLoss(task, alpha=0.0, beta=0.0)
    with pytest.raises(ConfigError, match=r"loss\.dice_weight, loss\.cross_entropy_weight"):
        CombinedLoss(task, dice_weight=0.0, cross_entropy_weight=0.0)
    with pytest.raises(ConfigError, match=r"loss\.dice_weight, loss\.focal_weight"):
        TotalLoss(task, dice_weight=0.0, focal_weight=0.0)


@pytest.mark.parametrize("frequencies", [None, (0.5, 0.5), (0.0, 0.0, 0.0)])
def test_balancing_needs_the_frequencies(frequencies):
    task = Task(2, 1, ("background", "a", "b"), class_frequencies=frequencies)
    with pytest.raises(ConfigError, match=r"(?s)task\.class_frequencies.*remedy.*loss=cross_entropy"):
        BalancedCrossEntropyLoss(task)


def test_shapes_that_do_not_fit_are_refused():
    task = make_task(2, 3)
    y, x = random_batch(task)
    for truth, logits in ((y[..., None], x), (y, x[..., :2]), (y[0], x)):
        with pytest.raises(ValueError, match="do not fit"):
            DiceLoss(task)(truth, logits)
