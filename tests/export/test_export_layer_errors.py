"""What a quantised network loses, layer by layer, against noise worked by hand and a network that is coarse in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglab.export import layer_errors as subject
from seglab.export.layer_errors import decibels, layer_errors, powers
from seglab.inference.backends.openvino import load_openvino


def test_the_ratio_is_that_of_the_sums_of_squares() -> None:
    """Σ x² = 9 + 16 = 25, Σ (x − y)² = 0.25: a ratio of 100, which is 20 dB."""
    signal, noise = powers(np.array([3, 4, 0], np.float32), np.array([3, 4.5, 0], np.float32))
    assert (signal, noise) == (25, 0.25)
    assert decibels(signal, noise) == 20
    assert decibels(25, 0) is None
    assert decibels(0, 1) is None


def two_convolutions(step: float) -> Any:
    """`y = 2 x`, of which the `step`-th part is cut off (0: nothing), and `z = 3 y`; both as convolutions."""
    openvino = load_openvino()
    ops = openvino.opset13
    image = ops.parameter([1, 1, 4, 4], np.float32, name="image")
    none: tuple[list[int], ...] = ([1, 1], [0, 0], [0, 0], [1, 1])
    first = ops.convolution(image, np.full((1, 1, 1, 1), 2, np.float32), *none, name="first")
    cut = first if not step else ops.multiply(ops.floor(ops.divide(first, np.float32(step))), np.float32(step))
    second = ops.convolution(cut, np.full((1, 1, 1, 1), 3, np.float32), *none, name="second")
    return openvino.Model([second], [image])


@pytest.mark.parametrize("at_a_time", [2**28, 1])
def test_noise_is_reported_behind_the_layer_that_makes_it(at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """x = 0.75 everywhere: y = 1.5, cut to 1; z = 4.5 and 3, so that the noise is a ninth of the signal, 9.54 dB."""
    monkeypatch.setattr(subject, "_BYTES", at_a_time)
    inputs = np.full((3, 1, 4, 4), 0.75, np.float32)
    found = layer_errors(two_convolutions(0), two_convolutions(1.0), inputs)
    assert found == [
        {"layer": "first", "kind": "Convolution", "sqnr_db": None},
        {"layer": "second", "kind": "Convolution", "sqnr_db": 9.54},
    ]


def test_an_int8_network_is_reported_layer_by_layer(tmp_path: Path) -> None:
    from exportable import blurring

    from seglab.export.conversion import convert
    from seglab.export.quantization import quantize_openvino

    convert(blurring((24, 24), width=4), "openvino", tmp_path)
    images = np.random.default_rng(0).random((6, 24, 24, 1)).astype(np.float32)
    found = quantize_openvino(tmp_path, images)
    assert [one["kind"] for one in found] == ["Convolution", "Convolution"]
    blur, head = (one["sqnr_db"] for one in found)
    # Of 8 bits, about 6 dB each, less what a range larger than most numbers costs.
    assert 30 < blur < 60
    assert 25 < head < 60
    graph = load_openvino().Core().read_model(tmp_path / "model.xml")
    assert {one["layer"] for one in found} <= {op.get_friendly_name() for op in graph.get_ops()}
    assert json.loads(json.dumps(found)) == found
