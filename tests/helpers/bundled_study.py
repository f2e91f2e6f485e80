"""Runs of a study as training leaves them, with bundle, split, machine, cases and pictures; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import toys
from PIL import Image

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.splits import Split
from seglab.inference.bundle import Bundle, save_bundle
from seglab.models.unet import unet
from seglab.runtime.reproducibility import environment
from seglab.task import Task
from seglab.tracking.tracker import Tracker

SIZE = (16, 24)
SPLIT = Split(tuple(f"a{n}" for n in range(5)), ("b0", "b1"), tuple(f"c{n}" for n in range(4)))
TASK = Task(2, 1, ("background", "cell"), class_frequencies=(0.875, 0.125))


def record(
    folder: Path,
    loss: str,
    scores: Sequence[float],
    *,
    augment: str = "",
    seed: int = 0,
    epoch_seconds: float = 1.0,
    tags: dict[str, str] | None = None,
    metrics: dict[str, float] | None = None,
    pictures: Sequence[str] = ("training_samples",),
    task: Task = TASK,
    with_bundle: bool = True,
) -> str:
    """A finished run with bundle, split, environment and the scores of its test cases; returns its id."""
    params: dict[str, object] = {
        "model": {"name": "UNetMini", "_target_": "seglab.models.unet.unet", "depth": 2, "width": 4}
    }
    params |= {"loss": {"name": loss, "_target_": f"seglab.losses.region.{loss}"}, "optimizer": {"name": "Adam"}}
    params |= {"augment": {"name": augment}} if augment else {}
    params |= {"data": {"name": "Cells", "batch_size": 8}, "trainer": {"epochs": 2}, "seed": seed}
    known = {"config_digest": f"{loss}{augment}{seed}", "data_digest": "d", "split_digest": SPLIT.digest()}
    known |= {"seed": str(seed), "study": "cells"}
    known |= {"data_allowed": "group-in-two-splits", "git_dirty": "True", "device": "CPU", "precision": "float32"}
    name = f"UNetMini_{loss}_Adam"
    made_in = toys.tracking(None)
    with Tracker(made_in, folder / "mlruns", run_name=name, params=params, tags=known | (tags or {})) as tracker:
        if with_bundle:
            log_model(tracker, task)
        tracker.log_text(SPLIT.to_json(), "config/split.json")
        tracker.log_json(environment(Path(__file__).parent), "config/environment.json")
        table = pd.DataFrame({"id": SPLIT.test, "group": SPLIT.test, "dice": scores, "iou": scores})
        for score in ("dice", "iou"):
            for name in task.class_names:
                table[f"{score}/{name}"] = scores
        tracker.log_table(table, "test_cases.csv")
        for epoch in (1, 2):
            tracker.emit({"val_dice": epoch / 4, "epoch_seconds": epoch_seconds, **(metrics or {})}, epoch)
        for number, stem in enumerate(pictures):
            picture = tracker.work_dir / f"{stem}.png"
            Image.fromarray(np.full((20 + number, 20, 3), 128, np.uint8)).save(picture)
            tracker.log_file(picture, "pictures")
    return tracker.run_id


def log_model(tracker: Tracker, task: Task) -> None:
    """An untrained network with all that goes with it."""
    bundle = Bundle(task, Preprocessing("scale", 1, 255.0), SIZE, "resize", split_digest=SPLIT.digest())
    saved = save_bundle(tracker.work_dir / "bundle", unet(task, SIZE, depth=2, width=4), bundle)
    tracker.log_bundle(saved, example=np.zeros((1, *SIZE, 1), np.float32), prediction=np.zeros((1, *SIZE), np.uint8))
