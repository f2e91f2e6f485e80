"""Does a probability of 0.8 come true in 8 of 10 pixels? Expected calibration error, and a temperature to mend it.

Everything is computed from logits: a probability that is rounded to 0 would cost 69 nats, or whatever the rounding
happens to be, where the model's own loss charges the logit.

Guo et al., On calibration of modern neural networks, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from seglab.data.randomness import generator
from seglab.metrics.confusion import union_of
from seglab.task import Task

BINS = 15
PIXELS_PER_CASE = 20_000  # of each case alike; all pixels of a volume would say no more
TEMPERATURES = (0.05, 20.0)
_ROUNDING = 1e-6  # of a confidence in float32, in bins: an upper edge is still in its bin


@dataclass(frozen=True)
class Pixels:
    """Pixels or voxels drawn from one or several cases.

    Attributes:
        logits: `(N, K)` float of any precision, up to a constant in each row; logarithms of probabilities are such.
            `(N, 1)` of a binary task: the foreground's over the background's.
        truth: `(N,)` class ids.
    """

    logits: np.ndarray
    truth: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """`(N, K)` float64, each row summing to 1."""
        weights = np.exp(_below_largest(self))
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _below_largest(pixels: Pixels) -> np.ndarray:
    """Logits `(N, K)` float64 less the largest of each row."""
    logits = pixels.logits.astype(np.float64)
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    return np.asarray(logits - logits.max(axis=-1, keepdims=True))


def drawn_pixels(logs: np.ndarray, ids: np.ndarray, task: Task) -> Pixels:
    """Pixels of their logarithms as `Predictor.predict_drawn` gives them, `(N, task.log_channels)`, and true class ids
    `(N,)`; of a task with regions each region of a pixel is one to be in or out of."""
    if not task.regions:
        return Pixels(logs, ids.astype(int))
    inside, outside = np.split(logs, 2, axis=-1)
    truth = np.stack([union_of(ids, classes) for classes in task.unions], axis=-1)
    return Pixels((inside - outside).reshape(-1, 1), truth.reshape(-1).astype(int))


def draw_places(truth: np.ndarray, task: Task, case_id: str) -> np.ndarray:
    """Flat indices of at most `PIXELS_PER_CASE` labelled pixels of a case, the same ones each time.

    Args:
        truth: `(*spatial)` class ids; the ignored label is never drawn.
        task: which label is ignored.
        case_id: names the draw.
    """
    places = np.flatnonzero(truth != task.ignore_label)
    if len(places) > PIXELS_PER_CASE:
        places = places[generator(0, "calibration", case_id).choice(len(places), PIXELS_PER_CASE, replace=False)]
    return places


def joined(parts: Sequence[Pixels]) -> Pixels:
    """The pixels of several cases as one."""
    return Pixels(np.concatenate([p.logits for p in parts]), np.concatenate([p.truth for p in parts]))


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
    probabilities = pixels.probabilities
    sure, right = probabilities.max(axis=-1), probabilities.argmax(axis=-1) == pixels.truth
    place = np.clip(np.ceil(sure * bins - _ROUNDING).astype(int) - 1, 0, bins - 1)
    count, confidence, accuracy = (np.bincount(place, weights, minlength=bins) for weights in (None, sure, right))
    with np.errstate(invalid="ignore"):
        return Reliability(count, confidence / count, accuracy / count)


def negative_log_likelihood(pixels: Pixels) -> float:
    """Mean of -log p of the true class, in nats; NaN of no pixels."""
    if not len(pixels.truth):
        return np.nan
    logits = _below_largest(pixels)
    true = np.take_along_axis(logits, pixels.truth[:, None].astype(np.intp), axis=-1)[:, 0]
    return float((np.log(np.exp(logits).sum(axis=-1)) - true).mean())


def scaled(pixels: Pixels, temperature: float) -> Pixels:
    """The pixels with their logits divided by `temperature`: above 1 the model becomes less sure, below 1 surer.

    The chosen class stays.
    """
    return Pixels(pixels.logits.astype(np.float64) / temperature, pixels.truth)


def fit_temperature(pixels: Pixels) -> float:
    """The temperature, in 0.05..20, at which the pixels are likeliest; 1 where there are none.

    The negative log likelihood is convex in the inverse of the temperature, so a search on one axis finds its minimum.
    Where it falls right up to an end of the range, that end is returned: see `bound_reached`.
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
    ends = {end: negative_log_likelihood(scaled(pixels, end)) for end in TEMPERATURES}
    best = min(ends, key=lambda end: ends[end])
    return best if ends[best] <= found.fun else float(np.exp(found.x))


def bound_reached(temperature: float) -> str:
    """What it means that `fit_temperature` returned an end of its range; empty where it did not."""
    low, high = TEMPERATURES
    if temperature == low:
        return (
            f"temperature {low:g} is the lowest that is tried: nearly every validation pixel is right, so "
            "that confidence cannot be fitted; do not use it"
        )
    if temperature == high:
        return (
            f"temperature {high:g} is the highest that is tried: on the validation cases the model's probabilities say "
            "next to nothing about the truth; examine the model, a temperature does not mend it"
        )
    return ""
