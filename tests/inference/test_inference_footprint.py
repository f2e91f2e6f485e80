"""What a prediction takes beside its image, foretold and measured."""

from __future__ import annotations

import tracemalloc

import keras
import numpy as np
import pytest

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.inference import memory_forecast
from seglab.inference.predictor import Predictor
from seglab.inference.sliding_window import SlidingWindow
from seglab.task import Task


def predictor(rank: int, channels: int, classes: int, fit: str, mode: str = "scale", **settings: object) -> Predictor:
    task = Task(rank, channels, tuple(f"class {k}" for k in range(classes)))
    size = (128, 128) if rank == 2 else (32, 32, 32)
    image = keras.Input((*size, channels))
    convolution = {2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[rank](task.logit_channels, 1)
    model = keras.Model(image, convolution(image))
    return Predictor(model, task, Preprocessing(mode, channels, 255.0), size, fit, **settings)


def wide(channels: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1100, 900, channels)).astype(dtype)


def volume(dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (130, 100, 60, 1)).astype(dtype)


CASES = {
    "windows": (predictor(2, 3, 2, "patch"), wide(3), None),
    "windows, 16 bits": (predictor(2, 1, 2, "patch"), wide(1, "uint16"), None),
    "windows, doubles": (predictor(2, 1, 2, "pad"), wide(1, "float64"), None),
    "windows, classes": (predictor(2, 3, 9, "patch"), wide(3), None),
    "windows, percentiles": (predictor(2, 3, 2, "patch", "zscore"), wide(3), None),
    "resized": (predictor(2, 3, 2, "resize"), wide(3), None),
    "resized, classes": (predictor(2, 3, 9, "letterbox"), wide(3), None),
    "resized, doubles": (predictor(2, 3, 2, "resize"), wide(3, "float64"), None),
    "resized, percentiles": (predictor(2, 1, 3, "resize", "zscore"), wide(1), None),
    "volume": (predictor(3, 1, 3, "patch"), volume(), None),
    "volume, percentiles": (predictor(3, 1, 2, "patch", "zscore"), volume("int16"), None),
    "volume, finer": (predictor(3, 1, 2, "patch", spacing=(1.0, 1.0, 1.0)), volume(), (1.0, 1.0, 2.0)),
    "volume, coarser": (predictor(3, 1, 4, "patch", spacing=(1.0, 1.0, 1.0)), volume(), (0.7, 0.7, 1.0)),
}


def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes that are asked room for."""
    found: list[int] = []
    monkeypatch.setattr("seglab.inference.preparing.check_room", lambda needed, spatial: found.append(needed))
    return found


@pytest.mark.parametrize("way", ["predict", "predict_probabilities"])
@pytest.mark.parametrize(("model", "image", "spacing"), CASES.values(), ids=CASES)
def test_it_is_what_is_taken(
    model: Predictor, image: np.ndarray, spacing: tuple | None, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tuple(slice(0, 40) for _ in image.shape[:-1])
    getattr(model, way)(image[small], spacing)  # what Keras makes the first time is not the image's
    found = asked(monkeypatch)
    tracemalloc.start()
    getattr(model, way)(image, spacing)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{peak / image.nbytes:.1f} times the image, foretold {found[0] / image.nbytes:.1f}")
    assert peak < 1.02 * found[0] + 5e5
    assert found[0] < 2.5 * peak + 5e6  # which the network's own first call may take


def test_a_mask_in_windows_takes_a_fraction_of_a_large_image() -> None:
    """20000 × 20000 in red, green and blue, in windows of 256: the mask, a third of the image, and a band of rows."""
    size, facts = (20_000, 20_000), {"channels": 3, "itemsize": 1, "classes": 2, "resized": False, "zscore": False}
    needed = memory_forecast.prediction_bytes(size, size, SlidingWindow((256, 256)), **facts)
    assert 20_000**2 < needed < 1.2 * 20_000**2 * 3


def test_what_does_not_fit_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_forecast, "available_bytes", lambda: 4_500_000)
    monkeypatch.setattr(memory_forecast, "_FREE", 1_000)
    model = CASES["windows"][0]
    assert model.predict(np.zeros((8, 8, 3), np.uint8)).shape == (8, 8)
    done: list[int] = []
    with pytest.raises(DataError, match=r"1100×900 pixels, which need 0\.0 GB") as caught:
        model.predict(wide(3), progress=lambda *at: done.append(at[0]))
    assert caught.value.remedy
    assert done == []
