"""The pieces that networks are made of, for 2D and 3D alike: the rank is read off the tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from keras import initializers, layers

from seglab.config.stages import PerAxis
from seglab.models.attention import Gelu
from seglab.models.dilation import DilatedConv2D, DilatedConv3D
from seglab.models.layers import BatchNormalization, GroupNormalization, MaxPooling, UpConcatConv
from seglab.models.resampling import LinearUpsampling, Resampling

# Share of the old moving statistics that each step keeps. Keras's 0.99 averages over hundreds of steps: small sets have
# a dozen an epoch, and would be validated for many epochs with statistics of weights long gone.
BATCH_NORM_MOMENTUM = 0.9


@dataclass(frozen=True)
class Style:
    """How a network finishes its convolutions and regains resolution.

    Attributes:
        norm: `batch` (Ioffe 2015), `instance` (Ulyanov 2016), `group` (Wu 2018, the largest number of groups up to 8
            that divides the channels) or `none` (the convolutions then have a bias).
        activation: nonlinearity after each normalisation.
        dropout: share of the feature maps that are dropped at the end of each block while training; whole maps
            (Tompson 2015), since neighbouring pixels carry the same information.
        upsampling: doubling of the resolution by repetition, by linear interpolation along each axis (trilinear in 3D)
            or by a learnt transposed convolution.
    """

    norm: Literal["batch", "instance", "group", "none"] = "batch"
    activation: Literal["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"] = "relu"
    dropout: float = 0.0
    upsampling: Literal["nearest", "bilinear", "transpose"] = "nearest"


def plain(
    x: Any,
    filters: int,
    name: str,
    *,
    kernel: PerAxis = 3,
    strides: PerAxis = 1,
    dilation: int = 1,
    bias: bool = True,
) -> Any:
    """A convolution that keeps the size (but for its stride), and nothing after it."""
    kinds: dict[int, Any] = (
        {2: layers.Conv2D, 3: layers.Conv3D} if dilation == 1 else {2: DilatedConv2D, 3: DilatedConv3D}
    )
    return kinds[_rank(x)](
        filters,
        kernel,
        strides=strides,
        dilation_rate=dilation,
        padding="same",
        use_bias=bias,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)


def convolution(
    x: Any, filters: int, style: Style, name: str, *, kernel: PerAxis = 3, strides: PerAxis = 1, dilation: int = 1
) -> Any:
    """Convolution, normalisation, activation."""
    bias = style.norm == "none"
    return finish(plain(x, filters, name, kernel=kernel, strides=strides, dilation=dilation, bias=bias), style, name)


def double_convolution(x: Any, filters: int, style: Style, name: str) -> Any:
    """Two finished 3-wide convolutions, then dropout (Ronneberger 2015)."""
    x = convolution(x, filters, style, f"{name}_1")
    return dropout(convolution(x, filters, style, f"{name}_2"), style, name)


def residual_convolution(x: Any, filters: int, style: Style, name: str) -> Any:
    """Two 3-wide convolutions whose sum with the input is activated (He 2016), then dropout.

    The input passes a 1-wide convolution where its channels differ.
    """
    shortcut = x if x.shape[-1] == filters else plain(x, filters, f"{name}_shortcut", kernel=1, bias=False)
    return _residual_end(convolution(x, filters, style, f"{name}_1"), shortcut, filters, style, name)


def basic_block(
    x: Any, filters: int, style: Style, name: str, *, kernel: PerAxis = 3, strides: Sequence[int] = ()
) -> Any:
    """`residual_convolution` whose shortcut is normalised where it has a convolution, and averaged where there is a
    stride (He et al. 2019, variant D, https://arxiv.org/abs/1812.01187); `strides` are for each axis, or none."""
    strided = math.prod(strides) > 1
    y = convolution(x, filters, style, f"{name}_1", kernel=kernel, strides=tuple(strides) if strided else 1)
    y = normalise(plain(y, filters, f"{name}_2", kernel=kernel, bias=style.norm == "none"), style, f"{name}_2")
    if strided:
        coarse = [side // step for side, step in zip(x.shape[1:-1], strides, strict=True)]
        x = Resampling(coarse, "average", name=f"{name}_average")(x)
    if x.shape[-1] != filters:
        x = normalise(plain(x, filters, f"{name}_shortcut", kernel=1, bias=False), style, f"{name}_shortcut")
    return activate(layers.Add(name=f"{name}_add")([y, x]), style, name)


def up_double_convolution(low: Any, skip: Any | None, filters: int, style: Style, name: str) -> Any:
    """`double_convolution` of the doubled low-resolution features joined to the skip (alone where there is none)."""
    x = finish(_up_joined(low, skip, filters, style, f"{name}_1"), style, f"{name}_1")
    return dropout(convolution(x, filters, style, f"{name}_2"), style, name)


def up_residual_convolution(low: Any, skip: Any, filters: int, style: Style, name: str) -> Any:
    """`residual_convolution` of the doubled low-resolution features joined to the skip.

    The shortcut is the 1-wide convolution of the joined features; doubling and a 1-wide convolution commute (but for a
    transposed convolution), so it is computed at the low resolution and at the skip's apart, and added.
    """
    interpolation = style if style.upsampling != "transpose" else Style(upsampling="nearest")
    low_part = plain(low, filters, f"{name}_shortcut_low", kernel=1, bias=False)
    skip_part = plain(skip, filters, f"{name}_shortcut_skip", kernel=1, bias=False)
    shortcut = layers.Add(name=f"{name}_shortcut")(
        [upsample(low_part, filters, interpolation, f"{name}_shortcut"), skip_part]
    )
    x = finish(_up_joined(low, skip, filters, style, f"{name}_1"), style, f"{name}_1")
    return _residual_end(x, shortcut, filters, style, name)


def _residual_end(x: Any, shortcut: Any, filters: int, style: Style, name: str) -> Any:
    x = normalise(plain(x, filters, f"{name}_2", bias=style.norm == "none"), style, f"{name}_2")
    x = activate(layers.Add(name=f"{name}_add")([x, shortcut]), style, name)
    return dropout(x, style, name)


def downsample(x: Any, name: str) -> Any:
    """Halves every side by the maximum of each 2-wide cell."""
    return MaxPooling(name=f"{name}_pool")(x)


def upsample(x: Any, filters: int, style: Style, name: str, *, bias: bool = True) -> Any:
    """Doubles every side. `filters` and `bias` are those of the transposed convolution, where the style has one."""
    rank = _rank(x)
    if style.upsampling == "nearest":
        return getattr(layers, f"UpSampling{rank}D")(2, name=f"{name}_up")(x)
    if style.upsampling == "bilinear":
        return LinearUpsampling(2, name=f"{name}_up")(x)
    transposed = getattr(layers, f"Conv{rank}DTranspose")
    return transposed(filters, 2, strides=2, use_bias=bias, kernel_initializer="he_normal", name=f"{name}_up")(x)


def normalise(x: Any, style: Style, name: str) -> Any:
    """The layer that the style names, of batch, instance or group norm; `x` itself for none."""
    if style.norm == "none":
        return x
    if style.norm == "batch":
        return BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_norm")(x)
    channels = x.shape[-1]
    groups = channels if style.norm == "instance" else max(g for g in range(1, 9) if channels % g == 0)
    return GroupNormalization(groups, epsilon=1e-5, name=f"{name}_norm")(x)


def activate(x: Any, style: Style, name: str) -> Any:
    """The activation that the style names."""
    name = f"{name}_{style.activation}"
    if style.activation == "prelu":
        # One slope for each channel, starting at 0.25 (He 2015).
        axes = list(range(1, _rank(x) + 1))
        return layers.PReLU(initializers.Constant(0.25), shared_axes=axes, name=name)(x)
    if style.activation == "leaky_relu":
        return layers.LeakyReLU(0.01, name=name)(x)
    if style.activation == "gelu":
        return Gelu(name=name)(x)
    return layers.Activation(style.activation, name=name)(x)


def dropout(x: Any, style: Style, name: str) -> Any:
    """Dropout of whole channels, as the style says; `x` itself for a rate of 0."""
    if not style.dropout:
        return x
    return getattr(layers, f"SpatialDropout{_rank(x)}D")(style.dropout, name=f"{name}_dropout")(x)


def finish(x: Any, style: Style, name: str) -> Any:
    """Normalisation and activation; one layer where the batch norm takes the activation along, which is faster."""
    if style.norm == "batch" and style.activation in ("relu", "elu", "silu"):
        return BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, activation=style.activation, name=f"{name}_norm_{style.activation}"
        )(x)
    return activate(normalise(x, style, name), style, name)


def _up_joined(low: Any, skip: Any | None, filters: int, style: Style, name: str) -> Any:
    if skip is not None and style.upsampling == "nearest":
        return UpConcatConv(filters, use_bias=style.norm == "none", name=f"{name}_conv")([low, skip])
    x = upsample(low, filters, style, name)
    if skip is not None:
        x = layers.Concatenate(name=f"{name}_join")([x, skip])
    return plain(x, filters, name, bias=style.norm == "none")


def _rank(x: Any) -> int:
    return len(x.shape) - 2
