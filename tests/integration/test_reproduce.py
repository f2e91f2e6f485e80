"""A run of the real command, had again by the real command: the same bits, or the reason why not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seglab.tracking.store import open_store

ROOT = Path(__file__).parents[2]
TINY = ["model=unet_mini", "trainer.epochs=2", "schedule.warmup_epochs=0", "data.count=16", "data.size=[32,32]"]


def call(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of a checkout, with that checkout's code, in the checkout's folder."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "150", **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout") / "seglab"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def run_id(checkout: Path) -> str:
    # One thread, as a job beside others has: with all cores the sums come out otherwise.
    done = call(checkout, "train.py", *TINY, TF_NUM_INTRAOP_THREADS="1", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    found = re.search(r"run id +(\w+)", done.stdout)
    assert found, done.stdout
    return found.group(1)


def test_a_run_is_had_again_to_the_same_bits(checkout: Path, run_id: str) -> None:
    # The working tree has moved on meanwhile: the code comes from the run's commit all the same.
    file = checkout / "src" / "seglab" / "losses" / "compound.py"
    kept = file.read_text()
    file.write_text(kept + "\nraise RuntimeError('not the code of the run')\n")
    try:
        done = call(checkout, "scripts/reproduce.py", f"run={run_id}")
    finally:
        file.write_text(kept)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "different" not in done.stdout
    assert "identical: run" in done.stdout
    store = open_store(None, checkout / "mlruns")
    again = next(run for run in store.all_runs() if run.data.tags.get("reproduces") == run_id)
    assert again.data.tags["reproduction"] == "identical"
    assert again.data.metrics["test_dice"] == store.run(run_id).data.metrics["test_dice"]


@pytest.mark.slow
def test_another_split_is_refused_before_training(checkout: Path, run_id: str) -> None:
    store = open_store(None, checkout / "mlruns")
    before = store.run(run_id).data.tags["split_digest"]
    store.client.set_tag(run_id, "split_digest", "0" * 64)
    try:
        done = call(checkout, "scripts/reproduce.py", run_id)
    finally:
        store.client.set_tag(run_id, "split_digest", before)
    assert done.returncode == 2
    assert "the split changed since the run" in done.stderr
    assert "epoch" not in done.stdout


@pytest.mark.slow
def test_a_run_of_a_cluster_is_had_again_on_a_laptop(checkout: Path, run_id: str, tmp_path: Path) -> None:
    done = call(checkout, "scripts/runs.py", "export", str(tmp_path / "runs"), "--run", run_id)
    assert done.returncode == 0, done.stderr
    config = tmp_path / "runs" / run_id / "artifacts" / "config" / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("uri: null", "uri: http://cluster.invalid:5000"))
    assert config.read_text() != text
    laptop = f"sqlite:///{tmp_path / 'laptop.db'}"
    done = call(checkout, "scripts/runs.py", "--tracking-uri", laptop, "import", str(tmp_path / "runs"))
    assert done.returncode == 0, done.stderr
    store = open_store(laptop, checkout / "mlruns")
    (imported,) = [run.info.run_id for run in store.all_runs()]
    done = call(checkout, "scripts/reproduce.py", imported, "--tracking-uri", laptop)
    assert done.returncode == 2
    assert "0 lines of changes to the code of its commit" in done.stderr
    done = call(checkout, "scripts/reproduce.py", imported, "--tracking-uri", laptop, "trust_diff=true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical: run" in done.stdout
    assert [run.data.tags["reproduces"] for run in store.all_runs() if run.info.run_id != imported] == [imported]
