"""Whole runs on a GPU: how their loss falls in each number format, how long until a Dice, how fast one is served."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.live_service import LiveService
from seglab.export.latency import encoded_png
from seglab.run_record import StoreFile
from seglab.tracking.store import Store, open_store

GOAL, SIZE = 0.88, (512, 1024)
_SMALL = ("data.size=[32,32]", "data.count=12", "data.batch_size=4", "model.width=4", "model.depth=1")


def loss_curve(
    folder: Path, environment: Mapping[str, str], policy: str, seconds: float, *, tiny: bool
) -> tuple[str, list[float]]:
    """A run on the built-in images in one number format: its id, and its training loss by epoch.

    Args:
        folder: its runs are kept here.
        environment: of its process.
        policy: as `precision=` takes it.
        seconds: that it may take.
        tiny: as small as can be.

    Raises:
        RuntimeError: it did not come to its end; with the last that it said.
    """
    words = ["model=unet", "loss=combined", f"precision={policy}", f"trainer.epochs={2 if tiny else 10}"]
    words += [*_SMALL] if tiny else ["data.batch_size=32"]
    train(folder, environment, words, seconds)
    run = store_of(folder).all_runs("attributes.status = 'FINISHED'")[0]
    points = store_of(folder).client.get_metric_history(run.info.run_id, "train_loss")
    return run.info.run_id, [point.value for point in sorted(points, key=lambda point: point.step)]


def run_to_goal(folder: Path, environment: Mapping[str, str], data: str, seconds: float) -> dict[str, Any]:
    """The hippocampus until its validation Dice has reached the goal.

    Returns:
        `goal`, `best`, and `seconds` from the start of the run, None where it was not reached in the time.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        train(folder, environment, ["experiment=hippocampus", f"data.root={data}"], seconds)
    run = store_of(folder).all_runs()[0]
    points = store_of(folder).client.get_metric_history(run.info.run_id, "val_dice")
    reached = [point.timestamp for point in points if point.value >= GOAL]
    took = (min(reached) - run.info.start_time) / 1000 if reached else None
    return {"goal": GOAL, "best": max((point.value for point in points), default=0.0), "seconds": took}


def served_latency(folder: Path, run_id: str, times: int) -> dict[str, Any]:
    """Milliseconds from an image to its mask over HTTP, one client, of a run as it was trained."""
    image = encoded_png(np.random.default_rng(0).integers(0, 256, (*SIZE, 1), np.uint8))
    before = Path.cwd()
    os.chdir(folder)
    try:
        with LiveService(Path(run_id)) as service, service.client() as client:
            taken = [client.predict(image)[0] * 1000 for _ in range(times + 3)][3:]
    finally:
        os.chdir(before)
    return {
        "size": " × ".join(map(str, SIZE)),
        "p50_ms": statistics.median(taken),
        "p95_ms": statistics.quantiles(taken, n=20)[-1],
    }


def train(folder: Path, environment: Mapping[str, str], words: list[str], seconds: float) -> None:
    """Raises `RuntimeError` with what it said, `subprocess.TimeoutExpired` when its time is over."""
    backend = environment.get("KERAS_BACKEND", "tensorflow")
    command = [sys.executable, "-m", "seglab", "train", *words]
    command += [f"backend={backend}"] if backend != "tensorflow" else []
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=max(seconds, 1)
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no word"])[0])


def store_of(folder: Path) -> Store:
    """The store of the runs in a folder."""
    return open_store(f"sqlite:///{folder}/mlruns/{StoreFile.DATABASE}", folder / "mlruns")
