"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seglab.inference.loaded_network import OneByOne, own_threads


class OnnxNetwork(OneByOne):
    """An ONNX model of one fixed size.

    Args:
        file: the `.onnx`.
        threads: to compute with; as many as this process has cores when None.
        precision: only `float32`: ONNX Runtime computes in what the file holds.
    """

    name = "onnx"

    def __init__(self, file: Path, threads: int | None = None, precision: str = "float32"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or own_threads()
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it keeps what the largest image took
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own kinds share no other base
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            raise ValueError(str(error)) from error
        given, answer = self._session.get_inputs()[0], self._session.get_outputs()[0]
        self._input = given.name
        _, *size, self.channels = given.shape
        self.size, self.outputs = tuple(size), int(answer.shape[-1])
        self.precision = "float32"

    def run(self, one: np.ndarray) -> np.ndarray:
        return np.asarray(self._session.run(None, {self._input: one})[0])

    def close(self) -> None:
        del self._session
