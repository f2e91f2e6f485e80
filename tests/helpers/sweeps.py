"""Shared by the tests of sweeps: a checkout of their own, small jobs, real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from mlflow.entities import Run

from seglab.tracking.store import Store, open_store

ROOT = Path(__file__).parents[2]
SMALL = [
    "model=unet",
    "model.depth=1",
    "model.width=4",
    "loss=dice",
    "data.size=[32,32]",
    "data.count=12",
    "data.batch_size=4",
    "data.split={train:0.5,val:0.25,test:0.25}",
    "trainer.patience_epochs=null",
    "precision=float32",
    "tracking.system_metrics=false",
]
TIMES = {"images_per_second", "epoch_seconds", "data_wait_share"}


class Checkout:
    """A copy of the code in a folder, so that nobody's editing changes what a job is; runs go to its `mlruns/`."""

    def __init__(self, folder: Path):
        self.folder = folder
        for part in ("src", "conf", "experiments"):
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / part, folder / part, symlinks=True, ignore=ignored)
        shutil.copyfile(ROOT / "train.py", folder / "train.py")
        (folder / "scripts").mkdir()
        for script in ROOT.glob("scripts/sweep_status.py"):
            shutil.copyfile(script, folder / "scripts" / script.name)

    def start(self, *words: str, script: str = "train.py") -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "src"), "COLUMNS": "200"}
        return subprocess.Popen(
            [sys.executable, script, *words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sweep(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a sweep of small jobs to its end."""
        return self.finish(self.start("-m", *SMALL, *words))

    def finish(self, process: subprocess.Popen[str], seconds: float = 1500) -> subprocess.CompletedProcess[str]:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()  # its jobs end with it
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @property
    def store(self) -> Store:
        return open_store(None, self.folder / "mlruns")

    def jobs(self, status: str = "") -> list[Run]:
        """The runs of jobs, without their parents."""
        runs = [run for run in self.store.all_runs() if "job_identity" in run.data.tags]
        return [run for run in runs if not status or run.info.status == status]

    def parents(self) -> list[Run]:
        return [run for run in self.store.all_runs() if "sweep_digest" in run.data.tags]

    def states(self) -> list[Path]:
        """The runs that have finished an epoch and not yet all of their work."""
        return sorted(self.folder.glob("mlruns/runs/*/state.npz"))

    def scores(self, key: str) -> dict[str, dict[str, list[tuple[int, float]]]]:
        """Every value of every metric but times, of each finished job, by the value of a param."""
        client = self.store.client
        return {
            run.data.params[key]: {
                name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
                for name in sorted(run.data.metrics)
                if name not in TIMES
            }
            for run in self.jobs("FINISHED")
        }


def wait_for(happened: Callable[[], object], process: subprocess.Popen[str], seconds: float = 300) -> None:
    """Waits until it has happened while the process runs."""
    end = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)
