"""Encoder, prompts and decoder as one network that a file of weights fits, and that answers on arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from seglab.interactive.sam.decoder import MaskDecoder
from seglab.interactive.sam.prompt_encoder import PromptEncoder
from seglab.interactive.sam.sam_variants import SamVariant, TinyViT
from seglab.interactive.sam.tiny_vit import TinyViTEncoder
from seglab.interactive.sam.vit import ViTEncoder

Floats = npt.NDArray[np.float32]


class SamNetwork:
    """The three parts of SAM. The encoder runs in the chosen number format, what a click asks for in float32.

    Args:
        variant: the sizes.
        policy: Keras's dtype policy of the encoder.
    """

    def __init__(self, variant: SamVariant, policy: str = "float32"):
        self.variant = variant
        self._encoder = _encoder(variant, policy)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float32")
        try:
            self._prompts, self._decoder = PromptEncoder(variant), MaskDecoder(variant)
        finally:
            keras.config.set_dtype_policy(before)
        self._build()
        self._run_encoder = compiled(self._encode)
        self._run_decoder = compiled(self._decode)
        self._run_corrector = compiled(self._correct)

    @property
    def variables(self) -> list[Any]:
        """Every weight; its path is its name in the published files but for the last word."""
        return [one for part in (self._encoder, self._prompts, self._decoder) for one in part.variables]

    def encode(self, square: Floats) -> Floats:
        """A normalised image `(1, side, side, 3)` to its embedding `(1, grid, grid, channels)`."""
        return np.asarray(ops.convert_to_numpy(self._run_encoder(square)), np.float32)

    def decode(
        self, embedding: Floats, places: Floats, kinds: npt.NDArray[np.int32], mask: Floats | None
    ) -> tuple[Floats, Floats]:
        """The four masks of a prompt, and how good each is.

        Args:
            embedding: `(1, grid, grid, channels)`.
            places: of the tokens, `(1, N, 2)`, x and y in pixels of the square.
            kinds: `(1, N)`, what each is; see `seglab.interactive.sam.tokens`.
            mask: logits of a previous mask, `(1, 4 grid, 4 grid, 1)`, or None.

        Returns:
            Logits `(4, 4 grid, 4 grid)` and scores `(4,)`; the first is the one for a prompt that leaves no doubt.
        """
        if mask is None:
            masks, scores = self._run_decoder(embedding, places, kinds)
        else:
            masks, scores = self._run_corrector(embedding, places, kinds, mask)
        return ops.convert_to_numpy(masks)[0], ops.convert_to_numpy(scores)[0]

    def _build(self) -> None:
        """Make the weights, by a pass that computes nothing."""
        side, grid = self.variant.side, self.variant.grid
        embedding = keras.KerasTensor((1, grid, grid, self.variant.channels))
        self._encoder(keras.KerasTensor((1, side, side, 3)))
        mask = keras.KerasTensor((1, 4 * grid, 4 * grid, 1))
        tokens, picture = self._prompts(keras.KerasTensor((1, 2, 2)), keras.KerasTensor((1, 2), "int32"), mask)
        self._decoder(embedding, keras.KerasTensor((1, grid**2, self.variant.channels)), tokens, picture)

    def _encode(self, square: Any) -> Any:
        return ops.cast(self._encoder(square), "float32")

    def _decode(self, embedding: Any, places: Any, kinds: Any) -> Any:
        tokens = self._prompts.tokens(places, kinds)
        return self._decoder(embedding, self._prompts.grid_places(), tokens, self._prompts.no_picture())

    def _correct(self, embedding: Any, places: Any, kinds: Any, mask: Any) -> Any:
        tokens, picture = self._prompts(places, kinds, mask)
        return self._decoder(embedding, self._prompts.grid_places(), tokens, picture)


def _encoder(variant: SamVariant, policy: str) -> Any:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        if isinstance(variant.encoder, TinyViT):
            return TinyViTEncoder(variant.encoder, variant.channels)
        return ViTEncoder(variant.encoder, variant.side, variant.channels)
    finally:
        keras.config.set_dtype_policy(before)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays as one graph, traced once for any number of tokens. XLA was slower on the CPU."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    graph = tf.function(function, reduce_retracing=True, jit_compile=False)

    def run(*arrays: Any) -> Any:
        return graph(*(tf.convert_to_tensor(array) for array in arrays))

    return run
