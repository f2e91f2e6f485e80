"""Smooth random fields: few coefficients, spread over the pixels or voxels axis by axis."""

from __future__ import annotations

import math

import numpy as np

CONTROL_PIXELS, CONTROL_PER_STRENGTH = 10.0, 8.3
ONE_THREAD = 200_000  # OpenBLAS multiplies matrices in one thread up to 2^18 single products
SPLINE_DEVIATION = math.sqrt(151 / 315)  # of a cubic B-spline in one axis whose coefficients have deviation 1


def control_distance(strength: float) -> float:
    """Distance of the control points of a deformation by `strength` pixels, in pixels.

    Neighbours then differ by some 0.14 pixels in how far they move, so that nothing is folded and textures stay what
    they are.
    """
    return max(CONTROL_PIXELS, CONTROL_PER_STRENGTH * strength)


def spline_basis(n: int, step: float) -> np.ndarray:
    """`(n, controls)` float32: uniform cubic B-splines at 0, step, 2 step …, in distances of control points."""
    at = np.arange(n) * step
    first = np.floor(at).astype(int)
    u = at - first
    weights = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], axis=1) / 6
    basis = np.zeros((n, first[-1] + 4), np.float32)
    np.put_along_axis(basis, first[:, None] + np.arange(4), weights, axis=1)
    return basis


def spread(coefficients: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`(…, g, h)` coefficients to `(…, Y, Z)`, by the bases `(Y, g)` and `(Z, h)`."""
    out = np.empty((*coefficients.shape[:-2], len(first), len(second)), np.float32)
    # A few rows at a time: threads of BLAS would only get in the way of the workers beside this one.
    step = max(2, ONE_THREAD // second.size)
    for start in range(0, len(first), step):
        rows = slice(start, start + step)
        out[..., rows, :] = first[rows] @ coefficients @ second.T
    return out
