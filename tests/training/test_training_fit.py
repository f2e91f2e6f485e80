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

from seglab.errors import DataError, TrainingError
from seglab.run_record import Artifact, WorkFile
from seglab.runtime.reproducibility import seed_everything
from seglab.schedules import plateau
from seglab.training.checkpoint import assign, load_state, values
from seglab.training.fit import train
from seglab.training.loader import TrainingLoader
from seglab.training.progress import Progress, duration

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
    told: list[int] = []
    fit(tmp_path, epochs=2, train=toys.Squares(3, event=event), emit=lambda metrics, epoch: told.append(epoch))
    assert waited == [True] * 4  # file and folder, twice
    assert told == [1, 2]


def test_a_whole_epoch_is_told_of_though_the_next_one_breaks_at_once(tmp_path: Path) -> None:
    def event(epoch: int, step: int) -> None:
        if epoch == 1:
            raise DataError("stop")

    told: list[int] = []
    with pytest.raises(DataError, match="stop"):
        fit(tmp_path, train=toys.Squares(3, event=event), emit=lambda metrics, epoch: told.append(epoch))
    assert told == [1] == [load_state(tmp_path / WorkFile.STATE).epoch]


def test_an_epoch_whose_state_has_no_room_is_not_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def emit(metrics: dict[str, float], epoch: int) -> None:
        told.append(epoch)
        monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(TrainingError, match="the one of the epoch before is intact"):
        fit(tmp_path, emit=emit)
    assert told == [1] == [load_state(tmp_path / WorkFile.STATE).epoch]


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


def test_training_goes_on_from_a_state_to_the_same_bits(tmp_path: Path) -> None:
    def once(folder: str, stop_in: tuple[int, int] | None, state: Any = None) -> Any:
        seed_everything(1, deterministic=True)
        # So high a rate that epochs 3 and 4 are worse than epoch 2: the rate falls after 4, if the wait is remembered.
        model, schedule = toys.net(), plateau(30.0, 5, 3, patience_epochs=2)
        optimizer = keras.optimizers.SGD(schedule, momentum=0.9)

        def event(epoch: int, step: int) -> None:
            np.random.random()  # noqa: NPY002 - careless data that draws from the global stream
            if (epoch, step) == stop_in:
                raise DataError("stop")

        told: list[int] = []
        history = fit(
            tmp_path / folder,
            epochs=5,
            model=model,
            optimizer=optimizer,
            schedule=schedule,
            settings={"monitor": "val_loss"},
            state=state,
            train=toys.Squares(3, event=event),
            emit=lambda metrics, epoch: told.append(epoch),
        )
        return history, values(model.variables), told, np.random.random()  # noqa: NPY002 - as above

    straight = once("straight", None)
    assert [epoch["learning_rate"] for epoch in straight[0].epochs] == [30, 30, 30, 30, 15]
    with pytest.raises(DataError):
        once("cut", (3, 1))
    keras.backend.clear_session()
    resumed = once("cut", None, load_state(tmp_path / "cut" / WorkFile.STATE))
    for one, other in zip(straight[0].epochs, resumed[0].epochs, strict=True):
        assert {k: v for k, v in one.items() if k not in TIMES} == {k: v for k, v in other.items() if k not in TIMES}
    assert all(a.tobytes() == b.tobytes() for a, b in zip(straight[1], resumed[1], strict=True))
    assert straight[3] == resumed[3]
    assert resumed[2] == [1, 2, 3, 4, 5]  # what came before is told once more
    assert (straight[0].best_epoch, straight[0].best) == (resumed[0].best_epoch, resumed[0].best)


def test_resuming_what_has_ended_only_restores_the_best(tmp_path: Path) -> None:
    model = toys.net()
    first = fit(tmp_path, model=model)
    best, other = values(model.variables), toys.net(seed=9)

    def never(epoch: int, step: int) -> None:
        raise AssertionError("no batch may be asked for")

    again = fit(tmp_path, model=other, state=load_state(tmp_path / WorkFile.STATE), train=toys.Squares(3, event=never))
    assert again.best_epoch == first.best_epoch
    assert all(a.tobytes() == b.tobytes() for a, b in zip(best, values(other.variables), strict=True))


def test_averaged_weights_are_judged_and_kept_and_training_goes_on_with_its_own(tmp_path: Path) -> None:
    model, judge = toys.net(), toys.net()
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5)
    judge.compile(loss=toys.CrossEntropy(), jit_compile=False)
    raw: list[list[np.ndarray]] = []
    x, y = toys.Squares(1)[0]

    def emit(metrics: dict[str, float], epoch: int) -> None:
        # Of the end of the epoch; the next one has already begun.
        state = load_state(tmp_path / WorkFile.STATE)
        assign(judge.variables, state.model, "model")
        raw.append(values(judge.trainable_variables))
        kept = {id(variable): array for variable, array in zip(optimizer.variables, state.optimizer, strict=True)}
        averages = [kept[id(average)] for average in optimizer._model_variables_moving_average]
        assert not all(np.array_equal(a, b) for a, b in zip(averages, raw[-1], strict=True))
        assign(judge.trainable_variables, averages, "model")
        assert metrics["val_loss"] == pytest.approx(judge.evaluate(x, y, verbose=0), rel=1e-5)
        if state.rules["stopping"]["best_epoch"] == epoch:
            assert all(np.array_equal(a, b) for a, b in zip(state.best, values(judge.variables), strict=True))

    fit(tmp_path, model=model, optimizer=optimizer, emit=emit, val=toys.Squares(1))
    # The weights that training went on with are those of a run that averages without being judged by it.
    plain: list[list[np.ndarray]] = []
    twin = toys.net()
    fit(
        tmp_path / "plain",
        model=twin,
        optimizer=keras.optimizers.SGD(0.5),
        val=toys.Squares(1),
        emit=lambda metrics, epoch: plain.append(
            trainable(twin, load_state(tmp_path / "plain" / WorkFile.STATE).model)
        ),
    )
    for one, other in zip(raw, plain, strict=True):
        assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(one, other, strict=True))


def test_loss_scale_and_averages_are_part_of_the_state(tmp_path: Path) -> None:
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True))
    fit(tmp_path, epochs=1, optimizer=optimizer)
    kept = load_state(tmp_path / WorkFile.STATE).optimizer
    # Own: iteration, learning rate, finite steps in a row (3 batches), loss scale. Inner: iteration, learning rate, one
    # momentum and one average for each of the 8 trainable variables.
    assert len(kept) == 4 + 2 + 2 * 8
    assert {3, 2**15} <= {one.item() for one in kept if one.ndim == 0}


def test_an_encoder_is_held_fixed_for_its_first_epochs(tmp_path: Path) -> None:
    model = toys.net()
    first = model.get_layer("first")
    model.freeze_epochs = 2
    model.freeze_encoder = lambda frozen: setattr(first, "trainable", not frozen)
    begun, second = first.kernel.numpy(), model.get_layer("second").kernel.numpy()
    here, there = first.kernel.path, model.get_layer("second").kernel.path
    moved: list[tuple[bool, ...]] = []

    def emit(metrics: dict[str, float], epoch: int) -> None:
        now = dict(zip((v.path for v in model.variables), load_state(tmp_path / WorkFile.STATE).model, strict=True))
        moved.append(tuple(not np.array_equal(*pair) for pair in ((begun, now[here]), (second, now[there]))))

    fit(tmp_path, epochs=4, model=model, emit=emit)
    assert moved == [(False, True), (False, True), (True, True), (True, True)]
    assert first.trainable


def test_a_loss_that_is_not_finite_stops_and_shows_the_batch(tmp_path: Path) -> None:
    batches = toys.Squares(3, poison=(1, 1))
    with pytest.raises(TrainingError, match="the loss is not finite") as caught:
        fit(tmp_path, train=batches)
    text = str(caught.value)
    assert "epoch 2, batch 2, cases square-1-0, square-1-1, square-1-2, square-1-3" in text
    saved = np.load(tmp_path / "not_finite_epoch2_batch2.npz")
    batches.epoch = 1
    assert np.array_equal(saved["x"], batches[1][0])
    assert np.array_equal(saved["y"], batches[1][1])
    assert saved["case_ids"].tolist() == batches.case_ids(1)
    assert str(tmp_path / "not_finite_epoch2_batch2.npz") in text
    assert load_state(tmp_path / WorkFile.STATE).epoch == 1


def test_the_last_batch_of_an_epoch_is_guarded_too(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="epoch 1, batch 3"):
        fit(tmp_path, train=toys.Squares(3, poison=(0, 2)))


@pytest.mark.parametrize(("epoch", "step"), [(1, 0), (1, 1), (2, 0)])
def test_a_validation_loss_that_is_not_finite_stops_too(tmp_path: Path, epoch: int, step: int) -> None:
    begun: list[int] = []

    def event(_: int, index: int) -> None:
        if index == 0:
            begun.append(len(begun) + 1)
            batches.poison = (0, step) if begun[-1] == epoch else None

    batches = toys.Squares(2, event=event)
    with pytest.raises(TrainingError, match="the loss is not finite") as caught:
        fit(tmp_path, val=batches)
    ids = batches.case_ids(step)
    path = tmp_path / f"not_finite_epoch{epoch}_validation_batch{step + 1}.npz"
    assert f"epoch {epoch}, validation batch {step + 1}, cases {', '.join(ids)}" in str(caught.value)
    assert str(path) in str(caught.value)
    saved = np.load(path)
    batches.event = None
    assert np.array_equal(saved["x"], batches[step][0])
    assert np.array_equal(saved["y"], batches[step][1])
    assert saved["case_ids"].tolist() == ids


def test_a_score_that_is_never_defined_keeps_the_last_weights(tmp_path: Path) -> None:
    shown, model = io.StringIO(), toys.net()
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    changes = {"metrics": [Undefined()], "settings": {"patience_epochs": 2}, "epochs": 5}
    history = fit(tmp_path, model=model, optimizer=optimizer, stream=shown, **changes)
    # Patience does not run out over epochs that say nothing.
    assert (history.best_epoch, history.best, len(history.epochs), history.stopped_early) == (None, None, 5, False)
    assert history.undefined == 5
    assert history.verdict.startswith("val_dice was never defined, so no epoch was chosen")
    assert shown.getvalue().count("val_dice is undefined: such an epoch neither uses up patience") == 1
    assert "val_dice undefined" in shown.getvalue()
    state = load_state(tmp_path / WorkFile.STATE)
    assert state.best == []
    # The last weights, averaged; those that training would go on with are others.
    kept = values(model.trainable_variables)
    averages = values(optimizer._model_variables_moving_average)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(kept, averages, strict=True))
    # A run that finds itself at its end has the same.
    other = toys.net(seed=9)
    again = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    fit(tmp_path, model=other, optimizer=again, state=state, **changes)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(kept, values(other.trainable_variables), strict=True))


class Undefined(toys.Overlap):
    """Overlap without a Dice."""

    def result(self) -> Any:
        return {"dice": self.counts[0] * math.nan}


def test_epochs_without_a_score_are_left_out_and_told(tmp_path: Path) -> None:
    class Sometimes(toys.Overlap):
        def result(self) -> Any:
            result = super().result()
            # Undefined where nothing is found, as it is at the start of this slow run.
            return {"dice": keras.ops.where(self.counts[2] > 0, result["dice"], math.nan)}

    model = toys.net()
    model.get_layer("logits").bias.assign([-1.0])
    history = fit(
        tmp_path,
        model=model,
        metrics=[Sometimes()],
        optimizer=keras.optimizers.SGD(0.02, momentum=0.9),
        settings={"patience_epochs": 1},
        epochs=8,
    )
    scores = [epoch["val_dice"] for epoch in history.epochs]
    assert math.isnan(scores[0])
    assert math.isnan(scores[1])  # a patience of one would have ended it here
    assert history.undefined == sum(map(math.isnan, scores)) < len(scores)
    assert history.best == max(score for score in scores if not math.isnan(score))
    assert f"{history.undefined} without a defined one left out" in history.verdict


def test_averaged_weights_and_an_encoder_that_is_held_fixed_to_the_end(tmp_path: Path) -> None:
    model = toys.net()
    first = model.get_layer("first")
    model.freeze_epochs = 9
    model.freeze_encoder = lambda frozen: setattr(first, "trainable", not frozen)
    begun = first.kernel.numpy()
    fit(tmp_path, epochs=2, model=model, optimizer=keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    assert np.array_equal(first.kernel.numpy(), begun)
    assert first.trainable


def test_an_unknown_monitor_stops_before_the_first_batch(tmp_path: Path) -> None:
    def never(epoch: int, step: int) -> None:
        raise AssertionError("no batch may be asked for")

    with pytest.raises(TrainingError, match="did you mean 'val_dice'"):
        fit(tmp_path, settings={"monitor": "val_dise"}, train=toys.Squares(3, event=never))
    with pytest.raises(TrainingError, match="train_loss, train_dice, train_iou"):
        fit(tmp_path, val=None, train=toys.Squares(3, event=never))


def test_without_validation_the_training_split_decides(tmp_path: Path) -> None:
    history = fit(tmp_path, val=None, settings={"monitor": "train_dice"})
    assert not any(name.startswith("val_") for name in history.epochs[0])
    assert history.best == max(epoch["train_dice"] for epoch in history.epochs)


def slow_step(model: keras.Model, seconds: float) -> None:
    """Make every training step of a model take so long, inside of the compiled function."""
    step = model.train_step

    def slow(data: Any) -> Any:
        tf.numpy_function(lambda: time.sleep(seconds) or np.float32(0), [], tf.float32, stateful=True)
        return step(data)

    model.train_step = slow


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
