"""What a study could have found, what would let it find more, and how much luck the best mean holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from seglab.statistics.differences import ENTERED, LEVEL, OF_TWO
from seglab.statistics.studentized_range import critical
from seglab.statistics.variance_components import VarianceComponents, cautious

ODDS = 0.8
_SEEDS_AT_MOST, _CASES_AT_MOST = 200, 100_000


@dataclass(frozen=True)
class Power:
    """How small a difference a study finds.

    Attributes:
        detectable: difference that is called worse in four of five such studies; NaN with one seed or one case.
        seeds: seeds of each method, as many cases as now, that find half of it; None where no number up to 200 does.
        cases: cases, as many seeds as now, that find half of it; None where no number does, and where seeds have cases
            of their own, so that the part of both is not known.
        luck: how much too high the best mean is expected to be, were the methods that are not told apart all equal.
    """

    detectable: float
    seeds: int | None
    cases: int | None
    luck: float


def power(parts: VarianceComponents, methods: int, tied: int) -> Power:
    """What a study finds, by the variances that it has shown.

    Args:
        parts: of its ranking.
        methods: how many were compared.
        tied: how many are not told from the best, it included.
    """
    seeds = int(np.median(parts.seeds[0]))
    units = float(parts.of_units[0]) + 1
    if seeds < 2 or units <= 1 or methods < 2:
        return Power(np.nan, None, None, np.nan)
    noise = 0.0 if parts.paired else float(parts.rest[0].mean()) * seeds * units
    seed = max(_typical(parts.seed[0], parts.seeds[0] - 1) - noise / units, 0.0)
    case = max(float(parts.cases[0]), 0.0) * units / 2

    def found(seeds: float, units: float) -> float:
        of_seeds, of_cases = 2 * (seed + noise / units) / seeds, 2 * case / units
        one = seeds - 1
        # of equal spreads n f² / (f + 2) degrees of freedom are found on average: squares of estimates are too large
        free = {
            count: cautious(count * one**2 / (one + 2) / (count / (count - 1) if parts.paired else 1), one)
            for count in ((methods,) if parts.paired else (2, methods))
        }
        error = of_seeds + of_cases
        if units - 1 < min(free.values()):  # as in the intervals, the noise then counts with the cases
            moved = 2 * noise / units / seeds
            of_seeds, of_cases = of_seeds - moved, of_cases + moved
        share = ENTERED if methods == 2 else OF_TWO
        own, of_units = one if parts.paired else 2 * one, max(units - 1, 1)
        entered = min(critical(methods, freedom, share * LEVEL) for freedom in free.values())
        width = entered**2 * of_seeds * _larger(own, methods)
        width += critical(methods, of_units, ENTERED * LEVEL) ** 2 * of_cases * _larger(of_units, methods)
        return float(np.sqrt(width) + special.ndtri(ODDS) * np.sqrt(error))

    now = found(seeds, units)
    more_seeds = _fewest(lambda n: found(n, units), now / 2, seeds, _SEEDS_AT_MOST)
    more_cases = None if parts.paired else _fewest(lambda n: found(seeds, n), now / 2, round(units), _CASES_AT_MOST)
    error = np.sqrt((seed + noise / units) / seeds + case / units)
    return Power(now, more_seeds, more_cases, float(error * expected_maximum(tied)))


def _typical(variances: np.ndarray, freedom: np.ndarray) -> float:
    """The variance of a usual method: the geometric mean, which one wild method hardly moves.

    Divided by what it is on average for equal variances of 1, whose estimates are χ² over its degrees of freedom.
    """
    known = freedom > 0
    half, power = freedom[known] / 2, 1 / known.sum()
    average = np.exp((special.gammaln(half + power) - special.gammaln(half) - power * np.log(half)).sum())
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(variances[known]).mean()) / average)


def _larger(freedom: float, methods: int) -> float:
    """How much the larger of a pair's own variance and that of all methods lies above the truth, as a factor.

    The mean of the positive part of a normal number, as wide as the two estimates lie apart.
    """
    return 1 + float(np.sqrt(2 / freedom * (1 - 2 / methods) / (2 * np.pi)))


def expected_maximum(count: int) -> float:
    """The mean of the largest of `count` standard normal numbers."""
    nodes = np.linspace(-9, 9, 2001)
    density = np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi) * (nodes[1] - nodes[0])
    return float((nodes * count * density * special.ndtr(nodes) ** (count - 1)).sum())


def _fewest(found: Callable[[int], float], wanted: float, now: int, at_most: int) -> int | None:
    """The least number above `now` with which no more than `wanted` is needed."""
    if found(at_most) > wanted:
        return None
    low, high = now, at_most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) <= wanted else (middle, high)
    return high
