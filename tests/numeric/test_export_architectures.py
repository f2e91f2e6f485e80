"""Every architecture goes to every format that takes it, with 1, 3 and 4 channels and odd shapes, and stays itself."""

from __future__ import annotations

import importlib
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from omegaconf import OmegaConf

import seglab.config.run_config  # noqa: F401  registers the resolvers that the yaml uses
from seglab.export.conversion import convert, in_float64
from seglab.export.examining import compare_logits
from seglab.export.export_targets import Target
from seglab.export.graph_operations import check_operations
from seglab.export.graphs import graph_of
from seglab.export.quantization import last_layer, quantize_litert, quantize_openvino
from seglab.inference.backends import BACKENDS, open_network
from seglab.inference.backends.keras import KerasNetwork
from seglab.inference.backends.openvino import load_openvino
from seglab.models.unet import unet
from seglab.task import Task

MODELS = sorted((Path(__file__).parents[2] / "conf" / "model").glob("*.yaml"))
SMALL = {"width": 4, "depth": 2, "weights": None, "encoder": "mobilenetv3", "dropout": 0.0}
# Where a model has others: few stages, blocks and channels.
_STAGES = {"widths": [4, 8], "strides": [1, 2], "kernels": [3, 3], "encoder_blocks": [1, 1], "decoder_blocks": 1}
FEW = {
    "dynunet": _STAGES,
    "dynunet2d": {**_STAGES, "block": "residual"},
    "segresnet": {"encoder_blocks": [1, 2]},
    "segresnet2d": {"encoder_blocks": [1, 2]},
    "unetr": {"hidden": 24, "heads": 3, "depth": 4},
    "swin_unetr": {"width": 6, "depths": [2, 1, 1, 1], "heads": [1, 2, 3, 4], "window": 3},
}
TWO = Task(2, 3, ("background", "a"))
pytestmark = pytest.mark.slow


def small(path: Path, channels: int, classes: int) -> tuple[keras.Model, Task]:
    """The architecture of a file with few features, `lively`; sides are odd multiples of what it needs."""
    settings = OmegaConf.merge(OmegaConf.load(path))
    OmegaConf.set_struct(settings, False)
    card = OmegaConf.create({"model": settings, "data": {"normalize": "standard"}})
    for key, value in {**SMALL, **FEW.get(path.stem, {})}.items():
        if key in card.model:
            card.model[key] = value
    values = OmegaConf.to_container(card, resolve=True)["model"]  # type: ignore[index, call-overload]
    rank, coarsest = values["rank"], np.max(values["size_multiple"])
    multiple = int(coarsest) if coarsest > 1 else 3  # where any size will do: still more than a voxel
    task = Task(rank, channels, ("background", "a", "b", "c")[:classes])
    module, _, name = values["_target_"].rpartition(".")
    arguments = {k: v for k, v in values.items() if k not in ("name", "_target_", "rank", "size_multiple", "prompted")}
    keras.utils.set_random_seed(0)
    size = (3 * multiple, 5 * multiple) if rank == 2 else (3 * multiple, multiple, 2 * multiple)
    return lively(getattr(importlib.import_module(module), name)(task, size, **arguments)), task


def lively(model: keras.Model) -> keras.Model:
    """The model with the batch statistics of one batch of noise, as after training. With those that it begins with, a
    deep encoder's features die out layer by layer: PSPNet's logits are then 1e-11, and no bound says anything of them.
    """
    norms = [one for one in model._flatten_layers() if isinstance(one, keras.layers.BatchNormalization)]
    momenta = [one.momentum for one in norms]
    for one in norms:
        one.momentum = 0.0  # takes the statistics of the batch as they are
    model(noise(model, 16), training=True)
    for one, momentum in zip(norms, momenta, strict=True):
        one.momentum = momentum
    return model


def noise(model: keras.Model, count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *model.inputs[0].shape[1:])).astype(np.float32)


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 4), (4, 3)])
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_float32_is_the_same_network(path: Path, channels: int, classes: int, tmp_path: Path) -> None:
    model, task = small(path, channels, classes)
    images = noise(model, 2)
    expected = model.predict_on_batch(images)
    expected = expected[0] if isinstance(expected, list) else expected
    assert expected.std() > 0.01, "logits so small that the bounds below say nothing"
    for runtime, row in BACKENDS.items():
        if task.rank not in row.ranks:
            continue
        convert(model, runtime, tmp_path)
        check_operations(Target(runtime, "float32"), graph_of(runtime, tmp_path)["operations"])
        found = open_network(runtime, tmp_path / row.file).logits(images)
        largest, other, labels, margin = compare_logits(found, expected, task)
        assert largest <= 1e-4, runtime
        assert 1 - other / labels >= 0.9999, runtime
        assert margin < 1e-3, runtime


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_exact_logits_are_those_of_every_architecture(path: Path) -> None:
    """In float64 every layer with weights is computed in it, and what float32 rounds is far below what is tested. Of
    volumes TensorFlow has no pooling in float64, which is told as a `TypeError`."""
    model, _ = small(path, 3, 4)
    images = noise(model, 1)
    if "3d" in path.stem and path.stem != "conv3d":
        with pytest.raises(TypeError, match="float64"):
            KerasNetwork(in_float64(model)).logits(images.astype(np.float64))
        return
    exact = in_float64(model)
    leaves = [one for one in exact._flatten_layers(include_self=False) if not isinstance(one, keras.Model)]
    assert {layer.compute_dtype for layer in leaves if layer.weights} == {"float64"}
    found = KerasNetwork(exact).logits(images.astype(np.float64))
    plain = KerasNetwork(model).logits(images)
    assert found.dtype == np.float64
    assert 0 < np.abs(found - plain).max() < 1e-4


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_gelu_goes_to_every_format(norm: str, tmp_path: Path) -> None:
    """Keras's own becomes `Erfc`, which ONNX does not have."""
    model = lively(unet(TWO, (24, 40), width=4, depth=2, activation="gelu", norm=norm))  # type: ignore[arg-type]
    images = noise(model, 1)
    for runtime, row in BACKENDS.items():
        convert(model, runtime, tmp_path)
        check_operations(Target(runtime, "float32"), graph_of(runtime, tmp_path)["operations"])
        found = open_network(runtime, tmp_path / row.file).logits(images)
        assert np.abs(found - model.predict_on_batch(images)).max() < 5e-5, runtime


def check_many(logits: np.ndarray) -> None:
    """They are float numbers, and not the 256 steps of an int8 answer."""
    assert len(np.unique(logits)) > min(2000, logits.size // 2)
    assert logits.size // 2 > 2 * 256


def kind_of_last_convolution(file: Path) -> str:
    """In what LiteRT computes the last one, as its file has the operations."""
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=str(file), experimental_op_resolver_type=resolver)
    kinds = {one["index"]: one["dtype"].__name__ for one in interpreter.get_tensor_details()}
    done = [one for one in interpreter._get_ops_details() if "CONV" in one["op_name"]]
    return str(kinds[done[-1]["outputs"][0]])


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_int8_keeps_its_last_layer_in_float(path: Path, tmp_path: Path) -> None:
    model, task = small(path, 3, 4)
    images = noise(model, 8)
    convert(model, "openvino", tmp_path)
    quantize_openvino(tmp_path, images)
    network = open_network("openvino", tmp_path / "model.xml")
    assert network.precision == "int8"
    assert network.executed.get("float32", 0) >= 1  # type: ignore[attr-defined]
    check_operations(Target("openvino", "int8"), graph_of("openvino", tmp_path)["operations"])
    graph = load_openvino().Core().read_model(tmp_path / "model.xml")
    heads = [op for op in graph.get_ops() if op.get_friendly_name() in last_layer(graph)]
    assert any("Convolution" in op.get_type_name() for op in heads)
    assert "FakeQuantize" not in [op.input_value(i).get_node().get_type_name() for op in heads for i in range(2)]
    check_many(network.logits(images))
    if task.rank == 2:
        quantize_litert(model, tmp_path, images)
        found = open_network("litert", tmp_path / "model.tflite")
        assert found.precision == "int8"
        check_many(found.logits(images))
        assert kind_of_last_convolution(tmp_path / "model.tflite") == "float32"
        check_operations(Target("litert", "int8"), graph_of("litert", tmp_path)["operations"])
