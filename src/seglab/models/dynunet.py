"""The networks of nnU-Net: kernels, strides and channels of every stage are settings, and may differ by axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from keras import layers

from seglab.config.cross_checks import check_encoder_weights
from seglab.config.stages import check_stages, coarsest, per_axis
from seglab.config.types import DecayRate, NonNegativeInt, Place, PositiveInt
from seglab.models import blocks
from seglab.models.blocks import Style
from seglab.models.network import Network, model_input
from seglab.models.own_encoder import encoded
from seglab.models.unet import outputs
from seglab.task import Task


def dynunet(
    task: Task,
    size: tuple[int, ...],
    *,
    block: Literal["plain", "residual"] = "plain",
    widths: Sequence[PositiveInt] = (32, 64, 128, 256, 320, 320),
    strides: Sequence[PositiveInt | Sequence[PositiveInt]] = (1, 2, 2, 2, 2, 2),
    kernels: Sequence[PositiveInt | Sequence[PositiveInt]] = (3, 3, 3, 3, 3, 3),
    encoder_blocks: Sequence[PositiveInt] = (2, 2, 2, 2, 2, 2),
    decoder_blocks: PositiveInt = 2,
    weights: Place | None = None,
    freeze_epochs: NonNegativeInt = 0,
    norm: Literal["batch", "instance", "group", "none"] = "instance",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "leaky_relu",
    dropout: DecayRate = 0.0,
    deep_supervision: bool = True,
) -> Network:
    """The U-Net that nnU-Net configures (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z).

    A stage of the encoder is a row of convolutions, the first of which has the stage's stride; or, after a stem, a row
    of residual blocks (Isensee et al. 2024, https://arxiv.org/abs/2404.09556; He et al. 2019, variant D: where the
    stride is, the shortcut is an average). A stage of the decoder is a transposed convolution as wide as its stride,
    the joined skip, and convolutions. Convolutions have a bias only without normalisation, which takes it out again.

    Args:
        task: rank, channels and classes.
        size: spatial size of the input; every side a multiple of the product of its strides.
        block: of the encoder; the decoder is plain.
        widths: channels of each stage.
        strides: of each stage, one number or one for each axis; 1 for an axis that is to keep its resolution.
        kernels: width of the convolutions of each stage, as the strides; odd.
        encoder_blocks: convolutions, or residual blocks, of each stage.
        decoder_blocks: convolutions of each stage of the decoder; nnU-Net takes 1 with residual blocks.
        weights: a file of encoder weights, see `seglab.models.own_encoder.encoded`, or None.
        freeze_epochs: for how many epochs training holds the encoder fixed.
        norm, activation, dropout: see `seglab.models.blocks.Style`.
        deep_supervision: also return the logits of each coarser stage of the decoder, see `Network`.

    Returns:
        A model from `(B, *size, C)` float32 to logits `(B, *size, task.logit_channels)` float32.

    Raises:
        ConfigError: stages that do not fit one another, a size that the strides do not divide, weights that do not fit,
            frozen random weights.
    """
    check_encoder_weights(weights, freeze_epochs, published=False)
    check_stages(widths, strides, kernels, encoder_blocks, task.rank)
    style = Style(norm, activation, dropout)
    image = model_input(task, size, coarsest(strides))
    steps = [per_axis(step, task.rank) for step in strides]
    wide = [per_axis(kernel, task.rank) for kernel in kernels]
    stages = list(zip(widths, steps, wide, encoder_blocks, strict=True))
    build = _plain_encoder if block == "plain" else _residual_encoder
    features = encoded(image, lambda x: build(x, stages, style), weights)
    x = features[-1]
    levels: list[Any] = []
    for level in reversed(range(len(features) - 1)):
        name = f"decoder{level}"
        x = _doubled(x, widths[level], steps[level + 1], f"{name}_up")
        x = layers.Concatenate(name=f"{name}_join")([x, features[level]])
        for i in range(decoder_blocks):
            x = blocks.convolution(x, widths[level], style, f"{name}_{i}", kernel=wide[level])
        x = blocks.dropout(x, style, name)
        levels.insert(0, x)
    return Network(
        image,
        outputs(levels or [x], task, deep_supervision),
        name=f"dynunet_{block}",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
        ignore_label=task.ignore_label,
    )


Stages = Sequence[tuple[int, Sequence[int], Sequence[int], int]]


def _plain_encoder(x: Any, stages: Stages, style: Style) -> list[Any]:
    features = []
    for stage, (filters, strides, kernel, count) in enumerate(stages):
        name = f"encoder{stage}"
        for i in range(count):
            first = strides if i == 0 else 1
            x = blocks.convolution(x, filters, style, f"{name}_{i}", kernel=kernel, strides=first)
        x = blocks.dropout(x, style, name)
        features.append(x)
    return features


def _residual_encoder(x: Any, stages: Stages, style: Style) -> list[Any]:
    features = []
    x = blocks.convolution(x, stages[0][0], style, "stem", kernel=stages[0][2])
    for stage, (filters, strides, kernel, count) in enumerate(stages):
        name = f"encoder{stage}"
        for i in range(count):
            x = blocks.basic_block(x, filters, style, f"{name}_{i}", kernel=kernel, strides=strides if i == 0 else ())
        x = blocks.dropout(x, style, name)
        features.append(x)
    return features


def _doubled(x: Any, filters: int, strides: Sequence[int], name: str) -> Any:
    """Finer by the strides: a transposed convolution whose kernel is as wide as they are."""
    transposed = getattr(layers, f"Conv{len(strides)}DTranspose")
    return transposed(
        filters, tuple(strides), strides=tuple(strides), kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
