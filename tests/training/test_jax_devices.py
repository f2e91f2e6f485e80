"""Several devices learn what one learns: 20 steps on 1, 2 and 4 logical devices of a CPU. Run by `make test-jax`.

    python tests/training/test_jax_devices.py

prints the losses and the counts of each as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglab.config.run_config import load_config
from seglab.config.vocabulary import compose
from seglab.errors import ConfigError
from seglab.runtime.several_devices import check_devices

STEPS, BATCH, LAST, SIDE = 20, 8, 3, 16
ENVIRONMENT = {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}


def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Every fifth is a shorter last one; a tenth of the pixels is ignored, and of one image all."""
    rng = np.random.default_rng(step)
    count = LAST if step % 5 == 4 else BATCH
    y = (rng.normal(size=(count, SIDE, SIDE)) > 0.5).astype("int32")
    x = (y + rng.normal(0, 0.5, y.shape)).astype("float32")[..., None]
    y[rng.random(y.shape) < 0.1] = 255
    y[0] = 255
    return x, y


def steps(devices: int) -> dict[str, Any]:
    import keras

    from seglab.losses.compound import CombinedLoss
    from seglab.losses.distribution import CrossEntropyLoss
    from seglab.metrics.keras_scores import SegmentationScores
    from seglab.models.layers import BatchNormalization
    from seglab.optimizers import adam
    from seglab.task import Task
    from seglab.training.jax_steps import compiled_step

    keras.utils.set_random_seed(1)
    task = Task(rank=2, channels=1, class_names=("background", "object"))
    image = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Conv2D(8, 3, padding="same")(image)
    x = keras.layers.Dropout(0.2)(BatchNormalization(activation="relu")(x))
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(x))

    class Both(keras.losses.Loss):
        weighted, combined = CrossEntropyLoss(task, class_weights=[1, 3]), CombinedLoss(task)

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return self.weighted(y_true, y_pred) + self.combined(y_true, y_pred)

    scores = SegmentationScores(task)
    optimizer = adam(0.01, accumulate_steps=2, ema_momentum=0.9, clip_norm=1.0)
    model.compile(optimizer, Both(), metrics=[scores])
    model.optimizer.build(model.trainable_variables)
    model._symbolic_build(data_batch=batch(0))
    step = compiled_step(model, training=True, devices=devices)
    parts = (model.trainable_variables, model.non_trainable_variables, optimizer.variables, model.metrics_variables)
    state: Any = tuple([variable.value for variable in part] for part in parts)
    losses, before = [], (0.0, 0)
    for number in range(STEPS):
        images = len(batch(number)[0])
        logs, state = step(state, batch(number))
        total, seen = (
            float(logs["loss"]) * (before[1] + images),
            before[1] + images,
        )  # `loss` is the mean since the start
        losses.append((total - before[0]) / images)
        before = total, seen
    confusion = next(value for variable, value in zip(parts[3], state[3], strict=True) if variable is scores.confusion)
    return {"losses": losses, "confusion": np.asarray(confusion).tolist(), "on": len(state[0][0].sharding.device_set)}


def trained(folder: Path, devices: Sequence[int]) -> list[float]:
    """Losses of two epochs on each number of devices in turn, each going on from the state that the last one wrote."""
    import toys

    from seglab.optimizers import adam
    from seglab.run_record import WorkFile
    from seglab.training.checkpoint import load_state
    from seglab.training.fit import train

    losses: list[float] = []
    state = None
    for number, count in enumerate(devices):
        settings = toys.trainer(2 * (number + 1)).model_copy(update={"devices": count})
        model, optimizer = toys.net(), adam(0.02, accumulate_steps=2, ema_momentum=0.9)
        emit: Any = lambda metrics, _: losses.append(metrics["train_loss"])  # noqa: E731
        parts = ([toys.Overlap()], toys.Squares(3), toys.Squares(2), settings, folder, emit)
        train(model, toys.CrossEntropy(), optimizer, *parts, state=state, stream=None)
        state = load_state(folder / WorkFile.STATE)
    return losses


def test_two_and_four_devices_have_the_losses_of_one() -> None:
    pytest.importorskip("jax")
    words = [sys.executable, __file__]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False, env=os.environ | ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two, four, goes_on = json.loads(done.stdout.splitlines()[-1])
    assert [found["on"] for found in (one, two, four)] == [1, 2, 4]
    counted = sum(int((batch(step)[1] != 255).sum()) for step in range(STEPS))
    for several in (two, four):
        np.testing.assert_allclose(several["losses"], one["losses"], rtol=1e-5)
        assert np.sum(several["confusion"]) == np.sum(one["confusion"]) == counted
        assert np.abs(np.subtract(several["confusion"], one["confusion"])).max() <= 2, "a pixel or two on the border"
    assert np.mean(one["losses"][-5:]) < 0.95 * np.mean(one["losses"][:5])
    alone, elsewhere = goes_on  # four epochs on one device; two on two of them, and resumed on four
    assert len(alone) == 4
    np.testing.assert_allclose(elsewhere, alone, rtol=1e-4)


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"backend=jax"):
        check_devices(2, 8, "tensorflow")
    with pytest.raises(ConfigError, match=r"data\.batch_size=12"):
        check_devices(4, 10, "jax")
    check_devices("auto", 10, "jax")
    plain, two = (load_config(compose("train", words)) for words in ([], ["trainer.devices=2", "backend=jax"]))
    assert (plain.trainer.devices, two.trainer.devices) == (None, 2)
    assert two.digest == load_config(compose("train", ["backend=jax"])).digest, "devices change no result"
    assert "devices" not in plain.identity["trainer"]


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2] / "src"), str(Path(__file__).parents[1] / "helpers")]
    with tempfile.TemporaryDirectory() as folder:
        numbers = {"alone": (1, 1), "elsewhere": (2, 4)}
        goes_on = [trained(Path(folder) / name, devices) for name, devices in numbers.items()]
    print(json.dumps([*(steps(devices) for devices in (1, 2, 4)), goes_on]))
