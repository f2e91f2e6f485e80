"""Shared by the tests of evaluation: runs that answer by a rule, and the data that they were made of."""

from __future__ import annotations

from pathlib import Path

import hydra
import keras
import numpy as np
import pytest
import toys
from omegaconf import OmegaConf
from PIL import Image

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.splits import Split
from seglab.inference.bundle import Bundle, save_bundle
from seglab.task import Task
from seglab.tracking.store import open_store
from seglab.tracking.tracker import Tracker

ROOT = Path(__file__).parents[2]


IDS = [f"case{n}" for n in range(8)]


SPLIT = Split(tuple(IDS[:4]), tuple(IDS[4:6]), tuple(IDS[6:]))


def pictures(folder: Path) -> Path:
    """Eight pictures with two squares each, the object bright; some pixels of it are too dark to be found."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for n, case_id in enumerate(IDS):
        mask = np.zeros((26, 22), np.uint8)
        mask[3:9, 3 : 9 + n % 3] = mask[14:22, 12:20] = 1
        image = np.where(rng.random(mask.shape) < 0.95, 40 + 150 * mask, 190 - 150 * mask) + rng.integers(
            0, 30, mask.shape
        )
        Image.fromarray(image.astype(np.uint8)).save(folder / "images" / f"{case_id}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{case_id}.png")
    return folder


def composed(*words: str) -> dict:
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return OmegaConf.to_container(hydra.compose("train", overrides=list(words)), resolve=True)  # type: ignore[return-value]


def above_half(rank: int) -> keras.Model:
    """Foreground is whatever is brighter than half: logit 10 v - 5."""
    convolution = {2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[rank](1, 1)
    image = keras.Input((*(16,) * rank, 1))
    model = keras.Model(image, convolution(image))
    convolution.set_weights([np.full(convolution.kernel.shape, 10.0), np.array([-5.0])])
    return model


def record(folder: Path, config: dict, task: Task, split: Split, uri: str | None = None) -> str:
    """A finished run in `folder/mlruns`, or on a server, with bundle, config and split, as an experiment leaves one."""
    size = (16,) * task.rank
    unit = 255.0 if task.rank == 2 else 1.0
    bundle = Bundle(task, Preprocessing("scale", 1, unit), size, "patch", split_digest=split.digest(), config=config)
    with Tracker(toys.tracking(uri), folder / "mlruns", run_name="Toy", params={}, tags={}) as tracker:
        saved = save_bundle(tracker.work_dir / "bundle", above_half(task.rank), bundle)
        example = np.zeros((1, *size, 1), np.float32)
        tracker.log_bundle(saved, example=example, prediction=np.zeros((1, *size), np.uint8))
        tracker.log_text(split.to_json(), "config/split.json")
        tracker.emit({"test_dice": 0.5}, 1)
    return tracker.run_id


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with pictures and a store, and the id of its run."""
    folder = tmp_path_factory.mktemp("made")
    toys.fresh_store(folder / "mlruns")
    root = pictures(folder / "data")
    config = composed("data=image_folder", f"data.root={root}", "data.class_names=[background,object]")
    task = Task(rank=2, channels=1, class_names=("background", "object"))
    return folder, record(folder, config, task, SPLIT)


def run_of(folder: Path, run_id: str):
    return open_store(None, folder / "mlruns").run(run_id)
