"""Runs and registered models are exported apart and served without TensorFlow; a champion that changes takes over."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import promotable
import pytest
from PIL import Image
from served import Running
from test_swapping import clients, until

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.bundle import save_bundle
from seglab.inference.description import Bundle
from seglab.inference.predictor import Predictor
from seglab.tracking.store import Store, open_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
NAME = "cells"
IMAGE = np.random.default_rng(5).integers(0, 256, (50, 70, 1), np.uint8)


def png() -> bytes:
    room = io.BytesIO()
    Image.fromarray(IMAGE[..., 0]).save(room, "PNG")
    return room.getvalue()


def made(folder: Path, weight: float) -> Path:
    """A bundle whose foreground is what is brighter, or darker, than the middle."""
    inputs = keras.Input((8, 8, 1))
    layer = keras.layers.Conv2D(1, 1)
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([np.full((1, 1, 1, 1), weight, np.float32), np.array([-weight / 2], np.float32)])
    task = promotable.TASK
    return save_bundle(folder, model, Bundle(task, Preprocessing("scale", 1, 255.0), (8, 8), "patch", split_digest="s"))


class Register:
    """A store with two runs and their models as version 1, which is the champion, and 2."""

    def __init__(self, place: Path):
        self.place = place
        self.store: Store = open_store(None, place / "mlruns")
        self.bundles = [made(place / f"bundle{number}", weight) for number, weight in enumerate((9.0, -9.0))]
        self.runs = [promotable.trained(self.store, bundle, 0.8) for bundle in self.bundles]
        self.store.client.create_registered_model(NAME)
        for run in self.runs:
            model = self.store.run(run).outputs.model_outputs[0].model_id
            location = self.store.client.get_logged_model(model).artifact_location
            self.store.client.create_model_version(NAME, location, run, model_id=model)
        self.champion("1")

    def champion(self, version: str) -> None:
        self.store.client.set_registered_model_alias(NAME, "champion", version)


@pytest.fixture(scope="module")
def register(tmp_path_factory: pytest.TempPathFactory) -> Register:
    return Register(tmp_path_factory.mktemp("register"))


def mask(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def expected(bundle: Path) -> np.ndarray:
    return Predictor.load(bundle).predict(IMAGE)


def test_a_run_and_the_folder_of_a_bundle(register: Register) -> None:
    for word in (f"run={register.runs[0]}", f"model={register.bundles[0]}"):
        with Running(word, cwd=register.place) as running:
            answer = running.predict(png())
            assert answer.status_code == 200, answer.text
            np.testing.assert_array_equal(mask(answer.content), expected(register.bundles[0]))
            fields = running.client.get("/health").json()
            metadata = running.client.get(f"/v2/models/{fields['model']}").json()
            assert metadata["precision"] == "float32"
            assert metadata["run"] == (register.runs[0] if word.startswith("run") else "")
            assert len(running.processes()) == 2  # those that exported have ended
            with open(f"/proc/{running.processes()[1].pid}/maps") as maps:
                assert "/libtensorflow" not in maps.read()  # OpenVINO has a folder of that name, too
    assert len(list((register.place / ".cache" / "serve").iterdir())) == 1  # equal bundles are exported once


def test_the_champion_is_watched(register: Register) -> None:
    register.champion("1")
    with Running(f"models:/{NAME}@champion", "watch_seconds=0.5", cwd=register.place) as running:
        first = running.client.get("/health").json()
        assert (first["model"], first["version"]) == (NAME, "1")
        assert first["bundle"].startswith(f"{NAME}@1+")
        np.testing.assert_array_equal(mask(running.predict(png()).content), expected(register.bundles[0]))
        with clients(running, 2, png()) as seen:
            register.champion("2")
            until(lambda: running.client.get("/health").json()["version"] == "2", 300)
            so_far = sum(seen.values())
            until(lambda: sum(seen.values()) > so_far + 4)
        assert {status for status, _, _ in seen} == {200}
        assert {name.partition("+")[0] for _, name, _ in seen} == {f"{NAME}@1", f"{NAME}@2"}
        assert len({(name, content) for _, name, content in seen}) == 2
        np.testing.assert_array_equal(mask(running.predict(png()).content), expected(register.bundles[1]))
        broken = promotable.trained(register.store, register.bundles[0], 0.8)
        model = register.store.run(broken).outputs.model_outputs[0].model_id
        location = register.store.client.get_logged_model(model).artifact_location
        register.store.client.create_model_version(NAME, location, broken, model_id=model)
        shutil.rmtree(location.removeprefix("file://"))
        register.champion("3")
        until(lambda: running.client.get("/health").json()["refused"])
        fields: Any = running.client.get("/health").json()
        assert (fields["refused"]["code"], fields["version"], fields["ready"]) == ("bundle-missing", "2", True)
        assert running.predict(png()).headers["x-bundle"].startswith(f"{NAME}@2+")
        register.champion("1")
        until(lambda: running.client.get("/health").json()["version"] == "1")
        assert running.client.get("/health").json()["refused"] is None


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("models:/nothing@champion", "registered-model-missing"),
        (f"models:/{NAME}@staging", "registered-model-missing"),
        ("run=0123456789abcdef0123456789abcdef", "run-missing"),
        ("no/such/folder", "bundle-missing"),
    ],
)
def test_what_is_not_there(word: str, code: str, register: Register) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "seglab", "serve", word, "port=0"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=register.place,
        env={**os.environ},
    )
    assert done.returncode == 2, done.stderr
    assert f"[{code}]" in done.stderr
    assert "Traceback" not in done.stderr
