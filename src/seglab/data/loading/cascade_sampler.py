"""Samples for the second stage of a cascade: what the first stage found, as channels behind those of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seglab.data.augment.mask_flaws import roughened
from seglab.data.loading.sampler import Item, Sampler
from seglab.data.mask_channels import one_hot
from seglab.data.preprocessing.geometry import cut
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.randomness import generator

_CODE = 256


class CascadeSampler(Sampler):
    """A `Sampler` whose images have the first stage's mask behind them, one channel for each foreground class.

    That mask is augmented as the labels are, and with them: both lie in one array, `labels + 256 * previous`, while a
    sample is turned, bent and mixed. So it moves with the labels by the same neighbours, no change of intensity touches
    it, and outside of the volume the first stage has found nothing. Where samples are augmented, it is then made as
    rough as masks of cases that are met later.

    Args:
        given, settings: of `Sampler`.
    """

    label_type = np.uint16

    def __init__(self, *given: Any, **settings: Any):
        super().__init__(*given, **settings)
        preprocessing: Preprocessing = given[3]
        self.image_channels, self._foreground = preprocessing.channels, preprocessing.previous

    def draw(self, epoch: int, item: Item, image: np.ndarray, mask: np.ndarray) -> None:
        """As `Sampler.draw`, into an image `(*size, C + K - 1)`."""
        coded = np.empty(self.size, self.label_type)
        super().draw(epoch, item, image[..., : self.image_channels], coded)
        previous, mask[...] = coded // _CODE, coded % _CODE
        if self.augmentation is not None:
            rng = generator(self.seed, "previous", epoch, item.case, item.draw)
            previous = roughened(previous, self._foreground, rng)
        image[..., self.image_channels :] = one_hot(previous, self._foreground)

    def _labels(self, labels: np.ndarray, image: np.ndarray, start: Sequence[int]) -> np.ndarray:
        previous = cut(image[..., -1], start, self.size, 0).astype(self.label_type)
        coded: np.ndarray = previous * _CODE + labels
        return coded
