"""A graph from raw pixels to class ids gives the predictor's mask; and the way there of every runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import ConfigError
from seglab.export.conversion import convert
from seglab.export.end_to_end import check_size, end_to_end
from seglab.inference.backends import BACKENDS, open_network
from seglab.inference.bundle import Bundle
from seglab.inference.example import example_image
from seglab.inference.predictor import Predictor
from seglab.models.unet import unet
from seglab.task import Task

BINARY = Task(2, 1, ("background", "object"))
FOUR = Task(2, 3, ("background", "a", "b", "c"))
STANDARD = {"mean": (0.4, 0.5, 0.3), "std": (0.2, 0.25, 0.3)}


def made(task: Task, fit: str, mode: str = "standard") -> tuple[keras.Model, Bundle]:
    keras.utils.set_random_seed(0)
    known = {name: values[: task.channels] for name, values in STANDARD.items()}
    window = {"low": (0.1,) * task.channels, "high": (0.8,) * task.channels}
    fitted: dict[str, Any] = {"scale": {}, "standard": known, "window": known | window}[mode]
    preprocessing = Preprocessing(mode, task.channels, 255.0, scale="bytes", **fitted)  # type: ignore[arg-type]
    return unet(task, (16, 24), depth=1, width=4), Bundle(task, preprocessing, (16, 24), fit)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "fit", "mode", "size"),
    [
        (BINARY, "patch", "scale", (16, 24)),
        (FOUR, "pad", "window", (13, 21)),
        (FOUR, "resize", "standard", (33, 47)),
        (BINARY, "letterbox", "standard", (31, 29)),
        (FOUR, "resize", "scale", (9, 50)),
    ],
)
def test_the_graph_gives_the_mask_of_the_predictor(task: Task, fit: str, mode: str, size: tuple[int, int]) -> None:
    model, bundle = made(task, fit, mode)
    image = example_image(bundle, size, seed=3)
    assert image.dtype == np.uint8
    graph, predictor = end_to_end(model, bundle, size), Predictor.of(model, bundle)
    mask = graph.predict_on_batch(image[None])[0]
    assert (mask.dtype, mask.shape) == (np.uint8, size)
    same = (mask == predictor.predict(image)).mean()
    assert same == 1 if fit in ("pad", "patch") else same >= 0.99  # of random weights, near ties everywhere


@pytest.mark.parametrize("runtime", BACKENDS)
@pytest.mark.parametrize(("fit", "size"), [("letterbox", (31, 29)), ("pad", (13, 21))])
def test_every_runtime_runs_it(runtime: str, fit: str, size: tuple[int, int], tmp_path: Path) -> None:
    model, bundle = made(FOUR, fit)
    graph = end_to_end(model, bundle, size)
    convert(graph, runtime, tmp_path, "classes")
    image = example_image(bundle, size)
    found = open_network(runtime, tmp_path / BACKENDS[runtime].file).run(image[None])
    assert (found.dtype, found.shape) == (np.uint8, (1, *size))
    np.testing.assert_array_equal(found, graph.predict_on_batch(image[None]))


def test_what_needs_windows_is_refused() -> None:
    with pytest.raises(ConfigError, match="covered with windows"):
        check_size(made(FOUR, "patch")[1], (17, 24))
    check_size(made(FOUR, "resize")[1], (999, 24))
