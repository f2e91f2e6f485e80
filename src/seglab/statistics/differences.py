"""Differences of methods from a reference, with the variances that seeds and cases add to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seglab.statistics.studentized_range import critical
from seglab.statistics.variance_components import VarianceComponents, effective_freedom, has_own_cases

LEVEL = 0.05
# Shares of the level at which the tables are entered, by simulation: what estimated degrees of freedom cost, and what
# it costs to take the narrower of two widths.
ENTERED, OF_TWO = 0.8, 0.5


@dataclass(frozen=True)
class DifferencesFromReference:
    """Differences of all methods from one reference, for each study.

    Attributes:
        difference: `(studies, methods)`; NaN without a case in common.
        own, pooled: two estimates of the variance that seeds add to it, `(studies, methods)`: of the two methods alone,
            and the larger of that and what all methods show; NaN where not known.
        cases: the variance that cases add to it; NaN where not known. The noise of single scores is in this or those.
        freedom_own, freedom_pooled, freedom_cases: their degrees of freedom, of the same shape.
        shared: how many cases both have, `(studies, methods)`.
        apart: whether each pair has an estimate `own` of its own: then each may come out too small, and they are as
            many as the pairs, where else all share that of their reference.
    """

    difference: np.ndarray
    own: np.ndarray
    pooled: np.ndarray
    cases: np.ndarray
    freedom_own: np.ndarray
    freedom_pooled: np.ndarray
    freedom_cases: np.ndarray
    shared: np.ndarray
    apart: bool

    @property
    def networks_only(self) -> np.ndarray:
        """Where the seeds' variance is not known, so that only these trained networks are."""
        return np.isnan(self.own)

    def own_entry(self, methods: int) -> tuple[int, float]:
        """Where the tables are entered for `own`: for how many methods, and at which share of the level."""
        if methods == 2:
            return 2, ENTERED
        return (2, OF_TWO / (methods * (methods - 1) / 2)) if self.apart else (methods, OF_TWO)

    def half_width(self, methods: int, level: float = LEVEL) -> np.ndarray:
        """Half the width of the intervals; of cases alone where the seeds' variance is not known. NaN without cases."""
        with np.errstate(invalid="ignore"):
            cases = critical(methods, self.freedom_cases, ENTERED * level) ** 2 * self.cases
            entered, share = self.own_entry(methods)
            seeds = critical(entered, self.freedom_own, share * level) ** 2 * self.own
            if methods > 2:
                pooled = critical(methods, self.freedom_pooled, OF_TWO * level) ** 2 * self.pooled
                seeds = np.minimum(seeds, pooled)
            return np.sqrt(cases + np.nan_to_num(seeds))


def against(scores: np.ndarray, reference: np.ndarray, parts: VarianceComponents) -> DifferencesFromReference:
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
    larger, drawn = parts.units.drawn(common)
    own = larger * (parts.units.sums(influence) ** 2).sum(axis=2)
    rest = parts.rest + parts.rest[study, reference][:, None]
    each = 1 / np.maximum(parts.seeds, 1)
    spread = np.nan_to_num(parts.seed) * each
    both = np.stack(np.broadcast_arrays(spread, spread[study, reference][:, None]))
    freedom = np.stack(np.broadcast_arrays(parts.seeds, parts.seeds[study, reference][:, None])) - 1
    known_seeds = np.where((freedom > 0).all(axis=0), both.sum(axis=0), np.nan)
    together = parts.pooled[:, None] * (each + each[study, reference][:, None])
    return _against(mean, known_seeds, together, effective_freedom(both, freedom, 0), own, rest, drawn, shared, parts)


def _paired(
    filled: np.ndarray, known: np.ndarray, study: np.ndarray, reference: np.ndarray, parts: VarianceComponents
) -> DifferencesFromReference:
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
    larger, drawn = parts.units.drawn(common.any(axis=2))
    twice = (by_unit.sum(axis=2) ** 2).sum(axis=2) - (by_unit**2).sum(axis=(2, 3))
    own = larger * pairs / np.maximum(pairs - 1, 1) * twice
    shared = common.any(axis=2).sum(axis=2)
    rest = np.zeros(own.shape)
    return _against(mean, seeds, together, np.maximum(pairs - 1, 1), own, rest, drawn, shared, parts)


def _against(
    mean: np.ndarray,
    seeds: np.ndarray,
    together: np.ndarray,
    freedom: np.ndarray,
    own: np.ndarray,
    rest: np.ndarray,
    drawn: np.ndarray,
    shared: np.ndarray,
    parts: VarianceComponents,
) -> DifferencesFromReference:
    """The variances of seeds and of cases both hold the rest: take it off the one with more degrees of freedom."""
    off_seeds = (drawn < np.minimum(freedom, parts.freedom[:, None])) | np.isnan(seeds)
    of_all = parts.cases[:, None] + np.where(off_seeds, 2 * parts.rest.mean(axis=1)[:, None], 0)
    cases = np.maximum(np.maximum(own - np.where(off_seeds, 0, rest), of_all), 0)
    less = np.where(off_seeds, rest, 0)
    return DifferencesFromReference(
        difference=np.where(shared > 0, mean, np.nan),
        own=np.maximum(seeds - less, 0),
        pooled=np.maximum(np.maximum(seeds, together) - less, 0),
        cases=np.where(drawn > 0, cases, np.nan),
        freedom_own=freedom.astype(float),
        freedom_pooled=np.broadcast_to(parts.freedom[:, None], mean.shape).astype(float),
        freedom_cases=np.maximum(drawn, 1).astype(float),
        shared=shared,
        apart=parts.paired,
    )


def adjusted_means(scores: np.ndarray) -> np.ndarray:
    """The methods' means as if all had scored the same cases, `(studies, methods)`: least squares of method + case.

    A case counts once, however many seeds have scored it. Where seeds have cases of their own a seed's case stands for
    the case, so that hard folds weigh on no method.
    """
    known = np.isfinite(scores)
    filled = np.where(known, scores, 0.0)
    if (known == known[:, :1]).all():
        return filled.sum(axis=(2, 3)) / np.maximum(known.sum(axis=(2, 3)), 1)
    if has_own_cases(known[0]):
        known, filled = (array.reshape(*scores.shape[:2], -1) for array in (known, filled))
    else:
        known, filled = known.any(axis=2), filled.sum(axis=2) / np.maximum(known.sum(axis=2), 1)
    cells = known.sum(axis=2)
    means = filled.sum(axis=2) / np.maximum(cells, 1)
    if (known == known[:, :1]).all():
        return means  # nothing is left to adjust, and the equations of thousands of methods need not be solved
    methods = np.maximum(known.sum(axis=1, keepdims=True), 1)
    left = np.where(known, filled - means[..., None], 0.0)
    left = np.where(known, left - left.sum(axis=1, keepdims=True) / methods, 0.0).sum(axis=2)
    normal = cells[:, :, None] * np.eye(scores.shape[1]) - (known / methods) @ known.swapaxes(1, 2).astype(float)
    # of methods that share no case nothing is known: the pseudoinverse leaves them as far apart as they are
    return means + (np.linalg.pinv(normal, rcond=1e-9, hermitian=True) @ left[..., None])[..., 0]
