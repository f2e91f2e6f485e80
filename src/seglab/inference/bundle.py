"""The bundle: a trained model together with everything that was fitted to its data.

A folder of two files: `model.keras`, Keras's own archive (a JSON architecture and HDF5 weights), and `bundle.json`.
Loading one runs no code that the bundle brings along: nothing is unpickled, Lambda layers are refused, and classes are
looked up by name among Keras's and seglab's own.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import pkgutil
import shutil
import tempfile
import zipfile
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.preprocessing.spacing import Interpolation
from seglab.errors import DataError
from seglab.inference.keras_file import check_model_file
from seglab.run_record import BundleFile
from seglab.runtime.atomic_files import sync
from seglab.safety.untrusted_files import MEBI, read_json
from seglab.task import Task

if TYPE_CHECKING:
    import keras

FORMAT = 1
MODEL_FILE = BundleFile.MODEL
CARD_FILE = BundleFile.CARD
_CARD_BYTES = 16 * MEBI
VERSIONED = ("seglab", "keras", "tensorflow")

Fit = Literal["resize", "letterbox", "pad", "patch"]


@dataclass(frozen=True)
class Bundle:
    """What travels with the weights.

    Attributes:
        task: rank, channels, classes with names and colours, ignored label.
        preprocessing: fitted on the training split; from raw intensities to the network's input.
        size: spatial size of the network's input.
        fit: how an image of another size is brought to it: "resize" it, "letterbox" it (resized with its proportions
            kept and a border), "pad" it (windows where it is larger), or cover it with windows ("patch").
        threshold: a binary task's foreground is where its probability is above this, in 0..1.
        spacing: mm between voxels along each axis that images are resampled to first; None where they are taken as
            they are.
        interpolation: of axes that this makes finer, "linear" or "cubic".
        split_digest: names the split that the model was trained on.
        config: the resolved configuration of the run.
        versions: of seglab, keras and tensorflow, when it was saved.
    """

    task: Task
    preprocessing: Preprocessing
    size: tuple[int, ...]
    fit: Fit
    threshold: float = 0.5
    spacing: tuple[float, ...] | None = None
    interpolation: Interpolation = "linear"
    split_digest: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in VERSIONED})

    def to_dict(self) -> dict[str, Any]:
        """Everything in JSON's own types."""
        return {
            "task": asdict(self.task),
            "preprocessing": self.preprocessing.to_dict(),
            "size": list(self.size),
            "fit": self.fit,
            "threshold": self.threshold,
            "spacing": None if self.spacing is None else list(self.spacing),
            "interpolation": self.interpolation,
            "split_digest": self.split_digest,
            "config": self.config,
            "versions": self.versions,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Bundle:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: a part is missing or of another kind.
        """
        if values["fit"] not in get_args(Fit):
            raise ValueError(f"fit is {values['fit']!r} and not one of {get_args(Fit)}")
        kind = values.get("interpolation", "linear")  # bundles of before it was to choose
        if kind not in get_args(Interpolation):
            raise ValueError(f"interpolation is {kind!r} and not one of {get_args(Interpolation)}")
        fitted = {**values["preprocessing"], "threshold": values["threshold"], "spacing": values["spacing"]}
        for key, value in fitted.items():
            numbers = value if isinstance(value, list) else [value] if isinstance(value, float) else []
            if not all(math.isfinite(number) for number in numbers):
                raise ValueError(f"{key} is {value}")
        return cls(
            task=_task(values["task"]),
            preprocessing=Preprocessing.from_dict(values["preprocessing"]),
            size=tuple(int(side) for side in values["size"]),
            fit=values["fit"],
            threshold=float(values["threshold"]),
            spacing=None if values["spacing"] is None else tuple(float(step) for step in values["spacing"]),
            interpolation=kind,
            split_digest=values["split_digest"],
            config=values["config"],
            versions=values["versions"],
        )


def save_bundle(path: Path | str, model: keras.Model, bundle: Bundle) -> Path:
    """Writes the folder `path`, in whole or not at all; replaces a bundle that is there.

    Args:
        path: the folder to make.
        model: returns logits (of several outputs, the first); its optimizer is left out.
        bundle: what goes with it.

    Returns:
        `path`.

    Raises:
        DataError: `path` holds something that is not a bundle.
    """
    path = Path(path)
    if path.exists() and not (path / CARD_FILE).is_file():
        raise DataError(
            "cannot write a bundle over something else",
            code="bundle-place-taken",
            where=str(path),
            expected="no such folder, or an older bundle",
            remedy="choose another folder",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    former = partial.with_name(f"{partial.name}.former")
    try:
        logits_model(model).save(partial / MODEL_FILE)
        card = {"format": FORMAT, "sha256": _sha256(partial / MODEL_FILE), **bundle.to_dict()}
        (partial / CARD_FILE).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        for name in (MODEL_FILE, CARD_FILE):
            sync(partial / name)
        partial.chmod(0o755)
        _put_in_place(partial, path, former)
    finally:
        for leftover in (partial, former):
            shutil.rmtree(leftover, ignore_errors=True)
    sync(path.parent)
    return path


def _put_in_place(partial: Path, path: Path, former: Path) -> None:
    """Renames `partial` to `path`; what was there goes to `former`, and back if that fails."""
    replaces = path.exists()
    if replaces:
        path.rename(former)
    try:
        partial.rename(path)
    except OSError:
        if replaces:
            former.rename(path)
        raise


def logits_model(model: keras.Model) -> keras.Model:
    """The same layers and weights without the optimizer and, under deep supervision, without the coarser outputs."""
    import keras

    return keras.Model(model.inputs, model.outputs[0], name=model.name)


def read_bundle(path: Path | str) -> Bundle:
    """What goes with the model, without loading it (nor TensorFlow).

    Raises:
        DataError: no bundle at `path`, one of a later format, or a damaged one.
    """
    return _read(Path(path))[0]


def load_bundle(path: Path | str) -> tuple[keras.Model, Bundle]:
    """The model, not compiled, and what goes with it.

    Raises:
        DataError: no bundle at `path`, one of a later format, a damaged one, or one that needs code to be run.
    """
    path = Path(path)
    bundle, digest = _read(path)
    file = path / MODEL_FILE
    check_model_file(file)
    found = _sha256(file)
    if found != digest:
        raise DataError(
            "the bundle's model is not the one that was saved",
            code="bundle-damaged",
            where=str(file),
            found=f"sha256 {found[:16]}…",
            expected=f"sha256 {digest[:16]}…",
            remedy="copy the bundle again from where it was saved",
        )
    import keras

    _register_layers()
    try:
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, RecursionError, MemoryError, zipfile.BadZipFile) as error:
        raise DataError(
            "the bundle's model cannot be loaded",
            code="bundle-damaged",
            where=str(file),
            found=_first_line(error),
            expected="a model of Keras's and seglab's own layers",
            remedy=f"it was saved with {_listed(bundle.versions)}; a layer of your own must be registered with "
            "keras.saving.register_keras_serializable and imported first",
        ) from error
    expected = (*bundle.size, bundle.task.channels)
    found_input = tuple(model.inputs[0].shape[1:])
    if found_input != expected:
        raise DataError(
            "the bundle's model and its description disagree",
            code="bundle-damaged",
            where=str(path),
            found=f"a model with input {found_input}",
            expected=f"{expected}",
            remedy="save the bundle again from its run",
        )
    return model, bundle


def _read(path: Path) -> tuple[Bundle, str]:
    """The bundle and the digest that its model file must have."""
    card = path / CARD_FILE
    missing = [name for name in (CARD_FILE, MODEL_FILE) if not (path / name).is_file()]
    if missing:
        raise DataError(
            "no model bundle here",
            code="bundle-missing",
            where=str(path),
            found=f"{', '.join(missing)} missing" if path.is_dir() else "no such folder",
            expected=f"a folder with {MODEL_FILE} and {CARD_FILE}",
            remedy="give the folder that a run's bundle was saved to",
        )
    try:
        values = read_json(card, _CARD_BYTES)
        if values["format"] != FORMAT:
            raise DataError(
                "this seglab cannot read the bundle",
                code="bundle-version",
                where=str(card),
                found=f"format {values['format']}",
                expected=f"format {FORMAT}",
                remedy=f"use the versions that it was saved with: {_listed(values.get('versions', {}))}",
            )
        return Bundle.from_dict(values), str(values["sha256"])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise DataError(
            "the bundle's description is damaged",
            code="bundle-damaged",
            where=str(card),
            found=f"{type(error).__name__}: {_first_line(error)}",
            remedy="copy the bundle again from where it was saved",
        ) from error


def _task(values: dict[str, Any]) -> Task:
    frequencies = values["class_frequencies"]
    return Task(
        rank=values["rank"],
        channels=values["channels"],
        class_names=tuple(values["class_names"]),
        class_colors=tuple(tuple(color) for color in values["class_colors"]),
        ignore_label=values["ignore_label"],
        unscored=tuple(values.get("unscored", (0,))),
        class_frequencies=None if frequencies is None else tuple(frequencies),
        label_values=tuple(values.get("label_values", ())),  # bundles of before have none
    )


def _register_layers() -> None:
    """Imports seglab's models, those in folders too, so that Keras knows their layers by name."""
    package = importlib.import_module("seglab.models")
    for module in pkgutil.walk_packages(package.__path__, "seglab.models."):
        importlib.import_module(module.name)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items()) or "unknown versions"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
