"""A cascade at prediction: the mask of the first stage, and with it the image for the second.

One stage after the other: beside the image and the first stage's mask, a byte for each voxel and class id, memory is
what the larger of the two stages takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seglab.data.mask_channels import is_mask, with_mask
from seglab.inference.checks import check_rank
from seglab.inference.preparing import Preparing
from seglab.inference.restore_grid import GridRestorer
from seglab.inference.sliding_window import Prepare, Progress

if TYPE_CHECKING:
    from seglab.inference.predictor import Predictor


class AfterFirstStage:
    """`Preparing` of the second stage of a cascade, from images as they are.

    An image that comes with a mask behind its channels keeps that one: cases of training have the mask of networks that
    never saw them.

    Args:
        first: predicts the mask.
        preparing: of the second stage.
    """

    def __init__(self, first: Predictor, preparing: Preparing):
        self._first, self._preparing = first, preparing

    def __call__(
        self,
        image: np.ndarray,
        spacing: Sequence[float] | None,
        answer: int = 0,
        kept: int = 0,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, Prepare | None, GridRestorer]:
        """As `Preparing`; `progress` is told the windows of the first stage."""
        check_rank(image, self._preparing.task)
        wanted = self._preparing.preprocessing
        if image.shape[-1] != wanted.given_channels or not is_mask(image[..., -1], wanted.previous):
            image = with_mask(image, self._first.predict(image, spacing, progress))
        return self._preparing(image, spacing, answer, kept)
