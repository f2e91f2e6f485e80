"""Exported folders that are made in a blink, without TensorFlow, and real services of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import numpy as np
import psutil

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.export.folder import GIVEN, IMAGE, MANIFEST, MASK, write_json, write_sums
from seglab.inference.backends.openvino import OpenVinoNetwork, load_openvino
from seglab.inference.bundle import Bundle
from seglab.inference.example import example_image
from seglab.inference.predictor import Predictor
from seglab.task import Task

ROAD = Task(2, 3, ("ground", "red", "green"), ((0, 0, 0), (200, 10, 20), (30, 180, 40)), label_values=(7, 8, 11))
CELLS = Task(2, 1, ("background", "cell"))
ORGAN = Task(3, 1, ("background", "organ"))


def served_folder(
    folder: Path,
    task: Task,
    size: tuple[int, ...],
    fit: str = "patch",
    scale: str = "bytes",
    turned: int = 0,
    reference: dict[str, Any] | None = None,
    bias: float = -4.6,
    network: Any = None,
) -> Path:
    """An exported folder whose network gives a class to whatever is brightest, after a mean over 3 pixels an axis;
    `turned` by so many channels, to another class. `reference` is what its answers are held against, `bias` what a
    single logit begins at. `network`, of OpenVINO, is served in its place."""
    folder.mkdir(parents=True)
    load_openvino().save_model(
        network or _brightest(task, size, turned, bias), folder / "model.xml", compress_to_fp16=False
    )
    unit = {"bytes": 255.0, "words": 65535.0}[scale]
    preprocessing = Preprocessing("scale", task.channels, unit, scale=scale)  # type: ignore[arg-type]
    bundle = Bundle(task, preprocessing, size, fit, reference=reference or {})  # type: ignore[arg-type]
    given = example_image(bundle)
    predictor = Predictor.of(OpenVinoNetwork(folder / "model.xml"), bundle)
    np.save(folder / IMAGE, given)
    np.save(folder / GIVEN, predictor.inputs(given, bundle.spacing)[:1])
    np.save(folder / MASK, predictor.predict(given, bundle.spacing))
    target = {"name": folder.name, "format": "openvino", "precision": "float32", "executed": "float32"}
    manifest = {"format": 1, "target": {**target, "graph": "logits"}, "file": "model.xml", "bundle": bundle.to_dict()}
    write_json(folder / MANIFEST, manifest)
    write_sums(folder)
    return folder


def _brightest(task: Task, size: tuple[int, ...], turned: int, bias: float) -> Any:
    """See `served_folder`."""
    openvino = load_openvino()
    ops = openvino.opset13
    rank, channels, outputs = task.rank, task.channels, task.logit_channels
    image = ops.parameter([1, *size, channels], np.float32, name="image")
    first = ops.transpose(image, [0, rank + 1, *range(1, rank + 1)])
    kernel = np.zeros((outputs, channels, *(3,) * rank), np.float32)
    for output in range(outputs):
        kernel[output, (output + turned) % channels] = (10 + output) / 3**rank
    ones, none = [1] * rank, [1] * rank
    blurred = ops.convolution(first, kernel, ones, none, none, ones)
    moved = ops.add(blurred, np.full((1, outputs, *(1,) * rank), bias, np.float32))
    last = ops.transpose(moved, [0, *range(2, rank + 2), 1])
    return openvino.Model([last], [image])


_BEGUN = {"serve": "serving at ", "app": "the pages are at "}


class Running:
    """`seglab serve`, or `app`, as a process of its own."""

    def __init__(
        self, folder: Path | str, *words: str, verb: str = "serve", cwd: Path | None = None, **environment: str
    ):
        keys = {word.partition("=")[0] for word in words}
        usual = [word for word in ("drain_seconds=0", "rows=") if word.partition("=")[0] not in keys]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "seglab", verb, str(folder), "port=0", *usual, *words],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.printed: list[str] = []
        self.log: list[str] = []
        for line in self.process.stdout:
            self.printed.append(line)
            if line.startswith(_BEGUN[verb]):
                break
        else:
            raise AssertionError(self.process.stderr.read())
        self.address = self.printed[-1].split()[-1]
        self.port = int(self.address.rstrip("/").rpartition(":")[2])
        self._reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr or ()), daemon=True)
        self._reader.start()
        self.client = httpx.Client(base_url=self.address, timeout=60, trust_env=False)
        self.client.get("/v2/health/live" if verb == "serve" else "/api/v2/health/live")

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self._reader.join(5)

    def predict(self, content: bytes, accept: str = "image/png", kind: str = "application/octet-stream") -> Any:
        """The answer of `/predict`."""
        return self.client.post("/predict", content=content, headers={"Content-Type": kind, "Accept": accept})

    def predict_at(self, path: str, content: bytes) -> bytes:
        """The body of the answer at another address of `/predict`."""
        return self.client.post(path, content=content, headers={"Content-Type": "image/png"}).content

    def processes(self) -> list[psutil.Process]:
        """The service and the processes below it."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """That all its processes have computed; unlike the clock it does not say how busy the machine is."""
        return sum(sum(one.cpu_times()[:2]) for one in self.processes())

    def rss(self) -> int:
        """Bytes of memory of all its processes."""
        found = 0
        for one in self.processes():
            with suppress(psutil.NoSuchProcess):
                found += one.memory_info().rss
        return found

    def socket(self) -> socket.socket:
        """A connection that nobody speaks HTTP on yet."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def count(self, name: str) -> float:
        """A number of `/metrics`, summed over its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def lines(self) -> list[dict[str, Any]]:
        """The log, as far as it was read."""
        return [json.loads(line) for line in self.log if line.startswith("{")]
