"""How far means of methods × seeds × cases may lie from the truth: variances of seeds and of cases, kept apart.

A score is modelled as method + case + method × case + the seed's own luck + the rest. Seeds and cases are drawn at
random, so a difference of two means errs by both. Each part is estimated by itself, and where two parts hold the rest
(the noise of one case under one seed) it is taken off one of them.

All functions take studies along a leading axis, so that a simulation is as fast as the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_OVERLAP = 0.5  # seeds that share at least this much of their cases tell the cases' difficulty from their own luck


@dataclass(frozen=True)
class Units:
    """Which cases are drawn together: each by itself, or whole groups.

    Attributes:
        number: for each case the number of its unit, `(cases,)`; None where each is its own.
        count: how many units.
    """

    number: np.ndarray | None
    count: int

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums over each unit, along the last axis."""
        if self.number is None:
            return values
        belongs = np.zeros((len(self.number), self.count))
        belongs[np.arange(len(self.number)), self.number] = 1
        return values @ belongs

    def drawn(self, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What a variance between the units of the cases that are `present`, `(…, cases)`, is worth.

        Returns:
            The factor that makes up for taking off their mean, n / (n - 1) for n units of one size; and degrees of
            freedom, n - 1 for these, fewer where few large groups weigh most (Bell & McCaffrey, Survey Methodology 28,
            2002); 1 and 0 where there is no second unit.
        """
        if self.number is None:
            count = present.sum(axis=-1)
            return np.where(count > 1, count / np.maximum(count - 1, 1), 1.0), np.maximum(count - 1.0, 0.0)
        sizes = self.sums(present.astype(float))
        weights = sizes / np.maximum(sizes.sum(axis=-1, keepdims=True), 1)
        two, three, four, five = ((weights**power).sum(axis=-1) for power in (2, 3, 4, 5))
        several = (sizes > 0).sum(axis=-1) > 1
        trace = np.where(several, two - 2 * three + two**2, 1)
        squared = two**4 + 2 * four * two - 4 * two**2 * three + 2 * three**2 + four * (1 + 2 * two) - 4 * five
        freedom = trace**2 / np.where(several, squared, 1)
        return np.where(several, two / trace, 1.0), np.where(several, np.maximum(freedom, 1.0), 0.0)


def units_of(groups: np.ndarray | None, cases: int) -> Units:
    """The units of `cases` cases, by their groups; each case by itself where there are none."""
    if groups is None:
        return Units(None, cases)
    names, number = np.unique(np.asarray(groups), return_inverse=True)
    return Units(number, len(names))


@dataclass(frozen=True)
class VarianceComponents:
    """What all methods of a study share.

    Attributes:
        paired: whether seeds differ in their cases (folds, splits of their own), so that methods are compared within
            each; else seeds of two methods are independent draws.
        seeds: how many seeds each method has, `(studies, methods)`.
        seed: variance of each method's mean over one seed's cases from seed to seed, `(studies, methods)`; NaN with
            one seed.
        pooled: their mean, weighted with their degrees of freedom, `(studies,)`; NaN where no method has two.
        freedom: degrees of freedom of `pooled`: few where one method's spread outweighs the others', `(studies,)`.
        rest: variance that the noise of single cases under single seeds adds to a method's mean, `(studies, methods)`.
        cases: variance that the draw of cases adds to the difference of two methods, without `rest`, averaged over all
            pairs, `(studies,)`.
        units: of the cases.
        of_units: degrees of freedom of a variance between them, `(studies,)`.
    """

    paired: bool
    seeds: np.ndarray
    seed: np.ndarray
    pooled: np.ndarray
    freedom: np.ndarray
    rest: np.ndarray
    cases: np.ndarray
    units: Units
    of_units: np.ndarray


def estimate(scores: np.ndarray, units: Units) -> VarianceComponents:
    """Variance components of studies `(studies, methods, seeds, cases)`, NaN where there is no score."""
    known = np.isfinite(scores)
    filled = np.where(known, scores, 0.0)
    paired = has_own_cases(known[0])
    methods = max(scores.shape[1], 2)
    over = 1 if paired else (1, 2)
    own = filled.sum(axis=(2, 3), keepdims=True) / np.maximum(known.sum(axis=(2, 3), keepdims=True), 1)
    centred = np.where(known, filled - own, 0.0)  # else a method that lacks a case would move that case's level
    level = centred.sum(axis=over, keepdims=True) / np.maximum(known.sum(axis=over, keepdims=True), 1)
    centred = np.where(known, centred - level, 0.0)
    per_seed = known.sum(axis=3)
    present = per_seed > 0
    seeds = present.sum(axis=2)
    rows = centred.sum(axis=3) / np.maximum(per_seed, 1)
    mean = rows.sum(axis=2) / np.maximum(seeds, 1)
    spread = np.where(present, rows - mean[..., None], 0.0)
    freedom = np.maximum(seeds - 1, 0)
    enlarged = methods / (methods - 1) if paired else 1.0  # what taking the mean of all methods away has taken away
    with np.errstate(invalid="ignore", divide="ignore"):
        seed = enlarged * (spread**2).sum(axis=2) / np.where(freedom > 0, freedom, np.nan)
        squares = np.where(freedom > 0, freedom * np.nan_to_num(seed), 0.0)
        pooled = squares.sum(axis=1) / freedom.sum(axis=1)
    effective = effective_freedom(squares, freedom, 1, enlarged)
    # influence of each unit on each seed's mean, shares of the method's mean
    influence = np.where(known, centred - rows[..., None], 0.0)
    influence /= np.maximum(per_seed, 1)[..., None] * np.maximum(seeds, 1)[..., None, None]
    by_unit = units.sums(influence)
    larger, of_units = units.drawn(known.any(axis=(1, 2)))
    several = np.maximum(seeds, 2) / np.maximum(seeds - 1, 1)
    together = by_unit.sum(axis=2)
    freely = 1 if scores.shape[1] > 1 else 0  # one method alone has nothing to differ from
    if paired:
        rest = np.zeros(seeds.shape)
        apart = by_unit.var(axis=1, ddof=freely).sum(axis=(1, 2))
        cases = 2 * larger * several.max(axis=1) * (together.var(axis=1, ddof=freely).sum(axis=1) - apart)
    else:
        share = np.where(known, _noise(centred, rows, known), 0.0)
        share /= np.maximum(per_seed, 1)[..., None] * np.maximum(seeds, 1)[..., None, None]
        rest = larger[:, None] * several * (units.sums(share) ** 2).sum(axis=(2, 3))
        cases = 2 * (larger * together.var(axis=1, ddof=freely).sum(axis=1) - rest.mean(axis=1))
    return VarianceComponents(paired, seeds, seed, pooled, effective, rest, cases, units, of_units)


def effective_freedom(variances: np.ndarray, freedom: np.ndarray, axis: int = -1, enlarged: float = 1.0) -> np.ndarray:
    """Degrees of freedom of a sum of independent variances, never below the fewest of its parts.

    Satterthwaite's formula (Biometrics Bulletin 2, 1946), made cautious.

    Args:
        variances: the parts, along `axis`; those with no degree of freedom are left out.
        freedom: of each part.
        axis: of the parts.
        enlarged: by how much the parts were enlarged for a mean that was taken away from all of them.
    """
    counted = np.where(freedom > 0, freedom, 0)
    parts = np.where(freedom > 0, np.nan_to_num(variances), 0.0)
    most = counted.max(axis=axis, keepdims=True)
    fewest = np.maximum(np.where(freedom > 0, freedom, most).min(axis=axis), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = parts.sum(axis=axis) ** 2 / (parts**2 / np.maximum(counted, 1)).sum(axis=axis) / enlarged
    return np.where(np.isfinite(found), cautious(found, fewest), fewest)


def cautious(found: np.ndarray | float, fewest: np.ndarray | float) -> np.ndarray:
    """Estimated degrees of freedom, moved towards the fewest of the parts, in the logarithm.

    The estimate is too high where the widest spread came out small, by luck. A quarter of the way is enough from three
    seeds on, a third with two (one degree of freedom), by simulation.
    """
    share = np.where(np.asarray(fewest) > 1, 0.25, 0.35)
    return fewest**share * np.maximum(found, fewest) ** (1 - share)


def _noise(centred: np.ndarray, rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Deviations of single scores from their seed's and their case's mean."""
    within = np.where(known, centred - rows[..., None], 0.0)
    case = within.sum(axis=2, keepdims=True) / np.maximum(known.sum(axis=2, keepdims=True), 1)
    return within - case


def has_own_cases(known: np.ndarray) -> bool:
    """Whether the seeds of a study `(methods, seeds, cases)` differ in the cases that they have scored."""
    cases = known.any(axis=0).astype(float)
    cases = cases[cases.any(axis=1)]
    if len(cases) < 2:
        return False
    shared = cases @ cases.T
    size = np.diag(shared)
    either = size[:, None] + size[None] - shared
    apart = ~np.eye(len(cases), dtype=bool)
    return float((shared / either)[apart].mean()) < _OVERLAP
