"""Networks that look at an image on several scales at once: dilated convolutions, and regions pooled whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from keras import layers

from seglab.config.cross_checks import check_encoder_weights
from seglab.config.types import DecayRate, EncoderName, NonNegativeInt, Place, PositiveInt
from seglab.models import blocks
from seglab.models.blocks import Style
from seglab.models.encoders import encode
from seglab.models.network import Network, full_size_logits, logits, model_input
from seglab.models.resampling import LinearUpsampling, Resampling
from seglab.task import Task


def deeplabv3plus(
    task: Task,
    size: tuple[int, ...],
    *,
    encoder: EncoderName = "resnet50",
    weights: Place | None = "imagenet",
    freeze_epochs: NonNegativeInt = 0,
    normalized: Literal["scale", "standard", "zscore", "window"] = "standard",
    output_stride: Literal[8, 16] = 16,
    width: PositiveInt = 256,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.1,
) -> Network:
    """DeepLabv3+ (Chen et al. 2018, https://arxiv.org/abs/1802.02611).

    The encoder's last features, kept at `output_stride` by dilation, pass atrous spatial pyramid pooling: in parallel a
    1-wide convolution, three 3-wide ones with dilations 6, 12, 18 (twice that at stride 8), and the mean of the whole
    image. The decoder joins them, interpolated to stride 4, to 48 channels of the encoder's features there.

    Args:
        task: 2D; any number of channels and classes, see `seglab.models.encoders.encode` for the channels.
        size: `(H, W)`, multiples of `output_stride`.
        encoder, weights, freeze_epochs, normalized: see `seglab.models.encoder_unet.encoder_unet`.
        output_stride: how much coarser than the image the encoder's last features are; 8 is finer and slower.
        width: channels of each branch of the pyramid and of the decoder.
        norm, activation: of pyramid and decoder, see `seglab.models.blocks.Style`.
        dropout: share of the pyramid's feature maps dropped while training.

    Returns:
        A model from `(B, H, W, C)` float32 to logits `(B, H, W, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that is no multiple of `output_stride`, weights that cannot be had or do not fit, frozen
            random weights.
    """
    check_encoder_weights(weights, freeze_epochs)
    style = Style(norm, activation, dropout)
    image = model_input(task, size, output_stride)
    features = encode(image, encoder, (4, 32), weights, normalized, output_stride)
    x = _atrous_pyramid(features[32], [rate * 16 // output_stride for rate in (6, 12, 18)], width, style)
    x = LinearUpsampling(output_stride // 4, name="decoder_up")(x)
    fine = blocks.convolution(features[4], 48, style, "decoder_skip", kernel=1)
    x = layers.Concatenate(name="decoder_join")([x, fine])
    x = blocks.convolution(x, width, style, "decoder_1")
    x = blocks.convolution(x, width, style, "decoder_2")
    return Network(
        image,
        full_size_logits(x, 4, task, "logits"),
        name="deeplabv3plus",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
    )


def pspnet(
    task: Task,
    size: tuple[int, ...],
    *,
    encoder: EncoderName = "resnet50",
    weights: Place | None = "imagenet",
    freeze_epochs: NonNegativeInt = 0,
    normalized: Literal["scale", "standard", "zscore", "window"] = "standard",
    output_stride: Literal[8, 16] = 8,
    width: PositiveInt = 512,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.1,
    deep_supervision: bool = False,
) -> Network:
    """The pyramid scene parsing network (Zhao et al. 2017, https://arxiv.org/abs/1612.01105).

    The encoder's last features, kept at `output_stride` by dilation, are averaged over grids of 1, 2, 3 and 6 cells a
    side; each of the four passes a 1-wide convolution to a quarter of the features' channels, is interpolated back and
    joined to them. A 3-wide convolution follows.

    Args:
        task: 2D; any number of channels and classes, see `seglab.models.encoders.encode` for the channels.
        size: `(H, W)`, multiples of `output_stride`.
        encoder, weights, freeze_epochs, normalized: see `seglab.models.encoder_unet.encoder_unet`.
        output_stride: how much coarser than the image the encoder's last features are.
        width: channels of the convolution after the pyramid.
        norm, activation: of the pyramid, see `seglab.models.blocks.Style`.
        dropout: share of the feature maps dropped before the logits while training.
        deep_supervision: also return the logits of an auxiliary branch on the encoder's last features but one stage,
            at `1 / output_stride` of the resolution, as the paper does for deep encoders.

    Returns:
        A model from `(B, H, W, C)` float32 to logits `(B, H, W, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that is no multiple of `output_stride`, weights that cannot be had or do not fit, frozen
            random weights.
    """
    check_encoder_weights(weights, freeze_epochs)
    style = Style(norm, activation, dropout)
    image = model_input(task, size, output_stride)
    features = encode(image, encoder, (16, 32), weights, normalized, output_stride)
    x = features[32]
    levels = (1, 2, 3, 6)
    branches = [x, *pooled_regions(x, levels, max(x.shape[-1] // len(levels), 1), style)]
    x = layers.Concatenate(name="pyramid_join")(branches)
    x = blocks.dropout(blocks.convolution(x, width, style, "pyramid"), style, "pyramid")
    result = full_size_logits(x, output_stride, task, "logits")
    if deep_supervision:
        auxiliary = blocks.convolution(features[16], max(width // 2, 1), style, "auxiliary")
        result = [result, logits(auxiliary, task, "logits_auxiliary")]
    return Network(
        image,
        result,
        name="pspnet",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
        ignore_label=task.ignore_label,
    )


def pooled_regions(x: Any, levels: Sequence[int], filters: int, style: Style) -> list[Any]:
    """For each count of cells a side: features averaged over them, a 1-wide convolution, interpolated back."""
    branches = []
    for cells in levels:
        name = f"pyramid{cells}"
        pooled = Resampling((cells, cells), "average", name=f"{name}_pool")(x)
        pooled = pooled_convolution(pooled, filters, style, name)
        branches.append(Resampling(x.shape[1:-1], "linear", name=f"{name}_up")(pooled))
    return branches


def _atrous_pyramid(x: Any, rates: list[int], width: int, style: Style) -> Any:
    branches = [blocks.convolution(x, width, style, "aspp_1", kernel=1)]
    branches += [blocks.convolution(x, width, style, f"aspp_{rate}", dilation=rate) for rate in rates]
    mean = Resampling((1, 1), "average", name="aspp_mean_pool")(x)
    mean = pooled_convolution(mean, width, style, "aspp_mean")
    branches.append(Resampling(x.shape[1:-1], "linear", name="aspp_mean_up")(mean))
    x = layers.Concatenate(name="aspp_join")(branches)
    return blocks.dropout(blocks.convolution(x, width, style, "aspp", kernel=1), style, "aspp")


def pooled_convolution(x: Any, filters: int, style: Style, name: str) -> Any:
    """A 1-wide convolution and activation without normalisation.

    A grid of one cell has as many values per channel as the batch has images: with one image, a batch norm would
    return its offset and nothing else, and an instance norm always would.
    """
    return blocks.activate(blocks.plain(x, filters, name, kernel=1), style, name)
