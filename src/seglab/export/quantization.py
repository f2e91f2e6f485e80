"""int8: weights and activations of all layers but the last, which keeps its float numbers, and logits out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.export.conversion import INPUT, quietly, save_openvino
from seglab.inference.backends.openvino import load_openvino

if TYPE_CHECKING:
    import keras


def quantize_openvino(folder: Path, inputs: np.ndarray) -> None:
    """Replace the float model of a folder, `model.xml`, by its int8 one.

    Args:
        folder: with the IR.
        inputs: `(N, *size, C)` float32 to calibrate with.

    Raises:
        ExportRefused: NNCF gives up.
    """
    openvino = load_openvino()
    with quietly("openvino in int8"):
        import nncf

        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # its weights would be read from the file that is written over
        model = core.read_model(folder / "model.xml")
        last = last_layer(model)
        made = nncf.quantize(
            model,
            nncf.Dataset(list(inputs[:, None])),
            subset_size=len(inputs),
            ignored_scope=nncf.IgnoredScope(names=last),
        )
        save_openvino(made, folder)


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


def quantize_litert(model: keras.Model, folder: Path, inputs: np.ndarray) -> None:
    """Write `model.tflite` in int8, with float numbers in and out; the last layer is computed in float.

    Args:
        model: in float32.
        folder: to write to.
        inputs: as for `quantize_openvino`.

    Raises:
        ExportRefused: the converter gives up.
    """
    with quietly("litert in int8"):
        import tensorflow as tf
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        def representative() -> Iterator[list[np.ndarray]]:
            for one in inputs:
                yield [one[None]]

        serve = tf.function(
            lambda image: model(image, training=False),
            input_signature=[tf.TensorSpec((1, *model.inputs[0].shape[1:]), tf.float32, name=INPUT)],
            autograph=False,
        )
        frozen = convert_variables_to_constants_v2(serve.get_concrete_function())
        (last,) = (one.name.partition(":")[0] for one in frozen.outputs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,  # of the layer that stays float
        ]
        # The converter's own way to leave layers out, which comes as a part of its debugger.
        made = tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=representative,
            debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=[last]),
        )
        (folder / "model.tflite").write_bytes(made.get_nondebug_quantized_model())
