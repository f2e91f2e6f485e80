"""Statistics of each channel of an image, in one pass: from a histogram where numbers are 8 or 16 bit."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

LOW_PERCENTILE, HIGH_PERCENTILE = 0.5, 99.5
# OpenCV counts in float32, which is exact up to here.
_EXACT_COUNT = 2**24
_FEW_CHANNELS = 4

Numbers = tuple[float, ...]


class IntensityStats(NamedTuple):
    """What is known of the values of each channel, `(C,)` each.

    `low` and `high` are the 0.5 and 99.5 percentiles, interpolated as by NumPy; the last two are mean and standard
    deviation after clipping to them.
    """

    minimum: Numbers
    maximum: Numbers
    mean: Numbers
    std: Numbers
    low: Numbers
    high: Numbers
    clipped_mean: Numbers
    clipped_std: Numbers


def intensity_stats_of(image: np.ndarray) -> IntensityStats:
    """The statistics of `(…, C)`; exact, in double precision."""
    channels = range(image.shape[-1])
    if image.dtype in (np.uint8, np.uint16):
        rows = [stats_of_counts(counts) for counts in histograms(image)]
    else:
        flat = image.reshape(-1, image.shape[-1])
        rows = [_of_values(np.ascontiguousarray(flat[:, c])) for c in channels]
    return IntensityStats(*(tuple(row[i] for row in rows) for i in range(len(IntensityStats._fields))))


def histograms(image: np.ndarray) -> np.ndarray:
    """How often each value occurs in each channel of an 8 or 16 bit image: `(C, 256 or 65536)` int64."""
    values = np.iinfo(image.dtype).max + 1
    lines = np.ascontiguousarray(image).reshape(image.shape[0], -1, image.shape[-1])
    if image.dtype != np.uint8 or lines.shape[1] > _EXACT_COUNT:
        return np.stack([np.bincount(lines[..., c].ravel(), minlength=values) for c in range(lines.shape[-1])])
    step = max(_EXACT_COUNT // max(lines.shape[1], 1), 1)
    counts = np.zeros((lines.shape[-1], values), np.int64)
    for start in range(0, len(lines), step):
        part = lines[start : start + step]
        for c in range(lines.shape[-1]):
            # Of many channels one alone: OpenCV takes 128 in an array, and goes over all of them for each.
            one, at = (part, c) if lines.shape[-1] <= _FEW_CHANNELS else (np.ascontiguousarray(part[..., c]), 0)
            counts[c] += cv2.calcHist([one], [at], None, [values], [0, values]).ravel().astype(np.int64)
    return counts


def stats_of_counts(counts: np.ndarray, first: int = 0) -> Numbers:
    """The statistics of one channel by how often it holds `first`, `first + 1`, …"""
    there = np.flatnonzero(counts)
    values, counts = there.astype(np.float64) + first, counts[there]
    below = np.cumsum(counts)
    last = below[-1] - 1
    bounds = []
    for percentile in (LOW_PERCENTILE, HIGH_PERCENTILE):
        place = percentile / 100 * last
        one, next_one = (values[np.searchsorted(below, min(int(place) + more, last), side="right")] for more in (0, 1))
        bounds.append(float(one + (next_one - one) * (place - int(place))))
    low, high = bounds
    mean, std = _moments(values, counts)
    return (float(values[0]), float(values[-1]), mean, std, low, high, *_moments(np.clip(values, low, high), counts))


def _moments(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    mean = float(np.average(values, weights=counts))
    return mean, float(np.sqrt(np.average(np.square(values - mean), weights=counts)))


def _of_values(values: np.ndarray) -> Numbers:
    low, high = (float(bound) for bound in np.percentile(values, [LOW_PERCENTILE, HIGH_PERCENTILE]))
    clipped = np.clip(values, low, high, dtype=np.float64)
    return (
        float(values.min()),
        float(values.max()),
        float(values.mean(dtype=np.float64)),
        float(values.std(dtype=np.float64)),
        low,
        high,
        float(clipped.mean()),
        float(clipped.std()),
    )
