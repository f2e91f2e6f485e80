"""Training as a whole, on a net that learns in a second."""

from __future__ import annotations

import errno
import io
import math
import os
import threading
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import toys
from short_training import TIMES, fit

from seglab.errors import DataError, TrainingError
from seglab.run_record import Artifact, WorkFile
from seglab.training.checkpoint import load_state, values
from seglab.training.loader import TrainingLoader
from seglab.training.progress import Progress, duration


def test_metrics_of_an_epoch_come_once_and_after_its_state_is_on_disk(tmp_path: Path) -> None:
    emitted: list[tuple[int, dict[str, float]]] = []

    def emit(metrics: dict[str, float], epoch: int) -> None:
        assert load_state(tmp_path / WorkFile.STATE).epoch == epoch
        emitted.append((epoch, metrics))

    history = fit(tmp_path, emit=emit)
    assert [epoch for epoch, _ in emitted] == [1, 2, 3]
    assert [metrics for _, metrics in emitted] == history.epochs
    scores = {f"{split}_{name}" for split in ("train", "val") for name in ("loss", "dice", "iou")}
    assert set(history.epochs[0]) == scores | TIMES | {"learning_rate"}
    assert history.epochs[0]["learning_rate"] == pytest.approx(0.02)
    assert load_state(tmp_path / WorkFile.STATE).finished


def test_no_thread_of_tf_data_holds_the_end_of_an_epoch_up() -> None:
    # Its tuner is joined when an iterator goes, and sleeps for up to 5 s: a third of the epochs took twice as long.
    assert TrainingLoader(toys.Squares(2), (toys.SIZE, toys.SIZE, 1)).dataset.options().autotune.enabled is False


def test_a_slow_disk_does_not_hold_the_next_epoch_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, sync, waited = threading.Event(), os.fsync, []

    def slow(file: int) -> None:
        waited.append(reached.wait(20))  # one that training waits for comes back with False
        sync(file)

    def event(epoch: int, step: int) -> None:
        if (epoch, step) == (1, 2):
            reached.set()

    monkeypatch.setattr(os, "fsync", slow)
    reported: list[int] = []
    fit(tmp_path, epochs=2, train=toys.Squares(3, event=event), emit=lambda metrics, epoch: reported.append(epoch))
    assert waited == [True] * 4  # file and folder, twice
    assert reported == [1, 2]


def test_a_whole_epoch_is_reported_though_the_next_one_breaks_at_once(tmp_path: Path) -> None:
    def event(epoch: int, step: int) -> None:
        if epoch == 1:
            raise DataError("stop")

    reported: list[int] = []
    with pytest.raises(DataError, match="stop"):
        fit(tmp_path, train=toys.Squares(3, event=event), emit=lambda metrics, epoch: reported.append(epoch))
    assert reported == [1] == [load_state(tmp_path / WorkFile.STATE).epoch]


def test_an_epoch_whose_state_has_no_room_is_not_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[int] = []

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def emit(metrics: dict[str, float], epoch: int) -> None:
        reported.append(epoch)
        monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(TrainingError, match="the one of the epoch before is intact"):
        fit(tmp_path, emit=emit)
    assert reported == [1] == [load_state(tmp_path / WorkFile.STATE).epoch]


def test_validation_is_what_the_weights_of_that_epoch_score(tmp_path: Path) -> None:
    # One metric over the whole split, never a mean of batches: the reference goes over all pixels at once.
    model = toys.net()
    history = fit(tmp_path, epochs=1, model=model)
    val = toys.Squares(2)
    x, y = (np.concatenate(parts) for parts in zip(val[0], val[1], strict=True))
    found = model.predict(x, verbose=0)[..., 0]
    dice = 2 * ((found > 0) & (y > 0)).sum() / ((found > 0).sum() + (y > 0).sum())
    loss = np.mean(np.logaddexp(0, found.astype("float64")) - y * found)
    assert history.epochs[0]["val_dice"] == pytest.approx(dice, rel=1e-6)
    assert history.epochs[0]["val_loss"] == pytest.approx(loss, rel=1e-5)


def test_the_model_ends_with_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    seen: list[list[np.ndarray]] = []
    model = toys.net()
    settings = {"monitor": "val_loss", "patience_epochs": 2}
    # A learning rate that is too high soon makes the loss worse.
    history = fit(
        tmp_path,
        epochs=12,
        model=model,
        optimizer=keras.optimizers.SGD(30.0),
        settings=settings,
        emit=lambda metrics, epoch: seen.append(load_state(tmp_path / WorkFile.STATE).model),
    )
    losses = [epoch["val_loss"] for epoch in history.epochs]
    assert history.stopped_early
    assert history.best_epoch == int(np.argmin(losses)) + 1 == len(losses) - 2
    assert history.best == min(losses)
    best = seen[history.best_epoch - 1]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(values(model.variables), best, strict=True))


def test_the_model_ends_with_the_weights_of_the_last_epoch_where_they_are_to_be_kept(tmp_path: Path) -> None:
    seen: list[list[np.ndarray]] = []
    model = toys.net()
    history = fit(
        tmp_path,
        epochs=2,
        model=model,
        optimizer=keras.optimizers.SGD(30.0),  # as above: the second epoch is worse
        settings={"monitor": "val_loss", "keep": "last"},
        emit=lambda metrics, epoch: seen.append(load_state(tmp_path / WorkFile.STATE).model),
    )
    losses = [epoch["val_loss"] for epoch in history.epochs]
    assert losses[0] < losses[1]
    assert (history.best_epoch, history.best, history.stopped_early) == (2, losses[1], False)
    assert history.verdict == f"weights of the last one, val_loss {losses[-1]:.4f} (trainer.keep=last)"
    assert all(a.tobytes() == b.tobytes() for a, b in zip(values(model.variables), seen[-1], strict=True))
    assert load_state(tmp_path / WorkFile.STATE).best == []


def slow_step(model: keras.Model, seconds: float) -> None:
    """Make every training step of a model take so long, inside of the compiled function."""
    step = model.train_step

    def slow(data: Any) -> Any:
        tf.numpy_function(lambda: time.sleep(seconds) or np.float32(0), [], tf.float32, stateful=True)
        return step(data)

    model.train_step = slow


@pytest.mark.slow
def test_the_share_of_waiting_tells_slow_data_from_a_slow_step(tmp_path: Path) -> None:
    # Data 2 s a batch and a step of a few ms, or some tenths on a busy machine: the loop mostly waits.
    slow_data = fit(tmp_path / "data", epochs=2, train=toys.Squares(2, delay=2.0)).epochs[-1]
    assert slow_data["data_wait_share"] > 0.7
    # A step of 0.3 s and data of a fraction of a ms: only the first batch of the epoch is waited for.
    model = toys.net()
    slow_step(model, 0.3)
    slow_model = fit(tmp_path / "step", epochs=2, model=model, train=toys.Squares(4)).epochs[-1]
    assert slow_model["data_wait_share"] < 0.2
    # 16 images in a little over 1.2 s of training; validation is in the epoch's time only.
    assert slow_model["images_per_second"] < 16 / 1.2
    assert slow_model["epoch_seconds"] > 16 / slow_model["images_per_second"]


def test_a_profile_is_written_when_asked_for(tmp_path: Path) -> None:
    fit(tmp_path, epochs=1, settings={"profile": True})
    assert "cumulative" in (tmp_path / Artifact.PROFILE).read_text()
    assert not (tmp_path / "none" / Artifact.PROFILE).exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_an_epoch_and_a_bar_on_a_terminal(tmp_path: Path) -> None:
    plain = io.StringIO()
    fit(tmp_path, stream=plain)
    lines = plain.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("  epoch 1/3  train_loss ")
    assert "val_dice" in lines[0]
    assert "images/s" in lines[0]
    assert lines[0].endswith(" left")
    assert lines[2].endswith("last epoch")
    terminal = Terminal()
    progress = Progress(terminal, epochs=2, steps=4, monitor="val_dice")
    progress.begin(1)
    progress.step(1, 8)
    progress.step(2, 12)  # too soon after the last drawing
    drawn = terminal.getvalue()
    assert drawn.count("\r") == 1
    assert "epoch 1/2 ############............ 2/4" in drawn


def test_time_left_leaves_the_compiling_epoch_out() -> None:
    progress = Progress(None, epochs=5, steps=1, monitor="val_dice")
    assert math.isnan(progress.seconds_left())
    for epoch, seconds in enumerate([60.0, 10.0, 12.0], start=1):
        progress.begin(epoch)
        progress.end({"epoch_seconds": seconds, "images_per_second": 1.0}, best=False)
    assert progress.seconds_left() == 2 * 11.0
    assert [duration(s) for s in (7, 750, 3723, math.nan)] == ["0:07", "12:30", "1:02:03", "?"]
