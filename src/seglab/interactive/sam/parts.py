"""Layers that the encoders and the decoder share. A layer's name is what the published files call it."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


def dense(units: int, name: str) -> keras.layers.Layer:
    """A linear layer with a bias. It starts at zero, as all here: the numbers come from a file."""
    return layers.Dense(units, kernel_initializer="zeros", name=name)


def conv(
    channels: int, size: int, name: str, *, stride: int = 1, padding: str = "valid", bias: bool = True
) -> keras.layers.Layer:
    """A convolution of squares."""
    return layers.Conv2D(channels, size, stride, padding=padding, use_bias=bias, kernel_initializer="zeros", name=name)


def layer_norm(name: str, epsilon: float = 1e-6) -> keras.layers.Layer:
    """Normalisation over the channels of each token or pixel; it computes in float32 whatever the number format."""
    return layers.LayerNormalization(epsilon=epsilon, name=name)


def gelu(x: Any) -> Any:
    """The exact GELU, by the error function."""
    return ops.gelu(x, approximate=False)


class Part(layers.Layer):
    """A layer of layers, which make their weights when they are first called.

    Keras would otherwise run every layer of layers once only to see what is in it.
    """

    def build(self, *_: Any) -> None:
        return


class MLP(Part):
    """Two linear layers with an activation between them."""

    def __init__(
        self, hidden: int, channels: int, activation: Any, name: str, names: tuple[str, str] = ("lin1", "lin2")
    ):
        super().__init__(name=name)
        self.first, self.second = dense(hidden, names[0]), dense(channels, names[1])
        self.activation = activation

    def call(self, x: Any) -> Any:
        return self.second(self.activation(self.first(x)))


class Neck(Part):
    """From the encoder's channels to those of the embedding, with a look at each cell's neighbours."""

    def __init__(self, channels: int, name: str = "neck"):
        super().__init__(name=name)
        self.steps = [
            conv(channels, 1, "0", bias=False),
            layer_norm("1"),
            conv(channels, 3, "2", padding="same", bias=False),
            layer_norm("3"),
        ]

    def call(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return x


def windows(x: Any, side: int) -> Any:
    """`(B, H, W, C)` cut into squares: `(B * n, side, side, C)`; the last ones are filled with zeros."""
    height, width, channels = x.shape[1:]
    down, right = -height % side, -width % side
    x = ops.pad(x, ((0, 0), (0, down), (0, right), (0, 0))) if down or right else x
    rows, columns = (height + down) // side, (width + right) // side
    x = ops.reshape(x, (-1, rows, side, columns, side, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, side, side, channels))


def from_windows(x: Any, height: int, width: int) -> Any:
    """The reverse of `windows`: `(B, height, width, C)` without what was filled in."""
    side, channels = x.shape[1], x.shape[-1]
    rows, columns = -(-height // side), -(-width // side)
    x = ops.reshape(x, (-1, rows, columns, side, side, channels))
    x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, rows * side, columns * side, channels))
    return x[:, :height, :width]
