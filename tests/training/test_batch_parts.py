"""Batches that memory does not hold: computed in parts they are learned from as before, and how large a part may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import toys

from seglab.errors import TrainingError
from seglab.losses.compound import CombinedLoss
from seglab.metrics.keras_scores import SegmentationScores
from seglab.run_record import Tag, WorkFile
from seglab.runtime.reproducibility import seed_everything
from seglab.task import Task
from seglab.training import batch_parts, batch_steps
from seglab.training.batch_parts import compiled_step, fitting_part
from seglab.training.checkpoint import load_state, values
from seglab.training.fit import train

TASK = Task(rank=2, channels=1, class_names=("background", "object"))
STEPS, BATCH, LAST = 20, 8, 5


def compiled(normalised: bool = False) -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((toys.SIZE, toys.SIZE, 1))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = keras.layers.BatchNormalization()(x) if normalised else x
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(x))
    optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=2, use_ema=True, global_clipnorm=1.0)
    model.compile(optimizer, CombinedLoss(TASK), metrics=[SegmentationScores(TASK)])
    model.optimizer.build(model.trainable_variables)
    model._symbolic_build(data_batch=batch(0))
    return model


def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Every fifth is a shorter last one."""
    rng = np.random.default_rng(step)
    y = (rng.normal(size=(LAST if step % 5 == 4 else BATCH, toys.SIZE, toys.SIZE)) > 0.5).astype("int32")
    return (y + rng.normal(0, 0.5, y.shape)).astype("float32")[..., None], y


def losses(
    model: keras.Model, part: int | None, training: bool = True, steps: int = STEPS, devices: int = 1
) -> list[float]:
    """The running mean after each step."""
    step = compiled_step(model, training, devices, part)
    reported = []
    groups = [model.trainable_variables, model.non_trainable_variables, model.metrics_variables]
    groups[2:2] = [model.optimizer.variables] if training else []
    state: Any = tuple([variable.value for variable in group] for group in groups)
    for number in range(steps):
        if keras.backend.backend() == "jax":
            logs, state = step(state, batch(number))
        else:
            logs = step(batch(number))
        reported.append(float(logs["loss"]))
        reported.append(float(logs["scores"]["dice"]))
    return reported


def test_twenty_steps_in_parts_have_the_losses_of_whole_batches() -> None:
    part = 3  # 3, 3, 2 images, and 3, 2
    whole = losses(compiled(), None)
    np.testing.assert_allclose(losses(compiled(), part), whole, rtol=1e-5)
    assert whole[-2] < 0.97 * whole[0], "it learns"
    scored = losses(compiled(), None, training=False, steps=5)
    np.testing.assert_allclose(losses(compiled(), part, training=False, steps=5), scored, rtol=1e-6)


@pytest.mark.slow
def test_batch_normalisation_takes_the_statistics_of_each_part() -> None:
    whole, parts = losses(compiled(normalised=True), None), losses(compiled(normalised=True), 2)
    assert 1e-4 < np.abs(np.subtract(whole, parts)).max() < 0.1


def small_memory(monkeypatch: pytest.MonkeyPatch, images: int) -> list[int]:
    """A device that holds a step of so many images, and breaks off in the middle of a larger one."""
    tried: list[int] = []

    def step(
        model: keras.Model, training: bool, devices: Any = 1, part: int | None = None, xla: bool = False
    ) -> Callable[..., Any]:
        made = compiled_step(model, training, devices, part, xla)

        def on(*given: Any) -> Any:
            result = made(*given)
            tried.append(part or len(given[-1][0]))
            if tried[-1] > images and training:
                raise MemoryError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.")
            return result

        return on

    monkeypatch.setattr(batch_parts, "compiled_step", step)
    monkeypatch.setattr(batch_steps, "compiled_step", step)
    return tried


@pytest.mark.parametrize(("holds", "fits"), [(0, 0), (3, 2), (8, 8)])
def test_the_largest_part_is_found_by_trying_and_nothing_is_learned(
    monkeypatch: pytest.MonkeyPatch, holds: int, fits: int
) -> None:
    model = compiled()
    before = values([*model.variables, *model.optimizer.variables])
    tried = small_memory(monkeypatch, holds)
    assert fitting_part(model, batch(0), 1) == fits
    assert tried == [size for size in (1, 2, 4, 8) if size <= 2 * fits or size == 1]
    after = values([*model.variables, *model.optimizer.variables])
    assert all(np.array_equal(one, two) for one, two in zip(before, after, strict=True))


def test_a_cpu_is_not_filled_to_the_brim(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = small_memory(monkeypatch, BATCH)
    room = iter([2**50, 0])
    monkeypatch.setattr(batch_parts, "available_bytes", lambda: next(room))
    monkeypatch.setattr(batch_parts.ProcessMemory, "start", lambda self: -1)
    assert fitting_part(compiled(), batch(0), 1) == 2
    assert tried == [1, 2]


def fit(folder: Path, epochs: int, **changes: Any) -> list[int]:
    tags: dict[str, Any] = {}
    seed_everything(3, deterministic=True)
    train(
        toys.net(),
        toys.CrossEntropy(),
        keras.optimizers.Adam(0.01),
        [toys.Overlap()],
        toys.Squares(3),
        toys.Squares(2),
        toys.trainer(epochs, **({"fit_memory": True} | changes.pop("settings", {}))),
        folder,
        lambda *_: None,
        stream=None,
        tag=tags.update,
        **changes,
    )
    return [tags[Tag.BATCH_PART]] if tags else []


@pytest.mark.slow
def test_a_resumed_run_keeps_its_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_memory(monkeypatch, 2)
    assert fit(tmp_path / "one", 3) == [2]
    assert fit(tmp_path / "two", 1) == [2]
    begun = load_state(tmp_path / "two" / WorkFile.STATE)
    assert begun.rules["part"] == 2
    small_memory(monkeypatch, 4)  # on a larger device
    assert fit(tmp_path / "two", 3, state=replace(begun, finished=False)) == [2]
    one, two = (load_state(tmp_path / name / WorkFile.STATE) for name in ("one", "two"))
    assert all(np.array_equal(a, b) for a, b in zip(one.model, two.model, strict=True))
    assert fit(tmp_path / "three", 1) == [], "the whole batch fits"


def test_a_step_that_memory_does_not_hold_says_which_batch_it_holds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_memory(monkeypatch, 2)
    with pytest.raises(TrainingError) as caught:
        fit(tmp_path, 1, settings={"fit_memory": False})
    assert caught.value.code == "out-of-memory"
    assert caught.value.where == "data.batch_size=4"
    assert "Out of memory allocating" in caught.value.found
    assert caught.value.expected.startswith("at most 2 images at once")
    assert caught.value.remedy.startswith("data.batch_size=2; or trainer.fit_memory=true")
    small_memory(monkeypatch, 0)
    with pytest.raises(TrainingError, match=r"memory for one image\n  remedy:   a smaller data\.size"):
        fit(tmp_path, 1)
