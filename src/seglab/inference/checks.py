"""A network of the right size, and nothing but finite numbers in, through and out of it: a NaN on the way makes a mask
background unsaid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seglab.errors import DataError
from seglab.task import Task

if TYPE_CHECKING:
    import keras

    from seglab.inference.loaded_network import LoadedNetwork


def check_weights(model: keras.Model) -> None:
    """See that every weight is a finite number; raises `DataError` with how many are not and where the first is."""
    import keras

    bad, first = 0, ""
    for variable in model.variables:
        if not keras.backend.is_float_dtype(variable.dtype):
            continue
        wrong = int((~np.isfinite(keras.ops.convert_to_numpy(variable))).sum())
        if wrong:
            bad, first = bad + wrong, first or variable.path
    if bad:
        raise DataError(
            "a model whose weights hold NaN or infinite values",
            code="model-not-finite",
            where="model",
            found=f"{bad} of {model.count_params()} numbers, the first in {first}",
            expected="finite numbers",
            remedy="use another run, or train it again with a lower learning rate or optimizer.clip_norm",
        )


def check_rank(image: np.ndarray, task: Task) -> None:
    """See that an image has the axes that a task's images have; raises `DataError`."""
    if image.ndim != task.rank + 1 or not image.size:
        raise DataError(
            "an image that is not of the model's rank",
            code="image-rank",
            where="image",
            found=f"shape {image.shape}",
            expected=f"{task.rank} spatial axes and one of channels",
            remedy="add the axis of channels: image[..., None]" if image.ndim == task.rank else "",
        )


def check_image(image: np.ndarray, what: str = "values") -> None:
    """See that an image holds numbers, all of them finite; raises `DataError`, which calls them `what`."""
    if image.dtype.kind not in "buif":
        raise DataError(
            "an image that is not of numbers",
            code="image-not-numeric",
            where="image",
            found=f"dtype {image.dtype}",
            expected="whole numbers or floats",
            remedy="convert it: image.astype(numpy.float32)",
        )
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise DataError(
            "an image with NaN or infinite values",
            code="image-not-finite",
            where="image",
            found=f"{int((~np.isfinite(image)).sum())} of {image.size} {what}",
            expected="finite numbers",
            remedy="replace them before prediction",
        )


def check_probabilities(probabilities: np.ndarray) -> None:
    """See that a model has answered with numbers; raises `DataError`."""
    if np.isnan(probabilities.min()):  # no copy, and NaN is the smallest of all
        raise DataError(
            "a model that predicts values which are no numbers",
            code="model-not-finite",
            where="prediction",
            found=f"{int(np.isnan(probabilities).sum())} of {probabilities.size} probabilities are NaN",
            expected="probabilities from 0 to 1",
            remedy="look for values far from those it was trained on; else use another run, or train it again with a "
            "lower learning rate or optimizer.clip_norm",
        )


def check_network(network: LoadedNetwork, task: Task, size: tuple[int, ...], channels: int) -> None:
    """See that a network takes images of this size and channels and gives the logits of a task; raises `DataError`."""
    found, wanted = (network.size, network.channels), (size, channels)
    if found == wanted and network.outputs == task.logit_channels:
        return
    raise DataError(
        "a network that is not of the size or the classes that it is used for",
        code="network-mismatch",
        where=f"a {network.name} network",
        found=f"input {(*network.size, network.channels)}, {network.outputs} channels of logits",
        expected=f"input {(*size, channels)}, {task.logit_channels}",
        remedy="use it with what it was saved or exported with",
    )
