"""What a network would take, from its stages alone: enough to choose a patch by; what it really takes is measured.

The bytes of a step follow the pattern of a training step of a U-Net: of each stage two convolutions on the way down and
two on the way up, each with its normalised and its activated output, and what is joined and resampled between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from seglab.config.stages import PerAxis, per_axis

# Of the process before it trains: Python, TensorFlow and what it loads.
BASE_BYTES = 900_000_000
# Outputs of a stage, as many times its channels, that are held for the backward pass or in use during it.
TENSORS = 15.0
# Weight, gradient and two moments.
COPIES = 4
_FLOAT = 4
# Operations a second of two cores, in a training step of this size; only to choose a width by.
THROUGHPUT = 150e9


@dataclass(frozen=True)
class UNetStages:
    """A network of the U-Net kind.

    Attributes:
        widths: channels of each stage, finest first.
        strides: of each stage relative to the one before; 1 of the first.
        kernels: of each stage.
    """

    widths: tuple[int, ...]
    strides: tuple[PerAxis, ...]
    kernels: tuple[PerAxis, ...]

    @classmethod
    def halving(cls, depth: int, width: int) -> UNetStages:
        """Every axis halved `depth` times, twice as many channels each time."""
        return cls(tuple(width * 2**level for level in range(depth + 1)), (1,) + (2,) * depth, (3,) * (depth + 1))

    def voxels(self, size: Sequence[int]) -> list[float]:
        """Pixels or voxels at each stage."""
        sides, found = [float(n) for n in size], []
        for stride in self.strides:
            sides = [side / step for side, step in zip(sides, per_axis(stride, len(sides)), strict=True)]
            found.append(math.prod(sides))
        return found

    def weights(self, rank: int, channels: int) -> float:
        """Weights of the convolutions, about."""
        total, before = 0.0, channels
        for level, (width, kernel) in enumerate(zip(self.widths, self.kernels, strict=True)):
            volume = math.prod(per_axis(kernel, rank))
            total += volume * (before * width + width * width)
            if level < len(self.widths) - 1:
                total += volume * (width * (self.widths[level + 1] + width) + width * width)
            before = width
        return total

    def step_bytes(self, size: Sequence[int], batch: int, channels: int) -> float:
        """Memory of a process that trains it, about."""
        held = sum(n * width for n, width in zip(self.voxels(size), self.widths, strict=True))
        return BASE_BYTES + batch * held * TENSORS * _FLOAT + COPIES * _FLOAT * self.weights(len(size), channels)

    def step_operations(self, size: Sequence[int], batch: int, channels: int) -> float:
        """Operations of a training step, about: a multiply-add is two, backward costs twice the forward pass."""
        rank, before, total = len(size), channels, 0.0
        voxels = self.voxels(size)
        for level, (width, kernel) in enumerate(zip(self.widths, self.kernels, strict=True)):
            volume = math.prod(per_axis(kernel, rank))
            adds = before * width + width * width
            if level < len(self.widths) - 1:
                adds += width * (self.widths[level + 1] + width) + width * width
            total += voxels[level] * volume * adds
            before = width
        return 6 * batch * total
