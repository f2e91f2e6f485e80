"""Which method is best, and which are worse than luck explains: one rule for tables, gates and pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, overload

import numpy as np
from scipy.interpolate import PchipInterpolator

from seglab.statistics.differences import ENTERED, LEVEL, OF_TWO, DifferencesFromReference, adjusted_means, against
from seglab.statistics.studentized_range import critical
from seglab.statistics.variance_components import VarianceComponents, estimate, units_of

Verdict = Literal["best", "tied", "worse", "undecided"]
_LEVELS = np.unique(np.append(np.geomspace(1e-5, 1.0, 18), LEVEL))


@dataclass(frozen=True)
class Difference:
    """The mean of one method less that of another, and where the truth may lie.

    Attributes:
        difference: of the means over the cases that both have; NaN without any.
        low, high: ends of its interval at 95%; NaN where it has none.
        p: odds of a difference as large among equal methods; below 0.05 exactly where the interval leaves out 0. Both
            are corrected for the number of methods that were compared.
        cases: how many cases both have.
        networks_only: interval and p know these trained networks alone, for one of both methods has one seed.
    """

    difference: float
    low: float
    high: float
    p: float
    cases: int
    networks_only: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Standing(Difference):
    """One method against the best, which itself has difference 0.

    Attributes:
        verdict: `best`; `worse`: by more than luck explains; `tied`: not shown to be worse; `undecided`: one seed, or
            fewer than two cases in common, so that nothing can be shown of the methods.
    """

    verdict: Verdict = "undecided"


@dataclass(frozen=True)
class Ranking(Sequence[Standing]):
    """What `rank_methods` found: a sequence of the methods' standings, in the order in which they were given.

    Attributes:
        standings: one a method.
        means: of each method, as if all had scored the same cases; NaN where it scored none.
        order: numbers of the methods, the best first; those without a score left out.
        parts: the variances that the intervals are made of; None where nothing was scored.
    """

    standings: tuple[Standing, ...]
    means: np.ndarray
    order: tuple[int, ...]
    parts: VarianceComponents | None

    @property
    def best(self) -> int:
        """Number of the method with the best mean."""
        return self.order[0]

    @overload
    def __getitem__(self, index: int) -> Standing: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Standing, ...]: ...
    def __getitem__(self, index: int | slice) -> Standing | tuple[Standing, ...]:
        return self.standings[index]

    def __len__(self) -> int:
        return len(self.standings)

    def __iter__(self) -> Iterator[Standing]:
        return iter(self.standings)


def rank_methods(
    scores: np.ndarray, higher: bool = True, *, groups: Sequence[object] | np.ndarray | None = None
) -> Ranking:
    """Rank methods, and say which are worse than the best by more than the luck of seeds and cases.

    Seeds and cases are both random, so the difference of two means has a variance of seeds and one of cases. Their
    interval is d ± √(T²ₛ·Vₛ + T²꜀·V꜀), where each variance has a critical value of its own degrees of freedom: whatever
    the mixture of both, it then holds the truth at least as often as promised (Banerjee, Sankhyā 22, 1960). The
    critical values are Tukey's for all pairs of methods, since the best was chosen from the same data. Vₛ is estimated
    twice, and the narrower width counts, each at half the level: from the two methods alone, as Games and Howell do (J.
    Educational Statistics 1, 1976), which serves where one method's seeds spread far more than the others'; and as the
    larger of that and the mean of all methods, which serves where there are few seeds. V꜀ is the larger of the pair's
    own and the mean of all pairs. `make test-statistics` shows the rates.

    With one seed nothing is known of the method's luck: what is found is about these trained networks, and the verdict
    is `undecided`. A missing score (NaN) is taken as not there by chance: methods are compared on the cases that both
    have, and ordered as if all had scored the same. A failure must come with a score of its own.

    Args:
        scores: `(methods, seeds, cases)`, NaN where there is no score. A seed may have cases of its own (folds).
        higher: whether more is better.
        groups: for each case the group that it is drawn with; each case by itself when left out.

    Returns:
        The standings, in the order of the methods.

    Raises:
        ValueError: an array of another rank, with infinities, or groups of another number than the cases.
    """
    scores = np.asarray(scores, float)
    if scores.ndim != 3 or np.isinf(scores).any():
        raise ValueError(f"scores must be (methods, seeds, cases), finite or NaN; found shape {scores.shape}")
    if groups is not None and len(groups) != scores.shape[2]:
        raise ValueError(f"one group a case: {scores.shape[2]} cases, {len(groups)} groups")
    known = np.isfinite(scores).any(axis=(1, 2))
    nothing = Standing(np.nan, np.nan, np.nan, np.nan, 0)
    if not known.any():
        return Ranking((nothing,) * len(scores), np.full(len(scores), np.nan), (), None)
    taking = np.flatnonzero(known)
    units = units_of(None if groups is None else np.asarray(groups), scores.shape[2])
    study = scores[taking][None] if higher else -scores[taking][None]
    means = adjusted_means(study)
    parts = estimate(study, units)
    found = against(study, means.argmax(axis=1), parts)
    sign = 1 if higher else -1
    standings = [nothing] * len(scores)
    for method, of in zip(taking, _differences(found, max(len(taking), 2), sign), strict=True):
        standings[method] = _standing(of, method == taking[means[0].argmax()], sign)
    signed = np.full(len(scores), np.nan)
    signed[taking] = sign * means[0]
    order = taking[np.argsort(-means[0], kind="stable")]
    return Ranking(tuple(standings), signed, tuple(int(method) for method in order), parts)


def compare_pair(
    first: np.ndarray,
    second: np.ndarray,
    *,
    methods: int = 2,
    groups: Sequence[object] | np.ndarray | None = None,
) -> Difference:
    """The mean of `first` less that of `second`, by the rule of `rank_methods`.

    Args:
        first, second: `(seeds, cases)`, NaN where there is no score.
        methods: how many the two were taken from, all of whose pairs are looked at.
        groups: as for `rank_methods`.
    """
    study = np.stack([first, second])[None]
    if not np.isfinite(study).any(axis=2).all(axis=1).any():
        return Difference(np.nan, np.nan, np.nan, np.nan, 0)
    parts = estimate(study, units_of(None if groups is None else np.asarray(groups), study.shape[3]))
    return _differences(against(study, np.array([1]), parts), methods, 1)[0]


def pairwise_differences(
    scores: np.ndarray, chosen: Sequence[int], *, groups: Sequence[object] | np.ndarray | None = None
) -> np.ndarray:
    """Which two of the chosen methods differ, `(chosen, chosen)`, by the rule and the correction of `rank_methods`.

    Methods with one seed differ from none, as there.

    Args:
        scores: `(methods, seeds, cases)` of all.
        chosen: numbers of methods.
        groups: as for `rank_methods`.
    """
    study = scores[np.isfinite(scores).any(axis=(1, 2))][None]
    place = np.cumsum(np.isfinite(scores).any(axis=(1, 2))) - 1
    parts = estimate(study, units_of(None if groups is None else np.asarray(groups), study.shape[3]))
    rows = []
    for method in chosen:
        found = against(study, place[[method]], parts)
        apart = np.abs(found.difference) > found.half_width(max(study.shape[1], 2))
        rows.append((apart & ~found.networks_only)[0, place[list(chosen)]])
    return np.array(rows)


def _standing(of: Difference, best: bool, sign: int) -> Standing:
    if best:
        return Standing(0.0, 0.0, 0.0, 1.0, of.cases, verdict="best")
    verdict: Verdict = "tied"
    if of.networks_only or np.isnan(of.low):
        verdict = "undecided"
    elif of.excludes_zero and sign * of.difference < 0:
        verdict = "worse"
    return Standing(of.difference, of.low, of.high, of.p, of.cases, of.networks_only, verdict)


def _differences(found: DifferencesFromReference, methods: int, sign: int) -> list[Difference]:
    """Of the first study."""
    halves, networks = found.half_width(methods)[0], found.networks_only[0]
    differences = []
    for place, (difference, half) in enumerate(zip(found.difference[0], halves, strict=True)):
        p = np.nan if np.isnan(half) else _p_value(found, place, methods)
        low, high = sorted((float(sign * (difference - half)), float(sign * (difference + half))))
        shared = int(found.shared[0, place])
        differences.append(Difference(float(sign * difference), low, high, p, shared, bool(networks[place])))
    return differences


def _p_value(found: DifferencesFromReference, place: int, methods: int) -> float:
    """The level at which the interval just touches 0."""
    difference = abs(float(found.difference[0, place]))
    if difference == 0:
        return 1.0

    def part(variance: np.ndarray, freedom: np.ndarray, entered: int, share: float) -> np.ndarray:
        return _curve(entered, float(freedom[0, place]), share) ** 2 * np.nan_to_num(variance[0, place])

    seeds = part(found.own, found.freedom_own, *found.own_entry(methods))
    if methods > 2:
        seeds = np.minimum(seeds, part(found.pooled, found.freedom_pooled, methods, OF_TWO))
    widths = np.sqrt(seeds + part(found.cases, found.freedom_cases, methods, ENTERED))
    if difference >= widths[0]:
        return float(_LEVELS[0])
    if difference <= widths[-1]:
        return 1.0
    return float(np.exp(PchipInterpolator(widths[::-1], np.log(_LEVELS)[::-1])(difference)))


@lru_cache(maxsize=1024)
def _curve(methods: int, freedom: float, share: float) -> np.ndarray:
    """Critical values with the tables entered at this share of `_LEVELS`; at `LEVEL` the intervals' very own."""
    values = critical(methods, freedom, share * _LEVELS)
    return np.where(LEVEL == _LEVELS, critical(methods, freedom, share * LEVEL), values)
