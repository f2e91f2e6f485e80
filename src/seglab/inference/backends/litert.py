"""LiteRT on the CPU, the runtime of small computers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seglab.inference.loaded_network import OneByOne, own_threads


class LiteRtNetwork(OneByOne):
    """A `.tflite` model of one fixed size, with float numbers in and out whatever it computes in.

    Args:
        file: the `.tflite`.
        threads: to compute with; as many as this process has cores when None.
        precision: only `float32`: LiteRT computes in what the file holds.
    """

    name = "litert"

    def __init__(self, file: Path, threads: int | None = None, precision: str = "float32"):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(file), num_threads=threads or own_threads())
        self._interpreter.allocate_tensors()
        (given,), (answer,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._input, self._output = given["index"], answer["index"]
        _, *size, self.channels = (int(side) for side in given["shape"])
        self.size, self.outputs = tuple(size), int(answer["shape"][-1])
        self.precision = _executed(self._interpreter.get_tensor_details())

    def run(self, one: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(one))
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output))

    def close(self) -> None:
        del self._interpreter


def _executed(tensors: list[dict[str, Any]]) -> str:
    """`int8` where activations have 8 bits, so that biases are whole numbers with a scale; `int8_dynamic` where only
    weights have, which come with a scale for each channel, and activations are quantised image by image."""

    def scaled(kind: type[np.generic]) -> bool:
        return any(
            np.dtype(one["dtype"]) == kind and len(one["quantization_parameters"]["scales"]) and len(one["shape"])
            for one in tensors
        )

    if scaled(np.int32):
        return "int8"
    return "int8_dynamic" if scaled(np.int8) else "float32"
