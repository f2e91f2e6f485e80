"""The bundle: a trained model together with everything that was fitted to its data.

A folder of three files: `model.keras`, Keras's own archive (a JSON architecture and HDF5 weights), `example.npz`, an
image with what the model answers to it, and `bundle.json`, with the digests of these and its own. Bundles of format 1,
which had no example, are read too. An ensemble has a folder for each member in the place of the model, each a bundle; a
cascade beside them one for the bundle of its first stage.
Loading one runs no code that the bundle brings along: nothing is unpickled, Lambda layers are refused, and classes are
looked up by name among Keras's and seglab's own.
"""

from __future__ import annotations

import importlib
import pkgutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.errors import ConfigError, DataError
from seglab.inference.description import Bundle, ResizeMode
from seglab.inference.keras_file import check_model_file
from seglab.inference.placing import placing
from seglab.inference.sealing import check_seal, sealed
from seglab.run_record import BundleFile
from seglab.runtime.atomic_files import write_text
from seglab.runtime.file_digest import sha256_of
from seglab.safety.untrusted_files import MEBI, read_json

if TYPE_CHECKING:
    import keras

__all__ = ["Bundle", "ResizeMode", "amend_bundle", "load_bundle", "logits_model", "read_bundle", "save_bundle"]

FORMAT, FORMAT_OF_MANY, FORMAT_OF_REGIONS, FORMAT_OF_STAGES = 2, 3, 4, 5
FORMATS = (1, FORMAT, FORMAT_OF_MANY, FORMAT_OF_REGIONS, FORMAT_OF_STAGES)
MEMBERS_FOLDER, FIRST_STAGE = BundleFile.MEMBERS, "first_stage"
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
    with placing(path) as partial:
        logits_model(model).save(partial / MODEL_FILE)
        _write_example(partial / EXAMPLE_FILE, model, bundle)
        write_card(partial, bundle, [name for name in (MODEL_FILE, EXAMPLE_FILE) if (partial / name).is_file()])
    return path


def write_card(folder: Path, bundle: Bundle, files: Sequence[str]) -> None:
    """Write the description of a bundle whose other files are there."""
    digests = {name: sha256_of(folder / name) for name in files}
    (folder / CARD_FILE).write_text(_card(bundle, digests), encoding="utf-8")


def amend_bundle(path: Path, bundle: Bundle) -> None:
    """Write what goes with a model of a saved bundle anew: what became known of it afterwards. Nothing else changes.

    Raises:
        DataError: as `read_bundle`.
    """
    _, digests = _read(path)
    write_text(path / CARD_FILE, _card(bundle, digests), durable=True)


def _card(bundle: Bundle, digests: Mapping[str, str]) -> str:
    """What an older seglab would leave out without a word has a format that it refuses."""
    number = FORMAT_OF_MANY if bundle.members or bundle.postprocessing else FORMAT
    number = FORMAT_OF_REGIONS if bundle.task.regions else number
    number = FORMAT_OF_STAGES if bundle.preprocessing.previous else number
    return sealed({"format": number, "artefacts": dict(digests), **bundle.to_dict()})


def _write_example(file: Path, model: keras.Model, bundle: Bundle) -> None:
    """A model that does not fit its bundle, or gives no numbers, has no example; whoever loads it is told why."""
    from seglab.inference.expected import expected_of, write_expected
    from seglab.inference.predictor import Predictor

    try:
        expected = expected_of(Predictor.of(model, bundle), bundle)
    except DataError:
        return
    write_expected(file, expected)


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
    """The model, not compiled, and what goes with it; of an ensemble one network that averages its members.

    Raises:
        DataError: no bundle at `path`, one of a later format, a damaged one, one that needs code to be run, or an
            ensemble whose members have several plans of windows.
    """
    path = Path(path)
    bundle = check_files(path)
    if bundle.both_stages:
        raise DataError(
            "a cascade that is no single network",
            code="cascade-two-networks",
            where=str(path),
            found="two stages, the second of which sees the mask of the first",
            expected="one network",
            remedy="use it as it is (seglab predict, evaluate, export, serve, seglab.load); to begin a training with, "
            "take a bundle of one network",
        )
    if bundle.members:
        from seglab.inference.ensembles import one_network

        return one_network(path, bundle), bundle
    file = path / MODEL_FILE
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
    expected = (*bundle.size, bundle.preprocessing.network_channels)
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


def check_files(path: Path) -> Bundle:
    """What goes with the model, once every file of the bundle was found to be the one that was saved.

    Raises:
        DataError: as `load_bundle`; of an ensemble the member is named.
    """
    bundle, digests = _read(path)
    members = {member.folder: member.label for member in bundle.members}
    for name, digest in digests.items():
        file = path / name
        found = sha256_of(file) if file.is_file() else "none: no such file"
        if found == digest:
            continue
        what = {MODEL_FILE: "model", EXAMPLE_FILE: "example", CARD_FILE: "description"}[file.name]
        of = members.get(name.rpartition("/")[0])
        raise DataError(
            f"the bundle's {what} is not the one that was saved",
            code="bundle-damaged",
            where=f"{file}, of {of}" if of else str(file),
            found=f"sha256 {found[:18]}…",
            expected=f"sha256 {digest[:18]}…",
            remedy="copy the bundle again from where it was saved",
        )
    if bundle.both_stages:
        check_files(path / FIRST_STAGE)
    return bundle


def _read(path: Path) -> tuple[Bundle, dict[str, str]]:
    """The bundle and the digests that its other files must have, by their names."""
    card = path / CARD_FILE
    needed = (CARD_FILE,) if (path / MEMBERS_FOLDER).is_dir() else (CARD_FILE, MODEL_FILE)
    missing = [name for name in needed if not (path / name).is_file()]
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
        own = {f"{one.folder}/{name}" for one in bundle.members for name in (CARD_FILE, MODEL_FILE)} or {MODEL_FILE}
        own |= {f"{FIRST_STAGE}/{CARD_FILE}"} if bundle.both_stages else set()
        examples = {f"{one.folder}/{EXAMPLE_FILE}" for one in bundle.members} | {EXAMPLE_FILE}
        if not own <= set(digests) <= own | examples:
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


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items()) or "unknown versions"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
