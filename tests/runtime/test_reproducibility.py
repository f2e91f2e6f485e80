"""Seeds, and the record of code and machine."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from tensorflow.python.framework.config import is_op_determinism_enabled

from seglab.runtime.code_version import CodeVersion, code_version
from seglab.runtime.reproducibility import (
    environment,
    machine,
    package_versions,
    seed_everything,
    threads_environment,
    variables_of,
)


def drawn() -> list[float]:
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    dropped = keras.layers.Dropout(0.5)(np.ones((1, 8), "float32"), training=True)
    return [random.random(), np.random.random(), *layer.kernel.numpy().ravel(), *np.ravel(dropped)]  # noqa: NPY002


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_same_seed_gives_the_same_weights_and_draws(deterministic: bool) -> None:
    runs = []
    for seed in (7, 7, 8):
        seed_everything(seed, deterministic)
        runs.append(drawn())
    assert runs[0] == runs[1] != runs[2]
    assert is_op_determinism_enabled() is deterministic


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("a = 1\n")
    (tmp_path / ".gitignore").write_text("ignored\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "begin")
    return tmp_path


def test_a_clean_repository_is_its_commit(repository: Path) -> None:
    (repository / "ignored").write_text("x")
    assert code_version(repository) == CodeVersion(git(repository, "rev-parse", "HEAD"), False, "")


def test_the_diff_brings_a_changed_repository_back(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    # A changed, a staged, an untracked file in a folder: apply the diff to the commit and all three are there.
    (repository / "code.py").write_text("a = 2\n")
    (repository / "staged.py").write_text("staged = True\n")
    git(repository, "add", "staged.py")
    (repository / "models").mkdir()
    (repository / "models" / "mine.py").write_text("class Mine: ...\n")
    (repository / "big.py").write_bytes(b"0" * 300_000)
    found = code_version(repository / "models")
    assert found.dirty
    assert found.commit == git(repository, "rev-parse", "HEAD")
    assert "# untracked and left out: big.py" in found.diff
    copy = tmp_path_factory.mktemp("copy")
    git(copy, "clone", "--quiet", str(repository), ".")
    (copy / "run.diff").write_text(found.diff)
    git(copy, "apply", "run.diff")
    for name in ("code.py", "staged.py", "models/mine.py"):
        assert (copy / name).read_text() == (repository / name).read_text()


def test_without_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    assert code_version(tmp_path) == CodeVersion(None, False, "")


def test_the_record_is_plain_and_keeps_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/x/train.py", "model=unet", "tracking.uri=http://me:geheim@host/"])
    monkeypatch.setenv("TF_SOMETHING", "1")
    record = json.loads(json.dumps(environment(Path(__file__).parent)))
    assert record["command"] == ["train.py", "model=unet", "tracking.uri=http://me:***@host/"]
    assert record["settings"]["TF_SOMETHING"] == "1"
    assert record["packages"]["keras"] == keras.__version__ == package_versions()["keras"]
    assert set(record["code"]) == {"commit", "dirty"}
    assert record["machine"]["cores"] == machine().cores >= machine().usable_cores >= 1
    assert record["devices"]
    assert set(record["threads"]) == {"within_operation", "between_operations"}


def test_a_process_computes_with_the_variables_of_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    monkeypatch.setenv("HOME", "/home/me")
    record = environment(Path(__file__).parent)
    record["settings"] = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "7", "SLURM_JOB_ID": "12"}
    variables = variables_of(record)
    assert (variables["OMP_NUM_THREADS"], variables["HOME"]) == ("1", "/home/me")
    assert not {"TF_NUM_INTRAOP_THREADS", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"} & set(variables)
    record["machine"]["usable_cores"] += 2  # each had its thread
    variables = variables_of(record)
    assert variables["TF_NUM_INTRAOP_THREADS"] == str(machine().usable_cores + 2)
    assert variables["OMP_NUM_THREADS"] == "1"
    assert threads_environment(None) == {}
