"""Architectures made for volumes. They are rank-generic as well, so that their 2D form can be tried."""

from __future__ import annotations

from typing import Any, Literal

from keras import layers

from seglab.config.types import DecayRate, PositiveInt
from seglab.models import blocks
from seglab.models.blocks import Style
from seglab.models.network import Network, logits, model_input
from seglab.models.unet import outputs
from seglab.task import Task


def conv3d(
    task: Task,
    size: tuple[int, ...],
    *,
    depth: PositiveInt = 4,
    width: PositiveInt = 16,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.0,
) -> Network:
    """The simple baseline: a stack of 3-wide convolutions at full resolution, no pooling, no skips.

    Convolution i has dilation `2**i` (Yu and Koltun 2016, https://arxiv.org/abs/1511.07122), so that a voxel sees
    `2**(depth + 1) - 1` voxels along each axis.

    Args:
        task: rank, channels and classes.
        size: spatial size of the input; any.
        depth: number of convolutions.
        width: channels of each.
        norm, activation: see `seglab.models.blocks.Style`.
        dropout: share of the feature maps dropped before the logits while training.

    Returns:
        A model from `(B, *size, C)` float32 to logits `(B, *size, task.logit_channels)` float32.
    """
    style = Style(norm, activation, dropout)
    image = model_input(task, size, 1)
    x = image
    for i in range(depth):
        x = blocks.convolution(x, width, style, f"conv{i}", dilation=2**i)
    x = blocks.dropout(x, style, "features")
    return Network(image, logits(x, task), name="conv3d")


def vnet(
    task: Task,
    size: tuple[int, ...],
    *,
    depth: PositiveInt = 4,
    width: PositiveInt = 16,
    kernel: Literal[3, 5] = 5,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "prelu",
    dropout: DecayRate = 0.0,
    upsampling: Literal["nearest", "bilinear", "transpose"] = "transpose",
    deep_supervision: bool = False,
) -> Network:
    """V-Net (Milletari et al. 2016, https://arxiv.org/abs/1606.04797).

    Stages of one, two, then three convolutions, each learning a residual of its input; strided 2-wide convolutions
    halve, transposed ones double. The paper has no normalisation: `norm=none` gives it as published.

    Args:
        task: rank, channels and classes.
        size: spatial size of the input; every side a multiple of `2**depth`.
        depth: number of halvings.
        width: channels of the first stage; each halving doubles them.
        kernel: width of the convolutions; 3 has about a fifth of the cost in 3D.
        norm, activation, dropout, upsampling: see `seglab.models.blocks.Style`.
        deep_supervision: also return the logits of each coarser stage of the decoder, see `Network`.

    Returns:
        A model from `(B, *size, C)` float32 to logits `(B, *size, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that cannot be halved `depth` times.
    """
    style = Style(norm, activation, dropout, upsampling)
    image = model_input(task, size, 2**depth)
    x, skips = image, []
    for level in range(depth):
        x = _residual_stage(x, width * 2**level, level, kernel, style, f"encoder{level}")
        skips.append(x)
        x = blocks.convolution(x, width * 2 ** (level + 1), style, f"encoder{level}_down", kernel=2, strides=2)
    x = _residual_stage(x, width * 2**depth, depth, kernel, style, "bottleneck")
    features: list[Any] = []
    for level in reversed(range(depth)):
        name = f"decoder{level}"
        x = _doubled(x, width * 2**level, style, name)
        x = layers.Concatenate(name=f"{name}_join")([x, skips[level]])
        x = _residual_stage(x, width * 2 ** (level + 1), level, kernel, style, name)
        features.insert(0, x)
    return Network(image, outputs(features, task, deep_supervision), name="vnet", ignore_label=task.ignore_label)


def _residual_stage(x: Any, filters: int, level: int, kernel: int, style: Style, name: str) -> Any:
    """One to three convolutions, the sum of whose result and the stage's input is activated."""
    shortcut = x if x.shape[-1] == filters else blocks.plain(x, filters, f"{name}_shortcut", kernel=1, bias=False)
    count = min(level + 1, 3)
    for i in range(count):
        x = blocks.normalise(
            blocks.plain(x, filters, f"{name}_{i}", kernel=kernel, bias=style.norm == "none"), style, f"{name}_{i}"
        )
        if i == count - 1:
            x = layers.Add(name=f"{name}_add")([x, shortcut])
        x = blocks.activate(x, style, f"{name}_{i}")
    return blocks.dropout(x, style, name)


def _doubled(x: Any, filters: int, style: Style, name: str) -> Any:
    """Twice the resolution and `filters` channels; interpolation follows the convolution, which is cheaper there."""
    if style.upsampling == "transpose":
        x = blocks.upsample(x, filters, style, name, bias=style.norm == "none")
        return blocks.finish(x, style, f"{name}_up")
    return blocks.upsample(blocks.convolution(x, filters, style, f"{name}_up", kernel=1), filters, style, name)
