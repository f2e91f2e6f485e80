"""A recorded model as MLflow's own tools load and serve it: no seglab object in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import toys

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.inference.bundle import Bundle, save_bundle
from seglab.inference.predictor import Predictor
from seglab.inference.pyfunc import input_example
from seglab.task import Task
from seglab.tracking.mlflow_client import mlflow
from seglab.tracking.tracker import Tracker

TASK = Task(rank=3, channels=1, class_names=("background", "object"))
OWN = (1.0, 1.0, 2.0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Above 0.5 is the object: 10 · 0.5 − 5 = 0."""
    image = keras.Input((8, 8, 8, 1))
    model = keras.Model(image, keras.layers.Conv3D(1, 1)(image))
    model.layers[-1].set_weights([np.full((1, 1, 1, 1, 1), 10.0), np.array([-5.0])])
    made = Bundle(TASK, Preprocessing("scale", 1), (8, 8, 8), "patch", spacing=OWN)
    return save_bundle(tmp_path_factory.mktemp("bundle") / "bundle", model, made)


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[mlflow.pyfunc.PyFuncModel]:
    """The model of a run, as `mlflow.pyfunc.load_model` gives it."""
    directory = toys.fresh_store(tmp_path_factory.mktemp("served") / "mlruns")
    predictor = Predictor.load(bundle)
    example = input_example(Bundle(TASK, Preprocessing("scale", 1), (8, 8, 8), "patch", spacing=OWN))
    with Tracker(toys.tracking(), directory, run_name="Volumes", params={}, tags={}) as run:
        run.log_bundle(bundle, example=example, prediction=predictor.predict(example[0], OWN)[None])
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(run.store.uri)
    try:
        yield mlflow.pyfunc.load_model(run.model_uri)
    finally:
        mlflow.set_tracking_uri(before)


def volume() -> np.ndarray:
    """Noise, which another spacing smooths otherwise."""
    return np.random.default_rng(0).random((12, 10, 6, 1), np.float32)


def test_the_spacing_of_the_images_reaches_the_model(served: mlflow.pyfunc.PyFuncModel, bundle: Path) -> None:
    predictor, image = Predictor.load(bundle), volume()
    fine = (0.5, 0.5, 1.0)
    expected, own = predictor.predict(image, fine), predictor.predict(image, OWN)
    assert (expected != own).any()
    for spacing in (list(fine), np.array(fine)):
        np.testing.assert_array_equal(served.predict(image[None], params={"spacing": spacing})[0], expected)
    np.testing.assert_array_equal(served.predict(image[None]), own[None])
    np.testing.assert_array_equal(served.predict(image[None], params={}), own[None])


def test_the_signature_names_it(served: mlflow.pyfunc.PyFuncModel) -> None:
    (param,) = served.metadata.signature.params
    assert (param.name, param.dtype.name, param.shape, param.default) == ("spacing", "double", (-1,), [])


@pytest.mark.parametrize("spacing", [[1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, float("nan")]])
def test_a_spacing_that_is_none_is_refused(served: mlflow.pyfunc.PyFuncModel, spacing: list[float]) -> None:
    with pytest.raises(DataError, match="spacing is not known"):
        served.predict(volume()[None], params={"spacing": spacing})


def test_a_spacing_of_another_kind_is_refused_by_mlflow(served: mlflow.pyfunc.PyFuncModel) -> None:
    for spacing in ("1 1 1", 1.0, [[1.0, 1.0, 2.0]]):
        with pytest.raises(mlflow.MlflowException, match="spacing"):
            served.predict(volume()[None], params={"spacing": spacing})


def test_values_that_are_no_numbers_are_refused(served: mlflow.pyfunc.PyFuncModel) -> None:
    image = volume()
    image[3, 3, 3, 0] = np.nan
    with pytest.raises(DataError, match="NaN or infinite values"):
        served.predict(image[None])
