"""A run that is killed and goes on is the run that was never killed, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

from seglab.tracking.store import Store, open_store

TIMES = {"images_per_second", "epoch_seconds", "data_wait_share"}


def job(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, toys.__file__, str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=os.environ)


def run_id(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stdout.startswith("run "), done.stderr[-2000:]
    return done.stdout.split()[1]


def outcome(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    with np.load(folder / f"{name}.npz") as file:
        words = json.loads(file["words"].tobytes())
        weights = {key: file[key].tobytes() for key in file.files if key != "words"}
    words["history"] = [{k: v for k, v in epoch.items() if k not in TIMES} for epoch in words["history"]]
    return words, weights


def histories(store: Store, identifier: str) -> dict[str, list[tuple[int, float]]]:
    run = store.run(identifier)
    return {
        name: [(m.step, m.value) for m in store.client.get_metric_history(identifier, name)]
        for name in run.data.metrics
        if name not in TIMES
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("resume")
    toys.fresh_store(path / "mlruns")
    return path


@pytest.fixture(scope="module")
def whole(folder: Path) -> str:
    """The run that nobody disturbs: dropout, batch norm, noise that differs by epoch, accumulated gradients, averaged
    weights, warm-up and plateau."""
    return run_id(job(folder, "--out", "whole"))


def test_kill_9_in_epoch_3_and_resume_give_the_same_bits(folder: Path, whole: str) -> None:
    killed = job(folder, "--die-at", "3,2")
    assert killed.returncode == -signal.SIGKILL
    cut = run_id(killed)
    store = open_store(None, folder / "mlruns")
    assert store.run(cut).info.status == "RUNNING"
    resumed = job(folder, "--resume", cut, "--out", "resumed")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    assert run_id(resumed) == cut
    words, weights = outcome(folder, "resumed")
    words_whole, weights_whole = outcome(folder, "whole")
    assert words == words_whole
    assert weights == weights_whole
    # The toy is no trivial case: scores move, the best epoch is not the last, the plateau has lowered the rate.
    dice = [epoch["val_dice"] for epoch in words["history"]]
    assert len(set(dice)) > 3
    if os.environ.get("KERAS_BACKEND") != "jax":  # whose draws let the score rise to the end
        assert words["best_epoch"] not in (1, 6)
        assert words["history"][-1]["learning_rate"] < words["history"][1]["learning_rate"]
    assert histories(store, cut) == histories(store, whole)
    assert [step for step, _ in histories(store, cut)["val_dice"]] == [1, 2, 3, 4, 5, 6]
    assert store.run(cut).info.status == "FINISHED"
    assert store.run(cut).data.tags["resume_count"] == "1"


@pytest.mark.slow
def test_being_killed_over_and_over_changes_nothing(folder: Path, whole: str) -> None:
    # In the first epoch, where there is no state yet; between an epoch's last batch and its end; after patience ended.
    cut = run_id(job(folder, "--die-at", "1,1"))
    for moment in ("2,5", "3,0", "6,5"):
        assert job(folder, "--resume", cut, "--die-at", moment).returncode == -signal.SIGKILL
    assert job(folder, "--resume", cut, "--out", "often").returncode == 0
    assert outcome(folder, "often") == outcome(folder, "whole")
    store = open_store(None, folder / "mlruns")
    assert histories(store, cut) == histories(store, whole)
    assert store.run(cut).data.tags["resume_count"] == "4"


@pytest.mark.slow
def test_patience_is_remembered(folder: Path) -> None:
    straight = job(folder, "--epochs", "30", "--patience", "2", "--out", "patient")
    assert straight.returncode == 0, straight.stderr[-2000:]
    stop = len(outcome(folder, "patient")[0]["history"])
    assert outcome(folder, "patient")[0]["early"]
    # Killed in its very last epoch: had the counter begun anew, it would train at least one epoch more.
    cut = run_id(job(folder, "--epochs", "30", "--patience", "2", "--die-at", f"{stop},3"))
    job(folder, "--epochs", "30", "--patience", "2", "--resume", cut, "--out", "patient_resumed")
    assert outcome(folder, "patient_resumed") == outcome(folder, "patient")
