"""A service of a network of regions paints the predictor's mask, and says what its regions are."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from nested_regions import NESTED
from PIL import Image
from served import Running, served_folder

from seglab.app.api_client import Client
from seglab.export.folder import read_folder
from seglab.inference.predictor import Predictor
from seglab.serving.served import ServedModel
from seglab.task import Task

TASK = Task(2, 3, ("background", "edema", "necrosis", "enhancing"), label_values=(0, 1, 2, 4), regions=NESTED)


def test_the_mask_of_an_answer_is_painted_in_the_values_of_the_files(tmp_path: Path) -> None:
    folder = served_folder(tmp_path / "brain", TASK, (32, 40))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    room = io.BytesIO()
    Image.fromarray(pixels).save(room, "PNG")
    exported = read_folder(folder)
    ids = Predictor.of(exported.open(), exported.bundle).predict(pixels)
    assert len(np.unique(ids)) == 4
    with Running(folder) as running:
        mask = np.asarray(Image.open(io.BytesIO(running.predict(room.getvalue()).content)))
        fields = running.predict(room.getvalue(), "application/json").json()
        model = Client("127.0.0.1", running.port, "").model()
    np.testing.assert_array_equal(mask, np.array(TASK.label_values)[ids])
    assert [row["pixels"] for row in fields["classes"]] == np.bincount(ids.ravel(), minlength=4).tolist()
    assert model.task.regions == NESTED


def test_what_the_workers_are_given_keeps_the_regions(tmp_path: Path) -> None:
    model = ServedModel("brain", "0" * 64, "", "", TASK, (32, 40), "patch", "openvino", "float32", 1)
    assert ServedModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model
