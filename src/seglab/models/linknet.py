"""LinkNet: a decoder that adds what the encoder hands across, and computes on a quarter of the channels."""

from __future__ import annotations

from typing import Any, Literal

from keras import layers

from seglab.config.cross_checks import check_encoder_weights
from seglab.config.types import DecayRate, EncoderName, NonNegativeInt, Place, PositiveInt
from seglab.models import blocks
from seglab.models.blocks import Style
from seglab.models.encoders import encode
from seglab.models.network import Network, model_input
from seglab.models.unet import outputs
from seglab.task import Task


def linknet(
    task: Task,
    size: tuple[int, ...],
    *,
    encoder: EncoderName = "resnet50",
    weights: Place | None = "imagenet",
    freeze_epochs: NonNegativeInt = 0,
    normalized: Literal["scale", "standard", "zscore", "window"] = "standard",
    width: PositiveInt = 32,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.0,
    deep_supervision: bool = False,
) -> Network:
    """LinkNet (Chaurasia and Culurciello 2017, https://arxiv.org/abs/1707.03718).

    Four blocks lead from stride 32 to stride 2: a 1-wide convolution to a quarter of the channels, a 3-wide transposed
    one that doubles the resolution, a 1-wide one to the channels of the encoder's features there, which are added.
    A transposed and a plain 3-wide convolution follow at the full size. The paper's encoder is ResNet-18, which
    keras.applications does not have, and its last layer a 2-wide transposed convolution; here it is 1-wide.

    Args:
        task: 2D; any number of channels and classes, see `seglab.models.encoders.encode` for the channels.
        size: `(H, W)`, multiples of 32.
        encoder, weights, freeze_epochs, normalized: see `seglab.models.encoder_unet.encoder_unet`.
        width: channels at the full size.
        norm, activation, dropout: of the decoder, see `seglab.models.blocks.Style`.
        deep_supervision: also return the logits of each coarser level of the decoder, at strides 2, 4, 8 and 16.

    Returns:
        A model from `(B, H, W, C)` float32 to logits `(B, H, W, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that is no multiple of 32, weights that cannot be had or do not fit, frozen random weights.
    """
    check_encoder_weights(weights, freeze_epochs)
    style = Style(norm, activation, dropout)
    image = model_input(task, size, 32)
    features = encode(image, encoder, (4, 8, 16, 32), weights, normalized)
    x = features[32]
    levels: list[Any] = []
    for stride in (16, 8, 4):
        name = f"decoder{stride}"
        x = _doubled(x, features[stride].shape[-1], style, name)
        x = layers.Add(name=f"{name}_link")([x, features[stride]])
        levels.insert(0, x)
    x = _doubled(x, x.shape[-1], style, "decoder2")
    levels.insert(0, x)
    x = _transposed(x, width, style, "decoder1_1")
    x = blocks.dropout(blocks.convolution(x, width, style, "decoder1_2"), style, "decoder1")
    return Network(
        image,
        outputs([x, *levels], task, deep_supervision),
        name="linknet",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
        ignore_label=task.ignore_label,
    )


def _doubled(x: Any, filters: int, style: Style, name: str) -> Any:
    inner = max(x.shape[-1] // 4, 1)
    x = blocks.convolution(x, inner, style, f"{name}_in", kernel=1)
    x = _transposed(x, inner, style, f"{name}_up")
    return blocks.dropout(blocks.convolution(x, filters, style, f"{name}_out", kernel=1), style, name)


def _transposed(x: Any, filters: int, style: Style, name: str) -> Any:
    """A 3-wide transposed convolution that doubles every side, normalisation, activation."""
    up = layers.Conv2DTranspose(
        filters,
        3,
        strides=2,
        padding="same",
        use_bias=style.norm == "none",
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )
    return blocks.finish(up(x), style, name)
