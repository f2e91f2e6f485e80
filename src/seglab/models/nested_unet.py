"""U-Net++: a U-Net of every depth within one another."""

from __future__ import annotations

from typing import Any, Literal

from keras import layers

from seglab.config.cross_checks import check_encoder_weights
from seglab.config.types import DecayRate, NonNegativeInt, Place, PositiveInt
from seglab.models import blocks
from seglab.models.blocks import Style
from seglab.models.network import Network, logits, model_input
from seglab.models.own_encoder import encoded
from seglab.task import Task


def unetplusplus(
    task: Task,
    size: tuple[int, ...],
    *,
    depth: PositiveInt = 4,
    width: PositiveInt = 32,
    weights: Place | None = None,
    freeze_epochs: NonNegativeInt = 0,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.0,
    upsampling: Literal["nearest", "bilinear", "transpose"] = "transpose",
    deep_supervision: bool = False,
) -> Network:
    """U-Net++ (Zhou et al. 2018, https://arxiv.org/abs/1807.10165).

    Node (i, j) lies at level i and sees the doubled node (i + 1, j - 1) and all nodes (i, 0) to (i, j - 1) of its own
    level; nodes (i, 0) are the encoder. Each is two 3-wide convolutions to `width * 2**i` channels. Node (0, depth)
    gives the logits. The paper has no normalisation: `norm=none` gives it as published.

    Args:
        task: rank, channels and classes.
        size: spatial size of the input; every side a multiple of `2**depth`.
        depth: number of halvings.
        width: channels of the first level.
        weights: a file of encoder weights, see `seglab.models.own_encoder.encoded`, or None.
        freeze_epochs: for how many epochs training holds the encoder fixed.
        norm, activation, dropout, upsampling: see `seglab.models.blocks.Style`.
        deep_supervision: also return the logits of the shallower U-Nets within, nodes (0, depth - 1) to (0, 1), all at
            full resolution. The paper gives them equal weight in the loss; here each has half that of the one before,
            see `Network`.

    Returns:
        A model from `(B, *size, C)` float32 to logits `(B, *size, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that cannot be halved `depth` times, weights that do not fit, frozen random weights.
    """
    check_encoder_weights(weights, freeze_epochs, published=False)
    style = Style(norm, activation, dropout, upsampling)
    image = model_input(task, size, 2**depth)
    nodes = [[x] for x in encoded(image, lambda y: _encoder(y, depth, width, style), weights)]
    for j in range(1, depth + 1):
        for level in range(depth + 1 - j):
            name = f"node{level}_{j}"
            row = nodes[level]
            skip = row[0] if j == 1 else layers.Concatenate(name=f"{name}_skips")(row)
            x = blocks.up_double_convolution(nodes[level + 1][j - 1], skip, width * 2**level, style, name)
            row.append(x)
    result = logits(nodes[0][depth], task)
    if deep_supervision and depth > 1:
        result = [result, *(logits(nodes[0][j], task, f"logits_depth{j}") for j in range(depth - 1, 0, -1))]
    return Network(
        image,
        result,
        name="unetplusplus",
        freeze_epochs=freeze_epochs,
        encoder_layers=("encoder",),
        ignore_label=task.ignore_label,
    )


def _encoder(x: Any, depth: int, width: int, style: Style) -> list[Any]:
    features: list[Any] = []
    for level in range(depth + 1):
        if level:
            x = blocks.downsample(x, f"node{level - 1}_0")
        x = blocks.double_convolution(x, width * 2**level, style, f"node{level}_0")
        features.append(x)
    return features
