"""The one way from an image of any size to its mask. Evaluation, export, service and scripts all come through here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seglab.data.geometry import cut, letterbox_shape, pad_start, resize_image, unletterbox
from seglab.data.preprocess import Preprocessing
from seglab.data.resampling import Interpolation, resample_image, resample_to
from seglab.errors import DataError, naming
from seglab.inference.bundle import Bundle, Fit, load_bundle, logits_model
from seglab.inference.finite import check_image, check_probabilities, check_weights
from seglab.inference.tiles import SlidingWindow
from seglab.task import Task

if TYPE_CHECKING:
    import keras


class Predictor:
    """A trained model behind the data's own preprocessing.

    An image meets the network as the training images did: resampled to their spacing if they were, brought to size in
    its own numbers, normalised, and only then given a border or cut into windows. What happens to an image whose size
    is not the network's:

    - `fit="resize"`: it is resized, and the probabilities are resized back before a class is chosen;
    - `fit="letterbox"`: the same with its proportions kept and a border around it;
    - `fit="pad"`: it is padded when it fits into the network's input, else covered with windows;
    - `fit="patch"`: it is covered with overlapping windows, blended as `SlidingWindow` says.

    Args:
        model: takes `(B, *size, C)`, returns logits; of several outputs the first.
        task: classes and channels.
        preprocessing: from raw intensities to what the model was trained on.
        size: spatial size of the model's input.
        fit: see above.
        threshold: a binary task's foreground is where its probability is above this.
        spacing: mm between the pixels or voxels that the network knows; None where it takes images as they are.
        interpolation: of axes that this makes finer.
        overlap: of neighbouring windows, in [0, 1).
        flips: spatial axes for test-time flips; the prediction is the mean over all their combinations.

    Raises:
        DataError: weights that hold NaN or infinite values.
    """

    def __init__(
        self,
        model: keras.Model,
        task: Task,
        preprocessing: Preprocessing,
        size: tuple[int, ...],
        fit: Fit,
        *,
        threshold: float = 0.5,
        spacing: tuple[float, ...] | None = None,
        interpolation: Interpolation = "linear",
        overlap: float = 0.5,
        flips: tuple[int, ...] = (),
    ):
        self.task = task
        self.preprocessing = preprocessing
        self.size = tuple(size)
        self.fit = fit
        self.threshold = threshold
        self.spacing, self.interpolation = spacing, interpolation
        check_weights(model)
        self._windows = SlidingWindow(self.size, overlap=overlap, flips=flips)
        self._network = _activated(model, task)

    @classmethod
    def load(cls, path: Path | str, *, overlap: float = 0.5, flips: tuple[int, ...] = ()) -> Predictor:
        """The predictor of a saved bundle.

        Raises:
            DataError: no bundle at `path`, or one that cannot be used.
        """
        model, bundle = load_bundle(path)
        with naming(str(path)):
            return cls.of(model, bundle, overlap=overlap, flips=flips)

    @classmethod
    def of(cls, model: keras.Model, bundle: Bundle, *, overlap: float = 0.5, flips: tuple[int, ...] = ()) -> Predictor:
        """The predictor of a model in memory and its bundle."""
        return cls(
            model,
            bundle.task,
            bundle.preprocessing,
            bundle.size,
            bundle.fit,
            threshold=bundle.threshold,
            spacing=bundle.spacing,
            interpolation=bundle.interpolation,
            overlap=overlap,
            flips=flips,
        )

    def predict(self, image: np.ndarray, spacing: Sequence[float] | None = None) -> np.ndarray:
        """The mask of one image.

        Args:
            image: `(*spatial, C)` raw intensities of any numeric dtype and any spatial size.
            spacing: mm between its pixels or voxels along each axis; unused where the network has no spacing.

        Returns:
            `(*spatial)` class ids in the smallest unsigned dtype that holds them all.

        Raises:
            DataError: the image has another rank or channel count than the task, values that are no finite numbers, or
                no spacing where one is needed; or the network answers with NaN.
        """
        channels = self._channels(image, spacing)
        dtype = np.min_scalar_type(self.task.classes - 1)
        if self.task.binary:
            return (next(channels) > self.threshold).astype(dtype)
        return _most_probable(channels, dtype)

    def predict_probabilities(self, image: np.ndarray, spacing: Sequence[float] | None = None) -> np.ndarray:
        """The class probabilities of one image: `(*spatial, K)` float32, summing to 1 over the last axis.

        Args and errors as for `predict`.
        """
        first = 1 if self.task.binary else 0
        probabilities = np.empty((*image.shape[:-1], self.task.classes), np.float32)
        for class_id, channel in enumerate(self._channels(image, spacing), start=first):
            probabilities[..., class_id] = channel
        if self.task.binary:
            np.subtract(1, probabilities[..., 1], out=probabilities[..., 0])
        return probabilities

    def _channels(self, image: np.ndarray, spacing: Sequence[float] | None) -> Iterator[np.ndarray]:
        """Probabilities `(*spatial)` of class after class at the image's own size, the foreground's alone for a binary
        task; one at a time in memory."""
        prepared, restore = self._prepared(image, spacing)
        probabilities = self._windows(prepared, self._network)
        del prepared
        check_probabilities(probabilities)
        return (restore(probabilities[..., k]) for k in range(probabilities.shape[-1]))

    def _prepared(
        self, image: np.ndarray, spacing: Sequence[float] | None
    ) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """What the windows go over, `(*grid, C)` float32, and what brings a channel `(*grid)` back to the image."""
        if image.ndim != self.task.rank + 1 or not image.size:
            raise DataError(
                "an image that is not of the model's rank",
                where="image",
                found=f"shape {image.shape}",
                expected=f"{self.task.rank} spatial axes and one of channels",
                remedy="add the axis of channels: image[..., None]" if image.ndim == self.task.rank else "",
            )
        check_image(image, "values")  # clipping to a window would hide them
        original = image.shape[:-1]
        if self.spacing is not None:
            own = _checked(spacing, self.task.rank, self.spacing)
            image = resample_image(image, own, self.spacing, self.interpolation)
        elif image.dtype == bool:
            image = image.astype(np.uint8) * 255  # as black and white files are read
        spatial, size = image.shape[:-1], self.size
        if self.fit in ("resize", "letterbox"):
            image = resize_image(image, size if self.fit == "resize" else letterbox_shape(spatial, size))
        prepared = self.preprocessing.apply(image)
        check_image(prepared, "values after normalisation")
        if self.fit == "letterbox":
            prepared = cut(prepared, pad_start(prepared.shape[:-1], size), size, 0)

        def restore(channel: np.ndarray) -> np.ndarray:
            if self.fit == "resize":
                channel = resize_image(channel[..., None], spatial)[..., 0]
            elif self.fit == "letterbox":
                channel = unletterbox(channel, spatial)
            return channel if self.spacing is None else resample_to(channel, original)

        return prepared, restore


def _checked(spacing: Sequence[float] | None, rank: int, target: Sequence[float]) -> tuple[float, ...]:
    """The image's spacing, where the network has one."""
    if spacing is None or len(spacing) != rank or not all(np.isfinite(step) and step > 0 for step in spacing):
        raise DataError(
            "an image whose spacing is not known, for a model that needs it",
            where="spacing",
            found="none" if spacing is None else list(spacing),
            expected=f"{rank} positive numbers, in mm; the model was trained at {list(target)}",
            remedy="give the spacing of the image, as its header has it",
        )
    return tuple(float(step) for step in spacing)


def _activated(model: keras.Model, task: Task) -> Callable[[np.ndarray], np.ndarray]:
    """The compiled network with its activation: `(B, *size, C)` to `(B, *size, K)`, or `(B, *size, 1)`, the
    foreground, for a binary task. Keras traces it once and then takes any B."""
    import keras

    from seglab.models import heads

    network = logits_model(model)
    probabilities = heads.probabilities(network.outputs[0], task)
    activated = keras.Model(network.inputs, probabilities[..., 1:] if task.binary else probabilities)
    activated.jit_compile = False  # XLA gains nothing here and costs a compilation for every batch size
    return activated.predict_on_batch


def _most_probable(channels: Iterable[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """Index of the largest of the arrays, the first on a tie, with one array at a time in memory."""
    best, ids = None, np.empty(0, dtype)
    for class_id, channel in enumerate(channels):
        if best is None:
            best, ids = channel.copy(), np.zeros(channel.shape, dtype)
            continue
        ids[channel > best] = class_id
        np.maximum(best, channel, out=best)
    return ids
