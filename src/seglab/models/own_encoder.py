"""Encoders that are built here and not taken from keras.applications: one nested model, and weights from a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from seglab.errors import ConfigError


def encoded(image: Any, build: Callable[[Any], list[Any]], weights: str | None) -> list[Any]:
    """Features of an image by an encoder whose layers lie in one nested model with the name `encoder`.

    Args:
        image: symbolic input.
        build: makes the features, several of them, of such an input.
        weights: a file that `encoder.save_weights` wrote (`.weights.h5`), or None for random weights.

    Raises:
        ConfigError: the weights are those of another encoder, or the file is none.
    """
    inner = keras.Input(image.shape[1:], dtype=image.dtype, name="features_of")
    model = keras.Model(inner, build(inner), name="encoder")
    if weights is not None:
        _load(model, weights)
    return list(model(image))


def _load(model: keras.Model, weights: str) -> None:
    try:
        model.load_weights(weights)
    except Exception as error:  # of many kinds: what HDF5 cannot read, and what does not fit
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"encoder weights that do not fit this model ({first})",
            code="encoder-weights-mismatch",
            where="model.weights",
            found=weights,
            expected="weights of the same encoder, for as many channels of the image",
            remedy='write them with model.get_layer("encoder").save_weights("<name>.weights.h5")',
        ) from error
