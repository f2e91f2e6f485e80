"""Shared by the tests of prediction: networks whose answer is known without computing it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.predictor import Predictor
from seglab.task import Task

BINARY = Task(rank=2, channels=1, class_names=("background", "object"))


THREE = Task(rank=2, channels=1, class_names=("background", "a", "b"))


VOLUME = Task(rank=3, channels=1, class_names=("background", "object"))


AS_IS = Preprocessing("scale", channels=1)


def pixelwise(task: Task, size: tuple[int, ...], slopes: list[float], offsets: list[float]) -> keras.Model:
    """Logit k of a pixel of intensity v is slopes[k] · v + offsets[k], whatever is around it."""
    convolution = {2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[task.rank](task.logit_channels, 1)
    image = keras.Input((*size, task.channels))
    model = keras.Model(image, convolution(image))
    convolution.set_weights([np.reshape(slopes, convolution.kernel.shape), np.asarray(offsets)])
    return model


def blurring(size: tuple[int, ...]) -> keras.Model:
    """One that sees a neighbourhood."""
    keras.utils.set_random_seed(1)
    image = keras.Input((*size, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    return keras.Model(image, keras.layers.Conv2D(1, 3, padding="same")(x))


# Above 0.5 is the object: 10 · 0.5 - 5 = 0.
ABOVE_HALF = ([10.0], [-5.0])


@pytest.fixture(scope="module")
def windows() -> Predictor:
    return Predictor(pixelwise(BINARY, (16, 16), *ABOVE_HALF), BINARY, AS_IS, (16, 16), "patch")
