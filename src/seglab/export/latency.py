"""How long each stage of one image takes with a target, and how much memory, in a process without TensorFlow.

python -m seglab.export.latency <folder> [<runs>]; prints one line of JSON.
"""

from __future__ import annotations

import io
import json
import platform
import re
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.export.folder import GIVEN, IMAGE, read_folder
from seglab.inference.bundle import Bundle
from seglab.inference.loaded_network import OneByOne, own_threads
from seglab.inference.predictor import Predictor

RUNS, WARM_UP = 30, 3
STAGES = ("decode", "pre", "network", "post", "encode")


def measure(folder: Path | str, runs: int = RUNS) -> dict[str, Any]:
    """What is written to `latency.json`: p50, p95, p99 and the largest of each stage in milliseconds, and the machine.

    `decode` and `encode` are of PNG, for images alone. One image after another is asked, at the network's own size.
    """
    exported = read_folder(folder)
    began = time.perf_counter()
    network = exported.open()
    loaded = time.perf_counter() - began
    image, given = exported.array(IMAGE), exported.array(GIVEN)
    began = time.perf_counter()
    network.run(given)
    first = time.perf_counter() - began
    times: dict[str, list[float]] = {stage: [] for stage in STAGES}
    one = StagedImage(network if exported.end_to_end else exported.predictor(network=network), image, exported.bundle)
    for turn in range(WARM_UP + runs):
        for stage, seconds in one.run().items():
            if turn >= WARM_UP:
                times[stage].append(seconds)
    encoded = exported.bundle.task.rank == 2
    stages = {stage: _spread(found) for stage, found in times.items() if found}
    return {
        "milliseconds": stages | {"all": _spread(list(np.sum([times[stage] for stage in stages], axis=0)))},
        "runs": runs,
        "size": list(image.shape[:-1]),
        "load_seconds": round(loaded, 4),
        "first_seconds": round(first, 4),
        "peak_rss_mb": round(_peak_kb() / 1024, 1),
        "threads": own_threads(),
        "precision": network.precision,
        "cpu": cpu_name(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "unknown",
        "not_measured": [] if encoded else ["decode", "encode"],
    }


class StagedImage:
    """The way of one image from its file's bytes to those of its mask, each stage timed.

    Args:
        runs: a predictor; or the network of an end-to-end graph.
        image: `(*spatial, C)` raw.
        bundle: what goes with the network.
    """

    def __init__(self, runs: Predictor | OneByOne, image: np.ndarray, bundle: Bundle):
        self._runs, self._image, self._spacing = runs, image, bundle.spacing
        self._file = encoded_png(image) if bundle.task.rank == 2 else None
        self._inside: list[float] = []
        if isinstance(runs, Predictor):
            self._spacing, network = runs.example_spacing, runs._network

            def timed(windows: np.ndarray) -> np.ndarray:
                start = time.perf_counter()
                answer = network(windows)
                self._inside.extend((start, time.perf_counter()))
                return answer

            runs._network = timed

    def run(self) -> dict[str, float]:
        """Seconds of each of `STAGES`; of volumes without those of a file."""
        at = [time.perf_counter()]
        if self._file is not None:
            decoded_png(self._file)
        at.append(time.perf_counter())
        self._inside.clear()
        if isinstance(self._runs, Predictor):
            mask = self._runs.predict(self._image, self._spacing)
        else:
            mask = self._runs.run(self._image[None])[0]
            self._inside.extend((at[-1], time.perf_counter()))
        at += [self._inside[0], self._inside[-1], time.perf_counter()]
        if self._file is not None:
            encoded_png(mask[..., None].astype(np.uint8))
        at.append(time.perf_counter())
        taken = dict(zip(STAGES, np.diff(at).tolist(), strict=True))
        return taken if self._file is not None else {k: v for k, v in taken.items() if "code" not in k}


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    return {
        key: round(1000 * float(x), 3)
        for key, x in zip(("p50", "p95", "p99", "max"), (p50, p95, p99, max(seconds)), strict=True)
    }


def decoded_png(content: bytes) -> np.ndarray:
    """Of what `encoded_png` made."""
    return np.asarray(Image.open(io.BytesIO(content)))


def encoded_png(image: np.ndarray) -> bytes:
    """As PNG; of images that a PNG does not hold, the first channel in 8 bits."""
    plain = image if image.dtype == np.uint8 and image.shape[-1] in (1, 3, 4) else image[..., :1].astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(plain[..., 0] if plain.shape[-1] == 1 else plain).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def cpu_name() -> str:
    """As the operating system calls the processor."""
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _peak_kb() -> int:
    """Most memory that this process has held; `getrusage` alone also counts the process that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", _read("/proc/self/status"))
    return int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else RUNS)))
