"""A bundle gives back what was saved, and nothing that was not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from bundles import BUNDLE, TASK, image, model, path

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.inference import bundle as module
from seglab.inference.bundle import load_bundle, read_bundle, save_bundle
from seglab.inference.predictor import Predictor
from seglab.inference.pyfunc import _load_pyfunc, input_example
from seglab.inference.sealing import sealed
from seglab.models.unet import unet

__all__ = ["model", "path"]


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
