"""What transformers are made of, on grids of any rank: attention, normalisation, the two-layer network after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops


def linear_init() -> keras.initializers.Initializer:
    """A new one for each kernel: an initializer draws its seed when it is made, and gives what has one shape alike."""
    return keras.initializers.TruncatedNormal(stddev=0.02)


@keras.saving.register_keras_serializable(package="seglab")
class ScaledAttention(keras.layers.Layer):
    """Attention of several heads (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762), without weights of its own.

    For each head, on its share of the channels, `softmax(q k' / sqrt(channels of the head)) v`. Positions are those of
    grids, which may differ between queries and the rest. The softmax runs in float32 whatever the dtype.

    Inputs `[queries (B, *grid, C), keys (B, *other, C), values (B, *other, C)]`, output `(B, *grid, C)`.

    Args:
        heads: divides C.
    """

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape: Sequence[Sequence[Any]]) -> None:
        self._pairs = math.prod(input_shape[0][1:-1]) * math.prod(input_shape[1][1:-1])
        self._channels = input_shape[0][-1]

    def call(self, inputs: Sequence[Any]) -> Any:
        queries, keys, values = (_in_heads(x, self.heads) for x in inputs)
        found = attend(queries * queries.shape[-1] ** -0.5, keys, values)
        return ops.reshape(ops.transpose(found, (0, 2, 1, 3)), (-1, *inputs[0].shape[1:]))

    def multiply_adds(self) -> int:
        """Of one input: a product for each pair of positions and channel, for the scores and for the sum."""
        return 2 * self._pairs * self._channels

    def inner_bytes(self) -> int:
        """What the backward pass keeps of one input beside the output: the weight of each pair, in each head."""
        return attention_bytes(self._pairs * self.heads, self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable(package="seglab")
class Gelu(keras.layers.Layer):
    """`x` times the normal distribution function of `x`, by `erf`: ONNX lacks the `erfc` of Keras."""

    def call(self, inputs: Any) -> Any:
        return 0.5 * inputs * (1 + ops.erf(inputs * 2**-0.5))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)


def attend(queries: Any, keys: Any, values: Any, bias: Any | None = None) -> Any:
    """`softmax(q k' + bias) v` over the last two axes of `(..., positions, d)`; the softmax in float32."""
    scores = ops.cast(ops.matmul(queries, ops.swapaxes(keys, -1, -2)), "float32")
    if bias is not None:
        scores = scores + bias
    return ops.matmul(ops.cast(ops.softmax(scores), values.dtype), values)


def attention_bytes(weights: int, dtype: str) -> int:
    """Bytes of so many attention weights as the backward pass needs them: in float32, and as they were multiplied."""
    return weights * (4 if dtype == "float32" else 4 + 2)


def _in_heads(x: Any, heads: int) -> Any:
    """`(B, *grid, C)` to `(B, heads, positions, C / heads)`."""
    positions = math.prod(x.shape[1:-1])
    return ops.transpose(ops.reshape(x, (-1, positions, heads, x.shape[-1] // heads)), (0, 2, 1, 3))


def linear(x: Any, filters: int, name: str, *, bias: bool = True) -> Any:
    """The same linear map of the channels at every position."""
    return layers.Dense(filters, use_bias=bias, kernel_initializer=linear_init(), name=name)(x)


def layer_norm(x: Any, name: str) -> Any:
    """Zero mean and unit variance over the channels of each position, scaled and moved (Ba et al. 2016)."""
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def mlp(x: Any, factor: int, name: str) -> Any:
    """Two linear maps with a GELU between, which has `factor` times the channels."""
    channels = x.shape[-1]
    x = Gelu(name=f"{name}_gelu")(linear(x, factor * channels, f"{name}_1"))
    return linear(x, channels, f"{name}_2")


def add_residual(x: Any, change: Any, drop_path: float, name: str) -> Any:
    """`x + change`; while training the change is left out for a share `drop_path` of the images (Huang et al. 2016)."""
    if drop_path:
        everywhere = (None, *(1 for _ in x.shape[1:]))
        change = layers.Dropout(drop_path, noise_shape=everywhere, name=f"{name}_drop_path")(change)
    return layers.Add(name=name)([x, change])
