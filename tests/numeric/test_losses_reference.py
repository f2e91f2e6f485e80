"""Every loss, value and gradient, against a slow reference that follows the formulas pixel by pixel in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradients import gradient
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from seglab.losses.compound import CombinedLoss, TotalLoss
from seglab.losses.distribution import BalancedCrossEntropyLoss, CrossEntropyLoss, FocalLoss
from seglab.losses.lovasz import LovaszLoss
from seglab.losses.region import DiceLoss, FocalTverskyLoss, GeneralizedDiceLoss, JaccardLoss, TverskyLoss
from seglab.task import Task


def slow_probabilities(logit_row: np.ndarray) -> list[float]:
    """Class probabilities of one pixel from its logits."""
    if len(logit_row) == 1:
        p = 1 / (1 + math.exp(-logit_row[0]))
        return [1 - p, p]
    powers = [math.exp(z - max(logit_row)) for z in logit_row]
    return [power / sum(powers) for power in powers]


def pixels(y: np.ndarray, x: np.ndarray, task: Task) -> list[list[tuple[int, list[float], np.ndarray]]]:
    """For each image the (class, probabilities, logits) of the pixels that count."""
    rows = x.reshape(len(x), -1, x.shape[-1])
    return [
        [(int(c), slow_probabilities(z), z) for c, z in zip(ids, row, strict=True) if c != task.ignore_label]
        for ids, row in zip(y.reshape(len(y), -1), rows, strict=True)
    ]


def slow_overlap(region):
    """An overlap loss from its formula `region(tp, fp, fn, options)` for one image and class."""

    def loss(y, x, task, *, include_background=False, batch_dice=False, class_weights=None, **options):
        images = [image for image in pixels(y, x, task) if image]
        if batch_dice:
            images = [[pixel for image in images for pixel in image]] if images else []
        weights = class_weights or [1.0] * task.classes
        total = weight = 0.0
        for image in images:
            for c in range(0 if include_background else 1, task.classes):
                tp = sum(p[c] for k, p, _ in image if k == c)
                fp = sum(p[c] for k, p, _ in image if k != c)
                fn = sum(1 - p[c] for k, p, _ in image if k == c)
                total += weights[c] * region(tp, fp, fn, **options)
                weight += weights[c]
        return total / weight if weight else 0.0

    return loss


def dice_region(tp, fp, fn, smooth=1.0):
    return 1 - (2 * tp + smooth) / (2 * tp + fp + fn + smooth)


def jaccard_region(tp, fp, fn, smooth=1.0):
    return 1 - (tp + smooth) / (tp + fp + fn + smooth)


def tversky_region(tp, fp, fn, smooth=1.0, alpha=0.3, beta=0.7):
    return 1 - (tp + smooth) / (tp + alpha * fp + beta * fn + smooth)


def focal_tversky_region(tp, fp, fn, gamma=4 / 3, **options):
    base = tversky_region(tp, fp, fn, **options)
    return base ** (1 / gamma) if base > 1e-4 else base * 1e-4 ** (1 / gamma - 1)


def slow_generalized_dice(y, x, task, *, include_background=True, batch_dice=False, smooth=1.0, class_weights=None):
    images = [image for image in pixels(y, x, task) if image]
    if batch_dice:
        images = [[pixel for image in images for pixel in image]] if images else []
    losses = []
    for image in images:
        classes = range(0 if include_background else 1, task.classes)
        sizes = {c: sum(k == c for k, _, _ in image) for c in classes}
        smallest = min((n for n in sizes.values() if n), default=1)
        above = below = 0.0
        for c in classes:
            w = (smallest / sizes[c]) ** 2 if sizes[c] else 1.0
            w *= class_weights[c] if class_weights else 1.0
            both = sum(p[c] for k, p, _ in image if k == c)
            above += w * 2 * both
            below += w * (sizes[c] + sum(p[c] for _, p, _ in image))
        losses.append(1 - (above + smooth) / (below + smooth))
    return float(np.mean(losses)) if losses else 0.0


def slow_pixel_loss(y, x, task, gamma=0.0, class_weights=None):
    weights = class_weights or [1.0] * task.classes
    total = weight = 0.0
    for image in pixels(y, x, task):
        for k, p, _ in image:
            total += weights[k] * (1 - p[k]) ** gamma * -math.log(p[k])
            weight += weights[k]
    return total / weight if weight else 0.0


def slow_balanced(y, x, task, power=1.0):
    known = [share for share in task.class_frequencies if share]
    weights = [1 / (share or min(known)) ** power for share in task.class_frequencies]
    return slow_pixel_loss(y, x, task, class_weights=weights)


def slow_extension(errors, truth):
    """Lovász extension of the Jaccard loss: walk down the errors and weigh each by the growth of the Jaccard loss."""
    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    value = before = 0.0
    for rank in range(len(order)):
        wrong = set(order[: rank + 1])
        kept = sum(t for i, t in enumerate(truth) if i not in wrong)
        union = sum(1 for i, t in enumerate(truth) if t or i in wrong)
        now = 1 - kept / union
        value += errors[order[rank]] * (now - before)
        before = now
    return value


def slow_lovasz(y, x, task, class_weights=None):
    weights = class_weights or [1.0] * task.classes
    losses = []
    for image in [image for image in pixels(y, x, task) if any(weights[k] for k, _, _ in image)]:
        if task.binary:
            price = [weight / np.mean(weights) for weight in weights]
            errors = [price[k] * max(0.0, 1 - (z[0] if k == 1 else -z[0])) for k, _, z in image]
            losses.append(slow_extension(errors, [k == 1 for k, _, _ in image]))
        else:
            present = sorted({k for k, _, _ in image})
            by_class = [
                slow_extension([abs((k == c) - p[c]) for k, p, _ in image], [k == c for k, _, _ in image])
                for c in present
            ]
            losses.append(float(np.average(by_class, weights=[weights[c] for c in present])))
    return float(np.mean(losses)) if losses else 0.0


def slow_combined(y, x, task, dice_weight=1.0, cross_entropy_weight=1.0, class_weights=None, **dice):
    return dice_weight * slow_overlap(dice_region)(
        y, x, task, class_weights=class_weights, **dice
    ) + cross_entropy_weight * slow_pixel_loss(y, x, task, class_weights=class_weights)


def slow_total(y, x, task, dice_weight=1.0, focal_weight=1.0, gamma=2.0, class_weights=None, **dice):
    return dice_weight * slow_overlap(dice_region)(
        y, x, task, class_weights=class_weights, **dice
    ) + focal_weight * slow_pixel_loss(y, x, task, gamma=gamma, class_weights=class_weights)


OVERLAP = {
    "include_background": st.booleans(),
    "batch_dice": st.booleans(),
    "smooth": st.sampled_from([1e-3, 1.0, 10.0]),
    "class_weights": st.booleans(),
}
PRICES = {"alpha": st.sampled_from([0.0, 0.3, 1.0]), "beta": st.sampled_from([0.5, 0.7, 2.0])}
WEIGHTS = {"class_weights": st.booleans()}
TERM = st.sampled_from([0.0, 0.5, 2.0])
GAMMA = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0])
# Loss, reference, options to draw; `class_weights` is drawn as whether there are any.
TABLE = {
    "dice": (DiceLoss, slow_overlap(dice_region), OVERLAP),
    "generalized_dice": (GeneralizedDiceLoss, slow_generalized_dice, OVERLAP),
    "jaccard": (JaccardLoss, slow_overlap(jaccard_region), OVERLAP),
    "tversky": (TverskyLoss, slow_overlap(tversky_region), OVERLAP | PRICES),
    "focal_tversky": (
        FocalTverskyLoss,
        slow_overlap(focal_tversky_region),
        OVERLAP | PRICES | {"gamma": st.sampled_from([0.5, 1.0, 4 / 3, 3.0])},
    ),
    "cross_entropy": (CrossEntropyLoss, slow_pixel_loss, WEIGHTS),
    "balanced_cross_entropy": (BalancedCrossEntropyLoss, slow_balanced, {"power": st.sampled_from([0.0, 0.5, 1.0])}),
    "focal": (FocalLoss, slow_pixel_loss, WEIGHTS | {"gamma": GAMMA}),
    "lovasz": (LovaszLoss, slow_lovasz, WEIGHTS),
    "combined": (CombinedLoss, slow_combined, OVERLAP | {"dice_weight": TERM, "cross_entropy_weight": TERM}),
    "total": (TotalLoss, slow_total, OVERLAP | {"dice_weight": TERM, "focal_weight": TERM, "gamma": GAMMA}),
}


@st.composite
def problems(draw):
    """A small task with a batch of truth and logits: ranks 2 and 3, two and three classes, ignored pixels and images,
    absent classes, an ignored id that is itself a class."""
    classes = draw(st.sampled_from([2, 3]))
    size = draw(st.sampled_from([(2, 2), (3, 4), (1, 1), (2, 3, 2)]))
    ignore = draw(st.sampled_from([255, 255, 0]))
    names = tuple("abc"[:classes])
    shares = draw(st.sampled_from([(0.6, 0.3, 0.1), (0.8, 0.0, 0.2)]))[:classes]
    task = Task(len(size), 1, names, ignore_label=ignore, class_frequencies=shares)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = draw(st.integers(1, 3))
    y = rng.integers(0, draw(st.integers(1, classes)), (images, *size))
    y[rng.random(y.shape) < draw(st.sampled_from([0.0, 0.3]))] = ignore
    if draw(st.booleans()):
        y[0] = ignore
    x = rng.normal(size=(*y.shape, task.logit_channels)) * draw(st.sampled_from([0.3, 2.0, 8.0]))
    return task, y.astype("int32"), x.astype("float32")


def draw_options(data, strategies, task):
    options = {key: data.draw(strategy, label=key) for key, strategy in strategies.items()}
    if options.pop("class_weights", False):
        options["class_weights"] = data.draw(st.sampled_from([[0.5, 2.0, 0.0], [0.0, 1.0, 3.0]]))[: task.classes]
    if options.get("dice_weight") == 0 and not options.get("cross_entropy_weight", options.get("focal_weight")):
        options["dice_weight"] = 1.0  # a sum without terms is refused
    return options


@pytest.mark.parametrize("name", TABLE)
@settings(max_examples=40, deadline=None)
@given(problem=problems(), data=st.data())
def test_value_and_gradient_equal_the_slow_reference(name, problem, data):
    task, y, x = problem
    kind, slow, strategies = TABLE[name]
    options = draw_options(data, strategies, task)
    loss = kind(task, **options)
    expected = slow(y, x.astype("float64"), task, **options)
    found = float(ops.convert_to_numpy(loss(y, x)))
    assert found == pytest.approx(expected, rel=2e-5, abs=1e-5)
    slope = gradient(loss, y, x)
    assert slope.shape == x.shape
    assert np.isfinite(slope).all()
    # Slope along a random direction, from central differences in double precision. Two step widths that disagree tell
    # of a kink (of the hinge, of the order of errors) between them.
    direction = np.random.default_rng(0).normal(size=x.shape)
    wide, narrow = (
        (slow(y, x + h * direction, task, **options) - slow(y, x - h * direction, task, **options)) / (2 * h)
        for h in (2e-4, 1e-4)
    )
    if abs(wide - narrow) < 1e-3 * max(1.0, abs(wide)):
        assert float(np.sum(slope * direction)) == pytest.approx(narrow, rel=2e-3, abs=2e-3)
