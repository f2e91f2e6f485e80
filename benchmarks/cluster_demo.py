"""A cluster on this one machine, all of it real and gone afterwards: SLURM, PostgreSQL, a server of MLflow's.

`make cluster-demo` sweeps small runs on the built-in images through SLURM, kills the launcher (kill -9) when the first
jobs run, launches it again, sees that each job has run once, and compares.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from seglab.tracking.store import Store, open_store

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from mlflow_server import MlflowServer  # noqa: E402
from postgres_server import PROGRAMS, Postgres  # noqa: E402

SLURM = ROOT / ".slurm"
JOBS = 6
WORDS = ["loss=dice,combined", "seed=0,1,2", "model=unet", "model.depth=1", "model.width=4", "data.size=[32,32]"]
WORDS += ["data.count=12", "data.batch_size=4", "data.split={train:0.5,val:0.25,test:0.25}", "trainer.epochs=10"]
WORDS += ["trainer.patience_epochs=null", "precision=float32", "tracking.system_metrics=false"]
WORDS += ["launcher=slurm", "launcher.partition=main", "launcher.cpus=1", "launcher.memory_gb=2"]


def say(text: str) -> None:
    """What is done next."""
    print(f"\n== {text}", flush=True)


class Demo:
    """One sweep through the cluster, in a folder of its own.

    Args:
        folder: for the runs.
        uri: of MLflow's server.
    """

    def __init__(self, folder: Path, uri: str):
        self.folder, self.uri = folder, uri

    def seglab(self, *words: str) -> subprocess.Popen[bytes]:
        """A verb, started."""
        print("$ seglab", *words[:1], "…" if len(words) > 3 else " ".join(words[1:]), flush=True)
        path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.Popen([sys.executable, "-m", "seglab", *words], cwd=self.folder, env=environment)

    def sweep(self) -> subprocess.Popen[bytes]:
        """The launcher."""
        return self.seglab("train", "-m", *WORDS, f"tracking.uri={self.uri}")

    @property
    def store(self) -> Store:
        """Asked through the server."""
        return open_store(self.uri, self.folder / "mlruns")

    def jobs(self) -> Counter[str]:
        """How many runs of jobs there are, by status."""
        runs = [run for run in self.store.all_runs() if "job_identity" in run.data.tags]
        return Counter(run.info.status for run in runs)

    def run(self) -> int:
        """All of it; the exit code."""
        say(f"sweep of {JOBS} jobs through SLURM")
        launcher = self.sweep()
        while launcher.poll() is None and not self.jobs():
            time.sleep(1)
        launcher.kill()
        launcher.wait()
        say(f"kill -9 of the launcher; runs so far: {dict(self.jobs())}; in SLURM's queue:")
        subprocess.run(["squeue", "--format=%.6i %.9T %.60j"], check=False)
        say("launched again: what finished is skipped, what is queued or runs is left alone, the rest is handed over")
        code = self.sweep().wait()
        jobs = self.jobs()
        say(f"runs: {dict(jobs)}, of {JOBS} jobs; exit code {code}")
        if code or jobs != Counter({"FINISHED": JOBS}):
            return 1
        say("compare")
        return self.seglab("compare", f"tracking_uri={self.uri}").wait()


def main() -> int:
    if os.geteuid() or not PROGRAMS:
        missing = "root" if os.geteuid() else "PostgreSQL (Debian: apt install postgresql)"
        print(f"error: cluster-demo needs {missing}", file=sys.stderr)
        return 2
    began = time.monotonic()
    own_slurm = "SLURM_CONF" not in os.environ
    if own_slurm:
        say("SLURM of one node")
        subprocess.run([ROOT / "scripts" / "slurm_node.sh", "start", SLURM], check=True)
        os.environ["SLURM_CONF"] = str(SLURM / "slurm.conf")
    try:
        with tempfile.TemporaryDirectory(prefix="cluster-demo") as name, Postgres() as postgres:
            folder = Path(name)
            say("MLflow's server on PostgreSQL")
            server = MlflowServer(folder, postgres.address)
            server.start()
            print(server.uri)
            try:
                code = Demo(folder, server.uri).run()
            finally:
                server.kill()
    finally:
        if own_slurm:
            subprocess.run([ROOT / "scripts" / "slurm_node.sh", "stop", SLURM], check=False)
    say(f"done in {time.monotonic() - began:.0f} s; everything was removed" if not code else "FAILED")
    return code


if __name__ == "__main__":
    sys.exit(main())
