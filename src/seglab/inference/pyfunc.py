"""The bundle as an MLflow model: `loader_module="seglab.inference.pyfunc"`, `data_path=<bundle>`, and no pickle.

MLflow itself is not needed here; it imports this module by name when it loads the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seglab.inference.bundle import Bundle
from seglab.inference.predictor import Predictor


class SegmentationModel:
    """What `mlflow.pyfunc.load_model` wraps: a batch of images to their masks."""

    def __init__(self, predictor: Predictor):
        self.predictor = predictor

    def predict(self, model_input: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        """Masks of a batch, or of one image.

        Args:
            model_input: `(N, *spatial, C)` or `(*spatial, C)` raw intensities of any spatial size.
            params: `spacing`, mm along each axis of the images; without it, or with an empty one, they have the
                network's own.

        Returns:
            `(N, *spatial)` or `(*spatial)` class ids.

        Raises:
            DataError: images that `Predictor.predict` refuses.
        """
        images = np.asarray(model_input)
        spacing = (params or {}).get("spacing", ())
        if not len(spacing):
            spacing = self.predictor.spacing
        if images.ndim == self.predictor.task.rank + 2 and len(images):
            return np.stack([self.predictor.predict(image, spacing) for image in images])
        return self.predictor.predict(images, spacing)


def _load_pyfunc(path: str) -> SegmentationModel:
    """Called by MLflow with the folder of the bundle."""
    return SegmentationModel(Predictor.load(path))


def input_example(bundle: Bundle) -> np.ndarray:
    """One image of the network's own size, `(1, *size, C)` float32: a gradient from black to full brightness."""
    shape = (1, *bundle.size, bundle.task.channels)
    ramp = np.linspace(0, bundle.preprocessing.unit, bundle.size[0], dtype=np.float32)
    return np.broadcast_to(ramp.reshape(1, -1, *[1] * bundle.task.rank), shape).copy()
