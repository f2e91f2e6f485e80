"""A worker of the data benchmark: `data_seglab.py <what> <folder>` answers each line with seconds for one sample."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import hydra
import numpy as np

from benchmarks.speed.data_sources import CLASSES, INPUT, PATCH, Volumes
from seglab.config.sections import DataConfig
from seglab.data.cache.case_cache import Cache
from seglab.data.loading.sampler import Sampler
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.data.preprocessing.normalisation import fit_preprocessing
from seglab.data.sources.image_folder import ImageFolder

CONF = Path(__file__).parents[2] / "conf"
WORKERS, BATCH = 2, {2: 8, 3: 2}
DECODED = 8  # images that are decoded in one measurement


def main(what: str, folder: Path) -> None:
    """Get ready, say so, answer."""
    measures: dict[str, Callable[[Path], Callable[[], float]]] = {
        "decode": decode,
        "cached": cached,
        "opencv": opencv,
        "build": build,
        "road": lambda folder: augmented(folder, 2, "road"),
        "mri": lambda folder: augmented(folder, 3, "mri"),
    }
    measure = measures[what](folder)
    print("=> ready", flush=True)
    for _ in sys.stdin:
        print(f"=> {measure()}", flush=True)


def decode(folder: Path) -> Callable[[], float]:
    """OpenCV decodes and resizes image and mask, one after the other in one thread."""
    cv2.setNumThreads(1)
    files = _files(folder)[:DECODED]
    return lambda: _seconds(lambda: [_with_opencv(*pair) for pair in files], len(files))


def opencv(folder: Path) -> Callable[[], float]:
    """The same on all cores, nothing else."""
    cv2.setNumThreads(1)
    files = _files(folder)

    def measure() -> float:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return _seconds(lambda: list(pool.map(lambda pair: _with_opencv(*pair), files)), len(files))

    return measure


def build(folder: Path) -> Callable[[], float]:
    """The cache is built from nothing: processes started, files hashed, decoded, examined, resized, on the disk."""

    def measure() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as target:
            source = _scenes(folder)
            return _seconds(lambda: _collect(source, 2, Path(target)), len(source.cases))

    return measure


def cached(folder: Path) -> Callable[[], float]:
    """Samples of the cache, normalised, in one thread."""
    sampler, _ = _sampler(folder, 2)
    shape = (*sampler.size, sampler.task.channels)
    image, mask = np.empty(shape, np.float32), np.empty(sampler.size, np.int32)
    items = [sampler.items[i % len(sampler.items)] for i in range(200)]

    def run() -> None:
        for item in items:
            sampler.draw(0, item, image, mask)

    return lambda: _seconds(run, len(items))


def augmented(folder: Path, rank: int, augment: str) -> Callable[[], float]:
    """An epoch of augmented batches on their way into the loop, from two processes."""
    from seglab.data.loading.batches import Batches
    from seglab.data.loading.training_data import TrainingData
    from seglab.data.splits import Split
    from seglab.training.loader import TrainingLoader

    sampler, preprocessing = _sampler(folder, rank)
    split = Split(tuple(sampler.cases), (), ())
    training_data: Any = TrainingData(None, split, sampler.task, preprocessing, "", sampler.arrays, {}, None)  # type: ignore[arg-type]
    batches = Batches(training_data, "train", sampler.card, seed=0, augmentation=augmentation(sampler.task, augment))
    feed = TrainingLoader(batches, (*sampler.size, sampler.task.channels))
    epoch = -1

    def run() -> None:
        nonlocal epoch
        epoch += 1
        feed.restart(epoch)
        iterator = iter(feed.dataset)
        for _ in range(len(batches)):
            feed.fetch(iterator)

    return lambda: _seconds(run, len(sampler.items))


def augmentation(task: Any, name: str) -> Any:
    """What a config file of the group makes."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        settings = dict(hydra.compose(f"augment/{name}").augment)
    from seglab.data.augment import Augment

    return Augment(task, **{key: value for key, value in settings.items() if key not in ("name", "_target_")})


def _sampler(folder: Path, rank: int) -> tuple[Sampler, Any]:
    source: Any = _scenes(folder) if rank == 2 else Volumes(folder)
    facts, arrays = _collect(source, rank, folder / "cache")
    ids = [case.id for case in source.cases]
    preprocessing = fit_preprocessing(arrays, source.task, ids, "standard" if rank == 2 else "zscore", facts)
    return Sampler(arrays, ids, source.task, preprocessing, _card(rank), seed=0, training=True), preprocessing


def _collect(source: Any, rank: int, target: Path) -> Any:
    return Cache(source, source.digest(), CasePreprocessing.of(_card(rank)), target, 50.0).collect(source.cases)


def _card(rank: int) -> DataConfig:
    return DataConfig.model_construct(
        size=list(INPUT if rank == 2 else PATCH),
        resize_mode="resize" if rank == 2 else "patch",
        spacing=None,
        foreground_share=0.0 if rank == 2 else 0.5,
        patches_per_case=1,
        batch_size=BATCH[rank],
        workers=WORKERS,
    )


def _scenes(folder: Path) -> ImageFolder:
    return ImageFolder(root=str(folder), label_values=list(range(CLASSES)))


def _files(folder: Path) -> list[tuple[str, str]]:
    images = sorted(map(str, (folder / "images").iterdir()))
    return [(path, path.replace("/images/", "/masks/")) for path in images]


def _with_opencv(image: str, mask: str) -> list[Any]:
    pair: list[Any] = [cv2.imread(image, cv2.IMREAD_COLOR), cv2.imread(mask, cv2.IMREAD_UNCHANGED)]
    ways = cv2.INTER_AREA, cv2.INTER_NEAREST
    return [cv2.resize(pixels, INPUT[::-1], interpolation=way) for pixels, way in zip(pair, ways, strict=True)]


def _seconds(run: Callable[[], Any], samples: int) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) / samples


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
