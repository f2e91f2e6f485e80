"""One runtime with one exported model, in a process of its own: `serving_worker.py <model> <folder> [<precision>]`.

`<model>` is `target` for the folder's own, else the folder of a bundle, which Keras runs on the folder's example, in
float32 or, where another precision is named, in the one that it was trained in. Asked

- `network`, it answers with the seconds of the bare network on the example;
- `image`, with those of the whole way of the example image; `decode`, `pre`, `between`, `post`, `encode` ask for the
  stages of the last of these, of which `between` holds the network;
- `bare <H> <W>`, with those of decoding an image of that size, running the bare network as often as it has windows, and
  encoding its mask: the least that an answer over HTTP can take;
- `cpu`, with the seconds that all threads computed in the last of `network` and `bare`: less than the clock's do they
  tell of what else the machine is doing;
- `load`, with the seconds that loading took; `rss`, with the megabytes that are held.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from seglab.export.folder import GIVEN, IMAGE, read_folder
from seglab.export.latency import StagedImage, decoded_png, encoded_png
from seglab.inference.example import example_image
from seglab.inference.loaded_network import OneByOne
from seglab.inference.predictor import Predictor


class ServingWorker:
    """See the module."""

    def __init__(self, model: str, folder: Path, precision: str = "float32"):
        exported = read_folder(folder)
        self._bundle, self._given = exported.bundle, exported.array(GIVEN)
        self._runs: Predictor | OneByOne
        self._bare: Callable[[np.ndarray], np.ndarray]
        began = time.perf_counter()
        if model == "target":
            network = exported.open()
            self._runs = network if exported.end_to_end else exported.predictor(network=network)
            self._bare = network.run
        else:
            from seglab.runtime.reproducibility import load_tensorflow

            load_tensorflow()
            self._runs = _in_keras(Path(model), precision)
            self._bare = self._runs.network.logits
        self._load = time.perf_counter() - began
        self._example = StagedImage(self._runs, exported.array(IMAGE), self._bundle)
        self._stages: dict[str, float] = {}
        self._cpu = 0.0
        self._files: dict[tuple[int, ...], tuple[bytes, int, np.ndarray]] = {}

    def answer(self, question: str) -> float:
        """A number; see the module."""
        word, *size = question.split()
        if word == "network":
            return self._timed(lambda: self._bare(self._given))
        if word == "image":
            self._stages = self._example.run()
            return sum(self._stages.values())
        if word == "bare":
            return self._least(tuple(map(int, size)))
        if word == "cpu":
            return self._cpu
        if word == "rss":
            return psutil.Process().memory_info().rss / 1e6
        return self._load if word == "load" else self._stages["network" if word == "between" else word]

    def _least(self, size: tuple[int, ...]) -> float:
        """See `bare` in the module."""
        if size not in self._files:
            image = example_image(self._bundle, size)
            assert isinstance(self._runs, Predictor)
            windows = [1]
            mask = self._runs.predict(image, self._bundle.spacing, lambda _, count: windows.append(count))
            self._files[size] = (encoded_png(image), windows[-1], mask[..., None].astype(np.uint8))
        file, count, mask = self._files[size]

        def least() -> None:
            decoded_png(file)
            for _ in range(count):
                self._bare(self._given)
            encoded_png(mask)

        return self._timed(least)

    def _timed(self, call: Callable[[], object]) -> float:
        """Seconds by the clock; those that were computed are kept for `cpu`."""
        began, computed = time.perf_counter(), time.process_time()
        call()
        taken = time.perf_counter() - began
        self._cpu = time.process_time() - computed
        return taken


def _in_keras(bundle: Path, precision: str) -> Predictor:
    """The trained model; raises `RuntimeError` where it computes in another precision than is told."""
    from seglab.export.conversion import in_float32
    from seglab.inference.bundle import load_bundle

    model, described = load_bundle(bundle)
    predictor = Predictor.of(in_float32(model) if precision == "float32" else model, described)
    if predictor.network.precision != precision:
        raise RuntimeError(f"Keras computes in {predictor.network.precision}, not in {precision}")
    return predictor


if __name__ == "__main__":
    worker = ServingWorker(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    print("=> ready", flush=True)
    for line in sys.stdin:
        print(f"=> {worker.answer(line.strip())}", flush=True)
