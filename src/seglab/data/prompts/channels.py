"""A prompt as the network gets it: four channels behind those of the image, each 0 or 1.

Disks around the clicks on the object, disks around those on the background, the mask before, and the box, filled. Disks
rather than distances, and the mask before as a channel, are RITM's input (Sofiiuk et al. 2021,
https://arxiv.org/abs/2102.06583).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seglab.data.prompts.clicks import Click

Corners = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]
"""Lowest and highest corner of a box, as slices count."""
# On the object, on the background, mask before, box.
PROMPT_CHANNELS = 4
# Of a disk, in pixels of the network's input.
RADIUS = 3.0


def prompt_channels(
    size: Sequence[int],
    clicks: Sequence[Click],
    box: Corners | None = None,
    before: np.ndarray | None = None,
) -> np.ndarray:
    """The channels of a prompt: `(*size, 4)` float32.

    Args:
        size: of the network's input.
        clicks: in its pixels; places may lie outside of it.
        box: lowest and highest corner, in its pixels from the outer edge of the first, as slices count.
        before: boolean `(*size)`, the mask that is to be corrected.
    """
    channels = np.zeros((*size, PROMPT_CHANNELS), np.float32)
    for click in clicks:
        paint_disk(channels[..., 1 - click.label], click.place, 1.0)
    if before is not None:
        channels[..., 2] = before
    if box is not None:
        inside: Any = tuple(slice(max(round(low), 0), max(round(high), 0)) for low, high in zip(*box, strict=True))
        channels[..., 3][inside] = 1
    return channels


def paint_disk(array: np.ndarray, place: Sequence[float], value: float) -> None:
    """Write `value` into every pixel of `array` that is at most `RADIUS` from `place`."""
    reach = int(RADIUS) + 1
    middle = [round(at) for at in place]
    box = tuple(slice(max(at - reach, 0), max(at + reach + 1, 0)) for at in middle)
    part = array[box]
    if part.size:
        axes = np.ogrid[tuple(slice(side.start, side.start + n) for side, n in zip(box, part.shape, strict=True))]
        squared = sum(np.square(axis - at) for axis, at in zip(axes, place, strict=True))
        part[squared <= RADIUS**2] = value
