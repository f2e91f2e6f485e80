"""What two variants did on the same cases, described: who won how often, and by how much. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from seglab.statistics import Difference

Units = Sequence[int] | np.ndarray | None
SAME = 1e-9  # scores that differ by less are equal: the rest is rounding


@dataclass(frozen=True)
class Paired:
    """One variant against another over the cases that both scored.

    Attributes:
        difference: mean of first − second, with interval and p.
        wins, ties, losses: in how many units (cases, or groups) the first scored above, equal to, below the second.
        rank_biserial: effect size, from −1 (below everywhere) to 1 (above everywhere).
        units: how many cases or groups.
        replicates: how many runs the variant with fewer has.
    """

    difference: Difference
    wins: int
    ties: int
    losses: int
    rank_biserial: float
    units: int
    replicates: int


def describe_pair(first: np.ndarray, second: np.ndarray, difference: Difference, units: Units = None) -> Paired:
    """Count wins, ties and losses behind a `difference`.

    Args:
        first, second: `(replicates, cases)`, NaN where there is no score.
        difference: of their means.
        units: for each case the number of its unit; each case is a unit of its own when left out.
    """
    values = unit_means((case_means(first) - case_means(second))[None], units)
    moved = np.abs(values) > SAME
    return Paired(
        difference=difference,
        wins=int((moved & (values > 0)).sum()),
        ties=int((~moved).sum()),
        losses=int((moved & (values < 0)).sum()),
        rank_biserial=rank_biserial(values),
        units=len(values),
        replicates=min(int(np.isfinite(side).any(axis=1).sum()) for side in (first, second)),
    )


def case_means(values: np.ndarray) -> np.ndarray:
    """Of `(replicates, cases)` the mean of each case over the replicates that have it; NaN where none has."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0)


def unit_means(values: np.ndarray, units: Units = None) -> np.ndarray:
    """Of `(replicates, cases)` the mean of each unit over its replicates, then over its cases; units without any left
    out."""
    means = case_means(values)
    kept = np.isfinite(means)
    if units is None:
        return means[kept]
    _, number = np.unique(np.asarray(units)[kept], return_inverse=True)
    return np.bincount(number, means[kept]) / np.bincount(number)


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): the share of rank sums for, less that against.

    0 without any difference.
    """
    moved = differences[np.abs(differences) > SAME]
    ranks = stats.rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum()) if len(moved) else 0.0
