"""What the process of the model measures of a request, for its row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from seglab.inference.flip_agreement import flip_agreement
from seglab.inference.image_statistics import image_statistics
from seglab.inference.mask_facts import MaskFacts, mask_statistics
from seglab.inference.plausibility import broken_rules
from seglab.inference.reference_data import short
from seglab.serving.exported_model import LoadedModel


def measured(
    image: np.ndarray,
    ids: np.ndarray,
    facts: MaskFacts,
    model: LoadedModel,
    body: bytes,
    spacing: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Numbers of an image and its mask.

    Args:
        image: `(*spatial, C)` as it was read.
        ids: its mask, `(*spatial)`.
        facts: that were noticed while the mask was made.
        model: that made it.
        body: what the client sent.
        spacing: mm between pixels or voxels, as the image came with it.

    Returns:
        What `mask_statistics` says, `image`, `input`, the digest of what was sent, `quality`, the predicted Dice,
        `implausible`, the rules that the mask breaks, and `agreement` over flips, None where that was not asked for.
    """
    mask = mask_statistics(facts, ids)
    quality = model.quality.of(mask["soft_dice"]) if model.quality else None
    rules = broken_rules(mask["shares"], model.bundle.task, model.bundle.reference)
    image_numbers = {name: short(value) for name, value in image_statistics(image).items()}
    digest = hashlib.sha256(body).hexdigest()
    fields = {**mask, "input": digest, "quality": quality, "implausible": rules, "image": image_numbers}
    return {**fields, "agreement": _agreement(image, ids, model, spacing) if model.flips else None}


def _agreement(image: np.ndarray, ids: np.ndarray, model: LoadedModel, spacing: Sequence[float] | None) -> float | None:
    found = flip_agreement(image, ids, model.bundle.task, lambda given: model.predictor.predict(given, spacing))
    return None if found is None else short(found)
