"""Does a probability of 0.8 come true in 8 of 10 pixels? Expected calibration error, and a temperature to mend it.

Guo et al., On calibration of modern neural networks, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from seglab.data.randomness import generator
from seglab.task import Task

BINS = 15
PIXELS_PER_CASE = 20_000  # of each case alike; all pixels of a volume would say no more
TEMPERATURES = (0.05, 20.0)
_SMALLEST = 1e-30  # a probability that float32 has rounded to 0


@dataclass(frozen=True)
class Pixels:
    """Pixels or voxels drawn from one or several cases.

    Attributes:
        probabilities: `(N, K)` float, each row summing to 1.
        truth: `(N,)` class ids.
    """

    probabilities: np.ndarray
    truth: np.ndarray


def draw_pixels(probabilities: np.ndarray, truth: np.ndarray, task: Task, case_id: str) -> Pixels:
    """At most `PIXELS_PER_CASE` labelled pixels of a case, the same ones each time.

    Args:
        probabilities: `(*spatial, K)`.
        truth: `(*spatial)` class ids; the ignored label is never drawn.
        task: which label is ignored.
        case_id: names the draw.
    """
    places = np.flatnonzero(truth != task.ignore_label)
    if len(places) > PIXELS_PER_CASE:
        places = places[generator(0, "calibration", case_id).choice(len(places), PIXELS_PER_CASE, replace=False)]
    return Pixels(probabilities.reshape(-1, probabilities.shape[-1])[places], truth.ravel()[places].astype(int))


def joined(parts: Sequence[Pixels]) -> Pixels:
    """The pixels of several cases as one."""
    return Pixels(np.concatenate([p.probabilities for p in parts]), np.concatenate([p.truth for p in parts]))


@dataclass(frozen=True)
class Reliability:
    """How often the chosen class is right, by how sure the model was.

    A pixel's confidence is the largest of its probabilities. Bins are of equal width from 0 to 1, their upper edge
    included.

    Attributes:
        count: pixels in each bin, `(bins,)`.
        confidence: their mean confidence; NaN in an empty bin.
        accuracy: share of them that are right; NaN in an empty bin.
    """

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of accuracy and confidence over the pixels, 0..1; NaN of none."""
        total = self.count.sum()
        gap = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(gap * self.count) / total) if total else np.nan


def reliability(pixels: Pixels, bins: int = BINS) -> Reliability:
    """The bins of some pixels."""
    sure = pixels.probabilities.max(axis=-1)
    right = pixels.probabilities.argmax(axis=-1) == pixels.truth
    place = np.clip(np.ceil(sure.astype(float) * bins).astype(int) - 1, 0, bins - 1)
    count, confidence, accuracy = (np.bincount(place, weights, minlength=bins) for weights in (None, sure, right))
    with np.errstate(invalid="ignore"):
        return Reliability(count, confidence / count, accuracy / count)


def negative_log_likelihood(pixels: Pixels) -> float:
    """Mean of -log p of the true class, in nats; NaN of no pixels."""
    if not len(pixels.truth):
        return np.nan
    given = np.take_along_axis(pixels.probabilities, pixels.truth[:, None], axis=-1)
    return float(-np.log(np.maximum(given, _SMALLEST)).mean(dtype=float))


def scaled(pixels: Pixels, temperature: float) -> Pixels:
    """The pixels with their logits divided by `temperature`: above 1 the model becomes less sure, below 1 surer.

    The logarithms of the probabilities are the logits but for a constant in each pixel, which the softmax takes away
    again. The chosen class stays.
    """
    logits = np.log(np.maximum(pixels.probabilities.astype(float), _SMALLEST)) / temperature
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return Pixels(weights / weights.sum(axis=-1, keepdims=True), pixels.truth)


def fit_temperature(pixels: Pixels) -> float:
    """The temperature, in 0.05..20, at which the pixels are likeliest; 1 where there are none.

    The negative log likelihood is convex in the inverse of the temperature, so a search on one axis finds its minimum.
    """
    if not len(pixels.truth):
        return 1.0
    low, high = np.log(TEMPERATURES)
    found = optimize.minimize_scalar(
        lambda log: negative_log_likelihood(scaled(pixels, np.exp(log))),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.exp(found.x))
