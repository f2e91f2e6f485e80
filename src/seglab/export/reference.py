"""The trained model in float32, which every target is held against, and its conversion."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seglab.export.calibration_inputs import CalibrationInputs
from seglab.export.conversion import convert, in_float32, in_float64
from seglab.export.examining import CaseComparison, Examiner
from seglab.export.export_targets import Target
from seglab.export.quantization import quantize_end_to_end, quantize_litert, quantize_openvino
from seglab.inference.backends.keras import KerasNetwork
from seglab.inference.bundle import FIRST_STAGE, check_files, load_bundle, read_bundle
from seglab.inference.ensembles import one_network
from seglab.inference.predictor import Predictor

Layers = list[dict[str, Any]] | None


class Reference:
    """A bundle's model, computed in float32.

    Args:
        folder: of the bundle.

    Attributes:
        folder: of the bundle.
        bundle: what goes with the network.
        predictor: of it.
        network: within it; of a cascade the second stage's.
        first: of a cascade, the first stage; else None.
        trained_in: precision that it was trained in.

    Raises:
        DataError: no bundle, or one that cannot be used.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.first: Reference | None = None
        if read_bundle(folder).both_stages:
            self.bundle = check_files(folder)
            self.first, model = Reference(folder / FIRST_STAGE), one_network(folder, self.bundle)
        else:
            model, self.bundle = load_bundle(folder)
        self.trained_in = KerasNetwork(model).precision
        self._model = in_float32(model)
        self.network = KerasNetwork(self._model)
        before = None if self.first is None else self.first.predictor
        self.predictor: Predictor = Predictor.of(self.network, self.bundle, first=before)

    def exact_logits(self, window: np.ndarray) -> np.ndarray:
        """Logits of one input of the network, `(1, *size, C)`, computed in float64."""
        return self._exact.logits(window.astype(np.float64))

    @cached_property
    def _exact(self) -> KerasNetwork:
        return KerasNetwork(in_float64(self._model))

    def write(
        self, target: Target, folder: Path, size: tuple[int, ...], calibration: CalibrationInputs | None
    ) -> Layers:
        """Write the file or files of a target's model; raises `ExportRefused`.

        Returns:
            How far its layers are from their float numbers, see `layer_errors`; None where that is unknown.
        """
        model, output = self._model, "logits"
        if target.graph == "end_to_end" and calibration is not None:
            from seglab.export.end_to_end import around

            before, behind = around(self.bundle, size)
            return quantize_end_to_end(before, model, behind, folder, calibration.inputs)
        if target.graph == "end_to_end":
            from seglab.export.end_to_end import end_to_end

            model, output = end_to_end(model, self.bundle, size), "classes"
        if target.format == "litert" and target.quantised:
            quantize_litert(model, folder, None if calibration is None else calibration.inputs)
            return None
        convert(model, target.format, folder, output)
        return None if calibration is None else quantize_openvino(folder, calibration.inputs)


class InThisProcess:
    """What `Examination` does, for a target that needs TensorFlow."""

    def __init__(self, examiner: Examiner):
        self._examiner = examiner
        self.reply = {"precision": "float32"}

    def answer(self, file: Path) -> CaseComparison:
        """See `Examiner`."""
        return self._examiner.answer(file)

    def example(self, file: Path) -> dict[str, np.ndarray]:
        """See `Examiner`."""
        return self._examiner.example()

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *error: object) -> None:
        pass
