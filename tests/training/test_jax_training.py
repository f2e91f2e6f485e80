"""Training on JAX: what Keras leaves to its user there. Run by `make test-jax`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import toys

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.bundle import Bundle, save_bundle
from seglab.inference.predictor import Predictor
from seglab.models.network import Network
from seglab.run_record import WorkFile
from seglab.schedules import PlateauSettings, Schedule
from seglab.task import Task
from seglab.training.checkpoint import load_state, values
from seglab.training.fit import train

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="of the JAX backend: make test-jax")


def plain_net() -> Network:
    """Without batch statistics and dropout: what changes the outcome of an epoch is its learning rate alone."""
    keras.utils.set_random_seed(1)
    image = keras.Input((toys.SIZE, toys.SIZE, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="encoder")(image)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="decoder")(x)
    return Network(image, keras.layers.Conv2D(1, 1, dtype="float32", name="logits")(x), encoder_layers=["encoder"])


def fit(folder: Path, model: keras.Model, optimizer: Any, epochs: int = 4, **changes: Any) -> list[dict[str, float]]:
    given: dict[str, Any] = {"val": toys.Squares(2), "schedule": None, "monitor": "val_dice"} | changes
    settings = toys.trainer(epochs, monitor=given.pop("monitor"), min_delta=given.pop("min_delta", 0.0))
    reported: list[dict[str, float]] = []
    train(
        model,
        toys.CrossEntropy(),
        optimizer,
        [toys.Overlap()],
        toys.Squares(3),
        given.pop("val"),
        settings,
        folder,
        lambda metrics, _: reported.append(metrics),
        stream=None,
        **given,
    )
    return reported


def test_a_lowered_scale_reaches_the_step_that_is_compiled(tmp_path: Path) -> None:
    schedule = Schedule(0.01, 4, 3, plateau=PlateauSettings(factor=0.0, patience_epochs=1, min_scale=0.0))
    result = fit(tmp_path, plain_net(), keras.optimizers.Adam(schedule), schedule=schedule, min_delta=1e9)
    losses = [epoch["val_loss"] for epoch in result]
    # The score never gains 1e9: after the second epoch the scale is 0.
    assert [epoch["learning_rate"] for epoch in result] == pytest.approx([0.01, 0.01, 0, 0])
    assert losses[0] > losses[1] == losses[2] == losses[3]


@pytest.mark.parametrize("scaled", [False, True])
def test_a_frozen_encoder_waits_and_its_average_with_it(tmp_path: Path, scaled: bool) -> None:
    model = plain_net()
    model.freeze_epochs = 2
    begun = model.get_layer("encoder").kernel.numpy()
    optimizer: Any = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5, global_clipnorm=1.0)
    optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer
    fit(tmp_path, model, optimizer, epochs=2, monitor="val_loss")
    assert np.array_equal(model.get_layer("encoder").kernel.numpy(), begun)
    model.freeze_epochs = 1
    fit(tmp_path, model, keras.optimizers.Adam(0.01), epochs=2, monitor="val_loss")
    assert not np.array_equal(model.get_layer("encoder").kernel.numpy(), begun)


def test_float16_is_trained_with_a_scale_that_gives_way(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = plain_net()
    finally:
        keras.config.set_dtype_policy("float32")
    begun = values(model.trainable_variables)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), initial_scale=2.0**24)
    result = fit(tmp_path, model, optimizer, epochs=6)
    assert float(optimizer.dynamic_scale) < 2.0**24, "gradients of the first steps were infinite, and left out"
    assert int(optimizer.iterations) < 18
    assert result[-1]["train_loss"] < result[0]["train_loss"]
    assert not np.array_equal(begun[0], values(model.trainable_variables)[0])


def test_the_best_weights_are_those_that_were_scored(tmp_path: Path) -> None:
    # JAX's step takes the memory of what it is given; averaged weights share theirs with nothing.
    optimizer = keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.8, gradient_accumulation_steps=2)
    model = toys.net()
    result = fit(tmp_path, model, optimizer, epochs=3)
    state = load_state(tmp_path / WorkFile.STATE)
    assert all(np.array_equal(one, two) for one, two in zip(state.best, values(model.variables), strict=True))
    model.compile(loss=toys.CrossEntropy(), metrics=[toys.Overlap()])
    best = max(result, key=lambda epoch: epoch["val_dice"])
    x, y = (np.concatenate(part) for part in zip(*(toys.Squares(2)[step] for step in (0, 1)), strict=True))
    scored = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    assert scored["loss"] == pytest.approx(best["val_loss"], rel=1e-5)
    assert scored["dice"] == pytest.approx(best["val_dice"], rel=1e-6)


_PREDICT = """
import sys, keras, numpy as np
from seglab.inference.predictor import Predictor
assert keras.backend.backend() == "tensorflow"
predictor = Predictor.load(sys.argv[1])
np.save(sys.argv[3], [predictor.predict(image) for image in np.load(sys.argv[2])])
"""


def test_a_bundle_gives_the_same_masks_on_tensorflow(tmp_path: Path) -> None:
    model = toys.net()
    fit(tmp_path, model, keras.optimizers.Adam(0.02), epochs=6)
    unchanged = Preprocessing("scale", 1, 1.0, scale="own")
    bundle = Bundle(Task(2, 1, ("background", "square")), unchanged, (toys.SIZE, toys.SIZE), "pad")
    saved = save_bundle(tmp_path / "bundle", model, bundle)
    images = np.concatenate([toys.Squares(50)[step][0] for step in range(50)])
    own = Predictor.load(saved)
    here = np.stack([own.predict(image) for image in images])
    np.save(tmp_path / "images.npy", images)
    words = [sys.executable, "-c", _PREDICT, str(saved), str(tmp_path / "images.npy"), str(tmp_path / "masks.npy")]
    subprocess.run(words, check=True, timeout=300, env=os.environ | {"KERAS_BACKEND": "tensorflow"})
    assert 0.1 < here.mean() < 0.9
    assert (np.load(tmp_path / "masks.npy") == here).mean() >= 0.9999
