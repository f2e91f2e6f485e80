"""Sweeps with real processes: what is finished is skipped, what died goes on, what fails is named."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from sweeps import SMALL, Checkout, children, wait_for

THREE = ["seed=0,1,2", "trainer.epochs=25"]
SIX = ["seed=0,1,2,3,4,5", "trainer.epochs=25"]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.mark.slow
def test_a_failing_job_is_named_and_stops_no_other(checkout: Checkout) -> None:
    words = ["data.size=[32,32],[33,33]", "optimizer.learning_rate=0.001,1e30", "trainer.epochs=1"]
    first = checkout.sweep(*words)
    assert first.returncode == 1, first.stderr
    assert "3 of 4 jobs failed" in first.stderr
    assert "… job 1/4: " in first.stderr  # while it is waited for
    assert "job 2 (data.size=[32,32] optimizer.learning_rate=1e+30): TrainingError" in first.stderr
    assert "next valid size: data.size=[34,34]" in first.stderr
    (finished,) = checkout.jobs("FINISHED")
    (failed,) = checkout.jobs("FAILED")
    assert finished.data.params["optimizer.learning_rate"] == "0.001"
    (parent,) = checkout.parents()
    assert parent.info.status == "FAILED"
    for run in (finished, failed):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["study"] == parent.info.run_name
    # Again: the finished one is not touched, the failed one is tried again in its own run.
    again = checkout.sweep(*words)
    assert again.returncode == 1
    assert f"finished before, objective {float(finished.data.tags['objective']):.4f}" in again.stdout
    assert f"resumed  {failed.info.run_id}" in again.stdout
    assert len(checkout.jobs()) == 2
    assert len(checkout.parents()) == 1
    assert checkout.store.run(finished.info.run_id).info.end_time == finished.info.end_time
    status = checkout.finish(checkout.start(f"study={parent.info.run_name}", script="scripts/sweep_status.py"))
    assert status.returncode == 1, status.stderr
    row = next(line for line in status.stdout.splitlines() if line.startswith(f"│ {parent.data.tags['sweep_id']}"))
    counts = row.split("│")
    assert [word.strip() for word in counts[2:9]] == ["4", "1", "0", "3", "0", "0", "ended"]
    assert f"failed     job 2 of {parent.data.tags['sweep_id']}  {failed.info.run_id}  TrainingError" in status.stdout
    wrong = checkout.finish(checkout.start("study=another", script="scripts/sweep_status.py"))
    assert wrong.returncode == 2
    assert f"sweeps of {parent.info.run_name}" in wrong.stderr
    assert [path.name for path in checkout.folder.iterdir() if path.name in ("multirun", "outputs", "hydra")] == []


@pytest.mark.slow
def test_kill_9_of_the_launcher_and_a_relaunch_give_the_unbroken_sweep(tmp_path: Path) -> None:
    unbroken, broken = Checkout(tmp_path / "unbroken"), Checkout(tmp_path / "broken")
    assert unbroken.sweep(*THREE).returncode == 0
    launcher = broken.start("-m", *SMALL, *THREE)
    wait_for(broken.states, launcher)
    (job,) = children(launcher)
    launcher.kill()
    launcher.wait()
    again = broken.sweep(*THREE)  # at once: the job may still be saving
    assert again.returncode == 0, again.stdout + again.stderr
    assert not job.is_running()
    assert "resumed" in again.stdout
    assert len(broken.jobs()) == len(broken.jobs("FINISHED")) == 3
    assert len(broken.parents()) == 1
    assert broken.scores("seed") == unbroken.scores("seed")
    assert len(unbroken.scores("seed")["0"]["val_dice"]) == 25
    identities = [{run.data.tags["job_identity"] for run in checkout.jobs()} for checkout in (broken, unbroken)]
    assert identities[0] == identities[1]
    (parent,) = broken.parents()
    assert parent.info.status == "FINISHED"
    text = Path(broken.store.client.download_artifacts(parent.info.run_id, "sweep/jobs.json")).read_text()
    fields = {job["overrides"][-2]: job for job in json.loads(text)}
    runs = {f"seed={run.data.params['seed']}": run for run in broken.jobs()}
    assert {word: float(job["objective"]) for word, job in fields.items()} == {
        word: float(run.data.tags["objective"]) for word, run in runs.items()
    }
    assert all(job["run_id"] == runs[word].info.run_id for word, job in fields.items())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kill_9_of_launcher_and_job_gives_six_finished_runs_and_no_seventh(tmp_path: Path) -> None:
    unbroken, broken = Checkout(tmp_path / "unbroken"), Checkout(tmp_path / "broken")
    assert unbroken.sweep(*SIX).returncode == 0
    # A job is killed: the sweep goes on without it and says so.
    launcher = broken.start("-m", *SMALL, *SIX)
    wait_for(broken.states, launcher)
    (job,) = children(launcher)
    job.kill()
    wait_for(lambda: len(broken.jobs()) == 3 and broken.states()[1:], launcher)
    # Then the launcher, in the middle of another job.
    launcher.kill()
    launcher.wait()
    # And the relaunched one before that job has done anything: before TensorFlow is loaded.
    second = broken.start("-m", *SMALL, *SIX)
    wait_for(lambda: children(second), second)
    time.sleep(1)
    second.kill()
    second.wait()
    last = broken.sweep(*SIX)
    assert last.returncode == 0, last.stdout + last.stderr
    assert len(broken.jobs()) == len(broken.jobs("FINISHED")) == 6
    assert broken.scores("seed") == unbroken.scores("seed")
    assert len(broken.parents()) == 1


@pytest.mark.slow
def test_an_interrupted_sweep_stops_its_job_which_saves(checkout: Checkout) -> None:
    launcher = checkout.start("-m", *SMALL, "seed=0,1", "trainer.epochs=2000")
    wait_for(checkout.states, launcher)
    (job,) = children(launcher)
    launcher.send_signal(signal.SIGINT)
    ended = checkout.finish(launcher, 60)
    assert ended.returncode == 130, ended.stderr
    assert not psutil.pid_exists(job.pid)
    (run,) = checkout.jobs()
    assert run.info.status == "KILLED"
    assert checkout.states()
    (parent,) = checkout.parents()
    assert parent.info.status == "KILLED"
    assert "not started" in ended.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_jobs_on_one_fresh_store_at_once(checkout: Checkout) -> None:
    done = checkout.sweep("seed=range(0,8)", "trainer.epochs=2", "launcher=local", "launcher.jobs=8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(checkout.jobs("FINISHED")) == 8
    fresh = Checkout(checkout.folder.parent / "fresh")
    processes = [fresh.start(*SMALL, f"seed={seed}", "trainer.epochs=2") for seed in range(8)]
    ended = [fresh.finish(process) for process in processes]
    assert [one.returncode for one in ended] == [0] * 8, [one.stderr[-500:] for one in ended]
    assert sorted(run.data.params["seed"] for run in fresh.store.all_runs("attributes.status = 'FINISHED'")) == [
        str(seed) for seed in range(8)
    ]
    assert os.listdir(fresh.folder / "mlruns" / "artifacts") == ["seglab"]
