"""SegResNet: residual blocks that normalise first, and a light decoder that adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from keras import layers

from seglab.config.cross_checks import check_encoder_weights
from seglab.config.types import DecayRate, NonNegativeInt, Place, PositiveInt
from seglab.models import blocks
from seglab.models.blocks import Style
from seglab.models.network import Network, model_input
from seglab.models.own_encoder import encoded
from seglab.models.unet import outputs
from seglab.task import Task


def segresnet(
    task: Task,
    size: tuple[int, ...],
    *,
    width: PositiveInt = 16,
    encoder_blocks: Sequence[PositiveInt] = (1, 2, 2, 4),
    decoder_blocks: PositiveInt = 1,
    weights: Place | None = None,
    freeze_epochs: NonNegativeInt = 0,
    norm: Literal["batch", "instance", "group", "none"] = "group",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.2,
    upsampling: Literal["nearest", "bilinear", "transpose"] = "bilinear",
    deep_supervision: bool = False,
) -> Network:
    """SegResNet (Myronenko 2018, https://arxiv.org/abs/1810.11654), without the branch that draws its input again.

    A block adds to its input what normalisation, activation and a 3-wide convolution make of it, twice. Strided
    convolutions halve; in the decoder a 1-wide convolution halves the channels, and the doubled features are added to
    those of the encoder. The paper has 32 channels at first.

    Args:
        task: rank, channels and classes.
        size: spatial size of the input; every side a multiple of 2 for each level of `encoder_blocks` but the first.
        width: channels of the first level; each halving doubles them.
        encoder_blocks: residual blocks at each level of the encoder.
        decoder_blocks: residual blocks at each level of the decoder.
        weights: a file of encoder weights, see `seglab.models.own_encoder.encoded`, or None.
        freeze_epochs: for how many epochs training holds the encoder fixed.
        norm, activation, upsampling: see `seglab.models.blocks.Style`.
        dropout: share of the feature maps dropped after the first convolution while training.
        deep_supervision: also return the logits of each coarser level of the decoder, see `Network`.

    Returns:
        A model from `(B, *size, C)` float32 to logits `(B, *size, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that cannot be halved that often, weights that do not fit, frozen random weights.
    """
    check_encoder_weights(weights, freeze_epochs, published=False)
    style = Style(norm, activation, dropout, upsampling)
    image = model_input(task, size, 2 ** (len(encoder_blocks) - 1))
    features = encoded(image, lambda x: _encoder(x, width, encoder_blocks, style), weights)
    x = features[-1]
    levels: list[Any] = []
    for level in reversed(range(len(features) - 1)):
        name, filters = f"decoder{level}", width * 2**level
        x = blocks.plain(x, filters, f"{name}_narrow", kernel=1, bias=False)
        x = blocks.upsample(x, filters, style, name, bias=False)
        x = layers.Add(name=f"{name}_add")([x, features[level]])
        for i in range(decoder_blocks):
            x = _block(x, style, f"{name}_{i}")
        levels.insert(0, x)
    if not deep_supervision:
        levels = levels[:1] or [x]
    finished = [blocks.finish(x, style, f"head{level}") for level, x in enumerate(levels)]
    return Network(
        image,
        outputs(finished, task, deep_supervision),
        name="segresnet",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
        ignore_label=task.ignore_label,
    )


def _encoder(x: Any, width: int, counts: Sequence[int], style: Style) -> list[Any]:
    features = []
    x = blocks.dropout(blocks.plain(x, width, "first", bias=False), style, "first")
    for level, count in enumerate(counts):
        if level:
            x = blocks.plain(x, width * 2**level, f"encoder{level}_down", strides=2, bias=False)
        for i in range(count):
            x = _block(x, style, f"encoder{level}_{i}")
        features.append(x)
    return features


def _block(x: Any, style: Style, name: str) -> Any:
    y = x
    for part in ("1", "2"):
        y = blocks.finish(y, style, f"{name}_{part}")
        y = blocks.plain(y, x.shape[-1], f"{name}_{part}", bias=style.norm == "none")
    return layers.Add(name=f"{name}_add")([x, y])
