"""How often `mean_interval` holds the mean of one method: few and many cases, scores of several shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from seglab.statistics import mean_interval

CASES = (2, 3, 5, 10, 15, 30, 100)
SEEDS = (1, 2, 3, 5)
SEED_SD, RESIDUAL_SD = 0.01, 0.02


@dataclass(frozen=True)
class Shape:
    """How the scores of cases lie.

    Attributes:
        words: what they are.
        mean: of all cases that there might be.
        draw: scores of a shape, by a generator.
    """

    words: str
    mean: float
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _normal(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return rng.normal(0.85, 0.05, size)


def _skewed(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return rng.beta(9, 1, size)


def _crowded(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return rng.beta(2, 0.3, size)


def _failing(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return np.where(rng.random(size) < 0.1, 0, rng.normal(0.9, 0.03, size))


SHAPES = (
    Shape("normal, 0.85 ± 0.05", 0.85, _normal),
    Shape("beta(9, 1): mean 0.90, skewed", 0.9, _skewed),
    Shape("beta(2, 0.3): mean 0.87, most near 1", 2 / 2.3, _crowded),
    Shape("0.90 ± 0.03, and one case in ten fails with 0", 0.81, _failing),
)


@dataclass(frozen=True)
class Held:
    """Shares of studies whose interval held the mean.

    Attributes:
        shape, seeds, cases: of what.
        coverage: of `mean_interval`.
        width: its median.
        student: coverage of Student's interval over the cases' means, which knows of no seeds.
        percentile: coverage of a percentile bootstrap over the cases.
    """

    shape: Shape
    seeds: int
    cases: int
    coverage: float
    width: float
    student: float
    percentile: float


def held(shape: Shape, seeds: int, cases: int, studies: int, seed: int = 0) -> Held:
    """Run studies. Of one seed the mean of these networks is meant, of several the mean over all seeds."""
    rng = np.random.default_rng([seed, seeds, cases])
    luck = rng.normal(0, SEED_SD if seeds > 1 else 0, (studies, seeds, 1))
    scores = shape.draw(rng, (studies, 1, cases)) + luck + rng.normal(0, RESIDUAL_SD, (studies, seeds, cases))
    ends = np.array([mean_interval(study)[1:] for study in scores])
    of_cases = scores.mean(axis=1)
    half = stats.t.isf(0.025, cases - 1) * of_cases.std(axis=1, ddof=1) / np.sqrt(cases)
    again = rng.integers(0, cases, (200, cases))
    resampled = np.quantile(of_cases[:, again].mean(axis=2), [0.025, 0.975], axis=1)
    return Held(
        shape,
        seeds,
        cases,
        float(((ends[:, 0] <= shape.mean) & (shape.mean <= ends[:, 1])).mean()),
        float(np.median(ends[:, 1] - ends[:, 0])),
        float((np.abs(of_cases.mean(axis=1) - shape.mean) <= half).mean()),
        float(((resampled[0] <= shape.mean) & (shape.mean <= resampled[1])).mean()),
    )
