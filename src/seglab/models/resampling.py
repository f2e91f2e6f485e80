"""Changes of resolution by linear maps along each axis: any rank, any dtype, any backend, differentiable.

Written as shifts and matrix products and not with an image-resizing kernel: those know two axes only, have no
half-precision gradient everywhere, and neither XLA nor deterministic GPU mode accepts all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="seglab")
class LinearUpsampling(keras.layers.Layer):
    """Linear interpolation (bilinear in 2D, trilinear in 3D) by a whole factor along every spatial axis.

    Samples sit at the centres of their cells, and edges are extended by their own value, as in common resizing
    routines ("half-pixel centres"): the output at position `i` is read at `(i + 0.5) / factor - 0.5`.

    Input `(B, *size, C)` of any rank, output `(B, *(factor * size), C)`; sizes must be known when the layer is built.
    """

    def __init__(self, factor: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        x = inputs
        for axis in range(1, len(inputs.shape) - 1):
            x = self._along(x, axis)
        return x

    def _along(self, x: Any, axis: int) -> Any:
        shape = x.shape
        before = ops.concatenate([_part(x, axis, slice(0, 1)), _part(x, axis, slice(0, -1))], axis=axis)
        after = ops.concatenate([_part(x, axis, slice(1, None)), _part(x, axis, slice(-1, None))], axis=axis)
        phases = []
        for phase in range(self.factor):
            offset = (phase + 0.5) / self.factor - 0.5
            neighbour = before if offset < 0 else after
            phases.append(x * (1 - abs(offset)) + neighbour * abs(offset))
        stacked = ops.stack(phases, axis=axis + 1)
        return ops.reshape(stacked, (-1, *shape[1:axis], shape[axis] * self.factor, *shape[axis + 1 :]))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        batch, *size, channels = input_shape
        return (batch, *(side * self.factor if side else None for side in size), channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable(package="seglab")
class Resampling(keras.layers.Layer):
    """Maps a grid to a grid of any other size.

    Input `(B, *old, C)`, output `(B, *size, C)`.

    Args:
        size: sides of the output.
        mode: `average`: each output cell is the mean of the input cells that it touches, from `floor(i * old / new)` up
            to `ceil((i + 1) * old / new)`; `linear`: interpolation as in `LinearUpsampling`.
    """

    def __init__(self, size: Sequence[int], mode: Literal["average", "linear"], **kwargs: Any):
        super().__init__(**kwargs)
        self.size = tuple(size)
        self.mode = mode

    def call(self, inputs: Any) -> Any:
        x = inputs
        matrix_of = {"average": averaging_matrix, "linear": interpolation_matrix}[self.mode]
        for axis, new in enumerate(self.size, start=1):
            matrix = ops.cast(ops.convert_to_tensor(matrix_of(x.shape[axis], new)), x.dtype)
            x = ops.moveaxis(ops.tensordot(x, matrix, axes=[[axis], [1]]), -1, axis)
        return x

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": list(self.size), "mode": self.mode}


def averaging_matrix(old: int, new: int) -> np.ndarray:
    """`(new, old)` float32: row i averages the input cells that output cell i touches."""
    matrix = np.zeros((new, old), "float32")
    for i in range(new):
        first, end = (i * old) // new, -((-(i + 1) * old) // new)
        matrix[i, first:end] = 1 / (end - first)
    return matrix


def interpolation_matrix(old: int, new: int) -> np.ndarray:
    """`(new, old)` float32: row i reads the input at `(i + 0.5) * old / new - 0.5`, kept within its ends."""
    matrix = np.zeros((new, old), "float32")
    for i in range(new):
        position = min(max((i + 0.5) * old / new - 0.5, 0), old - 1)
        below = min(int(position), max(old - 2, 0))
        share = position - below
        matrix[i, below] += 1 - share
        matrix[i, min(below + 1, old - 1)] += share
    return matrix


def _part(x: Any, axis: int, part: slice) -> Any:
    return x[(slice(None),) * axis + (part,)]
