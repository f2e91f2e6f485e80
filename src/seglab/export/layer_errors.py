"""How far each layer of a quantised network is from its float numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from seglab.inference.backends.openvino import load_openvino, settings

# Inputs that are compared, and bytes of float numbers of one of them that are held at a time.
_INPUTS, _BYTES = 8, 2**28
_LAYERS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")


def layer_errors(plain: Any, quantised: Any, inputs: np.ndarray) -> list[dict[str, Any]]:
    """The signal-to-quantisation-noise ratio behind each convolution and product, in the order of the network.

    Noise of a layer is that of all layers up to it.

    Args:
        plain: the float network, an OpenVINO model.
        quantised: made of it, with operations of the same names.
        inputs: `(N, *size, C)` float32, of which the first few are taken.

    Returns:
        Of each layer its name, kind and `sqnr_db`, see `decibels`.
    """
    models = [model.clone() for model in (plain, quantised)]
    both = [{op.get_friendly_name(): op for op in model.get_ordered_ops()} for model in models]
    layers = [name for name, op in both[0].items() if op.get_type_name() in _LAYERS and name in both[1]]
    found = []
    for names in _groups(layers, both[0]):
        runs = [_answering([nodes[name] for name in names], model) for nodes, model in zip(both, models, strict=True)]
        sums = np.zeros((len(names), 2))
        for one in inputs[:_INPUTS]:
            for row, expected, answer in zip(sums, *(run(one[None]) for run in runs), strict=True):
                row += powers(expected, answer)
        found += [
            {"layer": name, "kind": both[0][name].get_type_name(), "sqnr_db": decibels(*row)}
            for name, row in zip(names, sums.tolist(), strict=True)
        ]
    return found


def powers(expected: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Of a signal and of what it differs by: `Σ x²` and `Σ (x − y)²`."""
    signal, noise = expected.astype(np.float64), expected.astype(np.float64) - found
    return float((signal**2).sum()), float((noise**2).sum())


def decibels(signal: float, noise: float) -> float | None:
    """`10 log10(signal / noise)`; None where one of them is nothing."""
    return round(10 * math.log10(signal / noise), 2) if signal and noise else None


def _groups(layers: Sequence[str], nodes: dict[str, Any]) -> Iterator[list[str]]:
    """Of layers so many at a time that their numbers fit into memory."""
    group: list[str] = []
    held = 0
    for name in layers:
        size = 4 * math.prod(nodes[name].output(0).shape)
        if group and held + size > _BYTES:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    if group:
        yield group


def _answering(nodes: Sequence[Any], model: Any) -> Any:
    """Gives what these operations of a model make of an input."""
    openvino = load_openvino()
    part = openvino.Model([node.output(0) for node in nodes], model.get_parameters())
    compiled = openvino.Core().compile_model(part, "CPU", settings())
    return lambda one: list(compiled([one]).values())
