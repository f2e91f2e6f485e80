"""One graph from raw 8-bit pixels to class ids: resize, normalisation, network, resize back and choice of the class.

What `Predictor` does to an image of one size, written in the graph, so that a vehicle's program calls one function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.data.preprocessing.geometry import pad_start, resizing
from seglab.errors import ConfigError
from seglab.inference.bundle import Bundle
from seglab.inference.spatial import SpatialTransform

if TYPE_CHECKING:
    import keras


def check_size(bundle: Bundle, size: Sequence[int]) -> None:
    """See that an image of `size` goes through the network as a whole; raises `ConfigError`."""
    if bundle.resize_mode in ("pad", "patch") and any(side > own for side, own in zip(size, bundle.size, strict=True)):
        raise ConfigError(
            "an image that would have to be covered with windows, which no graph does",
            code="export-graph",
            where="image_size",
            found=f"{list(size)}, with data.resize_mode={bundle.resize_mode}",
            expected=f"no side longer than that of the network's input, {list(bundle.size)}",
            remedy="a smaller image_size, or a model trained with data.resize_mode=resize or letterbox",
        )


def end_to_end(model: keras.Model, bundle: Bundle, size: Sequence[int]) -> keras.Model:
    """`(B, *size, C)` uint8 to class ids `(B, *size)` uint8.

    Args:
        model: in float32, to logits.
        bundle: what goes with it; of 2D images that are normalised number by number.
        size: of the image.
    """
    import keras

    image = _image(bundle, size)
    return keras.Model(image, _deciding(model(_entering(image, bundle, size)), bundle, size))


def around(bundle: Bundle, size: Sequence[int]) -> tuple[keras.Model, keras.Model]:
    """What `end_to_end` puts before a network and behind it: `(B, *size, C)` uint8 to the network's input, and logits
    to class ids `(B, *size)` uint8."""
    import keras

    image, logits = _image(bundle, size), keras.Input((*bundle.size, bundle.task.logit_channels), name="logits")
    return keras.Model(image, _entering(image, bundle, size)), keras.Model(logits, _deciding(logits, bundle, size))


def _image(bundle: Bundle, size: Sequence[int]) -> Any:
    import keras

    return keras.Input((*size, bundle.task.channels), dtype="uint8", name="image")


def _border(bundle: Bundle, way: SpatialTransform) -> list[tuple[int, int]]:
    starts = [-start for start in pad_start(way.inner, bundle.size)]
    return [(before, full - side - before) for before, full, side in zip(starts, bundle.size, way.inner, strict=True)]


def _entering(image: Any, bundle: Bundle, size: Sequence[int]) -> Any:
    from keras import ops

    way = SpatialTransform.of(size, bundle.size, bundle.resize_mode)
    x = ops.cast(image, "float32")
    if way.inner != way.original:
        x = ops.round(_resized(x, way.original, way.inner, bundle.task.channels))  # 8-bit images stay whole numbers
    x = _normalised(x, bundle)
    # Not by a padding: OpenVINO joins one with the convolution behind it, and gets the shapes wrong.
    border = zip(_border(bundle, way), bundle.size, way.inner, strict=True)
    placed = [np.eye(full, side, -before, np.float32) for (before, _), full, side in border]
    return _multiplied(x, placed, bundle.task.channels)


def _deciding(x: Any, bundle: Bundle, size: Sequence[int]) -> Any:
    from keras import ops

    task, way = bundle.task, SpatialTransform.of(size, bundle.size, bundle.resize_mode)
    if bundle.temperature != 1:
        x = x / bundle.temperature
    x = ops.sigmoid(x) if task.binary or task.regions else ops.softmax(x, axis=-1)
    border = _border(bundle, way)
    if any(map(any, border)):
        (top, _), (left, _) = border
        x = x[:, top : top + way.inner[0], left : left + way.inner[1], :]
    if way.inner != way.original:
        x = _resized(x, way.inner, way.original, task.logit_channels)
    if task.regions:
        chosen = _painted(x, bundle)
    else:
        chosen = ops.greater(x[..., 0], bundle.threshold) if task.binary else _most_probable(x, task.classes)
    return ops.cast(chosen, "uint8")


def _painted(x: Any, bundle: Bundle) -> Any:
    from keras import ops

    ids: Any = 0.0  # a plane of zeros would be one more output of OpenVINO's
    for number, region in enumerate(bundle.task.regions):
        ids = ops.where(ops.greater(x[..., number], bundle.threshold), float(region.paints), ids)
    return ids


def _most_probable(x: Any, classes: int) -> Any:
    """Index of the largest along the last axis, the first on a tie: Keras's argmax is of operations that no runtime
    but TensorFlow has."""
    from keras import ops

    best = x[..., 0]
    ids = ops.zeros_like(best)
    for k in range(1, classes):
        ids = ops.where(ops.greater(x[..., k], best), float(k), ids)
        best = ops.maximum(best, x[..., k])
    return ids


def _normalised(x: Any, bundle: Bundle) -> Any:
    """What `Preprocessing.apply` does, in its order."""
    from keras import ops

    given = bundle.preprocessing
    low, high, mean, std = (np.asarray(values, np.float32) for values in (given.low, given.high, given.mean, given.std))
    x = x / np.float32(255.0 if given.scale == "own" else given.unit)
    if given.mode == "window":
        x = ops.minimum(ops.maximum(x, low), high)
    return (x - mean) / std if given.mode in ("standard", "window") else x


def _resized(x: Any, old: Sequence[int], new: Sequence[int], channels: int) -> Any:
    """What `resize_image` does to `(B, *old, C)`."""
    return _multiplied(x, [resizing(*sides).toarray() for sides in zip(old, new, strict=True)], channels)


def _multiplied(x: Any, matrices: Sequence[np.ndarray], channels: int) -> Any:
    """The product of each axis of `(B, H, W, C)` with its matrix `(new, old)`, where that changes its length."""
    from keras import ops

    (rows, height), (columns, width) = (matrix.shape for matrix in matrices)
    if rows != height:
        x = ops.matmul(matrices[0], ops.reshape(x, (-1, height, width * channels)))
        x = ops.reshape(x, (-1, rows, width, channels))
    if columns != width:
        x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, width, rows * channels))
        x = ops.reshape(ops.matmul(matrices[1], x), (-1, columns, rows, channels))
        x = ops.transpose(x, (0, 2, 1, 3))
    return x
