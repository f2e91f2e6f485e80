"""Every runtime answers what Keras answers, says what it computes in, and names a file that it cannot open."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from seglab.errors import DataError
from seglab.export.conversion import convert
from seglab.export.graphs import graph_of
from seglab.inference.backends import BACKENDS, open_network
from seglab.inference.backends.keras import KerasNetwork
from seglab.inference.backends.openvino import executed, load_openvino
from seglab.models.unet import unet
from seglab.task import Task

TASK = Task(2, 3, ("background", "a", "b"))
SIZE = (24, 40)
every_runtime = pytest.mark.parametrize("runtime", BACKENDS)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return unet(TASK, SIZE, depth=2, width=4)


@pytest.fixture(scope="module")
def files(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for runtime in BACKENDS:
        convert(model, runtime, folder)
    return folder


@every_runtime
def test_logits_are_those_of_keras(runtime: str, model: keras.Model, files: Path) -> None:
    network = open_network(runtime, files / BACKENDS[runtime].file, threads=1)
    facts = (network.name, network.size, network.channels, network.outputs, network.precision)
    assert facts == (runtime, SIZE, 3, 3, "float32")
    images = np.random.default_rng(0).random((3, *SIZE, 3), np.float32)
    found = network.logits(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.predict_on_batch(images), atol=1e-5)
    np.testing.assert_array_equal(network.logits(images[1:2]), found[1:2])
    network.close()


@every_runtime
def test_a_file_says_what_it_is_made_of(runtime: str, files: Path) -> None:
    graph = graph_of(runtime, files)
    assert (graph["input"]["shape"], graph["output"]["shape"]) == ([1, *SIZE, 3], [1, *SIZE, 3])
    assert (graph["input"]["dtype"], graph["output"]["dtype"]) == ("float32", "float32")
    names = {name.lower().replace("_", "") for name in graph["operations"]}
    assert names & {"convolution", "conv", "conv2d"}
    assert not names & {"softmax", "sigmoid", "logistic"}


@every_runtime
@pytest.mark.parametrize("harm", ["missing", "empty", "text", "cut"])
def test_a_file_that_is_none_is_named(runtime: str, harm: str, files: Path, tmp_path: Path) -> None:
    row = BACKENDS[runtime]
    file = tmp_path / row.file
    content = {"empty": b"", "text": b"hello " * 50, "cut": (files / row.file).read_bytes()[:200]}
    if harm != "missing":
        file.write_bytes(content[harm])
    with pytest.raises(DataError, match=f"a model file that {runtime} cannot open") as caught:
        open_network(runtime, file)
    assert str(file) in str(caught.value)


def test_precision_is_read_back_from_what_runs(files: Path) -> None:
    openvino = load_openvino()
    core = openvino.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    asked = open_network("openvino", files / "model.xml", precision="bfloat16")
    assert asked.precision == "bfloat16"
    unasked = core.compile_model(core.read_model(files / "model.xml"), "CPU")
    assert set(executed(unasked)) == {"bfloat16"}  # the reason why the hint is always given
    assert set(open_network("openvino", files / "model.xml").executed) == {"float32"}  # type: ignore[attr-defined]


_MEMORY_OF_ONNX = """
import sys
from pathlib import Path
import numpy as np, psutil
from seglab.inference.backends import open_network
network, process = open_network("onnx", Path(sys.argv[1]), threads=1), psutil.Process()
given = np.zeros((1, 512, 512, 4), np.float32)
before = process.memory_info().rss
network.run(given)
print(process.memory_info().rss - before)
"""


def test_onnx_runtime_gives_memory_back(tmp_path: Path) -> None:
    """Its arena would keep what the largest image took: here 67 MB for the features of each convolution."""
    image = keras.Input((512, 512, 4), name="image")
    features = keras.layers.Conv2D(64, 3, padding="same")(keras.layers.Conv2D(64, 3, padding="same")(image))
    convert(keras.Model(image, keras.layers.Conv2D(2, 1)(features)), "onnx", tmp_path)
    words = [sys.executable, "-c", _MEMORY_OF_ONNX, str(tmp_path / "model.onnx")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30e6


def test_openvino_tells_nobody_that_it_is_used(files: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from seglab.inference.backends import open_network; "
        f"open_network('openvino', Path({str(files / 'model.xml')!r})); "
        "print([name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_many_networks_in_one_process_are_no_retracing(caplog: pytest.LogCaptureFixture) -> None:
    """TensorFlow counts the calls of all networks as those of one."""
    image = np.zeros((1, 8, 8, 3), np.float32)
    logging.getLogger("tensorflow").propagate, before = True, logging.getLogger("tensorflow").propagate
    try:
        for _ in range(8):
            KerasNetwork(unet(TASK, (8, 8), depth=1, width=1)).logits(image)
        logging.getLogger("tensorflow").warning("another warning")
    finally:
        logging.getLogger("tensorflow").propagate = before
    assert caplog.messages == ["another warning"]
