"""Paired statistics over the same cases: intervals, tests, corrections, effect sizes, ranks. Arrays in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

RESAMPLES = 10_000
ALPHA = 0.05
_AT_ONCE = 8_000_000  # numbers in one product of draws and scores: bounds its memory to some sixty megabytes
Units = Sequence[int] | np.ndarray | None
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

    def interval(self, values: np.ndarray, units: Units = None) -> Interval:
        """Mean of the rows' means, with its percentile interval at 95%.

        Args:
            values: `(replicates, cases)`, NaN where a replicate has no score of a case.
            units: for each case the number of its unit; each case is a unit of its own when left out.
        """
        return self.intervals([values], units)[0]

    def intervals(self, many: Sequence[np.ndarray], units: Units = None) -> list[Interval]:
        """As `interval`, of many; a thousand that miss nothing take about as long as ten."""
        found = [Interval(np.nan, np.nan, np.nan)] * len(many)
        complete: dict[tuple[int, int], list[tuple[int, np.ndarray]]] = {}
        for place, values in enumerate(many):
            defined = np.isfinite(values)
            rows, kept = defined.any(axis=1), defined.any(axis=0)
            if not rows.any():
                continue
            totals, counts = self._by_unit(values[rows][:, kept], None if units is None else np.asarray(units)[kept])
            mean = float((totals.sum(axis=1) / counts.sum(axis=1)).mean())
            found[place] = Interval(mean, np.nan, np.nan)
            if totals.shape[1] < 2:
                continue
            if (counts == 1).all():
                complete.setdefault(totals.shape, []).append((place, totals))
            else:
                means = self._means(totals, counts)
                low, high = _ends(means[np.isfinite(means)])
                found[place] = Interval(mean, float(low), float(high))
        for (replicates, size), members in complete.items():
            at_once = max(1, _AT_ONCE // (self.resamples * replicates))
            for start in range(0, len(members), at_once):
                part = members[start : start + at_once]
                means = self._drawn(1, size) @ np.concatenate([totals for _, totals in part]).T / size
                means = means.reshape(self.resamples, len(part), replicates)
                drawn = np.einsum("bnr,br->bn", means, self._drawn(0, replicates)) / replicates
                lows, highs = _ends(np.ascontiguousarray(drawn.T))
                for (place, _), low, high in zip(part, lows, highs, strict=True):
                    found[place] = Interval(found[place].mean, float(low), float(high))
        return found

    @staticmethod
    def _by_unit(values: np.ndarray, units: Units) -> tuple[np.ndarray, np.ndarray]:
        """Sums and counts of the scores, `(replicates, units)`."""
        defined = np.isfinite(values)
        totals = np.where(defined, values, 0)
        if units is None:
            return totals, defined.astype(float)
        present, number = np.unique(units, return_inverse=True)
        belongs = np.eye(len(present))[number]
        return totals @ belongs, defined @ belongs

    def _means(self, totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """For each draw the mean over replicates of the mean over units, where units weigh by what they hold."""
        drawn = self._drawn(1, totals.shape[1])
        with np.errstate(invalid="ignore"):  # a draw without a unit that this replicate has
            means = (drawn @ totals.T) / (drawn @ counts.T)
            weights = self._drawn(0, len(totals)) * np.isfinite(means)
            return (weights * np.nan_to_num(means)).sum(axis=1) / weights.sum(axis=1)

    def _drawn(self, axis: int, count: int) -> np.ndarray:
        """How often each of `count` is drawn, `(resamples, count)`; made once for each axis and count."""
        if (axis, count) not in self._weights:
            rng = np.random.default_rng((self.seed, axis, count))
            drawn = rng.integers(count, size=(self.resamples, count)) + count * np.arange(self.resamples)[:, None]
            times = np.bincount(drawn.ravel(), minlength=self.resamples * count)
            self._weights[axis, count] = times.reshape(self.resamples, count).astype(float)
        return self._weights[axis, count]


def compare_paired(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], resampling: Resampling, units: Units = None
) -> list[Paired | None]:
    """Everything that is said of first − second, for many pairs; None for one that shares no scored case.

    Args:
        pairs: first and second, each `(replicates, cases)`; equal rows were trained and tested on the same split.
        resampling: draws for the interval.
        units: for each case the number of its unit.
    """
    described = describe_differences([first - second for first, second in pairs], resampling, units)
    one_sided = [np.isfinite(first) ^ np.isfinite(second) for first, second in pairs]
    return [
        found and replace(found, undefined=int(lost.any(axis=0).sum()))
        for found, lost in zip(described, one_sided, strict=True)
    ]


def describe_differences(
    many: Sequence[np.ndarray], resampling: Resampling, units: Units = None
) -> list[Paired | None]:
    """As `compare_paired`, of differences `(replicates, cases)`; what one side lacks is not counted as undefined."""
    known = [differences for differences in many if np.isfinite(differences).any()]
    per_unit = [unit_means(differences, units) for differences in known]
    intervals, tests = resampling.intervals(known, units), wilcoxon_p(per_unit)
    described = []
    for differences, values, interval, p in zip(known, per_unit, intervals, tests, strict=True):
        moved = np.abs(values) > SAME
        described.append(
            Paired(
                difference=interval,
                p=float(p),
                wins=int((moved & (values > 0)).sum()),
                ties=int((~moved).sum()),
                losses=int((moved & (values < 0)).sum()),
                rank_biserial=rank_biserial(values),
                units=len(values),
                replicates=int(np.isfinite(differences).any(axis=1).sum()),
                undefined=0,
            )
        )
    found = iter(described)
    return [next(found) if np.isfinite(differences).any() else None for differences in many]


def unit_means(values: np.ndarray, units: Units = None) -> np.ndarray:
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


def wilcoxon_p(many: Sequence[np.ndarray]) -> np.ndarray:
    """Two-sided p of Wilcoxon's signed-rank test (1945), of each of many; zeros are left out, and of nothing p is 1.

    As scipy decides it: exact up to 50 differences without ties (13 with), else by the normal approximation. What has
    as many differences and no ties goes to scipy together, for its overhead is a hundred times the work.
    """
    found = np.ones(len(many))
    together: dict[int, list[tuple[int, np.ndarray]]] = {}
    for place, differences in enumerate(many):
        moved = differences[np.abs(differences) > SAME]
        if len(moved) and (np.diff(np.sort(np.abs(moved))) == 0).any():
            found[place] = stats.wilcoxon(moved).pvalue
        elif len(moved):
            together.setdefault(len(moved), []).append((place, moved))
    for members in together.values():
        p_values = stats.wilcoxon(np.stack([moved for _, moved in members]), axis=1).pvalue
        found[[place for place, _ in members]] = p_values
    return found


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): the share of rank sums for, less that against.

    0 without any difference.
    """
    moved = differences[np.abs(differences) > SAME]
    ranks = stats.rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum()) if len(moved) else 0.0


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


def _ends(means: np.ndarray) -> np.ndarray:
    """Low and high ends of the interval, over the last axis; reorders the means."""
    return np.percentile(means, (50 * ALPHA, 100 - 50 * ALPHA), axis=-1, overwrite_input=True)
