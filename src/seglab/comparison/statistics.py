"""Paired statistics over the same cases: intervals, tests, corrections, effect sizes, ranks. Arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 10_000
ALPHA = 0.05
SAME = 1e-9  # scores that differ by less are equal: the rest is rounding


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie.

    Attributes:
        mean: of the replicates' means over their cases.
        low, high: ends of the interval at 95%; NaN where fewer than two cases can be drawn from.
    """

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """True when the whole interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Paired:
    """One composition against another over the cases that both scored.

    Attributes:
        difference: mean of first − second, with its interval over seeds and cases.
        p: Wilcoxon's signed-rank test, two-sided, of the differences averaged over seeds.
        wins, ties, losses: in how many units the first scored above, equal to, below the second.
        rank_biserial: effect size, from −1 (below everywhere) to 1 (above everywhere).
        units: how many cases or groups.
        replicates: how many pairs of runs.
        undefined: cases that one of the two has no score for, and that are left out.
    """

    difference: Interval
    p: float
    wins: int
    ties: int
    losses: int
    rank_biserial: float
    units: int
    replicates: int
    undefined: int


class Resampling:
    """Draws replicates (seeds, folds) and units (cases, or groups of them) anew, both with replacement.

    Each draw picks replicates and, independently, units, and takes the mean of the picked replicates' means over the
    picked units: a bootstrap of crossed random effects (Owen, "The pigeonhole bootstrap", 2007). All replicates of a
    draw see the same units, for a hard case is hard for every seed. The draws depend on counts and seed alone, so equal
    data give equal intervals.

    Args:
        resamples: number of draws.
        seed: of the draws.
    """

    def __init__(self, resamples: int = RESAMPLES, seed: int = 0):
        self.resamples, self.seed = resamples, seed
        self._weights: dict[tuple[int, int], np.ndarray] = {}

    def interval(self, values: np.ndarray, units: Sequence[int] | np.ndarray | None = None) -> Interval:
        """Mean of the rows' means, with its percentile interval at 95%.

        Args:
            values: `(replicates, cases)`, NaN where a replicate has no score of a case.
            units: for each case the number of its unit; each case is a unit of its own when left out.
        """
        defined = np.isfinite(values)
        values, defined = values[defined.any(axis=1)], defined[defined.any(axis=1)]
        if not len(values):
            return Interval(np.nan, np.nan, np.nan)
        number = np.arange(values.shape[1]) if units is None else np.asarray(units)
        present, number = np.unique(number[defined.any(axis=0)], return_inverse=True)
        belongs = np.eye(len(present), dtype=np.float32)[number]
        kept = defined.any(axis=0)
        totals = np.where(defined, values, 0)[:, kept].astype(np.float32) @ belongs
        counts = defined[:, kept].astype(np.float32) @ belongs
        mean = float(np.mean([row[known].mean() for row, known in zip(values, defined, strict=True)]))
        if len(present) < 2:
            return Interval(mean, np.nan, np.nan)
        drawn = self._drawn(1, len(present))
        with np.errstate(invalid="ignore"):  # a draw without a unit that this replicate has
            means = (drawn @ totals.T) / (drawn @ counts.T)
        weights = self._drawn(0, len(values)) * np.isfinite(means)
        with np.errstate(invalid="ignore"):
            found = (weights * np.nan_to_num(means)).sum(axis=1) / weights.sum(axis=1)
        low, high = np.nanpercentile(found, (50 * ALPHA, 100 - 50 * ALPHA))
        return Interval(mean, float(low), float(high))

    def _drawn(self, axis: int, count: int) -> np.ndarray:
        """How often each of `count` is drawn, `(resamples, count)`; made once for each axis and count."""
        if (axis, count) not in self._weights:
            rng = np.random.default_rng((self.seed, axis, count))
            drawn = rng.integers(count, size=(self.resamples, count)) + count * np.arange(self.resamples)[:, None]
            times = np.bincount(drawn.ravel(), minlength=self.resamples * count)
            self._weights[axis, count] = times.reshape(self.resamples, count).astype(np.float32)
        return self._weights[axis, count]


def compare_paired(
    first: np.ndarray, second: np.ndarray, resampling: Resampling, units: Sequence[int] | np.ndarray | None = None
) -> Paired | None:
    """Everything that is said of first − second; None when they share no scored case.

    Args:
        first, second: `(replicates, cases)`; equal rows were trained and tested on the same split.
        resampling: draws for the interval.
        units: for each case the number of its unit.
    """
    return describe_differences(first - second, resampling, units, present=np.isfinite(first) | np.isfinite(second))


def describe_differences(
    differences: np.ndarray,
    resampling: Resampling,
    units: Sequence[int] | np.ndarray | None = None,
    present: np.ndarray | None = None,
) -> Paired | None:
    """As `compare_paired`, of differences `(replicates, cases)`; `present` marks cells that one side has scored."""
    defined = np.isfinite(differences)
    if not defined.any():
        return None
    per_unit = unit_means(differences, units)
    signed = signed_ranks(per_unit)
    lost = 0 if present is None else int((present & ~defined).any(axis=0).sum())
    return Paired(
        difference=resampling.interval(differences, units),
        p=wilcoxon_p(per_unit),
        wins=int((signed > 0).sum()),
        ties=int((signed == 0).sum()),
        losses=int((signed < 0).sum()),
        rank_biserial=rank_biserial(per_unit),
        units=len(per_unit),
        replicates=int(defined.any(axis=1).sum()),
        undefined=lost,
    )


def unit_means(values: np.ndarray, units: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """Of `(replicates, cases)` the mean of each unit over its replicates, then over its cases; units without any left
    out."""
    defined = np.isfinite(values)
    kept = defined.any(axis=0)
    totals, counts = np.where(defined, values, 0).sum(axis=0)[kept], defined.sum(axis=0)[kept]
    means = totals / counts
    if units is None:
        return means
    _, number = np.unique(np.asarray(units)[kept], return_inverse=True)
    return np.bincount(number, means) / np.bincount(number)


def signed_ranks(differences: np.ndarray) -> np.ndarray:
    """Ranks of the sizes of the differences that are not zero, with their signs; 0 where there is none."""
    ranks = np.zeros(len(differences))
    moved = np.abs(differences) > SAME
    ranks[moved] = stats.rankdata(np.abs(differences[moved])) * np.sign(differences[moved])
    return ranks


def wilcoxon_p(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test (1945); zeros are left out, and without any difference p is 1.

    Exact up to 50 differences without ties, else by the normal approximation, as scipy does it.
    """
    moved = differences[np.abs(differences) > SAME]
    return float(stats.wilcoxon(moved).pvalue) if len(moved) else 1.0


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): the share of rank sums for, less that against.

    0 without any difference.
    """
    ranks = signed_ranks(differences)
    total = np.abs(ranks).sum()
    return float(ranks.sum() / total) if total else 0.0


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values corrected for their number by Holm's step-down rule (1979). NaN stays NaN and is not counted."""
    p = np.asarray(p_values, float)
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return corrected


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over cases, and how far apart two must be to differ (Demšar, JMLR 7, 2006).

    Attributes:
        ranks: mean rank of each method, 1 is best.
        critical_difference: of Nemenyi's test at 0.05.
        statistic: Friedman's χ², without correction for ties.
        p: of Iman and Davenport's F for that statistic.
        cases: how many.
    """

    ranks: np.ndarray
    critical_difference: float
    statistic: float
    p: float
    cases: int


def rank_methods(scores: np.ndarray, higher_is_better: bool = True) -> Ranking:
    """Friedman's test and Nemenyi's critical difference.

    Args:
        scores: `(cases, methods)` without NaN, two cases and two methods or more.
        higher_is_better: whether the highest score has rank 1.
    """
    cases, methods = scores.shape
    ranks = stats.rankdata(np.round(-scores if higher_is_better else scores, 9), axis=1).mean(axis=0)
    squares = float((ranks**2).sum())
    statistic = 12 * cases / (methods * (methods + 1)) * (squares - methods * (methods + 1) ** 2 / 4)
    rest = cases * (methods - 1) - statistic
    f = np.inf if rest <= SAME else (cases - 1) * statistic / rest
    quantile = stats.studentized_range.ppf(1 - ALPHA, methods, np.inf) / np.sqrt(2)
    return Ranking(
        ranks,
        float(quantile * np.sqrt(methods * (methods + 1) / (6 * cases))),
        float(statistic),
        float(stats.f.sf(f, methods - 1, (methods - 1) * (cases - 1))),
        cases,
    )
