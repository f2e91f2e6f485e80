"""Volumes from one voxel spacing to another, axis by axis.

Both grids cover the same extent, from the outer face of the first voxel to that of the last, and values sit in the
middle of their voxels: the centre of new voxel i is at (i + ½) · old / new − ½ in old voxels. The number of voxels is
rounded, so that the real spacing is off the asked one by at most half a voxel over the whole extent; in return the way
back needs no more than the old shape. Beyond the outermost centres their value goes on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import sparse

from seglab.data.preprocessing.geometry import along_axis, interpolation, resize_mask
from seglab.errors import DataError
from seglab.runtime.memory import available_bytes

Interpolation = Literal["linear", "cubic"]
# Where slices lie this much further apart than pixels, a cubic through them overshoots: such an axis is linear.
ANISOTROPIC = 3.0
# mm and microns are 1000 apart; nothing is resampled, or scanned, so differently along every axis.
UNIT_RATIO = 100.0


def resampled_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> tuple[int, ...]:
    """Voxels along each axis that make `target` spacing out of `shape` voxels of `spacing`; at least 1.

    Raises:
        DataError: a spacing of another order along every axis, as where one of the two is not in mm.
    """
    ratios = [old / new for old, new in zip(spacing, target, strict=True)]
    if min(ratios) >= UNIT_RATIO or max(ratios) <= 1 / UNIT_RATIO:
        raise _off_scale("a spacing of another order than the volume's", shape, spacing, target)
    return tuple(max(1, round(n * ratio)) for n, ratio in zip(shape, ratios, strict=True))


def _off_scale(what: str, shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> DataError:
    of, to = ("×".join(f"{step:.3g}" for step in steps) for steps in (spacing, target))
    return DataError(
        what,
        code="spacing-mismatch",
        finding="spacing-mismatch",
        where="data.spacing",
        found=f"{'×'.join(map(str, shape))} voxels of {of} mm, to be resampled to {to} mm",
        expected="both in mm, whatever unit a header names",
        remedy="give data.spacing in mm; or, if the header names the wrong unit, correct it: of NIfTI with nibabel, "
        "image.header.set_xyzt_units('micron'), then save",
    )


def resample_image(
    image: np.ndarray, spacing: Sequence[float], target: Sequence[float], kind: Interpolation = "linear"
) -> np.ndarray:
    """A volume at another spacing.

    An axis that gets finer is interpolated, linearly or by cubic convolution (Keys 1981,
    https://doi.org/10.1109/TASSP.1981.1163711); one that gets coarser is averaged, so that nothing is skipped.

    Args:
        image: `(X, Y, Z, C)`.
        spacing: of its voxels, in mm.
        target: the spacing wanted, in mm.
        kind: cubic is sharper and may overshoot by some percent; an axis `ANISOTROPIC` times as coarse as the finest is
            linear in both.

    Returns:
        `(*resampled_shape(…), C)` float32.

    Raises:
        DataError: what `resampled_shape` refuses, or more voxels than fit into memory.
    """
    resampler = resampler_of(image.shape[:-1], spacing, target, kind)
    shape = resampler.new
    if 4 * math.prod(shape) * image.shape[-1] > available_bytes():
        raise _off_scale("a spacing that makes more voxels than fit into memory", image.shape[:-1], spacing, target)
    return resampler(image)


def resampler_of(
    shape: Sequence[int], spacing: Sequence[float], target: Sequence[float], kind: Interpolation = "linear"
) -> Resampler:
    """What `resample_image` does to an image of this spatial shape; raises as `resampled_shape`."""
    cubic = tuple(kind == "cubic" and step < ANISOTROPIC * min(spacing) for step in spacing)
    return Resampler(tuple(shape), resampled_shape(shape, spacing, target), cubic)


def resample_mask(mask: np.ndarray, spacing: Sequence[float], target: Sequence[float], ignore_label: int) -> np.ndarray:
    """Class ids `(X, Y, Z)` on the grid of `resample_image`, by the rule of `resize_mask`."""
    return resize_mask(mask, resampled_shape(mask.shape, spacing, target), ignore_label)


def resample_to(channel: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """One channel, such as a class's probability, `(X, Y, Z)`, on a grid of `shape` over the same extent; float32.

    Linear, so that probabilities stay in 0..1 and sum to 1 over the classes.
    """
    return Resampler(channel.shape, tuple(shape))(channel)


@dataclass(frozen=True)
class Resampler:
    """From one grid to another over the same extent, of a whole array or, to the same bits, of parts of it.

    Attributes:
        old, new: voxels of both along each axis.
        cubic: which axes are, where they get finer; none when empty.
    """

    old: tuple[int, ...]
    new: tuple[int, ...]
    cubic: tuple[bool, ...] = ()

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """An array `(*old, …)` on the new grid, float32."""
        return self.part(array, tuple(slice(0, n) for n in self.new))

    def needs(self, place: Sequence[slice]) -> tuple[slice, ...]:
        """The part of the old grid that a part of the new one is made of."""
        needed = list(place)
        for axis, matrix in self._steps:
            voxels = matrix.indices[matrix.indptr[place[axis].start] : matrix.indptr[place[axis].stop]]
            needed[axis] = slice(int(voxels.min()), int(voxels.max()) + 1)
        return tuple(needed)

    def part(self, array: np.ndarray, place: Sequence[slice]) -> np.ndarray:
        """A part of the new grid, float32, of what it `needs` of an array."""
        made, needed = array.astype(np.float32, copy=False), self.needs(place)
        for axis, matrix in self._steps:
            here = matrix[place[axis].start : place[axis].stop, needed[axis].start : needed[axis].stop]
            made = along_axis(here, made, axis)
        return np.ascontiguousarray(made)

    @cached_property
    def _steps(self) -> list[tuple[int, sparse.csr_array]]:
        """The axes that shrink come first: the later products are smaller."""
        order = sorted(range(len(self.new)), key=lambda axis: self.new[axis] / self.old[axis])
        cubic = self.cubic or (False,) * len(self.new)
        pairs = zip(self.old, self.new, cubic, strict=True)
        matrices = [None if old == new else resampling(old, new, finer) for old, new, finer in pairs]
        return [(axis, matrix) for axis in order if (matrix := matrices[axis]) is not None]


def resampling(old: int, new: int, cubic: bool = False) -> sparse.csr_array:
    """`(new, old)`: what is done along an axis, with a cubic only where it gets finer."""
    if new < old:
        return averaging(old, new)
    return cubic_convolution(old, new) if cubic else interpolation(old, new)


def averaging(old: int, new: int) -> sparse.csr_array:
    """`(new, old)` for a coarser axis: the mean of the linear interpolation around each new centre.

    It is taken over old / new − 1 voxels: nothing is averaged where nothing changes, two voxels into one are their
    mean, and a ramp stays a ramp.
    """
    centres = (np.arange(new) + 0.5) * (old / new) - 0.5
    half = (old / new - 1) / 2  # the first mean begins at the first voxel's centre, the last ends at the last one's
    voxels = np.arange(old)
    shares = _hat_integral((centres + half)[:, None] - voxels) - _hat_integral((centres - half)[:, None] - voxels)
    return sparse.csr_array((shares / (2 * half)).astype(np.float32))


def _hat_integral(x: np.ndarray) -> np.ndarray:
    """∫ from −∞ to x of max(0, 1 − |t|)."""
    x = np.clip(x, -1, 1)
    return np.where(x < 0, np.square(x + 1) / 2, 1 - np.square(1 - x) / 2)


def cubic_convolution(old: int, new: int) -> sparse.csr_array:
    """`(new, old)` for a finer axis: Keys's kernel with a = −½ at the new centres; four voxels each."""
    at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    voxels = np.floor(at).astype(int)[:, None] + np.arange(-1, 3)
    away = np.abs(at[:, None] - voxels)
    near = (1.5 * away - 2.5) * np.square(away) + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    shares = np.where(away <= 1, near, np.where(away < 2, far, 0)).astype(np.float32)
    rows = np.repeat(np.arange(new), 4)
    return sparse.csr_array((shares.ravel(), (rows, np.clip(voxels, 0, old - 1).ravel())), shape=(new, old))
