"""Warps of volumes: affine, elastic and grid in one resampling, in mm.

Where each voxel of the result comes from is one map, so that however many changes are drawn the image is interpolated
once. OpenCV interpolates in two axes; it is given each slice with the next one as two channels, and the third axis is
interpolated between these two. Its positions within a slice are exact to 1/32 voxel, as its `remap` has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np

from seglab.data.augment.images import GRID_LIMIT, GRID_STEPS

# Distance of the control points of an elastic deformation, in finest voxels, and at least in units of its strength.
# The mean step between two voxels is 0.24 of them at most, so a deformation does not fold the volume.
CONTROL_VOXELS, CONTROL_PER_STRENGTH = 10.0, 5.0
SPLINE_DEVIATION = math.sqrt(151 / 315)  # of a cubic B-spline in one axis whose coefficients have deviation 1
LONGEST = 32_000  # OpenCV's remap refuses sides of 32,767 and more


@dataclass(frozen=True)
class VolumeWarp:
    """Affine, elastic and grid distortion of `(X, Y, Z, C)` float32 with its mask; arguments as those of `Augment`.

    Linear interpolation of the image, nearest neighbour of the mask; outside lie 0 and the ignore label.
    """

    ignore_label: int
    affine: float
    rotate_degrees: float
    scale: float
    shift: float
    elastic: float
    elastic_pixels: float
    grid: float

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, spacing: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        moved, bent, stretched = rng.random(3) < (self.affine, self.elastic, self.grid)
        if not (moved or bent or stretched):
            return image, mask
        matrix, centre = np.eye(3), (np.asarray(mask.shape) - 1) / 2
        origin = centre
        if moved:
            angles = np.radians(rng.uniform(-1, 1, 3) * self.rotate_degrees)
            sizes = 1 + rng.uniform(-1, 1, 3) * self.scale
            # From voxels to mm, turned and scaled there, and back to voxels.
            matrix = (rotation(angles) / sizes) * spacing / spacing[:, None]
            origin = centre + rng.uniform(-1, 1, 3) * self.shift * mask.shape
        places = [self._stretched(n, rng) if stretched else np.arange(n) for n in mask.shape]
        lines = [np.outer(matrix[:, axis], places[axis] - centre[axis]) for axis in range(3)]
        lines[0] += origin[:, None]
        straight = [line.astype(np.float32) for line in lines]
        positions = straight[1][:, :, None] + straight[2][:, None, :]
        positions = straight[0][:, :, None, None] + positions[:, None]
        if bent:
            positions += self._bending(mask.shape, matrix, spacing, rng)
        return resample(image, mask, positions, self.ignore_label)

    @staticmethod
    def _stretched(n: int, rng: np.random.Generator) -> np.ndarray:
        """Where the voxels of an axis come from: piecewise linear, the ends where they were."""
        knots = np.append(0, np.cumsum(1 + rng.uniform(-GRID_LIMIT, GRID_LIMIT, GRID_STEPS)))
        return np.interp(np.arange(n), np.linspace(0, n - 1, GRID_STEPS + 1), knots / knots[-1] * (n - 1))

    def _bending(
        self, shape: tuple[int, ...], matrix: np.ndarray, spacing: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Displacement `(3, X, Y, Z)` in voxels: cubic B-splines, as strong and as smooth in mm along each axis."""
        unit = spacing.min()
        control = unit * max(CONTROL_VOXELS, CONTROL_PER_STRENGTH * self.elastic_pixels)
        bases = [spline_basis(n, step / control) for n, step in zip(shape, spacing, strict=True)]
        strength = self.elastic_pixels * unit / SPLINE_DEVIATION**3
        field = rng.standard_normal((3, *(basis.shape[1] for basis in bases)), dtype=np.float32)
        to_voxels = (matrix / spacing * strength).astype(np.float32)
        return spread(np.tensordot(to_voxels, field, 1), bases)


def rotation(angles: np.ndarray) -> np.ndarray:
    """Matrix of the turns about the third, then the second, then the first axis by the `angles` about each."""
    turns = []
    for axis, angle in enumerate(angles):
        turn, (first, second) = np.eye(3), [(1, 2), (2, 0), (0, 1)][axis]
        turn[[first, second], [first, second]] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        turns.append(turn)
    return reduce(np.matmul, turns)


def spline_basis(n: int, step: float) -> np.ndarray:
    """`(n, controls)` float32: uniform cubic B-splines at 0, step, 2 step …, in distances of control points."""
    at = np.arange(n) * step
    first = np.floor(at).astype(int)
    u = at - first
    weights = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], axis=1) / 6
    basis = np.zeros((n, first[-1] + 4), np.float32)
    np.put_along_axis(basis, first[:, None] + np.arange(4), weights, axis=1)
    return basis


def spread(coefficients: np.ndarray, bases: list[np.ndarray]) -> np.ndarray:
    """`(…, *controls)` coefficients to `(…, *size)`, with one basis `(n, controls)` for each of the last axes."""
    first = coefficients.ndim - len(bases)
    for basis in bases:  # takes the first of the axes away and puts the new one last
        coefficients = np.tensordot(coefficients, basis, (first, 1))
    return coefficients


def resample(
    image: np.ndarray, mask: np.ndarray, positions: np.ndarray, ignore_label: int
) -> tuple[np.ndarray, np.ndarray]:
    """The image by linear interpolation and the mask by nearest neighbour at `positions` `(3, X, Y, Z)` float32."""
    # One voxel of outside around the volume, and positions further away than that brought to it.
    for place, n in zip(positions, mask.shape, strict=True):
        np.clip(place, -1, n, out=place)
        place += 1
    around = np.pad(mask, 1, constant_values=ignore_label)
    x, y, z = np.rint(positions).astype(np.int32)
    x *= around.shape[1]
    x += y
    x *= around.shape[2]
    x += z
    out = np.empty((*mask.shape, image.shape[-1]), np.float32)
    for channel in range(image.shape[-1]):
        out[..., channel] = _linear(image[..., channel], positions)
    return out, around.reshape(-1).take(x)


def _linear(volume: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """`(X, Y, Z)` float32 at positions of the volume with one voxel of 0 around it."""
    slices, height, width = (n + 2 for n in volume.shape)
    pairs = slices - 1
    # The pairs of slices lie below one another, in as many columns as it takes to stay within OpenCV's limit.
    columns = -(-pairs * height // LONGEST)
    rows = -(-pairs // columns)
    sheet = np.zeros((rows * columns, height, width, 2), np.float32)
    sheet[1:pairs, 1:-1, 1:-1, 0] = volume
    sheet[: pairs - 1, 1:-1, 1:-1, 1] = volume
    sheet = sheet.reshape(rows, columns, height, width, 2).swapaxes(1, 2).reshape(rows * height, columns * width, 2)
    x, y, z = positions
    lower = np.minimum(np.floor(x), pairs - 1)
    down, right = np.divmod(lower, np.float32(columns)) if columns > 1 else (lower, np.float32(0))
    across, along = right * width + z, down * height + y
    across, along = across.reshape(-1, across.shape[-1]), along.reshape(-1, along.shape[-1])
    both = np.empty((*across.shape, 2), np.float32)
    for start in range(0, len(both), LONGEST):
        part = slice(start, start + LONGEST)
        both[part] = cv2.remap(sheet, across[part], along[part], cv2.INTER_LINEAR)
    both = both.reshape(*x.shape, 2)
    return both[..., 0] + (x - lower) * (both[..., 1] - both[..., 0])
