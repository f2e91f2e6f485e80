"""The U-Net family, in 2D and 3D: an encoder that halves, a decoder that doubles, skips between equal resolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from keras import layers

from seglab.config.types import DecayRate, PositiveInt
from seglab.models import blocks
from seglab.models.blocks import Style
from seglab.models.network import Network, logits, model_input
from seglab.models.resampling import LinearUpsampling
from seglab.task import Task


def unet(
    task: Task,
    size: tuple[int, ...],
    *,
    depth: PositiveInt = 3,
    width: PositiveInt = 32,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.0,
    upsampling: Literal["nearest", "bilinear", "transpose"] = "nearest",
    deep_supervision: bool = False,
) -> Network:
    """The classic U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597; Çiçek et al. 2016 in 3D).

    Two 3-wide convolutions at each level, which keep the size ("same" padding), and concatenating skips. Level i of
    `depth` has `width * 2**i` channels, the bottleneck `width * 2**depth`.

    Args:
        task: rank, channels and classes.
        size: spatial size of the input; every side a multiple of `2**depth`.
        depth: number of halvings.
        width: channels of the first level.
        norm, activation, dropout, upsampling: see `seglab.models.blocks.Style`.
        deep_supervision: also return the logits of each coarser level of the decoder, see `Network`.

    Returns:
        A model from `(B, *size, C)` float32 to logits `(B, *size, task.logit_channels)` float32.

    Raises:
        ConfigError: a size that cannot be halved `depth` times.
    """
    style = Style(norm, activation, dropout, upsampling)
    return _unet("unet", task, size, depth, width, style, deep_supervision)


def residual_unet(
    task: Task,
    size: tuple[int, ...],
    *,
    depth: PositiveInt = 3,
    width: PositiveInt = 16,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.0,
    upsampling: Literal["nearest", "bilinear", "transpose"] = "nearest",
    deep_supervision: bool = False,
) -> Network:
    """A U-Net of residual blocks (He et al. 2016; Zhang et al. 2018, https://arxiv.org/abs/1711.10684).

    Arguments, result and errors as for `unet`.
    """
    style = Style(norm, activation, dropout, upsampling)
    return _unet(
        "residual_unet",
        task,
        size,
        depth,
        width,
        style,
        deep_supervision,
        block=blocks.residual_convolution,
        up_block=blocks.up_residual_convolution,
    )


def attention_unet(
    task: Task,
    size: tuple[int, ...],
    *,
    depth: PositiveInt = 3,
    width: PositiveInt = 32,
    norm: Literal["batch", "instance", "group", "none"] = "batch",
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu",
    dropout: DecayRate = 0.0,
    upsampling: Literal["nearest", "bilinear", "transpose"] = "nearest",
    deep_supervision: bool = False,
) -> Network:
    """A U-Net whose skips pass additive attention gates (Oktay et al. 2018, https://arxiv.org/abs/1804.03999).

    Arguments, result and errors as for `unet`.
    """
    style = Style(norm, activation, dropout, upsampling)
    return _unet("attention_unet", task, size, depth, width, style, deep_supervision, gate=attention_gate)


def attention_gate(skip: Any, gate: Any, name: str) -> Any:
    """The skip times an attention coefficient in 0..1 for each of its positions.

    The coefficient is `sigmoid(psi(relu(theta(skip) + phi(gate))))`, computed on the grid of the gating features, which
    is half as fine, and interpolated linearly to the skip's. theta is a 2-wide convolution with stride 2 and no bias,
    phi and psi are 1-wide; the inner width is half of the skip's channels.
    """
    convolution = getattr(layers, f"Conv{len(skip.shape) - 2}D")
    inner = max(skip.shape[-1] // 2, 1)
    theta = convolution(
        inner, 2, strides=2, use_bias=False, kernel_initializer="he_normal", name=f"{name}_attention_theta"
    )(skip)
    phi = convolution(inner, 1, kernel_initializer="he_normal", name=f"{name}_attention_phi")(gate)
    joined = layers.Activation("relu", name=f"{name}_attention_relu")(
        layers.Add(name=f"{name}_attention_add")([theta, phi])
    )
    coefficient = convolution(1, 1, activation="sigmoid", name=f"{name}_attention_psi")(joined)
    coefficient = LinearUpsampling(2, name=f"{name}_attention_up")(coefficient)
    return layers.Multiply(name=f"{name}_attention")([skip, coefficient])


def _unet(
    name: str,
    task: Task,
    size: Sequence[int],
    depth: int,
    width: int,
    style: Style,
    deep_supervision: bool,
    block: Callable[..., Any] = blocks.double_convolution,
    up_block: Callable[..., Any] = blocks.up_double_convolution,
    gate: Callable[..., Any] | None = None,
) -> Network:
    image = model_input(task, size, 2**depth)
    x, skips = image, []
    for level in range(depth):
        skips.append(block(x, width * 2**level, style, f"encoder{level}"))
        x = blocks.downsample(skips[-1], f"encoder{level}")
    x = block(x, width * 2**depth, style, "bottleneck")
    features = decoder(x, skips, [width * 2**level for level in range(depth)], style, up_block, gate)
    return Network(image, outputs(features, task, deep_supervision), name=name, ignore_label=task.ignore_label)


def decoder(
    x: Any,
    skips: Sequence[Any],
    widths: Sequence[int],
    style: Style,
    up_block: Callable[..., Any] = blocks.up_double_convolution,
    gate: Callable[..., Any] | None = None,
) -> list[Any]:
    """Features of every level, finest first, from the coarsest features `x` and one skip (or None) for each level."""
    features: list[Any] = []
    for level in reversed(range(len(skips))):
        skip = skips[level]
        if gate is not None:
            skip = gate(skip, x, f"decoder{level}")
        x = up_block(x, skip, widths[level], style, f"decoder{level}")
        features.insert(0, x)
    return features


def outputs(features: Sequence[Any], task: Task, deep_supervision: bool) -> Any:
    """Logits of the finest features; with deep supervision a list with those of each coarser level after it."""
    if not deep_supervision or len(features) == 1:
        return logits(features[0], task)
    return [logits(x, task, f"logits_{2**level}" if level else "logits") for level, x in enumerate(features)]
