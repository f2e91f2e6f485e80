"""int8: weights and activations of all layers but the last, which keeps its float numbers, and logits out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.export.conversion import CLASSES, INPUT, convert, quietly, save_openvino
from seglab.export.layer_errors import layer_errors
from seglab.inference.backends.openvino import load_openvino

if TYPE_CHECKING:
    import keras


# What only moves numbers: the converter wants one scale on both sides and gives up where the neighbours' differ, as
# behind a sigmoid that is enlarged. Left in float, it does not matter.
_MOVING = ["STRIDED_SLICE", "CONCATENATION", "PACK", "RESHAPE"]


def quantize_openvino(folder: Path, inputs: np.ndarray) -> list[dict[str, Any]]:
    """Replace the float model of a folder, `model.xml`, by its int8 one.

    Args:
        folder: with the IR.
        inputs: `(N, *size, C)` float32 to calibrate with.

    Returns:
        What `layer_errors` tells of it.

    Raises:
        ExportRefused: NNCF gives up.
    """
    openvino = load_openvino()
    with quietly("openvino in int8", folder):
        import nncf

        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # its weights would be read from the file that is written over
        model = core.read_model(folder / "model.xml")
        last, plain = last_layer(model), model.clone()
        made = nncf.quantize(
            model,
            nncf.Dataset(list(inputs[:, None])),
            subset_size=len(inputs),
            ignored_scope=nncf.IgnoredScope(names=last),
        )
        layers, operations = layer_errors(plain, made, inputs), {op.get_friendly_name(): op for op in made.get_ops()}
        save_openvino(made, folder)
        return [{**one, "layer": operations[one["layer"]].get_friendly_name()} for one in layers]  # as the file has it


def last_layer(model: Any) -> list[str]:
    """Names of the operations from the last convolution or product to the output, of an OpenVINO model."""
    found, waiting = [], [model.output(0).get_node().input_value(0).get_node()]
    while waiting:
        node = waiting.pop()
        if node.get_type_name() in ("Constant", "Parameter"):
            continue
        found.append(node.get_friendly_name())
        if node.get_type_name() not in ("Convolution", "GroupConvolution", "MatMul", "ConvolutionBackpropData"):
            waiting += [node.input_value(place).get_node() for place in range(node.get_input_size())]
    return found


def quantize_end_to_end(
    before: keras.Model, model: keras.Model, behind: keras.Model, folder: Path, inputs: np.ndarray
) -> list[dict[str, Any]]:
    """Write the IR of a graph from raw pixels to class ids of which the network alone is int8.

    Args:
        before: raw pixels to the network's input.
        model: to logits, in float32.
        behind: logits to class ids.
        folder: to write to.
        inputs: of the network, as for `quantize_openvino`.

    Returns:
        As `quantize_openvino`.

    Raises:
        ExportRefused: a converter gives up.
    """
    openvino = load_openvino()
    core, parts, layers = openvino.Core(), [], []
    core.set_property({"ENABLE_MMAP": False})  # what is read is removed before it is written
    for part in (before, model, behind):
        with tempfile.TemporaryDirectory(dir=folder) as room:
            convert(part, "openvino", Path(room))
            if part is model:
                layers = quantize_openvino(Path(room), inputs)
            parts.append(core.read_model(Path(room) / "model.xml"))
    end = _end(parts[0])
    for part in parts[1:]:
        for place in part.input(0).get_target_inputs():
            place.replace_source_output(end)
        end = _end(part)
    whole = openvino.Model([end], parts[0].get_parameters())
    whole.input(0).set_names({INPUT})
    whole.output(0).set_names({CLASSES})
    save_openvino(whole, folder)
    return layers


def _end(model: Any) -> Any:
    """What the result of an OpenVINO model is taken from."""
    return model.output(0).get_node().input_value(0)


def quantize_litert(model: keras.Model, folder: Path, inputs: np.ndarray | None) -> None:
    """Write `model.tflite` with 8-bit weights, and float numbers in and out.

    Args:
        model: in float32.
        folder: to write to.
        inputs: as for `quantize_openvino`: activations have 8 bits too, and the last layer is computed in float; None
            for weights alone: the ranges of activations are then those of each image.

    Raises:
        ExportRefused: the converter gives up.
    """
    with quietly("litert in int8", folder):
        import tensorflow as tf
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        serve = tf.function(
            lambda image: model(image, training=False),
            input_signature=[tf.TensorSpec((1, *model.inputs[0].shape[1:]), tf.float32, name=INPUT)],
            autograph=False,
        )
        frozen = convert_variables_to_constants_v2(serve.get_concrete_function())
        converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
        last = [] if inputs is None else _last_layer_in_litert(converter.convert())
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        made = converter.convert() if inputs is None else _calibrated(converter, last, inputs)
        (folder / "model.tflite").write_bytes(made)


def _last_layer_in_litert(plain: bytes) -> list[str]:
    """What `last_layer` gives, of a float model of LiteRT: an operation is called as the tensor that it makes."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Delegates would stand in the place of the operations.
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=plain, experimental_op_resolver_type=resolver)
    names = {one["index"]: one["name"] for one in interpreter.get_tensor_details()}
    maker = {place: one for one in interpreter._get_ops_details() for place in one["outputs"]}
    found, waiting = [], [interpreter.get_output_details()[0]["index"]]
    while waiting:
        place = waiting.pop()
        if place not in maker or names[place] in found:
            continue
        found.append(names[place])
        if maker[place]["op_name"] not in ("CONV_2D", "TRANSPOSE_CONV", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            waiting += list(maker[place]["inputs"])
    return found


def _calibrated(converter: Any, last: list[str], inputs: np.ndarray) -> bytes:
    """The bytes of a model in int8 but for its last layer, the operations of these names."""
    import tensorflow as tf

    def representative() -> Iterator[list[np.ndarray]]:
        for one in inputs:
            yield [one[None]]

    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,  # of the layer that stays float
    ]
    # The converter's own way to leave layers out, which comes as a part of its debugger.
    for left_out in ([], _MOVING):
        try:
            made: bytes = tf.lite.experimental.QuantizationDebugger(
                converter=converter,
                debug_dataset=representative,
                debug_options=tf.lite.experimental.QuantizationDebugOptions(
                    denylisted_nodes=last, denylisted_ops=left_out
                ),
            ).get_nondebug_quantized_model()
            break
        except RuntimeError:
            if left_out:
                raise
    return made
