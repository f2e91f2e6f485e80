"""SegFormer: a transformer that sees the image on four scales, and a head of linear maps alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from keras import layers

from seglab.config.cross_checks import check_encoder_weights
from seglab.config.types import DecayRate, NonNegativeInt, Place
from seglab.models import blocks
from seglab.models.attention import Gelu, ScaledAttention, add_residual, layer_norm, linear
from seglab.models.blocks import Style
from seglab.models.network import Network, full_size_logits, model_input
from seglab.models.own_encoder import encoded
from seglab.models.resampling import LinearUpsampling
from seglab.task import Task


@dataclass(frozen=True)
class SegFormerSizes:
    """Sizes of a SegFormer: channels and blocks of each stage, channels of the head."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    head: int


_WIDE = (64, 128, 320, 512)
VARIANTS = {
    "b0": SegFormerSizes((32, 64, 160, 256), (2, 2, 2, 2), 256),
    "b1": SegFormerSizes(_WIDE, (2, 2, 2, 2), 256),
    "b2": SegFormerSizes(_WIDE, (3, 4, 6, 3), 768),
    "b3": SegFormerSizes(_WIDE, (3, 4, 18, 3), 768),
    "b4": SegFormerSizes(_WIDE, (3, 8, 27, 3), 768),
    "b5": SegFormerSizes(_WIDE, (3, 6, 40, 3), 768),
}
# Of each stage: what its patches are apart, how much coarser keys and values are than queries, heads.
STRIDES, REDUCTIONS, HEADS = (4, 2, 2, 2), (8, 4, 2, 1), (1, 2, 5, 8)


def segformer(
    task: Task,
    size: tuple[int, ...],
    *,
    variant: Literal["b0", "b1", "b2", "b3", "b4", "b5"] = "b0",
    weights: Place | None = None,
    freeze_epochs: NonNegativeInt = 0,
    dropout: DecayRate = 0.1,
    drop_path: DecayRate = 0.1,
) -> Network:
    """SegFormer (Xie et al. 2021, https://arxiv.org/abs/2105.15203).

    The encoder (MiT) has four stages at strides 4 to 32: overlapping patches by a strided convolution, then blocks of
    attention and of two linear maps with a 3-wide depthwise convolution between, which tells where a position lies.
    Keys and values are 8, 4, 2 and 1 times coarser than queries, so that a stage keeps `heads * positions**2 / 64`
    weights at most and not `positions**2`. The head brings each stage to the same channels, doubles it to stride 4 and
    adds all: the 1-wide convolution of the joined stages commutes with interpolation and is computed on each alone.

    Args:
        task: 2D; any number of channels and classes.
        size: `(H, W)`, multiples of 32.
        variant: b0 to b5, from 3.8 to 84.7 million weights with the 150 classes of the paper.
        weights: a file of encoder weights, see `seglab.models.own_encoder.encoded`, or None.
        freeze_epochs: for how many epochs training holds the encoder fixed.
        dropout: share of the head's feature maps dropped while training.
        drop_path: share of the images for which the last block is left out while training; earlier ones less.

    Returns:
        A model from `(B, H, W, C)` float32 to logits `(B, H, W, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that is no multiple of 32, weights that do not fit, frozen random weights.
    """
    check_encoder_weights(weights, freeze_epochs, published=False)
    sizes = VARIANTS[variant]
    image = model_input(task, size, 32)
    features = encoded(image, lambda x: _mix_transformer(x, sizes, drop_path), weights)
    parts = []
    for i, x in enumerate(features):
        x = linear(x, sizes.head, f"head{i}_linear")
        x = blocks.plain(x, sizes.head, f"head{i}_fuse", kernel=1, bias=False)
        parts.append(LinearUpsampling(2**i, name=f"head{i}_up")(x) if i else x)
    style = Style(dropout=dropout)
    x = blocks.finish(layers.Add(name="head_add")(parts), style, "head")
    x = blocks.dropout(x, style, "head")
    return Network(
        image,
        full_size_logits(x, 4, task),
        name=f"segformer_{variant}",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
        ignore_label=task.ignore_label,
    )


def _mix_transformer(x: Any, sizes: SegFormerSizes, drop_path: float) -> list[Any]:
    features, done, last = [], 0, max(sum(sizes.depths) - 1, 1)
    for stage, (width, depth) in enumerate(zip(sizes.widths, sizes.depths, strict=True)):
        kernel = 7 if stage == 0 else 3
        name = f"stage{stage}"
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        x = layers.Conv2D(
            width, kernel, strides=STRIDES[stage], kernel_initializer="he_normal", name=f"{name}_patches_conv"
        )(x)
        x = layer_norm(x, f"{name}_patches_norm")
        for i in range(depth):
            x = _block(x, HEADS[stage], REDUCTIONS[stage], drop_path * done / last, f"{name}_{i}")
            done += 1
        x = layer_norm(x, f"{name}_norm")
        features.append(x)
    return features


def _block(x: Any, heads: int, reduction: int, drop_path: float, name: str) -> Any:
    channels = x.shape[-1]
    y = layer_norm(x, f"{name}_attention_norm")
    queries, coarse = linear(y, channels, f"{name}_queries"), y
    if reduction > 1:
        coarse = layers.Conv2D(
            channels, reduction, strides=reduction, kernel_initializer="he_normal", name=f"{name}_reduced_conv"
        )(coarse)
        coarse = layer_norm(coarse, f"{name}_reduced_norm")
    keys, values = linear(coarse, channels, f"{name}_keys"), linear(coarse, channels, f"{name}_values")
    y = ScaledAttention(heads, name=f"{name}_attention")([queries, keys, values])
    x = add_residual(x, linear(y, channels, f"{name}_attention_out"), drop_path, f"{name}_attention_add")
    y = linear(layer_norm(x, f"{name}_mlp_norm"), 4 * channels, f"{name}_mlp_1")
    y = layers.DepthwiseConv2D(3, padding="same", depthwise_initializer="he_normal", name=f"{name}_mlp_conv")(y)
    y = linear(Gelu(name=f"{name}_mlp_gelu")(y), channels, f"{name}_mlp_2")
    return add_residual(x, y, drop_path, f"{name}_mlp_add")
