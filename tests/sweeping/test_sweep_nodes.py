"""Jobs of several nodes: a process on each, refused beforehand where they cannot train together. No SLURM is needed."""

from __future__ import annotations

import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm
from pretended import begin, empty_store, finish, store

from seglab.cli.train import _train
from seglab.config.vocabulary import compose
from seglab.errors import ConfigError
from seglab.runtime import process_meeting
from seglab.runtime.process_group import ProcessGroup
from seglab.sweeping.cluster import SlurmExecutor, check_nodes
from seglab.sweeping.executor import Command
from seglab.tracking.store import Store

__all__ = ["empty_store", "store"]
PARAMETERS = {"mem_gb": 1.0, "timeout_min": 10, "cpus_per_task": 1, "nodes": 1, "tasks_per_node": 1}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    made = FakeSlurm(tmp_path / "slurm", 2)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def test_a_job_of_two_nodes_has_a_process_on_each_that_know_of_each_other(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGLAB_PROCESSES", raising=False)
    executor = SlurmExecutor(tmp_path, 9, {**PARAMETERS, "gpus_per_node": 4, "nodes": 2})
    show = "import os, sys; print(sys.argv[1:], os.environ['SEGLAB_PROCESSES'])"
    plain = Command([sys.executable, "-c", show], {}, tmp_path / "log", -1, "study-0", "a" * 64)
    executor.start(plain)
    asked = (tmp_path / "submitit" / "1_submission.sh").read_text()
    assert "#SBATCH --nodes=2\n" in asked
    assert "#SBATCH --ntasks-per-node=1\n" in asked
    executor.start(replace(plain, words=[*plain.words, "trainer.devices=2"], identity="b" * 64))
    for job, words in ((1, []), (2, ["trainer.devices=2"])):
        task = pickle.loads((tmp_path / "submitit" / f"{job}_submitted.pkl").read_bytes()).function
        for number, log in ((0, "log"), (1, "log.1")):
            monkeypatch.setenv("SLURM_PROCID", str(number))
            (tmp_path / log).unlink(missing_ok=True)
            assert task() == 0
            assert (tmp_path / log).read_text() == f"{words} slurm\n"


@pytest.mark.parametrize(
    ("words", "nodes", "gpus", "code"),
    [
        ([], 2, 4, "devices-backend"),
        (["backend=jax", "data.batch_size=12"], 2, 4, "devices-batch"),
        (["backend=jax", "data.batch_size=12", "trainer.devices=4"], 2, 0, "devices-batch"),
        (["backend=jax", "data.batch_size=12", "trainer.devices=auto"], 2, 4, "devices-batch"),
        (["backend=jax", "data.batch_size=3", "trainer.devices=1"], 2, 4, "devices-batch"),
    ],
)
def test_what_several_nodes_cannot_train_never_comes_into_the_queue(
    words: list[str], nodes: int, gpus: int, code: str
) -> None:
    config = compose("train", words)
    check_nodes(config, 1, gpus)
    with pytest.raises(ConfigError) as refused:
        check_nodes(config, nodes, gpus)
    assert refused.value.code == code
    check_nodes(compose("train", ["backend=jax", "data.batch_size=16"]), nodes, gpus)
    check_nodes(compose("train", ["backend=jax", "data.batch_size=2", "trainer.devices=1"]), 2, 4)  # one of each node


@pytest.mark.parametrize("count", [1, 2])
def test_a_finished_job_of_two_nodes_that_slurm_starts_again_lets_the_other_node_go(
    store: Store, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    finish(store, begin(store, {"job_identity": "mine"}), 0.75)
    variables = {"SLURM_RESTART_COUNT": "1", "SEGLAB_JOB": json.dumps({"tags": {"job_identity": "mine"}})}
    variables |= {"SEGLAB_PROCESSES": "slurm", "SLURM_NTASKS": str(count), "SLURM_PROCID": "0"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    declined: list[ProcessGroup] = []
    monkeypatch.setattr(process_meeting, "decline", declined.append)
    assert _train(compose("train", [])) == 0.75
    assert declined == [ProcessGroup(2, 0, None)] * (count - 1)
