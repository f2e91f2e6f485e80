"""Layers that TensorFlow's own kernels compute faster than Keras's, each equal to its plain formula.

Every layer has two paths: a fast one for the TensorFlow backend and the plain formula in Keras, which other backends
and cases that the kernels do not know use. Weights, configuration and results are the same on both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import keras
import numpy as np
from keras import ops

# dtypes that TensorFlow's fused normalisation takes, always with float32 parameters and statistics.
_FUSED_DTYPES = ("float32", "bfloat16", "float16")


@keras.saving.register_keras_serializable(package="seglab")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch normalisation (Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167) in one fused kernel.

    With the batch mean and the (biased) batch variance of each channel over all other axes

        y = gamma * (x - mean) / sqrt(variance + epsilon) + beta

    in training, and with the moving statistics in inference or while `trainable` is off. After each training call
    `moving = momentum * moving + (1 - momentum) * batch`, for the biased variance too, as in Keras's own layer.
    Parameters and statistics are float32 and sums run in float32, while input and output keep the compute dtype.

    Input and output `(B, *size, C)` of any rank. What the kernel does not know (another axis, no gamma or beta, masks,
    float64, synchronised or renormalised statistics) and other backends take Keras's path.

    Args:
        activation: applied to y. TensorFlow makes one kernel of normalisation and ReLU when nothing is between them; in
            3D a layer of its own would find a change of shape there.
        kwargs: those of `keras.layers.BatchNormalization`.
    """

    def __init__(self, *, activation: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None or not self._fits_kernel(inputs):
            y = super().call(inputs, training=training, mask=mask)
            return self.activation(ops.cast(y, self.compute_dtype))
        training = bool(training) and self.trainable
        # The kernel knows pictures only, and statistics run over all axes but the last: any view of the same data does.
        shape = ops.shape(inputs)
        x = ops.reshape(inputs, (shape[0], 1, -1, shape[-1])) if len(shape) != 4 else inputs
        y, mean, variance = self._kernel(x, training)
        y = self.activation(y)
        if training:
            count = ops.cast(ops.prod(ops.shape(x)[:-1]), "float32")
            self._move(self.moving_mean, mean)
            # The kernel hands out the unbiased variance.
            self._move(self.moving_variance, variance * ((count - 1) / count))
        return ops.reshape(y, shape) if len(shape) != 4 else y

    def _fits_kernel(self, inputs: Any) -> bool:
        rank = len(inputs.shape)
        return (
            keras.backend.backend() == "tensorflow"
            and keras.backend.standardize_dtype(inputs.dtype) in _FUSED_DTYPES
            and self.axis in (-1, rank - 1)
            and self.gamma is not None
            and self.beta is not None
            and not self.renorm
            and not self.synchronized
        )

    def _kernel(self, x: Any, training: bool) -> tuple[Any, Any, Any]:
        import tensorflow as tf

        gamma, beta, mean, variance = (
            ops.cast(weight, "float32") for weight in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        if training:
            mean = variance = tf.zeros([0])
        return tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=self.epsilon, is_training=training
        )[:3]

    def _move(self, moving: Any, batch: Any) -> None:
        moving.assign(moving * self.momentum + ops.cast(batch, moving.dtype) * (1.0 - self.momentum))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": keras.activations.serialize(self.activation)}


@keras.saving.register_keras_serializable(package="seglab")
class GroupNormalization(keras.layers.GroupNormalization):
    """Keras's group normalisation (Wu & He 2018, https://arxiv.org/abs/1803.08494) with means taken axis by axis.

    Of each case and group of channels `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`, in float32 or better.

    TensorFlow adds all values of a group in one row. Of a volume of 96³ voxels the sum then has an error that moves
    features by 1e-4; sums along one axis after another are as good as those of other runtimes, and as fast.

    Input and output `(B, *size, C)` of any rank; of another axis, or without gamma or beta, Keras's path is taken.
    """

    def call(self, inputs: Any) -> Any:
        rank = len(inputs.shape)
        if self.axis not in (-1, rank - 1) or self.gamma is None or self.beta is None:
            return super().call(inputs)
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        x = ops.reshape(x, (*ops.shape(x)[:-1], self.groups, x.shape[-1] // self.groups))
        axes = [*range(1, rank - 1), rank]
        x = x - _mean(x, axes)
        own = x.shape[-2:]
        scale = ops.rsqrt(_mean(ops.square(x), axes) + self.epsilon) * ops.reshape(ops.cast(self.gamma, x.dtype), own)
        y = x * scale + ops.reshape(ops.cast(self.beta, x.dtype), own)
        return ops.cast(ops.reshape(y, ops.shape(inputs)), self.compute_dtype)


def _mean(x: Any, axes: Sequence[int]) -> Any:
    for axis in axes:
        x = ops.mean(x, axis=axis, keepdims=True)
    return x


@keras.saving.register_keras_serializable(package="seglab")
class MaxPooling(keras.layers.Layer):
    """The maximum of each cell of 2 values along every spatial axis; an odd last row is dropped.

    Input `(B, *size, C)` of rank 2 or 3, output `(B, *(side // 2 for side in size), C)`.
    """

    def call(self, inputs: Any) -> Any:
        if self._lacks_kernel(inputs):
            # Exact: every float16 is a float32, and the maximum is one of them.
            return ops.cast(ops.max_pool(ops.cast(inputs, "float32"), 2, 2, padding="valid"), inputs.dtype)
        return ops.max_pool(inputs, 2, 2, padding="valid")

    def _lacks_kernel(self, inputs: Any) -> bool:
        """TensorFlow pools float16 volumes on a GPU only."""
        if keras.backend.backend() != "tensorflow" or len(inputs.shape) != 5:
            return False
        import tensorflow as tf

        return inputs.dtype == tf.float16 and not tf.config.list_physical_devices("GPU")

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        batch, *size, channels = input_shape
        return (batch, *(None if side is None else side // 2 for side in size), channels)


@keras.saving.register_keras_serializable(package="seglab")
class UpConcatConv(keras.layers.Layer):
    """A 3-wide convolution of the doubled low-resolution features joined to the skip, as a U-Net's decoder begins.

    Equal to `conv3(concatenate([nearest_upsampling(low), skip]))` with "same" padding, and with that convolution's one
    kernel `(3, ..., low channels + skip channels, filters)` as its weight. A convolution is linear in its input
    channels, so it is the sum of one on the doubled features and one on the skip. Doubling by repetition followed by a
    3-wide kernel is a transposed convolution with stride 2 whose 4-wide kernel is the flipped 3-wide one convolved with
    a box of two ones along each axis: 4 instead of 9 products for each output in 2D and 8 instead of 27 in 3D, and
    neither the doubled nor the joined features are ever made.

    Inputs `[low (B, *size, C1), skip (B, *(2 * size), C2)]` of rank 2 or 3, output `(B, *(2 * size), filters)`.

    Args:
        filters: channels of the output.
        use_bias: whether to add one number for each output channel.
        kernel_initializer: initializer of the whole kernel, so fans count low and skip channels together.
        bias_initializer: initializer of the bias.

    Raises:
        ValueError: the skip's sides are not twice those of the low-resolution features.
    """

    def __init__(
        self,
        filters: int,
        use_bias: bool = True,
        kernel_initializer: Any = "he_normal",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: Sequence[Sequence[Any]]) -> None:
        low, skip = input_shape
        if any(a is not None and b is not None and 2 * a != b for a, b in zip(low[1:-1], skip[1:-1], strict=True)):
            raise ValueError(f"the skip must be twice as large as the features below it: {tuple(low)}, {tuple(skip)}")
        rank = len(low) - 2
        # Cast by hand: the 4-wide kernel is made of sums of this one, which would lose bits in half precision.
        self.kernel = self.add_weight(
            shape=(3,) * rank + (low[-1] + skip[-1], self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
            autocast=False,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer=self.bias_initializer, name="bias")

    def call(self, inputs: Sequence[Any]) -> Any:
        low, skip = inputs
        path: Callable[[Any, Any], Any] = self._fast if keras.backend.backend() == "tensorflow" else self.plain
        y = path(low, skip)
        return y if self.bias is None else y + ops.cast(self.bias, y.dtype)

    def plain(self, low: Any, skip: Any) -> Any:
        """The definition, without bias: repeat, join, convolve."""
        x = low
        for axis in range(1, len(low.shape) - 1):
            x = ops.repeat(x, 2, axis=axis)
        kernel = ops.cast(self.kernel, low.dtype)
        return ops.conv(ops.concatenate([x, skip], axis=-1), kernel, padding="same")

    def _fast(self, low: Any, skip: Any) -> Any:
        import tensorflow as tf

        kernel = ops.convert_to_tensor(self.kernel)
        of_low, of_skip = tf.split(kernel, [low.shape[-1], skip.shape[-1]], axis=-2)
        shape = tf.concat([tf.shape(skip)[:-1], [self.filters]], axis=0)
        # Summed in float32, then rounded once.
        of_low = transposed_kernel(of_low, low.dtype)
        y = tf.nn.conv_transpose(low, of_low, shape, strides=2, padding="SAME")
        # Without the layout, the eager gradient of the 3D kernel fails.
        layout = {4: "NHWC", 5: "NDHWC"}[len(skip.shape)]
        return y + tf.nn.convolution(skip, tf.cast(of_skip, skip.dtype), padding="SAME", data_format=layout)

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
        return (*input_shape[1][:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def transposed_kernel(kernel: Any, dtype: Any) -> Any:
    """The 4-wide kernel of the transposed convolution with stride 2 that repeats each value twice, then convolves.

    Along one axis `[a, b, c]` becomes `[c, b + c, a + b, a]`: the flipped kernel convolved with `[1, 1]`.

    Args:
        kernel: `(3, ..., input channels, filters)`.
        dtype: dtype of the result; sums run in the kernel's own.

    Returns:
        `(4, ..., filters, input channels)`, the order of axes that transposed convolutions take.
    """
    rank = len(kernel.shape) - 2
    along = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
    # One product for all axes: the Kronecker power maps the 3**rank taps to 4**rank.
    taps = ops.convert_to_tensor(reduce(np.kron, [along] * rank), dtype=kernel.dtype)
    wide = ops.matmul(taps, ops.reshape(kernel, (3**rank, -1)))
    wide = ops.cast(ops.reshape(wide, (4**rank, *kernel.shape[-2:])), dtype)
    return ops.reshape(ops.swapaxes(wide, 1, 2), (4,) * rank + (kernel.shape[-1], kernel.shape[-2]))
