"""ConvNeXt (Liu et al. 2022, https://arxiv.org/abs/2201.03545) to its features, with the weights of keras.applications.

There a stage's entry is a model within the model, and a convolution of each channel by itself a grouped one, which
TensorFlow trains on no CPU. Here it is the same network of plain layers, so that its stages can be spread by dilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from seglab.models.attention import Gelu

# Blocks of each stage and channels; the same for all variants but these.
BLOCKS = {"tiny": (3, 3, 9, 3), "small": (3, 3, 27, 3), "base": (3, 3, 27, 3)}
CHANNELS = {"tiny": (96, 192, 384, 768), "small": (96, 192, 384, 768), "base": (128, 256, 512, 1024)}
STRIDES = (4, 8, 16, 32)


@keras.saving.register_keras_serializable(package="seglab")
class LayerScale(keras.layers.Layer):
    """`gamma * x` with one number for each channel, 1e-6 at first (Touvron et al. 2021, CaiT)."""

    def build(self, input_shape: Sequence[Any]) -> None:
        self.gamma = self.add_weight(
            shape=(input_shape[-1],), initializer=keras.initializers.Constant(1e-6), name="gamma"
        )

    def call(self, inputs: Any) -> Any:
        return inputs * ops.cast(self.gamma, inputs.dtype)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(input_shape)


def convnext(variant: str, size: Sequence[int | None], output_stride: int = 32) -> keras.Model:
    """A model with random weights from `(*size, 3)` to what the four stages end with, at `STRIDES`.

    Args:
        variant: key of `BLOCKS`.
        size: of the image.
        output_stride: see `seglab.models.encoders.encode`.
    """
    image = keras.Input((*size, 3))
    x, features, name = image, [], f"convnext_{variant}"
    for stage, (stride, count, channels) in enumerate(zip(STRIDES, BLOCKS[variant], CHANNELS[variant], strict=True)):
        if stage == 0:
            x = layers.Conv2D(channels, 4, strides=4, name=f"{name}_stem_conv")(x)
            x = _norm(x, f"{name}_stem_layernorm")
        else:
            x = _norm(x, f"{name}_downsampling_layernorm_{stage - 1}")
            x = _coarser(x, channels, stride, output_stride, f"{name}_downsampling_conv_{stage - 1}")
        for block in range(count):
            x = _block(x, max(stride // output_stride, 1), f"{name}_stage_{stage}_block_{block}")
        features.append(x)
    return keras.Model(image, features, name=name)


def take_weights(mine: keras.Model, theirs: keras.Model) -> None:
    """Give a model of `convnext` the weights of the one of keras.applications."""
    known = {layer.name: layer.get_weights() for layer in theirs._flatten_layers() if layer.weights}
    for layer in mine.layers:
        if layer.weights:
            weights = known[layer.name]
            if isinstance(layer, layers.DepthwiseConv2D):
                weights[0] = np.swapaxes(weights[0], 2, 3)  # (7, 7, 1, C) of a grouped one
            layer.set_weights(weights)


def _norm(x: Any, name: str) -> Any:
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def _coarser(x: Any, channels: int, stride: int, output_stride: int, name: str) -> Any:
    """Halves the sides, or where they are to stay, sees what lies as far apart as it would."""
    if stride <= output_stride:
        return layers.Conv2D(channels, 2, strides=2, name=name)(x)
    own = stride // output_stride // 2
    return layers.Conv2D(channels, 2, padding="same", dilation_rate=own, name=name)(x)


def _block(x: Any, dilation: int, name: str) -> Any:
    channels = x.shape[-1]
    y = layers.DepthwiseConv2D(7, padding="same", dilation_rate=dilation, name=f"{name}_depthwise_conv")(x)
    y = _norm(y, f"{name}_layernorm")
    y = layers.Dense(4 * channels, name=f"{name}_pointwise_conv_1")(y)
    y = Gelu(name=f"{name}_gelu")(y)
    y = layers.Dense(channels, name=f"{name}_pointwise_conv_2")(y)
    return layers.Add(name=f"{name}_add")([x, LayerScale(name=f"{name}_layer_scale")(y)])
