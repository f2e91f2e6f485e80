"""Warps of volumes: affine, elastic and grid in one resampling, in mm.

Where each voxel of the result comes from is one map, so that however many changes are drawn the image is interpolated
once. OpenCV interpolates in two axes; it is given each slice with the next one as two channels, and the third axis is
interpolated between these two. Its positions within a slice are exact to 1/32 voxel, as its `remap` has them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np

from seglab.data.augment.splines import SPLINE_DEVIATION, control_distance, spline_basis, spread
from seglab.data.augment.warp import GRID_LIMIT, GRID_STEPS, Warp

LONGEST_SIDE = 32_000  # OpenCV's remap refuses sides of 32,767 and more
SLAB_VOXELS = 16_384


class VolumeWarp(Warp):
    """`Warp` of `(X, Y, Z, C)`."""

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
            if 1 in mask.shape:  # a slice: what turns it out of its plane would show nothing
                angles *= [all(n > 1 for i, n in enumerate(mask.shape) if i != axis) for axis in range(3)]
            size = 1 + rng.uniform(-1, 1) * self.scale
            # From voxels to mm, turned and scaled there, and back to voxels.
            matrix = rotation(angles) / size * spacing / spacing[:, None]
            origin = centre + rng.uniform(-1, 1, 3) * self.shift * mask.shape * np.not_equal(mask.shape, 1)
        places = [self._stretched(n, rng) if stretched else np.arange(n) for n in mask.shape]
        lines = [np.outer(matrix[:, axis], places[axis] - centre[axis]) for axis in range(3)]
        lines[0] += origin[:, None]
        x, y, z = (line.astype(np.float32) for line in lines)
        plane = (y[:, :, None] + z[:, None, :])[:, None]
        bending = self._bending(mask.shape, matrix, spacing, rng) if bent else None

        def positions(slab: slice) -> np.ndarray:
            found = x[:, slab, None, None] + plane
            if bending is not None:
                field, bases = bending
                found += spread(field[:, slab], *bases)
            return found

        return resample(image, mask, positions, self.ignore_label)

    @staticmethod
    def _stretched(n: int, rng: np.random.Generator) -> np.ndarray:
        """Where the voxels of an axis come from: piecewise linear, the ends where they were."""
        knots = np.append(0, np.cumsum(1 + rng.uniform(-GRID_LIMIT, GRID_LIMIT, GRID_STEPS)))
        return np.interp(np.arange(n), np.linspace(0, n - 1, GRID_STEPS + 1), knots / knots[-1] * (n - 1))

    def _bending(
        self, shape: tuple[int, ...], matrix: np.ndarray, spacing: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Displacement in voxels, as strong and as smooth in mm along each axis: cubic B-splines.

        Returns `(3, X, controls, controls)` coefficients, and the bases to spread them by along the last two axes.
        """
        unit = spacing.min()
        control = unit * control_distance(self.elastic_pixels)
        first, *bases = (spline_basis(n, step / control) for n, step in zip(shape, spacing, strict=True))
        strength = self.elastic_pixels * unit / SPLINE_DEVIATION**3
        field = rng.standard_normal((3, first.shape[1], *(basis.shape[1] for basis in bases)), dtype=np.float32)
        to_voxels = (matrix / spacing * strength).astype(np.float32)
        to_voxels[np.equal(shape, 1)] = 0  # nor is a slice bent out of its plane
        return np.einsum("ij,xk,jkyz->ixyz", to_voxels, first, field, optimize=True), bases


def rotation(angles: np.ndarray) -> np.ndarray:
    """Matrix of the turns about the third, then the second, then the first axis by the `angles` about each."""
    turns = []
    for axis, angle in enumerate(angles):
        turn, (first, second) = np.eye(3), [(1, 2), (2, 0), (0, 1)][axis]
        turn[[first, second], [first, second]] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        turns.append(turn)
    return reduce(np.matmul, turns)


def resample(
    image: np.ndarray, mask: np.ndarray, positions: Callable[[slice], np.ndarray], ignore_label: int
) -> tuple[np.ndarray, np.ndarray]:
    """The image by linear interpolation and the mask by nearest neighbour.

    Args:
        image: `(X, Y, Z, C)` float32.
        mask: `(X, Y, Z)`.
        positions: where the voxels of a slab of the first axis come from, `(3, x, Y, Z)` float32; is changed.
        ignore_label: of the mask outside; the image is 0 there.
    """
    around = np.pad(mask, 1, constant_values=ignore_label)
    labels, sheets = around.reshape(-1), [Sheet.of(image[..., channel]) for channel in range(image.shape[-1])]
    image, mask = np.empty(image.shape, np.float32), np.empty_like(mask, order="C")
    # In slabs, so that what is computed on the way stays in the processor's cache.
    step = max(1, SLAB_VOXELS // (mask.shape[1] * mask.shape[2]))
    for start in range(0, len(mask), step):
        slab = slice(start, start + step)
        found = positions(slab)
        # One voxel of outside lies around the volume; positions further away than that are brought to it.
        for place, n in zip(found, mask.shape, strict=True):
            np.clip(place, -1, n, out=place)
            place += 1
        x, y, z = np.rint(found).astype(np.int64)
        mask[slab] = labels[(x * around.shape[1] + y) * around.shape[2] + z]
        for channel, sheet in enumerate(sheets):
            image[slab, ..., channel] = sheet.at(found)
    return image, mask


@dataclass(frozen=True)
class Sheet:
    """A volume with one voxel of 0 around it, each slice and the next as two channels, laid out in a plane.

    Attributes:
        plane: `(rows * height, columns * width, 2)` float32; slice k lies in row k // columns, column k % columns.
    """

    plane: np.ndarray
    columns: int
    pairs: int
    height: int
    width: int

    @staticmethod
    def of(volume: np.ndarray) -> Sheet:
        """Lay out `(X, Y, Z)`, in as many columns as it takes to stay within OpenCV's limit."""
        pairs, height, width = (n + extra for n, extra in zip(volume.shape, (1, 2, 2), strict=True))
        columns = -(-pairs * height // LONGEST_SIDE)
        rows = -(-pairs // columns)
        plane = np.zeros((rows, height, columns, width, 2), np.float32)
        for k, a_slice in enumerate(volume):
            for pair, channel in ((k, 1), (k + 1, 0)):
                plane[pair // columns, 1:-1, pair % columns, 1:-1, channel] = a_slice
        return Sheet(plane.reshape(rows * height, columns * width, 2), columns, pairs, height, width)

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Values at `(3, x, Y, Z)` positions from 0 to the last slice, row and column of what lies around."""
        x, y, z = positions
        lower = np.minimum(np.floor(x), np.float32(self.pairs - 1))
        row, column = np.divmod(lower, np.float32(self.columns)) if self.columns > 1 else (lower, np.float32(0))
        across, along = column * self.width + z, row * self.height + y
        flat = (len(x), -1) if across[0].size < LONGEST_SIDE else (-1, across.shape[-1])
        both = cv2.remap(self.plane, across.reshape(flat), along.reshape(flat), cv2.INTER_LINEAR).reshape(*x.shape, 2)
        return both[..., 0] + (x - lower) * (both[..., 1] - both[..., 0])
