"""Differences of methods from a reference, with the variances that seeds and cases add to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglab.statistics.components import Components, Units, effective_freedom
from seglab.statistics.studentized_range import critical

LEVEL = 0.05
# Shares of the level at which the tables are entered, by simulation: what estimated degrees of freedom cost, and what
# it costs to take the narrower of two widths.
ENTERED, OF_TWO = 0.8, 0.5


@dataclass(frozen=True)
class Against:
    """Differences of all methods from one reference, for each study.

    Attributes:
        difference: `(studies, methods)`; NaN without a case in common.
        own, pooled: two estimates of the variance that seeds add to it, `(studies, methods)`: of the two methods alone,
            and the larger of that and what all methods show; NaN where not known.
        cases: the variance that cases add to it; NaN where not known.
        freedom_own, freedom_pooled, freedom_cases: their degrees of freedom, of the same shape.
        shared: how many cases both have, `(studies, methods)`.
    """

    difference: np.ndarray
    own: np.ndarray
    pooled: np.ndarray
    cases: np.ndarray
    freedom_own: np.ndarray
    freedom_pooled: np.ndarray
    freedom_cases: np.ndarray
    shared: np.ndarray

    @property
    def networks_only(self) -> np.ndarray:
        """Where the seeds' variance is not known, so that only these trained networks are."""
        return np.isnan(self.own)

    def half_width(self, methods: int, level: float = LEVEL) -> np.ndarray:
        """Half the width of the intervals; of cases alone where the seeds' variance is not known. NaN without cases."""
        with np.errstate(invalid="ignore"):
            cases = critical(methods, self.freedom_cases, ENTERED * level) ** 2 * self.cases
            if methods == 2:
                seeds = critical(methods, self.freedom_own, ENTERED * level) ** 2 * self.own
            else:
                seeds = np.minimum(
                    critical(methods, self.freedom_own, OF_TWO * level) ** 2 * self.own,
                    critical(methods, self.freedom_pooled, OF_TWO * level) ** 2 * self.pooled,
                )
            return np.sqrt(cases + np.nan_to_num(seeds))


def against(scores: np.ndarray, reference: np.ndarray, parts: Components) -> Against:
    """Hold every method of studies `(studies, methods, seeds, cases)` against each study's reference."""
    study = np.arange(len(scores))
    known = np.isfinite(scores)
    filled = np.where(known, scores, 0.0)
    if parts.paired:
        return _paired(filled, known, study, reference, parts)
    count = known.sum(axis=2)
    of_cases = filled.sum(axis=2) / np.maximum(count, 1)
    common = (count > 0) & (count[study, reference] > 0)[:, None]
    differences = np.where(common, of_cases - of_cases[study, reference][:, None], 0.0)
    shared = common.sum(axis=2)
    mean = differences.sum(axis=2) / np.maximum(shared, 1)
    influence = np.where(common, differences - mean[..., None], 0.0) / np.maximum(shared, 1)[..., None]
    drawn = _units_with(common, parts.units)
    larger = drawn / np.maximum(drawn - 1, 1)
    own = larger * (parts.units.sums(influence) ** 2).sum(axis=2) - parts.rest - parts.rest[study, reference][:, None]
    each = 1 / np.maximum(parts.seeds, 1)
    spread = np.nan_to_num(parts.seed) * each
    both = np.stack(np.broadcast_arrays(spread, spread[study, reference][:, None]))
    freedom = np.stack(np.broadcast_arrays(parts.seeds, parts.seeds[study, reference][:, None])) - 1
    known_seeds = np.where((freedom > 0).all(axis=0), both.sum(axis=0), np.nan)
    together = parts.pooled[:, None] * (each + each[study, reference][:, None])
    return _against(mean, known_seeds, together, effective_freedom(both, freedom, 0), own, drawn, shared, parts)


def _paired(
    filled: np.ndarray, known: np.ndarray, study: np.ndarray, reference: np.ndarray, parts: Components
) -> Against:
    """Within each seed, since each has cases of its own."""
    common = known & known[study, reference][:, None]
    differences = np.where(common, filled - filled[study, reference][:, None], 0.0)
    size = common.sum(axis=3)
    present = size > 0
    pairs = present.sum(axis=2)
    rows = differences.sum(axis=3) / np.maximum(size, 1)
    mean = rows.sum(axis=2) / np.maximum(pairs, 1)
    spread = np.where(present, rows - mean[..., None], 0.0)
    variance = (spread**2).sum(axis=2) / np.maximum(pairs - 1, 1) / np.maximum(pairs, 1)
    seeds = np.where(pairs > 1, variance, np.nan)
    together = 2 * parts.pooled[:, None] / np.maximum(pairs, 1)
    influence = np.where(common, differences - rows[..., None], 0.0)
    by_unit = parts.units.sums(influence / (np.maximum(size, 1) * np.maximum(pairs, 1)[..., None])[..., None])
    drawn = _units_with(common.any(axis=2), parts.units)
    twice = (by_unit.sum(axis=2) ** 2).sum(axis=2) - (by_unit**2).sum(axis=(2, 3))
    own = drawn / np.maximum(drawn - 1, 1) * pairs / np.maximum(pairs - 1, 1) * twice
    shared = common.any(axis=2).sum(axis=2)
    return _against(mean, seeds, together, np.maximum(pairs - 1, 1), own, drawn, shared, parts)


def _against(
    mean: np.ndarray,
    seeds: np.ndarray,
    together: np.ndarray,
    freedom: np.ndarray,
    own: np.ndarray,
    drawn: np.ndarray,
    shared: np.ndarray,
    parts: Components,
) -> Against:
    return Against(
        difference=np.where(shared > 0, mean, np.nan),
        own=seeds,
        pooled=np.maximum(seeds, together),
        cases=np.where(drawn > 1, np.maximum(np.maximum(own, parts.cases[:, None]), 0), np.nan),
        freedom_own=freedom.astype(float),
        freedom_pooled=np.broadcast_to(parts.freedom[:, None], mean.shape).astype(float),
        freedom_cases=np.maximum(drawn - 1, 1).astype(float),
        shared=shared,
    )


def _units_with(common: np.ndarray, units: Units) -> np.ndarray:
    return (units.sums(common.astype(float)) > 0).sum(axis=2)


def adjusted_means(scores: np.ndarray) -> np.ndarray:
    """The methods' means as if all had scored the same cases, `(studies, methods)`: least squares of method + case.

    Where seeds have cases of their own a seed's case stands for the case, so that hard folds weigh on no method.
    """
    known = np.isfinite(scores)
    filled = np.where(known, scores, 0.0)
    cells = known.sum(axis=(2, 3))
    means = filled.sum(axis=(2, 3)) / np.maximum(cells, 1)
    if (known == known[:, :1]).all():
        return means
    counted = np.maximum(known.sum(axis=1, keepdims=True), 1)
    for _ in range(500):
        levels = np.where(known, filled - means[:, :, None, None], 0.0).sum(axis=1, keepdims=True) / counted
        moved = np.where(known, filled - levels, 0.0).sum(axis=(2, 3)) / np.maximum(cells, 1)
        moved += (means.mean(axis=1) - moved.mean(axis=1))[:, None]
        if np.allclose(moved, means, rtol=0, atol=1e-10):
            break
        means = moved
    return means
