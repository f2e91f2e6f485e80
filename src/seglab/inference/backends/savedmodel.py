"""TensorFlow's SavedModel, for programs that have TensorFlow anyway."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seglab.inference.loaded_network import OneByOne


class SavedModelNetwork(OneByOne):
    """A SavedModel of one fixed size.

    Args:
        folder: with the `saved_model.pb`.
    """

    name = "savedmodel"

    def __init__(self, folder: Path):
        import tensorflow as tf

        self._loaded = tf.saved_model.load(str(folder))  # what is served goes when this goes
        self._serve = self._loaded.signatures["serving_default"]
        ((self._input, given),) = self._serve.structured_input_signature[1].items()
        ((self._output, answer),) = self._serve.structured_outputs.items()
        _, *size, self.channels = (int(side) for side in given.shape)
        self.size, self.outputs, self.precision = tuple(size), int(answer.shape[-1]), "float32"

    def run(self, one: np.ndarray) -> np.ndarray:
        import tensorflow as tf

        answer = self._serve(**{self._input: tf.constant(one)})[self._output]
        return np.asarray(answer)
