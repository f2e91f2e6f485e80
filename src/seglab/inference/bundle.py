"""The bundle: a trained model together with everything that was fitted to its data.

A folder of three files: `model.keras`, Keras's own archive (a JSON architecture and HDF5 weights), `example.npz`, an
image with what the model answers to it, and `bundle.json`, with the digests of these and its own. Bundles of format 1,
which had no example, are read too.
Loading one runs no code that the bundle brings along: nothing is unpickled, Lambda layers are refused, and classes are
looked up by name among Keras's and seglab's own.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.errors import ConfigError, DataError
from seglab.inference.description import Bundle, ResizeMode
from seglab.inference.keras_file import check_model_file
from seglab.inference.sealing import check_seal, sealed
from seglab.run_record import BundleFile
from seglab.runtime.atomic_files import sync, write_text
from seglab.safety.untrusted_files import MEBI, read_json

if TYPE_CHECKING:
    import keras

__all__ = ["Bundle", "ResizeMode", "amend_bundle", "load_bundle", "logits_model", "read_bundle", "save_bundle"]

FORMAT = 2
FORMATS = (1, FORMAT)
MODEL_FILE, EXAMPLE_FILE, CARD_FILE = BundleFile.MODEL, BundleFile.EXAMPLE, BundleFile.CARD
_CARD_BYTES = 16 * MEBI


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
        _write_example(partial / EXAMPLE_FILE, model, bundle)
        files = [name for name in (MODEL_FILE, EXAMPLE_FILE) if (partial / name).is_file()]
        digests = {name: _sha256(partial / name) for name in files}
        card = sealed({"format": FORMAT, "artefacts": digests, **bundle.to_dict()})
        (partial / CARD_FILE).write_text(card, encoding="utf-8")
        for name in (*files, CARD_FILE):
            sync(partial / name)
        partial.chmod(0o755)
        _put_in_place(partial, path, former)
    finally:
        for leftover in (partial, former):
            shutil.rmtree(leftover, ignore_errors=True)
    sync(path.parent)
    return path


def amend_bundle(path: Path, bundle: Bundle) -> None:
    """Write what goes with a model of a saved bundle anew: what became known of it afterwards. Nothing else changes.

    Raises:
        DataError: as `read_bundle`.
    """
    _, digests = _read(path)
    card = sealed({"format": FORMAT, "artefacts": digests, **bundle.to_dict()})
    write_text(path / CARD_FILE, card, durable=True)


def _write_example(file: Path, model: keras.Model, bundle: Bundle) -> None:
    """A model that does not fit its bundle, or gives no numbers, has no example; whoever loads it is told why."""
    from seglab.inference.expected import expected_of, write_expected
    from seglab.inference.predictor import Predictor

    try:
        expected = expected_of(Predictor.of(model, bundle), bundle)
    except DataError:
        return
    write_expected(file, expected)


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
    bundle, digests = _read(path)
    file = path / MODEL_FILE
    for name, digest in digests.items():
        _check_digest(path / name, digest)
    check_model_file(file)
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


def _check_digest(file: Path, digest: str) -> None:
    found = _sha256(file) if file.is_file() else "none: no such file"
    if found != digest:
        what = "model" if file.name == MODEL_FILE else "example"
        raise DataError(
            f"the bundle's {what} is not the one that was saved",
            code="bundle-damaged",
            where=str(file),
            found=f"sha256 {found[:18]}…",
            expected=f"sha256 {digest[:18]}…",
            remedy="copy the bundle again from where it was saved",
        )


def _read(path: Path) -> tuple[Bundle, dict[str, str]]:
    """The bundle and the digests that its other files must have, by their names."""
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
        if values["format"] not in FORMATS:
            raise DataError(
                "this seglab cannot read the bundle",
                code="bundle-version",
                where=str(card),
                found=f"format {values['format']}",
                expected=" or ".join(f"format {number}" for number in FORMATS),
                remedy=f"use the versions that it was saved with: {_listed(values.get('versions', {}))}",
            )
        bundle = Bundle.from_dict(values)
        if values["format"] == 1:
            return bundle, {MODEL_FILE: str(values["sha256"])}
        digests = {str(name): str(digest) for name, digest in values["artefacts"].items()}
        if not {MODEL_FILE} <= set(digests) <= {MODEL_FILE, EXAMPLE_FILE}:
            raise ValueError(f"artefacts are {', '.join(digests)}")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, ConfigError) as error:
        raise DataError(
            "the bundle's description is damaged",
            code="bundle-damaged",
            where=str(card),
            found=f"{type(error).__name__}: {_first_line(error)}",
            remedy="copy the bundle again from where it was saved",
        ) from error
    check_seal(card)
    return bundle, digests


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
