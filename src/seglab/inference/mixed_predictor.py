"""An ensemble whose members see an image in different ways: averaged on the image's own grid, one part after the other.

Memory holds the sum of the class probabilities at the image's size, four bytes for each class of each pixel, and beside
it what one part takes: a band of rows where its windows go over the image as it is, else its answer on its own grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seglab.errors import DataError
from seglab.inference.bundle import Bundle
from seglab.inference.checks import check_rank
from seglab.inference.decision import MaskObserver
from seglab.inference.memory_forecast import check_room
from seglab.inference.predictor import Predictor
from seglab.inference.sliding_window import Progress

if TYPE_CHECKING:
    import keras

_FLOAT = 4


class MixedPredictor(Predictor):
    """Predicts as `Predictor` does.

    Args:
        parts: each a network, what goes with it, and the axis that it takes slices across, None for whole volumes.
        bundle: of the ensemble; how many members a part has is what it weighs.
        overlap: of neighbouring windows; as the bundle has it when None.
        flips: spatial axes of the ensemble; as the bundle has them when None. Slices are flipped within.
        postprocessing: whether the bundle's is done.
    """

    def __init__(
        self,
        parts: Sequence[tuple[keras.Model, Bundle, int | None]],
        bundle: Bundle,
        *,
        overlap: float | None = None,
        flips: Sequence[int] | None = None,
        postprocessing: bool = True,
    ):
        self.task, self.preprocessing, self.size = bundle.task, bundle.preprocessing, bundle.size
        self.resize_mode, self.spacing, self.interpolation = bundle.resize_mode, bundle.spacing, bundle.interpolation
        self.threshold, self.temperature, self.example_spacing = bundle.threshold, 1.0, bundle.spacing
        self.postprocessing = bundle.postprocessing if postprocessing else ()
        turned = bundle.flips if flips is None else tuple(flips)
        self._parts = []
        for number, (model, own, axis) in enumerate(parts):
            predictor = Predictor.of(model, own, overlap=overlap, flips=_within(turned, axis))
            share = sum(member.part == number for member in bundle.members) / len(bundle.members)
            self._parts.append((predictor, axis, np.float32(share)))

    def predict(
        self,
        image: np.ndarray,
        spacing: Sequence[float] | None = None,
        progress: Progress | None = None,
        seen: MaskObserver | None = None,
    ) -> np.ndarray:
        """See `Predictor.predict`."""
        return self.mask_of(self.predict_probabilities(image, spacing, progress), seen)

    def predict_probabilities(
        self, image: np.ndarray, spacing: Sequence[float] | None = None, progress: Progress | None = None
    ) -> np.ndarray:
        """See `Predictor.predict_probabilities`."""
        check_rank(image, self.task)
        channels = self.task.probability_channels
        check_room(_FLOAT * channels * math.prod(image.shape[:-1]), image.shape[:-1])
        mean = np.zeros((*image.shape[:-1], channels), np.float32)
        for predictor, axis, share in self._parts:
            if axis is None:
                predictor.add_probabilities(mean, share, image, spacing, progress)
                continue
            within = None if spacing is None else [step for other, step in enumerate(spacing) if other != axis]
            slices, into = np.moveaxis(image, axis, 0), np.moveaxis(mean, axis, 0)
            for number, one in enumerate(slices, start=1):
                predictor.add_probabilities(into[number - 1], share, np.ascontiguousarray(one), within)
                if progress:
                    progress(number, len(slices))
        return mean

    def predict_drawn(
        self, image: np.ndarray, spacing: Sequence[float] | None, places: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Predictor.predict_drawn`; logarithms are of the mean as float32 holds it, no smaller than its least."""
        mean = self.predict_probabilities(image, spacing)
        drawn = mean.reshape(-1, mean.shape[-1])[places]
        if self.task.regions:
            drawn = np.concatenate([drawn, 1 - drawn], axis=-1)
        return self.mask_of(mean), np.log(np.maximum(drawn, np.finfo(np.float32).tiny))

    def inputs(self, image: np.ndarray, spacing: Sequence[float] | None = None, at_most: int = 1) -> np.ndarray:
        """There is no one input of all members."""
        raise DataError(
            "an ensemble that is no single network",
            code="ensemble-mixed",
            where="inputs",
            found=f"{len(self._parts)} plans of windows",
            expected="members of one input size, spacing and kind of normalisation",
            remedy="ask it for masks or probabilities",
        )


def _within(flips: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    """Axes of a volume as those of its slices across an axis."""
    if axis is None:
        return flips
    return tuple(one - (one > axis) for one in flips if one != axis)
