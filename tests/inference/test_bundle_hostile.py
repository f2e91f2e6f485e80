"""Bundles from elsewhere: what would unpack, nest or run without end is refused."""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import resource
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import pytest
from bundles import BUNDLE, model, path

from seglab.errors import DataError
from seglab.inference import bundle as module
from seglab.inference.bundle import load_bundle, read_bundle
from seglab.inference.sealing import sealed
from seglab.safety.untrusted_files import DEPTH

__all__ = ["model", "path"]


def with_model_file(path: Path, write) -> Path:  # type: ignore[no-untyped-def]
    """Puts another model file into the bundle, and its digest into the description."""
    write(path / "model.keras")
    card = json.loads((path / "bundle.json").read_text())
    card["artefacts"]["model.keras"] = module.sha256_of(path / "model.keras")
    (path / "bundle.json").write_text(sealed(card))
    return path


def packed(path: Path, weights: bytes | None, compress: int = zipfile.ZIP_STORED, config: bytes | None = None) -> None:
    """The bundle with other weights or another description in its model, and the digest that goes with them."""
    with zipfile.ZipFile(path / module.MODEL_FILE) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content["model.weights.h5"] = weights or content["model.weights.h5"]
    content["config.json"] = config or content["config.json"]
    with zipfile.ZipFile(path / module.MODEL_FILE, "w", compress) as archive:
        for name, each in content.items():
            archive.writestr(name, each)
    card = json.loads((path / module.CARD_FILE).read_text())
    card["artefacts"][module.MODEL_FILE] = hashlib.sha256((path / module.MODEL_FILE).read_bytes()).hexdigest()
    (path / module.CARD_FILE).write_text(sealed(card))


def hdf5(fill: Callable[[h5py.File], None]) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        fill(file)
    return stream.getvalue()


LARGE = (150 * 2**20,)  # 600 MB of float32


BOMBS = {
    "compressed": lambda f: f.create_dataset("layers/a/vars/0", LARGE, "f4", chunks=(2**22,), compression="gzip"),
    "never written": lambda f: f.create_dataset("layers/a/vars/0", LARGE, "f4"),
    "of another file": lambda f: f.create_dataset("a", (4,), "u1", external=[("/etc/passwd", 0, 4)]),
    "external link": lambda f: f.__setitem__("a", h5py.ExternalLink("/etc/hostname", "/")),
    "soft link": lambda f: f.__setitem__("a", h5py.SoftLink("/a")),
    "loop": lambda f: f.create_group("a").__setitem__("b", f["a"]),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_weights_that_stand_for_more_than_they_hold_are_refused_at_once(path: Path, kind: str) -> None:
    packed(path, hdf5(BOMBS[kind]))
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="that is refused"):
        load_bundle(path)
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


def test_an_archive_that_unpacks_to_much_more_is_refused_at_once(path: Path) -> None:
    packed(path, bytes(100 * 2**20), zipfile.ZIP_DEFLATED)
    began = time.process_time()
    with pytest.raises(DataError, match="unpack to 100 MiB"):
        load_bundle(path)
    assert time.process_time() - began < 1


def test_a_bundle_that_was_packed_again_still_loads(path: Path) -> None:
    packed(path, None, zipfile.ZIP_DEFLATED)
    assert load_bundle(path)[1] == BUNDLE


@pytest.mark.parametrize("depth", [100, 200_000])
def test_nested_descriptions_are_refused_in_a_sentence(path: Path, depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    packed(path, None, config=deep)
    with pytest.raises(DataError, match="nested"):
        load_bundle(path)
    (path / module.CARD_FILE).write_bytes(deep)
    for read in (read_bundle, load_bundle):
        with pytest.raises(DataError, match=f"nested more than {DEPTH} deep"):
            read(path)


@pytest.mark.parametrize(
    "change",
    [{"size": [math.inf]}, {"task": []}, {"preprocessing": 5}, {"task": {"class_names": None}}, {"format": None}],
)
def test_descriptions_of_another_form_are_refused_in_a_sentence(path: Path, change: dict) -> None:
    card = json.loads((path / module.CARD_FILE).read_text())
    (path / module.CARD_FILE).write_text(json.dumps({**card, **change}))
    with pytest.raises(DataError):
        read_bundle(path)


def test_lambda_code_is_never_run(path: Path) -> None:
    x = keras.Input((16, 16, 1))
    evil = keras.Model(x, keras.layers.Lambda(lambda t: t, output_shape=(16, 16, 3))(x))
    with pytest.raises(DataError, match="cannot be loaded"):
        load_bundle(with_model_file(path, evil.save))


def test_a_pickle_is_never_opened(path: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (tmp_path / "exploded",))

    with pytest.raises(DataError, match="cannot be loaded"):
        load_bundle(with_model_file(path, lambda file: file.write_bytes(pickle.dumps(Bomb()))))
    assert not (tmp_path / "exploded").exists()


def test_a_class_that_is_not_registered_is_refused(path: Path) -> None:
    def foreign(file: Path) -> None:
        with zipfile.ZipFile(file) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        text = parts["config.json"].decode()
        assert '"class_name": "Conv2D"' in text
        text = text.replace('"class_name": "Conv2D"', '"class_name": "Popen"').replace(
            '"module": "keras.layers"', '"module": "subprocess"'
        )
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in {**parts, "config.json": text.encode()}.items():
                archive.writestr(name, content)

    with pytest.raises(DataError, match="cannot be loaded"):
        load_bundle(with_model_file(path, foreign))
