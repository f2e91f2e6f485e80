"""Whether an image has the channels that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from seglab.errors import DataError


def check_channels(shape: Sequence[int], channels: int, where: str = "image") -> None:
    """Refuse an image of shape `(…, C)` with another number of channels; `where` it lies. Raises `DataError`."""
    if shape[-1] != channels:
        raise DataError(
            "an image with another number of channels than the training images",
            code="image-channels-of-training",
            where=where,
            found=f"shape {tuple(shape)}: {shape[-1]} channels",
            expected=f"{channels} in the last axis",
            remedy="save the channels that the model knows as an image of their own, or train on such images",
        )
