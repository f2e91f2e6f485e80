"""The way of the data to the loop and of windows over a volume, against decoding each time, OpenCV, PyTorch, MONAI."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra

from benchmarks.speed.data_seglab import CONF
from benchmarks.speed.data_sources import write_scenes, write_volumes
from benchmarks.speed.windows import windows
from benchmarks.speed.workers import BenchWorker, Ratio, interleaved, ratio

SCENES, VOLUMES = 384, 200
_BEATEN = 1 / 1.2  # were Grain faster by more than a fifth, it would feed the batches


def cache(rounds: int, folder: Path) -> list[Ratio]:
    """PNGs of 1024×2048 to 256×512: cached samples against decoding each time; building against OpenCV on all cores."""
    seconds = _measured({what: _ours(what, folder) for what in ("decode", "cached", "opencv", "build")}, rounds)
    return [
        ratio(
            "cached samples : decoded and resized ones, one thread",
            seconds["decode"],
            seconds["cached"],
            40.0,
            _rates(seconds, "cached", "decode"),
        ),
        ratio(
            "building the cache : OpenCV decodes and resizes, all cores",
            seconds["opencv"],
            seconds["build"],
            0.9,
            _rates(seconds, "build", "opencv"),
        ),
    ]


def road(rounds: int, folder: Path, torch_python: str | None) -> list[Ratio]:
    """Cached 256×512 with `augment=road`, against loaders of PyTorch and Grain: same transforms, arrays, workers."""
    if torch_python is None:
        return []
    ours = _ours("road", folder)  # builds the cache that all read
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        settings = {
            k: v for k, v in dict(hydra.compose("augment/road").augment).items() if k not in ("name", "_target_")
        }
    settings["axes"] = list(settings["axes"])
    peers = {
        name: _theirs(torch_python, script, "road", folder, json.dumps(settings))
        for name, script in (("PyTorch", "data_torch.py"), ("Grain", "data_grain.py"))
    }
    seconds = _measured({"seglab": ours, **peers}, rounds)
    return [
        ratio(
            f"augment=road, 2 workers : {name} DataLoader",
            seconds[name],
            seconds["seglab"],
            target,
            _rates(seconds, "seglab", name),
        )
        for name, target in (("PyTorch", 1.0), ("Grain", _BEATEN))
    ]


def mri(rounds: int, folder: Path, torch_python: str | None) -> list[Ratio]:
    """Patches of 64³ out of 200 volumes with `augment=mri`, against MONAI's `CacheDataset` and like transforms."""
    if torch_python is None:
        return []
    workers = {"seglab": _ours("mri", folder), "MONAI": _theirs(torch_python, "data_torch.py", "mri", folder, "{}")}
    seconds = _measured(workers, rounds)
    detail = _rates(seconds, "seglab", "MONAI")
    return [ratio("augment=mri, 2 workers : MONAI CacheDataset", seconds["MONAI"], seconds["seglab"], 1.2, detail)]


def measure(parts: Sequence[str], rounds: int, torch_python: str | None, scenes: int, volumes: int) -> list[Ratio]:
    """The parts named in `PARTS`, on files written for it into a temporary folder."""
    found: list[Ratio] = []
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        folder = Path(name)
        if {"cache", "road"} & set(parts):
            write_scenes(folder / "scenes", scenes)
        if "mri" in parts:
            write_volumes(folder / "volumes", volumes)
        for number, part in enumerate(parts, start=1):
            print(f"[{number}/{len(parts)}] {part}", flush=True)
            found += PARTS[part](rounds, folder, torch_python)
    return found


PARTS: dict[str, Callable[[int, Path, str | None], list[Ratio]]] = {
    "cache": lambda rounds, folder, torch: cache(rounds, folder / "scenes"),
    "road": lambda rounds, folder, torch: road(rounds, folder / "scenes", torch),
    "mri": lambda rounds, folder, torch: mri(rounds, folder / "volumes", torch),
    "windows": lambda rounds, folder, torch: windows(rounds, torch),
}


def _ours(what: str, folder: Path) -> BenchWorker:
    return BenchWorker(sys.executable, "data_seglab.py", what, str(folder))


def _theirs(python: str, script: str, what: str, folder: Path, settings: str) -> BenchWorker:
    return BenchWorker(python, script, what, str(folder), settings)


def _measured(workers: dict[str, BenchWorker], rounds: int) -> dict[str, list[float]]:
    try:
        return interleaved(workers, rounds, warm_up=1)
    finally:
        for worker in workers.values():
            worker.close()


def _rates(seconds: dict[str, list[float]], above: str, below: str) -> str:
    return f"{1 / statistics.median(seconds[above]):.1f} : {1 / statistics.median(seconds[below]):.1f} samples/s"
