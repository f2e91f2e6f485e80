"""SAM's mask decoder: tokens and image look at each other twice, and each mask token becomes a mask."""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from seglab.interactive.sam.parts import MLP, Part, dense, gelu, layer_norm
from seglab.interactive.sam.sam_variants import SamVariant

# One mask for a prompt that leaves no doubt, and three for one that does.
_MASKS = 4
_EPSILON = 1e-5


class MaskDecoder(Part):
    """Embedding and prompt to the logits of four masks and how good each is (its IoU with the truth, estimated)."""

    def __init__(self, variant: SamVariant, name: str = "mask_decoder"):
        super().__init__(name=name, dtype="float32")
        self.channels = variant.channels
        self.transformer = _TwoWayTransformer(variant)
        quarter, eighth = variant.channels // 4, variant.channels // 8
        self.upscaling: list[Any] = [
            _doubling(quarter, "output_upscaling.0"),
            layer_norm("output_upscaling.1"),
            gelu,
            _doubling(eighth, "output_upscaling.3"),
            gelu,
        ]
        self.to_filters = [
            _Head(variant.channels, eighth, f"output_hypernetworks_mlps.{mask}") for mask in range(_MASKS)
        ]
        self.to_scores = _Head(variant.channels, _MASKS, "iou_prediction_head")

    def build(self, *_: Any) -> None:
        def rows(count: int, name: str) -> Any:
            return self.add_weight(shape=(count, self.channels), initializer="zeros", name=f"{name}.weight")

        self.score_token, self.mask_tokens = rows(1, "iou_token"), rows(_MASKS, "mask_tokens")

    def call(self, embedding: Any, cells: Any, tokens: Any, picture: Any) -> tuple[Any, Any]:
        """One image and one prompt.

        Args:
            embedding: `(1, grid, grid, channels)`.
            cells: places of its cells, `(1, grid * grid, channels)`.
            tokens: of the prompt, `(1, N, channels)`.
            picture: of the previous mask, or of none.

        Returns:
            Logits `(1, 4, 4 grid, 4 grid)` and scores `(1, 4)`.
        """
        grid = embedding.shape[1]
        own = ops.concatenate([ops.convert_to_tensor(self.score_token), ops.convert_to_tensor(self.mask_tokens)])
        tokens = ops.concatenate([own[None], tokens], axis=1)
        image = ops.reshape(embedding + picture, (1, grid * grid, self.channels))
        tokens, image = self.transformer(image, cells, tokens)
        upscaled = ops.reshape(image, (1, grid, grid, self.channels))
        for step in self.upscaling:
            upscaled = step(upscaled)
        filters = ops.stack([head(tokens[:, 1 + mask]) for mask, head in enumerate(self.to_filters)], axis=1)
        masks = ops.einsum("bmc,bhwc->bmhw", filters, upscaled)
        return masks, self.to_scores(tokens[:, 0])


def _doubling(channels: int, name: str) -> Any:
    return layers.Conv2DTranspose(channels, 2, 2, kernel_initializer="zeros", name=name)


class _Head(Part):
    """Three linear layers with ReLU between them."""

    def __init__(self, hidden: int, channels: int, name: str):
        super().__init__(name=name)
        self.steps = [dense(hidden, "layers.0"), dense(hidden, "layers.1"), dense(channels, "layers.2")]

    def call(self, x: Any) -> Any:
        first, second, last = self.steps
        return last(ops.relu(second(ops.relu(first(x)))))


class _TwoWayTransformer(Part):
    def __init__(self, variant: SamVariant):
        super().__init__(name="transformer")
        self.blocks = [_TwoWayBlock(variant, index) for index in range(variant.depth)]
        self.final_attn_token_to_image = _Attention(variant.channels, variant.heads, 2, "final_attn_token_to_image")
        self.norm_final_attn = layer_norm("norm_final_attn", _EPSILON)

    def call(self, image: Any, cells: Any, prompt: Any) -> tuple[Any, Any]:
        tokens = prompt
        for block in self.blocks:
            tokens, image = block(tokens, image, prompt, cells)
        seen = self.final_attn_token_to_image(tokens + prompt, image + cells, image)
        return self.norm_final_attn(tokens + seen), image


class _TwoWayBlock(Part):
    """Tokens look at each other, then at the image, then think; then the image looks at the tokens."""

    def __init__(self, variant: SamVariant, index: int):
        super().__init__(name=f"layers.{index}")
        self.begins = index == 0

        def attention(shrink: int, name: str) -> _Attention:
            return _Attention(variant.channels, variant.heads, shrink, name)

        self.self_attn = attention(1, "self_attn")
        self.cross_attn_token_to_image = attention(2, "cross_attn_token_to_image")
        self.cross_attn_image_to_token = attention(2, "cross_attn_image_to_token")
        self.mlp = MLP(variant.hidden, variant.channels, ops.relu, "mlp")
        self.norm1, self.norm2, self.norm3, self.norm4 = (layer_norm(f"norm{step}", _EPSILON) for step in range(1, 5))

    def call(self, tokens: Any, image: Any, prompt: Any, cells: Any) -> tuple[Any, Any]:
        if self.begins:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            asking = tokens + prompt
            tokens = tokens + self.self_attn(asking, asking, tokens)
        tokens = self.norm1(tokens)
        placed = image + cells
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + prompt, placed, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(placed, tokens + prompt, tokens))
        return tokens, image


class _Attention(Part):
    """Attention of some tokens to others, in `1 / shrink` of their channels."""

    def __init__(self, channels: int, heads: int, shrink: int, name: str):
        super().__init__(name=name)
        inner = channels // shrink
        self.heads, self.each = heads, inner // heads
        self.q_proj, self.k_proj, self.v_proj = dense(inner, "q_proj"), dense(inner, "k_proj"), dense(inner, "v_proj")
        self.out_proj = dense(channels, "out_proj")

    def call(self, query: Any, key: Any, value: Any) -> Any:
        query, key, value = (
            ops.transpose(ops.reshape(x, (x.shape[0], -1, self.heads, self.each)), (0, 2, 1, 3))
            for x in (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        )
        scores = ops.matmul(query * self.each**-0.5, ops.swapaxes(key, -1, -2))
        found = ops.transpose(ops.matmul(ops.softmax(scores), value), (0, 2, 1, 3))
        return self.out_proj(ops.reshape(found, (found.shape[0], -1, self.heads * self.each)))
