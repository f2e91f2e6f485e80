"""Shared by the tests of models: every architecture, as small as it can be built."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from seglab.models import encoders
from seglab.models.segformer import VARIANTS, SegFormerSizes
from seglab.task import Task

NAMES = ("background", "a", "b", "c", "d")


def task(rank: int, channels: int = 1, classes: int = 2) -> Task:
    return Task(rank=rank, channels=channels, class_names=NAMES[:classes])


def tiny_classifier(include_top: bool, weights: str | None, input_shape: tuple) -> keras.Model:
    """A stand-in for keras.applications: five strided stages. The real ones take seconds and have their own tests."""
    x = image = keras.Input(input_shape)
    for stage in range(1, 6):
        x = layers.Conv2D(4, 3, strides=2, padding="same", name=f"stage{stage}_down")(x)
        x = layers.BatchNormalization(name=f"stage{stage}_norm")(x)
        x = layers.Conv2D(4 + stage, 3, padding="same", activation="elu", name=f"stage{stage}_out")(x)
    return keras.Model(image, x)


TINY = encoders.Encoder(
    tiny_classifier,
    "symmetric",
    {2**stage: f"stage{stage}_out" for stage in range(1, 6)},
    {16: "stage4_.*", 32: "stage5_.*"},
)


@pytest.fixture(autouse=True)
def tiny_encoder_and_clean_state(monkeypatch):
    monkeypatch.setitem(encoders.ENCODERS, "mobilenetv3", TINY)
    monkeypatch.setitem(VARIANTS, "b0", SegFormerSizes((4, 8, 10, 16), (1, 1, 1, 2), 8))
    keras.utils.set_random_seed(1)
    yield
    keras.config.set_dtype_policy("float32")


def forward(model: keras.Model, x: np.ndarray) -> Any:
    """Inference; compiled on JAX, where single operations take longer, and not on TensorFlow, where tracing does."""
    if keras.backend.backend() == "jax":
        return model.predict_on_batch(x)
    return keras.tree.map_structure(ops.convert_to_numpy, model(x, training=False))
