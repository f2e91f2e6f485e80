"""Runs that can be promoted: made at once, with a real bundle, scores of their cases and pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import toys

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.bundle import Bundle, save_bundle
from seglab.registry.gate import Gate, GateRule
from seglab.task import Task
from seglab.tracking.store import Store
from seglab.tracking.tracker import Tracker

TASK = Task(2, 1, ("background", "cell"), class_frequencies=(0.9, 0.1))
RULE = GateRule(metric="test_dice", direction="higher", threshold=0.5, not_worse_than_champion=True)
GATE = Gate(rules=[RULE], allowed_findings=False)
PICTURES = ("test_cases.png", "test_worst.png")


def made_bundle(folder: Path, task: Task = TASK) -> Path:
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(task.logit_channels, 1)(inputs))
    return save_bundle(
        folder, model, Bundle(task, Preprocessing("scale", 1, 255.0), (8, 8), "resize", split_digest="s")
    )


def picture_of(file: Path) -> Path:
    """A small PNG, another for each name."""
    pixels = np.full((4, 4, 3), len(file.name), np.uint8)
    cv2.imwrite(str(file), pixels)
    return file


def trained(store: Store, bundle: Path | None, *dice: float, names: tuple[str, ...] = TASK.class_names) -> str:
    """A finished run with these scores of its test cases."""
    columns = {"id": [f"{i:03d}" for i in range(len(dice))], "group": "g", "dice": dice, "iou": dice}
    for name in names:
        columns |= {f"dice/{name}": dice, f"iou/{name}": dice}
    tags = {"split_digest": "s", "data_digest": "d", "seed": "1", "git_commit": "c0ffee"}
    params = {"loss": {"name": "DiceLoss"}, "data": {"name": "Cells"}}
    with Tracker(toys.tracking(store.uri), store.directory, run_name="UNet", params=params, tags=tags) as tracked:
        tracked.emit({"test_dice": float(np.mean(dice))}, 1)
        tracked.log_table(pd.DataFrame(columns), "test_cases.csv")
        for picture in PICTURES:
            tracked.log_file(picture_of(store.directory / picture), "pictures")
        if bundle is not None:
            example = np.zeros((1, 8, 8, 1), np.float32)
            tracked.log_bundle(bundle, example=example, prediction=np.zeros((1, 8, 8), np.uint8))
    return tracked.run_id
