"""What logits mean outside of Keras is what they mean within it; and Keras gives the bits that it always gave."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import ConfigError, DataError
from seglab.inference.backends import known_backend
from seglab.inference.backends.keras import KerasNetwork
from seglab.inference.loaded_network import Answer, LoadedNetwork, own_threads
from seglab.inference.predictor import Predictor
from seglab.models import heads
from seglab.models.unet import unet
from seglab.task import Task

TASKS = [Task(2, 1, ("background", "object")), Task(2, 3, ("background", "a", "b", "c"))]


class Recorded(LoadedNetwork):
    """Logits that are there already."""

    name, size, precision = "recorded", (8, 8), "float32"

    def __init__(self, logits: np.ndarray, channels: int):
        self.found, self.channels, self.outputs = logits, channels, logits.shape[-1]

    def logits(self, images: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.found, (len(images), *self.found.shape))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [(None, 4), ("max 100000", 4), ("50000 100000", 1), ("150000 100000", 2), ("900000 100000", 4), ("none", 4)],
)
def test_threads_are_as_many_as_there_is_time_for(
    quota: str | None, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may have the time of one core and see those of the whole machine."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    if quota is not None:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert own_threads(tmp_path) == cores


def _as_ever(task: Task, answer: Answer) -> Callable[[Any], Any]:
    def deciding(logits: Any) -> Any:
        return heads.probabilities(logits, task)[..., 1 if task.binary else 0 :]

    def drawing(logits: Any) -> Any:
        return keras.ops.concatenate([deciding(logits), heads.log_probabilities(logits, task)], axis=-1)

    return {"deciding": deciding, "drawing": drawing, "probabilities": lambda x: heads.probabilities(x, task)}[answer]


@pytest.mark.parametrize("task", TASKS, ids=["binary", "classes"])
@pytest.mark.parametrize("answer", ["deciding", "probabilities", "drawing"])
def test_what_logits_mean_is_the_same_everywhere(task: Task, answer: Answer) -> None:
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(8, 8, task.logit_channels)) * 30).astype(np.float32)
    images = np.zeros((2, 8, 8, task.channels), np.float32)
    expected = np.asarray(_as_ever(task, answer)(logits))
    found = Recorded(logits, task.channels).answering(answer, task)(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack([expected] * 2), rtol=2e-6, atol=2e-7)
    warmer = Recorded(logits, task.channels).answering(answer, task, 3.0)(images)[0]
    np.testing.assert_allclose(warmer, np.asarray(_as_ever(task, answer)(logits / 3)), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("task", TASKS, ids=["binary", "classes"])
@pytest.mark.parametrize("answer", ["deciding", "probabilities", "drawing"])
def test_keras_gives_the_same_bits_as_its_own_graph(task: Task, answer: Answer) -> None:
    keras.utils.set_random_seed(0)
    model = unet(task, (16, 16), depth=1, width=4)
    images = np.random.default_rng(0).random((3, 16, 16, task.channels), np.float32)
    graph = keras.Model(model.inputs, _as_ever(task, answer)(model.outputs[0]))
    graph.jit_compile = False
    network = KerasNetwork(model)
    np.testing.assert_array_equal(network.answering(answer, task)(images), graph.predict_on_batch(images))
    np.testing.assert_array_equal(network.logits(images), model.predict_on_batch(images))
    facts = (network.name, network.size, network.channels, network.outputs, network.precision)
    assert facts == ("keras", (16, 16), task.channels, task.logit_channels, "float32")


def test_temperature_changes_how_sure_a_predictor_is_and_not_what_it_says() -> None:
    task = TASKS[1]
    logits = (np.random.default_rng(0).normal(size=(8, 8, 4)) * 4).astype(np.float32)
    image = np.zeros((8, 8, 3), np.uint8)
    given = (Recorded(logits, 3), task, Preprocessing("scale", 3, 255.0), (8, 8), "patch")
    plain, cooler = Predictor(*given), Predictor(*given, temperature=2.0)
    np.testing.assert_array_equal(plain.predict(image), logits.argmax(-1))
    np.testing.assert_array_equal(cooler.predict(image), logits.argmax(-1))
    assert cooler.predict_probabilities(image).max() < plain.predict_probabilities(image).max()


@pytest.mark.parametrize(("size", "classes"), [((8, 4), 4), ((8, 8), 5)])
def test_a_network_of_another_size_or_other_classes_is_refused(size: tuple[int, int], classes: int) -> None:
    network = Recorded(np.zeros((8, 8, 4), np.float32), 3)
    task = Task(2, 3, tuple(f"class {k}" for k in range(classes)))
    with pytest.raises(DataError, match="recorded network"):
        Predictor(network, task, Preprocessing("scale", 3, 255.0), size, "patch")


def test_an_unknown_runtime_is_named_with_its_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'openvino'"):
        known_backend("openvin")


def test_predicting_needs_no_tensorflow() -> None:
    code = (
        "import sys; import seglab.inference.predictor, seglab.inference.predict_files, seglab.inference.backends; "
        "heavy = {'tensorflow', 'keras', 'mlflow', 'hydra', 'pandas', 'sklearn', 'openvino', 'onnxruntime'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
