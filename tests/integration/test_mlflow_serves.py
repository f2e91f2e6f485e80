"""`mlflow models serve` answers for a model of ours what its predictor answers: the real command, asked over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import keras
import numpy as np
import pytest

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.inference.bundle import Bundle, save_bundle
from seglab.inference.model_usage import readme, usage
from seglab.inference.predictor import Predictor
from seglab.inference.pyfunc import input_example
from seglab.models.unet import unet
from seglab.task import Task
from seglab.tracking.model_folder import write_model_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TASK = Task(rank=2, channels=3, class_names=("background", "road", "car"))


def test_the_command_serves_it(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    bundle = Bundle(TASK, Preprocessing("scale", 3, 255.0, scale="bytes"), (16, 16), "pad")
    saved = save_bundle(tmp_path / "bundle", unet(TASK, (16, 16), depth=2, width=4), bundle)
    predictor, example = Predictor.load(saved), input_example(bundle)
    prediction = predictor.predict(example[0])[None]
    (folder := tmp_path / "model").mkdir()
    write_model_folder(
        folder, saved, example=example, prediction=prediction, usage=usage(bundle), readme=readme(bundle)
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mlflow = Path(sys.executable).with_name("mlflow")
    paths = os.pathsep.join([str(mlflow.parent), os.environ["PATH"]])  # as in an environment that is active
    words = [mlflow, "models", "serve", "-m", folder, "--env-manager", "local", "--port", port, "--workers", 1]
    served = subprocess.Popen(
        [str(word) for word in words], cwd=tmp_path, start_new_session=True, env={**os.environ, "PATH": paths}
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            end = time.monotonic() + 200
            while True:
                try:
                    if client.get("/ping").status_code == 200:
                        break
                except httpx.TransportError:
                    assert served.poll() is None
                assert time.monotonic() < end
                time.sleep(0.5)
            images = np.random.default_rng(0).integers(0, 256, (2, 31, 20, 3), dtype=np.uint8)
            answer = client.post("/invocations", json={"inputs": images.tolist()})
            assert answer.status_code == 200, answer.text
            expected = np.stack([predictor.predict(image) for image in images])
            assert len(np.unique(expected)) > 1
            np.testing.assert_array_equal(answer.json()["predictions"], expected)
            wrong = client.post("/invocations", json={"inputs": (images / 255).tolist()})
            assert 400 <= wrong.status_code < 600
            assert "numbers from 0 to 255" in wrong.text
    finally:
        with suppress(ProcessLookupError):
            os.killpg(served.pid, signal.SIGTERM)
        served.wait(30)
