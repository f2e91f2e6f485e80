"""A U-Net on a pre-trained image classifier."""

from __future__ import annotations

from typing import Literal

from seglab.config.cross_checks import check_encoder_weights
from seglab.config.types import DecayRate, EncoderName, NonNegativeInt, Place, PositiveInt
from seglab.models import blocks
from seglab.models.blocks import Style
from seglab.models.encoders import ENCODERS, encode
from seglab.models.network import Network, model_input
from seglab.models.unet import decoder, outputs
from seglab.task import Task


def encoder_unet(
    task: Task,
    size: tuple[int, ...],
    *,
    encoder: EncoderName = "vgg16",
    weights: Place | None = "imagenet",
    freeze_epochs: NonNegativeInt = 0,
    normalized: Literal["scale", "standard", "zscore", "window"] = "standard",
    width: PositiveInt = 16,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.0,
    upsampling: Literal["nearest", "bilinear", "transpose"] = "nearest",
    deep_supervision: bool = False,
) -> Network:
    """A U-Net whose encoder is an image classifier (as TernausNet, Iglovikov 2018, https://arxiv.org/abs/1801.05746).

    The encoder's features at strides 32, 16, 8, 4, 2 (and 1 with VGG16) feed a decoder of five levels with `width * 16`
    down to `width` channels.

    Args:
        task: 2D; any number of channels and classes. Images with 1 channel are repeated to 3; with another number than
            1 and 3 they pass a learnt 1-wide convolution.
        size: `(H, W)`, multiples of 32.
        encoder: key of `seglab.models.encoders.ENCODERS`.
        weights: `imagenet`, a weights file of the classifier without its top, or None.
        freeze_epochs: for how many epochs training holds the encoder fixed.
        normalized: how images are normalised before they come (`data.normalize`); the model maps that to what its
            encoder expects, see `seglab.models.encoders.EncoderInput`.
        width: channels of the finest level of the decoder.
        norm, activation, dropout, upsampling: of the decoder, see `seglab.models.blocks.Style`.
        deep_supervision: also return the logits of each coarser level of the decoder.

    Returns:
        A model from `(B, H, W, C)` float32 to logits `(B, H, W, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that is no multiple of 32, weights that cannot be had or do not fit, frozen random weights.
    """
    check_encoder_weights(weights, freeze_epochs)
    style = Style(norm, activation, dropout, upsampling)
    image = model_input(task, size, 32)
    features = encode(image, encoder, sorted(ENCODERS[encoder].taps), weights, normalized)
    x = features[32]
    if encoder == "vgg16":
        # Its last features are only pooled; the others end in convolutions at stride 32.
        x = blocks.double_convolution(x, width * 32, style, "bottleneck")
    levels = range(5)
    skips = [features.get(2**level) for level in levels]
    decoded = decoder(x, skips, [width * 2**level for level in levels], style)
    return Network(
        image,
        outputs(decoded, task, deep_supervision),
        name=f"{encoder}_unet",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
        ignore_label=task.ignore_label,
    )
