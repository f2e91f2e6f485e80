"""What a promptable model is: a protocol of two calls, and the table of those that there are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seglab.errors import ConfigError, nearest
from seglab.interactive.prompt import Logits, Prompt

CANDIDATES = 3


@dataclass(frozen=True)
class Embedding:
    """What a model keeps of an image, so that a click needs no second look at it.

    Attributes:
        shape: of the masks on that image: `(H, W)` or `(X, Y, Z)`.
        arrays: by name; plain arrays of numbers, so that they can be kept on disk.
    """

    shape: tuple[int, ...]
    arrays: Mapping[str, npt.NDArray[Any]]

    @property
    def bytes(self) -> int:
        """How much memory the arrays take."""
        return sum(array.nbytes for array in self.arrays.values())


@dataclass(frozen=True)
class Candidates:
    """Three answers to one prompt, in the image's own pixels.

    Attributes:
        logits: `(3, H, W)` or `(3, X, Y, Z)` float32; a pixel is in the mask where its logit is above 0.
        scores: `(3,)` float32 in 0…1, how good each mask is by the model's own estimate (its IoU with the truth).
    """

    logits: Logits
    scores: Logits

    @property
    def best(self) -> int:
        """The candidate of the highest score; the first of equals."""
        return int(np.argmax(self.scores))


class PromptModel(Protocol):
    """A model that answers prompts. It holds no state of an image: two threads may use it for two images.

    Attributes:
        name: its row of `MODELS`.
        digest: of its weights and of every setting of its code that can change an answer (hex).
        rank: 2 for images, 3 for volumes.
        device: what it runs on, and in which number format, in words.
    """

    name: str
    digest: str
    rank: int
    device: str

    def embed(self, image: npt.NDArray[Any]) -> Embedding:
        """The embedding of an image `(H, W, 3)` uint8 (RGB), or of a volume `(X, Y, Z, C)` float32."""
        ...

    def candidates(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        """Three masks with scores for a prompt on the image of an embedding (`prompt.shape == embedding.shape`)."""
        ...


@dataclass(frozen=True)
class ModelEntry:
    """A model of the table.

    Attributes:
        target: `module:function`, imported when the model is asked for. The function takes the name and the path of a
            checkpoint or None, and returns a `PromptModel`; it raises a `SeglabError` where a checkpoint is needed and
            not given (saying where it is published) or is not of this model.
        about: one line for lists.
        rank: 2 or 3.
        checkpoint: `none` (has no weights), `shipped` (has its own, another may be given) or `needed`.
        encodes: it has a large encoder whose number format can be chosen: `target` takes that, too.
    """

    target: str
    about: str
    rank: int = 2
    checkpoint: str = "needed"
    encodes: bool = False


MODELS: Mapping[str, ModelEntry] = {
    "grabcut": ModelEntry(
        "seglab.interactive.grabcut:load", "colour models and a graph cut, no weights", checkpoint="none"
    ),
    "click_unet": ModelEntry(
        "seglab.interactive.click_network:load", "a small network trained by seglab", checkpoint="shipped"
    ),
    "click_unet3d": ModelEntry("seglab.interactive.click_network:load", "the same for volumes", rank=3),
    "sam_vit_b": ModelEntry("seglab.interactive.sam.sam_model:load", "Segment Anything, ViT-B (375 MB)", encodes=True),
    "sam_vit_l": ModelEntry("seglab.interactive.sam.sam_model:load", "Segment Anything, ViT-L (1.2 GB)", encodes=True),
    "sam_vit_h": ModelEntry("seglab.interactive.sam.sam_model:load", "Segment Anything, ViT-H (2.6 GB)", encodes=True),
    "mobile_sam": ModelEntry("seglab.interactive.sam.sam_model:load", "MobileSAM, TinyViT (41 MB)", encodes=True),
}


def row_of(name: str, checkpoint: Path | None = None, precision: str = "float32") -> ModelEntry:
    """The row of a model that can be asked for in this way; arguments and errors as of `load_model`. Loads nothing."""
    if name not in MODELS:
        raise ConfigError(
            "an unknown promptable model",
            code="unknown-prompt-model",
            where="model",
            found=name,
            expected="one of " + ", ".join(MODELS),
            remedy=nearest(name, MODELS) or "model=grabcut needs no weights",
        )
    row = MODELS[name]
    if checkpoint is not None and row.checkpoint == "none":
        raise ConfigError(
            "a checkpoint for a model without weights",
            code="settings-exclude",
            where="checkpoint",
            found=str(checkpoint),
            expected=f"no checkpoint with model={name}",
            remedy="remove checkpoint=…, or choose the model that it belongs to",
        )
    if precision != "float32" and not row.encodes:
        raise ConfigError(
            "a number format for a model that has no choice of it",
            code="settings-exclude",
            where="precision",
            found=precision,
            expected="float32; others for " + ", ".join(other for other, its in MODELS.items() if its.encodes),
            remedy=f"remove precision=… with model={name}",
        )
    return row


def load_model(name: str, checkpoint: Path | None = None, precision: str = "float32") -> PromptModel:
    """The model of a name.

    Args:
        name: a row of `MODELS`.
        checkpoint: its weights; None for its own, if it has any.
        precision: the number format of its encoder, one of `seglab.runtime.precision.POLICIES`.

    Raises:
        ConfigError: an unknown name, a checkpoint where there are no weights, a precision where there is no choice.
    """
    row = row_of(name, checkpoint, precision)
    module, _, function = row.target.partition(":")
    load = getattr(importlib.import_module(module), function)
    model: PromptModel = load(name, checkpoint, precision) if row.encodes else load(name, checkpoint)
    return model
