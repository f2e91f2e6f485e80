"""A bundle gives back what was saved, and nothing that was not."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import pickle
import resource
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.inference import bundle as module
from seglab.inference.bundle import Bundle, load_bundle, read_bundle, save_bundle
from seglab.inference.expected import answers_as_saved, read_expected
from seglab.inference.predictor import Predictor
from seglab.inference.public_config import WITHHELD, public_config
from seglab.inference.pyfunc import _load_pyfunc, input_example
from seglab.inference.sealing import sealed
from seglab.models.unet import unet
from seglab.safety.untrusted_files import DEPTH
from seglab.task import Task

TASK = Task(
    rank=2,
    channels=1,
    class_names=("background", "Zelle", "细胞核"),
    class_colors=((0, 0, 0), (250, 10, 10), (10, 250, 10)),
    ignore_label=255,
    class_frequencies=(0.8, 0.15, 0.05),
)
BUNDLE = Bundle(
    task=TASK,
    preprocessing=Preprocessing("standard", 1, 255.0, (0.1,), (0.3,)),
    size=(16, 16),
    resize_mode="patch",
    threshold=0.4,
    split_digest="abc",
    config={"model": {"name": "UNet"}, "seed": 0},
)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    network = unet(TASK, (16, 16), depth=1, width=4)
    network.compile(optimizer="adam", loss="mse")
    network.optimizer.build(network.trainable_variables)
    return network


@pytest.fixture
def path(model: keras.Model, tmp_path: Path) -> Path:
    return save_bundle(tmp_path / "out" / "bundle", model, BUNDLE)


def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (21, 30, 1)).astype(np.uint8)


def test_round_trip(model: keras.Model, path: Path) -> None:
    loaded, bundle = load_bundle(path)
    assert bundle == BUNDLE
    assert read_bundle(path) == BUNDLE
    expected = Predictor.of(model, BUNDLE).predict_probabilities(image())
    np.testing.assert_array_equal(Predictor.of(loaded, bundle).predict_probabilities(image()), expected)
    loaded = Predictor.load(path)
    np.testing.assert_array_equal(loaded.predict_probabilities(image()), expected)
    assert (loaded.threshold, loaded.resize_mode, loaded.size) == (0.4, "patch", (16, 16))


def test_spacing_and_window_travel_along(model: keras.Model, tmp_path: Path) -> None:
    window = Preprocessing("window", 1, 1.0, (40.0,), (100.0,), (-160.0,), (240.0,))
    saved = save_bundle(tmp_path / "bundle", model, replace(BUNDLE, spacing=(0.5, 0.25), preprocessing=window))
    loaded = Predictor.load(saved)
    assert (loaded.spacing, loaded.preprocessing) == ((0.5, 0.25), window)
    with pytest.raises(DataError, match="spacing"):
        loaded.predict(image())
    wrapped = _load_pyfunc(str(saved))
    expected = loaded.predict(image(), (1.0, 1.0))
    np.testing.assert_array_equal(wrapped.predict(image()[None], params={"spacing": np.array([1.0, 1.0])})[0], expected)
    # Without one, images have the network's own.
    np.testing.assert_array_equal(wrapped.predict(image()), loaded.predict(image(), (0.5, 0.25)))


def test_the_folder_holds_three_files_and_no_optimizer(path: Path) -> None:
    assert sorted(file.name for file in path.iterdir()) == ["bundle.json", "example.npz", "model.keras"]
    assert [file.name for file in path.parent.iterdir()] == ["bundle"]
    with zipfile.ZipFile(path / "model.keras") as archive, h5py.File(archive.open("model.weights.h5")) as weights:
        assert "layers" in weights
        assert "optimizer" not in weights


def test_the_coarse_outputs_of_deep_supervision_stay_behind(tmp_path: Path) -> None:
    network = unet(TASK, (16, 16), depth=2, width=2, deep_supervision=True)
    assert len(network.outputs) > 1
    loaded, _ = load_bundle(save_bundle(tmp_path / "b", network, BUNDLE))
    assert loaded.output_shape == (None, 16, 16, 3)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_precision_travels_along(policy: str, tmp_path: Path) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        network = unet(TASK, (16, 16), depth=1, width=2)
    finally:
        keras.config.set_dtype_policy("float32")
    loaded, bundle = load_bundle(save_bundle(tmp_path / "b", network, BUNDLE))
    assert {layer.dtype_policy.name for layer in loaded.layers} >= {policy}
    np.testing.assert_array_equal(
        Predictor.of(loaded, bundle).predict(image()), Predictor.of(network, bundle).predict(image())
    )


def test_replaces_an_older_bundle_whole(model: keras.Model, path: Path) -> None:
    save_bundle(path, model, replace(BUNDLE, threshold=0.7))
    assert read_bundle(path).threshold == 0.7
    assert [file.name for file in path.parent.iterdir()] == ["bundle"]


def test_a_failed_write_leaves_the_older_bundle(
    model: keras.Model, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    def refused(self: Path, target: Path) -> Path:
        if target == path and not self.name.endswith("former"):
            raise OSError(13, "Permission denied")
        return rename(self, target)

    for where, name, failing in ((os, "fsync", full), (Path, "rename", refused)):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, failing)
            with pytest.raises(OSError, match=r"No space left|Permission denied"):
                save_bundle(path, model, replace(BUNDLE, threshold=0.7))
        assert load_bundle(path)[1].threshold == 0.4
        assert [file.name for file in path.parent.iterdir()] == ["bundle"]


def test_never_overwrites_something_else(model: keras.Model, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.png").touch()
    with pytest.raises(DataError, match="over something else"):
        save_bundle(tmp_path / "photos", model, BUNDLE)
    assert (tmp_path / "photos" / "me.png").exists()


def test_no_folder_and_missing_files(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        load_bundle(tmp_path / "nowhere")
    (path / "model.keras").unlink()
    with pytest.raises(DataError, match=r"model\.keras missing"):
        load_bundle(path)


def test_a_changed_model_file_is_noticed(path: Path) -> None:
    weights = bytearray((path / "model.keras").read_bytes())
    weights[len(weights) // 2] ^= 1
    (path / "model.keras").write_bytes(weights)
    with pytest.raises(DataError, match="not the one that was saved"):
        load_bundle(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"resize_mode": "stretch"}, "stretch"),
        ({"preprocessing": {"mode": "scale"}}, "damaged"),
        ({"task": None}, "damaged"),
        ({"size": [8, 8]}, "disagree"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"spacing": [1.0, float("inf")]}, "spacing is"),
        ({"preprocessing": {**BUNDLE.preprocessing.to_dict(), "mean": [float("nan")]}}, "mean is"),
    ],
)
def test_a_damaged_description_is_named(path: Path, change: dict, message: str) -> None:
    card = json.loads((path / "bundle.json").read_text())
    (path / "bundle.json").write_text(sealed({**card, **change}))
    with pytest.raises(DataError, match=message) as raised:
        load_bundle(path)
    assert str(path) in str(raised.value)


def test_the_former_key_of_the_resize_mode_is_read(path: Path) -> None:
    card = json.loads((path / "bundle.json").read_text())
    card["fit"] = card.pop("resize_mode")
    (path / "bundle.json").write_text(sealed(card))
    assert read_bundle(path).resize_mode == "patch"


def test_a_truncated_description_is_named(path: Path) -> None:
    text = (path / "bundle.json").read_text()
    (path / "bundle.json").write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match="damaged"):
        read_bundle(path)


def with_model_file(path: Path, write) -> Path:  # type: ignore[no-untyped-def]
    """Puts another model file into the bundle, and its digest into the description."""
    write(path / "model.keras")
    card = json.loads((path / "bundle.json").read_text())
    card["artefacts"]["model.keras"] = module.digest_of(path / "model.keras")
    (path / "bundle.json").write_text(sealed(card))
    return path


def test_weights_that_are_no_numbers_are_refused_with_the_file(model: keras.Model, tmp_path: Path) -> None:
    broken = keras.models.clone_model(model)
    broken.set_weights(model.get_weights())
    weights = broken.trainable_variables[0]
    values = weights.numpy()
    values.flat[3] = np.nan
    weights.assign(values)
    saved = save_bundle(tmp_path / "broken", broken, BUNDLE)
    for load in (Predictor.load, _load_pyfunc):
        with pytest.raises(DataError, match="weights hold NaN") as caught:
            load(str(saved))
        assert str(saved) in str(caught.value)
        assert f"1 of {broken.count_params()} numbers" in str(caught.value)


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


def test_reading_the_description_needs_no_tensorflow(path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from seglab.inference.bundle import read_bundle; "
        f"read_bundle({str(path)!r}); print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_mlflow_loader_takes_a_batch_or_one_image(path: Path) -> None:
    loaded = _load_pyfunc(str(path))
    expected = Predictor.load(path).predict(image())
    np.testing.assert_array_equal(loaded.predict(image()), expected)
    batch = np.stack([image(), image()[::-1]])
    masks = loaded.predict(batch, params={})
    assert masks.shape == (2, 21, 30)
    np.testing.assert_array_equal(masks[0], expected)
    with pytest.raises(DataError, match="rank"):
        loaded.predict(np.zeros(21))


def test_as_an_mlflow_model(path: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    images, masks = TensorSpec(np.dtype(np.float32), (-1, -1, -1, 1)), TensorSpec(np.dtype(np.uint8), (-1, -1, -1))
    example = input_example(BUNDLE)
    assert example.dtype == np.float32
    assert example.shape == (1, 16, 16, 1)
    assert (example.min(), example.max()) == (0, 255)
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        loader_module="seglab.inference.pyfunc",
        data_path=str(path),
        signature=ModelSignature(Schema([images]), Schema([masks])),
        input_example=example,
        pip_requirements=["seglab"],
    )
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    predicted = loaded.predict(example)
    assert predicted.dtype == np.uint8
    np.testing.assert_array_equal(predicted[0], Predictor.load(path).predict(example[0]))
    other_size = image()[None].astype(np.float32)
    np.testing.assert_array_equal(loaded.predict(other_size)[0], Predictor.load(path).predict(other_size[0]))
    assert not list((tmp_path / "model").rglob("*.pkl"))


def test_layers_in_folders_of_models_are_registered_too(tmp_path: Path) -> None:
    package = shutil.copytree(Path(module.__file__).parents[1], tmp_path / "seglab")
    (package / "models" / "folder").mkdir()
    (package / "models" / "folder" / "__init__.py").touch()
    (package / "models" / "folder" / "gates.py").write_text(
        "import keras\n"
        "@keras.saving.register_keras_serializable(package='seglab')\n"
        "class Gate(keras.layers.Layer): ...\n"
    )
    script = (
        "import keras\nfrom seglab.inference.bundle import _register_layers\n_register_layers()\n"
        "print(keras.saving.get_registered_object('seglab>Gate'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert "seglab.models.folder.gates.Gate" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["model.keras", "example.npz", "bundle.json"])
@pytest.mark.parametrize("bit", [0, 5])
def test_a_flipped_bit_anywhere_is_refused_with_the_name_of_the_file(path: Path, name: str, bit: int) -> None:
    content = (path / name).read_bytes()
    for place in np.random.default_rng(bit).integers(0, len(content), 40):
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        (path / name).write_bytes(changed)
        with pytest.raises(DataError) as caught:
            load_bundle(path)
        assert name in str(caught.value)
    (path / name).write_bytes(content)
    assert load_bundle(path)[1] == BUNDLE


def test_an_example_that_is_missing_is_named(path: Path) -> None:
    (path / "example.npz").unlink()
    with pytest.raises(DataError, match=r"example\.npz"):
        load_bundle(path)


def test_a_bundle_of_format_1_still_loads(path: Path) -> None:
    """As they were written before there was an example: two files, one digest, no seal."""
    card = json.loads((path / "bundle.json").read_text())
    digest = card.pop("artefacts")["model.keras"]
    for later in ("seal", "temperature", "overlap", "flips", "reference"):
        del card[later]
    (path / "example.npz").unlink()
    (path / "bundle.json").write_text(json.dumps({**card, "format": 1, "sha256": digest}, indent=2))
    assert load_bundle(path)[1] == BUNDLE
    expected = Predictor.of(load_bundle(path)[0], BUNDLE).predict(image())
    np.testing.assert_array_equal(Predictor.load(path).predict(image()), expected)
    (path / "bundle.json").write_text(json.dumps({**card, "format": 1, "sha256": digest[::-1]}))
    with pytest.raises(DataError, match="not the one that was saved"):
        load_bundle(path)


def test_the_example_is_what_the_model_answers(model: keras.Model, path: Path, tmp_path: Path) -> None:
    predictor, bundle = Predictor.load(path), read_bundle(path)
    saved = read_expected(path / "example.npz")
    assert (saved.image.shape, saved.logits.shape, saved.mask.shape, saved.step) == (
        (16, 16, 1),
        (16, 16, 3),
        (16, 16),
        1,
    )
    largest, other = answers_as_saved(predictor, bundle, path / "example.npz")
    assert (largest < 1e-5, other) == (True, 0)
    changed = keras.models.clone_model(model)
    changed.set_weights([weights * 1.1 for weights in model.get_weights()])
    assert answers_as_saved(Predictor.of(changed, bundle), bundle, path / "example.npz")[0] > 1e-3
    (tmp_path / "other.npz").write_bytes(pickle.dumps([1]))
    with pytest.raises(DataError, match="cannot be read"):
        read_expected(tmp_path / "other.npz")


def test_plan_temperature_and_reference_travel_along(model: keras.Model, tmp_path: Path) -> None:
    told = replace(BUNDLE, temperature=1.7, overlap=0.25, flips=(1,), reference={"cases": 3})
    saved = save_bundle(tmp_path / "bundle", model, told)
    assert read_bundle(saved) == told
    predictor = Predictor.load(saved)
    assert (predictor.temperature, predictor._windows.overlap, predictor._windows.flips) == (1.7, 0.25, (1,))
    assert Predictor.load(saved, overlap=0.5, flips=())._windows.flips == ()
    for change in ({"temperature": 0}, {"overlap": 1.0}, {"temperature": float("inf")}):
        card = json.loads((saved / "bundle.json").read_text())
        (saved / "bundle.json").write_text(sealed({**card, **change}))
        with pytest.raises(DataError, match="damaged"):
            read_bundle(saved)


def test_nothing_private_is_in_a_public_config() -> None:
    config = {
        "data": {"root": "/home/jane/cells", "name": "cells", "size": [64, 64], "labels": "masks/*.png"},
        "model": {"encoder": {"weights": "~/weights.h5"}, "url": "https://jane@lab.example/w", "win": "C:\\data\\x"},
        "tracking": {"uri": "http://lab:5000"},
        "launcher": {"partition": "gpu"},
        "seed": 0,
    }
    assert public_config(config) == {
        "data": {"root": WITHHELD, "name": "cells", "size": [64, 64], "labels": "masks/*.png"},
        "model": {"encoder": {"weights": WITHHELD}, "url": WITHHELD, "win": WITHHELD},
        "seed": 0,
    }
