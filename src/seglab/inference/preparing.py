"""From a raw image to what the windows of a network go over, and what brings their answers back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seglab.data.mask_channels import one_hot, with_mask
from seglab.data.preprocessing.channel_check import check_channels
from seglab.data.preprocessing.geometry import resize_mask
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.preprocessing.spacing import Interpolation
from seglab.inference.bundle import ResizeMode
from seglab.inference.checks import check_image, check_rank
from seglab.inference.memory_forecast import check_room, prediction_bytes
from seglab.inference.restore_grid import GridRestorer
from seglab.inference.sliding_window import Prepare, Progress, SlidingWindow
from seglab.inference.spatial import SpatialTransform
from seglab.task import Task


@dataclass(frozen=True)
class Preparing:
    """How the images of a predictor are brought in; the attributes are those of `Predictor`, and its windows."""

    task: Task
    preprocessing: Preprocessing
    size: tuple[int, ...]
    resize_mode: ResizeMode
    spacing: tuple[float, ...] | None
    interpolation: Interpolation
    windows: SlidingWindow

    def __call__(
        self,
        image: np.ndarray,
        spacing: Sequence[float] | None,
        answer: int = 0,
        kept: int = 0,
        progress: Progress | None = None,  # of what is predicted before, which only `AfterFirstStage` does
    ) -> tuple[np.ndarray, Prepare | None, GridRestorer]:
        """What the windows go over, `(*grid, C)`, what is still to be done to each, and what brings channels `(*grid)`
        back to the image.

        Of the network's channels, `answer` are going to be held on the grid, where they are not the image's own, and
        `kept` at its size; for a mask, none.
        """
        check_rank(image, self.task)
        spatial = SpatialTransform.of(
            image.shape[:-1],
            self.size,
            self.resize_mode,
            spacing=spacing,
            target=self.spacing,
            interpolation=self.interpolation,
        )
        restoring, zscore = spatial.restoring, self.preprocessing.mode == "zscore"
        needed = prediction_bytes(
            spatial.original,
            spatial.spatial,
            self.windows,
            channels=image.shape[-1],
            itemsize=image.dtype.itemsize,
            classes=self.task.classes,
            resized=spatial.resized,
            zscore=zscore,
            answer=answer or (0 if restoring.same else self.task.logit_channels),
            kept=0 if restoring.same else kept,
        )
        check_room(needed, spatial.original)
        check_image(image, "values")  # clipping to a window would hide them
        self.preprocessing.check_previous(image)
        if not (self.preprocessing.previous or self.preprocessing.prompts):  # before its shape is another
            check_channels(image.shape, self.preprocessing.channels)
        if image.dtype == bool:
            image = self.preprocessing.of_binary(image)
        behind = bool(self.preprocessing.previous)
        self.preprocessing.check_scale(image[..., : image.shape[-1] - behind])
        image = self._moved(image, spatial.resampled, spatial.spatial)
        if not spatial.resized and not zscore and image.shape[-1] == self.preprocessing.channels + behind:
            return image, self._normalised, restoring  # a number for itself, so that it can be done by windows
        image = self._moved(image, spatial.brought_to_size, spatial.inner)
        if not behind or spatial.resized:
            return spatial.framed(self._normalised(image)), None, restoring
        # The channels of a first stage's mask are made by windows, so that memory does not grow with the classes.
        return with_mask(self._normalised_image(image[..., :-1]), image[..., -1]), self._with_channels, restoring

    def _moved(self, image: np.ndarray, move: Callable[[np.ndarray], np.ndarray], shape: Sequence[int]) -> np.ndarray:
        """An image on another grid, the mask behind its channels as masks are."""
        if not self.preprocessing.previous:
            return move(image)
        if image.shape[:-1] == tuple(shape):
            return image
        mask = resize_mask(image[..., -1].astype(np.uint8), shape, self.task.ignore_label)
        return with_mask(move(image[..., :-1]), mask)

    def _normalised_image(self, image: np.ndarray) -> np.ndarray:
        prepared = self.preprocessing.of_images.apply(image)
        check_image(prepared, "values after normalisation")
        return prepared

    def _with_channels(self, window: np.ndarray) -> np.ndarray:
        """A normalised window, with a channel for each foreground class of the mask behind it."""
        return np.concatenate([window[..., :-1], one_hot(window[..., -1], self.preprocessing.previous)], axis=-1)

    def _normalised(self, image: np.ndarray) -> np.ndarray:
        prepared = self.preprocessing.apply(image)
        check_image(prepared, "values after normalisation")
        return prepared
