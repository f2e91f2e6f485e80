"""Images in files, a model whose masks are known, and its masks as the predict command makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.bundle import Bundle
from seglab.inference.predict_files import plan_files, predict_plan
from seglab.inference.predictor import Predictor
from seglab.task import Task


def predict_files(predictor: Predictor, words: Sequence[Path | str], out: Path | str, **how: Any) -> list[Path]:
    """The masks' paths, in the order of the images; `how` are arguments of `plan_files`."""
    return predict_plan(predictor, plan_files(predictor.task, words, out, **how)).masks


def above_half(rank: int) -> tuple[keras.Model, Bundle]:
    """A model whose object is whatever is brighter than 0.5 (10 · 0.5 - 5 = 0)."""
    task = Task(rank=rank, channels=1, class_names=("background", "object"))
    size = (8,) * rank
    convolution = {2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[rank](1, 1)
    image = keras.Input((*size, 1))
    model = keras.Model(image, convolution(image))
    convolution.set_weights([np.full(convolution.kernel.shape, 10.0), np.array([-5.0])])
    return model, Bundle(task, Preprocessing("scale", 1, 255.0 if rank == 2 else 1.0), size, "patch")


def pictures(folder: Path) -> tuple[list[Path], np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (11, 19), dtype=np.uint8)
    files = [folder / "ä one.png", folder / "two.TIF", folder / "three.bmp"]
    for file in files:
        Image.fromarray(pixels).save(file)
    return files, pixels > 127
