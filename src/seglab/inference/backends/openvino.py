"""OpenVINO on the CPU, with its precision said aloud.

Where the processor has bfloat16, OpenVINO computes in it unless told otherwise, and tells nobody. The hint is always
set here, and what was executed is read back from the compiled graph.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from seglab.inference.loaded_network import OneByOne, own_threads

HINTS = {"float32": "f32", "bfloat16": "bf16"}
# Of the graph as it is executed: operations that hold a network's work, and what stands for each precision.
_WORK = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
_EXECUTED = {"i8": "int8", "u8": "int8", "bf16": "bfloat16", "f16": "float16", "f32": "float32"}


class OpenVinoNetwork(OneByOne):
    """A model in OpenVINO's IR, of one fixed size.

    Args:
        file: its `.xml`; the `.bin` of the same name lies beside it.
        threads: to compute with; as many as this process has cores when None.
        precision: of what is not quantised in the model, `float32` or `bfloat16`.
    """

    name = "openvino"

    def __init__(self, file: Path, threads: int | None = None, precision: str = "float32"):
        openvino = load_openvino()
        self.settings = settings(threads, precision)
        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # a file that is written over later changes nothing of what runs
        compiled = core.compile_model(core.read_model(file), "CPU", self.settings)
        _, *size, self.channels = tuple(compiled.input(0).shape)
        self.size, self.outputs = tuple(size), int(tuple(compiled.output(0).shape)[-1])
        self.executed = executed(compiled)
        self.precision = next((kind for kind in _EXECUTED.values() if kind in self.executed), "float32")
        self._request = compiled.create_infer_request()

    def run(self, one: np.ndarray) -> np.ndarray:
        (answer,) = self._request.infer([one], share_inputs=True, share_outputs=True).values()
        return answer

    def close(self) -> None:
        del self._request


def load_openvino() -> Any:
    """The package, without its telemetry, which tells its maker of every import and conversion unless it is missing."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def settings(threads: int | None = None, precision: str = "float32") -> dict[str, Any]:
    """What a model is compiled with: one request at a time, and nothing left to the machine's defaults."""
    return {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or own_threads(),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }


def executed(compiled: Any) -> dict[str, int]:
    """How many of the compiled graph's convolutions and products are executed in each precision."""
    found: dict[str, int] = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        information = node.get_rt_info()
        if information["layerType"].astype(str) in _WORK:
            kind = information["runtimePrecision"].astype(str)
            kind = _EXECUTED.get(kind, kind)
            found[kind] = found.get(kind, 0) + 1
    return found
