"""Distances between the surfaces of two masks, in the unit of the spacing: HD95, ASSD and normalised surface Dice.

Two surfaces are in use, and each score takes the one that its name is known by:

- HD95 and ASSD: the mask's own pixels or voxels that have a background neighbour across a face, at their centres.
  This is what MONAI's `compute_hausdorff_distance` and `compute_average_surface_distance(symmetric=True)` measure.
- Normalised surface Dice: the surface through the corners of the grid, each point weighted with the area (2D: the
  length) of the marching-cubes element there, so that voxels of unequal sides count for what they cover (Nikolov et
  al., Deep learning to achieve clinically applicable segmentation of head and neck anatomy, 2018). DeepMind's
  `surface-distance` and MONAI with `use_subvoxels=True` measure this.

What lies outside of the image is background, so a mask that reaches the border has a surface there.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage, spatial

PERCENTILE = 95
# A search tree of the surface points is far faster than a distance transform of the whole box, unless so many of the
# pixels are surface that the transform, which does not care, wins.
_SPARSE = 0.1
_ROUNDING = 1e-9  # ten steps of 0.1 are still 1


class SurfaceScores(NamedTuple):
    """Of one class in one case.

    Attributes:
        hd95: 95th percentile of the distances from each surface to the other, the larger of both directions.
        assd: mean of the distances of all surface points of both, each to the other surface.
        nsd: share of both surfaces that lies within the tolerance of the other, 0..1.
    """

    hd95: float
    assd: float
    nsd: float


def surface_scores(
    truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...], tolerance: float
) -> SurfaceScores:
    """Surface scores of two masks.

    One rule for what is not there: with both masks empty all three are NaN; with one of them empty there is no
    distance, so HD95 and ASSD are NaN, and no surface is within the tolerance, so the surface Dice is 0.

    Args:
        truth: boolean, 2D or 3D.
        prediction: boolean, of the same shape.
        spacing: size of a pixel or voxel along each axis.
        tolerance: distance, in the unit of `spacing`, up to which two surfaces are the same; 0 or more.
    """
    some_truth, some_prediction = truth.any(), prediction.any()
    if not (some_truth and some_prediction):
        return SurfaceScores(np.nan, np.nan, 0.0 if some_truth or some_prediction else np.nan)
    truth, prediction = cropped(truth, prediction)
    there, back = _both_ways(_edge(truth), _edge(prediction), spacing)
    hd95 = max(np.percentile(there, PERCENTILE), np.percentile(back, PERCENTILE))
    assd = (there.sum() + back.sum()) / (len(there) + len(back))
    return SurfaceScores(float(hd95), float(assd), _surface_dice(truth, prediction, spacing, tolerance))


def cropped(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both masks in the box around what either holds, with a border of one background pixel on every side."""
    box = bounding_box(truth | prediction)
    return np.pad(truth[box], 1), np.pad(prediction[box], 1)


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around the true pixels of a boolean mask that has some."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        held = np.flatnonzero(mask.any(axis=others))
        box.append(slice(int(held[0]), int(held[-1]) + 1))
    return tuple(box)


def _edge(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask with an empty border that have a background neighbour across a face."""
    inside = mask.copy()
    for axis in range(mask.ndim):
        for step in (1, -1):
            inside &= np.roll(mask, step, axis)  # what wraps around is the empty border
    return mask & ~inside


def _both_ways(truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """From each true point of the one grid the distance to the nearest true point of the other, and back; in the
    order of `np.argwhere`."""
    most = max(np.count_nonzero(truth), np.count_nonzero(prediction))
    if most > _SPARSE * truth.size:
        away = [ndimage.distance_transform_edt(~points, sampling=spacing) for points in (prediction, truth)]
        return away[0][truth], away[1][prediction]
    places = [np.argwhere(points) * np.asarray(spacing, float) for points in (truth, prediction)]
    trees = [spatial.cKDTree(points) for points in places]
    return trees[1].query(places[0])[0], trees[0].query(places[1])[0]


def _surface_dice(truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...], tolerance: float) -> float:
    sizes = element_sizes(tuple(float(step) for step in spacing))
    codes = [_neighbours(mask) for mask in (truth, prediction)]
    true, predicted = ((code != 0) & (code != len(sizes) - 1) for code in codes)
    near, total = 0.0, 0.0
    for code, points, distances in zip(codes, (true, predicted), _both_ways(true, predicted, spacing), strict=True):
        size = sizes[code[points]]
        near += size[distances <= tolerance + _ROUNDING].sum()
        total += size.sum()
    return float(near / total)


def _neighbours(mask: np.ndarray) -> np.ndarray:
    """For each corner between pixels, one axis shorter each way, which of the 2^rank pixels around it are set: bit b
    is the pixel at the offsets that are the binary digits of b, the last axis the lowest."""
    code = np.zeros([side - 1 for side in mask.shape], np.uint8)
    for bit, corner in enumerate(itertools.product((0, 1), repeat=mask.ndim)):
        view = mask[tuple(slice(low, low + side - 1) for low, side in zip(corner, mask.shape, strict=True))]
        code |= view.astype(np.uint8) << bit
    return code


@lru_cache(maxsize=64)
def element_sizes(spacing: tuple[float, ...]) -> np.ndarray:
    """Length (2D) or area (3D) of the surface element for each pattern of the pixels around a corner of the grid.

    Args:
        spacing: 2 or 3 positive numbers; a pattern is numbered as in `_neighbours`.

    Returns:
        `(16,)` or `(256,)` float64; 0 for the empty and the full pattern.
    """
    return _lengths(spacing) if len(spacing) == 2 else _areas(spacing)


def _lengths(spacing: tuple[float, ...]) -> np.ndarray:
    """Marching squares: the line cuts each side of the square in its middle."""
    across, along = spacing
    diagonal = np.hypot(across, along) / 2
    lengths = np.zeros(16)
    for code in range(1, 15):
        a, b, c, d = (code >> bit & 1 for bit in range(4))  # (0,0), (0,1), (1,0), (1,1)
        if a + b + c + d in (1, 3):
            lengths[code] = diagonal
        elif a == d:  # two opposite corners, each cut off
            lengths[code] = 2 * diagonal
        else:
            lengths[code] = along if a == b else across
    return lengths


def _areas(spacing: tuple[float, ...]) -> np.ndarray:
    """Marching cubes (Lorensen and Cline, 1987), with vertices in the middle of the edges."""
    owners, vectors = _triangles()
    scale = np.prod(spacing) / np.asarray(spacing)  # an area vector's component is an area across its axis
    return np.bincount(owners, np.linalg.norm(vectors * scale, axis=1), minlength=256)


@lru_cache(maxsize=1)
def _triangles() -> tuple[np.ndarray, np.ndarray]:
    """Pattern and area vector of every triangle of the 256 patterns, in units of the grid.

    A pattern has the surface of its complement, as in the original table of 15 cases: where corners of one kind meet
    across a diagonal, those are cut off that are fewer.
    """
    from skimage.measure import marching_cubes

    owners, vectors = [], []
    for code in range(1, 255):
        fewer = code if code.bit_count() <= 4 else 255 - code
        cube = np.array([fewer >> bit & 1 for bit in range(8)], np.float32).reshape(2, 2, 2)
        corners, faces, _, _ = marching_cubes(cube, 0.5, method="lorensen")
        a, b, c = (corners[faces[:, k]] for k in range(3))
        vectors.append(np.cross(b - a, c - a) / 2)
        owners.append(np.full(len(faces), code))
    return np.concatenate(owners), np.concatenate(vectors).astype(float)
