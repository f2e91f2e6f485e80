"""Sweeps through a real SLURM of one node with fake GPUs: make test-slurm."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweeps import SMALL, Checkout, wait_for

from seglab.sweeping.cluster import SlurmExecutor
from seglab.sweeping.executor import Command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("SLURM_CONF" not in os.environ or shutil.which("sbatch") is None, reason="make test-slurm"),
]
SLURM = ["launcher=slurm", "launcher.partition=main", "launcher.cpus=1", "launcher.memory_gb=2"]


def queue(*columns: str) -> list[list[str]]:
    words = ["squeue", "--noheader", "--format=" + " ".join(columns)]
    return [line.split() for line in subprocess.check_output(words, text=True).splitlines()]


def test_a_cancelled_job_ends_the_sweep_with_its_name_and_is_resumed(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    words = ["seed=0,1,2", "trainer.epochs=25", *SLURM]
    launcher = checkout.start("-m", *SMALL, *words)
    wait_for(checkout.states, launcher)
    # Two cores: never more than two jobs at once.
    running = [name for name, state in queue("%j", "%T") if state == "RUNNING"]
    assert 1 <= len(running) <= 2
    run_id = checkout.states()[0].parent.name
    tags = checkout.store.run(run_id).data.tags
    subprocess.check_call(["scancel", tags["slurm_job_id"]])
    done = checkout.finish(launcher)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 of 3 jobs failed" in done.stderr
    assert (
        f"job {int(tags['sweep_job']) + 1} (seed={tags['sweep_job']}): SLURM job {tags['slurm_job_id']}" in done.stderr
    )
    assert len(checkout.jobs("FINISHED")) == 2
    assert checkout.store.run(run_id).info.status == "KILLED"
    again = checkout.sweep(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"resumed  {run_id}" in again.stdout
    assert len(checkout.jobs()) == len(checkout.jobs("FINISHED")) == 3
    in_order = Checkout(tmp_path / "in_order")
    assert in_order.sweep(*words[:2]).returncode == 0
    assert in_order.scores("seed") == checkout.scores("seed")


def test_a_gpu_that_slurm_gave_and_that_cannot_compute_is_an_error_of_the_job(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    done = checkout.sweep("seed=0", *SLURM, "launcher.gpus=1")
    assert done.returncode == 1, done.stdout + done.stderr
    (log,) = (tmp_path / "checkout").rglob("job-0.log")
    output = log.read_text()
    assert "a GPU was asked for and is not used [gpu-not-used]" in output
    assert re.search(r"where:    CUDA_VISIBLE_DEVICES=[01]\n", output)
    assert "libcuda.so.1" in output
    assert not checkout.jobs()


def test_a_job_whose_time_is_up_saves_queues_again_and_goes_on(tmp_path: Path) -> None:
    """Of three minutes two are kept for saving, so it may train for one; SLURM keeps it waiting for two more."""
    checkout = Checkout(tmp_path / "checkout")
    launcher = checkout.start("-m", *SMALL, "trainer.epochs=100000", *SLURM, "launcher.time_minutes=3")
    wait_for(lambda: checkout.jobs("KILLED"), launcher)
    (run,) = checkout.jobs()
    client = checkout.store.client
    reached = len(client.get_metric_history(run.info.run_id, "val_dice"))
    assert reached > 1
    wait_for(lambda: len(client.get_metric_history(run.info.run_id, "val_dice")) > reached, launcher)
    tags = client.get_run(run.info.run_id).data.tags
    assert (tags["slurm_job_id"], tags["slurm_restart_count"]) == (run.data.tags["slurm_job_id"], "1")
    subprocess.check_call(["scancel", tags["slurm_job_id"]])
    checkout.finish(launcher)
    assert len(checkout.jobs()) == 1
    history = client.get_metric_history(run.info.run_id, "val_dice")
    assert [point.step for point in history] == list(range(1, len(history) + 1))


def test_a_job_whose_node_dies_is_queued_again_and_goes_on(tmp_path: Path) -> None:
    """Requeued from outside while it trains, as SLURM does it when a node does not answer."""
    checkout = Checkout(tmp_path / "checkout")
    launcher = checkout.start("-m", *SMALL, "trainer.epochs=40", *SLURM)
    wait_for(checkout.states, launcher)
    (run,) = checkout.jobs()
    subprocess.check_call(["scontrol", "requeue", run.data.tags["slurm_job_id"]])
    done = checkout.finish(launcher)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = checkout.jobs("FINISHED")
    assert run.data.tags["slurm_restart_count"] == "1"
    history = checkout.store.client.get_metric_history(run.info.run_id, "val_dice")
    assert [point.step for point in history] == list(range(1, 41))


def test_jobs_that_still_wait_in_the_queue_are_left_alone_by_another_launch(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    words = ["seed=0,1,2", "trainer.epochs=60", *SLURM]
    launcher = checkout.start("-m", *SMALL, *words)
    wait_for(lambda: len(queue("%i")) == 3, launcher)
    launcher.kill()
    launcher.wait()
    again = checkout.sweep(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "left alone: SLURM job" in again.stdout
    assert len(checkout.jobs()) == len(checkout.jobs("FINISHED")) == 3


def test_two_tasks_of_a_job_train_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As two nodes would: each has a process, which find each other by what SLURM says."""
    pytest.importorskip("jax")
    checkout = Checkout(tmp_path / "checkout")
    monkeypatch.chdir(checkout.folder)
    asked = {"mem_gb": 6, "timeout_min": 30, "cpus_per_task": 1, "nodes": 1, "tasks_per_node": 2}
    executor = SlurmExecutor(tmp_path / "sweeps", 1, {**asked, "slurm_partition": "main"})
    words = [sys.executable, "train.py", *SMALL, "backend=jax", "trainer.epochs=2", "trainer.devices=1"]
    variables = {"PYTHONPATH": str(checkout.folder / "src")}
    job = executor.start(Command(words, variables, tmp_path / "log", -1, "study-0", "a" * 64))
    while job.code() is None:
        time.sleep(1)
    logs = [(tmp_path / name).read_text() for name in ("log", "log.1")]
    assert job.code() == 0, logs
    assert "waiting for the other 1 processes" in logs[0]
    assert "run id" not in logs[1]
    (run,) = checkout.store.all_runs()
    assert run.info.status == "FINISHED"
    points = checkout.store.client.get_metric_history(run.info.run_id, "val_dice")
    assert [point.step for point in points] == [1, 2]


def test_what_slurm_refuses_is_one_message(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    done = checkout.sweep("seed=0,1", *SLURM, "launcher.partition=nowhere")
    assert done.returncode == 2
    assert "SLURM does not take the job" in done.stderr
    assert "invalid partition specified: nowhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert queue("%i") == []
