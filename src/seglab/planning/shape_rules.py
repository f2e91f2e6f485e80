"""Rules for what a network sees: spacing, whole images or patches, and how coarse each axis may get."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seglab.data.preprocessing.spacing import ANISOTROPIC
from seglab.planning.cost import UNetStages
from seglab.planning.fingerprint import Fingerprint

# Spacings that differ by less are one.
SAME_SPACING = 0.02
# The coarse axis of thick slices: finer than most, so that little of the good cases is lost.
COARSE_PERCENTILE = 10
# No axis is halved below so many positions, as in nnU-Net.
FEWEST_POSITIONS = 4
DEEPEST = {2: 6, 3: 5}
WIDEST = {2: 512, 3: 320}
# Sides of an image that is still taken whole.
WHOLE_IMAGE = 512
# Axes whose steps differ by more are not halved together, nor joined by one kernel.
STEPS_APART = 2.0
SIDES_APART = 3.0


@dataclass(frozen=True)
class Topology:
    """Stages of a network, and what each side of its input is a multiple of."""

    stages: UNetStages
    multiple: tuple[int, ...]

    @property
    def isotropic(self) -> bool:
        """Whether every axis is treated alike."""
        return all(isinstance(one, int) for one in (*self.stages.strides, *self.stages.kernels))


def target_spacing(fingerprint: Fingerprint) -> tuple[list[float] | None, str]:
    """The spacing that volumes are brought to, and why."""
    if fingerprint.rank == 2:
        return None, "pixels of images are taken as they are"
    spacings = np.array(fingerprint.spacings)
    median = np.median(spacings, axis=0)
    if np.all(np.abs(spacings / median - 1) <= SAME_SPACING):
        return None, f"all voxels measure {_by(median)} mm already"
    target = median.copy()
    coarse = int(np.argmax(median))
    others = [n for axis, n in enumerate(fingerprint.median_shape) if axis != coarse]
    thick = median[coarse] >= ANISOTROPIC * min(median) and fingerprint.median_shape[coarse] < min(others)
    why = f"the median of {len(spacings)} training cases, whose voxels differ in size"
    if thick:
        target[coarse] = np.percentile(spacings[:, coarse], COARSE_PERCENTILE)
        why += f"; along the thick slices the {COARSE_PERCENTILE}% percentile, so that thin ones keep their detail"
    return [float(f"{step:.3g}") for step in target], why


def shapes_at(fingerprint: Fingerprint, spacing: Sequence[float] | None) -> np.ndarray:
    """Shapes of the training cases at a spacing, a row each."""
    shapes = np.array(fingerprint.shapes, float)
    if spacing is not None:
        shapes = np.maximum(np.round(shapes * np.array(fingerprint.spacings) / np.array(spacing)), 1)
    return shapes


def steps_at(fingerprint: Fingerprint, spacing: Sequence[float] | None) -> tuple[float, ...]:
    """Size of a voxel along each axis as the network sees it; pixels of images are square."""
    if fingerprint.rank == 2:
        return (1.0, 1.0)
    return tuple(float(n) for n in (spacing or np.median(fingerprint.spacings, axis=0)))


def network_for(size: Sequence[int], steps: Sequence[float], width: int) -> Topology:
    """Stages for an input: an axis is halved while it keeps `FEWEST_POSITIONS`, coarse axes only once the others have
    caught up with them; a kernel is 1 wide along an axis whose step is more than twice the finest.

    Args:
        size: of the input; a side of 1 is never halved and has kernels of 1.
        steps: of a voxel along each axis.
        width: channels of the first stage.
    """
    rank, sides, now = len(size), [int(n) for n in size], [float(n) for n in steps]
    # Axes of like steps and lengths are halved together, as the plain U-Net does.
    alike = min(size) > 1 and max(steps) < STEPS_APART * min(steps)
    together = alike and max(size) < SIDES_APART * min(size)
    strides: list[Any] = [1]
    joined = _joined(size, now)
    kernels: list[Any] = [[3 if one else 1 for one in joined]]
    for _ in range(DEEPEST[rank]):
        halved = [axis for axis in range(rank) if sides[axis] >= 2 * FEWEST_POSITIONS]
        if not halved or (together and (len(halved) < rank or width * 2 ** len(strides) > WIDEST[rank])):
            break
        finest = min(now[axis] for axis in halved)
        stride = [2 if axis in halved and now[axis] < STEPS_APART * finest else 1 for axis in range(rank)]
        sides = [-(-side // step) for side, step in zip(sides, stride, strict=True)]
        now = [step * by for step, by in zip(now, stride, strict=True)]
        # An axis that was joined once stays so: others that can be halved no more are finer only by that.
        joined = [before or after for before, after in zip(joined, _joined(size, now), strict=True)]
        strides.append(stride)
        kernels.append([3 if one else 1 for one in joined])
    multiple = tuple(math.prod(stride[axis] for stride in strides[1:]) for axis in range(rank))
    widths = tuple(min(width * 2**level, WIDEST[rank]) for level in range(len(strides)))
    return Topology(UNetStages(widths, tuple(map(_one, strides)), tuple(map(_one, kernels))), multiple)


def _joined(size: Sequence[int], steps: Sequence[float]) -> list[bool]:
    """Of each axis whether a kernel reaches along it."""
    finest = min((step for step, side in zip(steps, size, strict=True) if side > 1), default=1.0)
    return [side > 1 and step <= STEPS_APART * finest for side, step in zip(size, steps, strict=True)]


def _one(values: Any) -> Any:
    """One number for equal ones."""
    if isinstance(values, int):
        return values
    return values[0] if len(set(values)) == 1 else tuple(values)


def fitted(sides: Sequence[float], multiple: Sequence[int]) -> list[int]:
    """Sides rounded up to multiples."""
    return [max(-(-int(side) // each), 1) * each for side, each in zip(sides, multiple, strict=True)]


def largest_fitting(
    whole: Sequence[float],
    steps: Sequence[float],
    width: int,
    batch: int,
    channels: int,
    room: float,
    most: float = math.inf,
) -> list[int]:
    """The largest input that a training step has room for: `whole`, and while that is too much, smaller along the axis
    that covers the most of it.

    Args:
        whole: of which as much as possible is to be seen.
        steps: of a voxel.
        width, batch, channels: of the network and its batches.
        room: bytes.
        most: pixels or voxels.
    """
    sides = [float(n) for n in whole]
    while True:
        network = network_for([int(n) for n in sides], steps, width)
        size = fitted(sides, network.multiple)
        if network.stages.step_bytes(size, batch, channels) <= room and math.prod(size) <= most:
            return size
        covered = [side / full if side > 2 * FEWEST_POSITIONS else 0.0 for side, full in zip(sides, whole, strict=True)]
        axis = max(range(len(sides)), key=lambda at: (covered[at], sides[at] * steps[at]))
        if covered[axis] == 0:
            return size
        step = max(network.multiple[axis], 1)
        sides[axis] = max(size[axis] - step, 2 * FEWEST_POSITIONS)


def coverage(size: Sequence[int], whole: Sequence[float]) -> float:
    """Share of the median image that an input covers."""
    return math.prod(min(n / full, 1.0) for n, full in zip(size, whole, strict=True))


def _by(numbers: Sequence[float]) -> str:
    return " × ".join(f"{n:.3g}" for n in numbers)
