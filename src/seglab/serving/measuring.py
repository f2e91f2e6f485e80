"""What the process of the model measures of a request, for its row."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from seglab.inference.image_statistics import image_statistics
from seglab.inference.mask_facts import MaskFacts, mask_statistics, short
from seglab.inference.plausibility import broken_rules
from seglab.serving.model import LoadedModel


def measured(image: np.ndarray, ids: np.ndarray, facts: MaskFacts, model: LoadedModel, body: bytes) -> dict[str, Any]:
    """Numbers of an image and its mask.

    Args:
        image: `(*spatial, C)` as it was read.
        ids: its mask, `(*spatial)`.
        facts: that were noticed while the mask was made.
        model: that made it.
        body: what the client sent.

    Returns:
        What `mask_statistics` says, `image`, `input`, the digest of what was sent, `quality`, the predicted Dice, and
        `implausible`, the rules that the mask breaks.
    """
    mask = mask_statistics(facts, ids)
    quality = model.quality.of(mask["soft_dice"]) if model.quality else None
    rules = broken_rules(mask["shares"], model.bundle.task, model.bundle.reference)
    image_numbers = {name: short(value) for name, value in image_statistics(image).items()}
    digest = hashlib.sha256(body).hexdigest()
    return {**mask, "input": digest, "quality": quality, "implausible": rules, "image": image_numbers}
