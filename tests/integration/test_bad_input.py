"""Every command that opens a store, called as users call it, with what is wrong: one message, nothing changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toys
from old_stores import RUN, digest, make_old_store
from PIL import Image

from seglab.config.places import ROOT
from seglab.tracking import operations
from seglab.tracking.outbox import Outbox

pytestmark = pytest.mark.slow

UNKNOWN = "f" * 32


def call(folder: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / name), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    done.stderr = "".join(line for line in done.stderr.splitlines(True) if not line.startswith("… "))  # what began
    return done


def of_a_run(run: str) -> list[tuple[str, ...]]:
    """Every command that takes the id of a run."""
    return [
        ("train.py", f"resume={run}"),
        ("scripts/evaluate.py", f"run={run}"),
        ("scripts/predict.py", run, "image.png", "--out", "masks"),
        ("scripts/compare.py", f"runs=[{run},{'e' * 32}]"),
        ("scripts/promote.py", f"run={run}", "name=cells"),
        ("scripts/reproduce.py", run),
        ("scripts/runs.py", "export", "out", "--run", run),
    ]


def of_a_study() -> list[tuple[str, ...]]:
    """The others that open the store."""
    return [
        ("train.py", "model=unet_mini", "data.count=12", "trainer.epochs=1"),
        ("scripts/compare.py",),
        ("scripts/promote.py", "rollback", "name=cells"),
        ("scripts/runs.py", "export", "out", "--study", "seglab"),
        ("scripts/runs.py", "import", "in"),
        ("scripts/sweep_status.py", "seglab"),
        ("scripts/report.py", "study=loss_study"),
        ("scripts/ui.py",),
    ]


def test_an_unknown_run_is_named_with_the_store_by_every_command(tmp_path: Path) -> None:
    mlruns = toys.fresh_store(tmp_path / "mlruns")
    before = digest(mlruns / "mlflow.db")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "image.png")
    for name, *words in of_a_run(UNKNOWN):
        done = call(tmp_path, name, *words)
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.startswith("error: no run of this id"), done.stderr
        for word in (UNKNOWN, str(mlruns / "mlflow.db"), "remedy"):
            assert word in done.stderr
    assert digest(mlruns / "mlflow.db") == before
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "masks").exists()


def test_a_store_of_an_older_mlflow_is_reported_by_every_command_and_changed_by_none(tmp_path: Path) -> None:
    file = make_old_store(tmp_path / "mlruns")
    before = digest(file)
    for name, *words in (*of_a_run(RUN), *of_a_study()):
        done = call(tmp_path, name, *words)
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.startswith("error: a store of runs that an older MLflow made"), done.stderr
        for word in (str(file), "revision 0584bdc529eb", f"-m mlflow db upgrade 'sqlite:///{file}'", ".backup"):
            assert word in done.stderr, done.stderr
        assert digest(file) == before, name
    Outbox(tmp_path / "mlruns" / "runs" / RUN / "outbox", RUN, f"sqlite:///{file}").add(operations.end("FINISHED"))
    for name, message in (
        ("scripts/sync.py", "1 left: a store of runs that an older"),
        ("scripts/doctor.py", "! Trouble"),
    ):
        done = call(tmp_path, name)
        assert done.returncode == 1
        assert message in done.stdout
        assert "mlflow db upgrade" in done.stdout
        assert digest(file) == before, name
    assert {path.name for path in (tmp_path / "mlruns").iterdir()} <= {"mlflow.db", "runs", "hydra"}
