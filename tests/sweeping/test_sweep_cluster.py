"""Jobs handed to SLURM: limits of the queue, a launcher that dies, jobs that SLURM starts again. No SLURM is needed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import hydra
import pytest
from fake_slurm import FakeSlurm
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from pretended import begin, empty_store, finish, runs, store

from seglab.config.places import CONF
from seglab.config.vocabulary import compose
from seglab.errors import ConfigError
from seglab.planning.cluster_request import ClusterRequest, request_of
from seglab.planning.dry_run import Measured
from seglab.planning.study_files import MEASURED, measured_file
from seglab.sweeping import cluster
from seglab.sweeping.cluster import SlurmExecutor
from seglab.sweeping.executor import Command, NoRoomNow
from seglab.sweeping.prepare import SweepPreparation
from seglab.sweeping.restart import own_earlier_run
from seglab.tracking.heartbeat import alive
from seglab.tracking.store import Store

__all__ = ["empty_store", "store"]
PARAMETERS = {"mem_gb": 1.0, "timeout_min": 10, "cpus_per_task": 1, "nodes": 1, "tasks_per_node": 1}

# A launcher of `argv[1]` jobs; says at its end how much memory it took.
LAUNCHER = """
import resource, sys
from pathlib import Path
from seglab.config.sections import TrackingSettings
from seglab.sweeping import cluster, job_runner
from seglab.sweeping.job_runner import JobRunner
from seglab.sweeping.jobs import Job
from seglab.sweeping.ledger import Ledger
from seglab.sweeping.parent import ParentRun
from seglab.tracking.store import open_store
cluster._LATER_SECONDS = cluster._ASK_SECONDS = 0.2
cluster._RESULT_SECONDS = 1.0
job_runner._POLL_SECONDS = job_runner._POLL_OTHERS_SECONDS = 0.02
parameters = {"mem_gb": 1.0, "timeout_min": 10, "cpus_per_task": 1, "nodes": 1, "tasks_per_node": 1}
tracking = TrackingSettings(uri=None, experiment="seglab", system_metrics=False, heartbeat_seconds=5.0)
total = int(sys.argv[1])
jobs = [Job(n, (f"seed={n}",), f"{n:016x}" + 48 * "0", label=f"seed={n}") for n in range(total)]
executor = cluster.SlurmExecutor(Path("mlruns/sweeps"), 100, parameters)
executor._executor._executor._throttling = 0.0
store = open_store(None, Path("mlruns"))
with ParentRun(store, tracking, "d" * 64, "study") as parent:
    runner = JobRunner(Ledger(store), parent, executor, total)
    runner.run(jobs)
    assert [one.status in ("finished", "skipped") for one in runner.outcomes(jobs)] == [True] * total
print("MEMORY", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def launch(slurm: FakeSlurm, total: int) -> subprocess.Popen[bytes]:
    """A launcher that says a line of each job into files: a pipe that nobody reads would hold it up."""
    words = [sys.executable, "-c", LAUNCHER, str(total)]
    with (slurm.folder / "out").open("wb") as out, (slurm.folder / "error").open("wb") as error:
        return subprocess.Popen(words, env={**os.environ, **slurm.environment}, stdout=out, stderr=error)


def until_it_ends(launcher: subprocess.Popen[bytes], slurm: FakeSlurm, store: Store) -> tuple[str, str]:
    """Ends the jobs whenever one was refused, or the queue has stood still for long; what the launcher has said."""
    before: list[str] = []
    since = time.monotonic()
    while launcher.poll() is None:
        time.sleep(0.2)
        queued = slurm.queued()
        if queued != before:
            before, since = queued, time.monotonic()
        if slurm.refused() or time.monotonic() - since > 5:
            slurm.work(store, store.directory / "sweeps" / "submitit")
    return (slurm.folder / "out").read_text(), (slurm.folder / "error").read_text()


@pytest.mark.parametrize(
    ("total", "limit", "killed_at"),
    [(24, 5, 12), pytest.param(1200, 60, 500, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])],
)
def test_each_job_runs_once_though_the_queue_is_full_and_the_launcher_dies(
    store: Store, tmp_path: Path, total: int, limit: int, killed_at: int
) -> None:
    slurm = FakeSlurm(tmp_path / "slurm", limit)
    slurm.kill_launcher_at(killed_at)
    launcher = launch(slurm, total)
    out, output = until_it_ends(launcher, slurm, store)
    assert launcher.returncode == -signal.SIGKILL, out + output
    assert "SLURM takes no more jobs for now, the others wait" in output
    assert 0 < len(runs(store, "FINISHED")) < total
    again = launch(slurm, total)
    out, output = until_it_ends(again, slurm, store)
    assert again.returncode == 0, out + output
    names = slurm.submitted()
    # The job that the launcher was killed with had not been told what to do, so that one alone is handed over again.
    twice = [name for name in {*names} if names.count(name) > 1]
    assert (len({*names}), len(names), twice) == (total, total + 1, [names[killed_at - 1]])
    assert len(runs(store)) == len(runs(store, "FINISHED")) == total
    assert len({run.data.tags["job_identity"] for run in runs(store)}) == total
    assert slurm.most == limit


@pytest.mark.slow
@pytest.mark.timeout(7200)  # 10 minutes of two idle cores
def test_the_memory_of_a_launcher_does_not_grow_with_its_jobs(store: Store, tmp_path: Path) -> None:
    """Ten times as many jobs: what is known of each stays, 4 kB."""
    took = []
    for total in (100, 10_000):
        folder = tmp_path / str(total)
        slurm = FakeSlurm(folder / "slurm", 90)
        launcher = launch(slurm, total)
        out, output = until_it_ends(launcher, slurm, store)
        assert launcher.returncode == 0, out + output
        took.append(int(out.rpartition("MEMORY ")[2]))
    assert took[1] - took[0] < 64, took


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    made = FakeSlurm(tmp_path / "slurm", 2)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def command(identity: str, log: Path) -> Command:
    return Command(["true"], {}, log, -1, "study-0", identity)


def test_what_is_in_the_queue_is_found_by_the_identity_of_its_job(slurm: FakeSlurm, tmp_path: Path) -> None:
    executor = SlurmExecutor(tmp_path, 9, PARAMETERS)
    first, second = "a" * 64, "b" * 64
    assert executor.busy(first) == ""
    executor.start(command(first, tmp_path / "log"))
    another = SlurmExecutor(tmp_path, 9, PARAMETERS)
    assert another.busy(first) == "SLURM job 1 (pending)"
    assert another.busy(second) == ""
    executor.start(command(second, tmp_path / "log"))
    assert executor.room([])
    with pytest.raises(NoRoomNow):
        executor.start(command("c" * 64, tmp_path / "log"))
    assert not executor.room([])
    (slurm.folder / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert "SLURM, which does not answer" in SlurmExecutor(tmp_path, 9, PARAMETERS).busy("c" * 64)


def test_a_job_that_was_stopped_and_queued_again_has_not_ended(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_ASK_SECONDS", 0.0)
    process = SlurmExecutor(tmp_path, 9, PARAMETERS).start(command("a" * 64, tmp_path / "log"))
    result = tmp_path / "submitit" / "1_0_result.pkl"
    result.write_bytes(pickle.dumps(("success", 143)))
    assert process.code() is None
    result.write_bytes(pickle.dumps(("success", 0)))
    assert process.code() == 0
    cancelled = SlurmExecutor(tmp_path, 9, PARAMETERS).start(command("b" * 64, tmp_path / "log"))
    (tmp_path / "submitit" / "2_0_result.pkl").write_bytes(pickle.dumps(("success", 143)))
    assert cancelled.code() is None
    (slurm.folder / "queue" / "2").unlink()
    assert cancelled.code() == 143


def test_a_limit_that_never_gives_way_is_a_refusal(slurm: FakeSlurm, tmp_path: Path) -> None:
    refusal = "sbatch: error: Batch job submission failed: Requested node configuration is not available"
    (slurm.folder / "sbatch").write_text(f"#!/bin/sh\necho '{refusal}' >&2\nexit 1\n")
    with pytest.raises(ConfigError, match="SLURM does not take the job"):
        SlurmExecutor(tmp_path, 9, PARAMETERS).start(command("a" * 64, tmp_path / "log"))


def test_nodes_gpus_time_and_requeue_are_asked_for(slurm: FakeSlurm, tmp_path: Path) -> None:
    asked = {**PARAMETERS, "gpus_per_node": 4}
    SlurmExecutor(tmp_path, 9, asked).start(command("a" * 64, tmp_path / "log"))
    script = (tmp_path / "submitit" / "1_submission.sh").read_text()
    for words in ("--nodes=1", "--gpus-per-node=4", "--ntasks-per-node=1", "--mem=1GB", "--time=10", "--requeue"):
        assert f"#SBATCH {words}\n" in script


# A process of its own, as on a node: a signal of the timer that a thread of OpenVINO takes ends the process.
TIME_IS_UP = """
import pickle, signal, sys
from seglab.sweeping.cluster import NodeProcess
code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); print(1, flush=True)"
task = NodeProcess([sys.executable, "-c", code + "; time.sleep(60)"], {"A": "b"}, sys.argv[1])
again = []
signal.signal(signal.SIGALRM, lambda *_: again.append(task.checkpoint()))
signal.setitimer(signal.ITIMER_REAL, 1.0)
assert task() == 143
(delayed,) = again
assert pickle.loads(pickle.dumps(delayed)).function == task
"""


def test_a_job_whose_time_is_up_tells_its_process_and_queues_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", TIME_IS_UP, str(tmp_path / "log")], check=True, timeout=120)
    assert (tmp_path / "log").read_text() == "1\n"


def test_a_job_that_slurm_starts_again_goes_on_with_its_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first start was on another node, which died a moment ago."""
    cfg, elsewhere = compose("train", []), {"host": "node-1", "machine": "another"}
    theirs = {"job_identity": "mine", "slurm_job_id": "7", **elsewhere}
    run_id = begin(store, theirs)
    assert alive(store.run(run_id).data.tags) is True
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert alive(store.run(run_id).data.tags) is True  # another process of the same start
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert alive(store.run(run_id).data.tags) is False
    assert own_earlier_run(cfg, {"job_identity": "mine"}).resume == run_id
    assert store.run(run_id).info.status == "KILLED"
    assert own_earlier_run(cfg, {"job_identity": "another"}).resume is None
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    store.client.update_run(run_id, status="RUNNING")
    assert alive(store.run(run_id).data.tags) is True
    finish(store, run_id, 0.75)
    earlier = own_earlier_run(cfg, {"job_identity": "mine"})
    assert (earlier.finished, earlier.objective) == (True, 0.75)


def test_memory_and_time_are_asked_for_as_the_plan_forecasts(tmp_path: Path) -> None:
    took = Measured(3000, 10.0, 10.0, 1.0, 1.0, 0.0, 1.0, 50, 10, 5, 5, 1000, "cpu")

    def asked(*words: str, study: str | None = "planned", memory: float | None = None) -> ClusterRequest:
        runtime = {"runtime": {"choices": {"experiment": study}}, "overrides": {"task": list(words)}}
        config = OmegaConf.create({"hydra": runtime, "trainer": {"epochs": 60}})
        return request_of(config, memory, None, tmp_path)

    assert asked() == ClusterRequest(8.0, 240)
    (tmp_path / "planned").mkdir()
    (tmp_path / "planned" / MEASURED).write_text(measured_file("d", took))
    assert asked() == ClusterRequest(4, 79)  # 3.0 GB and 1.2 times; 3,635 s and 1.3 times
    assert asked("experiment=planned", "data.fold=0,1,2", "+tracking.uri=null") == ClusterRequest(4, 79)
    assert asked(memory=2.0) == ClusterRequest(2.0, 79)
    assert asked("data.batch_size=8") == ClusterRequest(8.0, 240)
    assert asked(study=None) == ClusterRequest(8.0, 240)


def test_jobs_of_a_sweep_are_composed_as_hydra_composes_them() -> None:
    jobs = [
        ["seed=3", "loss=dice", "data.size=[32,32]", "trainer.epochs=4"],
        ["loss=combined", "model=attention_unet", "model.width=4", "data.foreground_share=0.5"],
        ["data=synthetic3d", "model=unet3d", "data.size=[16,16,16]", "run_name='a, b'", "optimizer=adamw"],
    ]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        master = hydra.compose("train", overrides=[], return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        context = type("Context", (), {"config_loader": loader})
        preparation = SweepPreparation(master, context)  # type: ignore[arg-type]
        for words in [*jobs, *jobs]:
            whole = loader.load_sweep_config(master, words)
            OmegaConf.set_struct(whole, False)
            del whole["hydra"]
            assert preparation._composed(words) == whole, words
