"""SAM as a promptable model: one embedding for an image, the decoder for every click."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seglab.errors import ConfigError
from seglab.interactive.prompt import Prompt
from seglab.interactive.prompt_models import Candidates, Embedding
from seglab.interactive.sam.frame import Frame
from seglab.interactive.sam.sam_variants import VARIANTS, SamVariant
from seglab.interactive.sam.tokens import tokens
from seglab.interactive.sam.weights import check_fit, fill, open_tensors, slots
from seglab.runtime.precision import choose_policy, find_device
from seglab.runtime.reproducibility import load_tensorflow

if TYPE_CHECKING:
    from seglab.interactive.sam.sam_network import SamNetwork

# Of everything here that can change an answer: a new number for a change, so that no former embedding is taken.
_REVISION = 1
_IMAGE = "image"


class SamModel:
    """A network with its weights, as `seglab.interactive.prompt_models.PromptModel` says.

    Args:
        name: a row of the table of models.
        network: with its weights.
        weights: the digest of those.
        device: what the network runs on, in words.
        precision: the number format of the encoder.
    """

    rank = 2

    def __init__(self, name: str, network: SamNetwork, weights: str, device: str, precision: str):
        self.name, self.device = name, f"{device}, {precision}"
        self.digest = hashlib.sha256(f"{name} {weights} {precision} {_REVISION}".encode()).hexdigest()
        self._network = network

    def embed(self, image: npt.NDArray[Any]) -> Embedding:
        """The embedding of an image `(H, W, 3)` uint8: one array of 4.2 MB."""
        frame = self._frame((image.shape[0], image.shape[1]))
        return Embedding(frame.shape, {_IMAGE: self._network.encode(frame.square(image))})

    def candidates(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        """The three masks of a prompt that may mean several things: the decoder's own mask for one that cannot is left
        out. Scores are cut to 0…1."""
        height, width = embedding.shape
        frame = self._frame((height, width))
        places, kinds = tokens(prompt, frame)
        mask = None if prompt.mask is None else frame.small(prompt.mask)
        masks, scores = self._network.decode(embedding.arrays[_IMAGE], places, kinds, mask)
        return Candidates(frame.native(masks[1:]), np.clip(scores[1:], 0, 1))

    def _frame(self, shape: tuple[int, int]) -> Frame:
        return Frame(shape, self._network.variant.side)


def load(name: str, checkpoint: Path | None, precision: str = "float32") -> SamModel:
    """A model of the table, with the weights of a file.

    Args:
        name: `sam_vit_b`, `sam_vit_l`, `sam_vit_h` or `mobile_sam`.
        checkpoint: the published file, or what `seglab convert-sam` made of it.
        precision: of the encoder: `float32`, `mixed_bfloat16`, `mixed_float16` or `auto`.

    Raises:
        ConfigError: no checkpoint was given, or an unknown precision.
        DataError: the file is damaged, of another model, or holds more than tensors.
    """
    variant = VARIANTS[name]
    if checkpoint is None:
        raise missing(name, variant)
    tensors = open_tensors(checkpoint)
    load_tensorflow()
    from seglab.interactive.sam.sam_network import SamNetwork

    device = find_device()
    policy = choose_policy(precision, device).policy
    network = SamNetwork(variant, policy)
    wanted = slots(network.variables)
    check_fit(wanted, tensors, checkpoint, name)
    digest = fill(wanted, tensors, checkpoint)
    return SamModel(name, network, digest, device.name, policy)


def missing(name: str, variant: SamVariant) -> ConfigError:
    """What to say where a model is asked for without its weights."""
    return ConfigError(
        "a model whose weights are not given",
        code="checkpoint-not-given",
        where=f"model={name}",
        expected=f"checkpoint=… with {variant.file} ({variant.megabytes:g} MB, Apache-2.0) from {variant.page}",
        remedy="fetch it once and name it: checkpoint=" + variant.file + "; or model=grabcut, which needs no weights",
    )
