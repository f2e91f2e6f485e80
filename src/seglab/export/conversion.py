"""From a Keras model to the file of another runtime: one fixed shape, float32, logits out."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from seglab.export.export_targets import ExportRefused
from seglab.export.room import no_room_left
from seglab.inference.backends.keras import every_layer
from seglab.inference.backends.openvino import load_openvino
from seglab.inference.bundle import logits_model

if TYPE_CHECKING:
    import keras

INPUT, OUTPUT, CLASSES = "image", "logits", "classes"
OPSET, IR_VERSION = 18, 9  # of ONNX: what runtimes of the last three years read
SAVED_MODEL = "saved_model"


def in_float32(model: keras.Model) -> keras.Model:
    """The same layers and weights, computed in float32 whatever the model was trained in, without its other outputs."""
    network = logits_model(model)
    if all(layer.compute_dtype == "float32" for layer in every_layer(network)):
        return network
    return _computed_in("float32", network)


def in_float64(model: keras.Model) -> keras.Model:
    """The same in float64, whose rounding is nothing beside that of float32."""
    return _computed_in("float64", logits_model(model))


def _computed_in(precision: str, network: keras.Model) -> keras.Model:
    import keras

    again = keras.Model.from_config(_with(precision, network.get_config()))
    again.set_weights(network.get_weights())
    return again


def _with(precision: str, config: Any) -> Any:
    if isinstance(config, dict):
        return {key: _with(precision, value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_with(precision, value) for value in config)
    return precision if config in ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16", "float32") else config


def convert(model: keras.Model, format: str, folder: Path, output: str = OUTPUT) -> list[Path]:
    """Write a model's file of a format into a folder.

    Args:
        model: in float32, of one input and one output.
        format: of `seglab.export.export_targets.FORMATS`.
        folder: that is there.
        output: what its answer is called in the file.

    Returns:
        What was written.

    Raises:
        ExportRefused: the converter gives up; with its last error line.
    """
    before = set(folder.iterdir())
    with quietly(format, folder):
        _WRITERS[format](model, folder, output)
    return sorted(set(folder.iterdir()) - before)


def _signature(model: keras.Model) -> list[Any]:
    import keras

    (given,) = model.inputs
    return [keras.InputSpec(shape=(1, *given.shape[1:]), dtype=given.dtype, name=INPUT)]


def _openvino(model: keras.Model, folder: Path, output: str) -> None:
    openvino = load_openvino()
    with tempfile.TemporaryDirectory(dir=folder) as room:
        model.export(f"{room}/model.xml", format="openvino", input_signature=_signature(model), verbose=False)
        read = openvino.Core().read_model(f"{room}/model.xml")
        read.outputs[0].set_names({output})
        read.inputs[0].set_names({INPUT})
        save_openvino(read, folder)


def save_openvino(model: Any, folder: Path) -> None:
    """Write OpenVINO's IR: its weights as they are, its parts by number instead of by names that differ from process to
    process, and nothing of the machine that made it."""
    openvino = load_openvino()
    for number, operation in enumerate(model.get_ordered_ops()):
        kind = operation.get_type_name()
        operation.set_friendly_name(INPUT if kind == "Parameter" else f"{kind}_{number}")
        if kind not in ("Parameter", "Result"):
            for end in operation.outputs():
                end.set_names(end.get_names() & {model.output(0).any_name})
    for key in list(model.get_rt_info()):
        del model.get_rt_info()[key]
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)


def _onnx(model: keras.Model, folder: Path, output: str) -> None:
    import onnx

    file = folder / "model.onnx"
    model.export(str(file), format="onnx", input_signature=_signature(model), opset_version=OPSET, verbose=False)
    made = onnx.load(str(file))
    _put_in_order(made.graph)
    # By number instead of by names that differ from process to process.
    named = {"": "", made.graph.input[0].name: INPUT, made.graph.output[0].name: output}
    for weights in made.graph.initializer:
        weights.name = named.setdefault(weights.name, f"weights_{len(named)}")
    for number, node in enumerate(made.graph.node):
        node.name, node.doc_string = f"{node.op_type}_{number}", ""
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = named.setdefault(name, f"value_{len(named)}")
    made.graph.input[0].name, made.graph.output[0].name = INPUT, output
    del made.graph.value_info[:], made.metadata_props[:]
    made.ir_version = IR_VERSION
    made.graph.name, made.graph.doc_string, made.doc_string = "seglab", "", ""
    onnx.checker.check_model(made)
    onnx.save(made, str(file))


def _put_in_order(graph: Any) -> None:
    """Sort nodes and weights of an ONNX graph by what its answer needs, first to last. The converter sorts them by
    names that differ from export to export."""
    nodes, weights = list(graph.node), {one.name: one for one in graph.initializer}
    makers = {name: number for number, node in enumerate(nodes) for name in node.output}
    order: dict[int, None] = {}
    waiting = [makers[graph.output[0].name]]
    while waiting:
        needed = (makers[name] for name in nodes[waiting[-1]].input if name in makers)
        missing = next((number for number in needed if number not in order), None)
        if missing is None:
            order[waiting.pop()] = None
        else:
            waiting.append(missing)
    ordered = [nodes[number] for number in order]
    used = dict.fromkeys(name for node in ordered for name in node.input if name in weights)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(ordered)
    graph.initializer.extend(weights[name] for name in used)


def _litert(model: keras.Model, folder: Path, output: str) -> None:
    model.export(str(folder / "model.tflite"), format="litert", input_signature=_signature(model), verbose=False)


def _savedmodel(model: keras.Model, folder: Path, output: str) -> None:
    model.export(str(folder / SAVED_MODEL), format="tf_saved_model", input_signature=_signature(model), verbose=False)
    shutil.rmtree(folder / SAVED_MODEL / "debug", ignore_errors=True)


_WRITERS: dict[str, Callable[[Any, Path, str], None]] = {
    "openvino": _openvino,
    "onnx": _onnx,
    "litert": _litert,
    "savedmodel": _savedmodel,
}


def _last_error_line(output: IO[bytes]) -> str:
    """The last line with an error that a converter wrote, for those whose exceptions are empty."""
    sys.stderr.flush()
    output.seek(0)
    lines = output.read(2**20).decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if "error:" in line.lower()), "no reason given")


@contextmanager
def quietly(what: str, folder: Path) -> Iterator[None]:
    """Holds back what converters write to the terminal; an error of theirs becomes one of ours.

    Args:
        what: is made.
        folder: that is written to.

    Raises:
        OSError: the converter has run out of room, in whatever words.
        ExportRefused: it gives up for another reason.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(handle) for handle in (1, 2)]
    with tempfile.TemporaryFile() as output:
        for handle in (1, 2):
            os.dup2(output.fileno(), handle)
        try:
            yield
        except Exception as error:
            if full := no_room_left(error, folder):
                raise full from error
            raise ExportRefused(
                f"a model that cannot be converted to {what}",
                where=f"format={what}",
                found=" ".join(f"{type(error).__name__}: {error if str(error) else _last_error_line(output)}".split())[
                    :300
                ],
                expected="layers that the converter knows",
                remedy="choose another format; openvino and onnx know the most",
            ) from error
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for handle, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, handle)
                os.close(copy)
