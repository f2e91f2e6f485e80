"""Shared by the tests of training: a net that learns in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import toys

from seglab.training.fit import train

TIMES = {"images_per_second", "epoch_seconds", "data_wait_share"}


def fit(tmp_path: Path, epochs: int = 3, **changes: Any) -> Any:
    """Train the toy; `changes` go to `train`, those of its settings as `settings`."""
    given: dict[str, Any] = {
        "model": changes.pop("model", None) or toys.net(),
        "loss": toys.CrossEntropy(),
        "optimizer": keras.optimizers.Adam(0.02),
        "metrics": [toys.Overlap()],
        "train": toys.Squares(3),
        "val": toys.Squares(2),
        "settings": toys.trainer(epochs, **changes.pop("settings", {})),
        "work_dir": tmp_path,
        "emit": lambda metrics, epoch: None,
        "stream": None,
    }
    return train(**(given | changes))


def trainable(model: keras.Model, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Of arrays in the order of `model.variables`, those of trainable ones."""
    return [array for variable, array in zip(model.variables, arrays, strict=True) if variable.trainable]
