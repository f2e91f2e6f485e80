"""Prompts as tokens: points and corners of a box by their place; a previous mask as a picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from seglab.interactive.sam.parts import Part, conv, gelu, layer_norm
from seglab.interactive.sam.sam_variants import SamVariant
from seglab.interactive.sam.tokens import NOTHING

# Background and foreground points and two corners; what is nothing has a row of its own.
_KINDS = 4


class PromptEncoder(Part):
    """Places and kinds of tokens to embeddings. It computes in float32: places need all their digits."""

    def __init__(self, variant: SamVariant, name: str = "prompt_encoder"):
        super().__init__(name=name, dtype="float32")
        self.side, self.grid, self.channels = variant.side, variant.grid, variant.channels
        few, many = variant.mask_channels // 4, variant.mask_channels
        named = "mask_downscaling.{}".format
        self.mask_steps: list[Any] = [
            conv(few, 2, named(0), stride=2),
            layer_norm(named(1)),
            gelu,
            conv(many, 2, named(3), stride=2),
            layer_norm(named(4)),
            gelu,
            conv(variant.channels, 1, named(6)),
        ]

    def build(self, *_: Any) -> None:
        def rows(name: str) -> Any:
            return self.add_weight(shape=(1, self.channels), initializer="zeros", name=f"{name}.weight")

        self.frequencies = self.add_weight(
            shape=(2, self.channels // 2), initializer="zeros", name="pe_layer.positional_encoding_gaussian_matrix"
        )
        self.kinds = [rows(f"point_embeddings.{kind}") for kind in range(_KINDS)]
        self.nothing, self.no_mask = rows("not_a_point_embed"), rows("no_mask_embed")

    def call(self, places: Any, kinds: Any, mask: Any) -> tuple[Any, Any]:
        """Tokens `(B, N, channels)` and a picture `(B, grid, grid, channels)`, from both of them."""
        return self.tokens(places, kinds), self.picture(mask)

    def tokens(self, places: Any, kinds: Any) -> Any:
        """Places `(B, N, 2)` in pixels of the square, x and y, and kinds `(B, N)` to `(B, N, channels)`."""
        # A whole number is the centre of a pixel.
        placed = self._waves((places + 0.5) / self.side)
        rows = ops.concatenate([ops.convert_to_tensor(row) for row in (self.nothing, *self.kinds)])
        there = ops.cast(kinds != NOTHING, "float32")[..., None]
        return placed * there + ops.take(rows, kinds + 1, axis=0)

    def picture(self, mask: Any) -> Any:
        """Logits of a previous mask `(B, 4 grid, 4 grid, 1)` to `(B, grid, grid, channels)`."""
        for step in self.mask_steps:
            mask = step(mask)
        return mask

    def no_picture(self) -> Any:
        """What stands for no previous mask: `(1, 1, 1, channels)`."""
        return ops.reshape(self.no_mask, (1, 1, 1, self.channels))

    def grid_places(self) -> Any:
        """The places of the embedding's cells: `(1, grid * grid, channels)`."""
        middle = (np.arange(self.grid, dtype=np.float32) + 0.5) / self.grid
        across, down = np.meshgrid(middle, middle)
        return self._waves(ops.convert_to_tensor(np.stack([across, down], -1).reshape(1, -1, 2)))

    def _waves(self, places: Any) -> Any:
        """Random Fourier features (Tancik et al. 2020, https://arxiv.org/abs/2006.10739) of places in 0…1."""
        turns = 2 * math.pi * ops.matmul(2 * places - 1, self.frequencies)
        return ops.concatenate([ops.sin(turns), ops.cos(turns)], axis=-1)
