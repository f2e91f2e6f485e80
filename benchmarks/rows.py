"""What the rows of a service cost: `python -m benchmarks.rows cost`, and `python -m benchmarks.rows shown`.

`cost` serves the default U-Net, untrained, with rows and without at the same time, and asks both in turn; what counts
is the processor time of all processes of each service. Its masks are noise, which has more parts than any real one.
`shown` writes a million rows, and takes the time of what `seglab monitor` does with them.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.speed.live_service import Client

SIZES = {"128x128": ((128, 128), 1), "1024x2048": ((1024, 2048), 3)}
FEW = 2_000  # different rows, again and again


def untrained(folder: Path, size: tuple[int, int], channels: int) -> Path:
    """The default U-Net as an exported folder, without a training."""
    from seglab.command import composed_config
    from seglab.config.run_config import load_config
    from seglab.data.preprocessing.normalisation import Preprocessing
    from seglab.export.folder import GIVEN, IMAGE, MANIFEST, MASK, write_json, write_sums
    from seglab.inference.backends.openvino import OpenVinoNetwork
    from seglab.inference.bundle import Bundle
    from seglab.inference.example import example_image
    from seglab.inference.predictor import Predictor
    from seglab.runtime.reproducibility import load_tensorflow, seed_everything
    from seglab.task import Task

    load_tensorflow()
    seed_everything(0, True)
    config = load_config(composed_config((f"data.size=[{size[0]},{size[1]}]", "precision=float32")))
    task = Task(2, channels, ("background", "object"))
    folder.mkdir(parents=True)
    model = config.model.build(task, size)
    import keras

    model.export(str(folder / "model.xml"), format="openvino", verbose=False,
                 input_signature=[keras.InputSpec(shape=(1, *size, channels), dtype="float32")])  # fmt: skip
    bundle = Bundle(task, Preprocessing("scale", channels, 255.0, scale="bytes"), size, "patch")
    given = example_image(bundle)
    predictor = Predictor.of(OpenVinoNetwork(folder / "model.xml"), bundle)
    np.save(folder / IMAGE, given)
    np.save(folder / GIVEN, predictor.inputs(given, bundle.spacing)[:1])
    np.save(folder / MASK, predictor.predict(given, bundle.spacing))
    target = {"name": folder.name, "format": "openvino", "precision": "float32", "executed": "float32"}
    write_json(folder / MANIFEST, {"format": 1, "target": {**target, "graph": "logits"}, "file": "model.xml",
                                   "bundle": bundle.to_dict()})  # fmt: skip
    write_sums(folder)
    return folder


@contextmanager
def served(folder: Path, rows: str, *words: str) -> Iterator[tuple[Client, psutil.Process]]:
    command = [
        sys.executable,
        "-m",
        "seglab",
        "serve",
        str(folder),
        "port=0",
        "drain_seconds=0",
        f"rows={rows}",
        *words,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    line = next(line for line in process.stdout if line.startswith("serving at "))
    try:
        with Client(int(line.strip().rstrip("/").rpartition(":")[2])) as client:
            yield client, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def spent(service: psutil.Process) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in (service, *service.children(recursive=True)))


def cost(name: str, blocks: int, requests: int, words: list[str]) -> None:
    """Print the share that rows add, with its interval over the blocks."""
    from seglab.statistics.intervals import mean_interval

    size, channels = SIZES[name]
    image = (np.random.default_rng(0).normal(110, 40, (*size, channels)).clip(0, 255)).astype(np.uint8)
    room = io.BytesIO()
    Image.fromarray(image.squeeze()).save(room, "PNG")
    with tempfile.TemporaryDirectory() as place, ExitStack() as running:
        folder = untrained(Path(place) / "unet", size, channels)
        each = [running.enter_context(served(folder, rows, *words)) for rows in ("", f"{place}/rows.db")]
        for client, _ in each:
            for _ in range(3):
                client.predict(room.getvalue())
        took = np.zeros((blocks, 2))
        for block in range(blocks):
            for which in (0, 1) if block % 2 else (1, 0):
                client, service = each[which]
                before = spent(service)
                for _ in range(requests):
                    client.predict(room.getvalue())
                time.sleep(0.7)  # until the rows are written
                took[block, which] = (spent(service) - before) / requests
    share = took[:, 1] / took[:, 0] - 1
    _, low, high = mean_interval(share[None])
    without, with_rows = 1000 * took.mean(axis=0)
    print(f"{name}: {without:.1f} ms of processor time a request without rows, {with_rows:.1f} ms with; "
          f"{share.mean():+.1%} [{low:+.1%}, {high:+.1%}], median {np.median(share):+.1%}, "
          f"{blocks} blocks of {requests}; load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip


def shown(count: int) -> None:
    """Print how long a summary, and the whole command, take."""
    from seglab.monitoring.database import opened
    from seglab.monitoring.row_summary import summarise
    from seglab.monitoring.schema import TABLES, insertion

    rng = np.random.default_rng(0)

    def row(number: int) -> dict[str, object]:
        share = float(rng.beta(2, 8))
        image = {"mean": float(rng.normal(100, 10)), "sharpness": float(rng.normal(50, 5))}
        fields = {
            "request": f"r{number}",
            "kind": "predict",
            "model": "m+d",
            "version": "",
            "digest": "d",
            "status": 200,
        }
        fields |= {
            "code": "",
            "seconds": float(rng.gamma(2, 0.05)),
            "implausible": "",
            "confidence": 0.9,
            "entropy": 0.2,
        }
        fields |= {"soft_dice": float(rng.beta(40, 2)), "quality": 0.8, "parts": 2, "stages": "{}"}
        fields |= {"image": json.dumps(image), "shares": json.dumps([1 - share, share])}
        return {**dict.fromkeys(TABLES["predictions"]), **fields}

    few = [row(number) for number in range(FEW)]
    samples = {"image": {"mean": sorted(rng.normal(100, 10, 500).tolist())},
               "mask": {"soft_dice": sorted(rng.beta(40, 2, 100).tolist())}}  # fmt: skip
    known = {"class_names": ["ground", "road"], "values": [0, 1], "scored": [1], "rank": 2, "quality": {}}
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/rows.db"
        database = opened(place, write=True)
        description = json.dumps({**known, "reference": {"samples": samples}})
        database.write(
            [(insertion("models"), [{"at": 1.0, "digest": "d", "model": "m+d", "description": description}])]
        )
        for begin in range(0, count, 50_000):
            rows = [
                {**few[number % FEW], "at": 1.7e9 + number, "input": f"{number:064x}"}
                for number in range(begin, min(begin + 50_000, count))
            ]
            database.write([(insertion("predictions"), rows)])
        database.close()
        import scipy.stats  # noqa: F401  # is loaded once, and no work on rows

        for _ in range(3):
            began, computed = time.perf_counter(), time.process_time()
            assert summarise(place).requests == count
            wall, processor = time.perf_counter() - began, time.process_time() - computed
            print(f"{count:,} rows summarised in {wall:.2f} s, {processor:.2f} s of processor time")
        before = os.times()
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "seglab", "monitor", f"rows={place}", f"page={folder}/page.html"],
                       check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        after = os.times()
        processor = after.children_user + after.children_system - before.children_user - before.children_system
        wall = time.perf_counter() - began
        print(f"the command, with its start and the page: {wall:.2f} s, {processor:.2f} s of processor time; "
              f"load {os.getloadavg()[0]:.1f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rows", description=__doc__)
    parser.add_argument("what", choices=("cost", "shown"))
    parser.add_argument("--size", choices=(*SIZES, "all"), default="all", help="of cost")
    parser.add_argument("--blocks", type=int, default=20, help="of cost, each way in turn")
    parser.add_argument("--requests", type=int, default=0, help="of a block; 0: 20, or 2 of the large image")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of shown")
    parser.add_argument("words", nargs="*", help="of seglab serve, such as flips=true")
    asked = parser.parse_args()
    if asked.what == "shown":
        shown(asked.rows)
        return
    for name in SIZES if asked.size == "all" else (asked.size,):
        cost(name, asked.blocks, asked.requests or (20 if name == "128x128" else 2), asked.words)


if __name__ == "__main__":
    main()
