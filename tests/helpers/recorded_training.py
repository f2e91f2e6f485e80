"""Shared by the tests of whole runs: a short training, and what it recorded."""

from __future__ import annotations

import os
from pathlib import Path

import hydra
import pytest

ROOT = Path(__file__).parents[2]


# One small run: 12 images of 32x32, a net of 2 levels, 2 epochs.
SMALL = [
    "model=unet",
    "model.depth=1",
    "model.width=4",
    "data.size=[32,32]",
    "data.count=12",
    "data.batch_size=4",
    "data.split={train:0.5,val:0.25,test:0.25}",
    "trainer.epochs=2",
    "precision=float32",
    "tracking.system_metrics=false",
]


def compose(*overrides: str):
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return hydra.compose("train", overrides=[*SMALL, *overrides])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def store_of(folder: Path):
    from seglab.tracking.store import open_store

    return open_store(None, folder / "mlruns")


def only_run(folder: Path):
    (run,) = store_of(folder).all_runs()
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    """A finished run: (folder, run, objective)."""
    from seglab.experiment.run import run

    folder = tmp_path_factory.mktemp("finished")
    before = Path.cwd()
    os.chdir(folder)
    try:
        objective = run(compose("loss=dice"), tags={"sweep_id": "s", "sweep_job": "3"})
    finally:
        os.chdir(before)
    return folder, only_run(folder), objective
