"""Jobs of a sweep as SLURM jobs, handed over by submitit; who ends from outside is noticed by asking the queue."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.errors import ConfigError
from seglab.runtime.process_group import PROCESSES, SLURM
from seglab.runtime.several_devices import check_devices
from seglab.sweeping.executor import Command, NoRoomNow, RunningJob, check_positive

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

# States in which SLURM still has something to do for a job.
_UNDER_WAY = frozenset(
    {"PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "RESIZING", "SUSPENDED", "STOPPED"}
)
_ASK_SECONDS = 2.0
# A job that the queue has let go of may have its result on a slow shared disk.
_RESULT_SECONDS = 10.0
_STOP_SECONDS = 60.0
# What sbatch says when it may take the job later: a limit of jobs in the queue, or a controller with too much to do.
_LATER = re.compile("MaxSubmitJob|temporarily un|timed out|Unable to contact slurm controller|Zero Bytes were transm")
_LATER_SECONDS = 10.0
# So often a job goes back into the queue when its time is up.
_TIMES_UP = 20
_TIMES_UP_WORDS = "timed-out too many times"  # submitit's
# Letters of a job's identity that end its name in the queue, by which it is found again.
_NAME_LETTERS = 16


@dataclass
class NodeProcess:
    """What submitit runs on each node: starts the process and waits for it.

    Args:
        words: program and arguments.
        environment: variables beside those that SLURM gives.
        log: the file that takes what it says; of the second node and later ones, one beside it with their number.
    """

    words: list[str]
    environment: dict[str, str]
    log: str

    def __call__(self) -> int:
        number = os.environ.get("SLURM_PROCID", "0")
        place = self.log if number == "0" else f"{self.log}.{number}"
        with open(place, "ab") as log:
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

    def checkpoint(self) -> DelayedSubmission:
        """Time is nearly over: let the process save and end. submitit puts the job back into the queue, and started
        again it goes on with its run (`seglab.sweeping.restart`).

        submitit calls this in a signal's handler, with `__call__` interrupted inside of `wait`: that holds the lock of
        the process, so its end is looked for without.
        """
        self._process.terminate()
        end = time.monotonic() + _STOP_SECONDS
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while os.waitid(os.P_PID, self._process.pid, flags) is None and time.monotonic() < end:
            time.sleep(_ASK_SECONDS / 10)
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(replace(self))


def check_nodes(config: Mapping[str, Any], nodes: int, gpus: int) -> None:
    """Refuse jobs of several nodes, before one is in the queue, that each of them would refuse.

    Args:
        config: the composed config of the sweep; what differs between its jobs is left to them.
        nodes: of each job.
        gpus: on each node.

    Raises:
        ConfigError: several nodes on TensorFlow, or a batch that all their devices cannot share alike.
    """
    if nodes > 1:
        devices = config["trainer"]["devices"]
        each = devices if isinstance(devices, int) else max(gpus, 1)
        check_devices(each, config["data"]["batch_size"], config["backend"], nodes)


class SlurmQueue:
    """The user's SLURM jobs, asked for at most every other second."""

    def __init__(self) -> None:
        self._asked, self._answered = float("-inf"), False
        self._states: dict[str, str] = {}
        self._under_way: dict[str, str] = {}

    def state(self, job_id: str) -> str:
        """SLURM's word, `GONE` for a job that it does not know any more, `UNKNOWN` while it does not answer."""
        self._ask()
        return self._states.get(job_id, "GONE") if self._answered else "UNKNOWN"

    def holder(self, identity: str) -> str:
        """Which SLURM job waits or runs for a job of a sweep; empty when none does."""
        self._ask()
        if not self._answered:
            return "SLURM, which does not answer,"
        job_id = self._under_way.get(identity[:_NAME_LETTERS])
        return f"SLURM job {job_id} ({self._states[job_id].lower()})" if job_id else ""

    def forget(self) -> None:
        """Ask anew: what is in the queue may have changed."""
        self._asked = float("-inf")

    def _ask(self) -> None:
        if time.monotonic() - self._asked <= _ASK_SECONDS:
            return
        self._asked = time.monotonic()
        words = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%i %T %j"]
        answer = subprocess.run(words, capture_output=True, text=True, check=False)
        self._answered = answer.returncode == 0
        if self._answered:
            lines = [line.split(maxsplit=2) for line in answer.stdout.splitlines()]
            self._states = {job_id: state for job_id, state, *_ in lines}
            self._under_way = {name[-_NAME_LETTERS:]: job for job, state, name in lines if state in _UNDER_WAY}


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
        result: Path = self._job.task(0).paths.result_pickle
        if result.exists():
            # Written by `NodeProcess` on a node of ours; read without submitit, which asks sacct and waits for ever.
            outcome, value = pickle.loads(result.read_bytes())
            if (outcome, value) != ("success", 0) and self._state() in (*_UNDER_WAY, "UNKNOWN"):
                return  # told to stop, and then put back into the queue: a node or a more urgent job wanted it so
            self._code = value if outcome == "success" else 1
            self._reason = f"exit code {value}" if outcome == "success" else str(value).strip().splitlines()[-1]
            if _TIMES_UP_WORDS in self._reason:
                times = f"its time was up {_TIMES_UP + 1} times (launcher.time_minutes)"
                self._reason = f"{times}; launched again it goes on where it has saved"
            return
        state = self._state()
        if state in _UNDER_WAY or state == "UNKNOWN":
            self._gone_since = None
            return
        self._gone_since = self._gone_since or time.monotonic()
        if time.monotonic() - self._gone_since > _RESULT_SECONDS:
            self._code, self._reason = 1, f"ended from outside ({state})"

    def _state(self) -> str:
        return self._queue.state(self._job.job_id)


class SlurmExecutor:
    """SLURM: each job a submission of its own, at most `jobs` of them in the queue, fewer where SLURM takes no more.

    A job is found again by its name in the queue, which ends with its identity, so a launcher that was killed at any
    moment submits none twice. No array is used, so no limit of their size counts.

    Args:
        directory: shared by this machine and the nodes; keeps submitit's files.
        jobs: at most so many at once.
        parameters: submitit's own, such as `timeout_min`, `mem_gb`, `slurm_partition`.

    Raises:
        ConfigError: there is no SLURM here, or it does not take the parameters.
    """

    local = False
    name = "slurm"

    def __init__(self, directory: Path, jobs: int, parameters: Mapping[str, Any]):
        import submitit

        asked = {name: parameters[name] for name in ("mem_gb", "timeout_min", "cpus_per_task", "nodes")}
        check_positive("launcher", jobs=jobs, **asked)
        self.processes = int(parameters["nodes"]) * int(parameters["tasks_per_node"])
        self.jobs, self.threads = jobs, int(parameters["cpus_per_task"])
        self._queue, self._again, self._reported = SlurmQueue(), float("-inf"), False
        try:
            self._executor = submitit.AutoExecutor(
                folder=directory.resolve() / "submitit", cluster="slurm", slurm_max_num_timeout=_TIMES_UP
            )
        except RuntimeError as error:
            raise ConfigError(
                "no SLURM on this machine",
                code="no-slurm",
                where="launcher=slurm",
                found=str(error),
                expected="sbatch, srun and squeue on the PATH",
                remedy="launch from a login node of the cluster, or use launcher=local",
            ) from error
        self._executor.update_parameters(slurm_additional_parameters={"requeue": True}, **parameters)

    def room(self, running: Sequence[RunningJob]) -> bool:
        return len(running) < self.jobs and time.monotonic() >= self._again

    def busy(self, identity: str) -> str:
        """The SLURM job that this or an earlier launch has queued for a job, while it waits or runs."""
        return self._queue.holder(identity)

    def start(self, command: Command) -> SlurmProcess:
        self._executor.update_parameters(name=f"{command.name}-{command.identity[:_NAME_LETTERS]}")
        environment = dict(command.environment) | ({PROCESSES: SLURM} if self.processes > 1 else {})
        task = NodeProcess(list(command.words), environment, str(command.log))
        try:
            job = self._executor.submit(task)
        except Exception as error:
            if not type(error).__module__.startswith("submitit"):
                raise
            found = str(error).strip().splitlines()[-1]
            if _LATER.search(str(error)):
                self._wait(found)
                raise NoRoomNow from error
            raise ConfigError(
                "SLURM does not take the job",
                code="slurm-refused",
                where="launcher",
                found=found,
                expected="a partition, GPUs, memory and time that the cluster has",
                remedy="see conf/launcher/slurm.yaml; sinfo shows the partitions",
            ) from error
        return SlurmProcess(job, self._queue)

    def _wait(self, reason: str) -> None:
        """Submit nothing for a while; the job may be in the queue though sbatch has not heard so."""
        self._again = time.monotonic() + _LATER_SECONDS
        self._queue.forget()
        if not self._reported:
            self._reported = True
            print(f"SLURM takes no more jobs for now, the others wait: {reason}", file=sys.stderr)
