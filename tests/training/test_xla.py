"""Steps compiled with XLA: the same losses; a trial that leaves no trace and is kept when a run is resumed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import toys

from seglab.config.run_config import load_config
from seglab.config.vocabulary import compose
from seglab.errors import ConfigError, TrainingError
from seglab.run_record import Tag, WorkFile
from seglab.runtime.reproducibility import seed_everything
from seglab.training import step_trials, tensorflow_steps
from seglab.training.batch_parts import compiled_step
from seglab.training.checkpoint import load_state, values
from seglab.training.fit import train
from seglab.training.step_trials import XlaTrial, xla_trial

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX always compiles with XLA")


class _Python(keras.layers.Layer):
    """What XLA cannot compile."""

    def call(self, x: Any) -> Any:
        return tf.ensure_shape(tf.py_function(lambda values: values * 1.0, [x], tf.float32), x.shape)


def compiled(python: bool = False) -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((toys.SIZE, toys.SIZE, 1))
    x = keras.layers.Dropout(0.2)(keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image))
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(_Python()(x) if python else x))
    model.compile(keras.optimizers.Adam(0.01), toys.CrossEntropy(), metrics=[toys.Overlap()], jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def stepper(model: keras.Model) -> Callable[[bool, bool], Callable[..., Any]]:
    return lambda training, xla: compiled_step(model, training, xla=xla)


def everything(model: keras.Model) -> list[np.ndarray]:
    return values([*model.variables, *model.optimizer.variables])


def test_the_trial_measures_both_and_leaves_no_trace() -> None:
    model, batch = compiled(), toys.Squares()[0]
    before = everything(model)
    found = xla_trial(model, batch, stepper(model))
    assert found.without_ms > 0
    assert found.with_ms is not None
    assert found.with_ms > 0
    assert found.faster == (found.with_ms < found.without_ms)
    assert all(np.array_equal(a, b) for a, b in zip(everything(model), before, strict=True))


def test_what_xla_cannot_compile_is_trained_without() -> None:
    model = compiled(python=True)
    found = xla_trial(model, toys.Squares()[0], stepper(model))
    assert not found.faster
    assert found.with_ms is None
    assert "PyFunc" in found.reason
    assert str(found).startswith("without XLA, which cannot compile a step: ")


def test_losses_with_xla_are_those_without() -> None:
    def losses(xla: bool) -> list[float]:
        model, feed = compiled(), toys.Squares(3)
        model.get_layer(index=2).rate = 0.0
        step = stepper(model)(True, xla)
        return [float(step(feed[number % 3])["loss"]) for number in range(6)]

    np.testing.assert_allclose(losses(xla=True), losses(xla=False), rtol=1e-5)


def fit(folder: Path, epochs: int, state: Any = None, **settings: Any) -> dict[str, Any]:
    tags: dict[str, Any] = {}
    seed_everything(3, deterministic=False)
    train(
        toys.net(),
        toys.CrossEntropy(),
        keras.optimizers.Adam(0.01),
        [toys.Overlap()],
        toys.Squares(2),
        toys.Squares(1),
        toys.trainer(epochs, **settings),
        folder,
        lambda *_: None,
        stream=None,
        state=state,
        tag=tags.update,
    )
    return tags


@pytest.fixture
def with_xla(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each step whether it is to be compiled with XLA, which none is here."""
    found, plain = [], tensorflow_steps.compiled_step

    def noted(model: keras.Model, training: bool, part: int | None, xla: bool) -> Any:
        found.append(xla)
        return plain(model, training, part, False)

    monkeypatch.setattr(tensorflow_steps, "compiled_step", noted)
    return found


def test_a_resumed_run_compiles_as_it_began(
    monkeypatch: pytest.MonkeyPatch, with_xla: list[bool], tmp_path: Path
) -> None:
    medians = iter([20.0, 10.0])
    monkeypatch.setattr(step_trials, "_median_ms", lambda *_: next(medians))
    found = fit(tmp_path, 1, xla="auto")
    assert found == {Tag.XLA_TRIAL: "with XLA: a step takes 10.0 ms with it, 20.0 ms without"}
    assert with_xla == [False, True, True, True, True], "the trial and its validation, then training and validation"
    begun = load_state(tmp_path / WorkFile.STATE)
    assert begun.rules["xla"] is True
    with_xla.clear()
    assert fit(tmp_path, 2, replace(begun, finished=False), xla="auto") == {}, "no second trial"
    assert with_xla == [True, True]


@pytest.mark.parametrize(("xla", "expected"), [(True, [True, True]), (False, [False, False])])
def test_what_the_config_says_is_done(with_xla: list[bool], tmp_path: Path, xla: bool, expected: list[bool]) -> None:
    assert fit(tmp_path, 1, xla=xla) == {}
    assert with_xla == expected
    assert ("xla" in load_state(tmp_path / WorkFile.STATE).rules) == xla


def test_the_faster_one_is_chosen() -> None:
    assert XlaTrial(2.0, 1.0).faster
    assert not XlaTrial(1.0, 2.0).faster
    assert str(XlaTrial(1.0, 2.0)) == "without XLA: a step takes 2.0 ms with it, 1.0 ms without"


def test_a_choice_by_the_clock_is_refused_where_runs_are_to_be_repeatable() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(compose("train", ["trainer.xla=auto"]))
    assert caught.value.code == "settings-exclude"
    assert caught.value.remedy.startswith("trainer.deterministic=false")
    assert load_config(compose("train", ["trainer.xla=auto", "trainer.deterministic=false"])).trainer.xla == "auto"
    assert load_config(compose("train", ["trainer.xla=true"])).trainer.xla is True
    with pytest.raises(ConfigError, match="XLA for batches that may be computed in parts"):
        load_config(compose("train", ["trainer.xla=true", "trainer.fit_memory=true"]))


def test_a_step_that_is_far_slower_is_taken_once() -> None:
    model, taken = compiled(), []

    def steps(training: bool, xla: bool) -> Callable[..., Any]:
        step = compiled_step(model, training)

        def slow(batch: Any) -> Any:
            taken.append(xla)
            time.sleep(0.3 if xla else 0.0)
            return step(batch)

        return slow

    assert not xla_trial(model, toys.Squares()[0], steps).faster
    assert taken == [False] * 8 + [True] * 2, "one that compiles, one that is timed"


def test_validation_that_xla_cannot_compile_is_a_trial_that_failed() -> None:
    model = compiled()

    def steps(training: bool, xla: bool) -> Callable[..., Any]:
        step = compiled_step(model, training)

        def on(batch: Any) -> Any:
            if not training:
                raise RuntimeError("no such kernel\nand more")
            time.sleep(0.0 if xla else 0.05)
            return step(batch)

        return on

    found = xla_trial(model, toys.Squares()[0], steps)
    assert (found.faster, found.reason) == (False, "no such kernel")


def test_a_trial_that_memory_does_not_hold_names_the_batch_that_fits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = tensorflow_steps.compiled_step

    def small(model: keras.Model, training: bool, part: int | None, xla: bool) -> Any:
        step = plain(model, training, part, False)

        def on(batch: Any) -> Any:
            if (part or len(batch[0])) > 2:
                raise MemoryError("RESOURCE_EXHAUSTED: Out of memory")
            return step(batch)

        return on

    monkeypatch.setattr(tensorflow_steps, "compiled_step", small)
    with pytest.raises(TrainingError) as caught:
        fit(tmp_path, 1, xla="auto")
    assert caught.value.code == "out-of-memory"
    assert caught.value.remedy.startswith("data.batch_size=2; or trainer.fit_memory=true")
    assert fit(tmp_path, 1, xla="auto", fit_memory=True) == {Tag.BATCH_PART: 2}, "parts are not tried with XLA"
