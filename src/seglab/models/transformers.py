"""U-shaped networks with a transformer as their encoder: UNETR and Swin UNETR, for volumes and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import layers

from seglab.config.cross_checks import check_encoder_weights
from seglab.config.stages import check_heads, check_swin
from seglab.config.types import DecayRate, NonNegativeInt, Place, PositiveInt
from seglab.models import blocks
from seglab.models.attention import ScaledAttention, add_residual, layer_norm, linear, linear_init, mlp
from seglab.models.blocks import Style
from seglab.models.network import Network, model_input
from seglab.models.own_encoder import encoded
from seglab.models.swin import swin_features
from seglab.models.unet import outputs
from seglab.task import Task


def unetr(
    task: Task,
    size: tuple[int, ...],
    *,
    width: PositiveInt = 16,
    hidden: PositiveInt = 768,
    depth: PositiveInt = 12,
    heads: PositiveInt = 12,
    weights: Place | None = None,
    freeze_epochs: NonNegativeInt = 0,
    norm: Literal["batch", "instance", "group", "none"] = "instance",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "leaky_relu",
    drop_path: DecayRate = 0.0,
    deep_supervision: bool = False,
) -> Network:
    """UNETR (Hatamizadeh et al. 2022, https://arxiv.org/abs/2103.10504).

    The encoder is a plain vision transformer (Dosovitskiy et al. 2021) on patches of 16 a side, of the size of ViT-B.
    What it knows after a quarter, a half and three quarters of its blocks is doubled by transposed convolutions to
    strides 2, 4 and 8, and joined to the decoder there. A position's embedding belongs to its place: weights fit one
    input size alone.

    Args:
        task: rank, channels and classes.
        size: spatial size of the input; every side a multiple of 16.
        width: channels of the decoder at full resolution; each halving doubles them.
        hidden: channels of the transformer.
        depth: its blocks.
        heads: of its attention, a divisor of `hidden`.
        weights: a file of encoder weights, see `seglab.models.own_encoder.encoded`, or None.
        freeze_epochs: for how many epochs training holds the encoder fixed.
        norm, activation: of the decoder, see `seglab.models.blocks.Style`.
        drop_path: share of the images for which the last block is left out while training; earlier ones less.
        deep_supervision: also return the logits of each coarser level of the decoder, see `Network`.

    Returns:
        A model from `(B, *size, C)` float32 to logits `(B, *size, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that is no multiple of 16, heads that do not divide the channels, weights that do not fit,
            frozen random weights.
    """
    check_encoder_weights(weights, freeze_epochs, published=False)
    check_heads([hidden], [heads])
    style = Style(norm, activation)
    image = model_input(task, size, 16)
    *early, x = encoded(image, lambda y: _vision_transformer(y, hidden, depth, heads, drop_path), weights)
    skips = [blocks.basic_block(image, width, style, "skip0")]
    for level, features in enumerate(early, start=1):
        skips.append(_brought_up(features, width * 2**level, 4 - level, style, f"skip{level}"))
    levels = _decoder(x, skips, [width * 2**level for level in range(4)], style)
    return Network(
        image,
        outputs(levels, task, deep_supervision),
        name="unetr",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
        ignore_label=task.ignore_label,
    )


def swin_unetr(
    task: Task,
    size: tuple[int, ...],
    *,
    width: PositiveInt = 48,
    depths: Sequence[PositiveInt] = (2, 2, 2, 2),
    heads: Sequence[PositiveInt] = (3, 6, 12, 24),
    window: PositiveInt = 7,
    weights: Place | None = None,
    freeze_epochs: NonNegativeInt = 0,
    norm: Literal["batch", "instance", "group", "none"] = "instance",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "leaky_relu",
    drop_path: DecayRate = 0.0,
    deep_supervision: bool = False,
) -> Network:
    """Swin UNETR (Hatamizadeh et al. 2022, https://arxiv.org/abs/2201.01266).

    The encoder is a Swin transformer on patches of 2 a side, whose stages end at strides 4 to 32. Its features pass a
    residual block each (but those at stride 16) and are joined to a decoder of transposed convolutions and residual
    blocks.

    Args:
        task: rank, channels and classes.
        size: spatial size of the input; every side a multiple of 32.
        width: channels at strides 1 and 2; each further halving doubles them.
        depths: blocks of each of the four stages.
        heads: of each stage, divisors of its channels.
        window: side of the windows within which positions see one another.
        weights: a file of encoder weights, see `seglab.models.own_encoder.encoded`, or None.
        freeze_epochs: for how many epochs training holds the encoder fixed.
        norm, activation: of the decoder, see `seglab.models.blocks.Style`.
        drop_path: share of the images for which the last block is left out while training; earlier ones less.
        deep_supervision: also return the logits of each coarser level of the decoder, see `Network`.

    Returns:
        A model from `(B, *size, C)` float32 to logits `(B, *size, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that is no multiple of 32, stages or heads that do not fit, weights that do not fit, frozen
            random weights.
    """
    check_encoder_weights(weights, freeze_epochs, published=False)
    check_swin(width, depths, heads)
    style = Style(norm, activation)
    image = model_input(task, size, 32)
    features = encoded(image, lambda y: swin_features(y, width, depths, heads, window, drop_path), weights)
    *fine, stride16, coarsest = features
    skips = [blocks.basic_block(image, width, style, "skip0")]
    skips += [blocks.basic_block(x, x.shape[-1], style, f"skip{i}") for i, x in enumerate(fine, start=1)]
    skips.append(stride16)
    x = blocks.basic_block(coarsest, coarsest.shape[-1], style, "bottleneck")
    levels = _decoder(x, skips, [skip.shape[-1] for skip in skips], style)
    return Network(
        image,
        outputs(levels, task, deep_supervision),
        name="swin_unetr",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
        ignore_label=task.ignore_label,
    )


@keras.saving.register_keras_serializable(package="seglab")
class PlaceEmbedding(keras.layers.Layer):
    """Adds to each position of a grid `(B, *grid, C)` what was learnt of its place."""

    def build(self, input_shape: Sequence[Any]) -> None:
        self.places = self.add_weight(shape=(1, *input_shape[1:]), initializer=linear_init(), name="places")

    def call(self, inputs: Any) -> Any:
        return inputs + self.places


def _vision_transformer(x: Any, hidden: int, depth: int, heads: int, drop_path: float) -> list[Any]:
    """Features at stride 16 after a quarter, a half, three quarters and all of the blocks."""
    patches = getattr(layers, f"Conv{len(x.shape) - 2}D")
    x = patches(hidden, 16, strides=16, kernel_initializer=linear_init(), name="patches_conv")(x)
    x = PlaceEmbedding(name="places")(x)
    taken = {}
    for i in range(depth):
        name, dropped = f"block{i}", drop_path * i / max(depth - 1, 1)
        y = layer_norm(x, f"{name}_attention_norm")
        parts = [linear(y, hidden, f"{name}_{part}", bias=False) for part in ("queries", "keys", "values")]
        y = ScaledAttention(heads, name=f"{name}_attention")(parts)
        x = add_residual(x, linear(y, hidden, f"{name}_attention_out"), dropped, f"{name}_attention_add")
        x = add_residual(x, mlp(layer_norm(x, f"{name}_mlp_norm"), 4, f"{name}_mlp"), dropped, f"{name}_mlp_add")
        taken[i + 1] = x
    quarters = [taken[max(round(depth * part / 4), 1)] for part in (1, 2, 3)]
    return [*quarters, layer_norm(x, "norm")]


def _brought_up(x: Any, filters: int, doublings: int, style: Style, name: str) -> Any:
    """Doubled by transposed convolutions, a residual block after each but the first."""
    for i in range(doublings):
        x = blocks.upsample(x, filters, Style(upsampling="transpose"), f"{name}_{i}", bias=False)
        if i:
            x = blocks.basic_block(x, filters, style, f"{name}_{i}")
    return x


def _decoder(x: Any, skips: Sequence[Any], widths: Sequence[int], style: Style) -> list[Any]:
    """Features of every level, finest first: transposed convolution, joined skip, residual block."""
    levels: list[Any] = []
    for level in reversed(range(len(skips))):
        name = f"decoder{level}"
        x = blocks.upsample(x, widths[level], Style(upsampling="transpose"), name, bias=False)
        x = layers.Concatenate(name=f"{name}_join")([x, skips[level]])
        x = blocks.basic_block(x, widths[level], style, name)
        levels.insert(0, x)
    return levels
