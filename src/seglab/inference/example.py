"""An image to try a model with, that is nobody's: made by a rule, in the numbers of the training images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.inference.bundle import Bundle

_TYPES: dict[str, np.dtype] = {"bytes": np.dtype(np.uint8), "words": np.dtype(np.uint16)}
_SPOTS = 12
# Where a channel of a prompt or a mask, which holds noughts and ones, is 1.
_PROMPTED = 0.6


def example_image(bundle: Bundle, size: Sequence[int] | None = None, seed: int = 0) -> np.ndarray:
    """Soft bright and dark spots on a slope, with some noise: `(*size, C)`, the same for the same bundle.

    Args:
        bundle: says which numbers its images hold.
        size: of the image; the network's when None.
        seed: of the spots.

    Returns:
        uint8 or uint16 where the training images were of 8 or 16 bits, else float32. Behind the channels of the image
        there are those of a prompt, or a first stage's mask of background and the first class, where the bundle's
        network has some.
    """
    rng, task, given = np.random.default_rng(seed), bundle.task, bundle.preprocessing
    size = tuple(size or bundle.size)
    grid = np.stack(np.meshgrid(*(np.linspace(0, 1, side) for side in size), indexing="ij"), axis=-1)
    image = np.repeat(0.3 + 0.2 * grid.mean(axis=-1)[..., None], task.channels, axis=-1)
    for _ in range(_SPOTS):
        away = ((grid - rng.random(task.rank)) ** 2).sum(axis=-1)
        image += np.exp(-away / rng.uniform(0.002, 0.02))[..., None] * rng.uniform(-0.4, 0.6, task.channels)
    image = np.clip(image + rng.normal(0, 0.03, image.shape), 0, 1)
    image, behind = np.split(image, [given.channels], axis=-1)
    if given.mode == "window":
        low, high = np.array(given.low), np.array(given.high)
        image = low + image * (high - low)
    elif given.mode == "standard" and given.scale == "reals":
        image = np.array(given.mean) + (image - 0.4) * 5 * np.array(given.std)
    image = image * given.unit
    kind = _TYPES.get(given.scale)
    if kind is None and given.scale == "own" and given.unit == 255:
        kind = _TYPES["bytes"]
    image = np.round(image).astype(kind) if kind else image.astype(np.float32)
    return np.concatenate([image, (behind > _PROMPTED).astype(image.dtype)], axis=-1) if behind.size else image
