"""A small trainable world: blurred squares, a net with dropout and batch norm, and a job that can be killed.

    python tests/helpers/toys.py <folder> [--epochs N] [--die-at EPOCH,STEP[,SIGNAL]] [--resume RUN] [--uri URI] …

trains below <folder>/mlruns under a Tracker, as a process of its own.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from seglab.config.sections import TrackingSettings, TrainerSettings
from seglab.run_record import WorkFile

SIZE = 16
POISON = 9


class Squares(keras.utils.PyDataset):
    """Noisy images of one bright square each; the noise differs from epoch to epoch.

    Args:
        steps: batches of four.
        delay: seconds that making a batch takes.
        poison: (epoch, step) of a batch with a label that `CrossEntropy` has no finite value for.
        event: called with (epoch, step) before a batch is made.
    """

    def __init__(self, steps: int = 4, workers: int = 1, delay: float = 0.0, poison: Any = None, event: Any = None):
        super().__init__(workers=workers)
        self.steps, self.delay, self.poison, self.event, self.epoch = steps, delay, poison, event, 0

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        if self.event is not None:
            self.event(self.epoch, step)
        time.sleep(self.delay)
        place, noise = np.random.default_rng(step), np.random.default_rng([self.epoch, step])
        y = np.zeros((4, SIZE, SIZE), "int32")
        for one in y:
            row, column = place.integers(0, SIZE - 10, 2)
            one[row : row + 10, column : column + 10] = 1
        x = (y + noise.normal(0, 0.4, y.shape)).astype("float32")[..., None]
        if self.poison == (self.epoch, step):
            y[1, 2, 3] = POISON
        return x, y

    def case_ids(self, step: int) -> list[str]:
        return [f"square-{step}-{i}" for i in range(4)]


@keras.saving.register_keras_serializable(package="toys")
class CrossEntropy(keras.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        truth = keras.ops.cast(y_true, "float32")[..., None]
        loss = keras.ops.mean(keras.ops.softplus(y_pred) - truth * y_pred)
        return keras.ops.where(keras.ops.any(truth == POISON), float("inf"), loss)


class Overlap(keras.metrics.Metric):
    """Dice and IoU of the foreground, as one metric with two results."""

    def __init__(self) -> None:
        super().__init__(name="scores")
        self.counts = self.add_weight(shape=(3,), initializer="zeros", name="counts")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth, found = y_true > 0, y_pred[..., 0] > 0
        both = keras.ops.sum(keras.ops.cast(keras.ops.logical_and(truth, found), "float32"))
        sums = [keras.ops.sum(keras.ops.cast(one, "float32")) for one in (truth, found)]
        self.counts.assign_add(keras.ops.stack([both, *sums]))

    def result(self) -> dict[str, Any]:
        both, truth, found = self.counts[0], self.counts[1], self.counts[2]
        return {"dice": 2 * both / (truth + found), "iou": both / (truth + found - both)}


def net(seed: int = 1) -> keras.Model:
    keras.utils.set_random_seed(seed)
    image = keras.Input((SIZE, SIZE, 1))
    x = keras.layers.Conv2D(8, 3, padding="same", name="first")(image)
    x = keras.layers.BatchNormalization(momentum=0.8)(x)
    x = keras.layers.Dropout(0.2)(keras.layers.Activation("relu")(x))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="second")(x)
    return keras.Model(image, keras.layers.Conv2D(1, 1, name="logits")(x))


def trainer(epochs: int = 3, **changes: Any) -> TrainerSettings:
    settings: dict[str, Any] = {"monitor": "val_dice", "patience_epochs": None, "min_delta": 0.0}
    settings |= {"deterministic": True, "profile": False}
    return TrainerSettings(epochs=epochs, **(settings | changes))


def tracking(uri: str | None = None, **changes: Any) -> TrackingSettings:
    settings: dict[str, Any] = {"experiment": "toys", "system_metrics": False, "heartbeat_seconds": 1.0}
    return TrackingSettings(uri=uri, **(settings | changes))


_template: Path | None = None


def fresh_store(directory: Path) -> Path:
    """An empty embedded store in `directory`; making one takes seconds, so only the first is made, the rest copied."""
    global _template
    from seglab.tracking.store import open_store

    if _template is None:
        _template = Path(tempfile.mkdtemp(prefix="store"))
        atexit.register(shutil.rmtree, _template, ignore_errors=True)
        open_store(None, _template)
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_template / "mlflow.db", directory / "mlflow.db")
    with contextlib.closing(sqlite3.connect(directory / "mlflow.db")) as database:
        moved = "update experiments set artifact_location = replace(artifact_location, ?, ?)"
        database.execute(moved, (_template.as_uri(), directory.resolve().as_uri()))
        database.commit()
    return directory


def job(options: argparse.Namespace) -> None:
    """Train under a Tracker and write what came out to `<folder>/<out>.npz`."""
    from seglab.runtime.process_group import own_group
    from seglab.runtime.process_meeting import join, leave
    from seglab.runtime.reproducibility import seed_everything
    from seglab.schedules import plateau
    from seglab.tracking.tracker import Tracker
    from seglab.training.checkpoint import load_state, values
    from seglab.training.fit import train

    group = own_group()
    if not group.alone:
        join(group)
    seed_everything(1, deterministic=True)
    model = net()
    schedule = plateau(0.05, options.epochs, 6, factor=0.5, patience_epochs=1, warmup_epochs=1.0, min_factor=0.01)
    optimizer = keras.optimizers.Adam(
        schedule, use_ema=True, ema_momentum=0.8, gradient_accumulation_steps=2, global_clipnorm=1.0
    )

    def event(epoch: int, step: int) -> None:
        if options.pause:
            time.sleep(options.pause)
        if options.die_at and [epoch + 1, step] == options.die_at[:2]:
            os.kill(os.getpid(), options.die_at[2])
            time.sleep(60)

    settings = tracking(options.uri)
    if not group.first:
        parts = (
            [Overlap()],
            Squares(6, event=event),
            Squares(2),
            trainer(options.epochs, patience_epochs=options.patience),
        )
        nothing: Any = (None, lambda *_: None)
        train(model, CrossEntropy(), optimizer, *parts, *nothing, schedule=schedule, stream=None)
        leave()
        return
    with Tracker(
        settings,
        options.folder / "mlruns",
        run_name="Toy",
        params={"epochs": options.epochs},
        tags={},
        resume=options.resume,
    ) as tracker:
        print(f"run {tracker.run_id}", flush=True)
        file = tracker.work_dir / WorkFile.STATE
        state = load_state(file) if options.resume and file.exists() else None
        history = train(
            model,
            CrossEntropy(),
            optimizer,
            [Overlap()],
            Squares(6, workers=2, event=event),
            Squares(2),
            trainer(options.epochs, patience_epochs=options.patience, profile=options.profile),
            tracker.work_dir,
            tracker.emit,
            schedule=schedule,
            state=state,
            stream=None,
        )
        if not group.alone:
            leave()
        if options.fail:
            raise RuntimeError("told to fail")
    result = {f"weight_{i}": array for i, array in enumerate(values(model.variables))}
    words = {"history": history.epochs, "best_epoch": history.best_epoch, "early": history.stopped_early}
    np.savez(options.folder / f"{options.out}.npz", words=np.frombuffer(json.dumps(words).encode(), "uint8"), **result)


def _die_at(text: str) -> list[int]:
    epoch, step, *name = text.split(",")
    return [int(epoch), int(step), getattr(signal, name[0]) if name else signal.SIGKILL]


if __name__ == "__main__":
    from seglab.errors import SeglabError
    from seglab.runtime.process_end import ending_together
    from seglab.runtime.process_group import own_group

    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--patience", type=int)
    parser.add_argument("--die-at", type=_die_at)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--resume")
    parser.add_argument("--uri")
    parser.add_argument("--out", default="result")
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("--profile", action="store_true")
    try:
        with contextlib.nullcontext() if own_group().alone else ending_together(own_group()):
            job(parser.parse_args())
    except SeglabError as error:
        sys.exit(error.for_terminal())
    except KeyboardInterrupt as stop:
        sys.exit(getattr(stop, "exit_code", 130))
