"""Networks whose head reads a feature pyramid: fine features that know what the coarse ones saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from keras import layers

from seglab.config.cross_checks import check_encoder_weights
from seglab.config.types import DecayRate, EncoderName, NonNegativeInt, Place, PositiveInt
from seglab.models import blocks
from seglab.models.blocks import Style
from seglab.models.context import pooled_regions
from seglab.models.encoders import encode
from seglab.models.network import Network, full_size_logits, logits, model_input
from seglab.models.resampling import LinearUpsampling
from seglab.task import Task

STRIDES = (4, 8, 16, 32)


def fpn(
    task: Task,
    size: tuple[int, ...],
    *,
    encoder: EncoderName = "resnet50",
    weights: Place | None = "imagenet",
    freeze_epochs: NonNegativeInt = 0,
    normalized: Literal["scale", "standard", "zscore", "window"] = "standard",
    width: PositiveInt = 256,
    head_width: PositiveInt = 128,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.1,
    deep_supervision: bool = False,
) -> Network:
    """The semantic branch of Panoptic FPN (Kirillov et al. 2019, https://arxiv.org/abs/1901.02446).

    A feature pyramid (Lin et al. 2017, https://arxiv.org/abs/1612.03144): features at strides 4 to 32 pass a 1-wide
    convolution each, every level gets the doubled coarser one added, and a 3-wide convolution smooths the sum. The head
    brings each level to stride 4 by as many steps of a 3-wide convolution and a doubling as that takes, and adds all.

    Args:
        task: 2D; any number of channels and classes, see `seglab.models.encoders.encode` for the channels.
        size: `(H, W)`, multiples of 32.
        encoder, weights, freeze_epochs, normalized: see `seglab.models.encoder_unet.encoder_unet`.
        width: channels of every level of the pyramid.
        head_width: channels of the head.
        norm, activation: of the head, see `seglab.models.blocks.Style`; the pyramid has neither.
        dropout: share of the head's feature maps dropped before the logits while training.
        deep_supervision: also return logits of each level of the pyramid, at strides 4, 8, 16 and 32.

    Returns:
        A model from `(B, H, W, C)` float32 to logits `(B, H, W, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that is no multiple of 32, weights that cannot be had or do not fit, frozen random weights.
    """
    check_encoder_weights(weights, freeze_epochs)
    style = Style(norm, activation, dropout, "bilinear")
    image = model_input(task, size, 32)
    levels = _pyramid(encode(image, encoder, STRIDES, weights, normalized), width)
    parts = [_brought_to_stride_4(x, stride, head_width, style, f"head{stride}") for stride, x in levels.items()]
    x = blocks.dropout(layers.Add(name="head_add")(parts), style, "head")
    result = full_size_logits(x, 4, task)
    if deep_supervision:
        result = [result, *(logits(x, task, f"logits_{stride}") for stride, x in levels.items())]
    return Network(
        image,
        result,
        name="fpn",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
        ignore_label=task.ignore_label,
    )


def upernet(
    task: Task,
    size: tuple[int, ...],
    *,
    encoder: EncoderName = "resnet50",
    weights: Place | None = "imagenet",
    freeze_epochs: NonNegativeInt = 0,
    normalized: Literal["scale", "standard", "zscore", "window"] = "standard",
    width: PositiveInt = 512,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.1,
    deep_supervision: bool = False,
) -> Network:
    """The unified perceptual parsing network (Xiao et al. 2018, https://arxiv.org/abs/1807.10221).

    The encoder's last features are averaged over grids of 1, 2, 3 and 6 cells a side, as in a PSPNet. They are the top
    of a feature pyramid, whose levels are brought to stride 4, joined and convolved.

    Args:
        task: 2D; any number of channels and classes, see `seglab.models.encoders.encode` for the channels.
        size: `(H, W)`, multiples of 32.
        encoder, weights, freeze_epochs, normalized: see `seglab.models.encoder_unet.encoder_unet`.
        width: channels of every branch and level.
        norm, activation: of the head, see `seglab.models.blocks.Style`.
        dropout: share of the feature maps dropped before the logits while training.
        deep_supervision: also return the logits of an auxiliary branch on the encoder's features at stride 16, as
            published.

    Returns:
        A model from `(B, H, W, C)` float32 to logits `(B, H, W, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that is no multiple of 32, weights that cannot be had or do not fit, frozen random weights.
    """
    check_encoder_weights(weights, freeze_epochs)
    style = Style(norm, activation, dropout)
    image = model_input(task, size, 32)
    features = encode(image, encoder, STRIDES, weights, normalized)
    top = layers.Concatenate(name="pyramid_join")(
        [features[32], *pooled_regions(features[32], (1, 2, 3, 6), width, style)]
    )
    above = blocks.convolution(top, width, style, "level32")
    levels = [LinearUpsampling(8, name="level32_full")(above)]
    for stride in reversed(STRIDES[:-1]):
        name = f"level{stride}"
        x = blocks.convolution(features[stride], width, style, f"{name}_lateral", kernel=1)
        above = layers.Add(name=f"{name}_add")([x, LinearUpsampling(2, name=f"{name}_up")(above)])
        x = blocks.convolution(above, width, style, name)
        levels.append(LinearUpsampling(stride // 4, name=f"{name}_full")(x) if stride > 4 else x)
    x = blocks.convolution(layers.Concatenate(name="levels_join")(levels), width, style, "levels")
    result = full_size_logits(blocks.dropout(x, style, "levels"), 4, task)
    if deep_supervision:
        auxiliary = blocks.convolution(features[16], max(width // 2, 1), style, "auxiliary")
        result = [result, logits(auxiliary, task, "logits_auxiliary")]
    return Network(
        image,
        result,
        name="upernet",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
        ignore_label=task.ignore_label,
    )


def _pyramid(features: Mapping[int, Any], width: int) -> dict[int, Any]:
    """Features of `width` channels at every stride, finest first, each with all that lies below it in it."""
    levels: dict[int, Any] = {}
    above = None
    for stride in reversed(STRIDES):
        name = f"pyramid{stride}"
        x = blocks.plain(features[stride], width, f"{name}_lateral", kernel=1)
        if above is not None:
            above = layers.UpSampling2D(2, name=f"{name}_up")(above)
            x = layers.Add(name=f"{name}_add")([x, above])
        above = x
        levels = {stride: blocks.plain(x, width, f"{name}_smooth"), **levels}
    return levels


def _brought_to_stride_4(x: Any, stride: int, filters: int, style: Style, name: str) -> Any:
    doublings = (stride // 4).bit_length() - 1
    for i in range(max(doublings, 1)):
        x = blocks.convolution(x, filters, style, f"{name}_{i}")
        if doublings:
            x = LinearUpsampling(2, name=f"{name}_{i}_up")(x)
    return x
