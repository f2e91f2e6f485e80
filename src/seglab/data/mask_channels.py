"""A mask as channels of an image: how the network of a second stage is told what the first one found.

A mask travels behind the channels of its image, as one channel of class ids; the network gets one channel for each
foreground class, 1 where the first stage found it (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z).
"""

from __future__ import annotations

import numpy as np


def with_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`(…, C)` and `(…)` class ids to `(…, C + 1)` of the image's type."""
    return np.concatenate([image, mask[..., None].astype(image.dtype)], axis=-1)


def is_mask(channel: np.ndarray, foreground: int) -> bool:
    """Whether all values of a channel are class ids 0 to `foreground`, which those of another image are not."""
    return bool(((channel >= 0) & (channel <= foreground) & (channel == np.rint(channel))).all())


def one_hot(mask: np.ndarray, foreground: int) -> np.ndarray:
    """`(…)` class ids to `(…, foreground)` float32: 1 where a pixel is of class 1, 2, …"""
    return (mask[..., None] == np.arange(1, foreground + 1)).astype(np.float32)
