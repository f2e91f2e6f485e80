"""Jobs of a sweep as SLURM jobs, handed over by submitit; who ends from outside is noticed by asking the queue."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglab.errors import ConfigError
from seglab.runtime.atomic_files import write_text
from seglab.sweeping.executor import Command, RunningJob, check_positive

# States in which SLURM still has something to do for a job.
_UNDER_WAY = frozenset(
    {"PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "RESIZING", "SUSPENDED", "STOPPED"}
)
_ASK_SECONDS = 2.0
# A job that the queue has let go of may have its result on a slow shared disk.
_RESULT_SECONDS = 10.0
_STOP_SECONDS = 60.0


class TimeIsUp(Exception):
    """The job has reached the end of its time; submitit hands the words on to who looks after the job."""


@dataclass
class NodeProcess:
    """What submitit runs on the node: starts the process and waits for it.

    Args:
        words: program and arguments.
        environment: variables beside those that SLURM gives.
        log: the file that takes what it says.
    """

    words: list[str]
    environment: dict[str, str]
    log: str

    def __call__(self) -> int:
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self.words,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # SLURM announces the end of the time to every process; this one is told by `checkpoint`.
                preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
            )
        return self._process.wait()

    def checkpoint(self) -> None:
        """Time is nearly over: let the process save and end. The next launch goes on from there.

        submitit calls this in a signal's handler, with `__call__` interrupted inside of `wait`: that holds the lock of
        the process, so its end is looked for without.
        """
        self._process.terminate()
        end = time.monotonic() + _STOP_SECONDS
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while os.waitid(os.P_PID, self._process.pid, flags) is None and time.monotonic() < end:
            time.sleep(_ASK_SECONDS / 10)
        raise TimeIsUp("its time was up (launcher.time_minutes); launched again it goes on where it has saved")


class SlurmQueue:
    """The state of each of the user's SLURM jobs, asked for at most every other second."""

    def __init__(self) -> None:
        self._asked, self._states = float("-inf"), {}  # type: float, dict[str, str]

    def state(self, job_id: str) -> str:
        """SLURM's word, `GONE` for a job that it does not know any more, `UNKNOWN` while it does not answer."""
        if time.monotonic() - self._asked > _ASK_SECONDS:
            self._asked = time.monotonic()
            words = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%i %T"]
            answer = subprocess.run(words, capture_output=True, text=True, check=False)
            self._answered = answer.returncode == 0
            if self._answered:
                self._states = dict(line.split(maxsplit=1) for line in answer.stdout.splitlines())
        return self._states.get(job_id, "GONE") if self._answered else "UNKNOWN"


class SlurmProcess:
    """A job in SLURM's queue or on a node."""

    def __init__(self, job: Any, queue: SlurmQueue):
        self._job, self._queue = job, queue
        self._gone_since: float | None = None
        self._code: int | None = None
        self._reason = ""

    def code(self) -> int | None:
        if self._code is None:
            self._poll()
        return self._code

    def reason(self) -> str:
        return f"SLURM job {self._job.job_id}: {self._reason}"

    def interrupt(self) -> None:
        self._job.cancel(check=False)

    def stop(self) -> None:
        end = time.monotonic() + _STOP_SECONDS
        while self.code() is None and time.monotonic() < end:
            time.sleep(_ASK_SECONDS / 4)

    def _poll(self) -> None:
        result: Path = self._job.paths.result_pickle
        if result.exists():
            # Written by `NodeProcess` on a node of ours; read without submitit, which asks sacct and waits for ever.
            outcome, value = pickle.loads(result.read_bytes())
            self._code = value if outcome == "success" else 1
            said = f"exit code {value}" if outcome == "success" else str(value).strip().splitlines()[-1]
            self._reason = said.removeprefix(f"{__name__}.{TimeIsUp.__name__}: ")
            return
        state = self._queue.state(self._job.job_id)
        if state in _UNDER_WAY or state == "UNKNOWN":
            self._gone_since = None
            return
        self._gone_since = self._gone_since or time.monotonic()
        if time.monotonic() - self._gone_since > _RESULT_SECONDS:
            self._code, self._reason = 1, f"ended from outside ({state})"


class SlurmExecutor:
    """SLURM: each job a submission of its own, at most `jobs` of them in the queue.

    Args:
        directory: shared by this machine and the nodes; keeps submitit's files and the job ids.
        jobs: at most so many at once.
        parameters: submitit's own, such as `timeout_min`, `mem_gb`, `slurm_partition`.

    Raises:
        ConfigError: there is no SLURM here, or it does not take the parameters.
    """

    local = False
    name = "slurm"

    def __init__(self, directory: Path, jobs: int, parameters: Mapping[str, Any]):
        import submitit

        asked = {name: parameters[name] for name in ("mem_gb", "timeout_min", "cpus_per_task")}
        check_positive("launcher", jobs=jobs, **asked)
        self.jobs, self.threads = jobs, int(parameters["cpus_per_task"])
        self._directory, self._queue = directory.resolve(), SlurmQueue()
        try:
            self._executor = submitit.AutoExecutor(folder=self._directory / "submitit", cluster="slurm")
        except RuntimeError as error:
            raise ConfigError(
                "no SLURM on this machine",
                code="no-slurm",
                where="launcher=slurm",
                found=str(error),
                expected="sbatch, srun and squeue on the PATH",
                remedy="launch from a login node of the cluster, or use launcher=local",
            ) from error
        self._executor.update_parameters(**parameters)

    def room(self, running: Sequence[RunningJob]) -> bool:
        return len(running) < self.jobs

    def busy(self, identity: str) -> str:
        """The SLURM job that an earlier launch has queued for a job, while it waits or runs."""
        record = self._record(identity)
        if not record.exists():
            return ""
        job_id = record.read_text()
        state = self._queue.state(job_id)
        return f"SLURM job {job_id} ({state.lower()})" if state in _UNDER_WAY else ""

    def start(self, command: Command) -> SlurmProcess:
        self._executor.update_parameters(name=command.name)
        task = NodeProcess(list(command.words), dict(command.environment), str(command.log))
        try:
            job = self._executor.submit(task)
        except Exception as error:
            if type(error).__module__.startswith("submitit"):
                raise ConfigError(
                    "SLURM does not take the job",
                    code="slurm-refused",
                    where="launcher",
                    found=str(error).strip().splitlines()[-1],
                    expected="a partition, GPUs, memory and time that the cluster has",
                    remedy="see conf/launcher/slurm.yaml; sinfo shows the partitions",
                ) from error
            raise
        record = self._record(command.identity)
        record.parent.mkdir(parents=True, exist_ok=True)
        write_text(record, job.job_id)
        return SlurmProcess(job, self._queue)

    def _record(self, identity: str) -> Path:
        return self._directory / "jobs" / f"{identity}.slurm"
