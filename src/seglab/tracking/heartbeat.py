"""Who runs a run, whether that process still lives, and the end of runs whose process does not."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import filelock
import psutil
from mlflow.entities import Run

from seglab.tracking import operations
from seglab.tracking.client import MlflowClient, MlflowException
from seglab.tracking.outbox import FOLDER, Outbox, lock_of, say
from seglab.tracking.store import Store

# A run on another machine is taken for dead when so many of its own intervals have passed without a heartbeat.
MISSED_HEARTBEATS = 10
HEARTBEAT = "heartbeat"


def identity() -> dict[str, str]:
    """Tags that name this process among all: host, pid, start of the process, and the machine that pids belong to."""
    tags = {
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "process_started": f"{psutil.Process().create_time():.2f}",
        "machine": _machine(),
    }
    slurm = {"slurm_job_id": "SLURM_JOB_ID", "slurm_array_job_id": "SLURM_ARRAY_JOB_ID"}
    slurm |= {"slurm_array_task_id": "SLURM_ARRAY_TASK_ID", "slurm_restart_count": "SLURM_RESTART_COUNT"}
    return tags | {tag: os.environ[name] for tag, name in slurm.items() if name in os.environ}


def beat(interval: float) -> dict[str, str]:
    """Tags of a heartbeat now."""
    return {HEARTBEAT: f"{time.time():.0f}", "heartbeat_seconds": f"{interval:g}"}


def alive(tags: Mapping[str, str], now: float | None = None) -> bool | None:
    """Whether the process of a run lives, judged by the run's tags; None when they do not tell.

    On the same machine the process is looked up; a new process that got the same pid has another start. Elsewhere the
    heartbeat decides.
    """
    if HEARTBEAT not in tags:
        return None
    if tags.get("machine") == _machine() and tags.get("host") == socket.gethostname():
        try:
            process = psutil.Process(int(tags["pid"]))
            same = abs(process.create_time() - float(tags["process_started"])) < 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
    age = (time.time() if now is None else now) - float(tags[HEARTBEAT])
    return age <= MISSED_HEARTBEATS * float(tags["heartbeat_seconds"])


def mark_stale_runs(store: Store) -> list[Run]:
    """End the runs that say RUNNING and whose process is gone: KILLED at their last heartbeat. Returns them.

    A run that has left its end in an outbox here gets that end instead. A run without heartbeat is not ours and is left
    alone.

    Raises:
        TrackingError: the store cannot be asked.
    """
    stale = [run for run in store.all_runs("attributes.status = 'RUNNING'") if alive(run.data.tags) is False]
    marked = []
    for run in stale:
        run_id = run.info.run_id
        try:
            if _delivered_end(store, run_id):
                continue
            reason = "its process is gone; found by a later start or by make doctor"
            operations.set_tags(store.client, run_id, {"end_reason": reason})
            last_sign = int(float(run.data.tags[HEARTBEAT]) * 1000)
            store.client.set_terminated(run_id, "KILLED", max(last_sign, run.info.start_time))
        except (MlflowException, OSError) as error:
            say(f"run {run_id}, whose process is gone, cannot be ended: {error}")
            continue
        marked.append(run)
    return marked


def _delivered_end(store: Store, run_id: str) -> bool:
    """Deliver what a dead run has left here; True when its own end was among it."""
    folder = store.work_dir(run_id) / FOLDER
    if not (folder / "address").exists():
        return False
    try:
        with lock_of(folder.parent):
            outbox = Outbox.found(folder)
            outbox.deliver(store.client)
            outbox.remove()
    except filelock.Timeout:
        return True  # somebody else is delivering it just now
    return store.client.get_run(run_id).info.status != "RUNNING"


class Heartbeat(threading.Thread):
    """Tells of a sign of life every `interval` seconds, beginning after the first."""

    def __init__(self, tell: Callable[[], object], interval: float):
        super().__init__(name="heartbeat", daemon=True)
        self._tell, self._interval = tell, interval
        self._over = threading.Event()

    @classmethod
    def of_run(cls, client: MlflowClient, run_id: str, interval: float) -> Heartbeat:
        """Tells the store that a run lives. Missing one beat is no harm: the next one counts."""

        def tell() -> None:
            with suppress(MlflowException, OSError):  # the courier tells the user that the store is away
                client.set_tag(run_id, HEARTBEAT, beat(interval)[HEARTBEAT])

        return cls(tell, interval)

    def run(self) -> None:
        while not self._over.wait(self._interval):
            self._tell()

    def finish(self) -> None:
        self._over.set()


def _machine() -> str:
    """What a pid is valid in: one boot of one kernel, one pid namespace (a container has its own)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"
