"""SAM's image encoder: a plain transformer with windows, and relative positions added to its attention."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from seglab.interactive.sam.parts import MLP, Neck, Part, conv, dense, from_windows, gelu, layer_norm, windows
from seglab.interactive.sam.sam_variants import ViT


class ViTEncoder(Part):
    """An image `(B, side, side, 3)`, normalised, to an embedding `(B, side / 16, side / 16, channels)`."""

    def __init__(self, sizes: ViT, side: int, channels: int, name: str = "image_encoder"):
        super().__init__(name=name)
        self.patch_embed = _Patches(sizes)
        grid = side // sizes.patch
        self.blocks = [
            _Block(sizes, grid if index in sizes.whole else sizes.window, index in sizes.whole, f"blocks.{index}")
            for index in range(sizes.depth)
        ]
        self.neck = Neck(channels)
        self.shape = (1, grid, grid, sizes.width)

    def build(self, *_: Any) -> None:
        self.pos_embed = self.add_weight(shape=self.shape, initializer="zeros", name="pos_embed")

    def call(self, image: Any) -> Any:
        x = self.patch_embed(image)
        x = x + ops.cast(self.pos_embed, x.dtype)
        for block in self.blocks:
            x = block(x)
        return self.neck(x)


class _Patches(Part):
    def __init__(self, sizes: ViT):
        super().__init__(name="patch_embed")
        self.proj = conv(sizes.width, sizes.patch, "proj", stride=sizes.patch)

    def call(self, image: Any) -> Any:
        return self.proj(image)


class _Block(Part):
    """Attention in windows of `side` tokens or, with `whole`, over the image, and two linear layers."""

    def __init__(self, sizes: ViT, side: int, whole: bool, name: str):
        super().__init__(name=name)
        self.side, self.whole = side, whole
        self.norm1, self.norm2 = layer_norm("norm1"), layer_norm("norm2")
        self.attn = _Attention(sizes.width, sizes.heads, side)
        self.mlp = MLP(4 * sizes.width, sizes.width, gelu, "mlp")

    def call(self, x: Any) -> Any:
        y = self.norm1(x)
        y = self.attn(y) if self.whole else from_windows(self.attn(windows(y, self.side)), *x.shape[1:3])
        x = x + y
        return x + self.mlp(self.norm2(x))


class _Attention(Part):
    """Attention among `side` × `side` tokens, each with a learnt preference for how far up and left another one is."""

    def __init__(self, width: int, heads: int, side: int):
        super().__init__(name="attn")
        self.heads, self.side, self.each = heads, side, width // heads
        self.qkv, self.proj = dense(3 * width, "qkv"), dense(width, "proj")
        # Of the token in row i, the row of the table that tells of row j.
        self.distance = np.arange(side)[:, None] - np.arange(side)[None, :] + side - 1

    def build(self, *_: Any) -> None:
        shape = (2 * self.side - 1, self.each)
        self.rel_pos_h = self.add_weight(shape=shape, initializer="zeros", name="rel_pos_h")
        self.rel_pos_w = self.add_weight(shape=shape, initializer="zeros", name="rel_pos_w")

    def call(self, x: Any) -> Any:
        side, tokens = self.side, self.side**2
        qkv = ops.reshape(self.qkv(x), (-1, tokens, 3, self.heads, self.each))
        query, key, value = ops.unstack(ops.transpose(qkv, (2, 0, 3, 1, 4)), 3, axis=0)
        scores = ops.matmul(query * self.each**-0.5, ops.swapaxes(key, -1, -2))
        placed = ops.reshape(query, (-1, self.heads, side, side, self.each))
        up, left = (
            ops.take(ops.cast(table, query.dtype), self.distance, axis=0) for table in (self.rel_pos_h, self.rel_pos_w)
        )
        rows = ops.einsum("bnhwc,hkc->bnhwk", placed, up)
        columns = ops.einsum("bnhwc,wkc->bnhwk", placed, left)
        scores = ops.reshape(scores, (-1, self.heads, side, side, side, side))
        scores = scores + rows[..., :, None] + columns[..., None, :]
        scores = ops.reshape(scores, (-1, self.heads, tokens, tokens))
        weights = ops.cast(ops.softmax(ops.cast(scores, "float32")), value.dtype)
        found = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return self.proj(ops.reshape(found, (-1, side, side, self.heads * self.each)))
