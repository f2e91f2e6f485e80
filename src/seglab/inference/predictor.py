"""The one way from an image of any size to its mask. Evaluation, export, service and scripts all come through here.

Nothing here loads TensorFlow; what runs the network may be it, or another runtime.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.preprocessing.spacing import Interpolation
from seglab.errors import naming
from seglab.inference.bundle import Bundle, ResizeMode, check_files, load_bundle, read_bundle
from seglab.inference.cascade import AfterFirstStage
from seglab.inference.checks import check_network, check_probabilities
from seglab.inference.decision import MaskObserver, class_ids
from seglab.inference.loaded_network import Forward, LoadedNetwork
from seglab.inference.postprocessing import Step, postprocessed
from seglab.inference.preparing import Preparing
from seglab.inference.restore_grid import GridRestorer
from seglab.inference.sliding_window import Parted, Prepare, Progress, SlidingWindow
from seglab.task import Task

if TYPE_CHECKING:
    import keras


class Predictor:
    """A trained model behind the data's own preprocessing.

    An image meets the network as the training images did: resampled to their spacing if they were, brought to size in
    its own numbers, normalised, and only then given a border or cut into windows. What happens to an image whose size
    is not the network's:

    - `resize_mode="resize"`: it is resized, and the probabilities are resized back before a class is chosen;
    - `resize_mode="letterbox"`: the same with its proportions kept and a border around it;
    - `resize_mode="pad"`: it is padded when it fits into the network's input, else covered with windows;
    - `resize_mode="patch"`: it is covered with overlapping windows, blended as `SlidingWindow` says.

    Args:
        model: what runs, `(B, *size, C)` to logits; a Keras model becomes one, of whose outputs the first counts.
        task: classes and channels.
        preprocessing: from raw intensities to what the model was trained on.
        size: spatial size of the model's input.
        resize_mode: see above.
        threshold: a binary task's foreground is where its probability is above this.
        spacing: mm between the pixels or voxels that the network knows; None where it takes images as they are.
        interpolation: of axes that this makes finer.
        overlap: of neighbouring windows, in [0, 1).
        flips: spatial axes for test-time flips; the prediction is the mean over all their combinations.
        temperature: logits are divided by it.
        postprocessing: of each mask; what is noticed of a mask (`seen`) is noticed before it.
        first: of the first stage of a cascade, whose mask the network sees; None: none, or images come with their mask.

    Raises:
        DataError: weights that hold NaN or infinite values; a network of another input or other classes.
    """

    def __init__(
        self,
        model: LoadedNetwork | keras.Model,
        task: Task,
        preprocessing: Preprocessing,
        size: tuple[int, ...],
        resize_mode: ResizeMode,
        *,
        threshold: float = 0.5,
        spacing: tuple[float, ...] | None = None,
        interpolation: Interpolation = "linear",
        overlap: float = 0.5,
        flips: tuple[int, ...] = (),
        temperature: float = 1.0,
        postprocessing: tuple[Step, ...] = (),
        first: Predictor | None = None,
    ):
        self.task = task
        self.preprocessing = preprocessing
        self.size, self.resize_mode = tuple(size), resize_mode
        self.threshold, self.first = threshold, first
        self.spacing, self.interpolation = spacing, interpolation
        self.example_spacing: tuple[float, ...] | None = spacing or (None if first is None else first.example_spacing)
        self.temperature, self.postprocessing = temperature, postprocessing
        self.network = _running(model)
        check_network(self.network, task, self.size, preprocessing.network_channels)
        self.windows = SlidingWindow(self.size, overlap, flips, channels=preprocessing.network_channels)
        preparing = Preparing(task, preprocessing, self.size, resize_mode, self.spacing, interpolation, self.windows)
        self._preparing = preparing if first is None else AfterFirstStage(first, preparing)
        self._network = self.network.answering("deciding", task, temperature)

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        overlap: float | None = None,
        flips: Sequence[int] | None = None,
        postprocessing: bool = True,
    ) -> Predictor:
        """The predictor of a saved bundle, with its plan of windows where no other is given.

        Raises:
            DataError: no bundle at `path`, or one that cannot be used.
        """
        choices: dict[str, Any] = {"overlap": overlap, "flips": flips, "postprocessing": postprocessing}
        described = read_bundle(path)
        if described.mixed or described.both_stages:
            from seglab.inference.ensembles import predictor_of

            with naming(str(path)):
                return predictor_of(Path(path), check_files(Path(path)), **choices)
        model, bundle = load_bundle(path)
        with naming(str(path)):
            return cls.of(model, bundle, **choices)

    @classmethod
    def of(
        cls,
        model: LoadedNetwork | keras.Model,
        bundle: Bundle,
        *,
        overlap: float | None = None,
        flips: Sequence[int] | None = None,
        postprocessing: bool = True,
        first: Predictor | None = None,
    ) -> Predictor:
        """The predictor of a network, or of a Keras model in memory, and its bundle."""
        return cls(
            model,
            bundle.image_task,
            bundle.preprocessing,
            bundle.size,
            bundle.resize_mode,
            threshold=bundle.threshold,
            spacing=bundle.spacing,
            interpolation=bundle.interpolation,
            overlap=bundle.overlap if overlap is None else overlap,
            flips=bundle.flips if flips is None else tuple(flips),
            temperature=bundle.temperature,
            postprocessing=bundle.postprocessing if postprocessing else (),
            first=first,
        )

    def predict(
        self,
        image: np.ndarray,
        spacing: Sequence[float] | None = None,
        progress: Progress | None = None,
        seen: MaskObserver | None = None,
    ) -> np.ndarray:
        """The mask of one image.

        Args:
            image: `(*spatial, C)` raw intensities of any numeric dtype and any spatial size.
            spacing: mm between its pixels or voxels along each axis; unused where the network has no spacing.
            progress: told the windows that are done and how many there are; of a cascade those of each stage.
            seen: shown the mask in blocks of whole rows, with the probabilities that it was made of.

        Returns:
            `(*spatial)` class ids in the smallest unsigned dtype that holds them all.

        Raises:
            DataError: the image has another rank or channel count than the task, values that are no finite numbers or
                on another scale than the training images, or no spacing where one is needed; too little memory; or the
                network answers with NaN.
        """
        prepared, prepare, restoring = self._preparing(image, spacing, progress=progress)
        if not restoring.same:
            predicted = self.windows(prepared, self._network, prepare=prepare, progress=progress)
            del prepared
            return self._finished(self._restored_mask(predicted, restoring, seen))
        mask = np.empty(restoring.original, np.min_scalar_type(self.task.classes - 1))
        for rows, block in self.deciding_blocks(prepared, prepare, progress=progress):
            mask[rows] = self.ids_of((block[..., k] for k in range(block.shape[-1])), seen)
        return self._finished(mask)

    def deciding_blocks(
        self,
        image: Parted,
        prepare: Prepare | None,
        *,
        within: tuple[slice, ...] = (),
        progress: Progress | None = None,
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """What `ids_of` makes a mask of, in blocks of whole rows; see `SlidingWindow.blocks`."""
        blocks = self.windows.blocks(image, self._network, within=within, prepare=prepare, progress=progress)
        for rows, block in blocks:
            check_probabilities(block)
            yield rows, block

    def predict_probabilities(
        self, image: np.ndarray, spacing: Sequence[float] | None = None, progress: Progress | None = None
    ) -> np.ndarray:
        """The class probabilities of one image: `(*spatial, K)` float32, summing to 1 over the last axis; of a task
        with regions the probability of each, `(*spatial, R)`.

        Args and errors as for `predict`.
        """
        channels = self.task.probability_channels
        prepared, prepare, restoring = self._preparing(image, spacing, channels, channels, progress)
        predicted = self.windows(prepared, self._probable, prepare=prepare, progress=progress)
        del prepared
        check_probabilities(predicted)
        if restoring.same:
            return predicted
        probabilities = np.empty((*restoring.original, channels), np.float32)
        for class_id in range(channels):
            probabilities[..., class_id] = restoring.channel(predicted[..., class_id])
        return probabilities

    def add_probabilities(
        self,
        total: np.ndarray,
        share: np.float32,
        image: np.ndarray,
        spacing: Sequence[float] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Add a share of what `predict_probabilities` gives to `total`, without a second such array."""
        prepared, prepare, restoring = self._preparing(image, spacing, progress=progress)
        if restoring.same:
            for rows, block in self.windows.blocks(prepared, self._probable, prepare=prepare, progress=progress):
                check_probabilities(block)
                total[rows] += share * block
            return
        predicted = self.windows(prepared, self._probable, prepare=prepare, progress=progress)
        del prepared
        check_probabilities(predicted)
        for class_id in range(self.task.probability_channels):
            total[..., class_id] += share * restoring.channel(predicted[..., class_id])

    def mask_of(self, probabilities: np.ndarray, seen: MaskObserver | None = None) -> np.ndarray:
        """The mask `(*spatial)` that `predict` makes of the probabilities `(*spatial, K)` of the same image."""
        deciding = (probabilities[..., k] for k in range(self.task.binary, probabilities.shape[-1]))
        return self._finished(self.ids_of(deciding, seen))

    def predict_drawn(
        self, image: np.ndarray, spacing: Sequence[float] | None, places: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The mask of `predict`, and at some places the logarithms of what `predict_probabilities` gives there.

        These come from the logits and are exact where float32 rounds a probability to 0 or 1. Of a task with regions
        they are of being in each, and then of being outside of each.

        Args:
            image, spacing: as for `predict`; so are the errors.
            places: `(N,)` flat indices into the image's pixels or voxels.

        Returns:
            The mask `(*spatial)`, and `(N, task.log_channels)` float32.
        """
        count = self.task.log_channels
        prepared, prepare, restoring = self._preparing(image, spacing, self.task.logit_channels + count)
        predicted = self.windows(prepared, self._drawing, logs=count, prepare=prepare)
        del prepared
        probabilities, logs = np.split(predicted, [-count], axis=-1)
        return self._finished(self._restored_mask(probabilities, restoring)), restoring.logs_at(logs, places)

    def inputs(self, image: np.ndarray, spacing: Sequence[float] | None = None, at_most: int = 1) -> np.ndarray:
        """What the network is given of one image: `(N, *size, C)` float32, N windows spread evenly over it, at most so
        many and no fewer than one; of one, that in the middle. Args and errors as for `predict`."""
        prepared, prepare, _ = self._preparing(image, spacing)
        return self.windows.some(prepared, at_most, prepare)

    @cached_property
    def _probable(self) -> Forward:
        """The network with the probabilities of all classes."""
        return self.network.answering("probabilities", self.task, self.temperature)

    @cached_property
    def _drawing(self) -> Forward:
        """The network with what decides, and after it the logarithms of all classes' probabilities."""
        return self.network.answering("drawing", self.task, self.temperature)

    def _finished(self, mask: np.ndarray) -> np.ndarray:
        return postprocessed(mask, self.postprocessing)

    def ids_of(self, channels: Iterator[np.ndarray], seen: MaskObserver | None = None) -> np.ndarray:
        """The class ids of channels that decide, before postprocessing; see `class_ids`."""
        return class_ids(channels, self.task, self.threshold, seen)

    def _restored_mask(
        self, predicted: np.ndarray, restoring: GridRestorer, seen: MaskObserver | None = None
    ) -> np.ndarray:
        """Class ids at the image's own size, with one channel of it at a time in memory."""
        check_probabilities(predicted)
        return self.ids_of((restoring.channel(predicted[..., k]) for k in range(predicted.shape[-1])), seen)


def _running(model: LoadedNetwork | keras.Model) -> LoadedNetwork:
    if isinstance(model, LoadedNetwork):
        return model
    from seglab.inference.backends.keras import KerasNetwork

    return KerasNetwork(model)
