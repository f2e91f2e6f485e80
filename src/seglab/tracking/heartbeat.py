"""Who runs a run, whether that process still lives, and the end of runs whose process does not."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import filelock
import psutil
from mlflow.entities import Run

from seglab.run_record import Tag, WorkFile
from seglab.tracking import operations
from seglab.tracking.clockless_heartbeat import PeerSightings, machine
from seglab.tracking.mlflow_client import MlflowClient, MlflowException, first_line, say
from seglab.tracking.outbox import Outbox, lock_of
from seglab.tracking.store import Store

# A run on another machine is taken for dead when its heartbeat has not moved for so many of its own intervals.
MISSED_HEARTBEATS = 10
STALE_REASON = "its process is gone; found by a later start or by seglab doctor"
_LAST_BEAT_SECONDS = 2.0
# What this process has seen, for those who keep nothing on disk.
_OWN_SIGHTINGS = PeerSightings()


def identity() -> dict[str, str]:
    """Tags that name this process among all: host, pid, start of the process, and the machine that pids belong to."""
    tags = {
        Tag.HOST: socket.gethostname(),
        Tag.PID: str(os.getpid()),
        Tag.PROCESS_STARTED: f"{psutil.Process().create_time():.2f}",
        Tag.MACHINE: machine(),
    }
    return tags | identity_of_slurm_job()


def identity_of_slurm_job() -> dict[str, str]:
    """Tags that name the SLURM job that this process belongs to, and how often it was started again; else none."""
    slurm = {Tag.SLURM_JOB_ID: "SLURM_JOB_ID", Tag.SLURM_ARRAY_JOB_ID: "SLURM_ARRAY_JOB_ID"}
    slurm |= {Tag.SLURM_ARRAY_TASK_ID: "SLURM_ARRAY_TASK_ID", Tag.SLURM_RESTART_COUNT: "SLURM_RESTART_COUNT"}
    return {tag: os.environ[name] for tag, name in slurm.items() if name in os.environ}


def beat(interval: float) -> dict[str, str]:
    """Tags of a heartbeat now. Others only look whether it moves; its own machine reads the time of its last one."""
    return {Tag.HEARTBEAT: f"{time.time():.3f}", Tag.HEARTBEAT_SECONDS: f"{interval:g}"}


def alive(tags: Mapping[str, str], sightings: PeerSightings | None = None) -> bool | None:
    """Whether the process of a run lives, by the run's tags; None when they do not say.

    On the same machine the process is looked up; a new process that got the same pid has another start. What an earlier
    start of this very SLURM job was has ended with it, or SLURM would not have started the job again. Elsewhere it
    lives as long as its heartbeat moves: it must have been seen to stand still, by the clock of this machine alone.

    Args:
        tags: of the run.
        sightings: what was seen before; of this process alone when None.
    """
    if Tag.HEARTBEAT not in tags:
        return None
    if _earlier_start(tags):
        return False
    if not _elsewhere(tags):
        try:
            process = psutil.Process(int(tags[Tag.PID]))
            same = abs(process.create_time() - float(tags[Tag.PROCESS_STARTED])) < 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
    name = " ".join(tags.get(key, "?") for key in (Tag.HOST, Tag.MACHINE, Tag.PID, Tag.PROCESS_STARTED))
    still = (sightings or _OWN_SIGHTINGS).still_for(name, tags[Tag.HEARTBEAT])
    return still <= patience(tags)


def patience(tags: Mapping[str, str]) -> float:
    """Seconds for which the heartbeat of a process elsewhere must stand still until it is taken for dead."""
    return MISSED_HEARTBEATS * float(tags[Tag.HEARTBEAT_SECONDS])


def _elsewhere(tags: Mapping[str, str]) -> bool:
    return tags.get(Tag.MACHINE) != machine() or tags.get(Tag.HOST) != socket.gethostname()


def _earlier_start(tags: Mapping[str, str]) -> bool:
    own = identity_of_slurm_job()
    same = Tag.SLURM_JOB_ID in own and tags.get(Tag.SLURM_JOB_ID) == own[Tag.SLURM_JOB_ID]
    return same and int(tags.get(Tag.SLURM_RESTART_COUNT, 0)) < int(own.get(Tag.SLURM_RESTART_COUNT, 0))


def mark_stale_runs(store: Store) -> list[Run]:
    """End the runs that say RUNNING and whose process is gone: KILLED at their last heartbeat. Returns them.

    A run that has left its end in an outbox here gets that end instead. A run without heartbeat is not ours and is left
    alone. One that lives after all takes its mark back (`Heartbeat.of_run`).

    Raises:
        TrackingError: the store cannot be asked.
    """
    running = store.all_runs("attributes.status = 'RUNNING'")
    sightings = PeerSightings.kept_in(store.directory)
    stale = [run for run in running if alive(run.data.tags, sightings) is False]
    marked = []
    for run in stale:
        run_id = run.info.run_id
        try:
            if _delivered_end(store, run_id):
                continue
            operations.set_tags(store.client, run_id, {Tag.END_REASON: STALE_REASON})
            last_sign = int(float(run.data.tags[Tag.HEARTBEAT]) * 1000)
            store.client.set_terminated(run_id, "KILLED", max(last_sign, run.info.start_time))
        except (MlflowException, OSError) as error:
            say(f"run {run_id}, whose process is gone, cannot be ended: {first_line(error)}")
            continue
        marked.append(run)
    return marked


def _delivered_end(store: Store, run_id: str) -> bool:
    """Deliver what a dead run has left here; True when its own end was among it."""
    folder = store.work_dir(run_id) / WorkFile.OUTBOX
    if not folder.is_dir():
        return False
    try:
        with lock_of(folder.parent):
            outbox = Outbox(folder, run_id, store.uri)  # its own address may be damaged
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
        """Tells the store that a run lives. Missing one beat is no harm: the next one counts.

        A run that another machine took for dead, as while the store was away, says that it runs on.
        """

        def tell() -> None:
            with suppress(MlflowException, OSError, ValueError):  # the courier tells the user that the store is away
                client.set_tag(run_id, Tag.HEARTBEAT, beat(interval)[Tag.HEARTBEAT])
                run = client.get_run(run_id)
                marked = run.info.status != "RUNNING" and run.data.tags.get(Tag.END_REASON) == STALE_REASON
                ours = all(run.data.tags.get(key) == value for key, value in identity().items())
                if marked and ours and not heart.over:
                    operations.set_tags(client, run_id, {Tag.END_REASON: ""})
                    client.update_run(run_id, status="RUNNING")
                    say(f"run {run_id} was taken for dead by another process; it says again that it runs")

        heart = cls(tell, interval)
        return heart

    @property
    def over(self) -> bool:
        """Whether `stop` was called."""
        return self._over.is_set()

    def run(self) -> None:
        while not self._over.wait(self._interval):
            self._tell()

    def finish(self) -> None:
        """Beat no more; returns when the last beat is recorded, or a store that does not answer may have it later."""
        self._over.set()
        if self.is_alive():
            self.join(_LAST_BEAT_SECONDS)
