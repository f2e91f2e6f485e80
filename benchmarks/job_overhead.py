"""What a job of a sweep takes beside its own work: `python -m benchmarks.job_overhead`, on an idle machine.

The same small training as single commands, as sweeps of one job, and as sweeps of several jobs one after the other.
Each is timed in turn, in a folder of its own. What a further job takes, less a single command, is the sweep's overhead;
what a command takes before its run begins is told apart.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from seglab.errors import run_script
from seglab.runtime.waiting import step

JOBS = 4
WORDS = ("model=unet_mini", "loss=dice", "trainer.epochs=2", "data.count=40", "data.size=[64,64]")
SWEEP = ("-m", "launcher=local", "launcher.jobs=1")


def seconds_of(*words: str) -> float:
    """Seconds that a training or sweep takes, and that it must end well."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-m", "seglab", "train", *WORDS, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        took = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return took


def before_the_run(folder: Path) -> float:
    """Seconds from the start of a command to the begin of its run in the store."""
    from mlflow.tracking import MlflowClient

    began = time.time()
    command = [sys.executable, "-m", "seglab", "train", *WORDS]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return float(runs[0].info.start_time) / 1000 - began


def main(words: list[str]) -> None:
    """Print what a job, and a sweep, take beside the work."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.job_overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each; the median counts")
    rounds = parser.parse_args(words).rounds
    alone, one, several = [], [], []
    for number in range(rounds):
        with step(f"round {number + 1} of {rounds}"):
            alone.append(seconds_of("seed=0"))
            one.append(seconds_of(*SWEEP, "seed=0"))
            several.append(seconds_of(*SWEEP, "seed=" + ",".join(map(str, range(JOBS)))))
    with tempfile.TemporaryDirectory() as folder:
        begin = before_the_run(Path(folder))
    command, sweep, further = (statistics.median(each) for each in (alone, one, several))
    job = (further - sweep) / (JOBS - 1)
    print(f"a command alone: {command:.1f} s, {begin:.1f} s of it before its run begins")
    print(f"a further job of a sweep: {job:.1f} s; {job - command:+.1f} s beside its own work, target: at most 2")
    print(f"a sweep of one job: {sweep:.1f} s; {sweep - command:+.1f} s for the launcher")


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
