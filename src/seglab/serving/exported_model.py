"""The model in its own process: an exported folder, and whether it answers as it should."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seglab.errors import ConfigError, DataError
from seglab.export.folder import IMAGE, MASK, SUMS, Exported, read_folder, targets_below
from seglab.inference.bundle import Bundle
from seglab.inference.loaded_network import own_threads
from seglab.inference.predicted_quality import PredictedQuality
from seglab.inference.predictor import Predictor
from seglab.runtime.file_digest import sha256_of
from seglab.serving.keeping_images import KeptImages
from seglab.serving.served import ServedModel

# Of the example's pixels, how many must be of the class that they had when the model was exported.
_SAME_FLOAT, _SAME_INT8 = 0.9999, 0.995
_PREFERRED = (
    *("openvino-float32", "onnx-float32", "litert-float32"),
    *("openvino-int8", "litert-int8", "litert-int8_dynamic"),
)


@dataclass(frozen=True)
class LoadedModel:
    """A model that is loaded and was tried.

    Attributes:
        served: what is told of it.
        bundle: what goes with the network.
        predictor: that answers.
        measures: whether each answer is measured for its row.
        flips: and how far the masks of its mirror images agree.
        kept: where images and their masks are kept; None where they are not.
    """

    served: ServedModel
    bundle: Bundle
    predictor: Predictor
    measures: bool = False
    flips: bool = False
    kept: KeptImages | None = None

    @cached_property
    def quality(self) -> PredictedQuality | None:
        """From confidence to Dice, where the bundle tells."""
        return PredictedQuality.from_dict(self.bundle.quality)

    def stored(self, ids: np.ndarray) -> np.ndarray:
        """A mask of class ids with the value of each in its place, as `seglab predict` writes it."""
        values = self._values
        if ids.dtype != np.uint8 or values.dtype != np.uint8:
            return values[ids]
        found = cv2.LUT(ids.reshape(len(ids), -1), values)  # in a ninth of the time of an index
        return found.reshape(ids.shape)

    @cached_property
    def _values(self) -> np.ndarray:
        """Of each class id, and 0 for those up to 255 that there are none of."""
        values = np.zeros(max(256, len(self.served.values)), f"uint{self.served.bits}")
        values[: len(self.served.values)] = self.served.values
        return values


def load_model(
    folder: Path,
    *,
    name: str,
    runtime: str | None = None,
    precision: str = "float32",
    threads: int | None = None,
    run: str = "",
    version: str = "",
    measures: bool = False,
    flips: bool = False,
) -> LoadedModel:
    """Load, and try on its example.

    Args:
        folder: an exported one.
        name: in addresses.
        runtime: of a folder with several targets; OpenVINO first when None.
        precision: likewise, `float32` or `int8`.
        threads: to compute with; as many as this process has cores when None.
        run: that trained it, where the folder does not tell.
        version: in the register, where it came from there.
        measures, flips: see `LoadedModel`.

    Raises:
        SeglabError: nothing there that can be served, or it does not answer as it was exported.
    """
    threads = threads or own_threads()
    exported = _chosen(folder, runtime, precision)
    predictor = exported.predictor(threads)
    _try(exported, predictor)
    bundle, network = exported.bundle, predictor.network
    run_fields: dict[str, Any] = exported.manifest.get("run") or {}
    served = ServedModel(
        name=name,
        digest=sha256_of(exported.folder / SUMS),
        run=str(run_fields.get("id", "")) or run,
        version=version,
        task=bundle.task,
        size=bundle.size,
        resize_mode=bundle.resize_mode,
        runtime=exported.runtime,
        precision=network.precision,
        threads=threads,
        members=max(1, len(bundle.members)),
        stages=1 + bundle.both_stages,
        postprocessing=tuple(step.sentence(bundle.task) for step in bundle.postprocessing),
    )
    return LoadedModel(served, bundle, predictor, measures, flips)


def _try(exported: Exported, predictor: Predictor) -> None:
    """See that it answers to the example as it did, in the precision of then; of a cascade, that each stage does."""
    if exported.first_stage is not None and predictor.first is not None:
        _try(exported.first_stage, predictor.first)
    precision, executed = predictor.network.precision, str(exported.manifest["target"]["executed"])
    if precision != executed:
        raise _differs(exported.folder, f"executed in {precision}", executed)
    expected = exported.array(MASK)
    mask = predictor.predict(exported.array(IMAGE), predictor.example_spacing)
    same = float((mask == expected).mean()) if mask.shape == expected.shape else 0.0
    wanted = _SAME_INT8 if exported.int8 else _SAME_FLOAT
    if same < wanted:
        raise _differs(exported.folder, f"{same:.4%} of the example's pixels alike", f"{wanted:.2%}")


def _chosen(path: Path, runtime: str | None, precision: str) -> Exported:
    """The target of a folder that is asked for, or that comes first."""
    places = {place.name: place for place in targets_below(path)}
    order = sorted(places, key=lambda one: _PREFERRED.index(one) if one in _PREFERRED else len(_PREFERRED))
    fitting = [
        found
        for found in (read_folder(places[one]) for one in order)
        if not found.end_to_end
        and found.runtime != "savedmodel"
        and found.runtime == (runtime or found.runtime)
        and (len(places) == 1 or found.manifest["target"]["precision"] == precision)
    ]
    if not fitting:
        raise ConfigError(
            "nothing in an exported folder that can be served so",
            code="serve-target",
            where=str(path),
            found=", ".join(order),
            expected=f"a target of logits for {runtime or 'openvino, onnx or litert'} in {precision}",
            remedy="export it: seglab export … format=openvino precision=float32",
        )
    return fitting[0]


def _differs(where: Path, found: str, expected: str) -> DataError:
    return DataError(
        "a model that does not answer as it did when it was exported",
        code="exported-model-differs",
        where=str(where),
        found=found,
        expected=expected,
        remedy="seglab verify says more; export it again on a machine like this one",
    )
