"""The state of a training: on disk after each epoch, and gone on from to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import toys
from short_training import TIMES, fit, trainable

from seglab.errors import DataError
from seglab.run_record import WorkFile
from seglab.runtime.reproducibility import seed_everything
from seglab.schedules import plateau
from seglab.training.checkpoint import assign, load_state, values


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

        reported: list[int] = []
        history = fit(
            tmp_path / folder,
            epochs=5,
            model=model,
            optimizer=optimizer,
            schedule=schedule,
            settings={"monitor": "val_loss"},
            state=state,
            train=toys.Squares(3, event=event),
            emit=lambda metrics, epoch: reported.append(epoch),
        )
        return history, values(model.variables), reported, np.random.random()  # noqa: NPY002 - as above

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
