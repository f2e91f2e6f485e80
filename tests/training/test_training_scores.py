"""Trainings whose loss or score is no number, whose monitor is unknown, or that have no validation."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import toys
from short_training import fit

from seglab.errors import TrainingError
from seglab.run_record import WorkFile
from seglab.training.checkpoint import load_state, values


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


def test_epochs_without_a_score_are_left_out_and_reported(tmp_path: Path) -> None:
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
