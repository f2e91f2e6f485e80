"""Dilated convolutions as dense ones, the taps that can meet the image over each dilation's phases; dilated pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def dilated(inputs: Any, kernel: Any, dilation: Sequence[int]) -> Any:
    """Convolution of stride 1 that keeps the size, with zeros around and `dilation` between the taps.

    Two identities make dense convolutions of it. A tap further from the middle than the image is long meets nothing but
    zeros (Chen et al. 2017, https://arxiv.org/abs/1706.05587, section 3.3), so it is left out. And positions that are
    alike modulo the dilation see one another alone: each such phase is an image of its own, convolved without dilation
    (space to batch). On a CPU TensorFlow's own kernels take several times as long; on a GPU, and with other backends,
    the phases are not taken apart.

    Args:
        inputs: `(B, *size, C)` of rank 2 or 3, of a known size.
        kernel: `(*odd widths, C, F)`, or `(*odd widths, C / groups, F)`.
        dilation: of each spatial axis.
    """
    size = [int(side) for side in inputs.shape[1:-1]]
    kept = []
    for axis, (side, step) in enumerate(zip(size, dilation, strict=True)):
        reach = kernel.shape[axis] // 2
        near = min(reach, (side - 1) // step)
        kept.append(slice(reach - near, reach + near + 1))
    kernel = kernel[tuple(kept)]
    steps = [step if width > 1 else 1 for step, width in zip(dilation, kernel.shape[:-2], strict=True)]
    if math.prod(steps) == 1 or not _dilation_is_slow():
        return ops.conv(inputs, kernel, padding="same", dilation_rate=steps)
    return _joined(ops.conv(_phases(inputs, size, steps), kernel, padding="same"), size, steps)


def _phases(x: Any, size: Sequence[int], steps: Sequence[int]) -> Any:
    """`(B, *size, C)` to `(steps x B, *rounded-up size / steps, C)`: every phase an image of the batch."""
    rank, channels = len(size), x.shape[-1]
    rows = [math.ceil(side / step) for side, step in zip(size, steps, strict=True)]
    padding = [(0, row * step - side) for row, step, side in zip(rows, steps, size, strict=True)]
    x = ops.pad(x, [(0, 0), *padding, (0, 0)])
    x = ops.reshape(x, (-1, *(length for pair in zip(rows, steps, strict=True) for length in pair), channels))
    x = ops.transpose(x, [*range(2, 2 * rank + 1, 2), 0, *range(1, 2 * rank + 1, 2), 2 * rank + 1])
    return ops.reshape(x, (-1, *rows, channels))


def _joined(x: Any, size: Sequence[int], steps: Sequence[int]) -> Any:
    """The reverse of `_phases`, without the rows that filled the size up."""
    rank, rows, channels = len(size), x.shape[1:-1], x.shape[-1]
    x = ops.reshape(x, (*steps, -1, *rows, channels))
    x = ops.transpose(x, [rank, *(place for a in range(rank) for place in (rank + 1 + a, a)), 2 * rank + 1])
    x = ops.reshape(x, (-1, *(row * step for row, step in zip(rows, steps, strict=True)), channels))
    return x[(slice(None), *(slice(side) for side in size))]


def _dilation_is_slow() -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


class _Dilated:
    """Keras's convolution with `dilated` in place of its operation where that applies."""

    padding: str
    strides: Sequence[int]
    data_format: str
    kernel_size: Sequence[int]
    dilation_rate: Sequence[int]

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """The convolution without bias and activation."""
        fits = self.padding == "same" and set(self.strides) == {1}
        fits &= self.data_format == "channels_last" and all(width % 2 for width in self.kernel_size)
        if fits and None not in inputs.shape[1:]:
            return dilated(inputs, kernel, self.dilation_rate)
        return super().convolution_op(inputs, kernel)  # type: ignore[misc]


@keras.saving.register_keras_serializable(package="seglab")
class DilatedConv2D(_Dilated, keras.layers.Conv2D):
    """`keras.layers.Conv2D` by `dilated`; same arguments, weights and results."""


@keras.saving.register_keras_serializable(package="seglab")
class DilatedConv3D(_Dilated, keras.layers.Conv3D):
    """`keras.layers.Conv3D` by `dilated`; same arguments, weights and results."""


@keras.saving.register_keras_serializable(package="seglab")
class DilatedMaxPooling2D(keras.layers.Layer):
    """The largest of pixels that lie `dilation` apart: pooling of stride 2 on a grid that was not made coarser.

    The window begins at its own pixel, as that of a strided pooling does on a grid that its stride divides, and what
    lies beyond the image is left out. Keeps the size; Keras's pooling knows no dilation.

    Args:
        pool_size: pixels along each axis.
        dilation: how far apart they lie.
    """

    def __init__(self, pool_size: Sequence[int], dilation: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.pool_size, self.dilation = tuple(pool_size), tuple(dilation)

    def call(self, inputs: Any) -> Any:
        x = inputs
        for axis, (width, step) in enumerate(zip(self.pool_size, self.dilation, strict=True), start=1):
            first, side = x, int(x.shape[axis])
            for tap in range(1, width):
                away = min(tap * step, side)
                # Where the tap lies beyond the image, its own pixel stands for it.
                moved = [(slice(None),) * axis + (part,) for part in (slice(away, None), slice(side - away, None))]
                x = ops.maximum(x, ops.concatenate([first[place] for place in moved], axis=axis))
        return x

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size, "dilation": self.dilation}
