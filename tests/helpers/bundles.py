"""Shared by the tests of bundles: a small network, its description, and the folder of both."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.bundle import Bundle, save_bundle
from seglab.models.unet import unet
from seglab.task import Task

TASK = Task(
    rank=2,
    channels=1,
    class_names=("background", "Zelle", "细胞核"),
    class_colors=((0, 0, 0), (250, 10, 10), (10, 250, 10)),
    ignore_label=255,
    class_frequencies=(0.8, 0.15, 0.05),
)


BUNDLE = Bundle(
    task=TASK,
    preprocessing=Preprocessing("standard", 1, 255.0, (0.1,), (0.3,)),
    size=(16, 16),
    resize_mode="patch",
    threshold=0.4,
    split_digest="abc",
    config={"model": {"name": "UNet"}, "seed": 0},
)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    network = unet(TASK, (16, 16), depth=1, width=4)
    network.compile(optimizer="adam", loss="mse")
    network.optimizer.build(network.trainable_variables)
    return network


@pytest.fixture
def path(model: keras.Model, tmp_path: Path) -> Path:
    return save_bundle(tmp_path / "out" / "bundle", model, BUNDLE)


def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (21, 30, 1)).astype(np.uint8)
