"""A recorded model's folder, copied elsewhere: it predicts where no seglab is installed, and says what it needs."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.bundle import Bundle, save_bundle
from seglab.inference.model_usage import readme, usage
from seglab.inference.predictor import Predictor
from seglab.inference.pyfunc import input_example
from seglab.models.unet import unet
from seglab.task import Task
from seglab.tracking.carried_code import PACKAGE, carried_files, imported
from seglab.tracking.imports import check_model
from seglab.tracking.mlflow_client import mlflow
from seglab.tracking.model_folder import REQUIREMENTS, write_model_folder

TASK = Task(rank=2, channels=3, class_names=("background", "road", "car"))
BUNDLE = Bundle(TASK, Preprocessing("standard", 3, 255.0, (0.5, 0.4, 0.3), (0.2,) * 3, scale="bytes"), (16, 16), "pad")
# Predicts with the folder `copy`; an installed seglab is hidden, the one that the folder carries is not.
ALONE = """
import importlib.machinery, json, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "seglab":
            carried = [place for place in sys.path if place.endswith("carried")]
            found = importlib.machinery.PathFinder.find_spec(name, carried)
            if found is None:
                raise ModuleNotFoundError("No module named 'seglab'", name="seglab")
            return found

if "installed" not in sys.argv:
    sys.meta_path.insert(0, Hidden())
import mlflow, numpy as np

model = mlflow.pyfunc.load_model("copy")
images = np.load("images.npy")
told = []
for wrong in (images[..., :1], images / 255):
    try:
        model.predict(wrong)
    except Exception as error:
        told.append(str(error))
np.save("masks.npy", model.predict(images))
print(json.dumps({"code": sys.modules["seglab"].__file__, "told": told, "one": model.predict(images[0]).tolist()}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `images.npy`, `expected.npy` and `copy`, a model's folder that was moved to where nothing knows of it."""
    place = tmp_path_factory.mktemp("away")
    keras.utils.set_random_seed(3)
    saved = save_bundle(place / "bundle", unet(TASK, (16, 16), depth=2, width=4), BUNDLE)
    predictor, example = Predictor.load(saved), input_example(BUNDLE)
    (place / "made").mkdir()
    write_model_folder(
        place / "made",
        saved,
        example=example,
        prediction=predictor.predict(example[0])[None],
        usage=usage(BUNDLE),
        readme=readme(BUNDLE),
    )
    shutil.move(place / "made", place / "copy")
    shutil.rmtree(saved)
    images = np.random.default_rng(0).integers(0, 256, (2, 31, 20, 3), dtype=np.uint8)
    np.save(place / "images.npy", images)
    np.save(place / "expected.npy", np.stack([predictor.predict(image) for image in images]))
    return place


def predicted(folder: Path, python: str = sys.executable, *words: str) -> dict:
    """What a process without this project's source folder says; its masks are those of the predictor."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    clean |= {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([python, "-c", ALONE, *words], cwd=folder, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    masks, expected = np.load(folder / "masks.npy"), np.load(folder / "expected.npy")
    assert masks.dtype == expected.dtype
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(masks, expected)
    fields = json.loads(done.stdout.splitlines()[-1])
    assert fields["one"] == expected[0].tolist()
    return fields


def test_it_predicts_where_no_seglab_is(folder: Path) -> None:
    answer = predicted(folder)
    assert Path(answer["code"]).is_relative_to(folder / "copy" / "code" / "carried")
    channels, scale = answer["told"]
    assert "without the model's 3 channels" in channels
    assert "red, green, blue" in channels
    assert "numbers from 0 to 255" in scale
    assert "[[" not in channels + scale


@pytest.mark.slow
def test_it_predicts_in_an_environment_of_its_own_requirements(folder: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "-r", folder / "copy" / "requirements.txt"]
    subprocess.run(install, check=True)
    missing = subprocess.run([python, "-c", "import seglab"], cwd=tmp_path, capture_output=True, text=True)
    assert "No module named 'seglab'" in missing.stderr
    answer = predicted(folder, python)
    assert Path(answer["code"]).is_relative_to(folder / "copy" / "code" / "carried")


def test_an_installed_seglab_is_used(folder: Path) -> None:
    model = mlflow.pyfunc.load_model(str(folder / "copy"))
    np.testing.assert_array_equal(model.predict(np.load(folder / "images.npy")), np.load(folder / "expected.npy"))
    assert not any(place.endswith("carried") for place in sys.path)


def test_its_requirements_name_what_its_code_imports_and_no_seglab(folder: Path) -> None:
    of = {module: {name.lower() for name in names} for module, names in packages_distributions().items()}
    required = {name.split("==")[0] for name in (folder / "copy" / "requirements.txt").read_text().split()}
    assert required == {*REQUIREMENTS, "mlflow"}
    modules = {name.split(".")[0] for file in carried_files() for name in imported(file)} - {"seglab", "__future__"}
    modules -= {"jax"}  # is asked where Keras computes with it, which this folder's requirements do not bring
    for module in modules - set(sys.stdlib_module_names):
        assert of[module] & required, f"{module} is imported by the carried code, and required by nothing"
    lines = (folder / "copy" / "requirements.txt").read_text().split()
    assert all("==" in line for line in lines)


def test_the_code_that_it_carries_is_whole_and_no_more_than_inference(folder: Path) -> None:
    carried = folder / "copy" / "code" / "carried" / "seglab"
    files = (file for file in carried.rglob("*") if file.is_file())
    names = {str(file.relative_to(carried)) for file in files if file.parent.name != "__pycache__"}  # loaded here
    assert names == {str(file.relative_to(PACKAGE)) for file in carried_files()}
    assert {"__init__.py", "inference/pyfunc.py", "models/heads.py", "models/volumetric.py"} <= names
    assert not any(name.startswith(("tracking", "training", "evaluation")) for name in names)
    loader = ast.parse((folder / "copy" / "code" / "seglab_model.py").read_text())
    for node in ast.walk(loader):
        assert not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("seglab")


def test_it_says_what_it_wants(folder: Path) -> None:
    check_model(folder / "copy" / "MLmodel")
    described = yaml.safe_load((folder / "copy" / "MLmodel").read_text())
    assert "red, green, blue" in described["metadata"]["input"]
    assert described["metadata"]["classes"] == "0 background, 1 road, 2 car"
    page = (folder / "copy" / "README.md").read_text()
    assert "mlflow.pyfunc.load_model" in page
    assert "| 1 | road | #e64b35" in page


def test_what_is_sent_to_a_server_is_answered_as_well(folder: Path) -> None:
    """What `mlflow models serve` does with a request: no schema may turn whole numbers into others, or refuse them."""
    from mlflow.pyfunc import scoring_server

    model = mlflow.pyfunc.load_model(str(folder / "copy"))
    images, expected = np.load(folder / "images.npy"), np.load(folder / "expected.npy")

    def answer(**content: object) -> list:
        text = json.dumps(content)
        response = scoring_server.invocations(text, "application/json", model, model.metadata.get_input_schema())
        assert response.status == 200
        return json.loads(response.response)["predictions"]

    for key in ("inputs", "instances"):
        assert answer(**{key: images.tolist()}) == expected.tolist()
    assert answer(inputs=images[0].tolist()) == expected[0].tolist()
    assert answer(inputs=images.astype(float).tolist(), params={"spacing": []}) == expected.tolist()
    table = {"columns": ["image"], "data": [[image.tolist()] for image in images]}
    assert answer(dataframe_split=table) == expected.tolist()
    example = json.loads((folder / "copy" / "serving_input_example.json").read_text())
    assert np.shape(answer(**example)) == (1, 16, 16)
    with pytest.raises(mlflow.MlflowException) as caught:
        answer(inputs=(images / 255).tolist())
    fields = json.loads(caught.value.serialize_as_json())["stack_trace"]
    assert "numbers from 0 to 255" in fields
    assert "[[" not in fields


def test_a_table_of_images_is_predicted_as_evaluations_do_it(folder: Path) -> None:
    """`mlflow.models.evaluate` hands a table's column over."""
    model = mlflow.pyfunc.load_model(str(folder / "copy"))
    images, expected = np.load(folder / "images.npy"), np.load(folder / "expected.npy")
    table = pd.DataFrame({"image": list(images)}, index=[5, 9])
    np.testing.assert_array_equal(model.predict(table), expected)
