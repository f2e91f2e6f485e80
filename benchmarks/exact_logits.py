"""How far runtimes are from the exact logits of a trained model: python -m
benchmarks.exact_logits <run id> [data words].

Of one window of each test case, float64 gives the exact logits. Printed are the largest distances from them of the
model in float32 and in the precision that it was trained in, and of OpenVINO, and how far that is from the former.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from seglab.evaluation.subject import find_subject
from seglab.export.conversion import convert, in_float32
from seglab.inference.backends import open_network
from seglab.inference.backends.keras import KerasNetwork
from seglab.inference.bundle import load_bundle
from seglab.runtime.reproducibility import load_tensorflow


def main(words: list[str]) -> int:
    load_tensorflow()
    from seglab.export.reference import Reference

    subject = find_subject(words[0], "test", words[1:])
    reference, trained = Reference(subject.found.folder), load_bundle(subject.found.folder)[0]
    with tempfile.TemporaryDirectory() as room:
        convert(in_float32(trained), "openvino", Path(room))
        openvino = open_network("openvino", Path(room) / "model.xml")
    own = KerasNetwork(trained)
    rows: dict[str, list[float]] = {}
    for case in subject.cases:
        sample = subject.source.read(case)
        window = reference.predictor.inputs(sample.image, sample.spacing)
        exact, plain, found = reference.exact_logits(window), reference.network.logits(window), openvino.logits(window)
        pairs = {
            "Keras float32 : float64": plain - exact,
            f"Keras {own.precision} : float64": own.logits(window) - exact,
            "OpenVINO float32 : float64": found - exact,
            "OpenVINO float32 : Keras float32": found.astype(np.float64) - plain,
            "largest logit": exact,
        }
        for what, values in pairs.items():
            rows.setdefault(what, []).append(float(np.abs(values).max()))
    for what, values in rows.items():
        print(f"{what:34} {max(values):.2g} at most, {np.mean(values):.2g} mean over {len(values)} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
