"""8-bit targets: what is executed is read back, logits stay float numbers, and operations are of the stated list."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from exportable import blurring, exportable

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import ConfigError
from seglab.export.conversion import convert
from seglab.export.end_to_end import around, end_to_end
from seglab.export.export_targets import ExportRefused, Target, targets_of
from seglab.export.exporting import export
from seglab.export.graph_operations import LIST, check_operations
from seglab.export.graphs import graph_of
from seglab.export.quantization import quantize_end_to_end, quantize_litert, quantize_openvino
from seglab.export.request import ExportRequest
from seglab.inference.backends import open_network
from seglab.inference.bundle import Bundle
from seglab.inference.example import example_image
from seglab.inference.predictor import Predictor
from seglab.models.unet import attention_unet, unet
from seglab.task import Task

BINARY, FOUR = Task(2, 1, ("background", "object")), Task(2, 3, ("background", "a", "b", "c"))


def test_weights_alone_and_activations_too_are_distinguished(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = unet(FOUR, (32, 32), depth=1, width=16)
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    expected, sizes = model.predict_on_batch(images), {}
    convert(model, "litert", tmp_path)
    for precision, inputs in (("float32", None), ("int8_dynamic", None), ("int8", images)):
        if precision != "float32":
            quantize_litert(model, tmp_path, inputs)
        network = open_network("litert", tmp_path / "model.tflite")
        assert network.precision == precision
        found = network.logits(images)
        assert found.dtype == np.float32
        assert len(np.unique(found)) > 2000, "not the 256 steps of an 8-bit answer"
        assert np.abs(found - expected).max() < (1e-4 if precision == "float32" else 0.5)
        check_operations(Target("litert", precision), graph_of("litert", tmp_path)["operations"])
        sizes[precision] = (tmp_path / "model.tflite").stat().st_size
    assert sizes["int8_dynamic"] < 0.5 * sizes["float32"]


def test_what_is_enlarged_behind_a_sigmoid_is_quantised_around(tmp_path: Path) -> None:
    """The converter wants one scale on both sides of a slice, which the gates of attention do not give it."""
    keras.utils.set_random_seed(0)
    model = attention_unet(BINARY, (16, 16), depth=2, width=4)
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
    quantize_litert(model, tmp_path, images)
    network = open_network("litert", tmp_path / "model.tflite")
    assert network.precision == "int8"
    assert np.abs(network.logits(images) - model.predict_on_batch(images)).max() < 0.5


@pytest.mark.parametrize(("fit", "size"), [("patch", (24, 24)), ("letterbox", (31, 29))])
def test_only_the_network_of_an_end_to_end_graph_is_quantised(fit: str, size: tuple[int, int], tmp_path: Path) -> None:
    model = blurring((24, 24))
    bundle = Bundle(BINARY, Preprocessing("scale", 1, 255.0, scale="bytes"), (24, 24), fit)  # type: ignore[arg-type]
    predictor = Predictor.of(model, bundle)
    inputs = np.concatenate([predictor.inputs(example_image(bundle, size, seed), None) for seed in range(6)])
    quantize_end_to_end(*_parts(model, bundle, size), tmp_path, inputs)
    network = open_network("openvino", tmp_path / "model.xml")
    assert network.precision == "int8"
    graph = graph_of("openvino", tmp_path)
    check_operations(Target("openvino", "int8", "end_to_end"), graph["operations"])
    assert (graph["input"]["name"], graph["input"]["dtype"]) == ("image", "uint8")
    assert (graph["output"]["name"], graph["output"]["dtype"]) == ("classes", "uint8")
    image = example_image(bundle, size, seed=9)
    found = network.run(image[None])  # type: ignore[attr-defined]
    assert found.shape == (1, *size)
    assert (found == end_to_end(model, bundle, size).predict_on_batch(image[None])).mean() > 0.98
    # The network in the middle is the one that is exported alone: of the same numbers.
    convert(model, "openvino", _made(tmp_path / "alone"))
    quantize_openvino(tmp_path / "alone", inputs)
    alone = Predictor.of(open_network("openvino", tmp_path / "alone" / "model.xml"), bundle)
    assert (found[0] == alone.predict(image)).mean() > (0.9999 if fit == "patch" else 0.99)


def _parts(model: keras.Model, bundle: Bundle, size: tuple[int, int]) -> tuple[keras.Model, ...]:
    before, behind = around(bundle, size)
    return before, model, behind


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_precisions_of_formats() -> None:
    def names(formats: list[str], precisions: list[str], graph: str = "logits") -> list[str]:
        return [one.name for one in targets_of(formats, precisions, graph)]

    assert names(["litert", "openvino"], ["int8_dynamic", "float32"]) == [
        "litert-int8_dynamic",
        "litert-float32",
        "openvino-float32",
    ]
    assert names(["openvino", "litert"], ["float32", "int8"], "end_to_end") == [
        "openvino-float32-end-to-end",
        "openvino-int8-end-to-end",
        "litert-float32-end-to-end",
    ]
    for formats, precisions, graph in (
        (["openvino"], ["int8_dynamic"], "logits"),
        (["litert"], ["int8"], "end_to_end"),
    ):
        with pytest.raises(ConfigError, match="not offered in"):
            names(formats, precisions, graph)


def test_operations_outside_of_the_list_are_named(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 1), name="image")
    odd = keras.layers.Lambda(lambda x: keras.ops.cumsum(x, axis=1))
    convert(keras.Model(image, odd(image)), "onnx", tmp_path)
    graph = graph_of("onnx", tmp_path)
    with pytest.raises(ExportRefused, match="CumSum") as caught:
        check_operations(Target("onnx", "float32"), graph["operations"])
    assert "operations.yaml" in str(caught.value)
    check_operations(Target("savedmodel", "float32"), ["Anything"])
    lists = yaml.safe_load(LIST.read_text())
    for name, operations in lists.items():
        assert operations == sorted(set(operations)), name


@pytest.mark.slow
def test_they_are_exported_with_what_they_cost(tmp_path: Path) -> None:
    # LiteRT leaves weights of fewer than 1024 numbers as they are, and what has no others is not of 8 bits.
    words = {"bundle": str(exportable(tmp_path, 2, "resize", width=128)), "calibration": 8}
    made = export(ExportRequest(str(tmp_path / "a"), format=("litert",), precision=("int8_dynamic",), **words))  # type: ignore[arg-type]
    whole = {"format": ("openvino",), "precision": ("int8",), "graph": "end_to_end", "image_size": (32, 32)}
    other = export(ExportRequest(str(tmp_path / "b"), allow_drop=0.02, **whole, **words))  # type: ignore[arg-type]
    for place in (made / "litert-int8_dynamic", other / "openvino-int8-end-to-end"):
        assert '"cases": 3' in (place / "accuracy.json").read_text()
    with pytest.raises(ExportRefused, match="nobody has measured"):
        export(ExportRequest(str(tmp_path / "c"), **(whole | {"image_size": (40, 40)}), **words))  # type: ignore[arg-type]
    assert not (tmp_path / "c").exists()
