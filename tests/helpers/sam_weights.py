"""Weights for networks of SAM's shape, each tensor made from its name, the same everywhere; and small such networks."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from seglab.interactive.sam.sam_variants import SamVariant, TinyViT, ViT

# Windows that do not divide the grid, one block with windows and one without.
SMALL = SamVariant(ViT(width=32, depth=2, heads=2, whole=(1,), window=3), side=128, channels=32, heads=2, hidden=64)
# The reference knows no other grid than 64 × 64, and steps over pixels by whether 320 channels come next.
SMALL_MOBILE = SamVariant(TinyViT((8, 16, 16, 320), (1, 2, 1, 1), (1, 2, 2, 4)), heads=4, hidden=64)


def random_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that keep a network alive, none of them trivial: no norm is 1, no bias and no table is 0."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    numbers = rng.standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        return np.abs(numbers) + np.float32(0.5)
    if name.endswith("gaussian_matrix"):
        return numbers
    if name.endswith(".weight") and len(shape) == 1:
        return 1 + np.float32(0.2) * numbers
    if len(shape) > 1 and not any(
        word in name for word in ("token.", "tokens.", "embed.weight", "pos_embed", "embeddings.")
    ):
        return np.float32(0.7) * numbers / np.float32(np.sqrt(np.prod(shape[1:])))
    return np.float32(0.3) * numbers


def random_tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    return {name: random_tensor(name, shape) for name, shape in shapes.items()}


def picture(height: int = 450, width: int = 600) -> np.ndarray:
    """An image with edges, slopes and noise: `(height, width, 3)` uint8."""
    rng = np.random.default_rng(7)
    down, across = np.mgrid[:height, :width]
    base = np.stack([across * 255 / width, down * 255 / height, (across + down) % 64 * 4], -1)
    base[height // 4 : height // 2, width // 4 : width // 2] = (220, 30, 60)
    return np.clip(base + rng.normal(0, 20, base.shape), 0, 255).astype(np.uint8)
