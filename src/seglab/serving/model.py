"""The model that is served: an exported folder, or a bundle; and whether it answers as it should."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.errors import ConfigError, DataError
from seglab.export.folder import IMAGE, MASK, SUMS, Exported, read_folder, sha256, targets_below
from seglab.inference.bundle import Bundle, read_bundle
from seglab.inference.network import own_threads
from seglab.inference.predictor import Predictor
from seglab.run_record import BundleFile

# Of the example's pixels, how many must be of the class that they had when the model was exported.
_SAME_FLOAT, _SAME_INT8 = 0.9999, 0.995
_PREFERRED = ("openvino-float32", "onnx-float32", "litert-float32", "openvino-int8", "litert-int8")


@dataclass(frozen=True)
class ServedModel:
    """A model that is loaded and was tried.

    Attributes:
        name: in addresses.
        digest: of what was loaded, in hex.
        run: that trained it, as far as is told.
        bundle: what goes with the network.
        predictor: that answers.
        runtime: that runs it.
        precision: that is executed, read back from the runtime.
        threads: it computes with; 0 where the runtime decides.
    """

    name: str
    digest: str
    run: str
    bundle: Bundle
    predictor: Predictor
    runtime: str
    precision: str
    threads: int

    @property
    def label(self) -> str:
        """`X-Bundle`."""
        return f"{self.name}+{self.digest[:12]}"

    @property
    def values(self) -> np.ndarray:
        """What a mask holds for each class id, as `seglab predict` writes it."""
        task = self.bundle.task
        table = np.asarray(task.label_values or range(task.classes))
        return table.astype(np.min_scalar_type(int(table.max())))

    def classes(self) -> list[dict[str, Any]]:
        """Id, value in a mask, name and colour of each class."""
        task = self.bundle.task
        rows = zip(self.values.tolist(), task.class_names, task.class_colors, strict=True)
        return [
            {"id": number, "value": value, "name": name, "color": list(color)}
            for number, (value, name, color) in enumerate(rows)
        ]


def load_model(
    word: str, *, runtime: str | None = None, precision: str = "float32", threads: int | None = None, name: str = ""
) -> ServedModel:
    """Load, and try on its example.

    Args:
        word: an exported folder, the folder of a bundle, the id of a run, or `models:/<name>@<alias>`.
        runtime: of an exported folder with several; OpenVINO first when None.
        precision: likewise, `float32` or `int8`.
        threads: to compute with; as many as this process has cores when None.
        name: in addresses; made from `word` when empty.

    Raises:
        SeglabError: nothing there that can be served, or it does not answer as it was exported.
    """
    path, threads = Path(word), threads or own_threads()
    name = _name(name or (word if not path.exists() else path.resolve().name))
    if path.is_dir() and not (path / BundleFile.CARD).is_file():
        return _exported(path, name, runtime, precision, threads)
    if not path.exists():
        from seglab.tracking.bundles import find_bundle  # loads MLflow, which a folder does not need

        path = find_bundle(word)
    return _bundle(path, name)


def _exported(path: Path, name: str, runtime: str | None, precision: str, threads: int) -> ServedModel:
    exported = _chosen(path, runtime, precision)
    predictor = exported.predictor(threads)
    network, target = predictor.network, exported.manifest["target"]
    if network.precision != target["executed"]:
        raise _differs(exported.folder, f"executed in {network.precision}", str(target["executed"]))
    expected = exported.array(MASK)
    mask = predictor.predict(exported.array(IMAGE), exported.bundle.spacing)
    same = float((mask == expected).mean()) if mask.shape == expected.shape else 0.0
    wanted = _SAME_INT8 if exported.int8 else _SAME_FLOAT
    if same < wanted:
        raise _differs(exported.folder, f"{same:.4%} of the example's pixels alike", f"{wanted:.2%}")
    run = exported.manifest.get("run") or {}
    return ServedModel(
        name,
        sha256(exported.folder / SUMS),
        str(run.get("id", "")),
        exported.bundle,
        predictor,
        exported.runtime,
        network.precision,
        threads,
    )


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


def _bundle(path: Path, name: str) -> ServedModel:
    """By Keras, with TensorFlow."""
    from seglab.runtime.reproducibility import load_tensorflow

    bundle = read_bundle(path)
    load_tensorflow()
    predictor = Predictor.load(path)
    example = path / BundleFile.EXAMPLE
    if example.is_file():
        from seglab.inference.expected import answers_as_saved

        _, other = answers_as_saved(predictor, bundle, example)
        if other > 1 - _SAME_FLOAT:
            raise _differs(path, f"{1 - other:.4%} of the example's pixels alike", f"{_SAME_FLOAT:.2%}")
    precision = predictor.network.precision
    return ServedModel(name, sha256(path / BundleFile.CARD), "", bundle, predictor, "keras", precision, 0)


def _name(word: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", word.removeprefix("models:/")).strip("-.")[:80] or "model"


def _differs(where: Path, found: str, expected: str) -> DataError:
    return DataError(
        "a model that does not answer as it did when it was exported",
        code="exported-model-differs",
        where=str(where),
        found=found,
        expected=expected,
        remedy="seglab verify tells more; export it again on a machine like this one",
    )
