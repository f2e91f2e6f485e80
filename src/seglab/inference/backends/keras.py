"""Keras, the reference: the model as it was trained, its activation within the graph."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.inference.bundle import logits_model
from seglab.inference.checks import check_weights
from seglab.inference.loaded_network import Answer, Forward, LoadedNetwork
from seglab.task import Task

if TYPE_CHECKING:
    import keras


class KerasNetwork(LoadedNetwork):
    """A Keras model.

    Args:
        model: takes `(B, *size, C)`, returns logits; of several outputs the first.

    Raises:
        DataError: weights that hold NaN or infinite values.
    """

    name = "keras"

    def __init__(self, model: keras.Model):
        check_weights(model)
        self._model = model
        *size, self.channels = model.inputs[0].shape[1:]
        self.size = tuple(size)
        self.outputs = int(model.outputs[0].shape[-1])
        computed = {layer.compute_dtype for layer in every_layer(model) if layer.weights}
        self.precision = next((kind for kind in ("bfloat16", "float16") if kind in computed), "float32")
        self._bare: Forward | None = None

    def logits(self, images: np.ndarray) -> np.ndarray:
        if self._bare is None:
            self._bare = _compiled(self._model, lambda logits: logits)
        return self._bare(images)

    def answering(self, answer: Answer, task: Task, temperature: float = 1.0) -> Forward:
        activation = _ACTIVATIONS[answer]
        if temperature == 1:
            return _compiled(self._model, lambda logits: activation(logits, task))
        return _compiled(self._model, lambda logits: activation(logits / temperature, task))


def every_layer(model: keras.Model) -> Iterator[keras.Layer]:
    """Those of members too, which are models within the model."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from every_layer(layer)
        else:
            yield layer


def _compiled(model: keras.Model, activation: Callable[[Any], Any]) -> Forward:
    """The compiled network with an activation: `(B, *size, C)` to `(B, *size, …)`. Keras traces it once and then takes
    any B."""
    import keras

    logging.getLogger("tensorflow").addFilter(_no_retracing)
    network = logits_model(model)
    activated = keras.Model(network.inputs, activation(network.outputs[0]))
    # XLA gains TensorFlow nothing here and costs a compilation for every batch size; JAX has nothing else.
    activated.jit_compile = keras.backend.backend() == "jax"
    return activated.predict_on_batch


def _no_retracing(record: logging.LogRecord) -> bool:
    """TensorFlow takes many networks in one process, such as those of folds, for one that is traced again and again."""
    return "triggered tf.function retracing" not in str(record.msg)


def _probabilities(logits: Any, task: Task) -> Any:
    from seglab.models import heads

    return heads.probabilities(logits, task)


def _deciding(logits: Any, task: Task) -> Any:
    found = _probabilities(logits, task)
    return found[..., 1:] if task.binary else found


def _drawing(logits: Any, task: Task) -> Any:
    from keras import ops

    from seglab.models import heads

    return ops.concatenate([_deciding(logits, task), heads.log_probabilities(logits, task)], axis=-1)


_ACTIVATIONS: dict[Answer, Callable[[Any, Task], Any]] = {
    "deciding": _deciding,
    "probabilities": _probabilities,
    "drawing": _drawing,
}
