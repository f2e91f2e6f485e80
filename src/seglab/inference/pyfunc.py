"""The bundle as an MLflow model, without pickle: what `predict` takes, and what it says of what it does not take.

MLflow itself is not needed here. A recorded model names `seglab_model`, a file of its own folder, as its loader, which
comes here; models that were recorded before name this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seglab.errors import DataError
from seglab.inference.bundle import Bundle
from seglab.inference.model_usage import axes, input_in_words
from seglab.inference.predictor import Predictor

# Whole numbers of other types, as JSON brings them, in the type that the training files have.
_FILE_TYPES: dict[str, np.dtype] = {"bytes": np.dtype(np.uint8), "words": np.dtype(np.uint16)}


class SegmentationModel:
    """What `mlflow.pyfunc.load_model` wraps: images to their masks."""

    def __init__(self, predictor: Predictor):
        self.predictor = predictor
        self._task = predictor.task

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> np.ndarray | list[np.ndarray]:
        """Masks of a batch, or of one image.

        Args:
            model_input: raw intensities as the training files have them, of any real type and any spatial size: an
                image `(*spatial, C)`, also `(*spatial)` where C is 1, or a batch `(N, *spatial, C)`; as an array or as
                nested lists. A list of images may hold different sizes; so may the one column of a table or the one
                entry of a dictionary.
            params: `spacing`, mm along each axis of the images; without it, or with an empty one, they have the
                network's own.

        Returns:
            Class ids `(*spatial)` of an image, `(N, *spatial)` of a batch; a list of masks where their sizes differ.

        Raises:
            DataError: what is no such image, with what the model wants; images that `Predictor.predict` refuses.
        """
        spacing = (params or {}).get("spacing", ())
        if not len(spacing):
            spacing = self.predictor.spacing
        found = self._arrays(model_input)
        if isinstance(found, np.ndarray) and found.ndim <= self._task.rank + 1:
            return self._mask(found, spacing, "image")
        if not len(found):
            raise self._refused(
                "no image in a batch", "no-image", "model_input", f"shape {np.shape(model_input)}, 0 images"
            )
        masks = [self._mask(image, spacing, f"image {k + 1} of {len(found)}") for k, image in enumerate(found)]
        return np.stack(masks) if len({mask.shape for mask in masks}) == 1 else masks

    def _arrays(self, found: Any) -> np.ndarray | list[np.ndarray]:
        """One array, of an image or a batch, or a list of images of different sizes."""
        if isinstance(found, Mapping) or hasattr(found, "columns"):
            names = list(found)
            if len(names) != 1:
                refused = f"{len(names)} columns" + (f": {', '.join(map(str, names[:5]))} …" if names else "")
                raise self._refused(
                    "a table that is not of one column of images", "table-of-images", "model_input", refused
                )
            found = list(found[names[0]])
        if isinstance(found, (str, bytes, Path)) or found is None:
            refused = "nothing" if found is None else f"a {type(found).__name__}"
            raise self._refused(
                "no image", "no-image", "model_input", refused, "read the file first, such as with imageio.v3.imread"
            )
        try:
            whole = np.asarray(found)
            if whole.dtype == object and whole.ndim == 1 and len(whole):
                return [np.asarray(one) for one in whole]
            return whole
        except ValueError:  # images of different sizes in one list
            return [np.asarray(one) for one in found]

    def _mask(self, image: np.ndarray, spacing: Any, name: str) -> np.ndarray:
        task = self._task
        if image.ndim == task.rank and task.channels == 1 and image.size:
            image = image[..., None]
        if image.ndim != task.rank + 1 or not image.size:
            raise self._refused("an image that is not of the model's rank", "image-rank", name, f"shape {image.shape}")
        if image.shape[-1] != task.channels:
            first = image.shape[0] == task.channels
            remedy = "its channels lie first: numpy.moveaxis(image, 0, -1)" if first else ""
            refused = f"shape {image.shape}: {_counted(image.shape[-1])} in the last axis"
            raise self._refused(
                f"an image without the model's {_counted(task.channels)}", "image-channels", name, refused, remedy
            )
        kind = _FILE_TYPES.get(self.predictor.preprocessing.scale)
        if kind is not None and image.dtype.kind in "iu" and image.min() >= 0 and image.max() <= np.iinfo(kind).max:
            image = image.astype(kind, copy=False) if image.dtype.itemsize > 2 else image
        try:
            return self.predictor.predict(image, spacing)
        except DataError as error:
            raise self._refused(
                error.what,
                error.code,
                name if error.where == "image" else error.where,
                error.found,
                error.remedy,
                error.expected,
            ) from error

    def _refused(
        self, what: str, code: str, where: str, found: object, remedy: str = "", expected: str = ""
    ) -> DataError:
        wanted = input_in_words(self._task, self.predictor.preprocessing)
        return DataError(
            what,
            code=code,
            where=where,
            found=found,
            expected=f"{expected}; the model takes {wanted}" if expected else wanted,
            remedy=remedy or f"resize it to ({axes(self._task)}, {self._task.channels}) as the training files have it",
        )


def _counted(channels: int) -> str:
    return "one channel" if channels == 1 else f"{channels} channels"


def _load_pyfunc(path: str) -> SegmentationModel:
    """Called by MLflow with the folder of the bundle."""
    return SegmentationModel(Predictor.load(path))


def input_example(bundle: Bundle) -> np.ndarray:
    """One image of the network's own size, `(1, *size, C)` float32: a gradient from black to full brightness.

    Channels of a prompt or of a first stage's mask, behind those of the image, are 1 in its brighter half and else 0.
    """
    shape = (1, *bundle.size, bundle.task.channels)
    ramp = np.linspace(0, bundle.preprocessing.unit, bundle.size[0], dtype=np.float32)
    image = np.broadcast_to(ramp.reshape(1, -1, *[1] * bundle.task.rank), shape).copy()
    behind = image[..., bundle.preprocessing.channels :]
    behind[...] = behind > bundle.preprocessing.unit / 2
    return image
