"""Whether `power` foresees what studies find: its three numbers held against new studies of the same kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.statistics.designs import Design, Draws, batches
from seglab.statistics import power
from seglab.statistics.differences import adjusted_means, against
from seglab.statistics.variance_components import estimate, units_of

DESIGNS = tuple(
    Design(methods, seeds, cases, seed, residual)
    for methods, seeds in ((2, 3), (2, 5), (4, 3), (4, 10), (8, 2), (8, 3), (8, 5))
    for cases, seed, residual in ((30, 0.01, 0.02), (100, 0.01, 0.02), (30, 0.03, 0.10), (10, 0.0, 0.02))
)


@dataclass(frozen=True)
class Foreseen:
    """What `power` said of a design, and what happened.

    Attributes:
        design: of the studies.
        detectable: median over studies.
        found: share of studies that find a difference of that size between the one best method and another.
        seeds, cases: median of what it says would find half of it; NaN where most studies name none.
        found_seeds, found_cases: shares of studies of that size which find half of it; NaN where none is named.
        luck, bias: what it says that the best of equal means is too high, and by how much it was.
    """

    design: Design
    detectable: float
    found: float
    seeds: float
    found_seeds: float
    cases: float
    found_cases: float
    luck: float
    bias: float


def foreseen(design: Design, studies: int, seed: int = 0) -> Foreseen:
    """Ask `power` in `studies` studies of equal methods, and then run studies with the difference that it names."""
    powers, bias = [], []
    for scores in _scores(design, studies, seed):
        parts = estimate(scores, units_of(None, design.cases))
        means = adjusted_means(scores)
        bias += list(means.max(axis=1) - means.mean(axis=1))
        for number in range(len(scores)):
            each = estimate(scores[number : number + 1], parts.units)
            powers.append(power(each, design.methods, design.methods))
    detectable = float(np.median([each.detectable for each in powers]))
    seeds = _middle([each.seeds for each in powers])
    cases = _middle([each.cases for each in powers])
    size, level = design.size, (design.seed, design.residual)
    return Foreseen(
        design,
        detectable,
        _found(design, detectable, studies, seed + 1),
        seeds,
        _found(Design(size[0], int(seeds), size[2], *level), detectable / 2, studies, seed + 2)
        if seeds > 0
        else np.nan,
        cases,
        _found(Design(size[0], size[1], int(cases), *level), detectable / 2, studies, seed + 3)
        if cases > 0
        else np.nan,
        float(np.mean([each.luck for each in powers])),
        float(np.mean(bias)),
    )


def _middle(named: list[int | None]) -> float:
    """The median, a number that is not named being above all; NaN where that is the median."""
    middle = float(np.median([np.inf if number is None else number for number in named]))
    return middle if np.isfinite(middle) else np.nan


def _found(design: Design, difference: float, studies: int, seed: int) -> float:
    """How often the second of two methods is found to be worse than the first, which is that much better than all."""
    found = 0
    for scores in _scores(design, studies, seed):
        moved = scores.copy()
        moved[:, 0] += difference
        parts = estimate(moved, units_of(None, design.cases))
        best = adjusted_means(moved).argmax(axis=1)
        differences = against(moved, best, parts)
        worse = differences.difference + differences.half_width(design.methods) < 0
        found += int((worse[:, 1] & (best != 1)).sum())
    return found / studies


def _scores(design: Design, studies: int, seed: int) -> Iterator[np.ndarray]:
    draws: Draws
    for draws in batches(seed, design.size, studies):
        yield draws.scores(design)
