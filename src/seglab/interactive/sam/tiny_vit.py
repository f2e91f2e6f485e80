"""MobileSAM's image encoder: a stage of convolutions and three of attention in windows."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import layers, ops

from seglab.interactive.sam.parts import MLP, Neck, Part, dense, from_windows, gelu, layer_norm, windows
from seglab.interactive.sam.sam_variants import TinyViT

_EPSILON = 1e-5


class TinyViTEncoder(Part):
    """An image `(B, side, side, 3)`, normalised, to an embedding `(B, side / 16, side / 16, channels)`."""

    def __init__(self, sizes: TinyViT, channels: int, name: str = "image_encoder"):
        super().__init__(name=name)
        first, *_ = sizes.widths
        self.patch_embed = _Sequence(
            "patch_embed",
            [_Convolved(first // 2, 3, "seq.0", stride=2), gelu, _Convolved(first, 3, "seq.2", stride=2)],
        )
        self.stages = [_Stage(sizes, index) for index in range(4)]
        self.neck = Neck(channels)

    def call(self, image: Any) -> Any:
        x = self.patch_embed(image)
        for stage in self.stages:
            x = stage(x)
        return self.neck(x)


class _Sequence(Part):
    def __init__(self, name: str, steps: list[Callable[[Any], Any]]):
        super().__init__(name=name)
        self.steps = steps

    def call(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return x


class _Convolved(Part):
    """A convolution and the statistics that it was trained with; with `each`, every channel by itself."""

    def __init__(self, channels: int, size: int, name: str, *, stride: int = 1, each: bool = False):
        super().__init__(name=name)
        # A stride of 2 begins at the border: `same` would begin beside it.
        self.pad = layers.ZeroPadding2D(size // 2, name="pad") if stride > 1 else None
        padding = "valid" if stride > 1 else "same"
        if each:
            self.c: Any = layers.DepthwiseConv2D(
                size, stride, padding=padding, use_bias=False, depthwise_initializer="zeros", name="c"
            )
        else:
            self.c = layers.Conv2D(
                channels, size, stride, padding=padding, use_bias=False, kernel_initializer="zeros", name="c"
            )
        self.bn = layers.BatchNormalization(epsilon=_EPSILON, name="bn")

    def call(self, x: Any) -> Any:
        return self.bn(self.c(x if self.pad is None else self.pad(x)), training=False)


class _Stage(Part):
    """Blocks of one size, and the step to the next one."""

    def __init__(self, sizes: TinyViT, index: int):
        super().__init__(name=f"layers.{index}")
        width = sizes.widths[index]
        self.blocks: list[Any] = [
            _ConvBlock(width, f"blocks.{block}")
            if index == 0
            else _AttentionBlock(width, sizes.heads[index], sizes.windows[index], f"blocks.{block}")
            for block in range(sizes.depths[index])
        ]
        # The last step keeps the grid: the embedding has a cell for 16 pixels.
        self.downsample = _Merge(sizes.widths[index + 1], 1 if index == 2 else 2) if index < 3 else None

    def call(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class _Merge(Part):
    def __init__(self, width: int, stride: int):
        super().__init__(name="downsample")
        self.conv1, self.conv3 = _Convolved(width, 1, "conv1"), _Convolved(width, 1, "conv3")
        self.conv2 = _Convolved(width, 3, "conv2", stride=stride, each=True)

    def call(self, x: Any) -> Any:
        return self.conv3(gelu(self.conv2(gelu(self.conv1(x)))))


class _ConvBlock(Part):
    """Wider, each channel by itself, narrow again (Sandler et al. 2018, https://arxiv.org/abs/1801.04381)."""

    def __init__(self, width: int, name: str):
        super().__init__(name=name)
        self.conv1, self.conv3 = _Convolved(4 * width, 1, "conv1"), _Convolved(width, 1, "conv3")
        self.conv2 = _Convolved(4 * width, 3, "conv2", each=True)

    def call(self, x: Any) -> Any:
        return gelu(x + self.conv3(gelu(self.conv2(gelu(self.conv1(x))))))


class _AttentionBlock(Part):
    def __init__(self, width: int, heads: int, window: int, name: str):
        super().__init__(name=name)
        self.window = window
        self.attn = _Attention(width, heads, window)
        self.local_conv = _Convolved(width, 3, "local_conv", each=True)
        self.norm = layer_norm("mlp.norm", _EPSILON)
        self.mlp = MLP(4 * width, width, gelu, "mlp", ("fc1", "fc2"))

    def call(self, x: Any) -> Any:
        height, width, channels = x.shape[1:]
        # What fills the last windows is zero before it is normalised, unlike in the plain transformer.
        cut = ops.reshape(windows(x, self.window), (-1, self.window**2, channels))
        seen = ops.reshape(self.attn(cut), (-1, self.window, self.window, channels))
        x = self.local_conv(x + from_windows(seen, height, width))
        return x + self.mlp(self.norm(x))


class _Attention(Part):
    """Attention among the tokens of a window, with a learnt number for every distance."""

    def __init__(self, width: int, heads: int, window: int):
        super().__init__(name="attn")
        self.heads, self.each = heads, width // heads
        self.norm = layer_norm("norm", _EPSILON)
        self.qkv, self.proj = dense(3 * width, "qkv"), dense(width, "proj")
        self.distance, self.distances = _distances(window)

    def build(self, *_: Any) -> None:
        shape = (self.heads, self.distances)
        self.attention_biases = self.add_weight(shape=shape, initializer="zeros", name="attention_biases")

    def call(self, x: Any) -> Any:
        tokens = x.shape[1]
        qkv = ops.reshape(self.qkv(self.norm(x)), (-1, tokens, self.heads, 3 * self.each))
        query, key, value = ops.split(ops.transpose(qkv, (0, 2, 1, 3)), 3, axis=-1)
        scores = ops.matmul(query * self.each**-0.5, ops.swapaxes(key, -1, -2))
        scores = ops.cast(scores, "float32") + ops.take(self.attention_biases, self.distance, axis=1)
        found = ops.matmul(ops.cast(ops.softmax(scores), value.dtype), value)
        return self.proj(ops.reshape(ops.transpose(found, (0, 2, 1, 3)), (-1, tokens, self.heads * self.each)))


def _distances(window: int) -> tuple[np.ndarray, int]:
    """For each pair of tokens the number of their distance, and how many distances there are.

    They are numbered as they first come up, row by row: the file says nothing of their order.
    """
    places = list(itertools.product(range(window), repeat=2))
    numbers: dict[tuple[int, int], int] = {}
    for (top, left), (bottom, right) in itertools.product(places, repeat=2):
        numbers.setdefault((abs(top - bottom), abs(left - right)), len(numbers))
    pairs = [
        numbers[abs(top - bottom), abs(left - right)]
        for (top, left), (bottom, right) in itertools.product(places, repeat=2)
    ]
    return np.array(pairs).reshape(len(places), len(places)), len(numbers)
