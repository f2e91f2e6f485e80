"""Distances between the surfaces of two masks, in the unit of the spacing: HD95, ASSD and normalised surface Dice.

Two surfaces are in use, and each score takes the one that its name is known by:

- HD95 and ASSD: the mask's own pixels or voxels that have a background neighbour across a face, at their centres.
  This is what MONAI's `compute_hausdorff_distance` and `compute_average_surface_distance(symmetric=True)` measure.
- Normalised surface Dice: the surface through the corners of the grid, each point weighted with the area (2D: the
  length) of the marching-cubes element there, so that voxels of unequal sides count for what they cover (Nikolov et
  al., Deep learning to achieve clinically applicable segmentation of head and neck anatomy, 2018). DeepMind's
  `surface-distance` and MONAI with `use_subvoxels=True` measure this.

What lies outside of the image is background, so a mask that reaches the border has a surface there.

What is ignored is neither the mask nor background, so a mask that it cuts has no surface there:

- An ignored region that touches nothing but the mask belongs to it here.
- A piece of surface is seen where the mask meets background. It is cut where the mask meets nothing but ignored pixels
  (of a corner of the grid: where mask and ignored pixels are around it and no background); such pieces count for
  nothing. Neither do, for the surface Dice, seen pieces with an ignored pixel around their corner: their area is not
  known.
- A distance is known where the nearest piece of the other surface is a seen one. Where it is a cut one, the surface
  goes on in the ignored region, who knows how; what lies nearest to it is left out of all three scores.

Both rules are the same for truth and prediction, and nothing depends on what is predicted where the truth is ignored.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
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
    truth: np.ndarray,
    prediction: np.ndarray,
    spacing: tuple[float, ...],
    tolerance: float,
    ignored: np.ndarray | None = None,
) -> SurfaceScores:
    """Surface scores of two masks.

    One rule for what is not there: with both masks empty all three are NaN; with one of them empty there is no
    distance, so HD95 and ASSD are NaN, and no surface is within the tolerance, so the surface Dice is 0. With neither
    empty, but no piece of surface left to count beside what is ignored, all three are NaN.

    Args:
        truth: boolean, 2D or 3D.
        prediction: boolean, of the same shape.
        spacing: size of a pixel or voxel along each axis.
        tolerance: distance, in the unit of `spacing`, up to which two surfaces are the same; 0 or more.
        ignored: boolean, of the same shape; where it is true neither mask is looked at.
    """
    if ignored is not None:
        truth, prediction = truth & ~ignored, prediction & ~ignored
    some_truth, some_prediction = truth.any(), prediction.any()
    if not (some_truth and some_prediction):
        return SurfaceScores(np.nan, np.nan, 0.0 if some_truth or some_prediction else np.nan)
    ignored = np.zeros_like(truth) if ignored is None else ignored
    truth, prediction, ignored = cropped(bounding_box(truth | prediction), 1, truth, prediction, ignored)
    masks = [_Mask.of(mask, ignored) for mask in (truth, prediction)]
    there, back = _both_ways([_edge(mask) for mask in masks], spacing)
    far = [np.percentile(way.distances, PERCENTILE) for way in (there, back) if len(way.distances)]
    total, places = (sum(measure(way.distances) for way in (there, back)) for measure in (np.sum, len))
    hd95, assd = (max(far), total / places) if far else (np.nan, np.nan)
    return SurfaceScores(float(hd95), float(assd), _surface_dice(masks, spacing, tolerance))


def cropped(box: tuple[slice, ...], wider: int, *masks: np.ndarray) -> list[np.ndarray]:
    """Boolean masks in a box that is `wider` pixels larger to every side where the image is, with a border of one
    pixel of nothing around it."""
    larger = tuple(slice(max(part.start - wider, 0), part.stop + wider) for part in box)
    return [np.pad(mask[larger], 1) for mask in masks]


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box around the true pixels of a boolean mask that has some."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        held = np.flatnonzero(mask.any(axis=others))
        box.append(slice(int(held[0]), int(held[-1]) + 1))
    return tuple(box)


class _Mask(NamedTuple):
    """A mask in an empty border, and the ignored pixels that are not inside of it; of `ignored` all."""

    held: np.ndarray
    open: np.ndarray
    ignored: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, ignored: np.ndarray) -> _Mask:
        if not ignored.any():
            return cls(mask, ignored, ignored)
        touching = np.ones((3,) * mask.ndim, bool)
        regions, count = ndimage.label(ignored, touching)
        beside_background = ndimage.binary_dilation(~mask & ~ignored, touching)
        inside = np.ones(count + 1, bool)
        inside[0] = False
        inside[regions[beside_background]] = False
        return cls(mask | inside[regions], ignored & ~inside[regions], ignored)


class _Surface(NamedTuple):
    """Where on a grid a surface is, as boolean arrays of one shape: `counted` of `seen`, and `cut`, apart from it."""

    counted: np.ndarray
    seen: np.ndarray
    cut: np.ndarray


class _Distances(NamedTuple):
    """Distances from counted places, and which of them, in the order of `np.argwhere`, have a known one."""

    distances: np.ndarray
    known: np.ndarray


def _edge(mask: _Mask) -> _Surface:
    """The pixels that have a background neighbour across a face, and those that have none but an ignored one."""
    seen = mask.held & ~_inside(mask.held | mask.open)
    return _Surface(seen, seen, mask.held & ~seen & ~_inside(mask.held))


def _inside(mask: np.ndarray) -> np.ndarray:
    """Where a mask is true at all neighbours across a face; the border of the array does not matter."""
    inside = np.ones_like(mask)
    for axis in range(mask.ndim):
        for step in (1, -1):
            inside &= np.roll(mask, step, axis)  # what wraps around is the empty border
    return inside


def _both_ways(surfaces: Sequence[_Surface], spacing: tuple[float, ...]) -> list[_Distances]:
    """From each counted place of the first of two surfaces the known distance to the second, and back."""
    found = []
    for here, there in (surfaces, surfaces[::-1]):
        distances = _away(here.counted, there.seen, spacing)
        known = np.ones(len(distances), bool)
        if there.cut.any():
            known = distances <= _away(here.counted, there.cut, spacing) + _ROUNDING
        found.append(_Distances(distances[known], known))
    return found


def _away(places: np.ndarray, targets: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """From each true place of the one grid the distance to the nearest true place of the other, infinite where there
    is none; in the order of `np.argwhere`."""
    counts = np.count_nonzero(places), np.count_nonzero(targets)
    if not all(counts):
        return np.full(counts[0], np.inf)
    if max(counts) > _SPARSE * targets.size:
        away: np.ndarray = ndimage.distance_transform_edt(~targets, sampling=spacing)[places]
        return away
    points = [np.argwhere(grid) * np.asarray(spacing, float) for grid in (targets, places)]
    distances: np.ndarray = spatial.cKDTree(points[0]).query(points[1])[0]
    return distances


def _surface_dice(masks: Sequence[_Mask], spacing: tuple[float, ...], tolerance: float) -> float:
    sizes = element_sizes(tuple(float(step) for step in spacing))
    codes = [_neighbours(mask.held) for mask in masks]
    surfaces = []
    for code, mask in zip(codes, masks, strict=True):
        held, background = code != 0, code != len(sizes) - 1
        if not mask.ignored.any():
            surfaces.append(_Surface(held & background, held & background, np.zeros_like(held)))
            continue
        beside = _neighbours(mask.open)
        background = (code | beside) != len(sizes) - 1
        counted = held & background & (_neighbours(mask.ignored) == 0)
        surfaces.append(_Surface(counted, held & background, held & ~background & (beside != 0)))
    near, total = 0.0, 0.0
    for code, surface, found in zip(codes, surfaces, _both_ways(surfaces, spacing), strict=True):
        size = sizes[code[surface.counted]][found.known]
        near += size[found.distances <= tolerance + _ROUNDING].sum()
        total += size.sum()
    return float(near / total) if total else np.nan


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
