"""Critical values of the studentized range, for many degrees of freedom and levels at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev
from scipy import special

_NODES = 320
_WIDEST = 20.0  # standard deviations: no range of normal numbers is wider
_STEPS = 32  # halvings of the bracket in the logarithm
_TERMS = 32  # of the curve through the degrees of freedom: as exact, to 1e-6, as what it goes through


def critical(methods: int, freedom: np.ndarray | float, level: np.ndarray | float) -> np.ndarray:
    """How many standard errors the largest difference of any two of `methods` equal means exceeds with odds `level`.

    The studentized range's upper quantile, divided by √2 so that it multiplies the standard error of a difference
    (Tukey 1953; for two methods it is Student's two-sided t). SciPy's own quantile takes a tenth of a second each.

    Args:
        methods: how many means, 2 or more.
        freedom: degrees of freedom of the variance, 1 or more.
        level: odds, from 1e-6 to below 1; broadcast against `freedom`.

    Returns:
        The factor, of the broadcast shape.
    """
    freedom, level = np.asarray(freedom, float), np.asarray(level, float)
    if methods == 2:
        return special.stdtrit(freedom, 1 - level / 2)
    if level.ndim == 0:
        return np.exp(chebyshev.chebval(2 / freedom - 1, _curve(methods, float(level))))
    return _quantile(methods, *np.broadcast_arrays(freedom, level))


@lru_cache(maxsize=256)
def _curve(methods: int, level: float) -> np.ndarray:
    """Chebyshev's coefficients of the factor's logarithm, as it runs with 1 / degrees of freedom from 0 to 1."""
    nodes = np.cos(np.pi * (np.arange(_TERMS) + 0.5) / _TERMS)
    values = _quantile(methods, 2 / (1 + nodes), np.full(_TERMS, level))
    return chebyshev.chebfit(nodes, np.log(values), _TERMS - 1)


def _quantile(methods: int, freedom: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The factor where the odds are `level`, by halving."""
    low, high = np.full(freedom.shape, -7.0), np.full(freedom.shape, 18.0)
    deviations, weights = _deviations(freedom)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = _exceeding(methods, np.exp(middle), deviations, weights) > level
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.exp((low + high) / 2) / np.sqrt(2)


def _deviations(freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values that the estimated standard deviation takes, relative to the true one, and their weights, `(…, nodes)`.

    Evenly in the logarithm (the trapezoid rule, exact for what is so smooth), wide enough for odds of 1e-6.
    """
    f = freedom[..., None]
    lowest, highest = -(18 / f + 9 / np.sqrt(2 * f)), 9 / np.sqrt(2 * f)
    logarithms = lowest + (highest - lowest) * np.linspace(0, 1, _NODES)
    deviations = np.exp(logarithms)
    # density of √(χ²/f), times the deviation for the step in its logarithm
    density = f / 2 * np.log(f / 2) - special.gammaln(f / 2) + np.log(2) + f * logarithms - f * deviations**2 / 2
    weights = np.exp(density) * (highest - lowest) / (_NODES - 1)
    return deviations, weights / weights.sum(axis=-1, keepdims=True)


def _exceeding(methods: int, value: np.ndarray, deviations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The odds that the studentized range is above `value`."""
    return (np.interp(value[..., None] * deviations, *_range_tail(methods)) * weights).sum(axis=-1)


@lru_cache(maxsize=64)
def _range_tail(methods: int) -> tuple[np.ndarray, np.ndarray]:
    """Widths, and the odds that the range of `methods` standard normal numbers exceeds each."""
    widths = np.linspace(0, _WIDEST, 2001)
    nodes = np.linspace(-9, 9, 401)
    density = np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi) * (nodes[1] - nodes[0])
    inside = special.ndtr(nodes[None] + widths[:, None]) - special.ndtr(nodes[None])
    within = methods * (density * inside ** (methods - 1)).sum(axis=1)
    return widths, np.clip(1 - within, 0, 1)
