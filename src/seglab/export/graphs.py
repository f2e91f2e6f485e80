"""What a model file is made of, read from the file itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seglab.export.conversion import SAVED_MODEL
from seglab.export.export_targets import ExportRefused
from seglab.inference.backends.openvino import load_openvino


def graph_of(target_format: str, folder: Path) -> dict[str, Any]:
    """What a model file is made of: its version, names, shapes and types at both ends, and how many of each operation.

    Raises:
        ExportRefused: a side that is not fixed.
    """
    return _GRAPHS[target_format](folder)


def _ends(name: str, shape: Any, dtype: str) -> dict[str, Any]:
    try:
        sides = [int(side) for side in shape]
    except (TypeError, ValueError) as error:
        raise ExportRefused(
            "a model file without a fixed shape",
            where=name,
            found=str(shape),
            expected="a number for every side",
            remedy="export it from a model with a fixed input size",
        ) from error
    return {"name": name, "shape": sides, "dtype": dtype}


def _counted(names: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))


def _openvino_graph(folder: Path) -> dict[str, Any]:
    model = load_openvino().Core().read_model(folder / "model.xml")
    ends = [
        _ends(
            end.any_name,
            end.partial_shape.to_shape() if end.partial_shape.is_static else ["?"],
            end.element_type.to_dtype().name,
        )
        for end in (model.input(0), model.output(0))
    ]
    return {
        "version": "IR 11",
        "input": ends[0],
        "output": ends[1],
        "operations": _counted(op.get_type_name() for op in model.get_ops()),
    }


def _onnx_graph(folder: Path) -> dict[str, Any]:
    import onnx

    made = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    ends = []
    for end in (made.graph.input[0], made.graph.output[0]):
        kind = end.type.tensor_type
        shape = [side.dim_value or None for side in kind.shape.dim]
        ends.append(_ends(end.name, shape, str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))))
    version = f"opset {made.opset_import[0].version}, IR version {made.ir_version}"
    return {
        "version": version,
        "input": ends[0],
        "output": ends[1],
        "operations": _counted(n.op_type for n in made.graph.node),
    }


def _litert_graph(folder: Path) -> dict[str, Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(folder / "model.tflite"))
    ends = [
        _ends(end["name"], end["shape"], str(end["dtype"].__name__))
        for end in (interpreter.get_input_details()[0], interpreter.get_output_details()[0])
    ]
    names = [one["op_name"] for one in interpreter._get_ops_details() if one["op_name"] != "DELEGATE"]
    return {"version": "TFL3", "input": ends[0], "output": ends[1], "operations": _counted(names)}


def _savedmodel_graph(folder: Path) -> dict[str, Any]:
    import tensorflow as tf

    served = tf.saved_model.load(str(folder / SAVED_MODEL)).signatures["serving_default"]
    (given,) = served.structured_input_signature[1].values()
    (answer,) = served.structured_outputs.values()
    return {
        "version": f"SavedModel of TensorFlow {tf.__version__}",
        "input": _ends(given.name, given.shape, given.dtype.name),
        "output": _ends("output_0", answer.shape, answer.dtype.name),
        "operations": _counted(op.type for op in served.graph.get_operations()),
    }


_GRAPHS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "openvino": _openvino_graph,
    "onnx": _onnx_graph,
    "litert": _litert_graph,
    "savedmodel": _savedmodel_graph,
}
