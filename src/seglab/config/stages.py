"""Networks whose stages are settings: what the lists must be like, and how coarse the last stage is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from seglab.errors import ConfigError

PerAxis = int | Sequence[int]


def per_axis(value: PerAxis, rank: int) -> tuple[int, ...]:
    """One number for each axis of what is one number, or already that."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def coarsest(strides: Sequence[PerAxis]) -> PerAxis:
    """How much coarser the last stage is than the input: one number, or one for each axis where a stage has that."""
    # Lists of unlike length and strides below 1 are refused elsewhere, with more to say.
    rank = max((len(stride) for stride in strides if not isinstance(stride, int)), default=0)
    padded = [[*per_axis(stride, rank or 1), *[1] * rank][: rank or 1] for stride in strides]
    found = [math.prod(max(step, 1) for step in along) for along in zip(*padded, strict=True)]
    return found if rank else found[0]


def check_layers(settings: Mapping[str, Any], rank: int) -> None:
    """Refuse what the settings of one of our models say of stages and heads that cannot be built.

    Raises:
        ConfigError: see `check_stages` and `check_heads`.
    """
    if "kernels" in settings:
        lists = {name: settings[name] for name in ("widths", "strides", "kernels", "encoder_blocks")}
        check_stages(**lists, rank=rank)
    if "hidden" in settings:
        check_heads([settings["hidden"]], [settings["heads"]])
    if "depths" in settings:
        check_swin(settings["width"], settings["depths"], settings["heads"])


def check_swin(width: int, depths: Sequence[int], heads: Sequence[int]) -> None:
    """Refuse a Swin transformer that has not four stages, or heads that do not divide the channels of one.

    Raises:
        ConfigError: names the setting.
    """
    for name, given in (("depths", depths), ("heads", heads)):
        if len(given) != 4:
            raise ConfigError(
                "settings that disagree on the number of stages",
                code="model-stages",
                where=f"model.{name}",
                found=f"{len(given)} stages",
                expected="4, at strides 2 to 16",
                remedy=f"for example model.{name}=[{','.join(['2'] * 4) if name == 'depths' else '3,6,12,24'}]",
            )
    check_heads([width * 2**stage for stage in range(4)], heads)


def check_heads(channels: Sequence[int], heads: Sequence[int]) -> None:
    """Refuse heads of attention that do not divide the channels that they share.

    Raises:
        ConfigError: names both.
    """
    for stage, (count, shared) in enumerate(zip(channels, heads, strict=True)):
        if count % shared:
            raise ConfigError(
                "heads of attention that do not divide their channels",
                code="model-heads",
                where="model.heads",
                found=f"{shared} heads for {count} channels" + (f" in stage {stage}" if len(heads) > 1 else ""),
                expected="a divisor of the channels",
                remedy=f"for example {max(h for h in range(1, shared) if count % h == 0)} heads",
            )


def check_stages(
    widths: Sequence[int],
    strides: Sequence[PerAxis],
    kernels: Sequence[PerAxis],
    encoder_blocks: Sequence[int],
    rank: int,
) -> None:
    """Refuse lists of unlike length, numbers for another count of axes, and kernels without a middle.

    Raises:
        ConfigError: names the list.
    """
    lists = {"strides": strides, "kernels": kernels, "encoder_blocks": encoder_blocks}
    for name, given in lists.items():
        if len(given) != len(widths):
            raise ConfigError(
                "settings that disagree on the number of stages",
                code="model-stages",
                where=f"model.{name}",
                found=f"{len(given)} stages, and {len(widths)} in model.widths",
                expected="one entry for each stage in widths, strides, kernels and encoder_blocks",
                remedy=f"give model.{name} {len(widths)} entries",
            )
    for name, given in (("strides", strides), ("kernels", kernels)):
        for stage, value in enumerate(given):
            if not isinstance(value, int) and len(value) != rank:
                raise ConfigError(
                    "a stage of a network for another number of axes",
                    code="model-stages",
                    where=f"model.{name}",
                    found=f"{list(value)} in stage {stage}",
                    expected=f"one number, or {rank}: one for each axis",
                    remedy=f"for example model.{name}[{stage}]=[{','.join(['1'] + [str(max(value))] * (rank - 1))}]",
                )
            if name == "kernels" and any(width % 2 == 0 for width in per_axis(value, rank)):
                raise ConfigError(
                    "a kernel without a middle",
                    code="model-stages",
                    where="model.kernels",
                    found=f"{value} in stage {stage}",
                    expected="odd widths, such as 1, 3 or 5",
                    remedy="for example 3, or [1,3,3] where slices are thick",
                )
